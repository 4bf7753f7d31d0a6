/* Evaluating a table of predictions, or a run's classifiers on another dataset (external validation).
 *
 * Writes OUT/metrics.json, metrics.csv and figures/roc_TASK.svg (evaluation/evaluation.h); on another dataset also
 * OUT/predictions.csv, which is resumed. */
#ifndef VALIDATION_VALIDATION_H
#define VALIDATION_VALIDATION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "hct/types.h"

enum { VALIDATION_LABELS = 16, VALIDATION_MAPS = 64 };

typedef struct validation_options {
    const char *predictions;          /* a table; or */
    const char *run;                  /* a run: RUN/predictions.csv, written to RUN where out is NULL */
    const char *out;                  /* NULL: nothing is written */
    const char *data;                 /* with run and out: the run's classifiers are applied to this dataset, untuned */
    const char *map[VALIDATION_MAPS]; /* "TASK=LABEL": names of the run's tasks there */
    int n_maps;
    const char *labels[VALIDATION_LABELS]; /* CSV files or datasets; the last one wins */
    int n_labels;
    const char *split;   /* only scans of this split; "all": every scan; NULL: of a run its test split, else all */
    const char *tasks;   /* "A,B": only these; NULL: all that have labels */
    const char *compare; /* a second model's predictions of the same scans: paired permutation test */
    int64_t resamples, permutations, seed;
    bool by_patient; /* resamples are of patients */
} validation_options;

/* table: where metrics are printed (may be NULL). *ret_refused: scans of `data` that could not be read; each is logged
 * with its reason. */
hct_status validation_run(const validation_options *o, FILE *table, size_t *ret_refused, hct_err *err);

#endif
