/* A whole plugin in one file: a new op, silu, with its gradient, and a faster kernel for an op that is there,
 * max_pool3d.bwd. docs/writing-a-plugin.md walks through it. Build it with the Makefile beside it; it links nothing
 * of headct. */
#include <hct/plugin.h>

#include <math.h>
#include <string.h>

/* ---- the op: silu(x) = x s(x), s(x) = 1 / (1 + exp(-x)) (Hendrycks & Gimpel 2016) ---- */

/* The shape rule: what goes in, what comes out. silu takes x; silu.bwd takes x and dy. All have x's shape and dtype. */
static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    uint32_t inputs = strcmp(p->op, "silu.bwd") ? 1 : 2;
    if (p->n_in != inputs || p->n_out != 1)
        return hct_plugin_fail(err, HCT_EINVAL, "takes %u input(s), not %u", inputs, p->n_in);
    if (p->in[0].dtype != HCT_F32 && p->in[0].dtype != HCT_F64)
        return hct_plugin_fail(err, HCT_EDTYPE, "x must be F32 or F64");
    *out = p->in[0]; /* the host lays it out: strides and offset are its own */
    return HCT_OK;
}

/* The gradient: appends one call of silu.bwd, and hands its result on as dL/dx. */
static hct_status grad(const hct_host *host, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id dx, in[] = {n->in[0], host->grad_of(t, n->out[0])};
    host->emit(t, "silu.bwd", in, 2, NULL, 0, &dx, 1);
    host->add_grad(t, n->in[0], dx);
    return HCT_OK;
}

static const hct_op silu = {.size = sizeof(hct_op), .name = "silu", .infer = infer, .grad = grad};
static const hct_op silu_bwd = {.size = sizeof(hct_op), .name = "silu.bwd", .infer = infer};

/* ---- kernels for the CPU ---- */

/* "Can I?": yes. The kernel of a new op is the only one there is, so it takes any strides. */
static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d, (void)p, (void)err;
    ret->flags = HCT_DETERMINISTIC;
    return HCT_OK;
}

/* Where element i (row-major) of a view lies: inputs may be transposed, sliced, or broadcast with stride 0. */
static int64_t place(const hct_view *v, int64_t i) {
    int64_t at = 0;
    for (int d = v->ndim - 1; d >= 0; d--) {
        at += i % v->dim[d] * v->stride[d];
        i /= v->dim[d];
    }
    return at;
}

#define RUN(name)                                                                                                      \
    static hct_status name(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,                  \
                           const hct_view *ws, hct_err *err)

/* y = x s(x); outputs have no gaps. Below 0: x e / (1 + e), e = exp(x); exp(-x) overflows where y is still a number */
#define SILU(real, exp_)                                                                                               \
    RUN(run_silu_##real) {                                                                                             \
        (void)p, (void)s, (void)ws, (void)err;                                                                         \
        const real *x = hct_ptr(&in[0]);                                                                               \
        real *y = hct_ptr(&out[0]);                                                                                    \
        for (int64_t i = 0; i < hct_numel(&in[0]); i++) {                                                              \
            real v = x[place(&in[0], i)], e = exp_(v < 0 ? v : -v);                                                    \
            y[i] = v * (v < 0 ? e : 1) / (1 + e);                                                                      \
        }                                                                                                              \
        return HCT_OK;                                                                                                 \
    }
/* dx = dy s(x) (1 + x (1 - s(x))) */
#define SILU_BWD(real, exp_)                                                                                           \
    RUN(run_silu_bwd_##real) {                                                                                         \
        (void)p, (void)s, (void)ws, (void)err;                                                                         \
        const real *x = hct_ptr(&in[0]), *dy = hct_ptr(&in[1]);                                                        \
        real *dx = hct_ptr(&out[0]);                                                                                   \
        for (int64_t i = 0; i < hct_numel(&in[0]); i++) {                                                              \
            real v = x[place(&in[0], i)], e = exp_(v < 0 ? v : -v), sigmoid = (v < 0 ? e : 1) / (1 + e);               \
            dx[i] = dy[place(&in[1], i)] * sigmoid * (1 + v * (1 - sigmoid));                                          \
        }                                                                                                              \
        return HCT_OK;                                                                                                 \
    }
SILU(float, expf)
SILU(double, exp)
SILU_BWD(float, expf)
SILU_BWD(double, exp)

/* A faster kernel for an old op may be choosy: what it refuses goes to the next one. */
static hct_status plan_max_bwd(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    if (!hct_is_contiguous(&p->in[0]) || !hct_is_contiguous(&p->in[1]))
        return hct_plugin_fail(err, HCT_NOTIMPL, "an input has gaps");
    return plan(d, p, ret, err);
}

/* dx of max_pool3d: each dy is added to the voxel whose index its window kept. The reference finds the place of
 * every element in a view that may have gaps, and adds in double; without gaps there is nothing to find. A task is
 * one channel of one sample, so no two threads add to the same voxel, and the sums are made in the same order in
 * every run. */
RUN(run_max_bwd) {
    (void)p, (void)s, (void)ws, (void)err;
    const hct_view *y = &in[0], *x = &out[0];
    int64_t channels = x->dim[0] * x->dim[1], n_x = x->dim[2] * x->dim[3] * x->dim[4],
            n_y = y->dim[2] * y->dim[3] * y->dim[4];
#pragma omp parallel for schedule(static) if (channels * n_x > 100000)
    for (int64_t c = 0; c < channels; c++) {
        const float *dy = (const float *)hct_ptr(y) + c * n_y;
        const int32_t *at = (const int32_t *)hct_ptr(&in[1]) + c * n_y;
        float *dx = (float *)hct_ptr(x) + c * n_x;
        memset(dx, 0, (size_t)n_x * sizeof *dx);
        for (int64_t i = 0; i < n_y; i++)
            if (at[i] >= 0 && at[i] < n_x) dx[at[i]] += dy[i];
    }
    return HCT_OK;
}

/* Priority 1000: before the reference (0), libraries (100) and tuned kernels (200). So it must be faster than they:
 * with a lower one than theirs it only runs where they refuse, or where HCT_KERNEL asks for it. */
#define KERNEL(id, name_, op_, dtype, plan_, run_)                                                                     \
    static const hct_kernel id = {.size = sizeof(hct_kernel),                                                          \
                                  .name = name_,                                                                       \
                                  .op = op_,                                                                           \
                                  .backend = "cpu",                                                                    \
                                  .dtypes = 1u << (dtype),                                                             \
                                  .priority = 1000,                                                                    \
                                  .plan = plan_,                                                                       \
                                  .run = run_}
KERNEL(k_silu_f32, "example:silu:f32", "silu", HCT_F32, plan, run_silu_float);
KERNEL(k_silu_f64, "example:silu:f64", "silu", HCT_F64, plan, run_silu_double);
KERNEL(k_silu_bwd_f32, "example:silu.bwd:f32", "silu.bwd", HCT_F32, plan, run_silu_bwd_float);
KERNEL(k_silu_bwd_f64, "example:silu.bwd:f64", "silu.bwd", HCT_F64, plan, run_silu_bwd_double);
KERNEL(k_max_bwd, "example:max_pool3d.bwd:f32", "max_pool3d.bwd", HCT_F32, plan_max_bwd, run_max_bwd);

/* ---- registration ---- */

static hct_status init(const hct_host *host, hct_err *err) {
    static const hct_op *const ops[] = {&silu, &silu_bwd};
    static const hct_kernel *const kernels[] = {&k_silu_f32, &k_silu_f64, &k_silu_bwd_f32, &k_silu_bwd_f64, &k_max_bwd};
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < sizeof ops / sizeof *ops; i++) st = host->add_op(host, ops[i], err);
    for (size_t i = 0; st == HCT_OK && i < sizeof kernels / sizeof *kernels; i++)
        st = host->add_kernel(host, kernels[i], err);
    return st;
}

HCT_PLUGIN_DEFINE("example", "1.0", init)
