/* The ways to find a linear head on frozen features (probe.protocol), each by its published rule:
 *
 *   paper     AdamW by the recipe's optim, the epoch with the best validation AUC (probe_fit.h)
 *   logistic  L2-regularised logistic regression to convergence, scikit-learn's objective; C by validation AUC
 *   cvpr26    104 linear heads in one run (13 rates x 4 decays x features as they are or standardised), the grid of the
 *             CVPR 2026 challenge "Foundation Models for General CT Image Diagnosis"; head and epoch by validation
 *
 * Whatever finds it, the head is the same kind of tensor set, and `headct predict` runs it. */
#ifndef PROBE_PROTOCOL_H
#define PROBE_PROTOCOL_H

#include "probe/probe_fit.h"

/* As probe_fit. Both need labelled validation scans of both classes, but for logistic regression with probe.c set. */
hct_status probe_logistic(const recipe *r, hct_dev *dev, const probe_data *d, const probe_fit_options *o, params *head,
                          double *score, char chosen[PROBE_CHOSEN], hct_err *err);
hct_status probe_grid(const recipe *r, hct_dev *dev, const probe_data *d, const probe_fit_options *o, params *head,
                      double *score, char chosen[PROBE_CHOSEN], hct_err *err);

/* The one that the recipe names. */
hct_status probe_by_protocol(const recipe *r, hct_dev *dev, const probe_data *d, const probe_fit_options *o,
                             params *head, double *score, char chosen[PROBE_CHOSEN], hct_err *err);
/* A sentence that tells which it is. */
const char *probe_protocol_sentence(const recipe *r);

/* The labelled rows of a split, or all that there are of both classes. row, label: [n + 1], the caller's to free. */
typedef struct probe_rows {
    size_t *row, n, positives;
    int8_t *label;
} probe_rows;

hct_status probe_rows_of(const probe_data *d, const size_t *row, size_t n, const char *task, const char *split,
                         probe_rows *ret, hct_err *err);
void probe_rows_free(probe_rows *rows);
/* Mean and deviation (of the n, not n - 1) of every column over some rows. */
void probe_moments(const probe_data *d, const probe_rows *rows, double *mean, double *sd);

/* Sets a linear head so that class k gets w[k].z + b[k] of z = (x - mean) / sd (both NULL: x itself), scores all rows,
 * writes o->best and the task's one line of the log. w: [2, width]. sd is above 0, or the column counts as 0. */
hct_status probe_take(hct_dev *dev, const probe_data *d, const probe_fit_options *o, params *head, const double *mean,
                      const double *sd, const double *w, const double b[2], double validation_auc, double *score,
                      hct_err *err);

#endif
