/* Many tests at once. */
#ifndef EVALUATION_MULTIPLE_H
#define EVALUATION_MULTIPLE_H

#include "hct/types.h"

/* Holm's step-down correction (Holm 1979): adjusted p-values, so that rejecting those at or below alpha keeps the
 * chance of any false rejection at or below alpha. adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)). NaN
 * (not tested) stays NaN and does not count. */
hct_status holm(const double *p, size_t n, double *adjusted, hct_err *err);

#endif
