/* Operating points: the threshold above which a scan is called positive, chosen on one set of scans (validation),
 * and what it does on another (test). A score is positive where it is at or above the threshold. */
#ifndef EVALUATION_OPERATING_H
#define EVALUATION_OPERATING_H

#include "evaluation/ranking.h"

typedef enum operating_rule {
    OPERATING_YOUDEN,      /* largest sensitivity + specificity - 1 (Youden 1950); of equals the highest threshold */
    OPERATING_SENSITIVITY, /* the highest threshold whose sensitivity is at least the one wanted */
    OPERATING_SPECIFICITY  /* the lowest threshold whose specificity is at least the one wanted */
} operating_rule;

/* NaN where a class is missing. A specificity that no score reaches gives infinity: nothing is called positive. */
double operating_threshold(const ranking *r, operating_rule rule, double wanted);

typedef struct proportion {
    double value, low, high; /* Wilson's score interval (Wilson 1927); all NaN of none */
} proportion;

proportion proportion_of(double of, double n, double level);

typedef struct operating_point {
    double threshold;
    size_t true_positive, false_positive, true_negative, false_negative;
    proportion sensitivity, specificity, precision, negative_predictive_value, accuracy;
    double f1; /* NaN where nothing is or is called positive */
} operating_point;

operating_point operating_at(const ranking *r, double threshold, double level);

#endif
