/* backends/cpu/gemm.h: C = alpha A B + bias for matrices with any strides, in float and double.
 *
 * Blocked as in Goto & van de Geijn (2008): panels of A and B are packed, a small tile of C is kept in registers.
 * The tile is plain C over compiler vectors, compiled for a few instruction sets and chosen at run time. */
#ifndef CPU_GEMM_H
#define CPU_GEMM_H

#include <stdint.h>

enum { GEMM_MC = 240, GEMM_KC = 256, GEMM_NC = 256 };

typedef struct gemm_tile_f32 {
    int mr, nr;
    void (*run)(int64_t k, const float *a, const float *b, float *c);
} gemm_tile_f32;
typedef struct gemm_tile_f64 {
    int mr, nr;
    void (*run)(int64_t k, const double *a, const double *b, double *c);
} gemm_tile_f64;
/* The best tile this processor runs. c [mr][nr] += a [k][mr]^T b [k][nr]. */
gemm_tile_f32 gemm_best_f32(void);
gemm_tile_f64 gemm_best_f64(void);

/* Bytes of scratch that one thread needs, 128-byte aligned. */
#define GEMM_SCRATCH(type) ((uint64_t)(GEMM_MC * GEMM_KC + GEMM_KC * GEMM_NC + GEMM_MC * GEMM_NC) * sizeof(type))

#define GEMM_DECLARE(suffix, elem, acc_)                                                                               \
    typedef struct gemm_##suffix {                                                                                     \
        int64_t m, n, k;                                                                                               \
        const elem *a, *b;                                                                                             \
        elem *c;                                                                                                       \
        acc_ *wide;                                       /* C as it was summed, instead of c; or NULL */              \
        int64_t row_a, col_a, row_b, col_b, row_c, col_c; /* strides: from row to row, from column to column */        \
        const elem *bias;                                 /* [n] or NULL */                                            \
        int64_t step_bias;                                                                                             \
        acc_ alpha;                                                                                                    \
    } gemm_##suffix;                                                                                                   \
    /* Blocks of C: gemm_block computes block i of gemm_blocks, in any order, on any thread. */                        \
    int64_t gemm_blocks_##suffix(const gemm_##suffix *);                                                               \
    void gemm_block_##suffix(const gemm_##suffix *, int64_t i, void *scratch);                                         \
    /* All of it on this thread. */                                                                                    \
    void gemm_serial_##suffix(const gemm_##suffix *, void *scratch);

GEMM_DECLARE(f32, float, float)
GEMM_DECLARE(f64, double, double)
GEMM_DECLARE(bf16, uint16_t, float)
GEMM_DECLARE(f16, uint16_t, float)

#endif
