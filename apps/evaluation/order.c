/* Scores in order, packed; AUC and average precision in one pass. */
#include "evaluation/order.h"

#include <math.h>
#include <stdlib.h>

enum { LAST = 1, POSITIVE = 2, SECOND = 4, CASE = 3 };

hct_status ranking_of_task(const score_table *t, size_t task, ranking *ret, hct_err *err) {
    double *score = malloc(t->n * sizeof *score + 1);
    int8_t *label = malloc(t->n + 1);
    hct_status st = score && label ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scores", t->n);
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) {
        score[i] = t->score[i * t->n_tasks + task];
        label[i] = t->label[i * t->n_tasks + task];
    }
    if (st == HCT_OK) st = ranking_make(score, label, t->n, ret, err);
    free(score);
    free(label);
    return st;
}

static hct_status pack(const ranking *r, size_t n, rank_order *ret, hct_err *err) {
    uint32_t *item = malloc((r->n + 1) * sizeof *item);
    if (!item) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu scores", r->n);
    for (size_t i = 0; i < r->n; i++) {
        const struct ranked *at = &r->at[i];
        uint32_t second = at->of_case >= n, last = i + 1 == r->n || at[1].score != at->score;
        item[i] = (at->of_case - (second ? (uint32_t)n : 0)) << CASE | (second ? SECOND : 0) |
                  (at->positive ? POSITIVE : 0) | (last ? LAST : 0);
    }
    *ret = (rank_order){item, r->n};
    return HCT_OK;
}

hct_status rank_orders_make(const score_table *a, const score_table *b, rank_order **ret, hct_err *err) {
    size_t n = a->n, both = b ? 2 * n : n;
    if (n >> (32 - CASE)) return hct_fail(err, HCT_ESHAPE, "%zu rows are more than 2^29 - 1", n);
    rank_order *orders = calloc(a->n_tasks + 1, sizeof *orders);
    double *score = malloc(both * sizeof *score + 1);
    int8_t *label = malloc(both + 1);
    hct_status status =
        orders && score && label ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scores", both);
    for (size_t t = 0; t < a->n_tasks && status == HCT_OK; t++) {
        for (size_t i = 0; i < both; i++) {
            const score_table *from = i < n ? a : b;
            score[i] = from->score[i % n * a->n_tasks + t];
            label[i] = a->label[i % n * a->n_tasks + t];
            if (label[i] >= 0 && !isfinite(score[i]) && status == HCT_OK)
                status = hct_fail(err, HCT_EINVAL, "row %zu, task %zu: the score is %f; scores must be finite numbers",
                                  i % n, t, score[i]);
        }
        ranking r = {0};
        if (status == HCT_OK) status = ranking_make(score, label, both, &r, err);
        if (status == HCT_OK) status = pack(&r, n, &orders[t], err);
        ranking_free(&r);
    }
    free(score);
    free(label);
    if (status == HCT_OK) *ret = orders;
    else rank_orders_free(orders, a->n_tasks);
    return status;
}

void rank_orders_free(rank_order *orders, size_t n_tasks) {
    for (size_t t = 0; orders && t < n_tasks; t++) free(orders[t].item);
    free(orders);
}

void rank_order_metrics(const rank_order *o, const uint32_t *weight, double *ret_auc, double *ret_average_precision) {
    /* sum: weight of negatives, of positives so far; lost: twice the pairs that negatives win */
    uint64_t sum[2] = {0, 0}, positives = 0, negatives = 0, lost = 0;
    double precision = 0;
    for (size_t i = 0; i < o->n; i++) {
        uint32_t item = o->item[i];
        sum[item >> 1 & 1] += weight ? weight[item >> CASE] : 1;
        if (!(item & LAST)) continue;
        uint64_t p = sum[1] - positives;
        if (p) {
            lost += p * (negatives + sum[0]);
            precision += (double)p * ((double)sum[1] / ((double)sum[1] + (double)sum[0]));
        }
        negatives = sum[0];
        positives = sum[1];
    }
    double p = (double)positives, n = (double)negatives;
    bool both = positives && negatives;
    *ret_auc = both ? (double)(2 * positives * negatives - lost) / 2 / (p * n) : NAN;
    *ret_average_precision = both ? precision / p : NAN;
}

double rank_order_difference(const rank_order *o, const uint32_t *swap) {
    uint64_t sum[4] = {0, 0, 0, 0}, before[4] = {0, 0, 0, 0}, lost[2] = {0, 0}; /* [model * 2 + positive] */
    for (size_t i = 0; i < o->n; i++) {
        uint32_t item = o->item[i], model = (item >> 2 & 1) ^ (swap ? swap[item >> CASE] : 0);
        sum[model * 2 + (item >> 1 & 1)]++;
        if (!(item & LAST)) continue;
        for (int m = 0; m < 2; m++) {
            lost[m] += (sum[2 * m + 1] - before[2 * m + 1]) * (before[2 * m] + sum[2 * m]);
            before[2 * m] = sum[2 * m];
            before[2 * m + 1] = sum[2 * m + 1];
        }
    }
    double auc[2];
    for (int m = 0; m < 2; m++) {
        double p = (double)sum[2 * m + 1], n = (double)sum[2 * m];
        auc[m] = p > 0 && n > 0 ? (double)(2 * sum[2 * m + 1] * sum[2 * m] - lost[m]) / 2 / (p * n) : NAN;
    }
    return auc[0] - auc[1];
}
