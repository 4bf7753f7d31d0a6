/* linear_int8 (kit/int8.h) over the register tile of the other products: a unit of 4 bytes holds four neighbours of k.
 * The processor's products of bytes (VPMADDUBSW, and VPDPBUSD where it has VNNI) have a left operand without sign: 128
 * is added to x's numbers, and 128 times the sum of w's row is taken from what comes out. w is kept in panels of bytes.
 * Sums are exact, so results are the same with any instructions and any number of threads. */
#include "fast.h"
#include "gelu.h"
#include "gemm.h"
#include "kit/int8.h"

#include <math.h>
#include <stdlib.h>

enum { PER_UNIT = 4, ROWS_OF_TASK = 264, PANELS_OF_TASK = 6, GAP = 64, ZERO = 128 };

typedef struct int8_plan {
    int64_t m, n, k, units; /* units: of k */
    int64_t step_x;         /* from row to row of x, in elements */
    int64_t mb, blocks_m, blocks_n;
    int64_t threads;
    int biased, gelu, kept;
    /* bytes from the start of the workspace */
    uint64_t x, row_x, steps, scratch, scratch_bytes;
} int8_plan;

/* ---- w in panels ---- */

typedef struct panels {
    int8_t *number; /* [panel][unit][NR][PER_UNIT] */
    float *step;    /* of each row of w, 0 of those that fill the last panel */
    int32_t *shift; /* ZERO times the sum of its numbers */
} panels;

static uint64_t panels_bytes(const int8_plan *g) {
    uint64_t wide = (uint64_t)round_up(g->n, NR);
    return cpu_round(wide * (uint64_t)g->units * PER_UNIT) + cpu_round(wide * sizeof(float)) +
           cpu_round(wide * sizeof(int32_t));
}

static panels panels_at(const int8_plan *g, void *mem) {
    uint64_t wide = (uint64_t)round_up(g->n, NR);
    char *at = mem;
    panels p = {.number = (int8_t *)at};
    at += cpu_round(wide * (uint64_t)g->units * PER_UNIT);
    p.step = (float *)at;
    p.shift = (int32_t *)(at + cpu_round(wide * sizeof(float)));
    return p;
}

ALWAYS vf some(const real *x, int64_t n) { return n == VL ? ld(x) : ld_n(x, n); }

/* What x[0, n) is multiplied with to give whole numbers from -most to most; *ret_step: their
 * step. */
ALWAYS float scale_of(const real *x, float most, int64_t n, float *ret_step) {
    vf top = vzero(), strange = vzero();
    for (int64_t i = 0; i < n; i += VL) {
        vf v = some(x + i, at_most(VL, n - i));
        top = vmax(vabs(v), top);
        strange = vadd(strange, vmul(v, vzero())); /* 0, but for NaN and infinities */
    }
    const float largest = vtop(top);
    const int finite = vsum(strange) == 0, counts = finite && largest >= INT8_LEAST;
    *ret_step = !finite ? NAN : counts ? largest / most : 0;
    return counts ? most / largest : 0;
}

#if defined __AVX512F__
typedef __m512i vi;
#define V_ROUND(v) _mm512_cvtps_epi32(v)
#define V_STORE(p, v) _mm512_storeu_si512((void *)(p), v)
#else
typedef __m256i vi;
#define V_ROUND(v) _mm256_cvtps_epi32(v)
#define V_STORE(p, v) _mm256_storeu_si256((void *)(p), v)
#endif

/* The next at most VL whole numbers of x; a row that does not count has scale 0, and zeros. */
ALWAYS void round_some(int32_t to[VL], const real *x, int64_t n, float scale) {
    V_STORE(to, scale != 0 ? V_ROUND(vmul(some(x, n), vset(scale))) : V_ROUND(vzero()));
}

/* Rows [n0, n0 + NR) of w. */
static void pack_panel(const int8_plan *g, const real *w, int64_t row, int64_t n0, panels p) {
    int8_t *to = p.number + n0 * g->units * PER_UNIT;
    memset(to, 0, (size_t)(NR * g->units * PER_UNIT));
    for (int64_t j = 0; j < NR; j++) {
        p.step[n0 + j] = 0;
        p.shift[n0 + j] = 0;
        if (n0 + j >= g->n) continue;
        const real *from = w + (n0 + j) * row;
        const float scale = scale_of(from, INT8_TOP_W, g->k, &p.step[n0 + j]);
        int32_t sum = 0;
        for (int64_t i = 0; i < g->k; i += VL) {
            int32_t number[VL];
            const int64_t n = at_most(VL, g->k - i);
            round_some(number, from + i, n, scale);
            for (int64_t e = 0; e < n; e++) {
                to[((i + e) / PER_UNIT * NR + j) * PER_UNIT + (i + e) % PER_UNIT] = (int8_t)number[e];
                sum += number[e];
            }
        }
        p.shift[n0 + j] = ZERO * sum;
    }
}

/* ---- x as whole numbers ---- */

static void round_row(const int8_plan *g, const real *x, uint8_t *to, float *ret_step) {
    const float scale = scale_of(x, INT8_TOP_X, g->k, ret_step);
    int64_t i = 0;
#if defined __AVX512F__
    for (; i + VL <= g->k && scale != 0; i += VL) {
        const __m512i v = V_ROUND(vmul(ld(x + i), vset(scale)));
        _mm_storeu_si128((void *)(to + i), _mm512_cvtepi32_epi8(_mm512_add_epi32(v, _mm512_set1_epi32(ZERO))));
    }
#else
    for (; i + 4 * VL <= g->k && scale != 0; i += 4 * VL) {
        __m256i v[4];
        for (int e = 0; e < 4; e++) v[e] = V_ROUND(vmul(ld(x + i + e * VL), vset(scale)));
        const __m256i low = _mm256_packs_epi32(v[0], v[1]), high = _mm256_packs_epi32(v[2], v[3]);
        const __m256i all =
            _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((void *)(to + i), _mm256_xor_si256(all, _mm256_set1_epi8((char)ZERO)));
    }
#endif
    for (; i < g->k; i += VL) {
        int32_t number[VL];
        const int64_t n = at_most(VL, g->k - i);
        round_some(number, x + i, n, scale);
        for (int64_t e = 0; e < n; e++) to[i + e] = (uint8_t)(number[e] + ZERO);
    }
    for (i = g->k; i < g->units * PER_UNIT; i++) to[i] = 0; /* beside w's zeros */
}

/* ---- the product ---- */

ALWAYS vf broadcast(const char *p) {
    int32_t unit;
    memcpy(&unit, p, sizeof unit);
#if defined __AVX512F__
    return _mm512_castsi512_ps(_mm512_set1_epi32(unit));
#else
    return _mm256_castsi256_ps(_mm256_set1_epi32(unit));
#endif
}
#define BROADCAST(p) broadcast(p)
#if defined __AVX512F__
#define WHOLE(v) _mm512_castps_si512(v)
#define AS_SUMS(v) _mm512_castsi512_ps(v)
#define V_ADD(a, b) _mm512_add_epi32(a, b)
#define V_SUB(a, b) _mm512_sub_epi32(a, b)
#define V_LOAD(p) _mm512_loadu_si512((const void *)(p))
#define TO_FLOAT(v) _mm512_cvtepi32_ps(v)
#define ONES _mm512_set1_epi16(1)
typedef __m512i_u vi_anywhere;
#else
#define WHOLE(v) _mm256_castps_si256(v)
#define AS_SUMS(v) _mm256_castsi256_ps(v)
#define V_ADD(a, b) _mm256_add_epi32(a, b)
#define V_SUB(a, b) _mm256_sub_epi32(a, b)
#define V_LOAD(p) _mm256_loadu_si256((const void *)(p))
#define TO_FLOAT(v) _mm256_cvtepi32_ps(v)
#define ONES _mm256_set1_epi16(1)
typedef __m256i_u vi_anywhere;
#endif
#define PLUS(a, b) AS_SUMS(V_ADD(WHOLE(a), WHOLE(b)))
#if defined __AVX512VNNI__
#define DOT(a, b, c) AS_SUMS(_mm512_dpbusd_epi32(WHOLE(c), WHOLE(a), WHOLE(b)))
#else
/* Written out, as compilers move the first product away from the second until registers run out. */
ALWAYS vf dot(vf a, const float *b, vf c) {
    vi sums = WHOLE(c), pairs;
    __asm__("vpmaddubsw %2, %3, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
            : "+v"(sums), "=&v"(pairs)
            : "m"(*(const vi_anywhere *)b), "v"(WHOLE(a)), "v"(ONES));
    return AS_SUMS(sums);
}
#define OPERAND const float *
#define TAKE(p) (p)
#define DOT(a, b, c) dot(a, b, c)
#endif
#include "tile.h"

static void finish_row(const int8_plan *g, panels p, const float *sums, float step, const real *bias, int64_t n0,
                       int64_t n, real *y) {
    for (int64_t j = 0; j < n; j += VL) {
        const int64_t many = at_most(VL, n - j);
        const vi sum = V_SUB(V_LOAD(sums + j), V_LOAD(p.shift + n0 + j));
        vf v = vmul(TO_FLOAT(sum), vmul(vset(step), vload(p.step + n0 + j)));
        if (bias) v = vadd(v, many == VL ? ld(bias + n0 + j) : ld_n(bias + n0 + j, many));
        if (g->gelu) v = vgelu(v);
        if (many == VL) st(y + j, v);
        else st_n(y + j, v, many);
    }
}

/* A block of the result, [ROWS_OF_TASK at most, PANELS_OF_TASK NR]. */
static void block_task(const int8_plan *g, panels p, const char *x, const float *steps, const real *bias, real *y,
                       int64_t task, char *scratch) {
    const int64_t m0 = task / g->blocks_n * g->mb, m = at_most(g->mb, g->m - m0);
    const int64_t n0 = task % g->blocks_n * PANELS_OF_TASK * NR, n = at_most(PANELS_OF_TASK * NR, g->n - n0);
    enum { ROW = PANELS_OF_TASK * NR };
    float *sums = (float *)scratch; /* whole numbers */
    if (!g->units) memset(sums, 0, sizeof(float) * (size_t)(ROW * m));
    for (int64_t u0 = 0; u0 < g->units; u0 += KC) {
        const int64_t units = at_most(KC, g->units - u0);
        for (int64_t j = 0; j < n; j += NR) {
            const block_product b = {.m = m,
                                     .n = NR,
                                     .k = units,
                                     .a = x + (uint64_t)m0 * g->row_x + u0 * PER_UNIT,
                                     .b = p.number + ((n0 + j) * g->units + u0 * NR) * PER_UNIT,
                                     .c = sums + j,
                                     .row_c = ROW,
                                     .add = u0 > 0};
            for (int64_t i = 0; i < m; i += MR) tile_at(&b, i, 0, i * (int64_t)g->row_x, (int64_t)g->row_x, PER_UNIT);
        }
    }
    for (int64_t i = 0; i < m; i++)
        finish_row(g, p, sums + i * ROW, steps[m0 + i], bias, n0, n, y + (m0 + i) * g->n + n0);
}

/* ---- the kernel ---- */

static hct_status plan_int8(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    const hct_view *x = &p->in[0], *w = &p->in[1];
    int8_plan g = {
        .m = cpu_rows(x, 1), .n = w->dim[0], .k = w->dim[1], .gelu = hct_attr_int(p->attr, p->n_attr, "gelu", 0) != 0};
    if (!even_rows(x, 1, &g.step_x)) return hct_plugin_fail(err, HCT_NOTIMPL, "the rows of x do not lie evenly");
    for (uint32_t i = 0; i < p->n_in; i++)
        if (!dense_rows(&p->in[i])) return hct_plugin_fail(err, HCT_NOTIMPL, "input %u has gaps", i);
    g.biased = p->n_in == 3;
    int8_plan *state = malloc(sizeof *state);
    if (!state) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    g.units = (g.k + PER_UNIT - 1) / PER_UNIT;
    g.blocks_m = (g.m + ROWS_OF_TASK - 1) / ROWS_OF_TASK;
    g.mb = g.blocks_m ? round_up((g.m + g.blocks_m - 1) / g.blocks_m, MR) : 0;
    g.blocks_m = g.mb ? (g.m + g.mb - 1) / g.mb : 0;
    g.blocks_n = (g.n + PANELS_OF_TASK * NR - 1) / (PANELS_OF_TASK * NR);
    g.threads = (double)(g.m * g.n) * (double)g.k < SMALL_FLOPS ? 1 : cpu_threads();
    g.kept = HCT_HAS(p, steady) && p->steady >> 1 & 1 && g.n * g.k > 0;
    g.row_x = cpu_round((uint64_t)g.units * PER_UNIT) + GAP; /* no two rows a power of two apart */
    g.x = g.kept ? 0 : panels_bytes(&g);
    g.steps = g.x + cpu_round((uint64_t)g.m * g.row_x);
    g.scratch = g.steps + cpu_round((uint64_t)g.m * sizeof(float));
    g.scratch_bytes = cpu_round(sizeof(float) * PANELS_OF_TASK * NR * (ROWS_OF_TASK + MR));
    ret->workspace = g.scratch + g.scratch_bytes * (uint64_t)g.threads;
    ret->flags = HCT_DETERMINISTIC;
    if (g.kept) ret->packed = panels_bytes(&g), ret->packs = 1;
    *state = g;
    ret->state = state;
    return HCT_OK;
}

static hct_status pack_int8(const hct_plan *plan, hct_stream *s, const hct_view *in, const hct_view *packed,
                            hct_err *err) {
    (void)s, (void)err;
    const int8_plan *g = plan->state;
    const panels p = panels_at(g, hct_ptr(packed));
    int threads = (int)g->threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t n0 = 0; n0 < g->n; n0 += NR) pack_panel(g, hct_ptr(in), in->stride[0], n0, p);
    return HCT_OK;
}

RUN(run_int8) {
    UNUSED_RUN_ARGUMENTS;
    const int8_plan *g = p->state;
    char *base = hct_ptr(ws), *x = base + g->x;
    const panels w = panels_at(g, g->kept ? hct_ptr(&ws[1]) : base);
    float *steps = (float *)(base + g->steps);
    const real *from = hct_ptr(&in[0]), *bias = g->biased ? hct_ptr(&in[2]) : NULL;
    real *y = hct_ptr(out);
    int threads = (int)g->threads;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        if (!g->kept) {
#pragma omp for schedule(dynamic) nowait
            for (int64_t n0 = 0; n0 < g->n; n0 += NR)
                pack_panel(g, hct_ptr(&in[1]), in[1].stride[0], n0, panels_at(g, base));
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < g->m; i++)
            round_row(g, from + i * g->step_x, (uint8_t *)x + (uint64_t)i * g->row_x, &steps[i]);
        char *mine = base + g->scratch + (uint64_t)cpu_thread() * g->scratch_bytes;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < g->blocks_m * g->blocks_n; i++) block_task(g, w, x, steps, bias, y, i, mine);
    }
    return HCT_OK;
}

#if defined __AVX512VNNI__ /* beside the one without, which is registered too */
static const hct_kernel k_int8 = {.size = sizeof(hct_kernel),
                                  .name = "vnni:linear_int8:" REAL_TEXT,
                                  .op = "linear_int8",
                                  .backend = "cpu",
                                  .dtypes = 1u << REAL_DTYPE,
                                  .priority = 210,
                                  .plan = plan_int8,
                                  .run = run_int8,
                                  .release = cpu_release,
                                  .pack = pack_int8};
#else
static const hct_kernel k_int8 = {FAST_FIELDS("linear_int8", plan_int8, run_int8), .pack = pack_int8};
#endif

const hct_kernel *const FAST(fast_int8)[] = {&k_int8, NULL};
