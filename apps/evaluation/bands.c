/* Bands round ROC and precision-recall curves. */
#include <math.h>
#include <stdlib.h>

#include "evaluation/bootstrap.h"
#include "support/workers.h"

enum { CHUNK = 8 };

typedef struct job {
    const ranking *task;
    const bootstrap_options *options;
    curve_kind kind;
    size_t points, count;
    double *values; /* [point][draw], NaN where a class was missing */
} job;

/* The curve of x (false positive rate; recall) and y at the evenly spaced places; x rises. */
static void roc_at_points(const double *x, const double *y, size_t n, size_t points, double *out, size_t stride) {
    for (size_t p = 0, i = 0; p < points; p++) {
        double at = (double)p / (double)(points - 1);
        while (i + 1 < n && x[i + 1] <= at) i++;
        out[p * stride] = i + 1 == n || x[i] == at ? y[i] : y[i] + (y[i + 1] - y[i]) * (at - x[i]) / (x[i + 1] - x[i]);
    }
}

static void pr_at_points(const double *recall, const double *precision, size_t n, size_t points, double *out,
                         size_t stride) {
    for (size_t p = 0, i = 0; p < points; p++) {
        double at = (double)p / (double)(points - 1);
        while (i + 1 < n && recall[i] < at - 1e-12) i++;
        out[p * stride] = precision[i];
    }
}

/* One curve into out; NaN where a class is missing. x, y: task->n + 1 each. */
static void curve(const job *j, const uint32_t *weight, double *x, double *y, double *out, size_t stride) {
    size_t n = j->kind == CURVE_ROC ? ranking_roc(j->task, weight, x, y) : ranking_pr(j->task, weight, x, y);
    if (n == 0)
        for (size_t p = 0; p < j->points; p++) out[p * stride] = NAN;
    else if (j->kind == CURVE_ROC) roc_at_points(x, y, n, j->points, out, stride);
    else pr_at_points(x, y, n, j->points, out, stride);
}

static hct_status draw_chunk(void *context, int64_t chunk, hct_err *err) {
    job *j = context;
    const resampler *r = j->options->draws;
    size_t n = j->task->n + 1, first = (size_t)chunk * CHUNK, end = first + CHUNK < j->count ? first + CHUNK : j->count;
    double *xy = malloc(2 * n * sizeof *xy);
    uint32_t *weight = malloc(j->task->of * sizeof *weight + 1);
    hct_status st = xy && weight ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a curve of %zu cases", n);
    for (size_t b = first; st == HCT_OK && b < end; b++) {
        r->draw(r, b, j->task->of, weight);
        curve(j, weight, xy, xy + n, j->values + b, j->count);
    }
    free(xy);
    free(weight);
    return st;
}

hct_status curve_band(const ranking *task, curve_kind kind, const bootstrap_options *o, size_t points, double *y,
                      double *low, double *high, hct_err *err) {
    size_t n = task->n + 1, count = o->draws->count;
    double *xy = malloc(2 * n * sizeof *xy);
    job j = {task, o, kind, points, count, malloc((points * count + 1) * sizeof *j.values)};
    hct_status st = xy && j.values ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a band of %zu draws", count);
    if (st == HCT_OK) curve(&j, NULL, xy, xy + n, y, 1);
    if (st == HCT_OK && isnan(y[0])) st = hct_fail(err, HCT_EINVAL, "a curve needs positive and negative cases");
    if (st == HCT_OK) st = workers_run(o->threads, (int64_t)((count + CHUNK - 1) / CHUNK), draw_chunk, &j, err);
    for (size_t p = 0; st == HCT_OK && p < points; p++) {
        double *v = j.values + p * count;
        size_t kept = keep_defined(v, count);
        low[p] = percentile(v, kept, (1 - o->level) / 2);
        high[p] = percentile(v, kept, (1 + o->level) / 2);
    }
    free(xy);
    free(j.values);
    return st;
}
