/* Elementwise kernels in f16 arithmetic, VW numbers a work-item, for operands without gaps: half the memory's words
 * and instructions of elementwise.cl's. Sums, differences and products have the very bits that f32 arithmetic
 * rounded to f16 gives (24 >= 2 * 11 + 2 digits). Not here: GELU, whose Phi loses its digits in f16, and matrix
 * products, whose terms leave f16's range. */
#include "dialect.h"

#define HALF_BINARY(name, OP)                                                                                          \
    KERNEL(name)(MEM(y), MEM(a), MEM(b), i64 n, EACH_ARGS) {                                                           \
        EACH(strip);                                                                                                   \
        GLOBAL const f16 *a = AT(f16, a), *b = AT(f16, b);                                                             \
        GLOBAL f16 *y = AT(f16, y);                                                                                    \
        i64 i = strip * VW;                                                                                            \
        if (i + VW <= n) hst(y + i, hld(a + i) OP hld(b + i));                                                         \
        else                                                                                                           \
            for (; i < n; i++) y[i] = a[i] OP b[i];                                                                    \
    }

HALF_BINARY(half_add, +)
HALF_BINARY(half_sub, -)
HALF_BINARY(half_mul, *)

/* y = factor a + plus; both are f16 numbers. */
KERNEL(half_scale)(MEM(y), MEM(a), float factor, float plus, i64 n, EACH_ARGS) {
    EACH(strip);
    GLOBAL const f16 *a = AT(f16, a);
    GLOBAL f16 *y = AT(f16, y);
    f16 f = H16(factor), g = H16(plus);
    i64 i = strip * VW;
    if (i + VW <= n) hst(y + i, hmad(hld(a + i), HSET(f), HSET(g)));
    else
        for (; i < n; i++) y[i] = hmad(a[i], f, g);
}
