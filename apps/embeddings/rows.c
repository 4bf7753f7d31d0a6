/* Embeddings as text: CSV and JSON lines; and lists of ids. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "embeddings/formats.h"
#include "hct/io.h"
#include "support/csv.h"
#include "support/text.h"

/* ---- CSV ---- */

static hct_status take_column(const csv *c, int column, char ***ret, hct_err *err) {
    if (column < 0) return HCT_OK;
    if (!(*ret = embedding_texts(c->path, c->rows, err))) return HCT_ENOMEM;
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < c->rows; i++) {
        const char *cell = csv_cell(c, i, (size_t)column);
        st = embedding_text(&(*ret)[i], c->path, cell, strlen(cell), err);
    }
    return st;
}

static hct_status take_numbers(const csv *c, const bool *is_text, embedding_table *t, hct_err *err) {
    for (size_t i = 0; i < c->rows; i++)
        for (size_t k = 0, at = 0; k < c->columns; k++) {
            double v;
            if (is_text[k]) continue;
            if (!text_double(csv_cell(c, i, k), &v))
                return hct_fail(err, HCT_EFORMAT, "%s:%d: '%s' in column '%s' is no number", c->path, c->lines[i],
                                csv_cell(c, i, k), c->names[k]);
            t->x[i * t->width + at++] = (float)v;
        }
    return HCT_OK;
}

/* A table that ends within its last number reads as a whole one: its last line must end. */
static hct_status check_end(const char *path, hct_err *err) {
    hct_mapped file;
    hct_status st = hct_load_file(path, &file, err);
    if (st < 0) return st;
    size_t n = file.size;
    if (n > 1 && !file.bytes[n - 1]) n--; /* UTF-16 */
    if (n && file.bytes[n - 1] != '\n' && file.bytes[n - 1] != '\r')
        st = hct_fail(err, HCT_EFORMAT,
                      "%s: its last line has no end: the file may be truncated within a number; where it is whole, "
                      "add a line break",
                      path);
    hct_unmap_file(&file);
    return st;
}

hct_status embeddings_from_csv(const char *path, embedding_table *t, hct_err *err) {
    csv *c = csv_read(path, err);
    if (!c) return err->code;
    hct_status st = check_end(path, err);
    if (st < 0) {
        csv_free(c);
        return st;
    }
    int scan = csv_fixed_column(c, "scan", err), patient = csv_column(c, "patient"), split = csv_column(c, "split");
    size_t texts = 1 + (patient >= 0) + (split >= 0);
    bool *is_text = calloc(c->columns + 1, sizeof *is_text);
    st = scan < 0 ? err->code : is_text ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (st == HCT_OK) st = embedding_table_alloc(t, path, c->rows, 1, c->columns - texts, err);
    if (st == HCT_OK) {
        is_text[scan] = true;
        if (patient >= 0) is_text[patient] = true;
        if (split >= 0) is_text[split] = true;
        st = take_numbers(c, is_text, t, err);
    }
    if (st == HCT_OK) st = take_column(c, scan, &t->id, err);
    if (st == HCT_OK) st = take_column(c, patient, &t->patient, err);
    if (st == HCT_OK) st = take_column(c, split, &t->split, err);
    free(is_text);
    csv_free(c);
    return st;
}

/* ---- JSON ---- */

/* The rows of a file so far; at: where in the file, for messages. */
typedef struct json_rows {
    const char *path;
    embedding_table *t;
    size_t capacity;
} json_rows;

static hct_status grow(json_rows *q, hct_err *err) {
    embedding_table *t = q->t;
    if (t->n < q->capacity) return HCT_OK;
    size_t more = q->capacity ? 2 * q->capacity : 64;
    size_t each = t->vectors * t->width;
    float *x = each <= SIZE_MAX / sizeof *x / more ? realloc(t->x, more * each * sizeof *x) : NULL;
    if (x) t->x = x;
    char **id = x ? realloc(t->id, more * sizeof *id) : NULL;
    if (!id) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for %zu embeddings", q->path, more);
    t->id = id;
    q->capacity = more;
    return HCT_OK;
}

/* One list of q->t->width numbers. */
static hct_status take_json_vector(const json_rows *q, const cJSON *list, const char *name, float *out, hct_err *err) {
    size_t width = q->t->width, k = 0;
    if (!cJSON_IsArray(list) || (size_t)cJSON_GetArraySize(list) != width)
        return hct_fail(err, HCT_EFORMAT, "%s: the vectors of scan '%s' are not all lists of %zu numbers", q->path,
                        name, width);
    for (const cJSON *v = list->child; v; v = v->next, k++) {
        if (!cJSON_IsNumber(v))
            return hct_fail(err, HCT_EFORMAT, "%s: number %zu of the embedding of scan '%s' is no number", q->path,
                            k + 1, name);
        out[k] = (float)v->valuedouble;
    }
    return HCT_OK;
}

static hct_status take_object(json_rows *q, const cJSON *object, const char *what, size_t at, hct_err *err) {
    embedding_table *t = q->t;
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(object, "scan"),
                *result = cJSON_GetObjectItemCaseSensitive(object, "embedding_result"),
                *row = cJSON_GetObjectItemCaseSensitive(result ? result : object, "embedding");
    const char *name = cJSON_GetStringValue(id);
    if (!name)
        return hct_fail(err, HCT_EFORMAT, "%s: %s %zu has no text \"scan\" that says which scan it is", q->path, what,
                        at);
    if (!cJSON_IsArray(row))
        return hct_fail(err, HCT_EFORMAT,
                        "%s: %s %zu (scan '%s') has no list of numbers \"embedding\" or \"embedding_result\": "
                        "{\"embedding\": ...}",
                        q->path, what, at, name);
    int several = cJSON_IsArray(row->child); /* a list of lists: a vector each */
    size_t vectors = several ? (size_t)cJSON_GetArraySize(row) : 1;
    size_t width = (size_t)cJSON_GetArraySize(several ? row->child : row);
    if (!width) return hct_fail(err, HCT_EFORMAT, "%s: the embedding of scan '%s' is empty", q->path, name);
    if (t->n && (width != t->width || vectors != t->vectors))
        return hct_fail(err, HCT_EFORMAT, "%s: the embedding of scan '%s' has %zu numbers, that of '%s' %zu", q->path,
                        name, vectors * width, t->id[0], t->vectors * t->width);
    t->vectors = vectors;
    t->width = width;
    hct_status st = grow(q, err);
    const cJSON *v = several ? row->child : row;
    for (size_t i = 0; st == HCT_OK && i < vectors; i++, v = v->next)
        st = take_json_vector(q, v, name, embedding_row(t, t->n) + i * width, err);
    if (st == HCT_OK) st = embedding_text(&t->id[t->n], q->path, name, strlen(name), err);
    if (st == HCT_OK) t->n++;
    return st;
}

/* One list of objects. */
static hct_status take_json_list(json_rows *q, const char *text, hct_err *err) {
    cJSON *list = cJSON_ParseWithOpts(text, NULL, 1);
    hct_status st = cJSON_IsArray(list)
                        ? HCT_OK
                        : hct_fail(err, HCT_EFORMAT, "%s: is no JSON list; it is damaged or truncated", q->path);
    size_t i = 0;
    for (const cJSON *v = list ? list->child : NULL; st == HCT_OK && v; v = v->next)
        st = take_object(q, v, "entry", ++i, err);
    cJSON_Delete(list);
    return st;
}

static hct_status take_json_lines(json_rows *q, char *text, hct_err *err) {
    hct_status st = HCT_OK;
    size_t line = 0;
    for (char *at = text; st == HCT_OK && at;) {
        char *end = strchr(at, '\n');
        if (end) *end = '\0';
        line++;
        if (at[strspn(at, " \t\r")]) {
            cJSON *object = cJSON_ParseWithOpts(at, NULL, 1);
            if (!cJSON_IsObject(object))
                st = hct_fail(err, HCT_EFORMAT,
                              "%s:%zu: is no JSON object of one line (NaN and Infinity are no JSON); the file is "
                              "damaged or truncated, or not one object a line",
                              q->path, line);
            else st = take_object(q, object, "line", line, err);
            cJSON_Delete(object);
        }
        at = end ? end + 1 : NULL;
    }
    return st;
}

static hct_status read_text(const char *path, char **ret, char **ret_begin, hct_err *err) {
    size_t size = 0;
    hct_status st = hct_read_file(path, ret, &size, err);
    if (st < 0) return st;
    *ret_begin = *ret + (size >= 3 && !memcmp(*ret, "\xef\xbb\xbf", 3) ? 3 : 0);
    return memchr(*ret, 0, size) || text_not_utf8(*ret) ? hct_fail(err, HCT_EFORMAT, "%s: is no text of UTF-8", path)
                                                        : HCT_OK;
}

hct_status embeddings_from_json(const char *path, embedding_table *t, hct_err *err) {
    json_rows q = {.path = path, .t = t};
    char *text = NULL, *begin = NULL;
    hct_status st = read_text(path, &text, &begin, err);
    if (st == HCT_OK)
        st = begin[strspn(begin, " \t\r\n")] == '[' ? take_json_list(&q, begin, err) : take_json_lines(&q, begin, err);
    if (st == HCT_OK && !t->n) st = hct_fail(err, HCT_EFORMAT, "%s: holds no embeddings", path);
    free(text);
    return st;
}

/* ---- ids in a file of their own ---- */

static hct_status ids_of_json(const char *path, const char *text, char ***ret, size_t *ret_n, hct_err *err) {
    cJSON *list = cJSON_ParseWithOpts(text, NULL, 1);
    hct_status st = cJSON_IsArray(list) ? HCT_OK : hct_fail(err, HCT_EFORMAT, "%s: is no JSON list of ids", path);
    if (st == HCT_OK && !(*ret = embedding_texts(path, (size_t)cJSON_GetArraySize(list), err))) st = HCT_ENOMEM;
    for (const cJSON *v = list ? list->child : NULL; st == HCT_OK && v; v = v->next) {
        const char *id = cJSON_GetStringValue(v);
        if (!id) st = hct_fail(err, HCT_EFORMAT, "%s: entry %zu is no text", path, *ret_n + 1);
        else st = embedding_text(&(*ret)[*ret_n], path, id, strlen(id), err);
        if (st == HCT_OK) ++*ret_n;
    }
    cJSON_Delete(list);
    return st;
}

static hct_status ids_of_csv(const char *path, char ***ret, size_t *ret_n, hct_err *err) {
    csv *c = csv_read(path, err);
    if (!c) return err->code;
    int scan = csv_fixed_column(c, "scan", err);
    hct_status st = scan < 0 ? err->code : HCT_OK;
    *ret_n = c->rows;
    if (st == HCT_OK) st = take_column(c, scan, ret, err);
    csv_free(c);
    return st;
}

static hct_status ids_of_lines(const char *path, const char *text, char ***ret, size_t *ret_n, hct_err *err) {
    size_t lines = 1;
    for (const char *at = text; (at = strchr(at, '\n')); at++) lines++;
    if (!(*ret = embedding_texts(path, lines, err))) return HCT_ENOMEM;
    hct_status st = HCT_OK;
    for (const char *at = text; st == HCT_OK && *at;) {
        size_t whole = strcspn(at, "\n"), n = whole, blank = strspn(at, " \t\r");
        const char *id = at + (blank < n ? blank : n);
        n -= (size_t)(id - at);
        while (n && strchr(" \t\r", id[n - 1])) n--;
        if (n) st = embedding_text(&(*ret)[*ret_n], path, id, n, err);
        if (n && st == HCT_OK) ++*ret_n;
        at += whole + (at[whole] == '\n');
    }
    return st;
}

/* Whether a first line is the header of a table with a column scan. */
static bool has_header(const char *text) {
    size_t n = strcspn(text, "\r\n");
    bool table = n >= 4 && (!memcmp(text, "scan", 4) && (n == 4 || strchr(",;\t", text[4])));
    for (size_t i = 0; !table && i + 5 <= n; i++)
        table =
            strchr(",;\t", text[i]) && !memcmp(text + i + 1, "scan", 4) && (i + 5 == n || strchr(",;\t", text[i + 5]));
    return table;
}

hct_status embedding_ids_read(const char *path, char ***ret, size_t *ret_n, hct_err *err) {
    char *text = NULL, *begin = NULL;
    *ret = NULL;
    *ret_n = 0;
    hct_status st = read_text(path, &text, &begin, err);
    size_t n = strlen(path);
    if (st == HCT_OK && begin[strspn(begin, " \t\r\n")] == '[') st = ids_of_json(path, begin, ret, ret_n, err);
    else if (st == HCT_OK && (has_header(begin) || (n > 4 && !strcmp(path + n - 4, ".csv"))))
        st = ids_of_csv(path, ret, ret_n, err);
    else if (st == HCT_OK) st = ids_of_lines(path, begin, ret, ret_n, err);
    if (st < 0) {
        embedding_ids_free(*ret, *ret_n);
        *ret = NULL;
    }
    free(text);
    return st;
}
