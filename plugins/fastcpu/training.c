/* What ends a training step: Adam over all tensors of a group and the gradients' norms, each as one loop over pieces
 * of all tensors; and MAE's masked squared error. Formulas: hct/optim.h; layout of rates and norms:
 * core/ops/optim.c. */
#include "fast.h"
#include "hct/optim.h"

#include <math.h>
#include <stdlib.h>

enum { PIECE = 32768 };

typedef struct piece {
    uint32_t tensor;
    int64_t from, n;
} piece;

typedef struct pieces_plan {
    cpu_call *call; /* attributes, remembered by the reference's helper */
    int64_t n, tensors;
    int threads;
    piece piece[];
} pieces_plan;

/* The elements of in[first + i * step], i < tensors, in pieces. */
static hct_status plan_pieces(const hct_problem *p, uint32_t first, uint32_t step, hct_plan *ret, hct_err *err) {
    hct_plan call = {.size = sizeof call};
    hct_status st = cpu_plan(NULL, p, &call, err);
    if (st != HCT_OK) return st;
    int64_t n = 0, all = 0;
    for (uint32_t i = first; i < p->n_in; i += step) n += (hct_numel(&p->in[i]) + PIECE - 1) / PIECE;
    pieces_plan *a = malloc(sizeof *a + (size_t)n * sizeof *a->piece);
    if (!a) {
        cpu_release(&call);
        return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    }
    *a = (pieces_plan){.call = call.state};
    for (uint32_t i = first; i < p->n_in; i += step) {
        int64_t size = hct_numel(&p->in[i]);
        for (int64_t from = 0; from < size; from += PIECE)
            a->piece[a->n++] = (piece){(uint32_t)a->tensors, from, size - from < PIECE ? size - from : PIECE};
        a->tensors++;
        all += size;
    }
    a->threads = all * (int64_t)sizeof(real) < SMALL_BYTES ? 1 : cpu_threads();
    ret->state = a;
    ret->flags = HCT_DETERMINISTIC;
    return HCT_OK;
}

static void release(hct_plan *p) {
    pieces_plan *a = p->state;
    if (a) free(a->call);
    free(a);
    p->state = NULL;
}

static int64_t attr_int(const pieces_plan *a, const char *name) {
    return hct_attr_int(a->call->attr, a->call->n_attr, name, 0);
}
static double attr_real(const pieces_plan *a, const char *name) {
    return hct_attr_real(a->call->attr, a->call->n_attr, name, 0);
}

/* ---- grad_norm ---- */

static hct_status plan_norm(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    for (uint32_t i = 0; i < p->n_in; i++)
        if (!hct_is_contiguous(&p->in[i])) return hct_plugin_fail(err, HCT_NOTIMPL, "gradient %u has gaps", i);
    hct_status st = plan_pieces(p, 0, 1, ret, err);
    if (st == HCT_OK) ret->workspace = (uint64_t)((pieces_plan *)ret->state)->n * sizeof(double);
    return st;
}

/* In double: the squares of large gradients leave the range of floats. */
static double squares(const real *x, int64_t n) {
    double sum = 0;
    for (int64_t at = 0; at < n; at += 1024) {
        int64_t end = n - at < 1024 ? n : at + 1024, i = at;
        vf part[4] = {vzero(), vzero(), vzero(), vzero()};
        for (; i + 4 * VL <= end; i += 4 * VL)
            for (int k = 0; k < 4; k++) part[k] = vfma(ld(x + i + k * VL), ld(x + i + k * VL), part[k]);
        float all = vsum(vadd(vadd(part[0], part[1]), vadd(part[2], part[3])));
        double rest = 0;
        for (; i < end; i++) rest += (double)ld1(x[i]) * (double)ld1(x[i]);
        if (!(all < 1e37f && all > 1e-30f)) { /* out of the range where floats are exact enough */
            all = 0;
            rest = 0;
            for (i = at; i < end; i++) rest += (double)ld1(x[i]) * (double)ld1(x[i]);
        }
        sum += (double)all + rest;
    }
    return sum;
}

RUN(run_norm) {
    UNUSED_RUN_ARGUMENTS;
    const pieces_plan *a = p->state;
    double *sum = hct_ptr(ws), total = 0;
    float *norm = hct_ptr(out);
#pragma omp parallel for schedule(dynamic) num_threads(a->threads) if (a->threads > 1)
    for (int64_t i = 0; i < a->n; i++)
        sum[i] = squares((const real *)hct_ptr(&in[a->piece[i].tensor]) + a->piece[i].from, a->piece[i].n);
    for (int64_t t = 0, i = 0; t < a->tensors; t++) {
        double square = 0;
        for (; i < a->n && a->piece[i].tensor == t; i++) square += sum[i];
        norm[t] = (float)sqrt(square);
        total += (double)norm[t] * (double)norm[t];
    }
    norm[a->tensors] = (float)sqrt(total);
    return HCT_OK;
}

/* ---- Adam ---- */

static hct_status plan_adam(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    uint32_t group = hct_attr_int(p->attr, p->n_attr, "copy", 0) ? 5 : 4;
    for (uint32_t i = 2; i < p->n_in; i++) {
        if ((i - 2) % group == 4) {
            if (p->in[i].dtype != HCT_BF16) return hct_plugin_fail(err, HCT_NOTIMPL, "a copy is not BF16");
        } else if (p->in[i].dtype != REAL_DTYPE) {
            return hct_plugin_fail(err, HCT_NOTIMPL,
                                   "a parameter, gradient or moment is of another dtype than " REAL_TEXT);
        }
        if (!hct_is_contiguous(&p->in[i]))
            return hct_plugin_fail(err, HCT_NOTIMPL, "a parameter, gradient, moment or copy has gaps");
    }
    return plan_pieces(p, 2, group, ret, err);
}

static float clip_factor(const pieces_plan *a, const hct_view *norms, int64_t i) {
    int64_t mode = attr_int(a, "clip_mode");
    if (mode == HCT_CLIP_NONE) return 1;
    int64_t at = mode == HCT_CLIP_GLOBAL ? norms->dim[0] - 1 : attr_int(a, "norm_at") + i;
    double factor = attr_real(a, "clip") / ((double)((const float *)hct_ptr(norms))[at * norms->stride[0]] + 1e-6);
    return factor < 1 ? (float)factor : 1;
}

typedef struct adam_step {
    vf b1, r1, b2, r2, eps, step, inverse_root_c2, shrink, l2;
} adam_step;

/* copy: where the parameter is written as bfloat16 too; or NULL. */
ALWAYS void adam_one(const adam_step *k, real *w, const real *grad, real *m1, real *m2, uint16_t *copy, vf clip,
                     int64_t n) {
    const int all = n == VL;
    vf x = all ? ld(w) : ld_n(w, n), g = vmul(all ? ld(grad) : ld_n(grad, n), clip);
    g = vfma(k->l2, x, g);
    x = vfnma(k->shrink, x, x);
    const vf m = vfma(k->b1, all ? ld(m1) : ld_n(m1, n), vmul(k->r1, g)),
             u = vfma(k->b2, all ? ld(m2) : ld_n(m2, n), vmul(vmul(k->r2, g), g));
    x = vsub(x, vdiv(vmul(k->step, m), vfma(vsqrt(u), k->inverse_root_c2, k->eps)));
    if (all) {
        st(m1, m);
        st(m2, u);
        st(w, x);
        if (copy) st_bf16(copy, x);
    } else {
        st_n(m1, m, n);
        st_n(m2, u, n);
        st_n(w, x, n);
        if (copy) st_bf16_n(copy, x, n);
    }
}

RUN(run_adam) {
    UNUSED_RUN_ARGUMENTS;
    const pieces_plan *a = p->state;
    int64_t step = in[0].stride[0];
    const float *r = (const float *)hct_ptr(&in[0]) + attr_int(a, "at") * step;
    const float lr = r[0], decay = r[step], c1 = r[2 * step], c2 = r[3 * step];
    if (r[4 * step] == 0) return HCT_OK;
    int decoupled = attr_int(a, "decoupled") != 0, copies = attr_int(a, "copy") != 0;
    const adam_step k = {vset((float)attr_real(a, "beta1")),
                         vset((float)(1 - attr_real(a, "beta1"))),
                         vset((float)attr_real(a, "beta2")),
                         vset((float)(1 - attr_real(a, "beta2"))),
                         vset((float)attr_real(a, "eps")),
                         vset(lr / c1),
                         vset(1 / sqrtf(c2)),
                         vset(decoupled ? lr * decay : 0),
                         vset(decoupled ? 0 : decay)};
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t i = 0; i < a->n; i++) {
        const piece *e = &a->piece[i];
        const hct_view *v = in + 2 + (copies ? 5 : 4) * e->tensor;
        const vf clip = vset(clip_factor(a, &in[1], e->tensor));
        real *w = (real *)hct_ptr(v) + e->from, *m1 = (real *)hct_ptr(v + 2) + e->from,
             *m2 = (real *)hct_ptr(v + 3) + e->from;
        const real *g = (const real *)hct_ptr(v + 1) + e->from;
        uint16_t *copy = copies ? (uint16_t *)hct_ptr(v + 4) + e->from : NULL;
        int64_t j = 0;
        for (; j + VL <= e->n; j += VL) adam_one(&k, w + j, g + j, m1 + j, m2 + j, copy ? copy + j : NULL, clip, VL);
        if (j < e->n) adam_one(&k, w + j, g + j, m1 + j, m2 + j, copy ? copy + j : NULL, clip, e->n - j);
    }
    return HCT_OK;
}

/* ---- masked squared error ---- */

typedef struct mse_plan {
    int64_t rows, width;
    int threads;
} mse_plan;

static hct_status plan_mse(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    if (!dense_rows(&p->in[0]) || !dense_rows(&p->in[1]))
        return hct_plugin_fail(err, HCT_NOTIMPL, "the patches have gaps");
    mse_plan *a = malloc(sizeof *a);
    if (!a) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    *a = (mse_plan){cpu_rows(&p->in[0], 1), p->in[0].dim[2],
                    hct_numel(&p->in[0]) * (int64_t)sizeof(real) < SMALL_BYTES ? 1 : cpu_threads()};
    ret->state = a;
    ret->flags = HCT_DETERMINISTIC;
    ret->workspace = (uint64_t)a->rows * sizeof(double);
    return HCT_OK;
}

static float mask_of(const hct_view *m, int64_t r) { return ld1(((const real *)hct_ptr(m))[cpu_row(m, 0, r)]); }
static double mask_sum(const hct_view *m) {
    double sum = 0;
    for (int64_t r = 0; r < hct_numel(m); r++) sum += (double)mask_of(m, r);
    return sum;
}

RUN(run_mse) {
    UNUSED_RUN_ARGUMENTS;
    const mse_plan *a = p->state;
    double *part = hct_ptr(ws), loss = 0;
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t r = 0; r < a->rows; r++) {
        float m = mask_of(&in[2], r);
        const real *x = (const real *)hct_ptr(&in[0]) + cpu_row(&in[0], 1, r),
                   *y = (const real *)hct_ptr(&in[1]) + cpu_row(&in[1], 1, r);
        vf sum = vzero();
        int64_t i = 0;
        for (; m != 0 && i + VL <= a->width; i += VL) {
            const vf e = vsub(ld(x + i), ld(y + i));
            sum = vfma(e, e, sum);
        }
        if (m != 0 && i < a->width) {
            const vf e = vsub(ld_n(x + i, a->width - i), ld_n(y + i, a->width - i));
            sum = vfma(e, e, sum);
        }
        part[r] = (double)m * (double)vsum(sum) / (double)a->width;
    }
    for (int64_t r = 0; r < a->rows; r++) loss += part[r];
    *(real *)hct_ptr(out) = st1((float)(loss / mask_sum(&in[2])));
    return HCT_OK;
}

RUN(run_mse_bwd) {
    UNUSED_RUN_ARGUMENTS;
    const mse_plan *a = p->state;
    double g = 2 * (double)ld1(*(const real *)hct_ptr(&in[3])) / ((double)a->width * mask_sum(&in[2]));
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t r = 0; r < a->rows; r++) {
        const vf m = vset((float)(g * (double)mask_of(&in[2], r)));
        const real *x = (const real *)hct_ptr(&in[0]) + cpu_row(&in[0], 1, r),
                   *y = (const real *)hct_ptr(&in[1]) + cpu_row(&in[1], 1, r);
        real *dx = (real *)hct_ptr(out) + r * a->width;
        int64_t i = 0, n = a->width;
        for (; i + VL <= n; i += VL) st(dx + i, vmul(m, vsub(ld(x + i), ld(y + i))));
        if (i < n) st_n(dx + i, vmul(m, vsub(ld_n(x + i, n - i), ld_n(y + i, n - i))), n - i);
    }
    return HCT_OK;
}

#define PIECES_KERNEL(id, op_, plan_, run_)                                                                            \
    static const hct_kernel id = {.size = sizeof(hct_kernel),                                                          \
                                  .name = "fast:" op_ ":" REAL_TEXT,                                                   \
                                  .op = op_,                                                                           \
                                  .backend = "cpu",                                                                    \
                                  .priority = 200,                                                                     \
                                  .plan = plan_,                                                                       \
                                  .run = run_,                                                                         \
                                  .release = release}
static hct_status plan_norm_typed(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    if (p->in[0].dtype != REAL_DTYPE) return hct_plugin_fail(err, HCT_NOTIMPL, "for gradients of dtype " REAL_TEXT);
    return plan_norm(d, p, ret, err);
}
PIECES_KERNEL(k_norm, "grad_norm", plan_norm_typed, run_norm);
PIECES_KERNEL(k_adam, "adam", plan_adam, run_adam);
FAST_KERNEL(k_mse, "mse_masked", plan_mse, run_mse);
FAST_KERNEL(k_mse_bwd, "mse_masked.bwd", plan_mse, run_mse_bwd);

const hct_kernel *const FAST(fast_training)[] = {&k_norm, &k_adam, &k_mse, &k_mse_bwd, NULL};
