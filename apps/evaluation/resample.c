/* Draws of rows, groups and coins; percentiles of what they give. */
#include "evaluation/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/philox.h"

/* Words i and on of resample b come four at a time. */
static void draw_rows(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    memset(weight, 0, n * sizeof *weight);
    for (size_t i = 0; i < n; i += 4) {
        hct_philox four = hct_philox4x32(self->seed, i >> 2, b);
        for (size_t k = 0; k < 4 && i + k < n; k++) weight[(uint64_t)four.v[k] * n >> 32]++;
    }
}

static void draw_coins(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    for (size_t i = 0; i < n; i += 4) {
        hct_philox four = hct_philox4x32(self->seed, i >> 2, b);
        for (size_t k = 0; k < 4 && i + k < n; k++) weight[i + k] = four.v[k] >> 31;
    }
}

static void draw_groups(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    const row_groups *g = self->groups;
    memset(weight, 0, n * sizeof *weight);
    for (size_t i = 0; i < g->n; i += 4) {
        hct_philox four = hct_philox4x32(self->seed, i >> 2, b);
        for (size_t k = 0; k < 4 && i + k < g->n; k++) {
            size_t drawn = (size_t)((uint64_t)four.v[k] * g->n >> 32);
            for (uint32_t r = g->first[drawn]; r < g->first[drawn + 1]; r++) weight[g->row[r]]++;
        }
    }
}

resampler bootstrap_resampler(size_t count, uint64_t seed) { return (resampler){draw_rows, count, seed, NULL, NULL}; }

resampler permutation_resampler(size_t count, uint64_t seed) {
    return (resampler){draw_coins, count, seed, NULL, NULL};
}

resampler group_resampler(size_t count, uint64_t seed, const row_groups *groups) {
    return (resampler){draw_groups, count, seed, groups, NULL};
}

size_t resampler_units(const resampler *r, size_t n) { return r->groups ? r->groups->n : n; }

void resampler_leave_out(const resampler *r, size_t unit, size_t n, uint32_t *weight) {
    for (size_t i = 0; i < n; i++) weight[i] = 1;
    if (!r->groups) weight[unit] = 0;
    else
        for (uint32_t i = r->groups->first[unit]; i < r->groups->first[unit + 1]; i++) weight[r->groups->row[i]] = 0;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double percentile(double *v, size_t n, double q) {
    if (n == 0) return NAN;
    qsort(v, n, sizeof *v, by_value);
    double at = (double)(n - 1) * q;
    size_t i = (size_t)at;
    return i + 1 < n ? v[i] + (v[i + 1] - v[i]) * (at - (double)i) : v[n - 1];
}

double mean_defined(const double *v, size_t n) {
    double sum = 0;
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(v[i])) sum += v[i], k++;
    return k ? sum / (double)k : NAN;
}

size_t keep_defined(double *v, size_t n) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(v[i])) v[k++] = v[i];
    return k;
}
