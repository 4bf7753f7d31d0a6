/* plugins/fastcpu/gemm.h: the block product that linear, matmul and attention are made of: C [m, n] (+)= A B in float.
 *
 * B is packed into panels of NR columns, [n / NR][k][NR], the last one filled with 0. A is read where it lies (or packed by
 * pack_a). A register tile of MR rows and NR columns of C is held while k runs. */
#ifndef FASTCPU_GEMM_H
#define FASTCPU_GEMM_H

#include "vec.h"

#if defined __AVX512F__
enum { MR = 12, NV = 2 };
#else
enum { MR = 6, NV = 2 };
#endif
enum { NR = NV * VL, KC = 256, MB = 96 };

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
    const float *a; /* packed by pack_a where row_a is 0 */
    int64_t row_a, col_a;
    const float *b; /* panels */
    int64_t step_b; /* floats from panel to panel; 0: k NR */
    float *c;       /* rows of round_up(n, NR) floats at least: whole tiles are written */
    int64_t row_c;
    int add;        /* C += */
} block_product;
void FAST(multiply)(const block_product *);

#endif
