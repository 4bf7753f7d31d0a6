/* An epoch's order, drawn by seed. */
#include "training/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "hct/philox.h"
#include "support/streams.h"

__extension__ typedef unsigned __int128 wide;

/* Uniform in [0, bound): 64 random bits times bound, high half (the bias is below bound / 2^64). */
static size_t below(hct_philox r, size_t bound) {
    return (size_t)((wide)((uint64_t)r.v[0] << 32 | r.v[1]) * bound >> 64);
}

void sampler_shuffle(uint64_t seed, uint64_t epoch, const size_t *scans, size_t n, size_t *order) {
    if (n) memmove(order, scans, n * sizeof *order);
    for (size_t i = n; i-- > 1;) {
        size_t k = below(hct_philox4x32(seed ^ STREAM_ORDER, i, epoch), i + 1), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
}

int sampler_balanced(uint64_t seed, uint64_t epoch, const size_t *scans, const int8_t *label, size_t n, size_t count,
                     size_t *order) {
    size_t *of_class[2] = {malloc((n + 1) * sizeof(size_t)), malloc((n + 1) * sizeof(size_t))}, size[2] = {0, 0},
           at[2] = {0, 0};
    int ok = of_class[0] && of_class[1];
    for (size_t i = 0; ok && i < n; i++) of_class[label[i] != 0][size[label[i] != 0]++] = scans[i];
    ok = ok && size[0] && size[1];
    for (size_t i = 0; ok && i < count; i++) {
        size_t c = i % 2, round = at[c] / size[c];
        if (at[c] % size[c] == 0)
            sampler_shuffle(seed ^ (c + 1), epoch << 20 | round, of_class[c], size[c], of_class[c]);
        order[i] = of_class[c][at[c]++ % size[c]];
    }
    free(of_class[0]);
    free(of_class[1]);
    return ok;
}

int sampler_replaced(uint64_t seed, uint64_t epoch, const size_t *scans, const int8_t *label, size_t n, size_t count,
                     size_t *order) {
    size_t *by_class = malloc((n + 1) * sizeof *by_class), positives = 0, negatives = 0;
    for (size_t i = 0; by_class && i < n; i++) {
        if (label[i]) by_class[positives++] = scans[i];
        else by_class[n - ++negatives] = scans[i];
    }
    int ok = positives && negatives;
    for (size_t i = 0; ok && i < count; i++) {
        hct_philox r = hct_philox4x32(seed ^ STREAM_ORDER, i, epoch);
        order[i] = r.v[2] >> 31 ? by_class[below(r, positives)] : by_class[positives + below(r, negatives)];
    }
    free(by_class);
    return ok;
}

size_t sampler_balanced_tasks(uint64_t seed, uint64_t epoch, const size_t *scans, const int8_t *label, size_t n,
                              size_t n_tasks, size_t count, size_t *order) {
    size_t *known = malloc((n + 1) * sizeof *known), *draw = malloc((count + 1) * sizeof *draw), k = 0;
    int8_t *of = malloc(n + 1);
    for (int ok = known && draw && of; k < n_tasks && ok; k += (size_t)ok) {
        size_t m = 0, each = 0;
        for (size_t i = 0; i < n; i++)
            if (label[i * n_tasks + k] >= 0) of[m] = label[i * n_tasks + k], known[m++] = scans[i];
        for (size_t i = 0; i < count; i++) each += i / 2 % n_tasks == k;
        ok = sampler_balanced(seed + k * 0x9E3779B97F4A7C15u, epoch, known, of, m, each, draw);
        for (size_t i = 0, j = 0; ok && i < count; i++)
            if (i / 2 % n_tasks == k) order[i] = draw[j++];
    }
    free(known);
    free(draw);
    free(of);
    return k;
}
