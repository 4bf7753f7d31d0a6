/* The nearest neighbours of many points by Euclidean distance, exactly: a vantage-point tree (Yianilos 1993). */
#ifndef EXPLAIN_NEIGHBOURS_H
#define EXPLAIN_NEIGHBOURS_H

#include "hct/types.h"

/* x [n, dim], finite; k below n. index [n, k]: the k nearest of each point, itself left out, nearest first (ties: the
 * lower row); square [n, k]: their squared distances. threads 0: one a CPU; they change nothing. */
hct_status neighbours_find(const float *x, size_t n, size_t dim, size_t k, int threads, uint32_t *index, double *square,
                           hct_err *err);

#endif
