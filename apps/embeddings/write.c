/* Writes embeddings as NumPy's arrays and as CSV. */
#include "embeddings/write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embeddings/formats.h"
#include "support/csv.h"
#include "support/text.h"

enum { NPY_ALIGN = 64 };

static hct_status write_ids(const embedding_table *t, const char *path, hct_err *err) {
    char *ids = NULL;
    if (asprintf(&ids, "%s.ids", path) < 0) return hct_fail(err, HCT_ENOMEM, "out of memory");
    text_buffer text = {0};
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) {
        if (strpbrk(t->id[i], "\r\n"))
            st = hct_fail(err, HCT_EINVAL, "%s: an id with a line break cannot stand in a list of lines", ids);
        text_printf(&text, "%s\n", t->id[i]);
    }
    if (st == HCT_OK) st = text_save(&text, ids, err);
    text_free(&text);
    free(ids);
    return st;
}

hct_status embeddings_to_npy(const embedding_table *t, const char *path, hct_err *err) {
    char shape[80], header[256];
    if (t->vectors > 1) snprintf(shape, sizeof shape, "(%zu, %zu, %zu)", t->n, t->vectors, t->width);
    else snprintf(shape, sizeof shape, "(%zu, %zu)", t->n, t->width);
    int n = snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape);
    int whole = (10 + n + 1 + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN - 10; /* magic, version and length are 10 bytes */
    hct_status st = write_ids(t, path, err); /* first: an array without its ids is of no use */
    hct_outfile *f = st == HCT_OK ? hct_outfile_open(path, err) : NULL;
    if (st == HCT_OK && !f) st = err->code;
    if (st < 0) return st;
    hct_outfile_write(f, "\x93NUMPY\1\0", 8);
    hct_outfile_write(f, (unsigned char[]){(unsigned char)(whole & 255), (unsigned char)(whole >> 8)}, 2);
    hct_outfile_printf(f, "%s%*s\n", header, whole - n - 1, "");
    hct_outfile_write(f, t->x, t->n * t->vectors * t->width * sizeof *t->x);
    return hct_outfile_close(f, err);
}

hct_status embeddings_to_csv(const embedding_table *t, const char *path, hct_err *err) {
    if (t->vectors > 1)
        return hct_fail(err, HCT_EINVAL, "%s: %zu vectors a scan do not fit into one row; npy and h5 hold them", path,
                        t->vectors);
    hct_outfile *f = hct_outfile_open(path, err);
    if (!f) return err->code;
    size_t at = 0;
    csv_put(f, at++, "scan");
    if (t->patient) csv_put(f, at++, "patient");
    if (t->split) csv_put(f, at++, "split");
    for (size_t k = 0; k < t->width; k++) {
        char name[32];
        snprintf(name, sizeof name, "e%zu", k);
        csv_put(f, at++, name);
    }
    csv_end_row(f);
    for (size_t i = 0; i < t->n; i++) {
        at = 0;
        csv_put(f, at++, t->id[i]);
        if (t->patient) csv_put(f, at++, t->patient[i]);
        if (t->split) csv_put(f, at++, t->split[i]);
        for (size_t k = 0; k < t->width; k++) {
            char number[32];
            snprintf(number, sizeof number, "%.9g", (double)embedding_row(t, i)[k]);
            csv_put(f, at++, number);
        }
        csv_end_row(f);
    }
    return hct_outfile_close(f, err);
}

static const struct {
    const char *word, *ending;
    embeddings_writer *write;
} FORMATS[] = {{"npy", ".npy", embeddings_to_npy},
               {"csv", ".csv", embeddings_to_csv},
               {"h5", "-h5", embeddings_to_hdf5}};

embeddings_writer *embeddings_writer_of(const char *word) {
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
        if (!strcmp(word, FORMATS[i].word)) return FORMATS[i].write;
    return NULL;
}

hct_status embeddings_convert(const char *path, const char *word, char **ret_path, hct_err *err) {
    embedding_table t;
    const char *ending = strrchr(path, '.');
    int kept = (int)(ending && !strcmp(ending, ".safetensors") ? (size_t)(ending - path) : strlen(path));
    *ret_path = NULL;
    hct_status st = embedding_table_read(path, NULL, &t, err);
    if (st < 0) return st;
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
        if (strcmp(word, FORMATS[i].word) != 0) continue;
        if (asprintf(ret_path, "%.*s%s", kept, path, FORMATS[i].ending) < 0) {
            *ret_path = NULL;
            st = hct_fail(err, HCT_ENOMEM, "out of memory");
        } else st = FORMATS[i].write(&t, *ret_path, err);
    }
    embedding_table_free(&t);
    return st;
}
