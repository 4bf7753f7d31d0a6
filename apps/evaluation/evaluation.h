/* An evaluation as it is reported: AUC and average precision of every task and their macro means with intervals, a
 * comparison with a second model, ROC and precision-recall figures; as a printed table, metrics.json and metrics.csv.
 *
 * Works on arrays (statistics.h), so a probe can call it without files. */
#ifndef EVALUATION_EVALUATION_H
#define EVALUATION_EVALUATION_H

#include <stdio.h>

#include "evaluation/statistics.h"

typedef struct task_result {
    const char *name; /* the caller's */
    size_t positives, negatives;
    interval auc, average_precision;
    interval delong;   /* of the AUC, by its variance (delong.h); NaN of the macro mean */
    interval newcombe; /* of the AUC, for few positives (delong.h); NaN of the macro mean */
    double other_auc;  /* of the model compared with */
    comparison versus; /* filled by evaluation_compare */
} task_result;

typedef struct evaluation {
    size_t n, n_tasks, permutations; /* n scans; permutations 0: nothing was compared */
    double level;
    resampler draws;    /* of the bootstrap */
    interval_kind kind; /* of the intervals */
    int threads;
    const char *unit;   /* what it draws: "scan", "patient" */
    task_result *tasks; /* [n_tasks] */
    task_result macro;  /* counts are sums */
} evaluation;

/* names: [n_tasks], borrowed as long as the evaluation lives. resamples: the paper uses 100. 95% percentile intervals.
 */
hct_status evaluation_run(const score_table *t, const char *const *names, size_t resamples, uint64_t seed,
                          evaluation *ret, hct_err *err);
/* The same with another way of drawing, another kind of interval; unit names what is drawn. The resampler's context
 * must outlive the evaluation. */
hct_status evaluation_run_by(const score_table *t, const char *const *names, const bootstrap_options *o,
                             const char *unit, evaluation *ret, hct_err *err);
void evaluation_free(evaluation *e);
/* Adds the paired permutation test against a second model's scores of the same scans; the paper uses 1,000. */
hct_status evaluation_compare(evaluation *e, const score_table *t, const score_table *other, size_t permutations,
                              hct_err *err);

void evaluation_print(const evaluation *e, FILE *f);
hct_status evaluation_write_json(const evaluation *e, const char *path, hct_err *err);
hct_status evaluation_write_csv(const evaluation *e, const char *path, hct_err *err);
/* FOLDER/roc_TASK.svg and FOLDER/pr_TASK.svg for every task with both classes: the curve with its 95% band. The folder
 * is made. other may be NULL: a second model's curve, under its own name. */
hct_status evaluation_draw(const evaluation *e, const score_table *t, const char *name, const score_table *other,
                           const char *other_name, const char *folder, hct_err *err);

/* All three into FOLDER: metrics.json, metrics.csv, figures/. Arguments as of evaluation_draw. */
hct_status evaluation_write(const evaluation *e, const score_table *t, const char *name, const score_table *other,
                            const char *other_name, const char *folder, hct_err *err);

/* "0.912 (0.880 to 0.931)", or "undefined". */
const char *interval_text(const interval *i, char buffer[64]);
/* "95% percentile", "95% BCa". */
const char *interval_words(interval_kind kind, double level, char buffer[32]);
/* KIND_TASK.svg, with _ for what does not belong in a file's name. */
const char *figure_file(const char *kind, const char *task, char buffer[200]);

#endif
