/* plugins/fastcpu/gemm.h: the block product that linear, matmul and attention are made of: C [m, n] (+)= A B in
 * float.
 *
 * B is packed into panels of NR columns, [n / NR][k][NR], the last one filled with 0. A is read where it lies (or
 * packed by pack_a). A register tile of MR rows and NR columns of C is held while k runs. */
#ifndef FASTCPU_GEMM_H
#define FASTCPU_GEMM_H

#include "vec.h"

/* KC: units of k multiplied at once; MB, NB: rows and columns of C that a task takes. B's panel lies in the
 * first-level cache, A's block in the second. */
#if defined __AVX512F__
enum { MR = 12, NV = 2, KC = 256, MB = 192, NB = 384 };
#else
enum { MR = 6, NV = 2, KC = 256, MB = 96, NB = 768 };
#endif
enum { NR = NV * VL };

ALWAYS int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
ALWAYS int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* Floats of n columns of k elements in panels. */
ALWAYS int64_t packed_b(int64_t n, int64_t k) { return round_up(n, NR) * k; }
/* Panels of columns [n0, n1) of B [k, n], of any strides; n0 is a multiple of NR. out is where panel 0 begins. */
void FAST(pack_b)(float *out, const real *b, int64_t row, int64_t col, int64_t k, int64_t n, int64_t n0, int64_t n1);
/* A [m, k] in groups of MR rows, [m / MR][k][MR], the last one filled with 0. */
void FAST(pack_a)(float *out, const real *a, int64_t row, int64_t col, int64_t m, int64_t k);

typedef struct block_product {
    int64_t m, n, k;
    const void *a; /* floats; packed by pack_a where row_a is 0 */
    int64_t row_a, col_a;
    const void *b;  /* panels */
    int64_t step_b; /* floats from panel to panel; 0: k NR */
    float *c;       /* rows of round_up(n, NR) floats at least: whole tiles are written */
    int64_t row_c;
    int add; /* C += */
} block_product;
void FAST(multiply)(const block_product *);

/* The same where the processor multiplies bfloat16: two neighbours of k are one unit of 4 bytes, and k here counts
 * units. The last element of an odd k is followed by 0. Sums are float; numbers below 2^-126 count as 0 (so the
 * instruction works). */
#if defined REAL_BF16 && defined __AVX512BF16__
#define PAIRS 1
void FAST(pack_b_pairs)(void *out, const real *b, int64_t row, int64_t col, int64_t k, int64_t n, int64_t n0,
                        int64_t n1);
void FAST(pack_a_pairs)(void *out, const real *a, int64_t row, int64_t col, int64_t m, int64_t k);
/* a: bfloat16 in rows of row_a elements, even k and col_a 1; or packed by pack_a_pairs where row_a is 0. */
void FAST(multiply_pairs)(const block_product *);
#else
#define PAIRS 0
#endif

/* What the kernels multiply with, in units of UNIT elements; factor: an element of A that is read where it lies. */
#if PAIRS
enum { UNIT = 2 };
typedef real factor;
#define PACK_A FAST(pack_a_pairs)
#define PACK_B FAST(pack_b_pairs)
#define MULTIPLY FAST(multiply_pairs)
#else
enum { UNIT = 1 };
typedef float factor;
#define PACK_A FAST(pack_a)
#define PACK_B FAST(pack_b)
#define MULTIPLY FAST(multiply)
#endif
enum { KE = KC * UNIT }; /* elements of k multiplied at once */
ALWAYS int64_t units(int64_t k) { return (k + UNIT - 1) / UNIT; }

/* out[i * width + j] = lane i of r[j]: 8 lines of 8 elements turned. */
ALWAYS void transpose8(void *out, int64_t width, __m256 r[8]) {
    __m256 t[8];
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
        _mm256_storeu_ps((float *)out + i * width, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps((float *)out + (i + 4) * width, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

#endif
