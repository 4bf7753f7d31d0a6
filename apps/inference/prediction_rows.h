/* The rows of a table of predictions as `headct predict --out` and `headct watch` write them
 * (evaluation/predictions.h), and what stands beside it. */
#ifndef INFERENCE_PREDICTION_ROWS_H
#define INFERENCE_PREDICTION_ROWS_H

#include "inference/cohort.h"
#include "inference/thresholds.h"
#include "support/json_out.h"

typedef struct prediction_table { /* borrowed */
    const classifiers *set;
    const thresholds *chosen;
    const char *preprocessing, *naming; /* cohort.preprocessing, cohort_naming */
    bool clear;                         /* scans are named in clear */
} prediction_table;

/* Where columns stand. */
enum { PREDICTION_TASKS = 3 };
static inline size_t prediction_input_column(const prediction_table *t) {
    return PREDICTION_TASKS + (size_t)t->set->n_tasks;
}

void prediction_header(const prediction_table *t, text_buffer *header);
/* p: of each task; NULL of a scan that was left out. */
void prediction_row(const prediction_table *t, const cohort_scan *s, const double *p, text_buffer *rows);
/* Hashes of weights, recipe and preparation, and how scans are named, into an object that is open. */
void prediction_hashes(const prediction_table *t, json_out *j);
/* TABLE.json; the caller's to free. NULL and err. */
char *prediction_origin(const prediction_table *t, const char *path, hct_err *err);
/* HCT_EINVAL where a probability is not finite. */
hct_status prediction_check(const prediction_table *t, const cohort_scan *s, const double *p, hct_err *err);
/* Whether task k reaches its threshold; false where none is known. */
static inline bool prediction_is_above(const prediction_table *t, const double *p, int k) {
    return p[k] >= t->chosen->at[k];
}

#endif
