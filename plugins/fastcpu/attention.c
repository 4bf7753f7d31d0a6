/* Attention and its backward. A task is some queries of one head of one sample: keys and values are packed once,
 * then a block of queries meets all of them, so that the scores held at any time fit the second-level cache. */
#include "fast.h"
#include "gemm.h"

#include <math.h>
#include <stdlib.h>

enum { SCORE_BYTES = 128 << 10, MOST_ROWS = 192 };

typedef struct attention_plan {
    int64_t n, m, d, heads, tasks, splits, rows; /* queries, keys, width; queries of a block */
    int64_t threads, wide_m, wide_d;
    float scale;
    uint64_t per_thread;
} attention_plan;

/* What a thread holds. Floats, but for what is multiplied: packed (units) or in rows (factors); as in p, which lies
 * on s where both are floats. */
typedef struct room {
    /* packed: keys and values turned, and as they are; a block of queries and of gradients */
    void *kt, *vt, *k, *v, *q, *go;
    /* scores of a block and their gradients; a block of outputs or query gradients; sums of all blocks */
    float *s, *ds, *o, *dk, *dv;
    factor *p, *dp, *x; /* the same as factors; the rows of a block */
    void *turned;       /* scores packed as A */
} room;

ALWAYS void *take(uintptr_t *at, int64_t n, size_t size) {
    void *r = (void *)*at;
    *at += cpu_round((uint64_t)n * size);
    return r;
}

/* The room of the calling thread in the workspace; ret_bytes: of a thread. ws NULL: only those are wanted. */
static room take_all(const attention_plan *a, const hct_view *ws, int backward, uint64_t *ret_bytes) {
    uintptr_t at = ws ? (uintptr_t)hct_ptr(ws) + (uint64_t)cpu_thread() * a->per_thread : 0;
    const uintptr_t from = at;
    const size_t f = sizeof(float);
    int64_t turned = a->wide_m * units(a->d), whole = a->wide_d * units(a->m), scores = a->rows * a->wide_m,
            block = a->rows * a->wide_d;
    room r = {0};
    r.kt = take(&at, turned, f);
    r.s = take(&at, scores, f);
    r.p = PAIRS ? take(&at, scores, sizeof(factor)) : (void *)r.s;
    r.o = take(&at, block, f);
    r.x = take(&at, block, sizeof(factor));
    if (!backward) {
        r.v = take(&at, whole, f);
    } else {
        r.vt = take(&at, turned, f);
        r.k = take(&at, whole, f);
        r.ds = take(&at, scores, f);
        r.dp = PAIRS ? take(&at, scores, sizeof(factor)) : (void *)r.ds;
        r.q = take(&at, block, f);
        r.go = take(&at, block, f);
        r.dk = take(&at, a->m * a->wide_d, f);
        r.dv = take(&at, a->m * a->wide_d, f);
        if (PAIRS) r.turned = take(&at, round_up(a->m, MR) * units(a->rows), f);
    }
    if (ret_bytes) *ret_bytes = at - from;
    return r;
}

static hct_status plan_common(const hct_problem *p, hct_plan *ret, int backward, hct_err *err) {
    for (uint32_t i = 0; i < p->n_in; i++)
        if (p->in[i].ndim == 4 && !dense_rows(&p->in[i]))
            return hct_plugin_fail(err, HCT_NOTIMPL, "the width of q, k or v has gaps");
    attention_plan *a = malloc(sizeof *a);
    if (!a) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    const hct_view *q = &p->in[0];
    *a = (attention_plan){.n = q->dim[1],
                          .m = p->in[1].dim[1],
                          .d = q->dim[3],
                          .heads = q->dim[2],
                          .scale = (float)hct_attr_real(p->attr, p->n_attr, "scale", 1)};
    a->wide_m = round_up(a->m, NR);
    a->wide_d = round_up(a->d, NR);
    a->rows = at_most(MOST_ROWS, SCORE_BYTES / (int64_t)sizeof(float) / (a->wide_m ? a->wide_m : 1)) / MR * MR;
    if (a->rows < MR) a->rows = MR;
    int64_t all = q->dim[0] * a->heads, blocks = (a->n + a->rows - 1) / a->rows;
    a->threads = 4.0 * (double)(all * a->n) * (double)(a->m * a->d) < SMALL_FLOPS ? 1 : cpu_threads();
    a->splits = 1;
    if (!backward) /* few heads: their queries are shared out too */
        while (all && all * a->splits < 4 * a->threads && 2 * a->splits <= blocks && a->threads > 1) a->splits *= 2;
    a->tasks = all * a->splits;
    take_all(a, NULL, backward, &a->per_thread);
    ret->state = a;
    ret->flags = HCT_DETERMINISTIC;
    ret->workspace = a->per_thread * (uint64_t)a->threads;
    return HCT_OK;
}

static hct_status plan_attention(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_common(p, ret, 0, err);
}
static hct_status plan_attention_bwd(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_common(p, ret, 1, err);
}

/* Token i of head h of sample b of v [B, N, H, D]. */
ALWAYS real *token(const hct_view *v, int64_t b, int64_t h, int64_t i) {
    return (real *)hct_ptr(v) + b * v->stride[0] + h * v->stride[2] + i * v->stride[1];
}

/* The panels of v's tokens [M, D] as B (one token a row), and of their transpose. */
static void *pack_tokens(void *to, const hct_view *v, int64_t b, int64_t h, int64_t from, int64_t n) {
    PACK_B(to, token(v, b, h, from), v->stride[1], 1, n, v->dim[3], 0, v->dim[3]);
    return to;
}
static void pack_transposed(void *to, const hct_view *v, int64_t b, int64_t h) {
    PACK_B(to, token(v, b, h, 0), 1, v->stride[1], v->dim[3], v->dim[1], 0, v->dim[1]);
}

/* c [m, n] = a b where a's rows lie in a matrix of row_a factors and b's panels are k long in all; the inner axis in
 * parts. Behind the last factor of a row of odd k stands 0 where two make a unit. */
static void product(float *c, int64_t row_c, const factor *a, int64_t row_a, const void *b, int64_t m, int64_t n,
                    int64_t k) {
    for (int64_t at = 0; at < k; at += KE)
        MULTIPLY(&(block_product){.m = m,
                                  .n = n,
                                  .k = units(at_most(KE, k - at)),
                                  .a = a + at,
                                  .row_a = row_a,
                                  .col_a = 1,
                                  .b = (const float *)b + units(at) * NR,
                                  .step_b = units(k) * NR,
                                  .c = c,
                                  .row_c = row_c,
                                  .add = at > 0});
}

/* c [k', n] += a^T b: a [m, k'] of row_a factors a row, b's panels m long. */
static void product_transposed(float *c, int64_t row_c, const factor *a, int64_t row_a, const void *b, int64_t m,
                               int64_t n, int64_t k, void *turned) {
    block_product g = {
        .m = k, .n = n, .k = units(m), .a = a, .row_a = 1, .col_a = row_a, .b = b, .c = c, .row_c = row_c, .add = 1};
#if PAIRS
    PACK_A(turned, a, 1, row_a, k, m);
    g.a = turned, g.row_a = 0;
#else
    (void)turned;
#endif
    MULTIPLY(&g);
}

#if PAIRS
#define put_factors put_bf16
#else
#define put_factors vput
#endif

/* Rows x [n, D] as factors: where they lie, or copied to `to`. *ret_row: from one to the next. */
static const factor *rows_as_factors(factor *to, const hct_view *v, int64_t b, int64_t h, int64_t from, int64_t n,
                                     int64_t *ret_row) {
    int64_t d = v->dim[3];
    if (sizeof(factor) == sizeof(real) && d % UNIT == 0) {
        *ret_row = v->stride[1];
        return (const factor *)token(v, b, h, from);
    }
    int64_t row = *ret_row = round_up(d, UNIT);
    for (int64_t i = 0; i < n; i++) {
        const real *x = token(v, b, h, from + i);
        int64_t j = 0;
        for (; j + VL <= d; j += VL) put_factors(to + i * row + j, ld(x + j), VL);
        if (j < d) put_factors(to + i * row + j, ld_n(x + j, d - j), d - j);
        if (row > d) to[i * row + d] = 0;
    }
    return to;
}

static void store_rows(const hct_view *v, int64_t b, int64_t h, int64_t from, int64_t n, const float *x, int64_t row,
                       const float *factor) {
    int64_t d = v->dim[3];
    for (int64_t i = 0; i < n; i++) {
        real *y = token(v, b, h, from + i);
        const vf f = vset(factor ? factor[i] : 1.0f);
        int64_t j = 0;
        for (; j + VL <= d; j += VL) st(y + j, vmul(f, vload(x + i * row + j)));
        if (j < d) st_n(y + j, vmul(f, vload_n(x + i * row + j, d - j)), d - j);
    }
}

/* e = exp(scale s - top); returns the sum, and top. */
static float exponentials(const float *s, factor *e, int64_t m, float scale, float *ret_top) {
    vf t = vset(-INFINITY), sum = vzero();
    float top = -INFINITY, rest = 0;
    int64_t j = 0;
    const vf f = vset(scale);
    for (; j + VL <= m; j += VL) t = vmax(t, vmul(f, vload(s + j)));
    if (j) top = vtop(t);
    for (; j < m; j++) top = s[j] * scale > top ? s[j] * scale : top;
    const vf shift = vset(top);
    for (j = 0; j + VL <= m; j += VL) {
        const vf x = vexp(vsub(vmul(f, vload(s + j)), shift));
        put_factors(e + j, x, VL);
        sum = vadd(sum, x);
    }
    if (j < m) {
        float last[VL];
        const vf x = vexp(vsub(vmul(f, vload_n(s + j, m - j)), shift));
        put_factors(e + j, x, m - j);
        vstore(last, x);
        for (int64_t i = 0; i < m - j; i++) rest += last[i];
    }
    if (m % UNIT) e[m] = 0;
    *ret_top = top;
    return vsum(sum) + rest;
}

RUN(run_attention) {
    UNUSED_RUN_ARGUMENTS;
    const attention_plan *a = p->state;
    int threads = (int)a->threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < a->tasks; task++) {
        int64_t head = task / a->splits, split = task % a->splits, b = head / a->heads, h = head % a->heads;
        int64_t blocks = (a->n + a->rows - 1) / a->rows, first = blocks * split / a->splits * a->rows;
        int64_t end = at_most(a->n, blocks * (split + 1) / a->splits * a->rows);
        room t = take_all(a, ws, 0, NULL);
        pack_transposed(t.kt, &in[1], b, h);
        pack_tokens(t.v, &in[2], b, h, 0, a->m);
        float *lse = (float *)hct_ptr(&out[1]) + head * a->n;
        for (int64_t i = first; i < end; i += a->rows) {
            int64_t rows = at_most(a->rows, end - i), row;
            float inverse[MOST_ROWS];
            const factor *q = rows_as_factors(t.x, &in[0], b, h, i, rows, &row);
            product(t.s, a->wide_m, q, row, t.kt, rows, a->m, a->d);
            for (int64_t r = 0; r < rows; r++) {
                float top, sum = exponentials(t.s + r * a->wide_m, t.p + r * a->wide_m, a->m, a->scale, &top);
                inverse[r] = 1 / sum;
                lse[i + r] = top + logf(sum);
            }
            product(t.o, a->wide_d, t.p, a->wide_m, t.v, rows, a->d, a->m);
            store_rows(&out[0], b, h, i, rows, t.o, a->wide_d, inverse);
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

/* p = exp(scale s - lse), dp = scale p (ds - dot), a row */
static void softmax_backward(const float *s, const float *ds, factor *p, factor *dp, int64_t m, float scale, float lse,
                             float dot) {
    const vf f = vset(scale), shift = vset(lse), d = vset(dot);
    for (int64_t j = 0; j < m; j += VL) {
        int64_t n = at_most(VL, m - j);
        const vf e = vexp(vsub(vmul(f, vget(s + j, n)), shift));
        const vf g = vmul(vmul(f, e), vsub(vget(ds + j, n), d));
        put_factors(p + j, e, n);
        put_factors(dp + j, g, n);
    }
    if (m % UNIT) p[m] = dp[m] = 0;
}

/* P = exp(scale q k^T - lse), dv = P^T do, dP = do v^T, dS = scale P (dP - rowsum(do o)), dq = dS k, dk = dS^T q */
RUN(run_attention_bwd) {
    UNUSED_RUN_ARGUMENTS;
    const attention_plan *a = p->state;
    const hct_view *lse = &in[4], *go = &in[5];
    int threads = (int)a->threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < a->tasks; task++) {
        int64_t b = task / a->heads, h = task % a->heads;
        room t = take_all(a, ws, 1, NULL);
        pack_transposed(t.kt, &in[1], b, h);
        pack_transposed(t.vt, &in[2], b, h);
        pack_tokens(t.k, &in[1], b, h, 0, a->m);
        memset(t.dk, 0, (size_t)(a->m * a->wide_d) * sizeof *t.dk);
        memset(t.dv, 0, (size_t)(a->m * a->wide_d) * sizeof *t.dv);
        const float *shift = (const float *)hct_ptr(lse) + b * lse->stride[0] + h * lse->stride[1];
        for (int64_t i = 0; i < a->n; i += a->rows) {
            int64_t rows = at_most(a->rows, a->n - i), row;
            const factor *x = rows_as_factors(t.x, &in[0], b, h, i, rows, &row);
            product(t.s, a->wide_m, x, row, t.kt, rows, a->m, a->d);
            x = rows_as_factors(t.x, go, b, h, i, rows, &row);
            product(t.ds, a->wide_m, x, row, t.vt, rows, a->m, a->d);
            for (int64_t r = 0, at = 0; r < rows; r++, at += a->wide_m)
                softmax_backward(t.s + at, t.ds + at, t.p + at, t.dp + at, a->m, a->scale,
                                 shift[(i + r) * lse->stride[2]],
                                 dot_rows(token(go, b, h, i + r), token(&in[3], b, h, i + r), a->d));
            product(t.o, a->wide_d, t.dp, a->wide_m, t.k, rows, a->d, a->m);
            store_rows(&out[0], b, h, i, rows, t.o, a->wide_d, NULL);
            product_transposed(t.dk, a->wide_d, t.dp, a->wide_m, pack_tokens(t.q, &in[0], b, h, i, rows), rows, a->d,
                               a->m, t.turned);
            product_transposed(t.dv, a->wide_d, t.p, a->wide_m, pack_tokens(t.go, go, b, h, i, rows), rows, a->d, a->m,
                               t.turned);
        }
        store_rows(&out[1], b, h, 0, a->m, t.dk, a->wide_d, NULL);
        store_rows(&out[2], b, h, 0, a->m, t.dv, a->wide_d, NULL);
    }
    return HCT_OK;
}

FAST_KERNEL(k_attention, "attention", plan_attention, run_attention);
FAST_KERNEL(k_attention_bwd, "attention.bwd", plan_attention_bwd, run_attention_bwd);

const hct_kernel *const FAST(fast_attention)[] = {&k_attention, &k_attention_bwd, NULL};
