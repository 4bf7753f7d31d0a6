/* linear, with GELU behind it or not, and matmul over the blocked product. */
#include "real.h"

#include "gemm.h"

typedef REAL(gemm) gemm;

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return cpu_plan_workspace(p, ret, GEMM_SCRATCH(acc), err);
}

/* Whether the rows of x (all but the last axis) lie evenly; *ret_step is then the stride from one to the next. */
static int even_rows(const hct_view *x, int64_t *ret_step) {
    int64_t expect = -1;
    *ret_step = 0;
    for (int i = x->ndim - 2; i >= 0; i--) {
        if (x->dim[i] == 1) continue;
        if (expect < 0) *ret_step = x->stride[i];
        else if (x->stride[i] != expect) return 0;
        expect = x->stride[i] * x->dim[i];
    }
    return 1;
}

/* out [rows, N] = x [rows, K] w^T + bias (or NULL): one product where x's rows lie evenly, else one for each leading
 * index. */
static void linear(const hct_plan *p, const hct_view *in, const hct_view *bias, const hct_view *out,
                   const hct_view *ws) {
    const hct_view *x = &in[0], *w = &in[1];
    int n = x->ndim;
    gemm g = {.m = cpu_rows(x, 1),
              .n = w->dim[0],
              .k = w->dim[1],
              .b = hct_ptr(w),
              .col_a = x->stride[n - 1],
              .row_b = w->stride[1],
              .col_b = w->stride[0],
              .row_c = w->dim[0],
              .col_c = 1,
              .alpha = 1};
    if (bias) g.bias = hct_ptr(bias), g.step_bias = bias->stride[0];
    int64_t batch = 1;
    if (!even_rows(x, &g.row_a)) {
        g.m = x->dim[n - 2];
        g.row_a = x->stride[n - 2];
        batch = cpu_rows(x, 2);
    }
    int64_t blocks = REAL(gemm_blocks)(&g);
#pragma omp parallel for schedule(dynamic) if (batch * blocks > 1)
    for (int64_t i = 0; i < batch * blocks; i++) {
        gemm one = g;
        one.a = (const real *)hct_ptr(x) + (batch > 1 ? cpu_row(x, 2, i / blocks) : 0);
        one.c = (real *)hct_ptr(out) + i / blocks * g.m * g.n;
        REAL(gemm_block)(&one, i % blocks, cpu_workspace(p, ws));
    }
}

static hct_status run_linear(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                             const hct_view *ws, hct_err *err) {
    (void)s, (void)err;
    linear(p, in, cpu_state(p)->n_in == 3 ? &in[2] : NULL, out, ws);
    return HCT_OK;
}

static hct_status run_linear_gelu(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                                  const hct_view *ws, hct_err *err) {
    (void)s, (void)err;
    linear(p, in, NULL, &out[1], ws);
    REAL(cpu_gelu_of_sum)(&out[1], &in[2], &out[0]);
    return HCT_OK;
}

static void matmul(const hct_plan *p, const hct_view *in, const hct_view *out, int wide, const hct_view *ws) {
    const hct_view *a = &in[0], *b = &in[1];
    int n = a->ndim;
    gemm g = {.m = a->dim[n - 2],
              .n = b->dim[n - 1],
              .k = a->dim[n - 1],
              .row_a = a->stride[n - 2],
              .col_a = a->stride[n - 1],
              .row_b = b->stride[n - 2],
              .col_b = b->stride[n - 1],
              .row_c = out->stride[n - 2],
              .col_c = out->stride[n - 1],
              .alpha = 1};
    int64_t batch = cpu_rows(a, 2), blocks = REAL(gemm_blocks)(&g);
#pragma omp parallel for schedule(dynamic) if (batch * blocks > 1)
    for (int64_t i = 0; i < batch * blocks; i++) {
        gemm one = g;
        one.a = (const real *)hct_ptr(a) + cpu_row(a, 2, i / blocks);
        one.b = (const real *)hct_ptr(b) + cpu_row(b, 2, i / blocks);
        if (wide) one.wide = (acc *)hct_ptr(out) + cpu_row(out, 2, i / blocks);
        else one.c = (real *)hct_ptr(out) + cpu_row(out, 2, i / blocks);
        REAL(gemm_block)(&one, i % blocks, cpu_workspace(p, ws));
    }
}

static hct_status run_matmul(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                             const hct_view *ws, hct_err *err) {
    (void)s, (void)err;
    matmul(p, in, out, 0, ws);
    return HCT_OK;
}

static hct_status run_matmul_wide(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                                  const hct_view *ws, hct_err *err) {
    (void)s, (void)err;
    matmul(p, in, out, 1, ws);
    return HCT_OK;
}

KERNEL_PLANNED(k_linear, "linear", plan, run_linear);
KERNEL_PLANNED(k_linear_gelu, "linear_gelu", plan, run_linear_gelu);
KERNEL_PLANNED(k_matmul, "matmul", plan, run_matmul);
KERNEL_PLANNED(k_matmul_wide, "matmul_wide", plan, run_matmul_wide);

const hct_kernel *const REAL(cpu_matmul)[] = {&k_linear, &k_linear_gelu, &k_matmul, &k_matmul_wide, NULL};
