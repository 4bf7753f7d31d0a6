/* Recipes: defaults, --set, checks, and the canonical text that is kept and hashed. */
#include "recipe/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "support/sha256.h"
#include "recipe/recipe_keys.h"

recipe recipe_default(void) {
    recipe r;
    memset(&r, 0, sizeof r);
    for (size_t i = 0; i < recipe_key_count; i++) recipe_key_assign(&recipe_keys[i], recipe_keys[i].start, &r, NULL);
    return r;
}

/* Assigns, and notes that the key was given. */
static hct_status give(recipe *r, const recipe_key *k, const char *value, hct_err *err) {
    hct_status st = recipe_key_assign(k, value, r, err);
    if (st == HCT_OK) r->given[k - recipe_keys] = true;
    return st;
}

hct_status recipe_set(recipe *r, const char *assignment, hct_err *err) {
    const char *equals = strchr(assignment, '=');
    if (!equals) return hct_fail(err, HCT_EINVAL, "--set %s: write it as section.key=value", assignment);
    size_t n = (size_t)(equals - assignment);
    const recipe_key *k = recipe_key_find(assignment, n);
    if (k) return give(r, k, equals + 1, err);
    if ((k = recipe_alias_find(assignment, n))) return give(r, k, recipe_alias_value(k, equals + 1), err);
    char wanted[128], name[128];
    snprintf(wanted, sizeof wanted, "%.*s", (int)n, assignment);
    const recipe_key *near = recipe_key_nearest(wanted);
    return hct_fail(err, HCT_ENOTFOUND, "--set %s: no key '%s'%s%s%s", assignment, wanted,
                    near ? "; did you mean '" : "", near ? recipe_key_path(near, name) : "", near ? "'?" : "");
}

hct_status recipe_set_key(recipe *r, const char *key, const char *value, hct_err *err) {
    const recipe_key *k = recipe_key_find(key, strlen(key));
    if (!k) return hct_fail(err, HCT_ENOTFOUND, "no key '%s'", key);
    return value ? give(r, k, value, err) : HCT_OK;
}

hct_status recipe_number(const recipe *r, const char *key, double *ret, hct_err *err) {
    const recipe_key *k = recipe_key_find(key, strlen(key));
    const char *member = k ? (const char *)r + k->offset : NULL;
    int choice = 0;
    switch (k ? k->kind : KEY_TEXT) {
    case KEY_INT: *ret = (double)*(const int64_t *)(const void *)member; return HCT_OK;
    case KEY_REAL: *ret = *(const double *)(const void *)member; return HCT_OK;
    case KEY_BOOL: *ret = *(const bool *)member; return HCT_OK;
    case KEY_CHOICE:
        memcpy(&choice, member, sizeof choice);
        *ret = choice;
        return HCT_OK;
    default: return hct_fail(err, HCT_ENOTFOUND, "no key '%s' that holds a number", key);
    }
}

hct_status recipe_put_number(recipe *r, const char *key, double value, hct_err *err) {
    const recipe_key *k = recipe_key_find(key, strlen(key));
    char text[64];
    if (!k) return hct_fail(err, HCT_ENOTFOUND, "no key '%s'", key);
    text_of_double(value, text);
    if (k->kind == KEY_CHOICE) {
        const char *word = k->words;
        for (int n = (int)value; n > 0 && word; n--) word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL;
        snprintf(text, sizeof text, "%.*s", (int)(word ? strcspn(word, "|") : 0), word ? word : "");
    }
    return recipe_key_assign(k, text, r, err);
}

const char *recipe_approach(const recipe *r) {
    /* by recipe_probe */
    static const char *const probes[] = {"linear probe", "attentive probe", "AB-MIL probe"},
                             *const given[] = {"embeddings, linear probe", "embeddings, attentive probe",
                                               "embeddings, AB-MIL probe"},
                             *const heads[] = {"linear head", "attentive head", "AB-MIL head"};
    if (recipe_probes(r))
        return r->probe.features == FEATURES_HISTOGRAM    ? "histogram"
               : r->probe.features == FEATURES_RANDOM     ? "random encoder"
               : r->probe.features == FEATURES_EMBEDDINGS ? given[r->probe.kind]
                                                          : probes[r->probe.kind];
    if (!recipe_finetunes(r)) return "pre-training";
    if (r->finetune.init == START_RANDOM) return "from scratch";
    return r->finetune.backbone == BACKBONE_FULL   ? "fine-tuned"
           : r->finetune.backbone == BACKBONE_LORA ? "low-rank tuned"
                                                   : heads[r->finetune.head];
}

hct_status recipe_check(const recipe *r, hct_err *err) {
    hct_status status = views_check(&r->views, err);
    if (status < 0) return status;
    bool pretrains = recipe_pretrains(r);
    if (r->train.precision != PRECISION_F32 && (!pretrains || r->optim.name == OPTIMIZER_SGD))
        return hct_fail(err, HCT_EINVAL, "train.precision: bf16 is for pre-training (mae, dino) with adamw or adam");
    if (r->train.recompute && !pretrains)
        return hct_fail(err, HCT_EINVAL, "train.recompute: is for pre-training (mae, dino)");
    if (recipe_finetunes(r) && !(r->finetune.layer_decay > 0))
        return hct_fail(err, HCT_EINVAL, "finetune.layer_decay: must be above 0");
    if (recipe_probes(r) && (r->probe.features == FEATURES_EMBEDDINGS) != (*r->probe.embeddings != '\0'))
        return hct_fail(err, HCT_EINVAL, "probe: features embeddings and the file probe.embeddings go together");
    if (recipe_probes(r) && *r->probe.embeddings && *r->probe.weights)
        return hct_fail(err, HCT_EINVAL, "probe: weights and embeddings are both set; embeddings need no encoder");
    if (recipe_probes(r) && r->probe.protocol != PROTOCOL_PAPER && r->probe.kind != PROBE_LINEAR)
        return hct_fail(err, HCT_EINVAL, "probe.protocol: logistic and cvpr26 are linear; set probe.kind=linear");
    if (*r->probe.embedding_ids && !*r->probe.embeddings)
        return hct_fail(err, HCT_EINVAL, "probe.embedding_ids: is for probe.embeddings, which is not set");
    if (r->data.patients && r->data.fraction < 1)
        return hct_fail(err, HCT_EINVAL,
                        "data: patients and fraction are both set; set patients to 0, or fraction to 1");
    if (!(r->optim.lr > 0)) return hct_fail(err, HCT_EINVAL, "optim.lr: must be above 0");
    if (r->optim.warmup_epochs > 0 && r->optim.warmup_fraction > 0)
        return hct_fail(err, HCT_EINVAL, "optim: warmup_epochs and warmup_fraction are both set; set one of them to 0");
    if (r->optim.warmup_epochs > (double)r->optim.epochs)
        return hct_fail(err, HCT_EINVAL, "optim.warmup_epochs: more than the %lld epochs of the run",
                        (long long)r->optim.epochs);
    if ((r->optim.clip_mode != CLIP_NONE) != (r->optim.clip > 0))
        return hct_fail(err, HCT_EINVAL, "optim: clip and clip_mode go together: a clip above 0 and global or tensor");
    return HCT_OK;
}

/* A YAML scalar in double quotes, which JSON's escapes make safe. */
static void quoted(text_buffer *out, const char *text) {
    text_add(out, "\"", 1);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\') text_printf(out, "\\%c", *c);
        else if ((unsigned char)*c < 32) text_printf(out, "\\x%02x", (unsigned char)*c);
        else text_add(out, c, 1);
    }
    text_add(out, "\"", 1);
}

void recipe_key_yaml(const recipe_key *k, const recipe *r, text_buffer *out) {
    char number[32], second[32];
    const char *member = (const char *)r + k->offset;
    if (k->kind == KEY_TEXT) {
        quoted(out, member);
    } else if (k->kind == KEY_LIST) {
        const recipe_list *list = (const recipe_list *)(const void *)member;
        text_add(out, "[", 1);
        for (int64_t i = 0; i < list->n; i++) {
            if (i) text_add(out, ", ", 2);
            quoted(out, list->item[i]);
        }
        text_add(out, "]", 1);
    } else if (k->kind == KEY_WINDOWS) {
        for (int64_t i = 0; i < r->data.windows.n; i++)
            text_printf(out, "%s{center: %s, width: %s}", i ? ", " : "[",
                        text_of_double(r->data.windows.at[i].center, number),
                        text_of_double(r->data.windows.at[i].width, second));
        text_add(out, "]", 1);
    } else {
        if (k->kind == KEY_PAIR) text_add(out, "[", 1);
        recipe_key_text(k, r, out);
        if (k->kind == KEY_PAIR) text_add(out, "]", 1);
    }
}

/* Whether a key that is newer than older recipes has its default. */
static bool is_left_out(const recipe_key *k, const recipe *r) {
    static const size_t size[] = {
        [KEY_INT] = sizeof(int64_t),      [KEY_REAL] = sizeof(double),     [KEY_BOOL] = sizeof(bool),
        [KEY_CHOICE] = sizeof(int),       [KEY_WORD] = RECIPE_WORD,        [KEY_TEXT] = RECIPE_TEXT,
        [KEY_LIST] = sizeof(recipe_list), [KEY_PAIR] = 2 * sizeof(double), [KEY_WINDOWS] = sizeof r->data.windows,
    };
    if (!k->later) return false;
    const recipe start = recipe_default();
    return !memcmp((const char *)r + k->offset, (const char *)&start + k->offset, size[k->kind]);
}

void recipe_text(const recipe *r, text_buffer *out) {
    for (const char *const *s = recipe_sections; *s; s++) {
        int depth = **s ? 1 + (strchr(*s, '.') != NULL) : 0;
        const char *last = strrchr(*s, '.');
        bool any = false;
        for (size_t i = 0; i < recipe_key_count && !any; i++)
            any = !strcmp(recipe_keys[i].section, *s) && !is_left_out(&recipe_keys[i], r);
        if (!any) continue;
        if (depth) text_printf(out, "%*s%s:\n", 2 * (depth - 1), "", last ? last + 1 : *s);
        for (size_t i = 0; i < recipe_key_count; i++) {
            if (strcmp(recipe_keys[i].section, *s) != 0 || is_left_out(&recipe_keys[i], r)) continue;
            text_printf(out, "%*s%s: ", 2 * depth, "", recipe_keys[i].key);
            recipe_key_yaml(&recipe_keys[i], r, out);
            text_add(out, "\n", 1);
        }
    }
}

hct_status recipe_hash(const recipe *r, char hex[65], hct_err *err) {
    text_buffer text = {0};
    recipe_text(r, &text);
    const char *whole = text_get(&text, "the recipe's text", err);
    hct_status status = whole ? sha256_bytes(whole, text_length(&text), hex, err) : HCT_ENOMEM;
    text_free(&text);
    return status;
}

int64_t recipe_effective_batch(const recipe *r, int64_t ranks) { return r->optim.batch * r->optim.accumulate * ranks; }

lr_schedule recipe_schedule(const recipe *r, int64_t steps_per_epoch, int64_t ranks) {
    lr_schedule s = {.kind = r->optim.schedule, .base = r->optim.lr, .total = r->optim.epochs * steps_per_epoch};
    if (r->optim.scale_lr_by_batch) s.base = schedule_scaled_lr(s.base, (double)recipe_effective_batch(r, ranks));
    s.min = s.base * r->optim.min_lr_ratio;
    s.warmup = (int64_t)(r->optim.warmup_epochs > 0 ? r->optim.warmup_epochs * (double)steps_per_epoch
                                                    : r->optim.warmup_fraction * (double)s.total);
    return s;
}

double recipe_weight_decay(const recipe *r, int64_t step, int64_t total) {
    double start = r->optim.weight_decay, end = r->optim.weight_decay_end;
    return end < 0 ? start : schedule_cosine(start, end, step, total);
}
