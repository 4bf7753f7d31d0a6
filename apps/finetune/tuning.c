/* Groups of rates: heads, layers of the encoder, decayed and not. */
#include "finetune/tuning.h"
#include "training/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int is_head(const char *name) { return !strncmp(name, "head.", 5); }
static int is_lora(const char *name) { return strstr(name, ".lora_") != NULL; }

void tuning_freeze(const recipe *r, params *p) {
    for (size_t i = 0; i < p->n; i++) {
        const char *name = p->items[i].name;
        if (is_head(name) || r->finetune.backbone == BACKBONE_FULL) continue;
        if (r->finetune.backbone == BACKBONE_FROZEN || !is_lora(name)) p->items[i].trained = 0;
    }
}

double tuning_factor(const recipe *r, const char *name, const encoder *e) {
    if (is_head(name)) return 1;
    double base = r->finetune.backbone_lr > 0 ? r->finetune.backbone_lr / r->optim.lr : 1;
    return base * pow(r->finetune.layer_decay, (double)(e->kind->layers(e) + 1 - e->kind->layer_of(e, name)));
}

/* The group of a factor and decay, a new one where there is none; -1 where there are too many. */
static int group_of(tuning *t, double factor, int decays) {
    for (int g = 0; g < t->groups; g++)
        if (t->factor[g] == factor && t->decays[g] == decays) return g;
    if (t->groups == HCT_OPTIM_GROUPS) return -1;
    t->factor[t->groups] = factor;
    t->decays[t->groups] = decays;
    return t->groups++;
}

hct_status tuning_open(tuning *t, hct_dev *dev, const recipe *r, const params *p, const encoder *e, hct_err *err) {
    *t = (tuning){.optim = optimizer_new(dev, r, err)};
    if (!t->optim) return err ? err->code : HCT_ENOMEM;
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < p->n; i++) {
        const param *item = &p->items[i];
        if (!item->trained) continue;
        int group = group_of(t, tuning_factor(r, item->name, e), optimizer_decays(r, item));
        st = group < 0 ? hct_fail(err, HCT_EINVAL,
                                  "finetune.layer_decay: %lld layers need more than %d groups of rates; set it to 1",
                                  (long long)e->kind->layers(e), HCT_OPTIM_GROUPS)
                       : hct_optim_add(t->optim, group, item->name, item->tensor, err);
    }
    if (st < 0) tuning_close(t);
    return st;
}

void tuning_close(tuning *t) {
    hct_optim_free(t->optim);
    *t = (tuning){0};
}

hct_status tuning_set_rates(tuning *t, double lr, double decay, hct_err *err) {
    hct_optim_rate rate[HCT_OPTIM_GROUPS];
    for (int g = 0; g < t->groups; g++) rate[g] = (hct_optim_rate){lr * t->factor[g], t->decays[g] ? decay : 0, 1};
    return hct_optim_step(t->optim, rate, err);
}
