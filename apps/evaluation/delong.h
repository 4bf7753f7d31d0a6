/* DeLong's variance of an AUC and the test of two correlated ones (DeLong, DeLong & Clarke-Pearson 1988, Biometrics
 * 44:837, doi 10.2307/2531595), by the placements of Sun & Xu 2014 (IEEE Signal Processing Letters 21:1389) in O(n
 * log n).
 *
 * With m positives X and n negatives Y, psi(x, y) = 1, 1/2 or 0 where x > y, x = y, x < y:
 *
 *   V10_i = mean over j of psi(X_i, Y_j)      V01_j = mean over i of psi(X_i, Y_j)
 *   var(AUC) = var(V10) / m + var(V01) / n    (sample variances; covariances for two models) */
#ifndef EVALUATION_DELONG_H
#define EVALUATION_DELONG_H

#include "evaluation/statistics.h"

/* place[case] of every case of the ranking: V10 of a positive, V01 of a negative; cases without a label are left alone.
 * HCT_EINVAL: a class is missing. */
hct_status delong_placements(const ranking *r, double *place, hct_err *err);

/* value: the AUC; low and high: value -+ z sqrt(var), cut off at 0 and 1; mean is the value. All NaN where a class is
 * missing or has one case. */
hct_status delong_interval(const ranking *r, double level, interval *ret, hct_err *err);

/* Newcombe's interval (2006, Statistics in Medicine 25:559, method 5): the AUCs t that are not further from the one
 * found than z sqrt(V(t)), with Hanley & McNeil's variance at t,
 *
 *   V(t) = t (1 - t) (1 + N ((1 - t) / (2 - t) + t / (1 + t))) / (m n),   N = (m + n) / 2 - 1
 *
 * for few positives, where resampling cannot know what it has not seen: it keeps its level down to three of them, and
 * has a width where the AUC found is 1. All NaN where a class is missing. */
hct_status newcombe_interval(const ranking *r, double level, interval *ret);

typedef struct delong_comparison {
    double difference, error, z, p; /* AUC(a) - AUC(b), its standard error; two-sided. NaN where a class is missing */
} delong_comparison;

/* Both rankings are of the same cases and labels (ranking.of, at most n). Where the models rank alike
 * (error and difference 0), p is 1; where the error is 0 but the difference is not, z and p are NaN: both rank without
 * any spread, such as a perfect model beside a constant one, and this variance cannot tell. */
hct_status delong_test(const ranking *a, const ranking *b, delong_comparison *ret, hct_err *err);

/* P(|Z| >= |z|) of a standard normal. */
double normal_two_sided(double z);
/* z with P(Z <= z) = p, 0 < p < 1 (Wichura 1988, AS 241, relative error 1e-16). */
double normal_quantile(double p);
/* P(Z <= z). */
double normal_below(double z);

#endif
