/* Files of embeddings, read. */
#include "explain/embeddings.h"

#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "dataset/labels.h"
#include "embeddings/table.h"
#include "support/paths.h"

void embeddings_free(embeddings *e) {
    free(e->x);
    predictions_free(&e->scans);
    *e = (embeddings){0};
}

static hct_status take(const char *path, const embedding_table *t, const char *split, embeddings *e, hct_err *err) {
    size_t n = 0, at = 0;
    if (split && !t->split) return hct_fail(err, HCT_EFORMAT, "%s: its metadata lists no splits", path);
    for (size_t i = 0; i < t->n; i++) n += !split || !strcmp(t->split[i], split);
    if (n == 0)
        return hct_fail(err, HCT_ENOTFOUND, "%s: holds no scan%s%s", path, split ? " of split " : "",
                        split ? split : "");
    hct_status st = predictions_alloc(n, 0, &e->scans, err);
    e->n = n;
    e->width = t->width;
    e->x = malloc(n * t->width * sizeof *e->x);
    if (st == HCT_OK && !e->x) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) {
        if (split && strcmp(t->split[i], split) != 0) continue;
        memcpy(e->x + at * t->width, t->x + i * t->width, t->width * sizeof *e->x);
        st = predictions_text(&e->scans.scan[at], t->id[i], err);
        if (st == HCT_OK && t->patient) st = predictions_text(&e->scans.patient[at], t->patient[i], err);
        if (st == HCT_OK && t->split) st = predictions_text(&e->scans.split[at], t->split[i], err);
        at++;
    }
    return st;
}

hct_status embeddings_read(const char *path, const char *ids, const char *split, embeddings *ret, hct_err *err) {
    embedding_table t = {0};
    embeddings e = {0};
    hct_status st = embedding_table_read(path, ids, &t, err);
    if (st == HCT_OK) embedding_table_pool(&t);
    if (st == HCT_OK) st = take(path, &t, split, &e, err);
    embedding_table_free(&t);
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
