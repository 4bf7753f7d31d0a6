/* From a recipe to the description of its model. */
#include "run/model.h"
#include "models/probe.h"

#include <string.h>

#include "hct/nearest.h"
#include "imaging/scan.h"
#include "support/sha256.h"

input_spec input_of_recipe(const recipe *r) {
    hu_window window[RECIPE_WINDOWS];
    for (int i = 0; i < (int)r->data.windows.n; i++)
        window[i] = (hu_window){r->data.windows.at[i].center, r->data.windows.at[i].width};
    return input_cube(window, (int)r->data.windows.n, r->data.crop, r->data.image);
}

static hct_status find_kind(const recipe *r, const encoder_kind **ret, hct_err *err) {
    const char *names[64];
    size_t n = 0;
    if ((*ret = encoder_find(r->model.kind))) return HCT_OK;
    text_buffer all = {0};
    for (const encoder_kind *const *k = encoder_kinds; *k && n < 64; k++) {
        text_printf(&all, "%s%s", n ? ", " : "", (*k)->name);
        names[n++] = (*k)->name;
    }
    const char *near = hct_name_nearest(r->model.kind, names, n);
    hct_fail(err, HCT_ENOTFOUND, "model.kind: no encoder '%s'; %s%s", r->model.kind,
             near ? "did you mean " : "there are ", near ? near : text_so_far(&all));
    text_free(&all);
    return HCT_ENOTFOUND;
}

/* Every size that has a key of the recipe. */
static hct_status fill(const recipe *r, const model_field *fields, void *own, hct_err *err) {
    hct_status st = HCT_OK;
    for (const model_field *f = fields; st == HCT_OK && f->name; f++) {
        double v;
        if (!f->key) continue;
        st = recipe_number(r, f->key, &v, err);
        if (st == HCT_OK) field_set(f, own, v);
    }
    return st;
}

hct_status model_of_recipe(const recipe *r, const pretext_kind *pretext, model_info *ret, hct_err *err) {
    const encoder_kind *kind;
    *ret = (model_info){.role = pretext ? MODEL_PRETRAINING : MODEL_CLASSIFIER, .pretext = {.kind = pretext}};
    hct_status st = find_kind(r, &kind, err);
    if (st < 0) return st;
    ret->encoder = encoder_default(kind);
    if (!kind->own_input) ret->encoder.input = input_of_recipe(r);
    st = fill(r, kind->fields, ret->encoder.own, err);
    if (st == HCT_OK && pretext) st = fill(r, pretext->fields, ret->pretext.own, err);
    if (st == HCT_OK && pretext && pretext->adjust) pretext->adjust(&ret->encoder);
    if (st == HCT_OK) st = encoder_check(&ret->encoder, err);
    if (st == HCT_OK && kind->beginnable) st = kind->beginnable(&ret->encoder, err);
    if (st == HCT_OK && pretext) st = pretext_check(&ret->pretext, &ret->encoder, err);
    ret->pool_mean = (recipe_finetunes(r) ? r->finetune.pool : r->probe.pool) == POOL_MEAN;
    if (recipe_probes(r) && r->probe.kind == PROBE_ATTENTIVE) ret->probe_heads = r->probe.heads;
    if (recipe_probes(r) && r->probe.kind == PROBE_MIL) ret->probe_heads = HEAD_MIL;
    char buffer[512];
    const char *steps = scan_preprocessing_with(&(scan_options){0}, buffer);
    if (st == HCT_OK) st = recipe_hash(r, ret->recipe, err);
    return st < 0 ? st : sha256_bytes(steps, strlen(steps), ret->preprocessing, err);
}

hct_status model_precision(params *p, const recipe *r, hct_err *err) {
    p->recompute = r->train.recompute;
    return params_compute(p, r->train.precision == PRECISION_BF16 ? HCT_BF16 : HCT_F32, err);
}
