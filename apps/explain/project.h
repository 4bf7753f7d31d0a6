/* Embeddings on a plane: principal components, t-SNE; as a table and as figures coloured by labels and groups. */
#ifndef EXPLAIN_PROJECT_H
#define EXPLAIN_PROJECT_H

#include <stdio.h>

#include "hct/types.h"

enum { PROJECT_COLOURS = 16 };

typedef struct project_options {
    const char *embeddings, *embedding_ids, *out; /* embedding_ids: embeddings/table.h; NULL: none */
    const char *split, *labels;                   /* NULL: all, none */
    const char *colour[PROJECT_COLOURS];          /* evaluation/grouping.h */
    int n_colours;
    const char *groups; /* where their columns are */
    int pca_only, tree; /* tree: Barnes-Hut for few scans too */
    double perplexity;
    int64_t iterations, threads;
    FILE *progress;
} project_options;

/* OUT/projection.csv: scan, patient, split, pca_1, pca_2, tsne_1, tsne_2, then labels and groups;
 * OUT/figures/project_NAME.svg. said: what came of it, one line. */
hct_status project_run(const project_options *o, FILE *said, hct_err *err);

#endif
