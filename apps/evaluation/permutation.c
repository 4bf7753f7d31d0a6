/* Permutation tests: scores exchanged between models, cases between groups. */
#include "evaluation/permutation.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/order.h"
#include "hct/philox.h"
#include "support/workers.h"

enum { CHUNK = 8 };

static const double tie = 1e-12; /* differences this close are equal but for rounding */

typedef struct job {
    const resampler *draws;
    const rank_order *orders;
    const comparison *observed; /* [tasks + 1], the macro mean last */
    size_t n, tasks;
    pthread_mutex_t lock;
    size_t *at_least; /* [tasks + 1], below lock */
} job;

static void differences(const job *j, const uint64_t *swap, double *d) {
    for (size_t k = 0; k < j->tasks; k++) d[k] = rank_order_difference(&j->orders[k], swap);
    d[j->tasks] = mean_defined(d, j->tasks);
}

static hct_status exchange_chunk(void *context, int64_t chunk, hct_err *err) {
    job *j = context;
    size_t first = (size_t)chunk * CHUNK, count = j->draws->count, end = first + CHUNK < count ? first + CHUNK : count;
    uint32_t *swap = malloc(j->n * sizeof *swap + 1);
    uint64_t *bits = malloc((j->n / 64 + 1) * sizeof *bits);
    double *d = malloc((j->tasks + 1) * sizeof *d);
    size_t *found = calloc(j->tasks + 1, sizeof *found);
    hct_status st = swap && bits && d && found ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a permutation");
    for (size_t p = first; st == HCT_OK && p < end; p++) {
        j->draws->draw(j->draws, p, j->n, swap);
        memset(bits, 0, (j->n / 64 + 1) * sizeof *bits);
        for (size_t i = 0; i < j->n; i++) bits[i / 64] |= (uint64_t)(swap[i] != 0) << (i & 63);
        differences(j, bits, d);
        for (size_t k = 0; k <= j->tasks; k++) found[k] += fabs(d[k]) >= fabs(j->observed[k].difference) - tie;
    }
    pthread_mutex_lock(&j->lock);
    for (size_t k = 0; st == HCT_OK && k <= j->tasks; k++) j->at_least[k] += found[k];
    pthread_mutex_unlock(&j->lock);
    free(swap);
    free(bits);
    free(d);
    free(found);
    return st;
}

hct_status paired_permutation(const score_table *a, const score_table *b, const resampler *r, int threads,
                              comparison *ret_tasks, comparison *ret_macro, hct_err *err) {
    size_t n = a->n, tasks = a->n_tasks;
    if (b->n != n || b->n_tasks != tasks)
        return hct_fail(err, HCT_ESHAPE, "the two models have %zu and %zu cases, %zu and %zu tasks", n, b->n, tasks,
                        b->n_tasks);
    rank_order *orders;
    hct_status st = rank_orders_make(a, b, &orders, err);
    if (st < 0) return st;
    comparison *observed = calloc(tasks + 1, sizeof *observed);
    double *d = malloc((tasks + 1) * sizeof *d);
    uint64_t *none = calloc(n / 64 + 1, sizeof *none);
    job j = {r, orders, observed, n, tasks, PTHREAD_MUTEX_INITIALIZER, calloc(tasks + 1, sizeof *j.at_least)};
    if (!observed || !d || !none || !j.at_least) st = hct_fail(err, HCT_ENOMEM, "out of memory for a permutation test");
    if (st == HCT_OK) {
        differences(&j, none, d);
        for (size_t k = 0; k <= tasks; k++) observed[k].difference = d[k];
        st = workers_run(threads, (int64_t)((r->count + CHUNK - 1) / CHUNK), exchange_chunk, &j, err);
    }
    for (size_t k = 0; st == HCT_OK && k <= tasks; k++) {
        comparison *c = k < tasks ? &ret_tasks[k] : ret_macro;
        *c = (comparison){observed[k].difference, NAN, j.at_least[k]};
        if (!isnan(c->difference)) c->p = (double)(c->at_least + 1) / (double)(r->count + 1);
    }
    free(observed);
    free(none);
    free(d);
    free(j.at_least);
    rank_orders_free(orders, tasks);
    return st;
}

/* Rows of one class that have a label, and how many of them are inside. */
typedef struct side {
    uint32_t *row;
    size_t n, inside;
} side;

typedef struct group_job {
    const rank_order *order;
    side of[2]; /* negatives, positives */
    size_t n, count;
    uint64_t seed;
    double observed;
    pthread_mutex_t lock;
    size_t at_least;
} group_job;

static double group_difference(const rank_order *o, uint32_t *inside, size_t n) {
    double in, out, ignored;
    rank_order_metrics(o, inside, &in, &ignored);
    for (size_t i = 0; i < n; i++) inside[i] = !inside[i];
    rank_order_metrics(o, inside, &out, &ignored);
    return in - out;
}

/* Draws which rows of a class are inside, without replacement (Fisher and Yates). */
static void choose(const side *s, uint64_t seed, size_t p, size_t class, uint32_t *order, uint32_t *inside) {
    memcpy(order, s->row, s->n * sizeof *order);
    for (size_t i = 0; i < s->inside; i++) {
        uint32_t word = hct_philox4x32(seed ^ (uint64_t) class << 63, i, p).v[0];
        size_t k = i + (size_t)((uint64_t)word * (s->n - i) >> 32);
        uint32_t row = order[k];
        order[k] = order[i];
        inside[row] = 1;
    }
}

static hct_status group_chunk(void *context, int64_t chunk, hct_err *err) {
    group_job *j = context;
    size_t first = (size_t)chunk * CHUNK, end = first + CHUNK < j->count ? first + CHUNK : j->count, found = 0;
    uint32_t *inside = malloc(2 * j->n * sizeof *inside + 1);
    if (!inside) return hct_fail(err, HCT_ENOMEM, "out of memory for a permutation");
    for (size_t p = first; p < end; p++) {
        memset(inside, 0, j->n * sizeof *inside);
        for (size_t class = 0; class < 2; class ++) choose(&j->of[class], j->seed, p, class, inside + j->n, inside);
        found += fabs(group_difference(j->order, inside, j->n)) >= fabs(j->observed) - tie;
    }
    free(inside);
    pthread_mutex_lock(&j->lock);
    j->at_least += found;
    pthread_mutex_unlock(&j->lock);
    return HCT_OK;
}

hct_status group_permutation(const score_table *t, size_t task, const uint8_t *inside, size_t permutations,
                             uint64_t seed, int threads, comparison *ret, hct_err *err) {
    *ret = (comparison){NAN, NAN, 0};
    rank_order *orders;
    hct_status st = rank_orders_make(t, NULL, &orders, err);
    if (st < 0) return st;
    uint32_t *rows = malloc(3 * t->n * sizeof *rows + 1);
    group_job j = {.order = &orders[task],
                   .of = {{rows, 0, 0}, {rows + t->n, 0, 0}},
                   .n = t->n,
                   .count = permutations,
                   .seed = seed,
                   .lock = PTHREAD_MUTEX_INITIALIZER};
    if (!rows) st = hct_fail(err, HCT_ENOMEM, "out of memory for a permutation test");
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) {
        int8_t y = t->label[i * t->n_tasks + task];
        rows[2 * t->n + i] = inside[i] != 0;
        if (y < 0) continue;
        side *s = &j.of[y > 0];
        s->row[s->n++] = (uint32_t)i;
        s->inside += inside[i] != 0;
    }
    if (st == HCT_OK) j.observed = ret->difference = group_difference(j.order, rows + 2 * t->n, t->n);
    if (st == HCT_OK && !isnan(j.observed)) {
        st = workers_run(threads, (int64_t)((permutations + CHUNK - 1) / CHUNK), group_chunk, &j, err);
        ret->at_least = j.at_least;
        ret->p = (double)(j.at_least + 1) / (double)(permutations + 1);
    }
    free(rows);
    rank_orders_free(orders, t->n_tasks);
    return st;
}
