/* tests/cuda/device/include/cuda_fp16.h: half precision as device kernels use it (dialect.h), on the host: conversions
 * round to nearest even, each operation is done in float and rounded once. */
#ifndef TESTS_CUDA_FP16_H
#define TESTS_CUDA_FP16_H

#include "hct/half.h"

struct __half {
    uint16_t bits;
};
struct __half2 {
    __half x, y;
};
static inline float __half2float(__half h) { return hct_f32_from_f16(h.bits); }
static inline __half __float2half_rn(float f) { return {hct_f16_from_f32(f)}; }
static inline __half __ushort_as_half(uint16_t bits) { return {bits}; }
static inline uint16_t __half_as_ushort(__half h) { return h.bits; }
#define EMU_HALF_OP(op)                                                                                                \
    static inline __half operator op(__half a, __half b) { return __float2half_rn(__half2float(a) op __half2float(b)); }
EMU_HALF_OP(+)
EMU_HALF_OP(-)
EMU_HALF_OP(*)
/* The product of two halfs is exact in float; so is the sum in double, but for its last bit. */
static inline __half __hfma(__half a, __half b, __half c) {
    return __float2half_rn((float)((double)__half2float(a) * __half2float(b) + __half2float(c)));
}
static inline __half2 __half2half2(__half a) { return {a, a}; }
static inline __half2 __halves2half2(__half a, __half b) { return {a, b}; }
static inline __half __low2half(__half2 a) { return a.x; }
static inline __half __high2half(__half2 a) { return a.y; }
static inline __half2 __hadd2(__half2 a, __half2 b) { return {a.x + b.x, a.y + b.y}; }
static inline __half2 __hsub2(__half2 a, __half2 b) { return {a.x - b.x, a.y - b.y}; }
static inline __half2 __hmul2(__half2 a, __half2 b) { return {a.x * b.x, a.y * b.y}; }
static inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
    return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}

#endif
