/* Embeddings made elsewhere (probe.embeddings), joined by id to the scans of a trial.
 *
 *   embedded_open(r, data, &t, &e, &err);     reads, joins, leaves scans without an embedding out of t, says so
 *   embedded_write(&e, data, run, &err);      RUN/left_out.csv: what was left out on either side
 *   features_of(r, dev, data, &e, ...)        their rows as features
 *
 * Ids are compared as labels' are: an ending of .nii or .nii.gz is ignored (dataset/sources.h). */
#ifndef PROBE_EMBEDDED_H
#define PROBE_EMBEDDED_H

#include "embeddings/table.h"
#include "recipe/recipe.h"
#include "training/trial.h"

typedef struct embedded {
    embedding_table table;
    int64_t *scan;               /* [table.n]: the dataset's scan of each row; -1: none */
    int64_t *row;                /* [scans of the dataset]: its row; -1: none */
    size_t *missing;             /* [n_missing]: scans of the trial that have no row */
    size_t n_missing, n_unknown; /* unknown: rows of no scan */
} embedded;

/* Nothing, and an empty *ret, where the recipe's features are others. HCT_ENOTFOUND: no embedding is of a scan of the
 * trial; HCT_EINVAL: two rows of one scan. */
hct_status embedded_open(const recipe *r, const dataset *d, trial *io, embedded *ret, hct_err *err);
/* Columns scan and reason. Nothing where nothing was left out. */
hct_status embedded_write(const embedded *e, const dataset *d, const char *run, hct_err *err);
void embedded_free(embedded *e);

#endif
