/* Gradient norms and fused updates. Formulas: hct/optim.h; layout of rates and norms: core/ops/optim.c. */
#include "real.h"

#include "hct/optim.h"

#include <math.h>

enum { PIECE = 65536 }; /* elements a partial sum covers: fixed, so that norms do not depend on the number of threads */

static double sum_of_squares(const hct_view *g) {
    int64_t n = hct_numel(g);
    double sum = 0;
    if (hct_is_contiguous(g)) {
        const real *x = hct_ptr(g);
        for (int64_t from = 0; from < n; from += PIECE) {
            int64_t to = from + PIECE < n ? from + PIECE : n;
            double part = 0;
            for (int64_t i = from; i < to; i++) part += (double)ld(x[i]) * (double)ld(x[i]);
            sum += part;
        }
        return sum;
    }
    for (int64_t i = 0; i < n; i++) {
        double v = (double)ld(((const real *)hct_ptr(g))[cpu_row(g, 0, i)]);
        sum += v * v;
    }
    return sum;
}

static hct_status run_norm(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                           const hct_view *ws, hct_err *err) {
    (void)s, (void)ws, (void)err;
    int64_t n = cpu_state(p)->n_in;
    float *norm = hct_ptr(out);
    double total = 0;
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < n; i++) norm[i] = (float)sqrt(sum_of_squares(&in[i]));
    for (int64_t i = 0; i < n; i++) total += (double)norm[i] * (double)norm[i];
    norm[n] = (float)sqrt(total);
    return HCT_OK;
}

/* The factor that clipping applies to gradient i of the call. */
static double clip_factor(const hct_plan *p, const hct_view *norms, int64_t i) {
    int64_t mode = cpu_int(p, "clip_mode");
    if (mode == HCT_CLIP_NONE) return 1;
    int64_t at = mode == HCT_CLIP_GLOBAL ? norms->dim[0] - 1 : cpu_int(p, "norm_at") + i;
    double factor = cpu_real(p, "clip") / ((double)((const float *)hct_ptr(norms))[at * norms->stride[0]] + 1e-6);
    return factor < 1 ? factor : 1;
}

typedef struct group_rates {
    float lr, decay, c1, c2;
    int active;
} group_rates;

static group_rates rates_of(const hct_plan *p, const hct_view *rates) {
    int64_t step = rates->stride[0];
    const float *r = (const float *)hct_ptr(rates) + cpu_int(p, "at") * step;
    return (group_rates){r[0], r[step], r[2 * step], r[3 * step], r[4 * step] != 0};
}

static hct_status plan_for_param(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    int copy = hct_attr_int(p->attr, p->n_attr, "copy", 0) != 0;
    if (p->in[2].dtype != REAL_DTYPE) return hct_plugin_fail(err, HCT_NOTIMPL, "for parameters of dtype " REAL_TEXT);
    for (uint32_t i = 2; i < p->n_in; i++)
        if (copy && (i - 2) % 5 == 4) {
            if (p->in[i].dtype != HCT_BF16 && p->in[i].dtype != HCT_F16)
                return hct_plugin_fail(err, HCT_NOTIMPL, "a copy is neither BF16 nor F16");
        } else if (p->in[i].dtype != REAL_DTYPE)
            return hct_plugin_fail(err, HCT_NOTIMPL, "parameters, gradients and moments differ in dtype");
    return cpu_plan(d, p, ret, err);
}

static hct_status run_adam(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                           const hct_view *ws, hct_err *err) {
    (void)s, (void)ws, (void)err, (void)out;
    const group_rates rate = rates_of(p, &in[0]);
    if (!rate.active) return HCT_OK;
    acc lr = rate.lr, decay = rate.decay, c1 = rate.c1, c2 = rate.c2;
    acc b1 = (acc)cpu_real(p, "beta1"), b2 = (acc)cpu_real(p, "beta2"), eps = (acc)cpu_real(p, "eps");
    acc r1 = (acc)(1 - cpu_real(p, "beta1")), r2 = (acc)(1 - cpu_real(p, "beta2")), root_c2 = SQRT(c2);
    int decoupled = cpu_int(p, "decoupled") != 0, copies = cpu_int(p, "copy") != 0;
    for (int64_t i = 0; 2 + (4 + copies) * i < cpu_state(p)->n_in; i++) {
        const hct_view *v = in + 2 + (4 + copies) * i;
        uint16_t *copy = copies ? hct_ptr(v + 4) : NULL;
        int brain = copies && v[4].dtype == HCT_BF16;
        acc clip = (acc)clip_factor(p, &in[1], i);
        int64_t n = hct_numel(v);
        int even = hct_is_contiguous(&v[1]);
        real *w = hct_ptr(v), *m1 = hct_ptr(v + 2), *m2 = hct_ptr(v + 3);
        const real *grad = hct_ptr(v + 1);
#pragma omp parallel for schedule(static) if (n > CPU_CHUNK)
        for (int64_t j = 0; j < n; j++) {
            acc x = ld(w[j]), g = ld(grad[even ? j : cpu_row(v + 1, 0, j)]) * clip;
            if (decoupled) x -= lr * decay * x;
            else g += decay * x;
            acc m = b1 * ld(m1[j]) + r1 * g, u = b2 * ld(m2[j]) + r2 * g * g;
            m1[j] = st(m);
            m2[j] = st(u);
            w[j] = st(x - lr / c1 * m / (SQRT(u) / root_c2 + eps));
            if (copy) copy[j] = brain ? hct_bf16_from_f32((float)ld(w[j])) : hct_f16_from_f32((float)ld(w[j]));
        }
    }
    return HCT_OK;
}

static hct_status run_sgd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                          hct_err *err) {
    (void)s, (void)ws, (void)err, (void)out;
    const group_rates rate = rates_of(p, &in[0]);
    if (!rate.active) return HCT_OK;
    acc lr = rate.lr, decay = rate.decay, momentum = (acc)cpu_real(p, "momentum");
    for (int64_t i = 0; 2 + 3 * i < cpu_state(p)->n_in; i++) {
        const hct_view *v = in + 2 + 3 * i;
        acc clip = (acc)clip_factor(p, &in[1], i);
        int64_t n = hct_numel(v);
        int even = hct_is_contiguous(&v[1]);
        real *w = hct_ptr(v), *m1 = hct_ptr(v + 2);
        const real *grad = hct_ptr(v + 1);
#pragma omp parallel for schedule(static) if (n > CPU_CHUNK)
        for (int64_t j = 0; j < n; j++) {
            acc x = ld(w[j]), g = ld(grad[even ? j : cpu_row(v + 1, 0, j)]) * clip + decay * x,
                m = momentum * ld(m1[j]) + g;
            m1[j] = st(m);
            w[j] = st(x - lr * m);
        }
    }
    return HCT_OK;
}

KERNEL(k_norm, "grad_norm", run_norm);
static const hct_kernel k_adam = {.size = sizeof(hct_kernel),
                                  .name = "ref:adam:" REAL_TEXT,
                                  .op = "adam",
                                  .backend = "cpu",
                                  .plan = plan_for_param,
                                  .run = run_adam,
                                  .release = cpu_release};
static const hct_kernel k_sgd = {.size = sizeof(hct_kernel),
                                 .name = "ref:sgd:" REAL_TEXT,
                                 .op = "sgd",
                                 .backend = "cpu",
                                 .plan = plan_for_param,
                                 .run = run_sgd,
                                 .release = cpu_release};

const hct_kernel *const REAL(cpu_optim)[] = {&k_norm, &k_adam, &k_sgd, NULL};
