/* Elements of the types that the device computes with, as doubles. */
#include "device.h"

#include "hct/half.h"

size_t number_bytes(number n) {
    return n == NUMBER_F64 ? 8 : n == NUMBER_F32 || n == NUMBER_I32 ? 4 : n == NUMBER_BOOL ? 1 : 2;
}

double number_get(const void *at, int64_t i, number n) {
    switch (n) {
    case NUMBER_F32: return (double)((const float *)at)[i];
    case NUMBER_F64: return ((const double *)at)[i];
    case NUMBER_BF16: return (double)hct_f32_from_bf16(((const uint16_t *)at)[i]);
    case NUMBER_F16: return (double)hct_f32_from_f16(((const uint16_t *)at)[i]);
    case NUMBER_I32: return ((const int32_t *)at)[i];
    default: return ((const unsigned char *)at)[i] != 0;
    }
}

/* To a 16-bit format by way of float, rounded to odd there (Boldo and Melquiond, 2008), so that rounding twice gives
 * what rounding once would. */
static float to_odd(double v) {
    float f = (float)v;
    uint32_t u = hct_bits_of_f32(f);
    if (!(v == v) || (double)f == v || (u & 0x7f800000u) == 0x7f800000u) return f;
    if (u & 1) return f;
    int away =
        (f < 0 ? -(double)f : (double)f) > (v < 0 ? -v : v); /* rounded away from zero: step back to the odd one */
    return hct_f32_of_bits(away ? u - 1 : u + 1);
}

void number_set(void *at, int64_t i, number n, double v) {
    switch (n) {
    case NUMBER_F32: ((float *)at)[i] = (float)v; break;
    case NUMBER_F64: ((double *)at)[i] = v; break;
    case NUMBER_BF16: ((uint16_t *)at)[i] = hct_bf16_from_f32(to_odd(v)); break;
    case NUMBER_F16: ((uint16_t *)at)[i] = hct_f16_from_f32(to_odd(v)); break;
    case NUMBER_I32: ((int32_t *)at)[i] = (int32_t)v; break;
    default: ((unsigned char *)at)[i] = v != 0; break;
    }
}
