/* Blocked matrix products of small tiles for this processor. */
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

/* One group of `many` lines (at most width): out [k][width], the rest of each row 0. */
ALWAYS void pack_group(float *out, const int width, const real *x, int64_t line, int64_t step, int64_t many,
                       int64_t k) {
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
            for (; p + 8 <= k; p += 8) {
                __m256 r[8];
                for (int i = 0; i < 8; i++) r[i] = ld8(x + (done + i) * line + p);
                transpose8(out + p * width + done, width, r);
            }
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

/* ---- the product ---- */

#define BROADCAST(p) vset(*(const float *)(p))
#define DOT(a, b, c) vfma(a, b, c)
#include "tile.h"

void FAST(multiply)(const block_product *g) {
    const int64_t unit = sizeof(float), row = g->row_a * unit, col = g->col_a * unit;
    for (int64_t j = 0; j < g->n; j += NR)
        for (int64_t i = 0; i < g->m; i += MR) {
            if (!g->row_a) tile_at(g, i, j, i * g->k * unit, unit, MR * unit);
            else if (g->row_a == 1) tile_at(g, i, j, i * unit, unit, col);
            else if (g->col_a == 1) tile_at(g, i, j, i * row, row, unit);
            else tile_at(g, i, j, i * row, row, col);
        }
}
