#include "gemm.h"

/* ---- packing ---- */

/* 8 lanes of AVX with AVX-512 too: what wider vectors would gain is lost in their longer shuffles. */
ALWAYS __m256 ld8(const real *p) {
#if defined REAL_F32
    return _mm256_loadu_ps(p);
#else
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16));
#endif
}
/* out[p * width + i] = line i, element p, for 8 lines and 8 elements. */
ALWAYS void transpose8(float *out, int64_t width, const real *x, int64_t line) {
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++) r[i] = ld8(x + i * line);
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(out + i * width, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(out + (i + 4) * width, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

/* One group of `many` lines (at most width): out [k][width], the rest of each row 0. */
ALWAYS void pack_group(float *out, const int width, const real *x, int64_t line, int64_t step, int64_t many, int64_t k) {
    if (line == 1 && many == width) { /* neighbours are in one vector already */
        for (int64_t p = 0; p < k; p++) {
            int i = 0;
            for (; i + VL <= width; i += VL) vstore(out + p * width + i, ld(x + p * step + i));
            for (; i < width; i++) out[p * width + i] = ld1(x[p * step + i]);
        }
        return;
    }
    int64_t done = 0;
    if (step == 1)
        for (; done + 8 <= many; done += 8) {
            int64_t p = 0;
            for (; p + 8 <= k; p += 8) transpose8(out + p * width + done, width, x + done * line + p, line);
            for (; p < k; p++)
                for (int64_t i = done; i < done + 8; i++) out[p * width + i] = ld1(x[i * line + p]);
        }
    if (done == width) return;
    for (int64_t p = 0; p < k; p++) {
        for (int64_t i = done; i < many; i++) out[p * width + i] = ld1(x[i * line + p * step]);
        for (int64_t i = many; i < width; i++) out[p * width + i] = 0;
    }
}

void FAST(pack_b)(float *out, const real *b, int64_t row, int64_t col, int64_t k, int64_t n, int64_t n0, int64_t n1) {
    for (int64_t j = n0; j < n1; j += NR) pack_group(out + j * k, NR, b + j * col, col, row, at_most(NR, n - j), k);
}

void FAST(pack_a)(float *out, const real *a, int64_t row, int64_t col, int64_t m, int64_t k) {
    for (int64_t i = 0; i < m; i += MR) pack_group(out + i * k, MR, a + i * row, row, col, at_most(MR, m - i), k);
}

/* ---- the register tile ---- */

/* rows of C; rs and cs are compile-time constants where they can be. */
ALWAYS void tile(const int rows, int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, float *c, int64_t row_c, int add) {
    vf t[MR][NV];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < NV; j++) t[i][j] = vzero();
#ifndef __SANITIZE_ADDRESS__ /* minutes of compiling there */
#pragma GCC unroll 4
#endif
    for (int64_t p = 0; p < k; p++, a += cs, b += NR) {
        vf bv[NV];
        for (int j = 0; j < NV; j++) bv[j] = vload(b + j * VL);
        for (int i = 0; i < rows; i++) {
            const vf av = vset(a[i * rs]);
            for (int j = 0; j < NV; j++) t[i][j] = vfma(av, bv[j], t[i][j]);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < NV; j++) {
            float *to = c + i * row_c + j * VL;
            vstore(to, add ? vadd(vload(to), t[i][j]) : t[i][j]);
        }
}

#define ROWS(n) \
    case n: tile(n, k, a, rs, cs, b, c, row_c, add); break;
#if defined __AVX512F__
#define FEWER_ROWS ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11)
#else
#define FEWER_ROWS ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5)
#endif

ALWAYS void tiles(int rows, int64_t k, const float *a, const int64_t rs, const int64_t cs, const float *b, float *c, int64_t row_c, int add) {
    switch (rows) {
        FEWER_ROWS
    default: tile(MR, k, a, rs, cs, b, c, row_c, add);
    }
}

void FAST(multiply)(const block_product *g) {
    int64_t step_b = g->step_b ? g->step_b : g->k * NR;
    for (int64_t j = 0; j < g->n; j += NR) {
        const float *b = g->b + j / NR * step_b;
        float *c = g->c + j;
        for (int64_t i = 0; i < g->m; i += MR) {
            int rows = (int)at_most(MR, g->m - i);
            float *to = c + i * g->row_c;
            if (!g->row_a) tiles(rows, g->k, g->a + i * g->k, 1, MR, b, to, g->row_c, g->add);
            else if (g->row_a == 1) tiles(rows, g->k, g->a + i, 1, g->col_a, b, to, g->row_c, g->add);
            else if (g->col_a == 1) tiles(rows, g->k, g->a + i * g->row_a, g->row_a, 1, b, to, g->row_c, g->add);
            else tiles(rows, g->k, g->a + i * g->row_a, g->row_a, g->col_a, b, to, g->row_c, g->add);
        }
    }
}
