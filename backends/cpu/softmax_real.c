/* Softmax, cross-entropy and masked squared error, with their backwards. */
#include "real.h"

#include <math.h>

static hct_status run_softmax(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                              const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)ws, (void)err;
    int64_t c = in->dim[in->ndim - 1], step = in->stride[in->ndim - 1], rows = cpu_rows(in, 1);
#pragma omp parallel for schedule(static) if (rows * c > CPU_CHUNK)
    for (int64_t r = 0; r < rows; r++) {
        const real *x = (const real *)hct_ptr(in) + cpu_row(in, 1, r);
        real *y = (real *)hct_ptr(out) + r * c;
        acc top = c ? ld(x[0]) : 0;
        double sum = 0;
        for (int64_t i = 1; i < c; i++) top = ld(x[i * step]) > top ? ld(x[i * step]) : top;
        for (int64_t i = 0; i < c; i++) sum += (double)EXP(ld(x[i * step]) - top);
        acc inv = (acc)(1 / sum);
        for (int64_t i = 0; i < c; i++) y[i] = st(EXP(ld(x[i * step]) - top) * inv);
    }
    return HCT_OK;
}

static hct_status run_softmax_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                                  const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)ws, (void)err;
    int64_t c = in->dim[in->ndim - 1], sy = in->stride[in->ndim - 1], sg = in[1].stride[in->ndim - 1],
            rows = cpu_rows(in, 1);
#pragma omp parallel for schedule(static) if (rows * c > CPU_CHUNK)
    for (int64_t r = 0; r < rows; r++) {
        const real *y = (const real *)hct_ptr(in) + cpu_row(in, 1, r),
                   *g = (const real *)hct_ptr(in + 1) + cpu_row(in + 1, 1, r);
        double dot = 0;
        for (int64_t i = 0; i < c; i++) dot += (double)ld(y[i * sy]) * (double)ld(g[i * sg]);
        for (int64_t i = 0; i < c; i++)
            ((real *)hct_ptr(out))[r * c + i] = st(ld(y[i * sy]) * (ld(g[i * sg]) - (acc)dot));
    }
    return HCT_OK;
}

/* ---- cross-entropy ---- */

static hct_status run_ce(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                         hct_err *err) {
    (void)p, (void)s, (void)ws;
    int64_t n = in->dim[0], c = in->dim[1], step = in->stride[1];
    double loss = 0;
    for (int64_t r = 0; r < n; r++) {
        const real *x = (const real *)hct_ptr(in) + r * in->stride[0];
        int32_t target = ((const int32_t *)hct_ptr(in + 1))[r * in[1].stride[0]];
        if (target < 0 || target >= c)
            return hct_plugin_fail(err, HCT_EINVAL, "the target of row %lld is %d; classes are 0 to %lld", (long long)r,
                                   target, (long long)c - 1);
        double top = (double)ld(x[0]), sum = 0;
        for (int64_t i = 1; i < c; i++) top = fmax(top, (double)ld(x[i * step]));
        for (int64_t i = 0; i < c; i++) sum += exp((double)ld(x[i * step]) - top);
        double lse = top + log(sum);
        loss += lse - (double)ld(x[target * step]);
        ((stat *)hct_ptr(&out[1]))[r] = (stat)lse;
    }
    *(real *)hct_ptr(&out[0]) = st((acc)(loss / (double)n));
    return HCT_OK;
}

static hct_status run_ce_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                             const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)ws, (void)err;
    int64_t n = in->dim[0], c = in->dim[1];
    acc g = ld(*(const real *)hct_ptr(&in[3])) / (acc)n;
    for (int64_t r = 0; r < n; r++) {
        const real *x = (const real *)hct_ptr(in) + r * in->stride[0];
        int32_t target = ((const int32_t *)hct_ptr(in + 1))[r * in[1].stride[0]];
        acc lse = (acc)((const stat *)hct_ptr(&in[2]))[r * in[2].stride[0]];
        for (int64_t i = 0; i < c; i++)
            ((real *)hct_ptr(out))[r * c + i] = st(g * (EXP(ld(x[i * in->stride[1]]) - lse) - (i == target)));
    }
    return HCT_OK;
}

/* ---- masked squared error ---- */

static double mask_sum(const hct_view *m) {
    double sum = 0;
    for (int64_t r = 0; r < hct_numel(m); r++) sum += (double)ld(((const real *)hct_ptr(m))[cpu_row(m, 0, r)]);
    return sum;
}

static hct_status run_mse(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                          hct_err *err) {
    (void)p, (void)s, (void)ws, (void)err;
    int64_t rows = cpu_rows(in, 1), n = in->dim[2];
    double loss = 0;
    for (int64_t r = 0; r < rows; r++) {
        double m = (double)ld(((const real *)hct_ptr(in + 2))[cpu_row(in + 2, 0, r)]), square = 0;
        if (m == 0) continue;
        const real *a = (const real *)hct_ptr(in) + cpu_row(in, 1, r),
                   *b = (const real *)hct_ptr(in + 1) + cpu_row(in + 1, 1, r);
        for (int64_t i = 0; i < n; i++) {
            double d = (double)ld(a[i * in->stride[2]]) - (double)ld(b[i * in[1].stride[2]]);
            square += d * d;
        }
        loss += m * square / (double)n;
    }
    *(real *)hct_ptr(out) = st((acc)(loss / mask_sum(in + 2)));
    return HCT_OK;
}

static hct_status run_mse_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                              const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)ws, (void)err;
    int64_t rows = cpu_rows(in, 1), n = in->dim[2];
    double g = 2 * (double)ld(*(const real *)hct_ptr(in + 3)) / ((double)n * mask_sum(in + 2));
#pragma omp parallel for schedule(static) if (rows * n > CPU_CHUNK)
    for (int64_t r = 0; r < rows; r++) {
        acc m = (acc)(g * (double)ld(((const real *)hct_ptr(in + 2))[cpu_row(in + 2, 0, r)]));
        const real *a = (const real *)hct_ptr(in) + cpu_row(in, 1, r),
                   *b = (const real *)hct_ptr(in + 1) + cpu_row(in + 1, 1, r);
        for (int64_t i = 0; i < n; i++)
            ((real *)hct_ptr(out))[r * n + i] = st(m * (ld(a[i * in->stride[2]]) - ld(b[i * in[1].stride[2]])));
    }
    return HCT_OK;
}

KERNEL(k_softmax, "softmax", run_softmax);
KERNEL(k_softmax_bwd, "softmax.bwd", run_softmax_bwd);
KERNEL(k_ce, "cross_entropy", run_ce);
KERNEL(k_ce_bwd, "cross_entropy.bwd", run_ce_bwd);
KERNEL(k_mse, "mse_masked", run_mse);
KERNEL(k_mse_bwd, "mse_masked.bwd", run_mse_bwd);

const hct_kernel *const REAL(cpu_softmax)[] = {&k_softmax, &k_softmax_bwd, &k_ce, &k_ce_bwd, &k_mse, &k_mse_bwd, NULL};
