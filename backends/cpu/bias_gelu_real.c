/* Bias + GELU over rows, and its backward. */
#include "real.h"

#include "normal.h"

#include <string.h>

void REAL(cpu_gelu_of_sum)(const hct_view *x, const hct_view *b, const hct_view *y) {
    int64_t c = x->dim[x->ndim - 1], step = x->stride[x->ndim - 1], rows = cpu_rows(x, 1);
#pragma omp parallel for schedule(static) if (rows * c > CPU_CHUNK)
    for (int64_t r = 0; r < rows; r++) {
        const real *from = (const real *)hct_ptr(x) + cpu_row(x, 1, r), *bias = hct_ptr(b);
        for (int64_t i = 0; i < c; i++) {
            acc z = ld(from[i * step]) + ld(bias[i * b->stride[0]]);
            ((real *)hct_ptr(y))[r * c + i] = st(z * normal_cdf(z));
        }
    }
}

static hct_status run_bias_gelu(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                                const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)ws, (void)err;
    REAL(cpu_gelu_of_sum)(&in[0], &in[1], out);
    return HCT_OK;
}

/* db is summed in double, a row of sums a thread. */
static hct_status plan_bwd(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return cpu_plan_workspace(p, ret, (uint64_t)p->in[1].dim[0] * sizeof(double), err);
}

static hct_status run_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                          hct_err *err) {
    (void)s, (void)err;
    const hct_view *dy = &in[2];
    int64_t c = in->dim[in->ndim - 1], sx = in->stride[in->ndim - 1], sg = dy->stride[dy->ndim - 1],
            rows = cpu_rows(in, 1);
    uint32_t parts = cpu_state(p)->threads;
#pragma omp parallel for schedule(static) if (rows * c > CPU_CHUNK)
    /* a fixed share of the rows each, so that the sums do not depend on timing */
    for (uint32_t part = 0; part < parts; part++) {
        double *db = (double *)((char *)hct_ptr(ws) + part * cpu_state(p)->per_thread);
        memset(db, 0, (size_t)c * sizeof *db);
        for (int64_t r = rows * part / parts; r < rows * (part + 1) / parts; r++) {
            const real *x = (const real *)hct_ptr(in) + cpu_row(in, 1, r), *b = hct_ptr(&in[1]),
                       *g = (const real *)hct_ptr(dy) + cpu_row(dy, 1, r);
            for (int64_t i = 0; i < c; i++) {
                acc z = ld(x[i * sx]) + ld(b[i * in[1].stride[0]]),
                    d = ld(g[i * sg]) * (normal_cdf(z) + z * normal_pdf(z));
                ((real *)hct_ptr(&out[0]))[r * c + i] = st(d);
                db[i] += (double)d;
            }
        }
    }
    for (int64_t i = 0; i < c; i++) {
        double sum = 0;
        for (uint32_t part = 0; part < parts; part++)
            sum += ((const double *)((const char *)hct_ptr(ws) + part * cpu_state(p)->per_thread))[i];
        ((real *)hct_ptr(&out[1]))[i] = st((acc)sum);
    }
    return HCT_OK;
}

KERNEL(k_bias_gelu, "bias_gelu", run_bias_gelu);
KERNEL_PLANNED(k_bwd, "bias_gelu.bwd", plan_bwd, run_bwd);

const hct_kernel *const REAL(cpu_bias_gelu)[] = {&k_bias_gelu, &k_bwd, NULL};
