/* Files of embeddings: which kind one is, and what must hold for all kinds. */
#include "embeddings/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embeddings/formats.h"
#include "hct/io.h"
#include "support/paths.h"
#include "support/text.h"

enum { SNIFFED = 16 };

char **embedding_texts(const char *path, size_t n, hct_err *err) {
    char **texts = calloc(n + 1, sizeof *texts);
    if (!texts) hct_fail(err, HCT_ENOMEM, "%s: out of memory for %zu ids", path, n);
    return texts;
}

void embedding_ids_free(char **id, size_t n) {
    for (size_t i = 0; id && i < n; i++) free(id[i]);
    free(id);
}

hct_status embedding_text(char **at, const char *path, const char *bytes, size_t n, hct_err *err) {
    char *text = malloc(n + 1);
    if (!text) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (n) memcpy(text, bytes, n);
    text[n] = 0;
    if (strlen(text) < n || text_not_utf8(text)) {
        free(text);
        return hct_fail(err, HCT_EFORMAT, "%s: an id has a zero byte or is no UTF-8", path);
    }
    *at = text;
    return HCT_OK;
}

hct_status embedding_table_alloc(embedding_table *t, const char *path, size_t n, size_t vectors, size_t width,
                                 hct_err *err) {
    if (!n || !vectors || !width)
        return hct_fail(err, HCT_EFORMAT, "%s: holds no embeddings: %zu rows of %zu numbers", path, n, vectors * width);
    t->n = n;
    t->vectors = vectors;
    t->width = width;
    size_t most = SIZE_MAX / sizeof *t->x / n;
    t->x = width <= most && vectors <= most / width ? malloc(n * vectors * width * sizeof *t->x) : NULL;
    return t->x ? HCT_OK
                : hct_fail(err, HCT_ENOMEM, "%s: out of memory for %zu x %zu x %zu numbers", path, n, vectors, width);
}

void embedding_table_pool(embedding_table *t) {
    for (size_t i = 0; t->vectors > 1 && i < t->n; i++)
        for (size_t k = 0; k < t->width; k++) {
            double sum = 0;
            for (size_t v = 0; v < t->vectors; v++) sum += (double)embedding_row(t, i)[v * t->width + k];
            t->x[i * t->width + k] = (float)(sum / (double)t->vectors); /* behind what is still to be read */
        }
    t->vectors = 1;
}

void embedding_table_free(embedding_table *t) {
    embedding_ids_free(t->id, t->n);
    embedding_ids_free(t->patient, t->n);
    embedding_ids_free(t->split, t->n);
    free(t->x);
    *t = (embedding_table){0};
}

static bool ends_with(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && !strcmp(path + n - m, ending);
}

static hct_status first_bytes(const char *path, unsigned char start[SNIFFED], size_t *ret_n, size_t *ret_size,
                              hct_err *err) {
    hct_mapped file;
    hct_status st = hct_load_file(path, &file, err);
    if (st < 0) return st;
    *ret_size = file.size;
    *ret_n = file.size < SNIFFED ? file.size : SNIFFED;
    memset(start, 0, SNIFFED);
    if (*ret_n) memcpy(start, file.bytes, *ret_n);
    hct_unmap_file(&file);
    return HCT_OK;
}

/* A header's length as 8 bytes, then its JSON. */
static bool looks_like_safetensors(const unsigned char *b, size_t n) { return n > 8 && b[8] == '{' && !b[6] && !b[7]; }

static hct_status read_kind(const char *path, embedding_table *t, hct_err *err) {
    unsigned char b[SNIFFED];
    size_t n = 0, size = 0, at = 0;
    if (path_is_folder(path)) return embeddings_from_hdf5(path, t, err);
    hct_status st = first_bytes(path, b, &n, &size, err);
    if (st < 0) return st;
    if (!size) return hct_fail(err, HCT_EFORMAT, "%s: is empty", path);
    if (n >= 6 && !memcmp(b, "\x93NUMPY", 6)) return embeddings_from_npy(path, t, err);
    if (n >= 10 && !memcmp(b, "PK\3\4", 4) && (b[8] || b[9]))
        return hct_fail(err, HCT_EFORMAT,
                        "%s: its arrays are compressed (numpy.savez_compressed); save them with numpy.savez", path);
    if (n >= 4 && !memcmp(b, "PK\3\4", 4)) return embeddings_from_npz(path, t, err);
    if (n >= 8 && !memcmp(b, "\x89HDF\r\n\x1a\n", 8))
        return hct_fail(err, HCT_EFORMAT,
                        "%s: is one HDF5 file; name the folder of CASE.h5 files, a scan each with a dataset 'y_hat'",
                        path);
    if (n >= 2 && b[0] == 0x1f && b[1] == 0x8b)
        return hct_fail(err, HCT_EFORMAT, "%s: is packed by gzip; unpack it first (gunzip)", path);
    if (ends_with(path, ".safetensors") || looks_like_safetensors(b, n))
        return embeddings_from_safetensors(path, t, err);
    if (ends_with(path, ".npy") || ends_with(path, ".npz"))
        return hct_fail(err, HCT_EFORMAT, "%s: does not begin as NumPy's files do; it is damaged or truncated", path);
    if (n >= 3 && !memcmp(b, "\xef\xbb\xbf", 3)) at = 3;
    while (at < n && strchr(" \t\r\n", b[at]) && b[at]) at++;
    if (ends_with(path, ".jsonl") || ends_with(path, ".json") || (at < n && (b[at] == '{' || b[at] == '[')))
        return embeddings_from_json(path, t, err);
    return embeddings_from_csv(path, t, err);
}

/* Ids that the file itself lacks: from ids, else FILE.ids. */
static hct_status add_ids(const char *path, const char *ids, embedding_table *t, char used[SHA256_HEX], hct_err *err) {
    char *beside = NULL;
    size_t n = 0;
    char **id = NULL;
    if (t->id && ids)
        return hct_fail(err, HCT_EINVAL, "%s: names its scans itself; leave %s (--embedding-ids) out", path, ids);
    if (t->id) return HCT_OK;
    if (!ids && asprintf(&beside, "%s.ids", path) < 0) return hct_fail(err, HCT_ENOMEM, "out of memory");
    const char *from = ids ? ids : beside;
    hct_status st = HCT_OK;
    if (!ids && !path_is_file(from))
        st = hct_fail(err, HCT_EFORMAT,
                      "%s: does not list its scans; name them in %s, one a line in the order of its %zu rows, or by "
                      "--embedding-ids",
                      path, from, t->n);
    if (st == HCT_OK) st = embedding_ids_read(from, &id, &n, err);
    if (st == HCT_OK && n != t->n)
        st = hct_fail(err, HCT_EFORMAT, "%s: names %zu scans, %s has %zu rows", from, n, path, t->n);
    if (st == HCT_OK) st = sha256_file(from, used, err);
    if (st == HCT_OK) t->id = id;
    else embedding_ids_free(id, n);
    free(beside);
    return st;
}

typedef struct named_row {
    const char *id;
    size_t row;
} named_row;

static int by_id(const void *a, const void *b) {
    const named_row *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static hct_status check_ids(const char *path, const embedding_table *t, hct_err *err) {
    named_row *rows = malloc(t->n * sizeof *rows);
    hct_status st = rows ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) {
        rows[i] = (named_row){t->id[i], i};
        if (!*t->id[i]) st = hct_fail(err, HCT_EFORMAT, "%s: row %zu names no scan", path, i + 1);
    }
    if (st == HCT_OK) qsort(rows, t->n, sizeof *rows, by_id);
    for (size_t i = 1; st == HCT_OK && i < t->n; i++)
        if (!strcmp(rows[i].id, rows[i - 1].id))
            st = hct_fail(err, HCT_EFORMAT, "%s: scan '%s' is there twice, in rows %zu and %zu", path, rows[i].id,
                          rows[i - 1].row + 1, rows[i].row + 1);
    free(rows);
    return st;
}

static hct_status check_values(const char *path, const embedding_table *t, hct_err *err) {
    for (size_t i = 0; i < t->n; i++)
        for (size_t k = 0; k < t->vectors * t->width; k++)
            if (!isfinite(embedding_row(t, i)[k]))
                return hct_fail(err, HCT_EFORMAT,
                                "%s: the embedding of scan '%s' is not finite: number %zu is NaN, infinite, or beyond "
                                "a 32-bit float",
                                path, t->id[i], k + 1);
    return HCT_OK;
}

hct_status embedding_table_read(const char *path, const char *ids, embedding_table *ret, hct_err *err) {
    embedding_table t = {0};
    char used[SHA256_HEX] = "";
    hct_status st = read_kind(path, &t, err);
    if (st == HCT_OK) st = add_ids(path, ids, &t, used, err);
    if (st == HCT_OK) st = check_ids(path, &t, err);
    if (st == HCT_OK) st = check_values(path, &t, err);
    if (st == HCT_OK && !*t.sha256) st = sha256_file(path, t.sha256, err);
    if (st == HCT_OK && *used) {
        char both[2 * SHA256_HEX];
        int n = snprintf(both, sizeof both, "%s%s", t.sha256, used);
        st = sha256_bytes(both, (size_t)n, t.sha256, err);
    }
    if (st == HCT_OK) *ret = t;
    else embedding_table_free(&t);
    return st;
}
