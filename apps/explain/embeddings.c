/* Files of embeddings, read. */
#include "explain/embeddings.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "dataset/labels.h"
#include "hct/safetensors.h"
#include "support/paths.h"

void embeddings_free(embeddings *e) {
    free(e->x);
    predictions_free(&e->scans);
    *e = (embeddings){0};
}

/* A list of n texts; NULL where the metadata has none. */
static cJSON *list_of(const hct_st_file *f, const char *key, size_t n) {
    const char *text = hct_st_meta(f, key);
    cJSON *list = cJSON_Parse(text ? text : "");
    if (cJSON_IsArray(list) && (size_t)cJSON_GetArraySize(list) == n) return list;
    cJSON_Delete(list);
    return NULL;
}

static const char *text_at(const cJSON *item) {
    const char *text = cJSON_GetStringValue(item);
    return text ? text : "";
}

static hct_status take(const char *path, const hct_st_file *f, const hct_st_entry *rows, const char *split,
                       embeddings *e, hct_err *err) {
    size_t all = (size_t)rows->dim[0], n = 0, at = 0;
    cJSON *ids = list_of(f, "scans", all), *patients = list_of(f, "patients", all), *splits = list_of(f, "splits", all);
    float *x = malloc(all * (size_t)rows->dim[1] * sizeof *x + 1);
    hct_status st = x ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (st == HCT_OK && !ids)
        st =
            hct_fail(err, HCT_EFORMAT, "%s: its metadata does not list the scans; headct embed makes such files", path);
    if (st == HCT_OK && split && !splits) st = hct_fail(err, HCT_EFORMAT, "%s: its metadata lists no splits", path);
    if (st == HCT_OK) st = hct_st_to_f32(rows, x, err);
    const cJSON *s = splits ? splits->child : NULL;
    for (const cJSON *q = s; split && q; q = q->next) n += !strcmp(text_at(q), split);
    if (!split) n = all;
    if (st == HCT_OK && n == 0)
        st = hct_fail(err, HCT_ENOTFOUND, "%s: holds no scan%s%s", path, split ? " of split " : "", split ? split : "");
    if (st == HCT_OK) st = predictions_alloc(n, 0, &e->scans, err);
    e->n = n;
    e->width = (size_t)rows->dim[1];
    const cJSON *id = ids ? ids->child : NULL, *patient = patients ? patients->child : NULL;
    for (size_t i = 0; st == HCT_OK && i < all; i++) {
        if (!split || !strcmp(text_at(s), split)) {
            memmove(x + at * e->width, x + i * e->width, e->width * sizeof *x);
            for (size_t k = 0; k < e->width && st == HCT_OK; k++)
                if (!isfinite(x[at * e->width + k]))
                    st = hct_fail(err, HCT_EFORMAT, "%s: the embedding of scan '%s' is not finite", path, text_at(id));
            if (st == HCT_OK) st = predictions_text(&e->scans.scan[at], text_at(id), err);
            if (st == HCT_OK && patient) st = predictions_text(&e->scans.patient[at], text_at(patient), err);
            if (st == HCT_OK && s) st = predictions_text(&e->scans.split[at], text_at(s), err);
            at++;
        }
        id = id->next;
        patient = patient ? patient->next : NULL;
        s = s ? s->next : NULL;
    }
    e->x = x;
    cJSON_Delete(ids);
    cJSON_Delete(patients);
    cJSON_Delete(splits);
    return st;
}

hct_status embeddings_read(const char *path, const char *split, embeddings *ret, hct_err *err) {
    hct_st_file *f = hct_st_open(path, err);
    if (!f) return err ? err->code : HCT_EFORMAT;
    const hct_st_entry *rows = hct_st_find(f, "embeddings");
    embeddings e = {0};
    hct_status st = rows && rows->ndim == 2 ? take(path, f, rows, split, &e, err)
                                            : hct_fail(err, HCT_EFORMAT,
                                                       "%s: holds no tensor 'embeddings' [scans, width]; headct embed "
                                                       "makes such files",
                                                       path);
    hct_st_close(f);
    if (st == HCT_OK) st = predictions_refuse_twins(path, &e.scans, err);
    if (st == HCT_OK) *ret = e;
    else embeddings_free(&e);
    return st;
}

/* predictions_take_labels looks for tasks by name: those that the source has. */
static hct_status name_labels(predictions *p, const char *const *names, size_t n, hct_err *err) {
    predictions named = {0};
    hct_status st = predictions_alloc(p->n, n, &named, err);
    for (size_t i = 0; i < p->n && st == HCT_OK; i++) {
        st = predictions_text(&named.scan[i], p->scan[i], err);
        if (st == HCT_OK) st = predictions_text(&named.patient[i], p->patient[i], err);
        if (st == HCT_OK) st = predictions_text(&named.split[i], p->split[i], err);
    }
    for (size_t k = 0; k < n && st == HCT_OK; k++) st = predictions_text(&named.task[k], names[k], err);
    if (st < 0) {
        predictions_free(&named);
        return st;
    }
    predictions_free(p);
    *p = named;
    return HCT_OK;
}

hct_status embeddings_label(embeddings *e, const char *source, hct_err *err) {
    hct_status st;
    size_t scans = 0, tasks = 0;
    if (path_is_folder(source)) {
        dataset *d = dataset_open(source, err);
        if (!d) return err ? err->code : HCT_ENOTFOUND;
        st = name_labels(&e->scans, (const char *const *)d->label_names, d->n_labels, err);
        dataset_close(d);
    } else {
        label_table t = {0};
        if ((st = labels_read(source, NULL, &t, err)) < 0) return st;
        st = name_labels(&e->scans, t.names, t.n, err);
        labels_free(&t);
    }
    if (st == HCT_OK) st = predictions_take_labels(&e->scans, source, &scans, &tasks, err);
    if (st == HCT_OK && (!scans || !tasks))
        st = hct_fail(err, HCT_ENOTFOUND, "%s: has labels of %zu of the %zu scans", source, scans, e->n);
    return st;
}
