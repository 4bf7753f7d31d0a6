/* backends/cpu/normal.h: the normal distribution's Phi and phi, in acc. */
#ifndef CPU_NORMAL_H
#define CPU_NORMAL_H

#include "real.h"

#include <math.h>

#define SQRT1_2 ((acc)0.70710678118654752440) /* 1 / sqrt 2 */
#define INV_SQRT_2PI ((acc)0.39894228040143267794)

static inline acc normal_cdf(acc x) { return (acc)0.5 * (1 + ERF(x * SQRT1_2)); }
static inline acc normal_pdf(acc x) { return INV_SQRT_2PI * EXP((acc)-0.5 * x * x); }

#endif
