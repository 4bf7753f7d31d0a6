/* Logistic regression by Newton's method: every step solves H d = -g by conjugate gradients, then searches along d. */
#include "probe/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double TOLERANCE = 1e-12; /* of the gradient, relative to the one at zero weights */
enum { STEPS = 200, HALVINGS = 60 };

typedef struct solver {
    const logistic_problem *p;
    double c, *margin, *curve; /* [n]: w.x + b; C s (1 - s), the weight of a row in the Hessian */
    double *g, *d, *r, *q, *hq, *diagonal, *w_try;
    double *scale, *shift; /* a column is scale x + shift */
    size_t k;              /* width + 1 */
} solver;

/* log(1 + exp(-m)) */
static double soft_loss(double m) { return m > 0 ? log1p(exp(-m)) : -m + log1p(exp(m)); }
static double logistic(double m) { return m >= 0 ? 1 / (1 + exp(-m)) : exp(m) / (1 + exp(m)); }

/* The value of w on row i. */
static double project(const solver *s, size_t i, const double *w, double offset) {
    const float *x = s->p->x + s->p->row[i] * s->p->width;
    double sum = 0;
    for (size_t j = 0; j < s->p->width; j++) sum += w[j] * (double)x[j];
    return sum + offset;
}

/* out += a * row i, the intercept's column included. Columns are left unscaled: rescale() ends the sum. */
static void accumulate(const solver *s, size_t i, double a, double *out) {
    const float *x = s->p->x + s->p->row[i] * s->p->width;
    for (size_t j = 0; j < s->p->width; j++) out[j] += a * (double)x[j];
    out[s->k - 1] += a;
}

/* Sums over raw columns become sums over scale x + shift: the intercept's sum is that of the factors. */
static void rescale(const solver *s, double *io) {
    for (size_t j = 0; j + 1 < s->k; j++) io[j] = io[j] * s->scale[j] + io[s->k - 1] * s->shift[j];
}

/* w of the scaled columns, as weights of raw ones (into scratch) and an offset (returned). */
static double unscale(const solver *s, const double *w, double *raw) {
    double offset = w[s->k - 1];
    for (size_t j = 0; j + 1 < s->k; j++) raw[j] = w[j] * s->scale[j], offset += w[j] * s->shift[j];
    return offset;
}

static double penalty(const solver *s, const double *w) {
    double sum = 0;
    for (size_t j = 0; j + 1 < s->k; j++) sum += w[j] * w[j];
    return sum / 2;
}

static double sign_of(const solver *s, size_t i) { return s->p->label[i] ? 1 : -1; }

/* f at w; the margins stay. */
static double value(solver *s, const double *w, double *raw) {
    double offset = unscale(s, w, raw), sum = 0;
    for (size_t i = 0; i < s->p->n; i++) {
        s->margin[i] = project(s, i, raw, offset);
        sum += soft_loss(sign_of(s, i) * s->margin[i]);
    }
    return penalty(s, w) + s->c * sum;
}

/* The gradient, the rows' weights in the Hessian and its diagonal, of the margins as they are. */
static void derivatives(solver *s, const double *w) {
    memset(s->g, 0, s->k * sizeof *s->g);
    memset(s->diagonal, 0, s->k * sizeof *s->diagonal);
    for (size_t i = 0; i < s->p->n; i++) {
        const float *x = s->p->x + s->p->row[i] * s->p->width;
        double likely = logistic(s->margin[i]);
        s->curve[i] = s->c * likely * (1 - likely);
        accumulate(s, i, s->c * (likely - (s->p->label[i] ? 1 : 0)), s->g);
        for (size_t j = 0; j + 1 < s->k; j++) {
            double v = (double)x[j] * s->scale[j] + s->shift[j];
            s->diagonal[j] += s->curve[i] * v * v;
        }
        s->diagonal[s->k - 1] += s->curve[i];
    }
    rescale(s, s->g);
    for (size_t j = 0; j + 1 < s->k; j++) s->g[j] += w[j], s->diagonal[j] += 1;
    if (!(s->diagonal[s->k - 1] > 1e-300)) s->diagonal[s->k - 1] = 1e-300;
}

/* out = H v */
static void curve_along(solver *s, const double *v, double *raw, double *out) {
    double offset = unscale(s, v, raw);
    memset(out, 0, s->k * sizeof *out);
    for (size_t i = 0; i < s->p->n; i++) accumulate(s, i, s->curve[i] * project(s, i, raw, offset), out);
    rescale(s, out);
    for (size_t j = 0; j + 1 < s->k; j++) out[j] += v[j];
}

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t j = 0; j < n; j++) sum += a[j] * b[j];
    return sum;
}

static double largest(const double *a, size_t n) {
    double most = 0;
    for (size_t j = 0; j < n; j++) most = fabs(a[j]) > most || isnan(a[j]) ? fabs(a[j]) : most;
    return most;
}

/* d: H d = -g by preconditioned conjugate gradients (Nocedal & Wright 2006, algorithm 5.3), as far as min(0.5,
 * sqrt(|g| / |g0|)) |g|, which makes the outer steps converge faster than linearly (their eq. 7.3). */
static void direction(solver *s, double share, double *raw) {
    size_t k = s->k;
    double *z = s->w_try, goal = fmin(0.1, sqrt(share)), norm = sqrt(dot(s->g, s->g, k));
    for (size_t j = 0; j < k; j++) s->d[j] = 0, s->r[j] = -s->g[j], s->q[j] = s->r[j] / s->diagonal[j];
    double rz = dot(s->r, s->q, k);
    for (size_t step = 0; step < 2 * k + 20 && sqrt(dot(s->r, s->r, k)) > goal * norm; step++) {
        curve_along(s, s->q, raw, s->hq);
        double bend = dot(s->q, s->hq, k);
        if (!(bend > 0)) break;
        double a = rz / bend, before = rz;
        for (size_t j = 0; j < k; j++) {
            s->d[j] += a * s->q[j];
            s->r[j] -= a * s->hq[j];
            z[j] = s->r[j] / s->diagonal[j];
        }
        rz = dot(s->r, z, k);
        for (size_t j = 0; j < k; j++) s->q[j] = z[j] + rz / before * s->q[j];
    }
}

/* Where f has less left to fall than its last digits show: the whole step, if the gradient gets shorter by it. */
static int advance_last(solver *s, double *io_w, double *io_f, double *raw) {
    double before = largest(s->g, s->k);
    for (size_t j = 0; j < s->k; j++) s->w_try[j] = io_w[j] + s->d[j];
    double f = value(s, s->w_try, raw);
    derivatives(s, s->w_try);
    if (!(largest(s->g, s->k) < before)) return 0;
    memcpy(io_w, s->w_try, s->k * sizeof *io_w);
    *io_f = f;
    return 1;
}

/* Along d until f falls by Armijo's rule; 0 where it falls no more. */
static int advance(solver *s, double *io_w, double *io_f, double *raw) {
    double slope = dot(s->g, s->d, s->k), t = 1;
    if (-slope < 1e-10 * fabs(*io_f)) return advance_last(s, io_w, io_f, raw);
    for (int h = 0; h < HALVINGS && slope < 0; h++, t /= 2) {
        for (size_t j = 0; j < s->k; j++) s->w_try[j] = io_w[j] + t * s->d[j];
        double f = value(s, s->w_try, raw);
        if (f <= *io_f + 1e-4 * t * slope) {
            memcpy(io_w, s->w_try, s->k * sizeof *io_w);
            *io_f = f;
            return 1;
        }
    }
    *io_f = value(s, io_w, raw); /* the margins are those of io_w again */
    return 0;
}

static hct_status search(solver *s, double *io_w, double *raw, logistic_report *ret, hct_err *err) {
    double *zero = s->q;
    memset(zero, 0, s->k * sizeof *zero);
    value(s, zero, raw);
    derivatives(s, zero);
    double start = largest(s->g, s->k), f = value(s, io_w, raw), least = INFINITY;
    *ret = (logistic_report){0};
    if (!(start > 0) || !isfinite(f))
        return hct_fail(err, HCT_EINVAL,
                        start > 0 ? "logistic regression: a feature is not finite or too large"
                                  : "logistic regression: the features tell nothing");
    for (;; ret->steps++) {
        derivatives(s, io_w);
        ret->gradient = largest(s->g, s->k) / start;
        if (!isfinite(ret->gradient)) break;
        least = fmin(least, ret->gradient);
        if (ret->gradient <= TOLERANCE || ret->steps == STEPS) break;
        direction(s, ret->gradient, raw);
        if (!advance(s, io_w, &f, raw)) break;
    }
    /* Rounding may end the search a little earlier: what f has left to fall is below its last digit. */
    if (ret->gradient <= 1e-6) return HCT_OK;
    return hct_fail(err, HCT_EINVAL,
                    "logistic regression with C %g did not converge: after %d steps its gradient is %.1e of that at "
                    "the start (standardise the features: probe.standardize)",
                    s->c, ret->steps, ret->gradient);
}

static hct_status check(const logistic_problem *p, double c, hct_err *err) {
    size_t positive = 0;
    if (!(c > 0) || !isfinite(c)) return hct_fail(err, HCT_EINVAL, "logistic regression: C is %g, not above 0", c);
    for (size_t i = 0; i < p->n; i++) positive += p->label[i] != 0;
    if (!positive || positive == p->n)
        return hct_fail(err, HCT_EINVAL, "logistic regression: %zu positives of %zu scans; both classes are needed",
                        positive, p->n);
    return HCT_OK;
}

hct_status logistic_fit(const logistic_problem *p, double c, double *io_w, logistic_report *ret, hct_err *err) {
    hct_status st = check(p, c, err);
    if (st < 0) return st;
    size_t k = p->width + 1;
    double *all = calloc(10 * k + 2 * p->n, sizeof *all);
    if (!all) return hct_fail(err, HCT_ENOMEM, "out of memory for a logistic regression of %zu features", p->width);
    solver s = {.p = p, .c = c, .k = k};
    double **part[] = {&s.g, &s.d, &s.r, &s.q, &s.hq, &s.diagonal, &s.w_try, &s.scale, &s.shift};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) *part[i] = all + i * k;
    double *raw = all + 9 * k;
    s.margin = all + 10 * k;
    s.curve = s.margin + p->n;
    for (size_t j = 0; j < p->width; j++) {
        double sd = p->sd ? p->sd[j] : 1;
        s.scale[j] = sd > 0 ? 1 / sd : 0;
        s.shift[j] = p->mean ? -p->mean[j] * s.scale[j] : 0;
    }
    st = search(&s, io_w, raw, ret, err);
    free(all);
    return st;
}
