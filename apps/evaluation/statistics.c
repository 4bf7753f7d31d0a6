/* Bootstrap intervals, DeLong's test, curves. */
#include "evaluation/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/philox.h"

/* Word i of resample b. */
static uint32_t random_word(const resampler *r, size_t b, size_t i) {
    return hct_philox4x32(r->seed, i >> 2, b).v[i & 3];
}

static void draw_rows(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    memset(weight, 0, n * sizeof *weight);
    for (size_t i = 0; i < n; i++) weight[(uint64_t)random_word(self, b, i) * n >> 32]++;
}

static void draw_coins(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    for (size_t i = 0; i < n; i++) weight[i] = random_word(self, b, i) >> 31;
}

resampler bootstrap_resampler(size_t count, uint64_t seed) { return (resampler){draw_rows, count, seed, NULL}; }

resampler permutation_resampler(size_t count, uint64_t seed) { return (resampler){draw_coins, count, seed, NULL}; }

static void draw_groups(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    const row_groups *g = self->context;
    draw_rows(self, b, g->n, g->times);
    for (size_t i = 0; i < n; i++) weight[i] = g->times[g->of_row[i]];
}

resampler group_resampler(size_t count, uint64_t seed, const row_groups *groups) {
    return (resampler){draw_groups, count, seed, groups};
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

/* Rankings of all tasks of two tables one after the other (b NULL: one table); case n + i is case i of b. */
static hct_status rank_tasks(const score_table *a, const score_table *b, ranking **ret, hct_err *err) {
    size_t n = a->n, both = b ? 2 * n : n;
    ranking *r = calloc(a->n_tasks + 1, sizeof *r);
    double *score = malloc(both * sizeof *score + 1);
    int8_t *label = malloc(both + 1);
    hct_status status = r && score && label ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scores", both);
    for (size_t t = 0; t < a->n_tasks && status == HCT_OK; t++) {
        for (size_t i = 0; i < both; i++) {
            const score_table *from = i < n ? a : b;
            score[i] = from->score[i % n * a->n_tasks + t];
            label[i] = a->label[i % n * a->n_tasks + t];
            if (label[i] >= 0 && !isfinite(score[i]))
                status = hct_fail(err, HCT_EINVAL, "row %zu, task %zu: the score is %f; scores must be finite numbers",
                                  i % n, t, score[i]);
        }
        if (status == HCT_OK) status = ranking_make(score, label, both, &r[t], err);
    }
    free(score);
    free(label);
    if (status == HCT_OK) {
        *ret = r;
        return HCT_OK;
    }
    for (size_t t = 0; r && t < a->n_tasks; t++) ranking_free(&r[t]);
    free(r);
    return status;
}

static void free_rankings(ranking *r, size_t n) {
    for (size_t t = 0; t < n; t++) ranking_free(&r[t]);
    free(r);
}

/* NaN where a class is missing, for both metrics. */
static double metric_of(metric m, const ranking *r, const uint32_t *weight) {
    double p, n;
    ranking_counts(r, weight, &p, &n);
    if (p == 0 || n == 0) return NAN;
    return m == METRIC_AUC ? ranking_auc(r, weight) : ranking_average_precision(r, weight);
}

/* Plain mean of what is not NaN; NaN where nothing is. */
static double mean_defined(const double *v, size_t n) {
    double sum = 0;
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(v[i])) sum += v[i], k++;
    return k ? sum / (double)k : NAN;
}

/* values: of `count` resamples, NaN where skipped; reordered. */
static interval summary(double value, double *values, size_t count, double level) {
    size_t k = 0;
    for (size_t b = 0; b < count; b++)
        if (!isnan(values[b])) values[k++] = values[b];
    if (isnan(value)) return (interval){NAN, NAN, NAN, NAN, count};
    interval i = {.value = value, .mean = mean_defined(values, k), .skipped = count - k};
    i.low = percentile(values, k, (1 - level) / 2);
    i.high = percentile(values, k, (1 + level) / 2);
    return i;
}

hct_status bootstrap(const score_table *t, metric m, const resampler *r, double level, interval *ret_tasks,
                     interval *ret_macro, hct_err *err) {
    size_t tasks = t->n_tasks;
    ranking *ranks;
    hct_status status = rank_tasks(t, NULL, &ranks, err);
    if (status < 0) return status;
    uint32_t *weight = malloc(t->n * sizeof *weight + 1);
    double *values = malloc((tasks + 1) * (r->count + 1) * sizeof *values), *one = malloc((tasks + 1) * sizeof *one);
    if (weight && values && one) {
        for (size_t b = 0; b < r->count; b++) { /* values[task][resample], the macro mean as the last row */
            r->draw(r, b, t->n, weight);
            for (size_t k = 0; k < tasks; k++) one[k] = values[k * r->count + b] = metric_of(m, &ranks[k], weight);
            values[tasks * r->count + b] = mean_defined(one, tasks);
        }
        for (size_t k = 0; k < tasks; k++) {
            one[k] = metric_of(m, &ranks[k], NULL);
            ret_tasks[k] = summary(one[k], values + k * r->count, r->count, level);
        }
        *ret_macro = summary(mean_defined(one, tasks), values + tasks * r->count, r->count, level);
    } else {
        status = hct_fail(err, HCT_ENOMEM, "out of memory for %zu resamples", r->count);
    }
    free(weight);
    free(values);
    free(one);
    free_rankings(ranks, tasks);
    return status;
}

hct_status roc_band(const ranking *task, const resampler *r, double level, size_t points, double *tpr, double *low,
                    double *high, hct_err *err) {
    double *curve = malloc(2 * (task->n + 1) * sizeof *curve), *x = curve, *y = curve ? curve + task->n + 1 : NULL;
    double *values = malloc((points * r->count + 1) * sizeof *values); /* [point][resample] */
    uint32_t *weight = malloc(task->of * sizeof *weight + 1);
    hct_status status = HCT_OK;
    size_t n = 0, kept = 0;
    if (!curve || !values || !weight) status = hct_fail(err, HCT_ENOMEM, "out of memory for a ROC band");
    else if ((n = ranking_roc(task, NULL, x, y)) == 0)
        status = hct_fail(err, HCT_EINVAL, "a ROC curve needs positive and negative cases");
    for (size_t i = 0; status == HCT_OK && i < points; i++)
        tpr[i] = ranking_roc_at(x, y, n, (double)i / (double)(points - 1));
    for (size_t b = 0; status == HCT_OK && b < r->count; b++) {
        r->draw(r, b, task->of, weight);
        if ((n = ranking_roc(task, weight, x, y)) == 0) continue;
        for (size_t i = 0; i < points; i++)
            values[i * r->count + kept] = ranking_roc_at(x, y, n, (double)i / (double)(points - 1));
        kept++;
    }
    for (size_t i = 0; status == HCT_OK && i < points; i++) {
        low[i] = percentile(values + i * r->count, kept, (1 - level) / 2);
        high[i] = percentile(values + i * r->count, kept, (1 + level) / 2);
    }
    free(curve);
    free(values);
    free(weight);
    return status;
}

/* AUC(first model) - AUC(second) where weight picks each model's cases out of the pooled ranking. */
static double auc_difference(const ranking *pooled, const uint32_t *first, const uint32_t *second) {
    return ranking_auc(pooled, first) - ranking_auc(pooled, second);
}

/* Which of the 2n pooled scores are the first model's after the exchange: swap[i] moves case i's score of b there. */
static void split_pool(const uint32_t *swap, size_t n, uint32_t *first, uint32_t *second) {
    for (size_t i = 0; i < n; i++) {
        uint32_t s = swap && swap[i];
        first[i] = second[n + i] = !s;
        first[n + i] = second[i] = s;
    }
}

hct_status paired_permutation(const score_table *a, const score_table *b, const resampler *r, comparison *ret_tasks,
                              comparison *ret_macro, hct_err *err) {
    static const double tie = 1e-12; /* differences this close are equal but for rounding */
    size_t n = a->n, tasks = a->n_tasks;
    if (b->n != n || b->n_tasks != tasks)
        return hct_fail(err, HCT_ESHAPE, "the two models have %zu and %zu cases, %zu and %zu tasks", n, b->n, tasks,
                        b->n_tasks);
    ranking *ranks;
    hct_status status = rank_tasks(a, b, &ranks, err);
    if (status < 0) return status;
    uint32_t *swap = malloc(5 * n * sizeof *swap + 1), *first = swap ? swap + n : NULL,
             *second = swap ? swap + 3 * n : NULL;
    double *d = malloc((tasks + 1) * sizeof *d);
    if (swap && d) {
        split_pool(NULL, n, first, second);
        for (size_t k = 0; k < tasks; k++) {
            d[k] = auc_difference(&ranks[k], first, second);
            ret_tasks[k] = (comparison){.difference = d[k]};
        }
        *ret_macro = (comparison){.difference = mean_defined(d, tasks)};
        for (size_t p = 0; p < r->count; p++) {
            r->draw(r, p, n, swap);
            split_pool(swap, n, first, second);
            for (size_t k = 0; k < tasks; k++) {
                d[k] = auc_difference(&ranks[k], first, second);
                ret_tasks[k].at_least += fabs(d[k]) >= fabs(ret_tasks[k].difference) - tie;
            }
            ret_macro->at_least += fabs(mean_defined(d, tasks)) >= fabs(ret_macro->difference) - tie;
        }
        for (size_t k = 0; k <= tasks; k++) {
            comparison *c = k < tasks ? &ret_tasks[k] : ret_macro;
            c->p = isnan(c->difference) ? NAN : (double)(c->at_least + 1) / (double)(r->count + 1);
        }
    } else {
        status = hct_fail(err, HCT_ENOMEM, "out of memory for a permutation test");
    }
    free(swap);
    free(d);
    free_rankings(ranks, tasks);
    return status;
}
