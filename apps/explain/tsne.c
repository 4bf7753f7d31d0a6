/* Exact t-SNE: a row of pairs at a time, rows shared by threads. */
#include "explain/tsne.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/workers.h"

typedef struct rows {
    const float *x;
    size_t n, dim;
    double perplexity, *p;
    const double *y;
    double exaggeration, *gradient, *sum, total; /* sum [n]: of 1 / (1 + d^2) in row i, then row i's share of KL */
} rows;

/* p_.|i for precision beta, and its entropy in nats. */
static double entropy(double *p, const double *distance, size_t n, size_t i, double beta) {
    double sum = 0, mean = 0, least = INFINITY;
    for (size_t j = 0; j < n; j++)
        if (j != i && distance[j] < least) least = distance[j];
    for (size_t j = 0; j < n; j++) {
        p[j] = j == i ? 0 : exp(-beta * (distance[j] - least));
        sum += p[j];
        mean += p[j] * (distance[j] - least);
    }
    for (size_t j = 0; j < n; j++) p[j] /= sum;
    return log(sum) + beta * mean / sum;
}

void tsne_conditional(const double *square, size_t n, size_t self, double perplexity, double *p) {
    double want = log(perplexity), low = 0, high = INFINITY, beta = 1;
    for (int step = 0; step < 200; step++) {
        double h = entropy(p, square, n, self, beta);
        if (fabs(h - want) < 1e-10) break;
        if (h > want) low = beta;
        else high = beta;
        beta = isinf(high) ? beta * 2 : (low + high) / 2;
        if (beta > 1e300) break; /* points that lie together: every precision gives the same */
    }
}

static hct_status conditional(void *context, int64_t row, hct_err *err) {
    rows *w = context;
    size_t i = (size_t)row, n = w->n;
    double *distance = malloc(n * sizeof *distance), *p = w->p + i * n;
    if (!distance) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu distances", n);
    for (size_t j = 0; j < n; j++) {
        double d = 0;
        for (size_t k = 0; k < w->dim; k++) {
            double v = (double)w->x[i * w->dim + k] - (double)w->x[j * w->dim + k];
            d += v * v;
        }
        distance[j] = d;
    }
    tsne_conditional(distance, n, i, w->perplexity, p);
    free(distance);
    return HCT_OK;
}

hct_status tsne_joint(const float *x, size_t n, size_t dim, double perplexity, int threads, double *p, hct_err *err) {
    if (n > TSNE_MOST) return hct_fail(err, HCT_ESHAPE, "%zu points; exact t-SNE takes %d at the most", n, TSNE_MOST);
    if (!(perplexity > 1 && perplexity < (double)n - 1))
        return hct_fail(err, HCT_EINVAL, "a perplexity of %g needs more than %g points; there are %zu", perplexity,
                        perplexity + 1, n);
    for (size_t i = 0; i < n * dim; i++)
        if (!isfinite(x[i]))
            return hct_fail(err, HCT_EINVAL, "row %zu holds %f; finite numbers are needed", i / dim, (double)x[i]);
    rows w = {.x = x, .n = n, .dim = dim, .perplexity = perplexity, .p = p};
    hct_status st = workers_run(threads, (int64_t)n, conditional, &w, err);
    double total = 0;
    for (size_t i = 0; i < n * n; i++) total += p[i];
    for (size_t i = 0; i < n && st == HCT_OK; i++)
        for (size_t j = 0; j < i; j++) {
            double both = (p[i * n + j] + p[j * n + i]) / (2 * total);
            p[i * n + j] = p[j * n + i] = fmax(both, DBL_EPSILON);
        }
    return st;
}

static double closeness(const double *y, size_t i, size_t j) {
    double u = y[2 * i] - y[2 * j], v = y[2 * i + 1] - y[2 * j + 1];
    return 1 / (1 + u * u + v * v);
}

static hct_status sum_row(void *context, int64_t row, hct_err *err) {
    rows *w = context;
    (void)err;
    double sum = 0;
    for (size_t i = (size_t)row, j = 0; j < w->n; j++)
        if (j != i) sum += closeness(w->y, i, j);
    w->sum[row] = sum;
    return HCT_OK;
}

static hct_status cost_row(void *context, int64_t row, hct_err *err) {
    rows *w = context;
    (void)err;
    size_t i = (size_t)row;
    double g[2] = {0, 0}, kl = 0;
    for (size_t j = 0; j < w->n; j++) {
        if (j == i) continue;
        double c = closeness(w->y, i, j), q = fmax(c / w->total, DBL_EPSILON), p = w->p[i * w->n + j] * w->exaggeration;
        double f = (p - q) * c;
        g[0] += f * (w->y[2 * i] - w->y[2 * j]);
        g[1] += f * (w->y[2 * i + 1] - w->y[2 * j + 1]);
        if (!w->gradient) kl += p * log(fmax(p, DBL_EPSILON) / q);
    }
    if (w->gradient) w->gradient[2 * i] = 4 * g[0], w->gradient[2 * i + 1] = 4 * g[1];
    w->sum[i] = kl;
    return HCT_OK;
}

/* ret_kl or gradient, the other one NULL. */
static hct_status pass(rows *w, const double *y, double *ret_kl, double *gradient, int threads, hct_err *err) {
    w->y = y;
    w->gradient = gradient;
    hct_status st = workers_run(threads, (int64_t)w->n, sum_row, w, err);
    w->total = 0;
    for (size_t i = 0; i < w->n; i++) w->total += w->sum[i];
    if (st == HCT_OK) st = workers_run(threads, (int64_t)w->n, cost_row, w, err);
    if (!ret_kl) return st;
    *ret_kl = 0;
    for (size_t i = 0; i < w->n; i++) *ret_kl += w->sum[i];
    return st;
}

hct_status tsne_cost(const double *p, const double *y, size_t n, double exaggeration, int threads, double *ret_kl,
                     double *gradient, hct_err *err) {
    rows w = {.n = n, .p = (double *)(uintptr_t)p, .exaggeration = exaggeration, .sum = malloc(n * sizeof *w.sum + 1)};
    hct_status st = w.sum ? pass(&w, y, ret_kl, NULL, threads, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && gradient) st = pass(&w, y, NULL, gradient, threads, err);
    free(w.sum);
    return st;
}

/* One step with a gain a coordinate (Jacobs 1988), as in the authors' own program. */
static void move(double *y, double *update, double *gain, const double *gradient, size_t n, double momentum,
                 double rate) {
    for (size_t i = 0; i < 2 * n; i++) {
        gain[i] = update[i] * gradient[i] < 0 ? gain[i] + 0.2 : gain[i] * 0.8;
        gain[i] = fmax(gain[i], 0.01);
        update[i] = momentum * update[i] - rate * gain[i] * gradient[i];
        y[i] += update[i];
    }
}

hct_status tsne_descend(size_t n, const tsne_options *o, tsne_slope slope, void *context, double *y, double *ret_kl,
                        hct_err *err) {
    enum { EARLY = 250 };
    double *memory = calloc(6 * n + 1, sizeof *memory),
           rate = o->learning_rate > 0 ? o->learning_rate : fmax((double)n / 48, 50);
    if (!memory) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu points", n);
    double *update = memory, *gain = memory + 2 * n, *gradient = memory + 4 * n;
    hct_status st = HCT_OK;
    for (size_t i = 0; i < 2 * n; i++) gain[i] = 1;
    for (int step = 0; step < o->iterations && st == HCT_OK; step++) {
        if (step == EARLY) {
            memset(update, 0, 2 * n * sizeof *update);
            for (size_t i = 0; i < 2 * n; i++) gain[i] = 1;
        }
        st = slope(context, y, step < EARLY ? 12 : 1, NULL, gradient, err);
        if (st == HCT_OK) move(y, update, gain, gradient, n, step < EARLY ? 0.5 : 0.8, rate);
        if (st == HCT_OK && o->tell && o->tell(o->tell_context, step + 1))
            st = hct_fail(err, HCT_EINTERRUPTED, "stopped after %d of %d steps", step + 1, o->iterations);
    }
    if (st == HCT_OK) st = slope(context, y, 1, ret_kl, NULL, err);
    free(memory);
    return st;
}

typedef struct descent {
    rows w;
    int threads;
} descent;

static hct_status exact_slope(void *context, const double *y, double exaggeration, double *ret_kl, double *gradient,
                              hct_err *err) {
    descent *d = context;
    d->w.exaggeration = exaggeration;
    return pass(&d->w, y, ret_kl, gradient, d->threads, err);
}

hct_status tsne_run(const double *p, size_t n, const tsne_options *o, double *y, double *ret_kl, hct_err *err) {
    descent d = {{.n = n, .p = (double *)(uintptr_t)p, .sum = malloc(n * sizeof(double) + 1)}, o->threads};
    hct_status st = d.w.sum ? tsne_descend(n, o, exact_slope, &d, y, ret_kl, err)
                            : hct_fail(err, HCT_ENOMEM, "out of memory for %zu points", n);
    free(d.w.sum);
    return st;
}
