/* Block products of bfloat16 by the processor's own instruction (AVX512_BF16): see gemm.h. */
#include "gemm.h"

#if PAIRS

/* ---- packing ---- */

/* n pairs of neighbours from two rows; odd NULL: 0. */
ALWAYS void interleave(uint32_t *out, const real *even, const real *odd, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        __m512i v = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(even + i)));
        if (odd)
            v = _mm512_or_si512(v, _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(odd + i))),
                                                     16));
        _mm512_storeu_si512(out + i, v);
    }
    for (; i + 4 <= n; i += 4) {
        __m128i v = _mm_cvtepu16_epi32(_mm_loadl_epi64((const void *)(even + i)));
        if (odd) v = _mm_or_si128(v, _mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64((const void *)(odd + i))), 16));
        _mm_storeu_si128((void *)(out + i), v);
    }
    for (; i < n; i++) out[i] = even[i] | (odd ? (uint32_t)odd[i] << 16 : 0);
}

/* One group of `many` lines (at most width): out [(k + 1) / 2][width] pairs, the rest of each row 0. */
ALWAYS void pack_group(uint32_t *out, const int width, const real *x, int64_t line, int64_t step, int64_t many,
                       int64_t k) {
    int64_t units = (k + 1) / 2, done = 0;
    if (line == 1) {
        for (int64_t u = 0; u < units; u++)
            interleave(out + u * width, x + 2 * u * step, 2 * u + 1 < k ? x + (2 * u + 1) * step : NULL, many);
        done = many;
    } else if (step == 1) { /* a pair lies as it is wanted: 4-byte units are turned */
        for (; done + 8 <= many; done += 8) {
            const real *from = x + done * line;
            int64_t u = 0;
            for (; 2 * u + 16 <= k; u += 8) {
                __m256 r[8];
                for (int i = 0; i < 8; i++)
                    r[i] = _mm256_castsi256_ps(_mm256_loadu_si256((const void *)(from + i * line + 2 * u)));
                transpose8(out + u * width + done, width, r);
            }
            for (; u < units; u++)
                for (int i = 0; i < 8; i++)
                    interleave(out + u * width + done + i, from + i * line + 2 * u,
                               2 * u + 1 < k ? from + i * line + 2 * u + 1 : NULL, 1);
        }
    }
    for (int64_t u = 0; u < units; u++) {
        for (int64_t i = done; i < many; i++) {
            const real *at = x + i * line + 2 * u * step;
            interleave(out + u * width + i, at, 2 * u + 1 < k ? at + step : NULL, 1);
        }
        for (int64_t i = many; i < width; i++) out[u * width + i] = 0;
    }
}

void FAST(pack_b_pairs)(void *out, const real *b, int64_t row, int64_t col, int64_t k, int64_t n, int64_t n0,
                        int64_t n1) {
    for (int64_t j = n0; j < n1; j += NR)
        pack_group((uint32_t *)out + j * ((k + 1) / 2), NR, b + j * col, col, row, at_most(NR, n - j), k);
}

void FAST(pack_a_pairs)(void *out, const real *a, int64_t row, int64_t col, int64_t m, int64_t k) {
    for (int64_t i = 0; i < m; i += MR)
        pack_group((uint32_t *)out + i * ((k + 1) / 2), MR, a + i * row, row, col, at_most(MR, m - i), k);
}

/* ---- the product ---- */

ALWAYS vf broadcast(const char *p) {
    int32_t unit;
    memcpy(&unit, p, sizeof unit);
    return _mm512_castsi512_ps(_mm512_set1_epi32(unit));
}
#define BROADCAST(p) broadcast(p)
#define DOT(a, b, c) _mm512_dpbf16_ps(c, (__m512bh)(a), (__m512bh)(b))
#include "tile.h"

void FAST(multiply_pairs)(const block_product *g) {
    const int64_t unit = 2 * sizeof(real), row = g->row_a * (int64_t)sizeof(real);
    for (int64_t j = 0; j < g->n; j += NR)
        for (int64_t i = 0; i < g->m; i += MR) {
            if (g->row_a) tile_at(g, i, j, i * row, row, unit);
            else tile_at(g, i, j, i * g->k * unit, unit, MR * unit);
        }
}

#endif
