/* Gradient norms, fused updates, moving averages. Many tensors a launch, one part of one tensor a group of work-items.
 * Formulas: hct/optim.h; layout of rates and norms: core/ops/optim.c; of averages: core/ops/dino.c. */
#include "dialect.h"

/* Tensors of a launch, by their roles (parameter, gradient, ...). CUDA passes their addresses in a table, up to BATCH
 * of them (a kernel's parameters have 4 KB); OpenCL knows no addresses, so that each is an argument of its own. */
#ifdef __OPENCL_VERSION__
enum { BATCH = 4 };
#define ROLE(x) MEM(x##0), MEM(x##1), MEM(x##2), MEM(x##3),
#define TENSOR(type, x, role)                                                                                          \
    (t == 0 ? AT(type, x##0) : t == 1 ? AT(type, x##1) : t == 2 ? AT(type, x##2) : AT(type, x##3))
#else
enum { BATCH = 64, ROLES = 5 };
#define ROLE(x)
#define TENSOR(type, x, role) ((type *)z.at[role][t])
#endif
typedef struct tensors {
    i64 n[BATCH];     /* elements */
    i32 first[BATCH]; /* which group of the launch is the tensor's first; no group's number where there is none */
    i32 slot[BATCH];  /* its number within the call */
#ifndef __OPENCL_VERSION__
    u64 at[ROLES][BATCH];
#endif
} tensors;

/* The last tensor that begins at this group or before. */
FN i32 tensor_of(const tensors *z) {
    i32 t = 0;
    for (i32 step = BATCH / 2; step > 0; step /= 2)
        if (ROW >= z->first[t + step]) t += step;
    return t;
}

/* partial[slot's first + part] = sum of squares of one part of a gradient. */
KERNEL(norm_parts)(MEM(partial), ROLE(g) tensors z, i64 part, i64 at) {
    SCRATCH;
    i32 t = tensor_of(&z);
    i64 first = (ROW - z.first[t]) * part, c = z.n[t] - first < part ? z.n[t] - first : part;
    GLOBAL const real *g = TENSOR(real, g, 0) + first;
    float s = GROUP_SUM(row_squares(g, c, 0.0f));
    if (LANE == 0) AT(float, partial)[at + ROW] = s;
}

/* Tensors whose norms one launch finishes, and where the parts of each end; they begin at `from`, or where those of
 * the one before end. */
enum { LISTED = 200 };
typedef struct ends {
    i32 end[LISTED];
} ends;

/* ROW: a tensor: norm[slot + ROW] = sqrt of the sum of its parts. */
KERNEL(norm_each)(MEM(norm), MEM(partial), ends e, i64 slot, i64 from) {
    SCRATCH;
    i64 first = ROW ? e.end[ROW - 1] : from, last = e.end[ROW];
    float s = 0;
    for (i64 i = first + LANE; i < last; i += GROUP) s += AT(float, partial)[i];
    s = GROUP_SUM(s);
    if (LANE == 0) AT(float, norm)[slot + ROW] = SQRTF(s);
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

/* COPY_VECTOR, COPY_ONE: what else is done with the new value y at i. */
#define ADAM_BODY(COPY_VECTOR, COPY_ONE)                                                                               \
    GLOBAL const float *rate = AT(float, rates) + h.at * h.rate_step;                                                  \
    float lr = rate[0], decay = rate[h.rate_step], c1 = rate[2 * h.rate_step], c2 = rate[3 * h.rate_step];             \
    if (rate[4 * h.rate_step] == 0) return;                                                                            \
    i32 t = tensor_of(&z);                                                                                             \
    float clip = clip_factor(&h, AT(float, norms), z.slot[t]), root_c2 = SQRTF(c2), step = lr / c1;                    \
    i64 first = (ROW - z.first[t]) * part, c = z.n[t] - first < part ? z.n[t] - first : part;                          \
    GLOBAL real *p = TENSOR(real, p, 0) + first;                                                                       \
    GLOBAL const real *grad = TENSOR(real, g, 1) + first;                                                              \
    GLOBAL moment *m1_ = TENSOR(moment, m, 2) + first, *m2_ = TENSOR(moment, v, 3) + first;                            \
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
(MEM(rates), MEM(norms), ROLE(p) ROLE(g) ROLE(m) ROLE(v) tensors z, hyper h, i64 part){ADAM_BODY(, )}

/* The same, and a bf16 copy of each parameter: what the next step computes with. */
KERNEL(adam_copy)(MEM(rates), MEM(norms), ROLE(p) ROLE(g) ROLE(m) ROLE(v) ROLE(b) tensors z, hyper h, i64 part) {
    ADAM_BODY(GLOBAL u16 *to = TENSOR(u16, b, 4) + first + i;
              for (i32 j = 0; j < VW; j++) to[j] = bf16_of_f32(vget(y, j));
              , (TENSOR(u16, b, 4) + first)[i] = bf16_of_f32(y);)
}

KERNEL(sgd)(MEM(rates), MEM(norms), ROLE(p) ROLE(g) ROLE(m) tensors z, hyper h, i64 part) {
    GLOBAL const float *rate = AT(float, rates) + h.at * h.rate_step;
    float lr = rate[0], decay = rate[h.rate_step];
    if (rate[4 * h.rate_step] == 0) return;
    i32 t = tensor_of(&z);
    float clip = clip_factor(&h, AT(float, norms), z.slot[t]);
    i64 first = (ROW - z.first[t]) * part, c = z.n[t] - first < part ? z.n[t] - first : part;
    GLOBAL real *p = TENSOR(real, p, 0) + first;
    GLOBAL const real *grad = TENSOR(real, g, 1) + first;
    GLOBAL moment *m1_ = TENSOR(moment, m, 2) + first;
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

/* ---- moving averages ---- */

#define EMA_BODY(COPY_VECTOR, COPY_ONE)                                                                                \
    float keep = AT(float, rates)[at], take = AT(float, rates)[at + 1];                                                \
    i32 t = tensor_of(&z);                                                                                             \
    i64 first = (ROW - z.first[t]) * part, c = z.n[t] - first < part ? z.n[t] - first : part;                          \
    GLOBAL real *to = TENSOR(real, to, 0) + first;                                                                     \
    GLOBAL const real *from = TENSOR(real, from, 1) + first;                                                           \
    FOR_VECTORS(i, c) {                                                                                                \
        vec y = vld(to + i) * keep + vld(from + i) * take;                                                             \
        vst(to + i, y);                                                                                                \
        COPY_VECTOR                                                                                                    \
    }                                                                                                                  \
    FOR_REST(i, c) {                                                                                                   \
        float y = keep * ld(to, i) + take * ld(from, i);                                                               \
        st(to, i, y);                                                                                                  \
        COPY_ONE                                                                                                       \
    }

KERNEL(ema)
(MEM(rates), ROLE(to) ROLE(from) tensors z, i64 at, i64 part){EMA_BODY(, )}

/* The same, and a bf16 copy of each average. */
KERNEL(ema_copy)(MEM(rates), ROLE(to) ROLE(from) ROLE(b) tensors z, i64 at, i64 part) {
    EMA_BODY(GLOBAL u16 *copy = TENSOR(u16, b, 2) + first + i;
             for (i32 j = 0; j < VW; j++) copy[j] = bf16_of_f32(vget(y, j));
             , (TENSOR(u16, b, 2) + first)[i] = bf16_of_f32(y);)
}
