/* Bootstrap: metrics of every task in one pass a draw, draws shared by threads. */
#include "evaluation/bootstrap.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "evaluation/delong.h"
#include "evaluation/order.h"
#include "support/workers.h"

enum { CHUNK = 8 }; /* draws that share scratch memory */

enum { AUC, PRECISION, METRICS };

/* values: [metric][task, then the macro mean][draw], NaN where undefined. */
typedef struct job {
    const score_table *table;
    const bootstrap_options *options;
    const rank_order *orders;
    double *values;
    size_t count;
    bool leave_out; /* draws are of the jackknife */
    pthread_mutex_t lock;
    int64_t done; /* below lock */
} job;

static double *values_of(const job *j, int metric, size_t task) {
    return j->values + ((size_t)metric * (j->table->n_tasks + 1) + task) * j->count;
}

static void measure(const job *j, size_t b, const uint32_t *weight, double *one) {
    size_t tasks = j->table->n_tasks;
    for (size_t k = 0; k < tasks; k++) rank_order_metrics(&j->orders[k], weight, &one[k], &one[tasks + k]);
    for (int m = 0; m < METRICS; m++) {
        for (size_t k = 0; k < tasks; k++) values_of(j, m, k)[b] = one[(size_t)m * tasks + k];
        values_of(j, m, tasks)[b] = mean_defined(one + (size_t)m * tasks, tasks);
    }
}

static hct_status draw_chunk(void *context, int64_t chunk, hct_err *err) {
    job *j = context;
    const resampler *r = j->options->draws;
    size_t n = j->table->n, first = (size_t)chunk * CHUNK, end = first + CHUNK < j->count ? first + CHUNK : j->count;
    uint32_t *weight = malloc(n * sizeof *weight + 1);
    double *one = malloc((METRICS * j->table->n_tasks + 1) * sizeof *one);
    hct_status st = weight && one ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a resample of %zu cases", n);
    for (size_t b = first; st == HCT_OK && b < end; b++) {
        if (j->leave_out) resampler_leave_out(r, b, n, weight);
        else r->draw(r, b, n, weight);
        measure(j, b, weight, one);
    }
    free(weight);
    free(one);
    if (j->options->tell && !j->leave_out) {
        pthread_mutex_lock(&j->lock);
        j->done += (int64_t)(end - first);
        j->options->tell(j->options->tell_context, j->done);
        pthread_mutex_unlock(&j->lock);
    }
    return st;
}

static hct_status draw_all(job *j, hct_err *err) {
    size_t n = METRICS * (j->table->n_tasks + 1) * j->count;
    j->values = malloc(n * sizeof *j->values + 1);
    if (!j->values) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu resamples", j->count);
    return workers_run(j->options->threads, (int64_t)((j->count + CHUNK - 1) / CHUNK), draw_chunk, j, err);
}

/* Bias correction and acceleration: the two levels at which BCa takes its percentiles. */
static void bca_levels(double value, const double *v, size_t n, const double *jack, size_t units, double level,
                       double ret[2]) {
    double below = 0, mean = mean_defined(jack, units), squares = 0, cubes = 0, defined = 0;
    for (size_t i = 0; i < n; i++) below += (v[i] < value) + 0.5 * (v[i] == value);
    for (size_t i = 0; i < units; i++) {
        if (isnan(jack[i])) continue;
        double u = mean - jack[i];
        squares += u * u;
        cubes += u * u * u;
        defined++;
    }
    double share = below / (double)n, acceleration = squares > 0 ? cubes / (6 * pow(squares, 1.5)) : 0;
    ret[0] = ret[1] = NAN;
    if (!(share > 0 && share < 1) || defined < 2) return; /* every draw on one side: no correction can be told */
    double bias = normal_quantile(share);
    for (int side = 0; side < 2; side++) {
        double z = bias + normal_quantile(side ? (1 + level) / 2 : (1 - level) / 2);
        ret[side] = normal_below(bias + z / (1 - acceleration * z));
    }
}

interval interval_of(double value, double *values, size_t n, double level, const double *leave_one_out, size_t units) {
    if (isnan(value)) return (interval){NAN, NAN, NAN, NAN, n};
    size_t k = keep_defined(values, n);
    interval i = {.value = value, .mean = mean_defined(values, k), .low = NAN, .high = NAN, .skipped = n - k};
    double at[2] = {(1 - level) / 2, (1 + level) / 2};
    if (leave_one_out && k) bca_levels(value, values, k, leave_one_out, units, level, at);
    if (isnan(at[0])) return i;
    i.low = percentile(values, k, at[0]);
    i.high = percentile(values, k, at[1]);
    return i;
}

hct_status bootstrap(const score_table *t, const bootstrap_options *o, metric_intervals *ret_tasks,
                     metric_intervals *ret_macro, hct_err *err) {
    size_t tasks = t->n_tasks, units = resampler_units(o->draws, t->n);
    rank_order *orders;
    hct_status st = rank_orders_make(t, NULL, &orders, err);
    if (st < 0) return st;
    job draws = {t, o, orders, NULL, o->draws->count, false, PTHREAD_MUTEX_INITIALIZER, 0},
        jack = {t, o, orders, NULL, units, true, PTHREAD_MUTEX_INITIALIZER, 0},
        itself = {t, o, orders, NULL, 1, false, PTHREAD_MUTEX_INITIALIZER, 0};
    double *one = malloc((METRICS * tasks + 1) * sizeof *one);
    itself.values = malloc(METRICS * (tasks + 1) * sizeof *one);
    if (!one || !itself.values) st = hct_fail(err, HCT_ENOMEM, "out of memory for %zu tasks", tasks);
    bool bca = o->kind == INTERVAL_BCA && o->draws->count > 0;
    if (st == HCT_OK) st = draw_all(&draws, err);
    if (st == HCT_OK && bca) st = draw_all(&jack, err);
    if (st == HCT_OK) measure(&itself, 0, NULL, one);
    for (size_t k = 0; st == HCT_OK && k <= tasks; k++)
        for (int m = 0; m < METRICS; m++) {
            metric_intervals *to = k < tasks ? &ret_tasks[k] : ret_macro;
            *(m ? &to->average_precision : &to->auc) =
                interval_of(*values_of(&itself, m, k), values_of(&draws, m, k), draws.count, o->level,
                            bca ? values_of(&jack, m, k) : NULL, units);
        }
    free(one);
    free(itself.values);
    free(draws.values);
    free(jack.values);
    rank_orders_free(orders, tasks);
    return st;
}
