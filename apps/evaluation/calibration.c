/* Reliability, Brier score, expected calibration error, and fits of one or two numbers by Newton's method. */
#include "evaluation/calibration.h"

#include <math.h>
#include <stdlib.h>

double calibration_logit(double p) {
    p = fmin(fmax(p, 1e-12), 1 - 1e-12);
    return log(p / (1 - p));
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

double calibration_apply(const calibration_map *m, double p) {
    return sigmoid(m->slope * calibration_logit(p) + m->intercept);
}

static hct_status check(const ranking *r, hct_err *err) {
    for (size_t i = 0; i < r->n; i++)
        if (!(r->at[i].score >= 0 && r->at[i].score <= 1))
            return hct_fail(err, HCT_EINVAL, "case %u has %g, which is no probability from 0 to 1", r->at[i].of_case,
                            r->at[i].score);
    return HCT_OK;
}

/* log(1 + exp(x)) */
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

/* Cross-entropy of targets high (positives) and low (negatives), its gradient g and Hessian h in (slope, intercept). */
static double cost(const ranking *r, double high, double low, const calibration_map *m, double g[2], double h[3]) {
    double sum = 0;
    g[0] = g[1] = h[0] = h[1] = h[2] = 0;
    for (size_t i = 0; i < r->n; i++) {
        double x = calibration_logit(r->at[i].score), f = m->slope * x + m->intercept, p = sigmoid(f),
               t = r->at[i].positive ? high : low, d = p - t, w = p * (1 - p);
        sum += softplus(f) - t * f;
        g[0] += d * x;
        g[1] += d;
        h[0] += w * x * x;
        h[1] += w * x;
        h[2] += w;
    }
    return sum;
}

/* Minimises over the slope alone, or over slope and intercept; steps are halved until the cost falls. Returns 0
 * where it runs away (classes that can be told apart without smoothing). */
static int newton(const ranking *r, double high, double low, int both, calibration_map *m) {
    double g[2], h[3], now = cost(r, high, low, m, g, h), ignored[2], unused[3];
    for (int i = 0; i < 200; i++) {
        double ridge = 1e-12, det = (h[0] + ridge) * (h[2] + ridge) - h[1] * h[1], d[2];
        d[0] = both ? ((h[2] + ridge) * g[0] - h[1] * g[1]) / det : g[0] / (h[0] + ridge);
        d[1] = both ? ((h[0] + ridge) * g[1] - h[1] * g[0]) / det : 0;
        double step = 1, next = now;
        calibration_map to = *m;
        for (; step > 1e-10; step /= 2) {
            to = (calibration_map){m->slope - step * d[0], m->intercept - step * d[1]};
            if ((next = cost(r, high, low, &to, ignored, unused)) <= now) break;
        }
        if (step <= 1e-10) return 1;
        double moved = fabs(to.slope - m->slope) + fabs(to.intercept - m->intercept);
        *m = to;
        if (!(fabs(m->slope) < 1e6 && fabs(m->intercept) < 1e6)) return 0;
        now = cost(r, high, low, m, g, h);
        if (moved < 1e-12 * (1 + fabs(m->slope) + fabs(m->intercept))) return 1;
    }
    return fabs(g[0]) + fabs(g[1]) < 1e-6 * (double)r->n;
}

/* Whether a line of slope and intercept (or of slope alone, through p = 0.5) puts all positives on one side and all
 * negatives on the other, or at it: then the cross-entropy has no minimum, or not only one. */
static int told_apart(const ranking *r, int both) {
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < r->n; i++) {
        int y = r->at[i].positive;
        low[y] = fmin(low[y], r->at[i].score);
        high[y] = fmax(high[y], r->at[i].score);
    }
    if (both) return low[1] >= high[0] || high[1] <= low[0];
    return (low[1] >= 0.5 && high[0] <= 0.5) || (high[1] <= 0.5 && low[0] >= 0.5);
}

hct_status calibration_fit(const ranking *r, calibration_kind kind, calibration_map *ret, hct_err *err) {
    double positives, negatives;
    *ret = (calibration_map){1, 0};
    if (kind == CALIBRATION_NONE) return HCT_OK;
    hct_status st = check(r, err);
    ranking_counts(r, NULL, &positives, &negatives);
    if (st == HCT_OK && (positives == 0 || negatives == 0))
        st = hct_fail(err, HCT_EINVAL, "a calibration needs positive and negative cases; there are %g and %g",
                      positives, negatives);
    if (st < 0) return st;
    if (kind == CALIBRATION_TEMPERATURE) {
        if (told_apart(r, 0) || !newton(r, 1, 0, 0, ret))
            return hct_fail(err, HCT_EINVAL,
                            "no temperature fits: the scores tell the classes apart without a mistake");
        return HCT_OK;
    }
    newton(r, (positives + 1) / (positives + 2), 1 / (negatives + 2), 1, ret);
    return HCT_OK;
}

hct_status calibration_of(const ranking *r, size_t n_bins, calibration *ret, calibration_bin *bins, hct_err *err) {
    hct_status st = check(r, err);
    calibration_bin *own = bins ? bins : calloc(n_bins + 1, sizeof *own);
    *ret = (calibration){NAN, NAN, NAN, NAN};
    if (st == HCT_OK && !own) st = hct_fail(err, HCT_ENOMEM, "out of memory for %zu bins", n_bins);
    for (size_t b = 0; st == HCT_OK && b < n_bins; b++)
        own[b] = (calibration_bin){.low = (double)b / (double)n_bins, .high = (double)(b + 1) / (double)n_bins};
    double brier = 0, ece = 0, positives, negatives;
    for (size_t i = 0; st == HCT_OK && i < r->n; i++) {
        double p = r->at[i].score, y = r->at[i].positive;
        size_t b = (size_t)(p * (double)n_bins);
        if (b >= n_bins) b = n_bins - 1;
        own[b].n++;
        own[b].mean += p;
        own[b].observed += y;
        brier += (p - y) * (p - y);
    }
    for (size_t b = 0; st == HCT_OK && b < n_bins; b++) {
        double n = (double)own[b].n;
        own[b].mean = own[b].n ? own[b].mean / n : NAN;
        own[b].observed = own[b].n ? own[b].observed / n : NAN;
        if (own[b].n) ece += n / (double)r->n * fabs(own[b].mean - own[b].observed);
    }
    if (st == HCT_OK && r->n) {
        calibration_map m = {1, 0};
        ret->brier = brier / (double)r->n;
        ret->ece = ece;
        ranking_counts(r, NULL, &positives, &negatives);
        if (positives > 0 && negatives > 0 && !told_apart(r, 1) && newton(r, 1, 0, 1, &m))
            ret->slope = m.slope, ret->intercept = m.intercept;
    }
    if (!bins) free(own);
    return st;
}
