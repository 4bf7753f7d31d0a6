/* Gradient norms and fused updates. Up to BATCH tensors a launch, one part of one tensor a group of work-items.
 * Formulas: hct/optim.h; layout of rates and norms: core/ops/optim.c. */
#include "dialect.h"

enum { BATCH = 4 };
typedef struct sizes {
    i64 n[BATCH];     /* elements */
    i64 first[BATCH]; /* which group of the launch is the tensor's first */
    i64 slot[BATCH];  /* its number within the call */
} sizes;

FN i32 tensor_of(const sizes *z) {
    i32 t = 0;
    for (i32 k = 1; k < BATCH; k++)
        if (z->n[k] >= 0 && ROW >= z->first[k]) t = k;
    return t;
}

/* partial[slot's first + part] = sum of squares of one part of a gradient. */
KERNEL(norm_parts)(MEM(partial), MEM(g0), MEM(g1), MEM(g2), MEM(g3), sizes z, i64 part, i64 at) {
    SCRATCH;
    i32 t = tensor_of(&z);
    GLOBAL const real *g = t == 0 ? AT(real, g0) : t == 1 ? AT(real, g1) : t == 2 ? AT(real, g2) : AT(real, g3);
    i64 first = (ROW - z.first[t]) * part, c = z.n[t] - first < part ? z.n[t] - first : part;
    g += first;
    float s = GROUP_SUM(row_squares(g, c, 0.0f));
    if (LANE == 0) AT(float, partial)[at + ROW] = s;
}

/* norm[i] = sqrt of the sum of tensor i's parts, which are partial[table[i], table[i + 1]). */
KERNEL(norm_each)(MEM(norm), MEM(partial), i64 slot, i64 from, i64 to) {
    SCRATCH;
    float s = 0;
    for (i64 i = from + LANE; i < to; i += GROUP) s += AT(float, partial)[i];
    s = GROUP_SUM(s);
    if (LANE == 0) AT(float, norm)[slot] = SQRTF(s);
}
KERNEL(norm_all)(MEM(norm), i64 n) {
    SCRATCH;
    float s = 0;
    for (i64 i = LANE; i < n; i += GROUP) s += AT(float, norm)[i] * AT(float, norm)[i];
    s = GROUP_SUM(s);
    if (LANE == 0) AT(float, norm)[n] = SQRTF(s);
}

typedef struct hyper {
    float beta1, beta2, rest1, rest2, eps, momentum, clip; /* rest: 1 - beta */
    i32 decoupled, clip_mode, pad;                         /* clip: 0 none, 1 global, 2 each tensor's own */
    i64 at, norm_at, norm_last, rate_step, norm_step;
} hyper;

FN float clip_factor(const hyper *h, GLOBAL const float *norms, i64 slot) {
    if (h->clip_mode == 0) return 1.0f;
    i64 at = h->clip_mode == 1 ? h->norm_last : h->norm_at + slot;
    return MINF(h->clip / (norms[at * h->norm_step] + 1e-6f), 1.0f);
}

/* One element; AdamW: Loshchilov & Hutter 2019. */
#define ADAM_STEP(T, x, g, m, u)                                                                                       \
    if (h.decoupled) x = x - x * (lr * decay);                                                                         \
    else g = g + x * decay;                                                                                            \
    m = m * h.beta1 + g * h.rest1;                                                                                     \
    u = u * h.beta2 + g * g * h.rest2;

#ifdef __OPENCL_VERSION__
#define VSQRT(v) sqrt(v)
#else
FN vec VSQRT(vec v) { return vec{{sqrtf(v.x[0]), sqrtf(v.x[1]), sqrtf(v.x[2]), sqrtf(v.x[3])}}; }
#endif

/* Moments are float beside 16-bit parameters, as optim.c of the core makes them; gradients are real. */
#ifndef MOMENT_REAL
typedef float moment;
#define MLD(p, i) ((p)[i])
#define MST(p, i, v) ((p)[i] = (v))
#define MVLD(p) vldf(p)
#define MVST(p, v) vstf((p), (v))
#else
typedef real moment;
#define MLD(p, i) ld((p), (i))
#define MST(p, i, v) st((p), (i), (v))
#define MVLD(p) vld(p)
#define MVST(p, v) vst((p), (v))
#endif

#define PICK(type, a, b, c, d) (t == 0 ? AT(type, a) : t == 1 ? AT(type, b) : t == 2 ? AT(type, c) : AT(type, d))

/* COPY_VECTOR, COPY_ONE: what else is done with the new value y at i. */
#define ADAM_BODY(COPY_VECTOR, COPY_ONE)                                                                               \
    GLOBAL const float *rate = AT(float, rates) + h.at * h.rate_step;                                                  \
    float lr = rate[0], decay = rate[h.rate_step], c1 = rate[2 * h.rate_step], c2 = rate[3 * h.rate_step];             \
    if (rate[4 * h.rate_step] == 0) return;                                                                            \
    i32 t = tensor_of(&z);                                                                                             \
    float clip = clip_factor(&h, AT(float, norms), z.slot[t]), root_c2 = SQRTF(c2), step = lr / c1;                    \
    i64 first = (ROW - z.first[t]) * part, c = z.n[t] - first < part ? z.n[t] - first : part;                          \
    GLOBAL real *p = PICK(real, p0, p1, p2, p3) + first;                                                               \
    GLOBAL const real *grad = PICK(real, g0, g1, g2, g3) + first;                                                      \
    GLOBAL moment *m1_ = PICK(moment, m0, m1, m2, m3) + first, *m2_ = PICK(moment, v0, v1, v2, v3) + first;            \
    FOR_VECTORS(i, c) {                                                                                                \
        vec x = vld(p + i), g = vld(grad + i) * clip, m = MVLD(m1_ + i), u = MVLD(m2_ + i);                            \
        ADAM_STEP(vec, x, g, m, u)                                                                                     \
        vec y = x - m * step / (VSQRT(u) / root_c2 + h.eps);                                                           \
        MVST(m1_ + i, m);                                                                                              \
        MVST(m2_ + i, u);                                                                                              \
        vst(p + i, y);                                                                                                 \
        COPY_VECTOR                                                                                                    \
    }                                                                                                                  \
    FOR_REST(i, c) {                                                                                                   \
        float x = ld(p, i), g = ld(grad, i) * clip, m = MLD(m1_, i), u = MLD(m2_, i);                                  \
        ADAM_STEP(float, x, g, m, u)                                                                                   \
        float y = x - m * step / (SQRTF(u) / root_c2 + h.eps);                                                         \
        MST(m1_, i, m);                                                                                                \
        MST(m2_, i, u);                                                                                                \
        st(p, i, y);                                                                                                   \
        COPY_ONE                                                                                                       \
    }

KERNEL(adam)
(MEM(rates), MEM(norms), MEM(p0), MEM(g0), MEM(m0), MEM(v0), MEM(p1), MEM(g1), MEM(m1), MEM(v1), MEM(p2), MEM(g2),
 MEM(m2), MEM(v2), MEM(p3), MEM(g3), MEM(m3), MEM(v3), sizes z, hyper h, i64 part){ADAM_BODY(, )}

/* The same, and a bf16 copy of each parameter: what the next step computes with. */
KERNEL(adam_copy)(MEM(rates), MEM(norms), MEM(p0), MEM(g0), MEM(m0), MEM(v0), MEM(b0), MEM(p1), MEM(g1), MEM(m1),
                  MEM(v1), MEM(b1), MEM(p2), MEM(g2), MEM(m2), MEM(v2), MEM(b2), MEM(p3), MEM(g3), MEM(m3), MEM(v3),
                  MEM(b3), sizes z, hyper h, i64 part) {
    ADAM_BODY(GLOBAL u16 *to = PICK(u16, b0, b1, b2, b3) + first + i;
              for (i32 j = 0; j < VW; j++) to[j] = bf16_of_f32(vget(y, j));
              , (PICK(u16, b0, b1, b2, b3) + first)[i] = bf16_of_f32(y);)
}

KERNEL(sgd)
(MEM(rates), MEM(norms), MEM(p0), MEM(g0), MEM(m0), MEM(p1), MEM(g1), MEM(m1), MEM(p2), MEM(g2), MEM(m2), MEM(p3),
 MEM(g3), MEM(m3), sizes z, hyper h, i64 part) {
    GLOBAL const float *rate = AT(float, rates) + h.at * h.rate_step;
    float lr = rate[0], decay = rate[h.rate_step];
    if (rate[4 * h.rate_step] == 0) return;
    i32 t = tensor_of(&z);
    float clip = clip_factor(&h, AT(float, norms), z.slot[t]);
    i64 first = (ROW - z.first[t]) * part, c = z.n[t] - first < part ? z.n[t] - first : part;
    GLOBAL real *p = PICK(real, p0, p1, p2, p3) + first;
    GLOBAL const real *grad = PICK(real, g0, g1, g2, g3) + first;
    GLOBAL moment *m1_ = PICK(moment, m0, m1, m2, m3) + first;
    FOR_VECTORS(i, c) {
        vec x = vld(p + i), m = MVLD(m1_ + i) * h.momentum + (vld(grad + i) * clip + x * decay);
        MVST(m1_ + i, m);
        vst(p + i, x - m * lr);
    }
    FOR_REST(i, c) {
        float x = ld(p, i), m = h.momentum * MLD(m1_, i) + (ld(grad, i) * clip + decay * x);
        MST(m1_, i, m);
        st(p, i, x - lr * m);
    }
}
