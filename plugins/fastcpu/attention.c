/* Attention and its backward. A task is some queries of one head of one sample: keys and values are packed once, then a block of
 * queries meets all of them, so that the scores held at any time fit the second-level cache. */
#include "fast.h"
#include "gemm.h"

#include <math.h>
#include <stdlib.h>

enum { SCORE_BYTES = 128 << 10 };

typedef struct attention_plan {
    int64_t n, m, d, heads, tasks, splits, rows; /* queries, keys, width; queries of a block */
    int64_t threads, wide_m, wide_d;
    float scale;
    uint64_t per_thread;
} attention_plan;

static void *take(char **at, int64_t floats) {
    void *r = *at;
    *at += cpu_round((uint64_t)floats * sizeof(float));
    return r;
}

static hct_status plan_common(const hct_problem *p, hct_plan *ret, int backward, hct_err *err) {
    for (uint32_t i = 0; i < p->n_in; i++)
        if (p->in[i].ndim == 4 && !dense_rows(&p->in[i])) return hct_plugin_fail(err, HCT_NOTIMPL, "the width of q, k or v has gaps");
    attention_plan *a = malloc(sizeof *a);
    if (!a) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    const hct_view *q = &p->in[0];
    *a = (attention_plan){.n = q->dim[1], .m = p->in[1].dim[1], .d = q->dim[3], .heads = q->dim[2],
                          .scale = (float)hct_attr_real(p->attr, p->n_attr, "scale", 1)};
    a->wide_m = round_up(a->m, NR);
    a->wide_d = round_up(a->d, NR);
    a->rows = at_most(96, SCORE_BYTES / (int64_t)sizeof(float) / (a->wide_m ? a->wide_m : 1)) / MR * MR;
    if (a->rows < MR) a->rows = MR;
    int64_t all = q->dim[0] * a->heads, blocks = (a->n + a->rows - 1) / a->rows;
    a->threads = 4.0 * (double)(all * a->n) * (double)(a->m * a->d) < SMALL_FLOPS ? 1 : cpu_threads();
    a->splits = 1;
    if (!backward) /* few heads: their queries are shared out too */
        while (all && all * a->splits < 4 * a->threads && 2 * a->splits <= blocks && a->threads > 1) a->splits *= 2;
    a->tasks = all * a->splits;
    int64_t packed = a->wide_m * a->d, values = a->wide_d * a->m, scores = a->rows * a->wide_m, block = a->rows * a->wide_d;
    int64_t blocks_of[] = {packed, backward ? packed : 0, values, scores, backward ? scores : 0, block, block, backward ? block : 0,
                           backward ? block : 0, backward ? a->m * a->wide_d : 0, backward ? a->m * a->wide_d : 0};
    for (size_t i = 0; i < sizeof blocks_of / sizeof *blocks_of; i++) a->per_thread += cpu_round((uint64_t)blocks_of[i] * sizeof(float));
    ret->state = a;
    ret->flags = HCT_DETERMINISTIC;
    ret->workspace = a->per_thread * (uint64_t)a->threads;
    return HCT_OK;
}

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_common(p, ret, 0, err);
}
static hct_status plan_bwd(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_common(p, ret, 1, err);
}

/* Token i of head h of sample b of v [B, N, H, D]. */
ALWAYS real *token(const hct_view *v, int64_t b, int64_t h, int64_t i) {
    return (real *)hct_ptr(v) + b * v->stride[0] + h * v->stride[2] + i * v->stride[1];
}

/* The panels of v's tokens [M, D] as B (one token a row), and of their transpose. */
static float *pack_tokens(float *to, const hct_view *v, int64_t b, int64_t h, int64_t from, int64_t n) {
    FAST(pack_b)(to, token(v, b, h, from), v->stride[1], 1, n, v->dim[3], 0, v->dim[3]);
    return to;
}
static float *pack_transposed(float *to, const hct_view *v, int64_t b, int64_t h) {
    FAST(pack_b)(to, token(v, b, h, 0), 1, v->stride[1], v->dim[3], v->dim[1], 0, v->dim[1]);
    return to;
}

/* c [m, n] = a b where a's rows lie in a matrix of row_a floats and b's panels are k long in all; the inner axis in parts. */
static void product(float *c, int64_t row_c, const float *a, int64_t row_a, const float *b, int64_t m, int64_t n, int64_t k) {
    for (int64_t at = 0; at < k; at += KC)
        FAST(multiply)(&(block_product){.m = m, .n = n, .k = at_most(KC, k - at), .a = a + at, .row_a = row_a, .col_a = 1, .b = b + at * NR,
                                        .step_b = k * NR, .c = c, .row_c = row_c, .add = at > 0});
}

/* c [k', n] += a^T b: a [m, k'] of row_a floats a row, b's panels m long. */
static void product_transposed(float *c, int64_t row_c, const float *a, int64_t row_a, const float *b, int64_t m, int64_t n, int64_t k) {
    FAST(multiply)(&(block_product){.m = k, .n = n, .k = m, .a = a, .row_a = 1, .col_a = row_a, .b = b, .c = c, .row_c = row_c, .add = 1});
}

/* x [rows, D] as floats in rows of D, from row_a on packed as A. */
static void load_rows(float *to, const hct_view *v, int64_t b, int64_t h, int64_t from, int64_t n) {
    int64_t d = v->dim[3];
    for (int64_t i = 0; i < n; i++) {
        const real *x = token(v, b, h, from + i);
        int64_t j = 0;
        for (; j + VL <= d; j += VL) vstore(to + i * d + j, ld(x + j));
        if (j < d) vstore_n(to + i * d + j, ld_n(x + j, d - j), d - j);
    }
}

static void store_rows(const hct_view *v, int64_t b, int64_t h, int64_t from, int64_t n, const float *x, int64_t row, const float *factor) {
    int64_t d = v->dim[3];
    for (int64_t i = 0; i < n; i++) {
        real *y = token(v, b, h, from + i);
        const vf f = vset(factor ? factor[i] : 1.0f);
        int64_t j = 0;
        for (; j + VL <= d; j += VL) st(y + j, vmul(f, vload(x + i * row + j)));
        if (j < d) st_n(y + j, vmul(f, vload_n(x + i * row + j, d - j)), d - j);
    }
}

/* s = exp(scale s - top) in place; returns the sum, and top. */
static float exponentials(float *s, int64_t m, float scale, float *ret_top) {
    vf t = vset(-INFINITY), sum = vzero();
    float top = -INFINITY, rest = 0;
    int64_t j = 0;
    const vf f = vset(scale);
    for (; j + VL <= m; j += VL) t = vmax(t, vmul(f, vload(s + j)));
    if (j) top = vtop(t);
    for (; j < m; j++) top = s[j] * scale > top ? s[j] * scale : top;
    const vf shift = vset(top);
    for (j = 0; j + VL <= m; j += VL) {
        const vf e = vexp(vsub(vmul(f, vload(s + j)), shift));
        vstore(s + j, e);
        sum = vadd(sum, e);
    }
    if (j < m) {
        vstore_n(s + j, vexp(vsub(vmul(f, vload_n(s + j, m - j)), shift)), m - j);
        for (; j < m; j++) rest += s[j];
    }
    *ret_top = top;
    return vsum(sum) + rest;
}

RUN(run) {
    UNUSED_RUN_ARGUMENTS;
    const attention_plan *a = p->state;
    int threads = (int)a->threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < a->tasks; task++) {
        int64_t head = task / a->splits, split = task % a->splits, b = head / a->heads, h = head % a->heads;
        int64_t blocks = (a->n + a->rows - 1) / a->rows, first = blocks * split / a->splits * a->rows;
        int64_t end = at_most(a->n, blocks * (split + 1) / a->splits * a->rows);
        char *at = (char *)hct_ptr(ws) + (uint64_t)cpu_thread() * a->per_thread;
        float *k = pack_transposed(take(&at, a->wide_m * a->d), &in[1], b, h);
        float *v = pack_tokens(take(&at, a->wide_d * a->m), &in[2], b, h, 0, a->m);
        float *s = take(&at, a->rows * a->wide_m), *q = take(&at, a->rows * a->wide_d), *o = take(&at, a->rows * a->wide_d);
        float *lse = (float *)hct_ptr(&out[1]) + head * a->n;
        for (int64_t i = first; i < end; i += a->rows) {
            int64_t rows = at_most(a->rows, end - i);
            float inverse[96];
            load_rows(q, &in[0], b, h, i, rows);
            product(s, a->wide_m, q, a->d, k, rows, a->m, a->d);
            for (int64_t r = 0; r < rows; r++) {
                float top, sum = exponentials(s + r * a->wide_m, a->m, a->scale, &top);
                inverse[r] = 1 / sum;
                lse[i + r] = top + logf(sum);
            }
            product(o, a->wide_d, s, a->wide_m, v, rows, a->d, a->m);
            store_rows(&out[0], b, h, i, rows, o, a->wide_d, inverse);
        }
    }
    return HCT_OK;
}

static float dot_rows(const real *x, const real *y, int64_t d) {
    vf sum = vzero();
    int64_t j = 0;
    for (; j + VL <= d; j += VL) sum = vfma(ld(x + j), ld(y + j), sum);
    if (j < d) sum = vfma(ld_n(x + j, d - j), ld_n(y + j, d - j), sum);
    return vsum(sum);
}

/* s = exp(scale s - lse), ds = scale s (ds - dot), a row */
static void softmax_backward(float *s, float *ds, int64_t m, float scale, float lse, float dot) {
    const vf f = vset(scale), shift = vset(lse), d = vset(dot);
    int64_t j = 0;
    for (; j + VL <= m; j += VL) {
        const vf e = vexp(vsub(vmul(f, vload(s + j)), shift));
        vstore(s + j, e);
        vstore(ds + j, vmul(vmul(f, e), vsub(vload(ds + j), d)));
    }
    if (j < m) {
        const vf e = vexp(vsub(vmul(f, vload_n(s + j, m - j)), shift));
        vstore_n(s + j, e, m - j);
        vstore_n(ds + j, vmul(vmul(f, e), vsub(vload_n(ds + j, m - j), d)), m - j);
    }
}

/* P = exp(scale q k^T - lse), dv = P^T do, dP = do v^T, dS = scale P (dP - rowsum(do o)), dq = dS k, dk = dS^T q */
RUN(run_bwd) {
    UNUSED_RUN_ARGUMENTS;
    const attention_plan *a = p->state;
    const hct_view *lse = &in[4], *go = &in[5];
    int threads = (int)a->threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < a->tasks; task++) {
        int64_t b = task / a->heads, h = task % a->heads;
        char *at = (char *)hct_ptr(ws) + (uint64_t)cpu_thread() * a->per_thread;
        float *kt = pack_transposed(take(&at, a->wide_m * a->d), &in[1], b, h);
        float *vt = pack_transposed(take(&at, a->wide_m * a->d), &in[2], b, h);
        float *k = pack_tokens(take(&at, a->wide_d * a->m), &in[1], b, h, 0, a->m);
        float *s = take(&at, a->rows * a->wide_m), *ds = take(&at, a->rows * a->wide_m);
        float *x = take(&at, a->rows * a->wide_d), *dq = take(&at, a->rows * a->wide_d);
        float *packed_q = take(&at, a->rows * a->wide_d), *packed_go = take(&at, a->rows * a->wide_d);
        float *dk = take(&at, a->m * a->wide_d), *dv = take(&at, a->m * a->wide_d);
        memset(dk, 0, (size_t)(a->m * a->wide_d) * sizeof *dk);
        memset(dv, 0, (size_t)(a->m * a->wide_d) * sizeof *dv);
        const float *shift = (const float *)hct_ptr(lse) + b * lse->stride[0] + h * lse->stride[1];
        for (int64_t i = 0; i < a->n; i += a->rows) {
            int64_t rows = at_most(a->rows, a->n - i);
            load_rows(x, &in[0], b, h, i, rows);
            product(s, a->wide_m, x, a->d, kt, rows, a->m, a->d);
            load_rows(x, go, b, h, i, rows);
            product(ds, a->wide_m, x, a->d, vt, rows, a->m, a->d);
            for (int64_t r = 0; r < rows; r++)
                softmax_backward(s + r * a->wide_m, ds + r * a->wide_m, a->m, a->scale, shift[(i + r) * lse->stride[2]],
                                 dot_rows(token(go, b, h, i + r), token(&in[3], b, h, i + r), a->d));
            product(dq, a->wide_d, ds, a->wide_m, k, rows, a->d, a->m);
            store_rows(&out[0], b, h, i, rows, dq, a->wide_d, NULL);
            product_transposed(dk, a->wide_d, ds, a->wide_m, pack_tokens(packed_q, &in[0], b, h, i, rows), rows, a->d, a->m);
            product_transposed(dv, a->wide_d, s, a->wide_m, pack_tokens(packed_go, go, b, h, i, rows), rows, a->d, a->m);
        }
        store_rows(&out[1], b, h, 0, a->m, dk, a->wide_d, NULL);
        store_rows(&out[2], b, h, 0, a->m, dv, a->wide_d, NULL);
    }
    return HCT_OK;
}

FAST_KERNEL(k_attention, "attention", plan, run);
FAST_KERNEL(k_attention_bwd, "attention.bwd", plan_bwd, run_bwd);

const hct_kernel *const FAST(fast_attention)[] = {&k_attention, &k_attention_bwd, NULL};
