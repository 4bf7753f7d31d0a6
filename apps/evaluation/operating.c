/* Thresholds, and what they do. */
#include "evaluation/operating.h"

#include <math.h>

#include "evaluation/delong.h"

double operating_threshold(const ranking *r, operating_rule rule, double wanted) {
    double positives, negatives, p = 0, n = 0, best = -INFINITY, at = INFINITY;
    ranking_counts(r, NULL, &positives, &negatives);
    if (positives == 0 || negatives == 0) return NAN;
    for (size_t i = 0; i < r->n;) { /* thresholds at each distinct score, the highest first */
        double score = r->at[i].score;
        for (; i < r->n && r->at[i].score == score; i++) *(r->at[i].positive ? &p : &n) += 1;
        double sensitivity = p / positives, specificity = 1 - n / negatives;
        double youden = p * negatives - n * positives; /* times both counts: whole, so that equals are equal */
        if (rule == OPERATING_YOUDEN && youden > best) best = youden, at = score;
        if (rule == OPERATING_SENSITIVITY && sensitivity >= wanted - 1e-12) return score;
        if (rule == OPERATING_SPECIFICITY && specificity >= wanted - 1e-12) at = score;
    }
    return at;
}

proportion proportion_of(double of, double n, double level) {
    if (!(n > 0)) return (proportion){NAN, NAN, NAN};
    double z = normal_quantile((1 + level) / 2), share = of / n, z2 = z * z / n, centre = (share + z2 / 2) / (1 + z2),
           half = z / (1 + z2) * sqrt(share * (1 - share) / n + z2 / (4 * n));
    return (proportion){share, fmax(centre - half, 0), fmin(centre + half, 1)};
}

operating_point operating_at(const ranking *r, double threshold, double level) {
    operating_point o = {.threshold = threshold};
    for (size_t i = 0; i < r->n; i++) {
        int called = r->at[i].score >= threshold;
        if (r->at[i].positive) *(called ? &o.true_positive : &o.false_negative) += 1;
        else *(called ? &o.false_positive : &o.true_negative) += 1;
    }
    double tp = (double)o.true_positive, fp = (double)o.false_positive, tn = (double)o.true_negative,
           fn = (double)o.false_negative;
    o.sensitivity = proportion_of(tp, tp + fn, level);
    o.specificity = proportion_of(tn, tn + fp, level);
    o.precision = proportion_of(tp, tp + fp, level);
    o.negative_predictive_value = proportion_of(tn, tn + fn, level);
    o.accuracy = proportion_of(tp + tn, tp + tn + fp + fn, level);
    o.f1 = 2 * tp + fp + fn > 0 ? 2 * tp / (2 * tp + fp + fn) : NAN;
    return o;
}
