/* linear_int8 (kit/int8.h) in plain C: both operands as whole numbers, rows of 16-bit integers so that the compiler
 * finds the processor's products; their sums are exact. */
#include "real.h"

#include "kit/int8.h"
#include "normal.h"

#include <math.h>

/* row[0, n) = x as whole numbers from -most to most. Returns their step. */
static float whole_numbers(const real *x, int64_t step_x, float most, int64_t n, int16_t *row) {
    float top = 0;
    int finite = 1;
    for (int64_t i = 0; i < n; i++) {
        float v = fabsf((float)ld(x[i * step_x]));
        finite &= v <= INT8_MOST;
        if (v > top) top = v;
    }
    int counts = finite && top >= INT8_LEAST;
    float inverse = counts ? most / top : 0;
    for (int64_t i = 0; i < n; i++) row[i] = counts ? (int16_t)rintf((float)ld(x[i * step_x]) * inverse) : 0;
    return !finite ? NAN : counts ? top / most : 0;
}

typedef struct layout {
    uint64_t w, x, steps_w, steps_x, all; /* bytes from the start of the workspace */
} layout;

static layout layout_of(int64_t m, int64_t n, int64_t k) {
    layout l = {0};
    l.x = cpu_round((uint64_t)(n * k) * sizeof(int16_t));
    l.steps_w = l.x + cpu_round((uint64_t)(m * k) * sizeof(int16_t));
    l.steps_x = l.steps_w + cpu_round((uint64_t)n * sizeof(float));
    l.all = l.steps_x + cpu_round((uint64_t)m * sizeof(float));
    return l;
}

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    hct_status st = cpu_plan(d, p, ret, err);
    ret->workspace = layout_of(cpu_rows(&p->in[0], 1), p->in[1].dim[0], p->in[1].dim[1]).all;
    return st;
}

static hct_status run_linear_int8(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                                  const hct_view *ws, hct_err *err) {
    (void)s, (void)err;
    const hct_view *x = &in[0], *w = &in[1];
    const hct_view *bias = cpu_state(p)->n_in == 3 ? &in[2] : NULL;
    const int gelu = cpu_int(p, "gelu") != 0;
    int64_t m = cpu_rows(x, 1), n = w->dim[0], k = w->dim[1];
    layout l = layout_of(m, n, k);
    char *base = hct_ptr(ws);
    int16_t *wq = (int16_t *)(base + l.w), *xq = (int16_t *)(base + l.x);
    float *steps_w = (float *)(base + l.steps_w), *steps_x = (float *)(base + l.steps_x);
#pragma omp parallel
    {
#pragma omp for schedule(static) nowait
        for (int64_t j = 0; j < n; j++)
            steps_w[j] =
                whole_numbers((const real *)hct_ptr(w) + j * w->stride[0], w->stride[1], INT8_TOP_W, k, wq + j * k);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < m; i++)
            steps_x[i] = whole_numbers((const real *)hct_ptr(x) + cpu_row(x, 1, i), x->stride[x->ndim - 1], INT8_TOP_X,
                                       k, xq + i * k);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                int32_t sum = 0;
                for (int64_t e = 0; e < k; e++) sum += (int32_t)xq[i * k + e] * wq[j * k + e];
                acc y = (acc)sum * (acc)(steps_x[i] * steps_w[j]);
                if (bias) y += ld(((const real *)hct_ptr(bias))[j * bias->stride[0]]);
                ((real *)hct_ptr(out))[i * n + j] = st(gelu ? y * normal_cdf(y) : y);
            }
    }
    return HCT_OK;
}

KERNEL_PLANNED(k_linear_int8, "linear_int8", plan, run_linear_int8);

const hct_kernel *const REAL(cpu_int8)[] = {&k_linear_int8, NULL};
