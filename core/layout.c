/* Where each temporary lies in the arena: a pure function of the list of lifetimes.
 *
 * Blocks are placed one after the other, each at the lowest offset that is free during its whole life: by falling
 * size (the "greedy by size" of Pisarchyk & Lee 2020, arXiv 2001.03288). Where that leaves the arena well above the
 * lower bound, the block that ends highest goes to the front of the order and all are placed again, a few times;
 * then so from the order of first use. The smallest arena is kept. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define NEAR 1.01 /* times the lower bound: good enough */
#define ROUNDS 16 /* orders tried from each start */

static int by_first(const void *a, const void *b) {
    const hct_block *x = *(hct_block *const *)a, *y = *(hct_block *const *)b;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x < y ? -1 : x > y);
}

static int by_size(const void *a, const void *b) {
    const hct_block *x = *(hct_block *const *)a, *y = *(hct_block *const *)b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : by_first(a, b);
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

/* Places the blocks in that order; returns the arena's bytes; *ret_top: the place in the order of the block that
 * ends there. near: room for n. */
static uint64_t place(hct_block **order, hct_block **near, size_t n, size_t *ret_top) {
    uint64_t total = 0;
    *ret_top = 0;
    for (size_t i = 0; i < n; i++) {
        hct_block *b = order[i];
        size_t m = 0;
        for (size_t j = 0; j < i; j++)
            if (order[j]->first <= b->last && b->first <= order[j]->last) near[m++] = order[j];
        qsort(near, m, sizeof *near, by_offset);
        b->offset = 0;
        for (size_t j = 0; j < m && near[j]->offset < b->offset + b->bytes; j++)
            if (near[j]->offset + near[j]->bytes > b->offset) b->offset = near[j]->offset + near[j]->bytes;
        if (b->offset + b->bytes > total) {
            total = b->offset + b->bytes;
            *ret_top = i;
        }
    }
    return total;
}

static void to_front(hct_block **order, size_t i) {
    hct_block *b = order[i];
    memmove(order + 1, order, i * sizeof *order);
    order[0] = b;
}

uint64_t hct_layout(hct_block *blocks, size_t n, uint64_t *ret_lower_bound) {
    int (*const starts[])(const void *, const void *) = {by_size, by_first};
    uint64_t best = UINT64_MAX, bound = *ret_lower_bound = lower_bound(blocks, n);
    hct_block **order = malloc((n + 1) * sizeof *order), **near = malloc((n + 1) * sizeof *near);
    uint64_t *offset = malloc((n + 1) * sizeof *offset); /* the best so far */
    int tries = order && near && offset ? 2 * ROUNDS : 0;
    for (int k = 0; k < tries && (!k || (double)best > NEAR * (double)bound); k++) {
        if (k % ROUNDS == 0) {
            for (size_t i = 0; i < n; i++) order[i] = blocks + i;
            qsort(order, n, sizeof *order, starts[k / ROUNDS]);
        }
        size_t top;
        uint64_t total = place(order, near, n, &top);
        if (total < best) {
            best = total;
            for (size_t i = 0; i < n; i++) offset[i] = blocks[i].offset;
        }
        if (n) to_front(order, top);
    }
    for (size_t i = 0; tries && i < n; i++) blocks[i].offset = offset[i];
    free(order);
    free(near);
    free(offset);
    return best;
}
