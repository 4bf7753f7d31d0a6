/* The table of pre-training methods, and what is the same for all of them. */
#include "pretrain/method.h"

#include <string.h>

#include "hct/nearest.h"
#include "pretrain/dino_step.h"
#include "pretrain/mae_step.h"
#include "run/model.h"
#include "training/optimizer.h"

/* A build may add rows of its own: -DEXTRA_METHODS='&mine,' -DEXTRA_METHODS_HEADER='"mine.h"'. */
#ifdef EXTRA_METHODS_HEADER
#include EXTRA_METHODS_HEADER
#endif
#ifndef EXTRA_METHODS
#define EXTRA_METHODS
#endif

const method *const methods[] = {&method_mae, &method_dino, EXTRA_METHODS NULL};

const method *method_find(const char *name) {
    for (const method *const *k = methods; *k; k++)
        if (!strcmp((*k)->name, name)) return *k;
    return NULL;
}

hct_status method_of_recipe(const recipe *r, const method **ret, hct_err *err) {
    const char *names[64] = {"probe", "finetune"};
    size_t n = 2;
    if ((*ret = method_find(r->method))) return HCT_OK;
    text_buffer all = {0};
    for (const method *const *k = methods; *k && n < sizeof names / sizeof *names; k++) names[n++] = (*k)->name;
    for (size_t i = 0; i < n; i++) text_printf(&all, "%s%s", i ? ", " : "", names[i]);
    const char *near = hct_name_nearest(r->method, names, n);
    if (recipe_probes(r) || recipe_finetunes(r))
        hct_fail(err, HCT_EINVAL, "method: %s trains a classifier; it is no method of pre-training", r->method);
    else
        hct_fail(err, HCT_EINVAL, "method: '%s' is unknown; %s%s", r->method, near ? "did you mean " : "there are ",
                 near ? near : text_so_far(&all));
    text_free(&all);
    return HCT_EINVAL;
}

hct_status method_model(const method *k, const recipe *r, model_info *ret, hct_err *err) {
    hct_status st = model_of_recipe(r, k->pretext, ret, err);
    if (!k->pretext) ret->role = MODEL_ENCODER;
    if (st == HCT_OK && k->check) st = k->check(r, ret, err);
    return st;
}

hct_status method_check_recipe(const recipe *r, hct_err *err) {
    model_info info;
    const method *k = NULL;
    if (recipe_probes(r) || recipe_finetunes(r)) return model_of_recipe(r, NULL, &info, err);
    hct_status st = method_of_recipe(r, &k, err);
    return st == HCT_OK ? method_model(k, r, &info, err) : st;
}

loader_options method_input(const method *k, const recipe *r, const model_info *info) {
    loader_options o = {.input = info->encoder.input,
                        .threads = (int)r->train.workers,
                        .disk_cache = r->train.disk_cache,
                        .cache_bytes = (size_t)r->train.cache_mb << 20};
    if (k->input) k->input(r, &o);
    return o;
}

hct_optim *method_optimizer(const method *k, hct_dev *dev, const recipe *r, const params *p, hct_err *err) {
    return k->optimizer ? k->optimizer(dev, r, p, err) : optimizer_of_recipe(dev, r, p, err);
}

hct_status method_rates(const method *k, hct_optim *o, const recipe *r, double lr, double decay, int64_t epoch,
                        hct_err *err) {
    return k->rates ? k->rates(o, r, lr, decay, epoch, err) : optimizer_set_rates(o, lr, decay, err);
}

hct_status method_save(const method *k, const char *path, hct_dev *dev, const params *p, const model_info *info,
                       hct_err *err) {
    return k->save ? k->save(path, dev, p, info, err) : weights_save(path, p, info, NULL, 0, err);
}

hct_status method_open(method_step *s, const method *k, const method_setup *o, hct_err *err) {
    *s = (method_step){.kind = k, .r = o->r, .info = o->info, .batch = o->batch, .micro = o->micro};
    hct_status st = micro_check(o->micro, err);
    if (st == HCT_OK) st = k->open(s, o, err);
    if (st == HCT_OK) st = o->plan_only ? hct_plan_only(s->tape, err) : hct_compile(s->tape, err);
    if (st < 0) method_close(s);
    return st;
}

void method_close(method_step *s) {
    if (s->kind) s->kind->close(s);
    *s = (method_step){0};
}

void *method_item(const method_step *s, int64_t b) { return (char *)s->host + (size_t)b * s->item; }

hct_status method_fill(method_step *s, int64_t m, const method_draw *d, hct_err *err) {
    return s->kind->fill(s, m, d, err);
}

hct_status method_set(method_step *s, int64_t epoch, int64_t step, int64_t total, hct_err *err) {
    return s->kind->set ? s->kind->set(s, epoch, step, total, err) : HCT_OK;
}

hct_status method_finish(method_step *s, double *ret_loss, hct_err *err) {
    return micro_losses(s->tape, s->loss, s->micro, ret_loss, err);
}

hct_status method_run(method_step *s, double *ret_loss, hct_err *err) {
    hct_status st = hct_start(s->tape, err);
    return st == HCT_OK ? method_finish(s, ret_loss, err) : st;
}

size_t method_health_count(const method *k) {
    size_t n = 0;
    while (k->health_names && k->health_names[n]) n++;
    return n;
}
