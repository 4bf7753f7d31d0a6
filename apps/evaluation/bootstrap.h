/* Bootstrap intervals of ROC AUC and average precision, and the bands round their curves.
 *
 * All tasks of a table share each resample (whole rows are drawn), so the macro mean has an interval of its own. A
 * resample in which a task has one class only is left out for that task and counted. Numbers depend on the draws alone,
 * not on how many threads make them.
 *
 * Which interval: percentiles are simple and what the paper uses; with few positives (below about 20) or an AUC near 1
 * they are too narrow. BCa (Efron 1987, J. Am. Stat. Assoc. 82:171, doi 10.1080/01621459.1987.10478410) corrects bias
 * and skewness by a jackknife, which costs one more pass a case: O(n^2). delong.h needs no draws. */
#ifndef EVALUATION_BOOTSTRAP_H
#define EVALUATION_BOOTSTRAP_H

#include "evaluation/ranking.h"
#include "evaluation/resample.h"

/* A value with its interval. All NaN where it is undefined; low and high alone NaN where there were no draws. */
typedef struct interval {
    double value, mean, low, high; /* mean, low, high: of the resamples */
    size_t skipped;                /* resamples without both classes */
} interval;

typedef enum interval_kind { INTERVAL_PERCENTILE, INTERVAL_BCA } interval_kind;

typedef struct bootstrap_options {
    const resampler *draws;
    double level; /* 0.95 */
    interval_kind kind;
    int threads;                                /* 0: one a CPU */
    void (*tell)(void *context, int64_t draws); /* from one thread at a time; NULL: nobody is told */
    void *tell_context;
} bootstrap_options;

/* Average precision is undefined where a class is missing, as the AUC is. */
typedef struct metric_intervals {
    interval auc, average_precision;
} metric_intervals;

/* ret_tasks: n_tasks results; ret_macro: the plain mean over tasks that have both classes (inside each resample too).
 * HCT_EINVAL names a bad score by row and task. */
hct_status bootstrap(const score_table *t, const bootstrap_options *o, metric_intervals *ret_tasks,
                     metric_intervals *ret_macro, hct_err *err);

/* The interval of n values of resamples round what was measured. value: reordered. leave_one_out: of the jackknife, NaN
 * where undefined; NULL: percentiles. */
interval interval_of(double value, double *values, size_t n, double level, const double *leave_one_out, size_t units);

typedef enum curve_kind {
    CURVE_ROC, /* true positive rate at a false positive rate, on straight lines between thresholds */
    CURVE_PR   /* precision at the highest threshold that reaches a recall: the steps that average precision adds up */
} curve_kind;

/* Band round one task's curve at x = 0, 1/(points-1), ..., 1: y of the curve itself, low and high of resamples
 * (percentiles; NaN without draws). Arrays of `points`. HCT_EINVAL where a class is missing. */
hct_status curve_band(const ranking *task, curve_kind kind, const bootstrap_options *o, size_t points, double *y,
                      double *low, double *high, hct_err *err);

#endif
