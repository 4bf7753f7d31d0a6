/* Elementwise kernels: contiguous ones, and *_strided over a walk. Out may lie on an input. */
#include "dialect.h"

#define BINARY(name, EXPR)                                                                                             \
    KERNEL(name)(MEM(y), MEM(a), MEM(b), EACH_ARGS) {                                                                  \
        EACH(i);                                                                                                       \
        float u = ld(AT(real, a), i), v = ld(AT(real, b), i);                                                          \
        st(AT(real, y), i, (EXPR));                                                                                    \
    }                                                                                                                  \
    KERNEL(name##_strided)(MEM(y), MEM(a), MEM(b), walk w, EACH_ARGS) {                                                \
        EACH(i);                                                                                                       \
        i64 at[3];                                                                                                     \
        walk_to(&w, i, 3, at);                                                                                         \
        float u = ld(AT(real, a), at[1]), v = ld(AT(real, b), at[2]);                                                  \
        st(AT(real, y), at[0], (EXPR));                                                                                \
    }

#define UNARY(name, EXPR)                                                                                              \
    KERNEL(name)(MEM(y), MEM(a), float f, float g, EACH_ARGS) {                                                        \
        EACH(i);                                                                                                       \
        float u = ld(AT(real, a), i);                                                                                  \
        st(AT(real, y), i, (EXPR));                                                                                    \
        (void)f, (void)g;                                                                                              \
    }                                                                                                                  \
    KERNEL(name##_strided)(MEM(y), MEM(a), float f, float g, walk w, EACH_ARGS) {                                      \
        EACH(i);                                                                                                       \
        i64 at[2];                                                                                                     \
        walk_to(&w, i, 2, at);                                                                                         \
        float u = ld(AT(real, a), at[1]);                                                                              \
        st(AT(real, y), at[0], (EXPR));                                                                                \
        (void)f, (void)g;                                                                                              \
    }

BINARY(add, u + v)
BINARY(sub, u - v)
BINARY(mul, u *v)
BINARY(gelu_bwd, v *kgelu_slope(u))
BINARY(relu_bwd, u > 0.0f ? v : 0.0f)
UNARY(scale, MAD(f, u, g))
UNARY(gelu, kgelu(u))
UNARY(relu, u < 0.0f ? 0.0f : u)
UNARY(rsqrt_eps, 1.0f / SQRTF(u + f))

/* GELU computes for longer than its numbers take to come: VW of n a work-item where one has a core to itself. */
KERNEL(gelu_strips)(MEM(y), MEM(a), i64 n, EACH_ARGS) {
    EACH(strip);
    GLOBAL const real *a = AT(real, a);
    GLOBAL real *y = AT(real, y);
    i64 i = strip * VW;
    if (i + VW <= n) vst(y + i, vgelu(vld(a + i)));
    else
        for (; i < n; i++) st(y, i, kgelu(ld(a, i)));
}
KERNEL(gelu_bwd_strips)(MEM(y), MEM(a), MEM(b), i64 n, EACH_ARGS) {
    EACH(strip);
    GLOBAL const real *a = AT(real, a), *b = AT(real, b);
    GLOBAL real *y = AT(real, y);
    i64 i = strip * VW;
    if (i + VW <= n) vst(y + i, vld(b + i) * vgelu_slope(vld(a + i)));
    else
        for (; i < n; i++) st(y, i, ld(b, i) * kgelu_slope(ld(a, i)));
}

/* ---- dropout: Philox 4x32-10 (Salmon et al. 2011), as hct/philox.h; element i takes word i % 4 of block i / 4 ---- */

FN void philox(u32 k0, u32 k1, u32 *c) {
    for (i32 round = 0; round < 10; round++) {
        u32 l0 = 0xD2511F53u * c[0], h0 = MUL_HI_U32(0xD2511F53u, c[0]), l1 = 0xCD9E8D57u * c[2],
            h1 = MUL_HI_U32(0xCD9E8D57u, c[2]);
        c[0] = h1 ^ c[1] ^ k0;
        c[1] = l1;
        c[2] = h0 ^ c[3] ^ k1;
        c[3] = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* drop: how many of the 2^32 words mean zero. x is contiguous, n elements. */
KERNEL(dropout)(MEM(y), MEM(x), MEM(rng), i64 rng_step, i64 stream, i64 drop, float keep, i64 n, EACH_ARGS) {
    EACH(b);
    GLOBAL const i32 *r = AT(i32, rng);
    u64 key = ((u64)(u32)r[0] | (u64)(u32)r[rng_step] << 32) ^ (u64)stream * 0x9E3779B97F4A7C15ul;
    u32 c[4];
    c[0] = (u32)b;
    c[1] = (u32)(b >> 32);
    c[2] = (u32)r[2 * rng_step];
    c[3] = (u32)r[3 * rng_step];
    philox((u32)key, (u32)(key >> 32), c);
    for (i32 j = 0; j < 4 && 4 * b + j < n; j++) {
        float v = ld(AT(real, x), 4 * b + j);
        st(AT(real, y), 4 * b + j, (i64)c[j] < drop ? 0.0f : v * keep);
    }
}
