/* Calibration: whether scans that get a probability of 0.3 are positive three times in ten, and maps that mend it. */
#ifndef EVALUATION_CALIBRATION_H
#define EVALUATION_CALIBRATION_H

#include "evaluation/ranking.h"

/* One bin of a reliability diagram: scans whose probability lies in [low, high) (the last one: with high). */
typedef struct calibration_bin {
    double low, high, mean, observed; /* mean probability, share of positives; NaN where n is 0 */
    size_t n;
} calibration_bin;

typedef struct calibration {
    double brier;            /* mean of (p - y)^2 (Brier 1950) */
    double ece;              /* sum over bins of n / N * |mean - observed| (Naeini et al. 2015) */
    double intercept, slope; /* of a logistic regression of y on logit(p): 0 and 1 where it is calibrated */
} calibration;

/* bins of equal width over [0, 1]; bins: [n_bins], may be NULL. HCT_EINVAL: a probability outside 0 to 1, by case. NaN
 * where there are no cases; intercept and slope NaN where a class is missing or the classes can be told apart. */
hct_status calibration_of(const ranking *r, size_t n_bins, calibration *ret, calibration_bin *bins, hct_err *err);

typedef enum calibration_kind { CALIBRATION_NONE, CALIBRATION_PLATT, CALIBRATION_TEMPERATURE } calibration_kind;

/* p' = 1 / (1 + exp(-(slope logit(p) + intercept))). Platt scaling (Platt 1999) fits both on validation, with his
 * smoothed targets (N+ + 1) / (N+ + 2) and 1 / (N- + 2); a temperature T is slope 1 / T and intercept 0 (Guo et al.
 * 2017). */
typedef struct calibration_map {
    double slope, intercept;
} calibration_map;

/* By Newton's method on the cross-entropy. HCT_EINVAL: a class is missing, or a probability is not from 0 to 1. */
hct_status calibration_fit(const ranking *r, calibration_kind kind, calibration_map *ret, hct_err *err);
double calibration_apply(const calibration_map *m, double p);
/* log(p / (1 - p)), p kept 1e-12 away from 0 and 1. */
double calibration_logit(double p);

#endif
