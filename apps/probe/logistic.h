/* Logistic regression with an L2 penalty, fitted to convergence: the objective of scikit-learn's LogisticRegression
 * (Fan et al. 2008, "LIBLINEAR", eq. 1 and 4; the intercept is free),
 *
 *   f(w, b) = 1/2 w.w + C sum_i log(1 + exp(-y_i (w.x_i + b))),  y_i = +-1,
 *
 * by Newton's method with conjugate gradients and a line search. f is convex and its gradient at the answer is zero to
 * within `tolerance`, so the answer does not depend on where the search begins. */
#ifndef PROBE_LOGISTIC_H
#define PROBE_LOGISTIC_H

#include <stddef.h>
#include <stdint.h>

#include "hct/types.h"

typedef struct logistic_problem {
    const float *x; /* [.., width] */
    size_t width;
    const size_t *row; /* [n]: which rows of x */
    const int8_t *label;
    /* [width]: each column is taken as (x - mean) / sd; NULL: as it is. sd 0: the column counts as 0 */
    const double *mean, *sd;
    size_t n; /* label: [n], 0 or 1 */
} logistic_problem;

typedef struct logistic_report {
    int steps;
    double gradient; /* largest part of the gradient of f at the end, divided by that at zero weights */
} logistic_report;

/* w: [width + 1], the intercept last, of the columns as the problem takes them; its values are where the search begins
 * (zeros at first). HCT_EINVAL: C is not above 0, a class is missing, a value is not finite, no convergence. */
hct_status logistic_fit(const logistic_problem *p, double c, double *io_w, logistic_report *ret, hct_err *err);

#endif
