/* Reading the description of a weights file: today's form, and that of headct 0.1. */
#include "models/probe.h"
#include "models/description.h"

#include <stdio.h>
#include <string.h>

#include "models/vit_encoder.h"
#include "models/vit_mae.h"

static const cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_of(const cJSON *object, const char *name) {
    const char *s = cJSON_GetStringValue(member(object, name));
    return s ? s : "";
}

static hct_status damaged(hct_err *err, const char *what) {
    return hct_fail(err, HCT_EFORMAT, "'%s' is missing or impossible", what);
}

/* ---- input ---- */

static int read_three(const cJSON *list, double ret[3]) {
    if (cJSON_GetArraySize(list) != 3) return 0;
    for (int i = 0; i < 3; i++) {
        const cJSON *v = cJSON_GetArrayItem(list, i);
        if (!cJSON_IsNumber(v) || !(v->valuedouble > -1e9 && v->valuedouble < 1e9)) return 0;
        ret[i] = v->valuedouble;
    }
    return 1;
}

/* Up to INPUT_WINDOWS pairs. */
static int read_pairs(const cJSON *list, double (*ret)[2], int *ret_n) {
    const cJSON *pair;
    *ret_n = 0;
    if (!cJSON_IsArray(list)) return 0;
    cJSON_ArrayForEach(pair, list) {
        const cJSON *a = cJSON_GetArrayItem(pair, 0), *b = cJSON_GetArrayItem(pair, 1);
        if (*ret_n == INPUT_WINDOWS || !cJSON_IsNumber(a) || !cJSON_IsNumber(b)) return 0;
        ret[*ret_n][0] = a->valuedouble;
        ret[(*ret_n)++][1] = b->valuedouble;
    }
    return 1;
}

static int read_windows(const cJSON *list, input_spec *s) {
    double pair[INPUT_WINDOWS][2];
    if (!read_pairs(list, pair, &s->n_windows)) return 0;
    for (int i = 0; i < s->n_windows; i++) s->window[i] = (hu_window){pair[i][0], pair[i][1]};
    return 1;
}

static hct_status read_input(const cJSON *j, input_spec *s, hct_err *err) {
    double three[3], scale[INPUT_WINDOWS][2];
    int n = 0;
    *s = input_cube(NULL, 0, 1, 1);
    if (!read_windows(member(j, "windows"), s)) return damaged(err, "input.windows");
    if (!read_three(member(j, "spacing"), s->spacing)) return damaged(err, "input.spacing");
    if (!read_three(member(j, "crop"), three)) return damaged(err, "input.crop");
    for (int a = 0; a < 3; a++) s->crop[a] = (int64_t)three[a];
    if (!read_three(member(j, "size"), three)) return damaged(err, "input.size");
    for (int a = 0; a < 3; a++) s->size[a] = (int64_t)three[a];
    if (member(j, "scale") && (!read_pairs(member(j, "scale"), scale, &n) || n != s->n_windows))
        return damaged(err, "input.scale");
    for (int i = 0; i < n; i++) s->mean[i] = scale[i][0], s->deviation[i] = scale[i][1];
    snprintf(s->form, sizeof s->form, "%s", text_of(j, "form"));
    snprintf(s->axes, sizeof s->axes, "%s", text_of(j, "axes"));
    snprintf(s->order, sizeof s->order, "%s", text_of(j, "order"));
    return HCT_OK;
}

/* ---- the model ---- */

static hct_status read_encoder(const cJSON *j, encoder *e, hct_err *err) {
    const char *name = text_of(j, "kind");
    const encoder_kind *kind = encoder_find(name);
    if (!kind)
        return hct_fail(err, HCT_EFORMAT,
                        "it is of an encoder '%s', which this headct does not know; use a newer headct", name);
    input_spec input = e->input;
    *e = (encoder){.kind = kind, .input = input};
    return fields_read(kind->fields, j, e->own, err);
}

static hct_status read_pretext(const cJSON *root, const char *name, model_info *ret, hct_err *err) {
    const pretext_kind *kind = pretext_find(name);
    ret->role = kind ? MODEL_PRETRAINING : MODEL_ENCODER;
    if (!kind) return HCT_OK; /* of a method that came later, or of somebody's own: its encoder is of use */
    ret->pretext = (pretext){.kind = kind};
    return fields_read(kind->fields, member(root, name), ret->pretext.own, err);
}

static hct_status read_model(const cJSON *root, model_info *ret, hct_err *err) {
    const char *kind = text_of(root, "kind");
    if (!*kind) return damaged(err, "kind");
    hct_status st = read_input(member(root, "input"), &ret->encoder.input, err);
    if (st == HCT_OK) st = read_encoder(member(root, "encoder"), &ret->encoder, err);
    if (st < 0) return st;
    if (!strcmp(kind, "encoder") || !strcmp(kind, "classifier")) {
        ret->role = *kind == 'c' ? MODEL_CLASSIFIER : MODEL_ENCODER;
        return HCT_OK;
    }
    return read_pretext(root, kind, ret, err);
}

/* headct 0.1: kind mae, vit, classifier or dino; windows, crop and pool at the top; "model" holds the sizes of a
 * vit, its image and channels, and of a decoder. */
static hct_status read_older(const cJSON *root, model_info *ret, hct_err *err) {
    const char *kind = text_of(root, "kind");
    const cJSON *model = member(root, "model"), *crop = member(root, "crop"), *image = member(model, "image"),
                *channels = member(model, "channels");
    input_spec windows = {0};
    if (!cJSON_IsNumber(crop) || !(crop->valuedouble >= 1 && crop->valuedouble <= 4096)) return damaged(err, "crop");
    if (!cJSON_IsNumber(image) || !(image->valuedouble >= 1 && image->valuedouble <= 4096))
        return damaged(err, "image");
    if (!read_windows(member(root, "windows"), &windows) || !cJSON_IsNumber(channels) ||
        channels->valuedouble != windows.n_windows)
        return damaged(err, "windows");
    ret->encoder.kind = &encoder_vit;
    ret->encoder.input =
        input_cube(windows.window, windows.n_windows, (int64_t)crop->valuedouble, (int64_t)image->valuedouble);
    hct_status st = fields_read(encoder_vit.fields, model, ret->encoder.own, err);
    if (st < 0 || !strcmp(kind, "vit") || !strcmp(kind, "classifier")) {
        ret->role = !strcmp(kind, "vit") ? MODEL_ENCODER : MODEL_CLASSIFIER;
        return st;
    }
    ret->pretext.kind = pretext_find(kind);
    ret->role = MODEL_PRETRAINING;
    if (!ret->pretext.kind) return damaged(err, "kind");
    const cJSON *own = ret->pretext.kind == &pretext_mae ? model : member(root, kind);
    return fields_read(ret->pretext.kind->fields, own, ret->pretext.own, err);
}

/* ---- the rest ---- */

static hct_status read_tasks(const cJSON *root, model_info *ret, hct_err *err) {
    const cJSON *v;
    cJSON_ArrayForEach(v, member(root, "tasks")) {
        if (ret->n_tasks == MODEL_TASKS || !cJSON_IsString(v) || strlen(v->valuestring) >= MODEL_NAME ||
            text_control(v->valuestring))
            return damaged(err, "tasks");
        snprintf(ret->task[ret->n_tasks++], MODEL_NAME, "%s", v->valuestring);
    }
    return HCT_OK;
}

static void read_hash(const cJSON *root, const char *key, char out[MODEL_HASH]) {
    snprintf(out, MODEL_HASH, "%s", text_of(root, key));
}

hct_status description_read(const char *text, int older, model_info *ret, hct_err *err) {
    cJSON *root = cJSON_Parse(text);
    *ret = (model_info){0};
    hct_status st = cJSON_IsObject(root) ? (older ? read_older : read_model)(root, ret, err)
                                         : hct_fail(err, HCT_EFORMAT, "it is no JSON object");
    if (st == HCT_OK) st = read_tasks(root, ret, err);
    const cJSON *heads = member(root, "probe_heads"); /* absent: linear */
    if (st == HCT_OK && cJSON_IsNumber(heads)) {
        if (!(heads->valuedouble >= HEAD_MIL && heads->valuedouble <= 65536)) st = damaged(err, "probe_heads");
        else ret->probe_heads = (int64_t)heads->valuedouble;
    }
    ret->pool_mean = !strcmp(text_of(root, "pool"), "mean");
    read_hash(root, "recipe_sha256", ret->recipe);
    read_hash(root, "preprocessing_sha256", ret->preprocessing);
    read_hash(root, "data_sha256", ret->data);
    read_hash(root, "parent_weights_sha256", ret->parent);
    cJSON_Delete(root);
    return st;
}
