/* Scores in order, packed; AUC and average precision in one pass. */
#include "evaluation/order.h"

#include <math.h>
#include <stdlib.h>

enum { LAST = 1, POSITIVE = 2, SECOND = 4, ALONE = 8, CASE = 4 };

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
    size_t positives = 0;
    if (!item) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu scores", r->n);
    for (size_t i = 0; i < r->n; i++) {
        const struct ranked *at = &r->at[i];
        uint32_t second = at->of_case >= n, last = i + 1 == r->n || at[1].score != at->score,
                 first = i == 0 || at[-1].score != at->score;
        item[i] = (at->of_case - (second ? (uint32_t)n : 0)) << CASE | (second ? SECOND : 0) |
                  (at->positive ? POSITIVE : 0) | (last ? LAST : 0) | (first && last ? ALONE : 0);
        positives += at->positive;
    }
    *ret = (rank_order){item, r->n, positives};
    return HCT_OK;
}

hct_status rank_orders_make(const score_table *a, const score_table *b, rank_order **ret, hct_err *err) {
    size_t n = a->n, both = b ? 2 * n : n;
    if (n >> (32 - CASE)) return hct_fail(err, HCT_ESHAPE, "%zu rows are more than 2^28 - 1", n);
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
    /* weights above the group at hand; of the group; lost: twice the pairs that negatives win */
    uint64_t p = 0, n = 0, group[2] = {0, 0}, lost = 0;
    double precision = 0;
    for (size_t i = 0; i < o->n; i++) {
        uint32_t item = o->item[i], w = weight ? weight[item >> CASE] : 1;
        if (item & ALONE) {
            if (!(item & POSITIVE)) n += w;
            else if (w) {
                lost += 2 * (uint64_t)w * n;
                p += w;
                precision += (double)w * ((double)p / ((double)p + (double)n));
            }
            continue;
        }
        group[item >> 1 & 1] += w;
        if (!(item & LAST)) continue;
        lost += group[1] * (2 * n + group[0]);
        p += group[1];
        n += group[0];
        if (group[1]) precision += (double)group[1] * ((double)p / ((double)p + (double)n));
        group[0] = group[1] = 0;
    }
    bool both = p && n;
    *ret_auc = both ? (double)(2 * p * n - lost) / 2 / ((double)p * (double)n) : NAN;
    *ret_average_precision = both ? precision / (double)p : NAN;
}

/* Whether case i is exchanged. */
static inline uint32_t swapped(const uint64_t *swap, uint32_t i) { return swap[i >> 6] >> (i & 63) & 1; }

double rank_order_difference(const rank_order *o, const uint64_t *swap) {
    /* negatives above: of both models, of the second; lost: twice the pairs that negatives win, by model */
    uint64_t n = 0, n1 = 0, lost0 = 0, lost1 = 0, group[2][2] = {{0, 0}, {0, 0}}; /* [positive][model] */
    for (size_t i = 0; i < o->n; i++) {
        uint32_t item = o->item[i], second = swapped(swap, item >> CASE) ^ (item >> 2 & 1);
        if (item & ALONE) {
            uint64_t all = (uint64_t)0 - second; /* a mask: no jump, which could not be foreseen */
            if (item & POSITIVE) {
                lost0 += 2 * (n - n1) & ~all;
                lost1 += 2 * n1 & all;
            } else {
                n++;
                n1 += second;
            }
            continue;
        }
        group[item >> 1 & 1][second]++;
        if (!(item & LAST)) continue;
        lost0 += group[1][0] * (2 * (n - n1) + group[0][0]);
        lost1 += group[1][1] * (2 * n1 + group[0][1]);
        n += group[0][0] + group[0][1];
        n1 += group[0][1];
        group[0][0] = group[0][1] = group[1][0] = group[1][1] = 0;
    }
    uint64_t positives = o->positives / 2, negatives = (o->n - o->positives) / 2, pairs = positives * negatives;
    double of = (double)positives * (double)negatives;
    return pairs ? (double)(2 * pairs - lost0) / 2 / of - (double)(2 * pairs - lost1) / 2 / of : NAN;
}
