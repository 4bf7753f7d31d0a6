/* Uncertainty by resampling: bootstrap intervals, the band around a ROC curve, and the paired permutation test.
 *
 * All tasks of a table share each resample (whole rows are drawn), so the macro mean has an interval of its own. A
 * resample in which a task has one class only is left out for that task and counted. */
#ifndef EVALUATION_STATISTICS_H
#define EVALUATION_STATISTICS_H

#include "evaluation/ranking.h"

/* Scores of one model: n cases (rows) by n_tasks columns, row-major. label as in ranking_make. */
typedef struct score_table {
    size_t n, n_tasks;
    const double *score;
    const int8_t *label;
} score_table;

typedef enum metric { METRIC_AUC, METRIC_AVERAGE_PRECISION } metric;

/* A value with its percentile interval. All NaN where it is undefined. */
typedef struct interval {
    double value, mean, low, high; /* mean, low, high: of the resamples */
    size_t skipped;                /* resamples without both classes */
} interval;

/* Draws resample b of n cases: weight[i] = how often case i was drawn (bootstrap), or 1 where case i's two scores are
 * to be exchanged, 0 else (permutation). */
typedef struct resampler {
    void (*draw)(const struct resampler *self, size_t b, size_t n, uint32_t *weight);
    size_t count;
    uint64_t seed;       /* of the two resamplers below */
    const void *context; /* of the caller's own */
} resampler;

/* n draws with replacement; a coin per case. Counter-based: resample b depends on seed, b and n alone. */
resampler bootstrap_resampler(size_t count, uint64_t seed);
resampler permutation_resampler(size_t count, uint64_t seed);

/* Rows that belong together, such as a patient's scans. */
typedef struct row_groups {
    size_t n;               /* groups */
    const uint32_t *of_row; /* [rows]: its group, below n */
    uint32_t *times;        /* [n]: working space */
} row_groups;

/* Draws n whole groups with replacement: intervals for scans that are not independent. groups is borrowed; one resample
 * at a time. */
resampler group_resampler(size_t count, uint64_t seed, const row_groups *groups);

/* ret_tasks: n_tasks results; ret_macro: the plain mean over tasks that have both classes (inside each resample too).
 * level: 0.95. HCT_EINVAL names a bad score by row and task. */
hct_status bootstrap(const score_table *t, metric m, const resampler *r, double level, interval *ret_tasks,
                     interval *ret_macro, hct_err *err);

/* Band round one task's ROC curve at x = 0, 1/(points-1), ..., 1: tpr of the curve itself, low and high of resamples.
 * Arrays of `points`. HCT_EINVAL where a class is missing. */
hct_status roc_band(const ranking *task, const resampler *r, double level, size_t points, double *tpr, double *low,
                    double *high, hct_err *err);

/* Two-sided paired permutation test of AUC(a) - AUC(b): scores of a case are exchanged between the models, all its
 * tasks together. p = (1 + #{|d| >= |observed|}) / (1 + count). */
typedef struct comparison {
    double difference, p; /* NaN where a class is missing */
    size_t at_least;      /* permutations whose difference is as large */
} comparison;

/* a and b hold the same cases, tasks and labels. */
hct_status paired_permutation(const score_table *a, const score_table *b, const resampler *r, comparison *ret_tasks,
                              comparison *ret_macro, hct_err *err);

/* Linear interpolation between order statistics at (n-1)*q; sorts v. NaN for n = 0. */
double percentile(double *v, size_t n, double q);

#endif
