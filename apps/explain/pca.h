/* Principal components: the directions in which rows differ most. */
#ifndef EXPLAIN_PCA_H
#define EXPLAIN_PCA_H

#include "hct/types.h"

enum { PCA_MOST = 64 };

/* x [n, dim] -> y [n, k], k at most PCA_MOST and dim: coordinates along the first k components, each with its largest
 * loading positive. share [k]: of the variance. Orthogonal iteration on the covariance, in double. HCT_EINVAL: a
 * value that is not finite, fewer than two rows. */
hct_status pca(const float *x, size_t n, size_t dim, size_t k, int threads, double *y, double *share, hct_err *err);

#endif
