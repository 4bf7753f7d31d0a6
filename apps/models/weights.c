/* Weights files: the description in their metadata, written, read and held to the tensors. */
#include "models/weights.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/geometry.h"
#include "support/json_out.h"
#include "support/sha256.h"

#define FORMAT "headct-weights/1"

static const char *const kinds[] = {"mae", "vit", "classifier", "dino"};

/* One table for both directions. */
typedef struct field {
    const char *name;
    size_t at;
    enum { WHOLE, REAL_, FLAG, LATER /* a flag that older files lack: false */ } type;
} field;
#define E(name, member, type)                                                                                          \
    { name, offsetof(mae_config, encoder) + offsetof(vit_config, member), type }
#define M(name, member, type)                                                                                          \
    { name, offsetof(mae_config, member), type }
static const field fields[] = {E("image", image, WHOLE),
                               E("patch", patch, WHOLE),
                               E("channels", channels, WHOLE),
                               E("width", width, WHOLE),
                               E("depth", depth, WHOLE),
                               E("heads", heads, WHOLE),
                               E("mlp", mlp, WHOLE),
                               E("registers", registers, WHOLE),
                               E("qkv_bias", qkv_bias, FLAG),
                               E("position_trained", position_trained, FLAG),
                               E("init_normal", init_normal, LATER),
                               E("norm_eps", norm_eps, REAL_),
                               M("decoder_width", width, WHOLE),
                               M("decoder_depth", depth, WHOLE),
                               M("decoder_heads", heads, WHOLE),
                               M("decoder_mlp", mlp, WHOLE),
                               M("decoder_bias", decoder_bias, FLAG),
                               M("mask_ratio", mask_ratio, REAL_),
                               M("norm_pix", normalize, FLAG)};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static void put_model(json_out *j, const mae_config *c) {
    json_object(j, "model");
    for (int i = 0; i < N_FIELDS; i++) {
        const char *at = (const char *)c + fields[i].at;
        if (fields[i].type == WHOLE) json_whole(j, fields[i].name, *(const int64_t *)(const void *)at);
        if (fields[i].type >= FLAG) json_bool(j, fields[i].name, *(const int *)(const void *)at);
        if (fields[i].type == REAL_) json_number(j, fields[i].name, *(const double *)(const void *)at);
    }
    json_end(j);
}

static void put_dino(json_out *j, const dino_head *h) {
    json_object(j, "dino");
    json_whole(j, "hidden", h->hidden);
    json_whole(j, "bottleneck", h->bottleneck);
    json_whole(j, "prototypes", h->prototypes);
    json_bool(j, "batch_norm", h->batch_norm);
    json_end(j);
}

static int read_dino(const cJSON *j, dino_head *h) {
    const cJSON *v[] = {cJSON_GetObjectItemCaseSensitive(j, "hidden"),
                        cJSON_GetObjectItemCaseSensitive(j, "bottleneck"),
                        cJSON_GetObjectItemCaseSensitive(j, "prototypes")};
    for (int i = 0; i < 3; i++)
        if (!cJSON_IsNumber(v[i]) || !(v[i]->valuedouble >= 1 && v[i]->valuedouble <= 1e9)) return 0;
    *h = (dino_head){(int64_t)v[0]->valuedouble, (int64_t)v[1]->valuedouble, (int64_t)v[2]->valuedouble,
                     cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "batch_norm"))};
    return 1;
}

static int read_model(const cJSON *j, mae_config *c) {
    for (int i = 0; i < N_FIELDS; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, fields[i].name);
        char *at = (char *)c + fields[i].at;
        if (fields[i].type == LATER && !v) continue;
        if (fields[i].type >= FLAG ? !cJSON_IsBool(v) : !cJSON_IsNumber(v)) return 0;
        if (fields[i].type < FLAG && !(v->valuedouble >= -1e9 && v->valuedouble <= 1e9)) return 0;
        if (fields[i].type == WHOLE) *(int64_t *)(void *)at = (int64_t)v->valuedouble;
        if (fields[i].type >= FLAG) *(int *)(void *)at = cJSON_IsTrue(v);
        if (fields[i].type == REAL_) *(double *)(void *)at = v->valuedouble;
    }
    return 1;
}

char *weights_describe(const model_info *info, hct_err *err) {
    json_out j = {0};
    json_object(&j, NULL);
    json_text(&j, "kind", kinds[info->kind]);
    put_model(&j, &info->mae);
    if (info->kind == MODEL_DINO) put_dino(&j, &info->dino);
    json_array(&j, "windows");
    for (int i = 0; i < info->n_windows; i++) {
        json_array(&j, NULL);
        json_number(&j, NULL, info->window[i].centre);
        json_number(&j, NULL, info->window[i].width);
        json_end(&j);
    }
    json_end(&j);
    json_whole(&j, "crop", info->crop);
    json_text(&j, "pool", info->pool_mean ? "mean" : "cls");
    json_whole(&j, "probe_heads", info->probe_heads);
    json_array(&j, "tasks");
    for (int i = 0; i < info->n_tasks; i++) json_text(&j, NULL, info->task[i]);
    json_end(&j);
    json_text(&j, "recipe_sha256", info->recipe);
    json_text(&j, "preprocessing_sha256", info->preprocessing);
    json_text(&j, "data_sha256", info->data);
    json_text(&j, "parent_weights_sha256", info->parent);
    json_end(&j);
    return json_take(&j, "the weights' description", err);
}

static int read_lists(const cJSON *j, model_info *info) {
    const cJSON *windows = cJSON_GetObjectItemCaseSensitive(j, "windows"),
                *tasks = cJSON_GetObjectItemCaseSensitive(j, "tasks"), *v;
    cJSON_ArrayForEach(v, windows) {
        const cJSON *centre = cJSON_GetArrayItem(v, 0), *width = cJSON_GetArrayItem(v, 1);
        if (info->n_windows == MODEL_WINDOWS || !cJSON_IsNumber(centre) || !cJSON_IsNumber(width) ||
            !(width->valuedouble > 0))
            return 0;
        info->window[info->n_windows++] = (hu_window){centre->valuedouble, width->valuedouble};
    }
    cJSON_ArrayForEach(v, tasks) {
        if (info->n_tasks == MODEL_TASKS || !cJSON_IsString(v) || strlen(v->valuestring) >= MODEL_NAME) return 0;
        if (text_control(v->valuestring)) return 0;
        strcpy(info->task[info->n_tasks++], v->valuestring);
    }
    return info->n_windows == info->mae.encoder.channels;
}

/* ---- a description is held to the tensors, before anything is allocated after it ---- */

typedef struct size_pair {
    const char *what;
    int64_t told, held; /* by the description, by the tensors */
} size_pair;

static hct_status compare_sizes(const char *path, const size_pair *pair, size_t n, hct_err *err) {
    for (size_t i = 0; i < n; i++)
        if (pair[i].told != pair[i].held)
            return hct_fail(err, HCT_EFORMAT, "%s: its description is damaged: %s is %lld there, its tensors have %lld",
                            path, pair[i].what, (long long)pair[i].told, (long long)pair[i].held);
    return HCT_OK;
}

/* Length of an axis of a tensor; 0 where there is no such tensor or axis. */
static int64_t axis_of(const hct_st_file *f, const char *name, int axis) {
    const hct_st_entry *e = hct_st_find(f, name);
    return e && axis < e->ndim ? e->dim[axis] : 0;
}

static hct_status check_sizes(const hct_st_file *f, const char *path, const model_info *info, hct_err *err) {
    size_t n = hct_st_count(f);
    const hct_st_entry *sorted = n ? hct_st_at(f, 0) : NULL;
    const mae_config *told = &info->mae;
    const vit_config *a = &told->encoder;
    mae_config held = {0};
    vit_config *b = &held.encoder;
    hct_status st = geometry_of_vit(sorted, n, path, a->heads, a->norm_eps, b, err);
    const size_pair encoder[] = {
        {"image", a->image, b->image},
        {"patch", a->patch, b->patch},
        {"channels", a->channels, b->channels},
        {"width", a->width, b->width},
        {"depth", a->depth, b->depth},
        {"mlp", a->mlp, b->mlp},
        {"registers", a->registers, b->registers},
        {"qkv_bias", a->qkv_bias, b->qkv_bias},
    };
    if (st == HCT_OK) st = compare_sizes(path, encoder, sizeof encoder / sizeof *encoder, err);
    if (st == HCT_OK && info->kind == MODEL_MAE) st = geometry_of_decoder(sorted, n, path, told->heads, &held, err);
    const size_pair decoder[] = {
        {"decoder_width", told->width, held.width},
        {"decoder_depth", told->depth, held.depth},
        {"decoder_mlp", told->mlp, held.mlp},
        {"decoder_bias", told->decoder_bias, held.decoder_bias},
    };
    if (st == HCT_OK && info->kind == MODEL_MAE)
        st = compare_sizes(path, decoder, sizeof decoder / sizeof *decoder, err);
    const size_pair head[] = {
        {"hidden", info->dino.hidden, axis_of(f, "head.mlp.0.weight", 0)},
        {"bottleneck", info->dino.bottleneck, axis_of(f, "head.last_layer.weight_v", 1)},
        {"prototypes", info->dino.prototypes, axis_of(f, "head.last_layer.weight_v", 0)},
    };
    if (st == HCT_OK && info->kind == MODEL_DINO) st = compare_sizes(path, head, sizeof head / sizeof *head, err);
    return st;
}

static void read_hash(const cJSON *j, const char *key, char out[MODEL_HASH]) {
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, key));
    snprintf(out, MODEL_HASH, "%s", s ? s : "");
}

hct_status weights_info(const hct_st_file *f, const char *path, model_info *ret, hct_err *err) {
    const char *format = hct_st_meta(f, "format"), *text = hct_st_meta(f, "headct");
    if (!format || strcmp(format, FORMAT) != 0 || !text)
        return hct_fail(
            err, HCT_EFORMAT,
            "%s: holds no headct description (format '%s'); use a weights file that headct wrote, or 'headct import'",
            path, format ? format : "none");
    cJSON *j = cJSON_Parse(text);
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "kind"));
    const cJSON *crop = cJSON_GetObjectItemCaseSensitive(j, "crop");
    *ret = (model_info){0};
    int found = 0;
    for (int i = 0; kind && i < (int)(sizeof kinds / sizeof *kinds); i++)
        if (!strcmp(kind, kinds[i])) ret->kind = (model_kind)i, found = 1;
    found = found && cJSON_IsNumber(crop) && crop->valuedouble >= 0 && crop->valuedouble <= 1e6 &&
            read_model(cJSON_GetObjectItemCaseSensitive(j, "model"), &ret->mae) && read_lists(j, ret) &&
            (ret->kind != MODEL_DINO || read_dino(cJSON_GetObjectItemCaseSensitive(j, "dino"), &ret->dino));
    if (found) {
        const char *pool = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "pool"));
        ret->crop = (int64_t)crop->valuedouble;
        ret->pool_mean = pool && !strcmp(pool, "mean");
        const cJSON *heads = cJSON_GetObjectItemCaseSensitive(j, "probe_heads"); /* absent in older files: linear */
        ret->probe_heads = cJSON_IsNumber(heads) && heads->valuedouble >= 0 && heads->valuedouble <= 65536
                               ? (int64_t)heads->valuedouble
                               : 0;
        found = !ret->probe_heads || (ret->mae.encoder.width > 0 && ret->mae.encoder.width % ret->probe_heads == 0);
        read_hash(j, "recipe_sha256", ret->recipe);
        read_hash(j, "preprocessing_sha256", ret->preprocessing);
        read_hash(j, "data_sha256", ret->data);
        read_hash(j, "parent_weights_sha256", ret->parent);
    }
    cJSON_Delete(j);
    hct_err why;
    if (!found) return hct_fail(err, HCT_EFORMAT, "%s: its description is damaged or incomplete", path);
    hct_status st = vit_check(&ret->mae.encoder, &why);
    if (st < 0) return hct_fail(err, HCT_EFORMAT, "%s: its description is impossible: %s", path, why.msg);
    return check_sizes(f, path, ret, err);
}

hct_status weights_save(const char *path, const params *p, const model_info *info, const hct_st_entry *extra,
                        size_t n_extra, const hct_st_pair *extra_meta, size_t n_meta, hct_err *err) {
    hct_st_entry *own = NULL;
    void *bytes = NULL;
    char *text = weights_describe(info, err);
    hct_st_pair *meta = calloc(n_meta + 2, sizeof *meta);
    hct_status st = !text  ? HCT_ENOMEM
                    : meta ? params_entries(p, &own, &bytes, err)
                           : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    hct_st_entry *all = st == HCT_OK ? calloc(p->n + n_extra + 1, sizeof *all) : NULL;
    if (all) {
        memcpy(all, own, p->n * sizeof *all);
        if (n_extra) memcpy(all + p->n, extra, n_extra * sizeof *all);
        meta[0] = (hct_st_pair){"format", FORMAT};
        meta[1] = (hct_st_pair){"headct", text};
        if (n_meta) memcpy(meta + 2, extra_meta, n_meta * sizeof *meta);
        st = hct_st_write(path, all, p->n + n_extra, meta, n_meta + 2, err);
    } else if (st == HCT_OK) {
        st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    }
    free(all);
    free(own);
    free(bytes);
    free(meta);
    free(text);
    return st;
}

hct_status weights_hash(const params *p, char ret[MODEL_HASH], hct_err *err) {
    uint64_t most = 1;
    for (size_t i = 0; i < p->n; i++)
        if (hct_tensor_bytes(p->items[i].tensor) > most) most = hct_tensor_bytes(p->items[i].tensor);
    void *bytes = malloc(most);
    if (!bytes) return hct_fail(err, HCT_ENOMEM, "out of memory for %llu bytes of weights", (unsigned long long)most);
    sha256 *h = sha256_begin();
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < p->n; i++) {
        const hct_tensor *t = p->items[i].tensor;
        const hct_view *v = hct_tensor_view(t);
        sha256_add(h, p->items[i].name, strlen(p->items[i].name) + 1);
        sha256_add(h, v->dim, (size_t)v->ndim * sizeof *v->dim);
        st = hct_tensor_read(t, bytes, err);
        sha256_add(h, bytes, hct_tensor_bytes(t));
    }
    hct_status ended = sha256_end(h, ret, err);
    free(bytes);
    return st < 0 ? st : ended;
}
