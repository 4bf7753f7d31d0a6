/* Rankings as resampling reads them: one word a case, in order of score, so that a resample of a task costs one pass
 * over 4 bytes a case and one look at its weight. Sums are of whole numbers: they do not depend on the order of
 * additions, and equal those of ranking.h. */
#ifndef EVALUATION_ORDER_H
#define EVALUATION_ORDER_H

#include "evaluation/ranking.h"
#include "evaluation/resample.h"

/* item: case << 4 | alone with its score << 3 | of the second model << 2 | positive << 1 | last of its score. */
typedef struct rank_order {
    uint32_t *item;
    size_t n, positives; /* items, of both models */
} rank_order;

/* One task's column as a ranking; HCT_EINVAL names a bad score by row. */
hct_status ranking_of_task(const score_table *t, size_t task, ranking *ret, hct_err *err);

/* One order a task of table a; with b (NULL: none) of both models' scores together, for exchanges. HCT_EINVAL names a
 * bad score by row and task; HCT_ESHAPE: 2^28 rows or more. */
hct_status rank_orders_make(const score_table *a, const score_table *b, rank_order **ret, hct_err *err);
void rank_orders_free(rank_order *orders, size_t n_tasks);

/* Of one model; both NaN where a class has no weight. */
void rank_order_metrics(const rank_order *o, const uint32_t *weight, double *ret_auc, double *ret_average_precision);
/* AUC(first) - AUC(second) where bit i & 63 of swap[i / 64] exchanges case i's scores; NaN where a class is missing. */
double rank_order_difference(const rank_order *o, const uint64_t *swap);

#endif
