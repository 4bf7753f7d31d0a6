/* Embeddings in safetensors: rows of one tensor, or a tensor a scan. */
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <string.h>

#include "embeddings/formats.h"
#include "hct/safetensors.h"

/* A list of n texts of the metadata; *ret stays NULL where there is none. */
static hct_status take_list(const char *path, const hct_st_file *f, const char *key, size_t n, char ***ret,
                            hct_err *err) {
    const char *text = hct_st_meta(f, key);
    if (!text) return HCT_OK;
    cJSON *list = cJSON_Parse(text);
    hct_status st = HCT_OK;
    if (!cJSON_IsArray(list) || (size_t)cJSON_GetArraySize(list) != n)
        st = hct_fail(err, HCT_EFORMAT, "%s: '%s' of its metadata is no list of %zu texts, one for each row", path, key,
                      n);
    if (st == HCT_OK && !(*ret = embedding_texts(path, n, err))) st = HCT_ENOMEM;
    size_t i = 0;
    for (const cJSON *item = list ? list->child : NULL; st == HCT_OK && item; item = item->next, i++) {
        const char *id = cJSON_GetStringValue(item);
        if (!id) st = hct_fail(err, HCT_EFORMAT, "%s: entry %zu of '%s' in its metadata is no text", path, i + 1, key);
        else st = embedding_text(&(*ret)[i], path, id, strlen(id), err);
    }
    cJSON_Delete(list);
    return st;
}

static hct_status take_rows(const char *path, const hct_st_file *f, const hct_st_entry *rows, embedding_table *t,
                            hct_err *err) {
    if (rows->ndim != 2 && rows->ndim != 3)
        return hct_fail(
            err, HCT_EFORMAT,
            "%s: tensor 'embeddings' has %d dimensions; [scans, width] or [scans, vectors, width] is needed", path,
            rows->ndim);
    size_t vectors = rows->ndim == 3 ? (size_t)rows->dim[1] : 1;
    hct_status st =
        embedding_table_alloc(t, path, (size_t)rows->dim[0], vectors, (size_t)rows->dim[rows->ndim - 1], err);
    if (st == HCT_OK) st = hct_st_to_f32(rows, t->x, err);
    if (st == HCT_OK) st = take_list(path, f, "scans", t->n, &t->id, err);
    if (st == HCT_OK) st = take_list(path, f, "patients", t->n, &t->patient, err);
    return st == HCT_OK ? take_list(path, f, "splits", t->n, &t->split, err) : st;
}

/* [width] or [vectors, width] */
static bool is_row(const hct_st_entry *e) { return e->ndim == 1 || e->ndim == 2; }
static size_t vectors_of(const hct_st_entry *e) { return e->ndim == 2 ? (size_t)e->dim[0] : 1; }

static hct_status take_each(const char *path, const hct_st_file *f, embedding_table *t, hct_err *err) {
    const hct_st_entry *first = hct_st_count(f) ? hct_st_at(f, 0) : NULL;
    size_t width = first && first->ndim ? (size_t)first->dim[first->ndim - 1] : 0;
    hct_status st = embedding_table_alloc(t, path, hct_st_count(f), first ? vectors_of(first) : 0, width, err);
    if (st == HCT_OK && !(t->id = embedding_texts(path, t->n, err))) st = HCT_ENOMEM;
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) {
        const hct_st_entry *e = hct_st_at(f, i);
        if (!is_row(e))
            st = hct_fail(err, HCT_EFORMAT,
                          "%s: holds no tensor 'embeddings' [scans, width], and tensor '%s' has %d dimensions: it is "
                          "no embedding of a scan; headct embed makes such files",
                          path, e->name, e->ndim);
        else if (hct_st_elements(e) != t->vectors * t->width || vectors_of(e) != t->vectors)
            st = hct_fail(err, HCT_EFORMAT, "%s: the embedding of scan '%s' has %zu numbers, that of '%s' %zu", path,
                          e->name, hct_st_elements(e), first->name, t->vectors * t->width);
        if (st == HCT_OK) st = hct_st_to_f32(e, embedding_row(t, i), err);
        if (st == HCT_OK) st = embedding_text(&t->id[i], path, e->name, strlen(e->name), err);
    }
    return st;
}

hct_status embeddings_from_safetensors(const char *path, embedding_table *t, hct_err *err) {
    hct_st_file *f = hct_st_open(path, err);
    if (!f) return err ? err->code : HCT_EFORMAT;
    const hct_st_entry *rows = hct_st_find(f, "embeddings");
    hct_status st = rows ? take_rows(path, f, rows, t, err) : take_each(path, f, t, err);
    hct_st_close(f);
    return st;
}
