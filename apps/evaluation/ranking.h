/* Cases in order of score, and what follows from that order: ROC AUC, average precision, the ROC curve.
 *
 * A ranking is sorted once; every function takes a weight per case (how often a resample drew it), so a bootstrap or a
 * permutation costs one pass each. Weights NULL: each case once. Ties share a threshold, as in scikit-learn. */
#ifndef EVALUATION_RANKING_H
#define EVALUATION_RANKING_H

#include <stdbool.h>

#include "hct/types.h"

/* One task's cases with a known label, highest score first. */
typedef struct ranking {
    size_t n, of; /* n cases of `of`, the rest have no label */
    struct ranked {
        double score;
        uint32_t of_case; /* its number in the caller's arrays, and in weights */
        uint8_t positive;
    } * at;
} ranking;

/* label: 1 positive, 0 negative, -1 unknown (left out, its score too). HCT_EINVAL where a score is NaN or infinite,
 * naming its number; nothing to free then. */
hct_status ranking_make(const double *score, const int8_t *label, size_t n, ranking *ret, hct_err *err);
void ranking_free(ranking *r);

/* Positive and negative cases under these weights. */
void ranking_counts(const ranking *r, const uint32_t *weight, double *ret_positives, double *ret_negatives);

/* P(score of a positive > score of a negative) + P(equal)/2. NaN, 'undefined', where one class is missing. */
double ranking_auc(const ranking *r, const uint32_t *weight);

/* Sum over the distinct scores, from the highest, of recall gained * precision there; no interpolation. 0 without
 * positives; NaN without cases. */
double ranking_average_precision(const ranking *r, const uint32_t *weight);

/* Points (fpr[i], tpr[i]) from (0,0) to (1,1), one more than there are distinct scores; arrays of r->n + 1. Returns how
 * many; 0 where one class is missing. */
size_t ranking_roc(const ranking *r, const uint32_t *weight, double *fpr, double *tpr);

/* Points (recall[i], precision[i]) of the distinct scores that have a positive, from the highest; recall rises to 1.
 * Arrays of r->n. Returns how many; 0 where one class is missing. Their steps add up to the average precision. */
size_t ranking_pr(const ranking *r, const uint32_t *weight, double *recall, double *precision);

#endif
