/* Evaluating tables of predictions of one model or several, or a run's classifiers on another dataset (external
 * validation).
 *
 * Writes into OUT: metrics.json, metrics.csv and figures/ of the first model (evaluation/evaluation.h); models.csv,
 * comparisons.csv, p_matrix.csv of several (evaluation/pairs.h); operating_points.csv, calibration.csv
 * (evaluation/operate.h); subgroups.csv (evaluation/subgroups.h); on another dataset also
 * predictions.csv, which is resumed, and left_out.csv: the scans that the run was trained on, or whose patients it was
 * trained on (run/training_scans.h), which are not evaluated. */
#ifndef VALIDATION_VALIDATION_H
#define VALIDATION_VALIDATION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "evaluation/models.h"
#include "evaluation/operate.h"
#include "hct/types.h"

enum { VALIDATION_LABELS = 16, VALIDATION_MAPS = 64, VALIDATION_FILES = 256, VALIDATION_BY = 16 };

typedef struct validation_options {
    const char *files[VALIDATION_FILES]; /* tables, the first model's first; or */
    int n_files;
    const char *run;       /* a run: RUN/predictions.csv; where out is NULL it is written to RUN, or, where RUN
                                         has metrics already, to RUN/evaluate-SPLIT */
    models_format format;  /* of files */
    bool logits, scores;   /* scores are logits; may be any numbers */
    const char *out;       /* NULL: nothing is written */
    const char *data;      /* with run and out: the run's classifiers are applied to this dataset, untuned */
    bool include_training; /* with data: also to scans and patients that the run was trained on */
    const char *map[VALIDATION_MAPS]; /* "TASK=LABEL": names of the run's tasks there */
    int n_maps;
    const char *labels[VALIDATION_LABELS]; /* CSV files or datasets; the last one wins */
    int n_labels;
    const char *split; /* only scans of this split; "all": every scan; NULL: of a run its test split, else all */
    const char *tasks; /* "A,B": only these; NULL: all that have labels */
    operate_rule rules[OPERATE_RULES];
    int n_rules;
    const char *validation; /* the split where thresholds and calibrations are chosen; NULL: of a run its own */
    calibration_kind calibrate;
    bool reliability;              /* calibration is measured, without a map too */
    const char *by[VALIDATION_BY]; /* subgroups (evaluation/subgroups.h) */
    int n_by;
    const char *groups; /* where their columns are; NULL: in data */
    interval_kind interval;
    int64_t resamples, permutations, seed, threads;
    bool by_patient; /* resamples are of patients */
    bool quiet;      /* no progress */
} validation_options;

/* table: where metrics are printed (may be NULL). *ret_refused: scans of `data` that could not be read; each is logged
 * with its reason. */
hct_status validation_run(const validation_options *o, FILE *table, size_t *ret_refused, hct_err *err);

#endif
