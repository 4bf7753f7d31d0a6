/* Attention and its backward, a head of a sample at a time: the scores of one head are held in scratch, computed in
 * acc. */
#include "real.h"

#include "gemm.h"

#include <math.h>

/* Scratch of a thread: up to 8 matrices [tokens, width], two score matrices, and the product's own. */
typedef struct sizes {
    int64_t n, m, d;
} sizes;

static uint64_t small_bytes(const sizes *z) {
    return cpu_round((uint64_t)((z->n > z->m ? z->n : z->m) * z->d) * sizeof(acc));
}
static uint64_t score_bytes(const sizes *z) { return cpu_round((uint64_t)(z->n * z->m) * sizeof(acc)); }
static sizes sizes_of(const hct_view *in) { return (sizes){in[0].dim[1], in[1].dim[1], in[0].dim[3]}; }

enum { SMALL = 8 };
typedef struct scratch {
    acc *small[SMALL], *s, *ds;
    void *product;
} scratch;

static uint64_t scratch_bytes(const sizes *z) {
    return SMALL * small_bytes(z) + 2 * score_bytes(z) + GEMM_SCRATCH(acc);
}

static scratch scratch_of(const hct_plan *p, const hct_view *ws, const sizes *z) {
    char *at = cpu_workspace(p, ws);
    scratch r;
    for (int i = 0; i < SMALL; i++, at += small_bytes(z)) r.small[i] = (acc *)at;
    r.s = (acc *)at;
    r.ds = (acc *)(at + score_bytes(z));
    r.product = at + 2 * score_bytes(z);
    return r;
}

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    sizes z = sizes_of(p->in);
    return cpu_plan_workspace(p, ret, scratch_bytes(&z), err);
}

/* Head h of sample b of v [B, N, H, D]. */
static real *head(const hct_view *v, int64_t b, int64_t h) {
    return (real *)hct_ptr(v) + b * v->stride[0] + h * v->stride[2];
}

static acc *load(acc *to, const hct_view *v, int64_t b, int64_t h) {
    const real *x = head(v, b, h);
    for (int64_t i = 0; i < v->dim[1]; i++)
        for (int64_t j = 0; j < v->dim[3]; j++) to[i * v->dim[3] + j] = ld(x[i * v->stride[1] + j * v->stride[3]]);
    return to;
}

static void store(const hct_view *v, int64_t b, int64_t h, const acc *from) {
    real *x = head(v, b, h);
    for (int64_t i = 0; i < v->dim[1]; i++)
        for (int64_t j = 0; j < v->dim[3]; j++) x[i * v->stride[1] + j * v->stride[3]] = st(from[i * v->dim[3] + j]);
}

/* c [m, n] = alpha a b, where a is [m, k] (or [k, m], transposed) and b [k, n] (or [n, k]). */
static void multiply(acc *c, const acc *a, int ta, const acc *b, int tb, int64_t m, int64_t n, int64_t k, acc alpha,
                     void *product) {
    GEMM(gemm)
    g = {.m = m,
         .n = n,
         .k = k,
         .a = a,
         .b = b,
         .c = c,
         .row_a = ta ? 1 : k,
         .col_a = ta ? m : 1,
         .row_b = tb ? 1 : n,
         .col_b = tb ? k : 1,
         .row_c = n,
         .col_c = 1,
         .alpha = alpha};
    GEMM(gemm_serial)(&g, product);
}

static hct_status attend(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                         const hct_view *ws, hct_err *err) {
    (void)stream, (void)err;
    sizes z = sizes_of(in);
    acc scale = (acc)cpu_real(p, "scale");
    int64_t heads = in[0].dim[2], all = in[0].dim[0] * heads;
#pragma omp parallel for schedule(dynamic) if (all > 1)
    for (int64_t i = 0; i < all; i++) {
        int64_t b = i / heads, h = i % heads;
        scratch r = scratch_of(p, ws, &z);
        acc *q = load(r.small[0], &in[0], b, h), *k = load(r.small[1], &in[1], b, h),
            *v = load(r.small[2], &in[2], b, h);
        stat *lse = (stat *)hct_ptr(&out[1]) + i * z.n;
        multiply(r.s, q, 0, k, 1, z.n, z.m, z.d, scale, r.product);
        for (int64_t row = 0; row < z.n; row++) {
            acc *s = r.s + row * z.m, top = s[0];
            double sum = 0;
            for (int64_t j = 1; j < z.m; j++) top = s[j] > top ? s[j] : top;
            for (int64_t j = 0; j < z.m; j++) sum += s[j] = EXP(s[j] - top);
            acc inv = (acc)(1 / sum);
            for (int64_t j = 0; j < z.m; j++) s[j] *= inv;
            lse[row] = (stat)((double)top + log(sum));
        }
        multiply(r.small[3], r.s, 0, v, 0, z.n, z.d, z.m, 1, r.product);
        store(&out[0], b, h, r.small[3]);
    }
    return HCT_OK;
}

/* P = exp(scale q k^T - lse), dv = P^T do, dP = do v^T, dS = P (dP - rowsum(do o)), dq = scale dS k, dk = scale dS^T
 * q */
static hct_status run_bwd(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                          const hct_view *ws, hct_err *err) {
    (void)stream, (void)err;
    sizes z = sizes_of(in);
    acc scale = (acc)cpu_real(p, "scale");
    int64_t heads = in[0].dim[2], all = in[0].dim[0] * heads;
#pragma omp parallel for schedule(dynamic) if (all > 1)
    for (int64_t i = 0; i < all; i++) {
        int64_t b = i / heads, h = i % heads;
        scratch r = scratch_of(p, ws, &z);
        acc *q = load(r.small[0], &in[0], b, h), *k = load(r.small[1], &in[1], b, h),
            *v = load(r.small[2], &in[2], b, h);
        acc *o = load(r.small[3], &in[3], b, h), *go = load(r.small[4], &in[5], b, h);
        const stat *lse = (const stat *)hct_ptr(&in[4]) + cpu_row(&in[4], 1, i);
        multiply(r.s, q, 0, k, 1, z.n, z.m, z.d, scale, r.product);
        multiply(r.ds, go, 0, v, 1, z.n, z.m, z.d, 1, r.product);
        for (int64_t row = 0; row < z.n; row++) {
            acc *s = r.s + row * z.m, *ds = r.ds + row * z.m;
            acc shift = (acc)lse[row * in[4].stride[2]];
            double dot = 0;
            for (int64_t j = 0; j < z.d; j++) dot += (double)go[row * z.d + j] * (double)o[row * z.d + j];
            for (int64_t j = 0; j < z.m; j++) {
                s[j] = EXP(s[j] - shift);
                ds[j] = s[j] * (ds[j] - (acc)dot);
            }
        }
        multiply(r.small[5], r.ds, 0, k, 0, z.n, z.d, z.m, scale, r.product);
        multiply(r.small[6], r.ds, 1, q, 0, z.m, z.d, z.n, scale, r.product);
        multiply(r.small[7], r.s, 1, go, 0, z.m, z.d, z.n, 1, r.product);
        for (int j = 0; j < 3; j++) store(&out[j], b, h, r.small[5 + j]);
    }
    return HCT_OK;
}

KERNEL_PLANNED(k_attention, "attention", plan, attend);
KERNEL_PLANNED(k_attention_bwd, "attention.bwd", plan, run_bwd);

const hct_kernel *const REAL(cpu_attention)[] = {&k_attention, &k_attention_bwd, NULL};
