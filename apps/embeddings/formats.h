/* Readers of the kinds of file that table.h lists. Each fills n, width, x and, where the file has them, id, patient
 * and split; what holds for all kinds (ids there and once, values finite) is checked by table.c. */
#ifndef EMBEDDINGS_FORMATS_H
#define EMBEDDINGS_FORMATS_H

#include "embeddings/table.h"

hct_status embeddings_from_safetensors(const char *path, embedding_table *t, hct_err *err);
hct_status embeddings_from_npy(const char *path, embedding_table *t, hct_err *err);
hct_status embeddings_from_npz(const char *path, embedding_table *t, hct_err *err);
hct_status embeddings_from_csv(const char *path, embedding_table *t, hct_err *err);
hct_status embeddings_from_json(const char *path, embedding_table *t, hct_err *err);
hct_status embeddings_from_hdf5(const char *folder, embedding_table *t, hct_err *err);

/* The ids in a file of its own. */
hct_status embedding_ids_read(const char *path, char ***ret, size_t *ret_n, hct_err *err);
void embedding_ids_free(char **id, size_t n);

/* Room for n rows of vectors x width floats; HCT_EFORMAT where one of them is 0. */
hct_status embedding_table_alloc(embedding_table *t, const char *path, size_t n, size_t vectors, size_t width,
                                 hct_err *err);
/* Where row i begins. */
static inline float *embedding_row(const embedding_table *t, size_t i) { return t->x + i * t->vectors * t->width; }
/* n texts, all NULL. NULL and err where memory runs out. */
char **embedding_texts(const char *path, size_t n, hct_err *err);
/* *at = a copy of n bytes; HCT_EFORMAT where a zero byte is among them or they are no UTF-8. */
hct_status embedding_text(char **at, const char *path, const char *bytes, size_t n, hct_err *err);

#endif
