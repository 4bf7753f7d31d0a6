/* Scores in order: the area under the ROC curve and average precision, weighted by resamples. */
#include "evaluation/ranking.h"

#include <math.h>
#include <stdlib.h>

/* Highest score first; ties in the order of cases, so that a ranking does not depend on qsort. */
static int by_score(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->of_case > y->of_case) - (x->of_case < y->of_case);
}

hct_status ranking_make(const double *score, const int8_t *label, size_t n, ranking *ret, hct_err *err) {
    ranking r = {.of = n, .at = malloc((n + 1) * sizeof *r.at)};
    if (!r.at) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu scores", n);
    for (size_t i = 0; i < n; i++) {
        if (label[i] < 0) continue;
        if (!isfinite(score[i])) {
            free(r.at);
            return hct_fail(err, HCT_EINVAL, "score %zu is %f; scores must be finite numbers", i, score[i]);
        }
        r.at[r.n++] = (struct ranked){score[i], (uint32_t)i, label[i] > 0};
    }
    qsort(r.at, r.n, sizeof *r.at, by_score);
    *ret = r;
    return HCT_OK;
}

void ranking_free(ranking *r) {
    free(r->at);
    *r = (ranking){0};
}

/* Adds the cases that share the score of case *i to *positives and *negatives and moves *i behind them. */
static void take_group(const ranking *r, const uint32_t *weight, size_t *i, double *positives, double *negatives) {
    double score = r->at[*i].score;
    for (; *i < r->n && r->at[*i].score == score; ++*i) {
        double w = weight ? weight[r->at[*i].of_case] : 1;
        *(r->at[*i].positive ? positives : negatives) += w;
    }
}

void ranking_counts(const ranking *r, const uint32_t *weight, double *ret_positives, double *ret_negatives) {
    *ret_positives = *ret_negatives = 0;
    for (size_t i = 0; i < r->n;) take_group(r, weight, &i, ret_positives, ret_negatives);
}

double ranking_auc(const ranking *r, const uint32_t *weight) {
    double all_positives, all_negatives, above = 0, won = 0; /* above: negatives with a higher score */
    ranking_counts(r, weight, &all_positives, &all_negatives);
    if (all_positives == 0 || all_negatives == 0) return NAN;
    for (size_t i = 0; i < r->n;) {
        double p = 0, n = 0;
        take_group(r, weight, &i, &p, &n);
        won += p * (all_negatives - above - n / 2);
        above += n;
    }
    return won / (all_positives * all_negatives);
}

double ranking_average_precision(const ranking *r, const uint32_t *weight) {
    double all_positives, all_negatives, p = 0, n = 0, sum = 0;
    ranking_counts(r, weight, &all_positives, &all_negatives);
    if (all_positives == 0) return all_negatives == 0 ? NAN : 0;
    for (size_t i = 0; i < r->n;) {
        double before = p;
        take_group(r, weight, &i, &p, &n);
        if (p > before) sum += (p - before) * (p / (p + n));
    }
    return sum / all_positives;
}

size_t ranking_roc(const ranking *r, const uint32_t *weight, double *fpr, double *tpr) {
    double all_positives, all_negatives, p = 0, n = 0;
    size_t points = 0;
    ranking_counts(r, weight, &all_positives, &all_negatives);
    if (all_positives == 0 || all_negatives == 0) return 0;
    for (size_t i = 0;; points++) {
        fpr[points] = n / all_negatives;
        tpr[points] = p / all_positives;
        if (i == r->n) return points + 1;
        take_group(r, weight, &i, &p, &n);
    }
}

size_t ranking_pr(const ranking *r, const uint32_t *weight, double *recall, double *precision) {
    double all_positives, all_negatives, p = 0, n = 0;
    size_t points = 0;
    ranking_counts(r, weight, &all_positives, &all_negatives);
    if (all_positives == 0 || all_negatives == 0) return 0;
    for (size_t i = 0; i < r->n;) {
        double before = p;
        take_group(r, weight, &i, &p, &n);
        if (p == before) continue;
        recall[points] = p / all_positives;
        precision[points++] = p / (p + n);
    }
    return points;
}
