/* Dealing patients to parts. */
#include "dataset/split_deal.h"

#include <math.h>
#include <stdlib.h>

enum { LABELS = 64 };

/* count[p] of n for each part. */
static void apportion(const double *ratios, size_t parts, size_t n, size_t *count) {
    double total = 0, rest[LABELS];
    size_t given = 0;
    for (size_t p = 0; p < parts; p++) total += ratios[p];
    for (size_t p = 0; p < parts; p++) {
        double share = (double)n * ratios[p] / total;
        count[p] = (size_t)floor(share + 1e-9);
        rest[p] = share - (double)count[p];
        given += count[p];
    }
    for (; given < n; given++) {
        size_t best = 0;
        for (size_t p = 1; p < parts; p++)
            if (rest[p] > rest[best]) best = p;
        count[best]++;
        rest[best] -= 1;
    }
    for (size_t p = 0; p < parts; p++) {
        size_t largest = 0;
        for (size_t k = 1; k < parts; k++)
            if (count[k] > count[largest]) largest = k;
        if (ratios[p] > 0 && count[p] == 0 && count[largest] > 1) {
            count[p]++;
            count[largest]--;
        }
    }
}

void split_deal(size_t n, const double *ratios, size_t parts, int *ret_part) {
    size_t count[LABELS], at = 0;
    apportion(ratios, parts, n, count);
    for (size_t p = 0; p < parts; p++)
        for (size_t k = 0; k < count[p]; k++) ret_part[at++] = (int)p;
}

/* What is still to be dealt. */
typedef struct dealing {
    const uint64_t *labels;
    size_t n, parts, left[LABELS]; /* left: patients that a part still takes */
    double wanted[LABELS][LABELS]; /* [label][part]: positives that it still lacks; below 0: it has too many */
    size_t got[LABELS][LABELS];    /* positives that it has */
    size_t open[LABELS];           /* positives of a label who are not dealt yet */
    const double *ratios;
} dealing;

static size_t rarest(const dealing *d) {
    size_t best = LABELS;
    for (size_t k = 0; k < LABELS; k++)
        if (d->open[k] && (best == LABELS || d->open[k] < d->open[best])) best = k;
    return best;
}

/* The part for a positive of label k. */
static size_t choose(const dealing *d, size_t k) {
    size_t best = d->parts, empty = 0;
    for (size_t p = 0; p < d->parts; p++) empty += d->left[p] && d->ratios[p] > 0 && !d->got[k][p];
    bool only_empty = empty && d->open[k] <= empty;
    for (size_t p = 0; p < d->parts; p++) {
        if (!d->left[p] || (only_empty && d->got[k][p])) continue;
        if (best == d->parts || d->wanted[k][p] > d->wanted[k][best] + 1e-9 ||
            (fabs(d->wanted[k][p] - d->wanted[k][best]) <= 1e-9 && d->left[p] > d->left[best]))
            best = p;
    }
    return best;
}

static void place(dealing *d, size_t i, size_t p, int *ret_part) {
    ret_part[i] = (int)p;
    d->left[p]--;
    for (size_t k = 0; k < LABELS; k++) {
        if (!(d->labels[i] >> k & 1)) continue;
        d->wanted[k][p]--;
        d->got[k][p]++;
        d->open[k]--;
    }
}

hct_status split_deal_evenly(const uint64_t *labels, size_t n, const double *ratios, size_t parts, int *ret_part,
                             hct_err *err) {
    dealing *d = calloc(1, sizeof *d);
    if (!d) return hct_fail(err, HCT_ENOMEM, "no memory to deal %zu patients", n);
    *d = (dealing){.labels = labels, .n = n, .parts = parts, .ratios = ratios};
    double total = 0;
    for (size_t p = 0; p < parts; p++) total += ratios[p];
    apportion(ratios, parts, n, d->left);
    for (size_t i = 0; i < n; i++) {
        ret_part[i] = -1;
        for (size_t k = 0; k < LABELS; k++) d->open[k] += labels[i] >> k & 1;
    }
    for (size_t k = 0; k < LABELS; k++)
        for (size_t p = 0; p < parts; p++) d->wanted[k][p] = (double)d->open[k] * ratios[p] / total;
    for (size_t k = rarest(d); k < LABELS; k = rarest(d))
        for (size_t i = 0; i < n && d->open[k]; i++)
            if (ret_part[i] < 0 && labels[i] >> k & 1) place(d, i, choose(d, k), ret_part);
    for (size_t i = 0, p = 0; i < n; i++) {
        while (p < parts && !d->left[p]) p++;
        if (ret_part[i] < 0 && p < parts) place(d, i, p, ret_part);
    }
    free(d);
    return HCT_OK;
}
