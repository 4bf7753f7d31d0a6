/* Elementwise ops. The walk (axes merged, strides) is worked out when the call is planned; the innermost axis of
 * each operand has stride 1, or 0 where it is broadcast. */
#include "fast.h"
#include "gelu.h"

#include <stdlib.h>

typedef struct walk {
    cpu_loop l;
    int64_t tasks;
    int threads;
    float u, v;
} walk;

static hct_status plan_walk(const hct_problem *p, int operands, hct_plan *ret, hct_err *err) {
    walk *w = malloc(sizeof *w);
    if (!w) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    cpu_loop_init(&w->l, operands, (const hct_view *const[]){&p->out[0], &p->in[0], &p->in[operands - 2]});
    int inner = w->l.ndim - 1, fits = w->l.dim[inner] <= 1 || w->l.stride[0][inner] == 1;
    for (int i = 1; i < operands; i++)
        fits &= w->l.dim[inner] <= 1 || w->l.stride[i][inner] == 1 || w->l.stride[i][inner] == 0;
    if (!fits) {
        free(w);
        return hct_plugin_fail(err, HCT_NOTIMPL, "the innermost axis has gaps");
    }
    w->tasks = w->l.tasks;
    w->threads = hct_numel(&p->out[0]) * (int64_t)sizeof(real) < SMALL_BYTES ? 1 : cpu_threads();
    w->u = (float)hct_attr_real(p->attr, p->n_attr, "factor", 1);
    w->v = (float)hct_attr_real(p->attr, p->n_attr, "plus", 0);
    ret->state = w;
    ret->flags = HCT_DETERMINISTIC;
    ret->may_alias = operands == 3 ? 3 : 1;
    return HCT_OK;
}

static hct_status plan_binary(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_walk(p, 3, ret, err);
}
static hct_status plan_unary(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_walk(p, 2, ret, err);
}

/* A vector of an operand at element i, of which n are there; its only element where it is broadcast. */
ALWAYS vf operand(const real *x, int64_t step, int64_t i, int64_t n) {
    return !step ? vset(ld1(*x)) : n == VL ? ld(x + i) : ld_n(x + i, n);
}

#define EACH_TASK(w)                                                                                                   \
    _Pragma(                                                                                                           \
        "omp parallel for schedule(static) num_threads((w)->threads) if ((w)->threads > 1)") for (int64_t task = 0;    \
                                                                                                  task < (w)->tasks;   \
                                                                                                  task++)

/* x, y: vectors of the operands; u, v: the plan's constants. */
#define BINARY(name, EXPR)                                                                                             \
    RUN(name) {                                                                                                        \
        UNUSED_RUN_ARGUMENTS;                                                                                          \
        const walk *w = p->state;                                                                                      \
        int64_t sa = cpu_step(&w->l, 1), sb = cpu_step(&w->l, 2);                                                      \
        EACH_TASK(w) {                                                                                                 \
            int64_t o[CPU_OPERANDS], n, i = 0;                                                                         \
            cpu_loop_task(&w->l, task, o, &n);                                                                         \
            real *c = (real *)hct_ptr(out) + o[0];                                                                     \
            const real *a = (const real *)hct_ptr(in) + o[1], *b = (const real *)hct_ptr(in + 1) + o[2];               \
            for (; i + VL <= n; i += VL) {                                                                             \
                const vf x = operand(a, sa, i, VL), y = operand(b, sb, i, VL);                                         \
                st(c + i, EXPR);                                                                                       \
            }                                                                                                          \
            if (i < n) {                                                                                               \
                const vf x = operand(a, sa, i, n - i), y = operand(b, sb, i, n - i);                                   \
                st_n(c + i, EXPR, n - i);                                                                              \
            }                                                                                                          \
        }                                                                                                              \
        return HCT_OK;                                                                                                 \
    }
#define UNARY(name, EXPR)                                                                                              \
    RUN(name) {                                                                                                        \
        UNUSED_RUN_ARGUMENTS;                                                                                          \
        const walk *w = p->state;                                                                                      \
        const vf u = vset(w->u), v = vset(w->v);                                                                       \
        (void)u, (void)v;                                                                                              \
        int64_t sa = cpu_step(&w->l, 1);                                                                               \
        EACH_TASK(w) {                                                                                                 \
            int64_t o[CPU_OPERANDS], n, i = 0;                                                                         \
            cpu_loop_task(&w->l, task, o, &n);                                                                         \
            real *c = (real *)hct_ptr(out) + o[0];                                                                     \
            const real *a = (const real *)hct_ptr(in) + o[1];                                                          \
            for (; i + VL <= n; i += VL) {                                                                             \
                const vf x = operand(a, sa, i, VL);                                                                    \
                st(c + i, EXPR);                                                                                       \
            }                                                                                                          \
            if (i < n) {                                                                                               \
                const vf x = operand(a, sa, i, n - i);                                                                 \
                st_n(c + i, EXPR, n - i);                                                                              \
            }                                                                                                          \
        }                                                                                                              \
        return HCT_OK;                                                                                                 \
    }

BINARY(run_add, vadd(x, y))
BINARY(run_sub, vsub(x, y))
BINARY(run_mul, vmul(x, y))
BINARY(run_gelu_bwd, vmul(y, vgelu_slope(x)))
BINARY(run_relu_bwd, vpick_lt(vzero(), x, y, vzero()))
UNARY(run_scale, vfma(u, x, v))
UNARY(run_gelu, vgelu(x))
UNARY(run_relu, vmax(vzero(), x)) /* of a NaN its second operand */

/* ---- cast: float to bfloat16 and back ---- */

#if defined REAL_F32
typedef uint16_t other;
enum { OTHER = HCT_BF16 };
#define PUT put_bf16
#else
typedef float other;
enum { OTHER = HCT_F32 };
#define PUT vput
#endif

static hct_status plan_cast(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    if (p->out[0].dtype != OTHER) return hct_plugin_fail(err, HCT_NOTIMPL, "only between F32 and BF16");
    hct_status st = plan_unary(d, p, ret, err);
    ret->may_alias = 0;
    return st;
}

RUN(run_cast) {
    UNUSED_RUN_ARGUMENTS;
    const walk *w = p->state;
    int64_t step = cpu_step(&w->l, 1);
    EACH_TASK(w) {
        int64_t o[CPU_OPERANDS], n, i = 0;
        cpu_loop_task(&w->l, task, o, &n);
        other *y = (other *)hct_ptr(out) + o[0];
        const real *x = (const real *)hct_ptr(in) + o[1];
        for (; i + VL <= n; i += VL) PUT(y + i, operand(x, step, i, VL), VL);
        if (i < n) PUT(y + i, operand(x, step, i, n - i), n - i);
    }
    return HCT_OK;
}

FAST_KERNEL(k_cast, "cast", plan_cast, run_cast);
FAST_KERNEL(k_add, "add", plan_binary, run_add);
FAST_KERNEL(k_sub, "sub", plan_binary, run_sub);
FAST_KERNEL(k_mul, "mul", plan_binary, run_mul);
FAST_KERNEL(k_gelu_bwd, "gelu.bwd", plan_binary, run_gelu_bwd);
FAST_KERNEL(k_relu, "relu", plan_unary, run_relu);
FAST_KERNEL(k_relu_bwd, "relu.bwd", plan_binary, run_relu_bwd);
FAST_KERNEL(k_scale, "scale", plan_unary, run_scale);
FAST_KERNEL(k_gelu, "gelu", plan_unary, run_gelu);

const hct_kernel *const FAST(fast_elementwise)[] = {&k_add,  &k_sub,  &k_mul,  &k_gelu_bwd, &k_scale,
                                                    &k_gelu, &k_cast, &k_relu, &k_relu_bwd, NULL};
