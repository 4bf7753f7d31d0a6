/* Weights files: written with their description, read, held to their tensors, hashed. */
#include "models/weights.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/log.h"
#include "models/description.h"
#include "support/sha256.h"

#define OLDER_FORMAT "headct-weights/1"
#define PARTS_FORMAT "headct-parts/1"

static void put_three(json_out *j, const char *key, const double v[3]) {
    json_array(j, key);
    for (int a = 0; a < 3; a++) json_number(j, NULL, v[a]);
    json_end(j);
}

static void put_pair(json_out *j, double a, double b) {
    json_array(j, NULL);
    json_number(j, NULL, a);
    json_number(j, NULL, b);
    json_end(j);
}

static void put_input(json_out *j, const input_spec *s) {
    json_object(j, "input");
    if (*s->form) json_text(j, "form", s->form);
    put_three(j, "spacing", s->spacing);
    json_text(j, "axes", s->axes);
    put_three(j, "crop", (double[]){(double)s->crop[0], (double)s->crop[1], (double)s->crop[2]});
    put_three(j, "size", (double[]){(double)s->size[0], (double)s->size[1], (double)s->size[2]});
    json_text(j, "order", s->order);
    json_array(j, "windows");
    for (int i = 0; i < s->n_windows; i++) put_pair(j, s->window[i].centre, s->window[i].width);
    json_end(j);
    json_array(j, "scale");
    for (int i = 0; i < s->n_windows; i++) put_pair(j, s->mean[i], s->deviation[i]);
    json_end(j);
    json_end(j);
}

static const char *kind_name(const model_info *info) {
    if (info->role == MODEL_PRETRAINING) return info->pretext.kind->name;
    return info->role == MODEL_CLASSIFIER ? "classifier" : "encoder";
}

char *weights_describe(const model_info *info, hct_err *err) {
    json_out j = {0};
    json_object(&j, NULL);
    json_text(&j, "kind", kind_name(info));
    json_object(&j, "encoder");
    json_text(&j, "kind", info->encoder.kind->name);
    fields_write(info->encoder.kind->fields, info->encoder.own, &j);
    json_end(&j);
    put_input(&j, &info->encoder.input);
    if (info->role == MODEL_PRETRAINING) {
        json_object(&j, info->pretext.kind->name);
        fields_write(info->pretext.kind->fields, info->pretext.own, &j);
        json_end(&j);
    }
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

/* ---- a description is held to the tensors, before anything is allocated after it ---- */

static hct_status check_pretext_sizes(const hct_st_entry *sorted, size_t n, const char *path, const model_info *info,
                                      hct_err *err) {
    const pretext *told = &info->pretext;
    pretext held = *told;
    hct_status st = pretext_check(told, &info->encoder, err);
    if (st == HCT_OK && told->kind->sizes) st = told->kind->sizes(sorted, n, path, &info->encoder, &held, err);
    return st == HCT_OK ? fields_compare(told->kind->fields, told->own, held.own, told->kind->untold, err) : st;
}

static hct_status check_sizes(const hct_st_file *f, const char *path, const model_info *info, hct_err *err) {
    size_t n = hct_st_count(f);
    const hct_st_entry *sorted = n ? hct_st_at(f, 0) : NULL;
    const encoder *told = &info->encoder;
    encoder held = *told;
    hct_status st = encoder_check(told, err);
    if (st == HCT_OK && told->kind->sizes) st = told->kind->sizes(sorted, n, path, &held, err);
    if (st == HCT_OK) st = fields_compare(told->kind->fields, told->own, held.own, told->kind->untold, err);
    for (int a = 0; st == HCT_OK && a < 3; a++)
        if (told->input.size[a] != held.input.size[a])
            st = hct_fail(err, HCT_EFORMAT, "its input is %lld voxels along an axis there, for its tensors %lld",
                          (long long)told->input.size[a], (long long)held.input.size[a]);
    if (st == HCT_OK && told->input.n_windows != held.input.n_windows)
        st = hct_fail(err, HCT_EFORMAT, "it has %d windows there, its tensors take %d channels", told->input.n_windows,
                      held.input.n_windows);
    if (st == HCT_OK && info->probe_heads && encoder_width(told) % info->probe_heads)
        st = hct_fail(err, HCT_EFORMAT, "%lld heads do not divide its width", (long long)info->probe_heads);
    return st == HCT_OK && info->role == MODEL_PRETRAINING ? check_pretext_sizes(sorted, n, path, info, err) : st;
}

hct_status weights_read_description(const char *text, const char *format, model_info *ret, hct_err *err) {
    int older = format && !strcmp(format, OLDER_FORMAT);
    if (!older && (!format || strcmp(format, WEIGHTS_FORMAT) != 0))
        return hct_fail(err, HCT_EVERSION, "its description is of the format '%s': use a newer headct",
                        format ? format : "none");
    return description_read(text, older, ret, err);
}

hct_status weights_info(const hct_st_file *f, const char *path, model_info *ret, hct_err *err) {
    const char *format = hct_st_meta(f, "format"), *text = hct_st_meta(f, "headct");
    int older = format && !strcmp(format, OLDER_FORMAT);
    if (!format || (!older && strcmp(format, WEIGHTS_FORMAT) != 0) || !text)
        return hct_fail(
            err, HCT_EFORMAT,
            "%s: holds no headct description (format '%s'); use a weights file that headct wrote, or 'headct import'",
            path, format ? format : "none");
    hct_err why = {0, ""};
    hct_status st = description_read(text, older, ret, &why);
    if (st == HCT_OK) st = check_sizes(f, path, ret, &why);
    if (st == HCT_EINVAL) st = HCT_EFORMAT; /* sizes that no model has are the file's fault */
    return st < 0 ? hct_fail(err, st, "%s: its description is damaged: %.900s", path, why.msg) : HCT_OK;
}

/* CRC-32 of names and bytes, summed, so that the order in the file does not matter. */
static uint32_t sum_of(const hct_st_entry *e, size_t n) {
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += libdeflate_crc32(libdeflate_crc32(0, e[i].name, strlen(e[i].name)), e[i].data, e[i].bytes);
    return sum;
}

hct_status weights_check_bytes(const hct_st_file *f, const char *path, hct_err *err) {
    const char *told = hct_st_meta(f, "crc32");
    uint32_t sum = 0;
    for (size_t i = 0; told && i < hct_st_count(f); i++) sum += sum_of(hct_st_at(f, i), 1);
    return !told || strtoul(told, NULL, 16) == sum
               ? HCT_OK
               : hct_fail(err, HCT_EFORMAT, "%s: its bytes are not those that were written (CRC-32 %08x, not %.8s)",
                          path, (unsigned)sum, told);
}

hct_status weights_write(const char *path, const hct_st_entry *entries, size_t n, const model_info *info,
                         const hct_st_pair *extra_meta, size_t n_meta, hct_err *err) {
    char sum[16], *text = info ? weights_describe(info, err) : NULL;
    if (info && !text) return HCT_ENOMEM;
    hct_st_pair *meta = calloc(n_meta + 3, sizeof *meta);
    hct_status st = meta ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (st == HCT_OK) {
        size_t m = 0;
        meta[m++] = (hct_st_pair){"format", info ? WEIGHTS_FORMAT : PARTS_FORMAT};
        if (info) meta[m++] = (hct_st_pair){"headct", text};
        snprintf(sum, sizeof sum, "%08x", (unsigned)sum_of(entries, n));
        meta[m++] = (hct_st_pair){"crc32", sum};
        if (n_meta) memcpy(meta + m, extra_meta, n_meta * sizeof *meta);
        st = hct_st_write(path, entries, n, meta, m + n_meta, err);
    }
    free(meta);
    free(text);
    return st;
}

hct_status weights_save(const char *path, const params *p, const model_info *info, const hct_st_pair *extra_meta,
                        size_t n_meta, hct_err *err) {
    hct_st_entry *entries = NULL;
    void *bytes = NULL;
    hct_status st = params_entries(p, &entries, &bytes, err);
    if (st == HCT_OK) st = weights_write(path, entries, p->n, info, extra_meta, n_meta, err);
    free(entries);
    free(bytes);
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

void weights_warn_preparation(const char *path, const model_info *info, const char *scans) {
    if (!*info->preprocessing || !*scans || !strcmp(info->preprocessing, scans)) return;
    hct_log(HCT_LOG_WARNING,
            "%s was trained on scans of another preparation (%.12s) than these (%.12s): prepare them with the options "
            "of headct prepare that its training set had (--center, --like-monai, ...), or expect other results",
            path, info->preprocessing, scans);
}
