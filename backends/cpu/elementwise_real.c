/* Elementwise kernels. */
#include "real.h"

#include "hct/philox.h"
#include "normal.h"

#include <math.h>

/* out[i] = EXPR of x = in[0][i] and y = in[1][i] (binary), any strides. */
#define BINARY(name, EXPR)                                                                                             \
    static hct_status name(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,                  \
                           const hct_view *ws, hct_err *err) {                                                         \
        (void)p, (void)s, (void)ws, (void)err;                                                                         \
        cpu_loop l;                                                                                                    \
        cpu_loop_init(&l, 3, (const hct_view *const[]){out, in, in + 1});                                              \
        int64_t so = cpu_step(&l, 0), sa = cpu_step(&l, 1), sb = cpu_step(&l, 2);                                      \
        _Pragma("omp parallel for schedule(static) if (l.tasks > 1)") for (int64_t task = 0; task < l.tasks; task++) { \
            int64_t o[CPU_OPERANDS], n;                                                                                \
            cpu_loop_task(&l, task, o, &n);                                                                            \
            real *c = (real *)hct_ptr(out) + o[0];                                                                     \
            const real *a = (const real *)hct_ptr(in) + o[1], *b = (const real *)hct_ptr(in + 1) + o[2];               \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                acc x = ld(a[i * sa]), y = ld(b[i * sb]);                                                              \
                c[i * so] = st(EXPR);                                                                                  \
            }                                                                                                          \
        }                                                                                                              \
        return HCT_OK;                                                                                                 \
    }

/* out[i] = EXPR of x = in[0][i]; u and v are set from the plan by SETUP. */
#define UNARY(name, SETUP, EXPR)                                                                                       \
    static hct_status name(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,                  \
                           const hct_view *ws, hct_err *err) {                                                         \
        (void)p, (void)s, (void)ws, (void)err;                                                                         \
        SETUP;                                                                                                         \
        cpu_loop l;                                                                                                    \
        cpu_loop_init(&l, 2, (const hct_view *const[]){out, in});                                                      \
        int64_t so = cpu_step(&l, 0), sa = cpu_step(&l, 1);                                                            \
        _Pragma("omp parallel for schedule(static) if (l.tasks > 1)") for (int64_t task = 0; task < l.tasks; task++) { \
            int64_t o[CPU_OPERANDS], n;                                                                                \
            cpu_loop_task(&l, task, o, &n);                                                                            \
            real *c = (real *)hct_ptr(out) + o[0];                                                                     \
            const real *a = (const real *)hct_ptr(in) + o[1];                                                          \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                acc x = ld(a[i * sa]);                                                                                 \
                c[i * so] = st(EXPR);                                                                                  \
            }                                                                                                          \
        }                                                                                                              \
        return HCT_OK;                                                                                                 \
    }

BINARY(run_add, x + y)
BINARY(run_sub, x - y)
BINARY(run_mul, x *y)
BINARY(run_gelu_bwd, y *(normal_cdf(x) + x * normal_pdf(x)))
BINARY(run_relu_bwd, x > 0 ? y : 0)
UNARY(run_scale, acc u = (acc)cpu_real(p, "factor"); acc v = (acc)cpu_real(p, "plus"), u *x + v)
UNARY(run_gelu, , x *normal_cdf(x))
UNARY(run_relu, , x < 0 ? 0 : x)
UNARY(run_rsqrt, acc u = (acc)cpu_real(p, "eps"), 1 / SQRT(x + u))

/* Element i of the call `stream` draws word i % 4 of the Philox block i / 4. */
static hct_status run_dropout(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                              const hct_view *ws, hct_err *err) {
    (void)s, (void)ws, (void)err;
    const int32_t *rng = hct_ptr(in + 1);
    int64_t step = in[1].stride[0], n = hct_numel(out);
    uint64_t key = (uint32_t)rng[0] | (uint64_t)(uint32_t)rng[step] << 32;
    uint64_t when = (uint32_t)rng[2 * step] | (uint64_t)(uint32_t)rng[3 * step] << 32,
             stream = (uint64_t)cpu_int(p, "stream");
    double rate = cpu_real(p, "p");
    acc keep = (acc)(1 / (1 - rate));
    real *y = hct_ptr(out);
    const real *x = hct_ptr(in);
#pragma omp parallel for schedule(static) if (n > CPU_CHUNK)
    for (int64_t b = 0; b < (n + 3) / 4; b++) {
        hct_philox r = hct_philox4x32(key ^ stream * 0x9E3779B97F4A7C15u, (uint64_t)b, when);
        for (int64_t i = 4 * b; i < n && i < 4 * b + 4; i++) {
            acc value = ld(x[cpu_row(in, 0, i)]);
            y[i] = st(hct_u01(r.v[i - 4 * b]) < rate ? 0 : value * keep);
        }
    }
    return HCT_OK;
}

KERNEL_PLANNED(k_add, "add", cpu_plan_in_place, run_add);
KERNEL_PLANNED(k_sub, "sub", cpu_plan_in_place, run_sub);
KERNEL_PLANNED(k_mul, "mul", cpu_plan_in_place, run_mul);
KERNEL_PLANNED(k_gelu_bwd, "gelu.bwd", cpu_plan_in_place, run_gelu_bwd);
KERNEL_PLANNED(k_scale, "scale", cpu_plan_in_place, run_scale);
KERNEL_PLANNED(k_gelu, "gelu", cpu_plan_in_place, run_gelu);
KERNEL_PLANNED(k_relu, "relu", cpu_plan_in_place, run_relu);
KERNEL_PLANNED(k_relu_bwd, "relu.bwd", cpu_plan_in_place, run_relu_bwd);
KERNEL_PLANNED(k_rsqrt, "rsqrt", cpu_plan_in_place, run_rsqrt);
KERNEL(k_dropout, "dropout", run_dropout);

const hct_kernel *const REAL(cpu_elementwise)[] = {&k_add,   &k_sub,     &k_mul,  &k_gelu_bwd, &k_scale, &k_gelu,
                                                   &k_rsqrt, &k_dropout, &k_relu, &k_relu_bwd, NULL};
