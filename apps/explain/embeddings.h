/* Embeddings of scans, of headct embed or made elsewhere, with what is known of the scans. */
#ifndef EXPLAIN_EMBEDDINGS_H
#define EXPLAIN_EMBEDDINGS_H

#include "evaluation/predictions.h"

typedef struct embeddings {
    size_t n, width;
    float *x;          /* [n, width] */
    predictions scans; /* names, patients, splits; after embeddings_label labels by task */
} embeddings;

/* Any file that embeddings/table.h reads, and its errors; ids as there. split: only scans of it; NULL: all. */
hct_status embeddings_read(const char *path, const char *ids, const char *split, embeddings *ret, hct_err *err);
void embeddings_free(embeddings *e);
/* Labels from a CSV (columns scan, patient, one a label) or a dataset. HCT_ENOTFOUND where none of the scans has any.
 */
hct_status embeddings_label(embeddings *e, const char *source, hct_err *err);

#endif
