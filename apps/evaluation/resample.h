/* Tables of scores, and the ways of drawing them again: with replacement (bootstrap), in whole groups, by coins
 * (permutation). Counter-based: draw b depends on the seed, b and n alone, so that draws may be made in any order and
 * by any number of threads. */
#ifndef EVALUATION_RESAMPLE_H
#define EVALUATION_RESAMPLE_H

#include "hct/types.h"

/* Scores of one model: n cases (rows) by n_tasks columns, row-major. label: 1 positive, 0 negative, -1 not known. */
typedef struct score_table {
    size_t n, n_tasks;
    const double *score;
    const int8_t *label;
} score_table;

/* Rows that belong together, such as a patient's scans: those of group g are row[first[g]] .. row[first[g + 1] - 1]. */
typedef struct row_groups {
    size_t n;              /* groups */
    const uint32_t *first; /* [n + 1] */
    const uint32_t *row;   /* each row once */
} row_groups;

/* Draws resample b of n cases: weight[i] = how often case i was drawn (bootstrap), or 1 where case i's two scores are
 * to be exchanged, 0 else (permutation). draw is called from several threads at once. */
typedef struct resampler {
    void (*draw)(const struct resampler *self, size_t b, size_t n, uint32_t *weight);
    size_t count;
    uint64_t seed;            /* of the resamplers below */
    const row_groups *groups; /* what is drawn whole; NULL: single rows */
    const void *context;      /* of the caller's own */
} resampler;

/* n draws with replacement; a coin per case. */
resampler bootstrap_resampler(size_t count, uint64_t seed);
resampler permutation_resampler(size_t count, uint64_t seed);
/* Draws n whole groups with replacement: intervals for scans that are not independent. groups is borrowed. */
resampler group_resampler(size_t count, uint64_t seed, const row_groups *groups);

/* How many units (rows or groups) a resampler draws from, and the weights that leave one of them out. */
size_t resampler_units(const resampler *r, size_t n);
void resampler_leave_out(const resampler *r, size_t unit, size_t n, uint32_t *weight);

/* Linear interpolation between order statistics at (n-1)*q; sorts v. NaN for n = 0. */
double percentile(double *v, size_t n, double q);
/* Plain mean of what is not NaN; NaN where nothing is. */
double mean_defined(const double *v, size_t n);
/* Moves what is not NaN to the front; returns how many. */
size_t keep_defined(double *v, size_t n);

#endif
