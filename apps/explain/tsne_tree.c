/* Barnes-Hut t-SNE: sparse P, the quadtree, both sums. */
#include "explain/tsne_tree.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explain/neighbours.h"
#include "support/workers.h"

enum { DEEPEST = 60, BLOCK = 128 };

/* P as rows of a sparse matrix. */
struct tsne_tree {
    size_t n;
    size_t *first; /* [n + 1] */
    uint32_t *to;
    double *p;
};

void tsne_tree_free(tsne_tree *t) {
    if (!t) return;
    free(t->first);
    free(t->to);
    free(t->p);
    free(t);
}

/* P = (p_j|i + p_i|j) / 2n, where either holds the other among its neighbours. */
static hct_status join(size_t n, size_t k, const uint32_t *index, const double *conditional, tsne_tree *t,
                       hct_err *err) {
    size_t *next = calloc(n + 2, sizeof *next);
    t->first = calloc(n + 1, sizeof *t->first);
    t->to = malloc(2 * n * k * sizeof *t->to);
    t->p = malloc(2 * n * k * sizeof *t->p);
    if (!next || !t->first || !t->to || !t->p) {
        free(next);
        return hct_fail(err, HCT_ENOMEM, "out of memory for %zu points", n);
    }
    for (size_t i = 0; i < n * k; i++) {
        next[i / k + 1]++;
        next[index[i] + 1]++;
    }
    for (size_t i = 0; i < n; i++) next[i + 1] += next[i];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++) {
            uint32_t other = index[i * k + j];
            double half = conditional[i * k + j] / (2 * (double)n);
            t->to[next[i]] = other;
            t->p[next[i]++] = half;
            t->to[next[other]] = (uint32_t)i;
            t->p[next[other]++] = half;
        }
    /* now next[i] is where row i ends; a pair that is in it twice is added up */
    size_t used = 0, begin = 0;
    for (size_t i = 0; i < n; i++) {
        size_t end = next[i], start = used;
        for (size_t a = begin; a < end; a++) {
            size_t b = start;
            while (b < used && t->to[b] != t->to[a]) b++;
            if (b < used) t->p[b] += t->p[a];
            else {
                t->to[used] = t->to[a];
                t->p[used++] = t->p[a];
            }
        }
        t->first[i + 1] = used;
        begin = end;
    }
    free(next);
    return HCT_OK;
}

hct_status tsne_tree_make(const float *x, size_t n, size_t dim, double perplexity, int threads, tsne_tree **ret,
                          hct_err *err) {
    size_t k = (size_t)(3 * perplexity);
    *ret = NULL;
    if (!(perplexity > 1) || k + 1 > n)
        return hct_fail(err, HCT_EINVAL, "a perplexity of %g needs more than %zu points; there are %zu", perplexity, k,
                        n);
    for (size_t i = 0; i < n * dim; i++)
        if (!isfinite(x[i]))
            return hct_fail(err, HCT_EINVAL, "row %zu holds %f; finite numbers are needed", i / dim, (double)x[i]);
    tsne_tree *t = calloc(1, sizeof *t);
    uint32_t *index = malloc(n * k * sizeof *index);
    double *square = malloc(n * k * sizeof *square), *p = malloc(n * k * sizeof *p);
    hct_status st = t && index && square && p ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu points", n);
    if (st == HCT_OK) st = neighbours_find(x, n, dim, k, threads, index, square, err);
    for (size_t i = 0; st == HCT_OK && i < n; i++) tsne_conditional(square + i * k, k, k, perplexity, p + i * k);
    if (st == HCT_OK) {
        t->n = n;
        st = join(n, k, index, p, t, err);
    }
    free(index);
    free(square);
    free(p);
    if (st == HCT_OK) *ret = t;
    else tsne_tree_free(t);
    return st;
}

/* A square of the plane: how many points, and where their centre is. */
typedef struct cell {
    double x, y, half;    /* centre and half an edge */
    double sum[2];        /* of its points' coordinates */
    uint32_t n, child[4]; /* 0: none */
    uint32_t point;       /* of a leaf: its first one */
    int leaf;
} cell;

typedef struct quad {
    cell *at;
    uint32_t used, room;
    uint32_t *home; /* [n]: the leaf that holds a point */
    const double *y;
    size_t n;
} quad;

static hct_status add_cell(quad *q, double x, double y, double half, uint32_t *ret, hct_err *err) {
    if (q->used == q->room) {
        uint32_t room = 2 * q->room + 64;
        cell *more = realloc(q->at, room * sizeof *more);
        if (!more) return hct_fail(err, HCT_ENOMEM, "out of memory for %u cells", room);
        q->at = more;
        q->room = room;
    }
    q->at[ *ret = q->used++] = (cell){.x = x, .y = y, .half = half, .leaf = 1};
    return HCT_OK;
}

/* The quarter of a cell where a point lies; made where there is none. */
static hct_status quarter(quad *q, uint32_t of, const double *at, uint32_t *ret, hct_err *err) {
    int right = at[0] > q->at[of].x, up = at[1] > q->at[of].y, which = 2 * up + right;
    hct_status st = HCT_OK;
    if (!q->at[of].child[which]) {
        uint32_t made = 0;
        double half = q->at[of].half / 2;
        st = add_cell(q, q->at[of].x + (right ? half : -half), q->at[of].y + (up ? half : -half), half, &made, err);
        if (st == HCT_OK) q->at[of].child[which] = made;
    }
    *ret = q->at[of].child[which];
    return st;
}

static void take(quad *q, uint32_t into, uint32_t point) {
    cell *c = &q->at[into];
    if (!c->n) c->point = point;
    c->n++;
    c->sum[0] += q->y[2 * point];
    c->sum[1] += q->y[2 * point + 1];
}

static hct_status insert(quad *q, uint32_t point, hct_err *err) {
    uint32_t at = 0;
    hct_status st = HCT_OK;
    for (int depth = 0; st == HCT_OK; depth++) {
        int held = q->at[at].leaf && q->at[at].n > 0;
        uint32_t old = q->at[at].point;
        take(q, at, point);
        if (q->at[at].leaf && (!held || depth == DEEPEST)) {
            q->home[point] = at;
            return HCT_OK;
        }
        if (held) { /* a leaf that holds a point already: it moves down */
            uint32_t below;
            q->at[at].leaf = 0;
            st = quarter(q, at, q->y + 2 * old, &below, err);
            if (st == HCT_OK) {
                take(q, below, old);
                q->home[old] = below;
            }
        }
        if (st == HCT_OK) st = quarter(q, at, q->y + 2 * point, &at, err);
    }
    return st;
}

static hct_status grow(quad *q, const double *y, size_t n, hct_err *err) {
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    uint32_t root;
    *q = (quad){.y = y, .n = n, .home = malloc(n * sizeof *q->home)};
    if (!q->home) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu points", n);
    for (size_t i = 0; i < 2 * n; i++) {
        low[i % 2] = fmin(low[i % 2], y[i]);
        high[i % 2] = fmax(high[i % 2], y[i]);
    }
    double half = fmax(high[0] - low[0], high[1] - low[1]) / 2;
    hct_status st =
        add_cell(q, (low[0] + high[0]) / 2, (low[1] + high[1]) / 2, half > 0 ? half * 1.0001 : 1, &root, err);
    for (size_t i = 0; st == HCT_OK && i < n; i++) st = insert(q, (uint32_t)i, err);
    return st;
}

typedef struct sums {
    const tsne_tree *t;
    const quad *q;
    double theta, exaggeration;
    double *push, *z; /* [n, 2]: sum of q^2 Z^2 (y_i - y_j); [n]: of 1 / (1 + d^2) */
} sums;

/* What all other points do to point i. */
static void repel(const sums *s, uint32_t i, double push[2], double *z) {
    uint32_t stack[4 * DEEPEST + 8], n = 0;
    const double *at = s->q->y + 2 * (size_t)i;
    push[0] = push[1] = *z = 0;
    stack[n++] = 0;
    while (n) {
        const cell *c = &s->q->at[stack[--n]];
        double count = c->n, sum[2] = {c->sum[0], c->sum[1]};
        if (c->leaf && s->q->home[i] == (uint32_t)(c - s->q->at)) { /* its own leaf: the others in it */
            count -= 1;
            sum[0] -= at[0];
            sum[1] -= at[1];
        }
        if (count < 0.5) continue;
        double u = at[0] - sum[0] / count, v = at[1] - sum[1] / count, square = u * u + v * v;
        if (c->leaf || 4 * c->half * c->half < s->theta * s->theta * square) {
            double close = 1 / (1 + square);
            *z += count * close;
            push[0] += count * close * close * u;
            push[1] += count * close * close * v;
        } else
            for (int k = 0; k < 4; k++)
                if (c->child[k]) stack[n++] = c->child[k];
    }
}

static hct_status repel_block(void *context, int64_t block, hct_err *err) {
    sums *s = context;
    (void)err;
    for (size_t i = (size_t)block * BLOCK; i < s->t->n && i < ((size_t)block + 1) * BLOCK; i++)
        repel(s, (uint32_t)i, s->push + 2 * i, s->z + i);
    return HCT_OK;
}

/* 4 (sum of P close (y_i - y_j) - push / Z), and the share of the cost. */
static double attract(const sums *s, size_t i, double total, double *gradient) {
    const double *y = s->q->y;
    double g[2] = {0, 0}, kl = 0;
    for (size_t a = s->t->first[i]; a < s->t->first[i + 1]; a++) {
        size_t j = s->t->to[a];
        double u = y[2 * i] - y[2 * j], v = y[2 * i + 1] - y[2 * j + 1], close = 1 / (1 + u * u + v * v);
        double p = s->t->p[a] * s->exaggeration;
        g[0] += p * close * u;
        g[1] += p * close * v;
        kl += p * log(fmax(p, DBL_EPSILON) / fmax(close / total, DBL_EPSILON));
    }
    if (gradient)
        for (int d = 0; d < 2; d++) gradient[2 * i + (size_t)d] = 4 * (g[d] - s->push[2 * i + (size_t)d] / total);
    return kl;
}

hct_status tsne_tree_cost(const tsne_tree *t, const double *y, double exaggeration, double theta, int threads,
                          double *ret_kl, double *gradient, hct_err *err) {
    quad q;
    double *memory = malloc(3 * t->n * sizeof *memory + 1), total = 0, kl = 0;
    sums s = {t, &q, fmin(theta, 0.7), exaggeration, memory, memory ? memory + 2 * t->n : NULL};
    hct_status st = memory ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu points", t->n);
    if (st < 0) return st;
    st = grow(&q, y, t->n, err);
    if (st == HCT_OK) st = workers_run(threads, (int64_t)((t->n + BLOCK - 1) / BLOCK), repel_block, &s, err);
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) total += s.z[i];
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) kl += attract(&s, i, total, gradient);
    if (st == HCT_OK && ret_kl) *ret_kl = kl;
    free(q.at);
    free(q.home);
    free(memory);
    return st;
}

typedef struct descent {
    const tsne_tree *t;
    double theta;
    int threads;
} descent;

static hct_status slope(void *context, const double *y, double exaggeration, double *ret_kl, double *gradient,
                        hct_err *err) {
    const descent *d = context;
    return tsne_tree_cost(d->t, y, exaggeration, d->theta, d->threads, ret_kl, gradient, err);
}

hct_status tsne_tree_run(const tsne_tree *t, const tsne_options *o, double theta, double *y, double *ret_kl,
                         hct_err *err) {
    descent d = {t, theta, o->threads};
    return tsne_descend(t->n, o, slope, &d, y, ret_kl, err);
}
