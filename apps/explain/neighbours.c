/* A vantage-point tree, and its search. */
#include "explain/neighbours.h"

#include <math.h>
#include <stdlib.h>

#include "support/workers.h"

enum { LEAF = 16, BLOCK = 64 };

/* Points row[first .. last); the vantage point is row[first]; points within `radius` of it come before `middle`, the
 * others from there on. Nodes of LEAF points or fewer are looked through. */
typedef struct tree {
    const float *x;
    size_t n, dim, k;
    uint32_t *row, *index;
    double *radius; /* [n], at a node's first */
    double *square;
    struct ranked *scratch;
} tree;

typedef struct ranked {
    double square;
    uint32_t row;
} ranked;

static double square_between(const tree *t, size_t a, size_t b) {
    double sum = 0;
    for (size_t d = 0; d < t->dim; d++) {
        double v = (double)t->x[a * t->dim + d] - (double)t->x[b * t->dim + d];
        sum += v * v;
    }
    return sum;
}

static int before(const ranked *a, const ranked *b) {
    return a->square < b->square || (a->square == b->square && a->row < b->row);
}

static int nearest_first(const void *a, const void *b) { return before(a, b) ? -1 : before(b, a); }

static size_t middle_of(size_t first, size_t last) { return first + 1 + (last - first - 1) / 2; }

/* Depth is that of a balanced tree: halves. */
static void build(tree *t, size_t first, size_t last) {
    if (last - first <= LEAF) return;
    uint32_t vantage = t->row[first];
    for (size_t i = first + 1; i < last; i++)
        t->scratch[i] = (ranked){square_between(t, vantage, t->row[i]), t->row[i]};
    qsort(t->scratch + first + 1, last - first - 1, sizeof *t->scratch, nearest_first);
    for (size_t i = first + 1; i < last; i++) t->row[i] = t->scratch[i].row;
    size_t middle = middle_of(first, last);
    t->radius[first] = sqrt(t->scratch[middle - 1].square);
    build(t, first + 1, middle);
    build(t, middle, last);
}

/* The k best so far in order; the last one is the worst. */
typedef struct best {
    ranked *at;
    size_t n, k;
} best;

static void offer(best *b, ranked r) {
    if (b->n == b->k && !before(&r, &b->at[b->n - 1])) return;
    size_t i = b->n < b->k ? b->n++ : b->n - 1;
    for (; i > 0 && before(&r, &b->at[i - 1]); i--) b->at[i] = b->at[i - 1];
    b->at[i] = r;
}

static double reach(const best *b) { return b->n < b->k ? INFINITY : sqrt(b->at[b->n - 1].square); }

static void search(const tree *t, size_t first, size_t last, size_t of, best *b) {
    if (last - first <= LEAF) {
        for (size_t i = first; i < last; i++)
            if (t->row[i] != of) offer(b, (ranked){square_between(t, of, t->row[i]), t->row[i]});
        return;
    }
    double square = square_between(t, of, t->row[first]), d = sqrt(square), r = t->radius[first];
    /* sums in another order differ in the last digits: nothing is cut off that close to the border */
    double slack = 1e-9 * (d + r);
    size_t middle = middle_of(first, last);
    if (t->row[first] != of) offer(b, (ranked){square, t->row[first]});
    int inside = d <= r;
    for (int side = 0; side < 2; side++) {
        if (side == !inside) {
            if (d - reach(b) <= r + slack) search(t, first + 1, middle, of, b);
        } else if (d + reach(b) >= r - slack) search(t, middle, last, of, b);
    }
}

static hct_status find_block(void *context, int64_t block, hct_err *err) {
    tree *t = context;
    best b = {.at = malloc((t->k + 1) * sizeof *b.at), .k = t->k};
    if (!b.at) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu neighbours", t->k);
    for (size_t i = (size_t)block * BLOCK; i < t->n && i < ((size_t)block + 1) * BLOCK; i++) {
        b.n = 0;
        search(t, 0, t->n, i, &b);
        for (size_t k = 0; k < t->k; k++) {
            t->index[i * t->k + k] = b.at[k].row;
            t->square[i * t->k + k] = b.at[k].square;
        }
    }
    free(b.at);
    return HCT_OK;
}

hct_status neighbours_find(const float *x, size_t n, size_t dim, size_t k, int threads, uint32_t *index, double *square,
                           hct_err *err) {
    if (k >= n || n > UINT32_MAX) return hct_fail(err, HCT_EINVAL, "%zu neighbours of %zu points", k, n);
    tree t = {.x = x, .n = n, .dim = dim, .k = k, .index = index, .square = square};
    t.row = malloc(n * sizeof *t.row);
    t.radius = malloc(n * sizeof *t.radius);
    t.scratch = malloc(n * sizeof *t.scratch);
    hct_status st =
        t.row && t.radius && t.scratch ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu points", n);
    for (size_t i = 0; st == HCT_OK && i < n; i++) t.row[i] = (uint32_t)i;
    if (st == HCT_OK) build(&t, 0, n);
    if (st == HCT_OK) st = workers_run(threads, (int64_t)((n + BLOCK - 1) / BLOCK), find_block, &t, err);
    free(t.row);
    free(t.radius);
    free(t.scratch);
    return st;
}
