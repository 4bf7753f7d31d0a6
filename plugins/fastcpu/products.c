/* linear, with GELU behind it or not, and matmul over block products (gemm.h): B is packed once a run, in parts of
 * the inner axis that the cache can hold (or kept packed, whole: the same parts behind one another); then blocks of
 * C are taken by whichever thread is free. Each element of C is summed in one fixed order, so results do not depend
 * on the number of threads. */
#include "fast.h"
#include "gelu.h"
#include "gemm.h"

#include <stdlib.h>

enum { PACKED_BYTES = 16 << 20, MAX_TASKS = 8 };

/* C = A B + bias; or C = A B (where C is not Y) and Y = gelu(A B + bias) */
typedef struct product {
    int64_t m, n, k;
    const real *a, *b, *bias;
    real *c, *y;                                          /* y: NULL without GELU; rows of row_c like c's */
    float *wide;                                          /* C as it was summed, instead of c; or NULL */
    int64_t row_a, col_a, row_b, col_b, row_c, step_bias; /* strides in elements; columns of C are neighbours */
    /* how it is cut */
    int64_t mb, nb, blocks_m, blocks_n, part; /* part: elements of k packed at once */
    float *packed;
    int kept; /* packed holds all of B already */
    char *scratch;
} product;

typedef struct product_plan {
    product g;
    int64_t batch, threads;
    /* packed_bytes: of one team (shared B), or of one thread (a product a thread) */
    uint64_t packed_bytes, scratch_bytes;
    int own, has_bias; /* own: each thread multiplies matrices of its own */
} product_plan;

static void cut(product *g, int64_t threads, int64_t packed_bytes) {
    int64_t wide = round_up(g->n, NR);
    g->blocks_m = (g->m + MB - 1) / MB;
    if (g->blocks_m < 1) g->blocks_m = 1;
    g->mb = round_up((g->m + g->blocks_m - 1) / g->blocks_m, MR);
    g->blocks_m = g->mb ? (g->m + g->mb - 1) / g->mb : 0;
    g->nb = at_most(wide, NB);
    while (threads > 1 && g->nb > 4 * NR && g->blocks_m * ((wide + g->nb - 1) / g->nb) < MAX_TASKS)
        g->nb = round_up(g->nb / 2, NR);
    g->blocks_n = g->nb ? (wide + g->nb - 1) / g->nb : 0;
    g->part = g->k;
#if defined REAL_F32 /* the sums of one part wait in C for the next: only floats can */
    int64_t fit = packed_bytes / (int64_t)sizeof(float) / (wide ? wide : 1) / KC * KC;
    g->part = at_most(g->k, fit < KC ? KC : fit);
#else
    (void)packed_bytes;
#endif
}

static uint64_t packed_size(const product *g) {
    return cpu_round((uint64_t)(round_up(g->n, NR) * units(g->part)) * sizeof(float));
}
static uint64_t scratch_size(const product *g) {
    return cpu_round((uint64_t)((g->mb + MR) * KC + (g->mb + MR) * g->nb) * sizeof(float));
}

/* ---- the two kinds of task ---- */

static int64_t pack_tasks(const product *g, int64_t part) { return (part + KE - 1) / KE * g->blocks_n; }

static void pack_task(const product *g, int64_t k0, int64_t part, int64_t task) {
    int64_t at = task / g->blocks_n * KE, n0 = task % g->blocks_n * g->nb;
    int64_t k = at_most(KE, part - at), wide = round_up(g->n, NR);
    PACK_B(g->packed + at / UNIT * wide, g->b + (k0 + at) * g->row_b, g->row_b, g->col_b, k, g->n, n0,
           at_most(g->n, n0 + g->nb));
}

/* n elements of C from their sums. */
static void finish_row(const float *from, const real *bias, int64_t step_bias, real *c, int64_t n) {
    int64_t j = 0;
    if (!bias || step_bias == 1) {
        for (; j + VL <= n; j += VL) st(c + j, bias ? vadd(vload(from + j), ld(bias + j)) : vload(from + j));
        if (j < n) st_n(c + j, bias ? vadd(vload(from + j), ld_n(bias + j, n - j)) : vload(from + j), n - j);
    } else {
        for (; j < n; j++) c[j] = st1(from[j] + ld1(bias[j * step_bias]));
    }
}

/* n elements of Y, and of C unless it is NULL; the sums come from the second-level cache, where the block lies. */
static void gelu_row(const float *from, const real *bias, real *c, real *y, int64_t n) {
    int64_t j = 0;
    for (; j + VL <= n; j += VL) {
        const vf sum = vload(from + j);
        if (c) st(c + j, sum);
        st(y + j, vgelu(vadd(sum, ld(bias + j))));
    }
    if (j == n) return;
    const vf sum = vload(from + j);
    if (c) st_n(c + j, sum, n - j);
    st_n(y + j, vgelu(vadd(sum, ld_n(bias + j, n - j))), n - j);
}

/* Rows [m0, m0 + m), columns [n0, n0 + n) from their sums; whole: nothing is added to these any more. */
static void finish(const product *g, const float *sums, int64_t row, int64_t m0, int64_t m, int64_t n0, int64_t n,
                   int whole) {
    const real *bias = whole && g->bias ? g->bias + n0 * g->step_bias : NULL;
    for (int64_t i = 0; i < m; i++, sums += row) {
        int64_t at = (m0 + i) * g->row_c + n0;
        if (g->wide) {
            memcpy(g->wide + at, sums, (size_t)n * sizeof *sums);
            continue;
        }
        real *c = (const void *)sums == (const void *)(g->c + at) ? NULL : g->c + at; /* NULL: there already */
        if (whole && g->y) gelu_row(sums, bias, g->c == g->y ? NULL : c, g->y + at, n);
        else if (c || bias) finish_row(sums, bias, g->step_bias, g->c + at, n);
    }
}

static void block_task(const product *g, int64_t k0, int64_t part, int64_t task, char *scratch) {
    int64_t ni = task % g->blocks_n, mi = task / g->blocks_n % g->blocks_m;
    int64_t m0 = mi * g->mb, n0 = ni * g->nb, m = at_most(g->mb, g->m - m0), n = at_most(g->nb, g->n - n0);
    int64_t wide = round_up(g->n, NR);
    const float *packed = g->packed + (g->kept ? k0 / UNIT * wide : 0);
    float *pa = (float *)scratch, *c = pa + (g->mb + MR) * KC;
    int64_t row = round_up(n, NR);
#if defined REAL_F32
    float *to = g->c + m0 * g->row_c + n0;
    int direct = n % NR == 0;
    if (direct) c = to, row = g->row_c;
    else if (k0)
        for (int64_t i = 0; i < m; i++) memcpy(c + i * row, to + i * g->row_c, (size_t)n * sizeof *c);
#endif
    if (!part)
        for (int64_t i = 0; i < m; i++) memset(c + i * row, 0, (size_t)n * sizeof *c);
    for (int64_t at = 0; at < part; at += KE) {
        int64_t k = at_most(KE, part - at), u = units(k);
        const real *a = g->a + m0 * g->row_a + (k0 + at) * g->col_a;
        block_product b = {
            .m = m, .n = n, .k = u, .b = packed + at / UNIT * wide + n0 * u, .c = c, .row_c = row, .add = k0 + at > 0};
        int as_it_lies = sizeof(real) == sizeof(factor) && k % UNIT == 0 && g->col_a == 1 && g->row_a;
        if (as_it_lies && (UNIT == 2 || n <= 8 * NR)) { /* read too seldom to be packed */
            b.a = a, b.row_a = g->row_a, b.col_a = 1;
        } else {
            PACK_A(pa, a, g->row_a, g->col_a, m, k);
            b.a = pa;
        }
        MULTIPLY(&b);
    }
    finish(g, c, row, m0, m, n0, n, k0 + part == g->k);
}

static void multiply_here(const product *g) {
    int64_t k0 = 0;
    do {
        int64_t part = at_most(g->part, g->k - k0);
        for (int64_t i = 0; !g->kept && i < pack_tasks(g, part); i++) pack_task(g, k0, part, i);
        for (int64_t i = 0; i < g->blocks_m * g->blocks_n; i++) block_task(g, k0, part, i, g->scratch);
        k0 += g->part;
    } while (k0 < g->k);
}

/* ---- the kernels ---- */

static hct_status accept(product_plan *pp, hct_plan *ret, hct_err *err) {
    product_plan *state = malloc(sizeof *state);
    if (!state) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    product *g = &pp->g;
    double flops = 2.0 * (double)(g->m * g->n) * (double)(g->k * pp->batch);
    pp->threads = flops < SMALL_FLOPS ? 1 : cpu_threads();
    pp->own = pp->batch > 1;
    if (pp->own && pp->threads > pp->batch) pp->threads = pp->batch;
    cut(g, pp->own ? 1 : pp->threads, pp->own ? PACKED_BYTES / 8 : PACKED_BYTES);
    pp->packed_bytes = g->kept ? 0 : packed_size(g);
    pp->scratch_bytes = scratch_size(g);
    *state = *pp;
    ret->state = state;
    ret->flags = HCT_DETERMINISTIC;
    ret->workspace = (pp->own ? pp->packed_bytes * (uint64_t)pp->threads : pp->packed_bytes) +
                     pp->scratch_bytes * (uint64_t)pp->threads;
    return HCT_OK;
}

/* out [rows, N] = x [rows, K] w^T + b, or gelu of that and x w^T */
static hct_status plan_linear(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    const hct_view *x = &p->in[0], *w = &p->in[1];
    int n = x->ndim;
    product_plan pp = {.batch = 1,
                       .g = {.m = cpu_rows(x, 1),
                             .n = w->dim[0],
                             .k = w->dim[1],
                             .col_a = x->stride[n - 1],
                             .row_b = w->stride[1],
                             .col_b = w->stride[0],
                             .row_c = w->dim[0]}};
    pp.has_bias = p->n_in == 3;
    if (pp.has_bias) pp.g.step_bias = p->in[2].stride[0];
    if (!even_rows(x, 1, &pp.g.row_a)) return hct_plugin_fail(err, HCT_NOTIMPL, "the rows of x do not lie evenly");
    if (p->n_out == 2 && !dense_rows(&p->in[2])) return hct_plugin_fail(err, HCT_NOTIMPL, "the bias has gaps");
    if (p->n_out == 2 && HCT_HAS(p, unused)) ret->leaves = p->unused & 2;
    /* Pairs of bfloat16 gain nothing: half the bytes to pack, and the copy comes from memory, not from the cache. */
    pp.g.kept = sizeof(real) == sizeof(float) && HCT_HAS(p, steady) && p->steady >> 1 & 1 && pp.g.n * pp.g.k > 0;
    if (pp.g.kept) ret->packed = (uint64_t)(round_up(pp.g.n, NR) * units(pp.g.k)) * sizeof(float), ret->packs = 1;
    return accept(&pp, ret, err);
}

static hct_status pack_linear(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *packed,
                              hct_err *err) {
    (void)s, (void)err;
    const product_plan *pp = p->state;
    product g = pp->g;
    g.b = hct_ptr(in);
    g.packed = hct_ptr(packed);
    int threads = (int)pp->threads;
    int64_t tasks = pack_tasks(&g, g.k);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < tasks; i++) pack_task(&g, 0, g.k, i);
    return HCT_OK;
}

static void run_team(product *g, const product_plan *pp, char *scratch) {
    int64_t blocks = g->blocks_m * g->blocks_n, threads = pp->threads;
    if (threads == 1) {
        g->scratch = scratch;
        multiply_here(g);
        return;
    }
#pragma omp parallel num_threads((int)threads)
    {
        char *mine = scratch + (uint64_t)cpu_thread() * pp->scratch_bytes;
        int64_t k0 = 0;
        do {
            int64_t part = at_most(g->part, g->k - k0), packs = g->kept ? 0 : pack_tasks(g, part);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < packs; i++) pack_task(g, k0, part, i);
#pragma omp for schedule(dynamic) nowait
            for (int64_t i = 0; i < blocks; i++) block_task(g, k0, part, i, mine);
            k0 += g->part;
            if (k0 < g->k) { /* the next part is packed where this one lay, and adds to its sums */
#pragma omp barrier
            }
        } while (k0 < g->k);
    }
}

static void multiply_rows(const product_plan *pp, const hct_view *in, real *c, real *y, const hct_view *ws) {
    product g = pp->g;
    g.a = hct_ptr(&in[0]);
    g.b = hct_ptr(&in[1]);
    g.bias = pp->has_bias ? hct_ptr(&in[2]) : NULL;
    g.c = c;
    g.y = y;
    g.packed = hct_ptr(pp->g.kept ? &ws[1] : ws);
    run_team(&g, pp, (char *)hct_ptr(ws) + pp->packed_bytes);
}

RUN(run_linear) {
    UNUSED_RUN_ARGUMENTS;
    multiply_rows(p->state, in, hct_ptr(out), NULL, ws);
    return HCT_OK;
}

RUN(run_linear_gelu) {
    UNUSED_RUN_ARGUMENTS;
    real *y = hct_ptr(&out[0]);
    multiply_rows(p->state, in, HCT_HAS(p, leaves) ? y : hct_ptr(&out[1]), y, ws);
    return HCT_OK;
}

static hct_status plan_matmul(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    const hct_view *a = &p->in[0], *b = &p->in[1];
    int n = a->ndim;
    product_plan pp = {.batch = cpu_rows(a, 2),
                       .g = {.m = a->dim[n - 2],
                             .n = b->dim[n - 1],
                             .k = a->dim[n - 1],
                             .row_a = a->stride[n - 2],
                             .col_a = a->stride[n - 1],
                             .row_b = b->stride[n - 2],
                             .col_b = b->stride[n - 1],
                             .row_c = p->out[0].stride[n - 2]}};
    return accept(&pp, ret, err);
}

/* C: where the result lies; wide: as floats whatever `real` is. */
static void set_result(product *g, const hct_view *out, int64_t at, int wide) {
    if (wide && sizeof(real) != sizeof(float)) g->wide = (float *)hct_ptr(out) + at;
    else g->c = (real *)hct_ptr(out) + at;
}

static void multiply_matrices(const product_plan *pp, const hct_view *in, const hct_view *out, int wide,
                              const hct_view *ws) {
    char *packed = hct_ptr(ws);
    product g = pp->g;
    if (!pp->own) {
        g.a = hct_ptr(&in[0]);
        g.b = hct_ptr(&in[1]);
        set_result(&g, out, 0, wide);
        g.packed = (float *)packed;
        if (pp->batch) run_team(&g, pp, packed + pp->packed_bytes);
        return;
    }
    int threads = (int)pp->threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < pp->batch; i++) {
        product one = pp->g;
        one.a = (const real *)hct_ptr(&in[0]) + cpu_row(&in[0], 2, i);
        one.b = (const real *)hct_ptr(&in[1]) + cpu_row(&in[1], 2, i);
        set_result(&one, out, cpu_row(out, 2, i), wide);
        one.packed = (float *)(packed + (uint64_t)cpu_thread() * pp->packed_bytes);
        one.scratch = packed + (uint64_t)pp->threads * pp->packed_bytes + (uint64_t)cpu_thread() * pp->scratch_bytes;
        multiply_here(&one);
    }
}

RUN(run_matmul) {
    UNUSED_RUN_ARGUMENTS;
    multiply_matrices(p->state, in, out, 0, ws);
    return HCT_OK;
}

RUN(run_matmul_wide) {
    UNUSED_RUN_ARGUMENTS;
    multiply_matrices(p->state, in, out, 1, ws);
    return HCT_OK;
}

static const hct_kernel k_linear = {FAST_FIELDS("linear", plan_linear, run_linear), .pack = pack_linear};
static const hct_kernel k_linear_gelu = {FAST_FIELDS("linear_gelu", plan_linear, run_linear_gelu), .pack = pack_linear};
FAST_KERNEL(k_matmul, "matmul", plan_matmul, run_matmul);
FAST_KERNEL(k_matmul_wide, "matmul_wide", plan_matmul, run_matmul_wide);

const hct_kernel *const FAST(fast_products)[] = {&k_linear, &k_linear_gelu, &k_matmul, &k_matmul_wide, NULL};
