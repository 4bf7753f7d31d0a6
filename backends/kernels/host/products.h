/* backends/kernels/host/products.h: one matrix product among other launches. */
#ifndef HK_PRODUCTS_H
#define HK_PRODUCTS_H

#include "launch.h"

enum { HK_DIMS = 6 };

/* c [m, n] (row_c apart, columns together) = a b (+ bias [r step_bias_row + s step_bias]) (+ what is there);
 * gemm.cl's. */
typedef struct hk_gemm {
    int64_t m, n, k, row_a, col_a, row_b, col_b, row_c, step_bias_row, step_bias, tiles_n, batch_dims, dim[HK_DIMS],
        stride_a[HK_DIMS], stride_b[HK_DIMS], stride_c[HK_DIMS];
    int32_t has_bias, add;
} hk_gemm;

/* Whether the target's library has products of this dtype. */
static inline int hk_library_takes(const hk *b, int32_t dtype) { return (int)(b->target->library >> dtype & 1); }
/* By gemm.cl; bias: any operand where there is none. to_float: c is F32, whatever dtype a and b have. */
void hk_gemm_own(hk *, int32_t dtype, hk_gemm *, hk_ref c, hk_ref a, hk_ref b, hk_ref bias, int to_float);
/* By the library: c = a b + beta c (+ bias [n], where it is given and the target's library adds one); wide: c is F32,
 * from sums that were never rounded to less. 0, and nothing planned, where the matrices lie otherwise than it takes
 * them. */
int hk_gemm_library(hk *, const hk_gemm *, hk_ref c, hk_ref a, hk_ref b, float beta, const hk_ref *bias, int wide);

#endif
