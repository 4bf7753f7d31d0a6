/* hct/half.h: float32 from and to the two 16-bit formats, in one place for files, backends and tests.
 *
 * IEEE 754 binary16 (f16: 1 sign, 5 exponent, 10 fraction bits) and bfloat16 (the upper half of a float32).
 * Narrowing rounds to nearest, ties to even; NaN stays NaN, too large becomes infinity, subnormals are kept.
 */
#ifndef HCT_HALF_H
#define HCT_HALF_H

#include <stdint.h>
#include <string.h>

static inline float hct_f32_of_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t hct_bits_of_f32(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float hct_f32_from_bf16(uint16_t h) { return hct_f32_of_bits((uint32_t)h << 16); }

static inline uint16_t hct_bf16_from_f32(float f) {
    uint32_t u = hct_bits_of_f32(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40); /* NaN: keep it one, quiet */
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

static inline float hct_f32_from_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ffu;
    if (exponent == 0) { /* zero and subnormals: fraction * 2^-24, exact in float32 */
        float f = (float)fraction * (1.0f / 16777216.0f);
        return sign ? -f : f;
    }
    if (exponent == 31) return hct_f32_of_bits(sign | 0x7f800000u | fraction << 13);
    return hct_f32_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t hct_f16_from_f32(float f) {
    uint32_t u = hct_bits_of_f32(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff)); /* NaN */
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00);                    /* 65520 and more: infinity */
    if (a >= 0x38800000u) {                                                    /* 2^-14 and more: normal */
        a += 0xfff + (a >> 13 & 1);
        return (uint16_t)(sign | ((a - 0x38000000u) >> 13));
    }
    if (a < 0x33000000u) return (uint16_t)sign; /* below 2^-25: zero */
    uint32_t fraction = (a & 0x7fffffu) | 0x800000u, shift = 126 - (a >> 23), kept = fraction >> shift;
    uint32_t rest = fraction & ((1u << shift) - 1), half = 1u << (shift - 1);
    kept += rest > half || (rest == half && (kept & 1));
    return (uint16_t)(sign | kept);
}

#endif
