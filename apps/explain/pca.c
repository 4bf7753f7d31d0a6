/* Principal components by orthogonal iteration. */
#include "explain/pca.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/philox.h"
#include "support/workers.h"

typedef struct work {
    const float *x;
    const double *mean;
    double *cov;
    size_t n, dim;
} work;

static hct_status covariance_row(void *context, int64_t a, hct_err *err) {
    work *w = context;
    (void)err;
    double *row = w->cov + (size_t)a * w->dim;
    for (size_t i = 0; i < w->n; i++) {
        const float *x = w->x + i * w->dim;
        double u = x[a] - w->mean[a];
        for (size_t b = 0; b <= (size_t)a; b++) row[b] += u * (x[b] - w->mean[b]);
    }
    return HCT_OK;
}

static double dot(const double *a, const double *b, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

/* Gram and Schmidt, twice; a vector of nothing is left as nothing. */
static void orthonormalise(double *v, size_t k, size_t dim) {
    for (size_t c = 0; c < k; c++) {
        double *x = v + c * dim;
        for (int twice = 0; twice < 2; twice++)
            for (size_t d = 0; d < c; d++) {
                double s = dot(x, v + d * dim, dim);
                for (size_t i = 0; i < dim; i++) x[i] -= s * v[d * dim + i];
            }
        double norm = sqrt(dot(x, x, dim));
        for (size_t i = 0; norm > 0 && i < dim; i++) x[i] /= norm;
    }
}

/* v [most, dim] -> the first eigenvectors of the symmetric matrix, value [most]. Two more than are wanted are carried
 * along: convergence goes by the gap behind them. */
static void eigenvectors(const double *cov, size_t dim, size_t most, double *v, double *next, double *value) {
    for (size_t i = 0; i < most * dim; i++) v[i] = (double)hct_philox4x32(1, i, 0).v[0] / 4294967296.0 - 0.5;
    orthonormalise(v, most, dim);
    for (int step = 0; step < 500; step++) {
        double moved = 0;
        for (size_t c = 0; c < most; c++)
            for (size_t i = 0; i < dim; i++) next[c * dim + i] = dot(cov + i * dim, v + c * dim, dim);
        orthonormalise(next, most, dim);
        for (size_t c = 0; c < most; c++) moved = fmax(moved, 1 - fabs(dot(next + c * dim, v + c * dim, dim)));
        memcpy(v, next, most * dim * sizeof *v);
        if (moved < 1e-14) break;
    }
    for (size_t c = 0; c < most; c++) {
        for (size_t i = 0; i < dim; i++) next[i] = dot(cov + i * dim, v + c * dim, dim);
        value[c] = dot(next, v + c * dim, dim);
    }
}

hct_status pca(const float *x, size_t n, size_t dim, size_t k, int threads, double *y, double *share, hct_err *err) {
    size_t most = k + 2 < dim ? k + 2 : dim;
    if (n < 2) return hct_fail(err, HCT_EINVAL, "principal components need two rows at least");
    if (k > dim || k > PCA_MOST) return hct_fail(err, HCT_EINVAL, "%zu components of %zu numbers", k, dim);
    for (size_t i = 0; i < n * dim; i++)
        if (!isfinite(x[i]))
            return hct_fail(err, HCT_EINVAL, "row %zu holds %f; finite numbers are needed", i / dim, (double)x[i]);
    double *mean = calloc(dim + dim * dim + 2 * most * dim + most, sizeof *mean);
    if (!mean) return hct_fail(err, HCT_ENOMEM, "out of memory for the covariance of %zu numbers", dim);
    double *cov = mean + dim, *v = cov + dim * dim, *next = v + most * dim, *value = next + most * dim, trace = 0;
    for (size_t i = 0; i < n * dim; i++) mean[i % dim] += x[i];
    for (size_t d = 0; d < dim; d++) mean[d] /= (double)n;
    work w = {x, mean, cov, n, dim};
    hct_status st = workers_run(threads, (int64_t)dim, covariance_row, &w, err);
    for (size_t a = 0; a < dim; a++) {
        for (size_t b = 0; b < a; b++) cov[b * dim + a] = cov[a * dim + b];
        trace += cov[a * dim + a];
    }
    if (st == HCT_OK) eigenvectors(cov, dim, most, v, next, value);
    for (size_t c = 0; c < k && st == HCT_OK; c++) {
        double *u = v + c * dim, largest = 0;
        for (size_t d = 0; d < dim; d++)
            if (fabs(u[d]) > fabs(largest)) largest = u[d];
        share[c] = trace > 0 ? value[c] / trace : NAN;
        for (size_t i = 0; i < n; i++) {
            double s = 0;
            for (size_t d = 0; d < dim; d++) s += (x[i * dim + d] - mean[d]) * u[d];
            y[i * k + c] = largest < 0 ? -s : s;
        }
    }
    free(mean);
    return st;
}
