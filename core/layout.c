/* Where each temporary lies in the arena: a pure function of the list of lifetimes.
 *
 * Blocks are placed by falling size, each at the lowest offset that is free during its whole life (the "greedy by size" of
 * Pisarchyk & Lee 2020, arXiv 2001.03288). */
#include "internal.h"

#include <stdlib.h>

static int by_size(const void *a, const void *b) {
    const hct_block *x = *(hct_block *const *)a, *y = *(hct_block *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x < y ? -1 : x > y);
}

static int by_offset(const void *a, const void *b) {
    const hct_block *x = *(hct_block *const *)a, *y = *(hct_block *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static uint64_t lower_bound(const hct_block *b, size_t n) {
    int32_t end = 0;
    uint64_t most = 0, now = 0;
    for (size_t i = 0; i < n; i++)
        if (b[i].last > end) end = b[i].last;
    int64_t *change = calloc((size_t)end + 2, sizeof *change);
    if (!change) return 0;
    for (size_t i = 0; i < n; i++) {
        change[b[i].first] += (int64_t)b[i].bytes;
        change[b[i].last + 1] -= (int64_t)b[i].bytes;
    }
    for (int32_t i = 0; i <= end; i++) {
        now += (uint64_t)change[i];
        if (now > most) most = now;
    }
    free(change);
    return most;
}

uint64_t hct_layout(hct_block *blocks, size_t n, uint64_t *ret_lower_bound) {
    uint64_t total = 0;
    hct_block **order = malloc((n + 1) * sizeof *order), **near = malloc((n + 1) * sizeof *near);
    if (!order || !near) {
        free(order);
        free(near);
        return UINT64_MAX;
    }
    for (size_t i = 0; i < n; i++) order[i] = blocks + i;
    qsort(order, n, sizeof *order, by_size);
    for (size_t i = 0; i < n; i++) {
        hct_block *b = order[i];
        size_t m = 0;
        for (size_t j = 0; j < i; j++)
            if (order[j]->first <= b->last && b->first <= order[j]->last) near[m++] = order[j];
        qsort(near, m, sizeof *near, by_offset);
        b->offset = 0;
        for (size_t j = 0; j < m && near[j]->offset < b->offset + b->bytes; j++)
            if (near[j]->offset + near[j]->bytes > b->offset) b->offset = near[j]->offset + near[j]->bytes;
        if (b->offset + b->bytes > total) total = b->offset + b->bytes;
    }
    free(order);
    free(near);
    *ret_lower_bound = lower_bound(blocks, n);
    return total;
}
