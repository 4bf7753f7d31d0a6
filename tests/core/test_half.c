/* hct/half.h: all 65,536 patterns there and back, and rounding against exact arithmetic. */
#include <math.h>
#include <stdlib.h>

#include "check_main.h"
#include "hct/half.h"

/* The value of a binary16 pattern by its definition. */
static double f16_value(unsigned h) {
    double sign = h & 0x8000 ? -1 : 1;
    int exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return exponent ? sign * ldexp(1024 + fraction, exponent - 25) : sign * ldexp(fraction, -24);
}

START_TEST(every_pattern_round_trips) {
    for (unsigned h = 0; h < 65536; h++) {
        float f = hct_f32_from_f16((uint16_t)h);
        double want = f16_value(h);
        if (isnan(want)) {
            ck_assert(isnan(f));
            ck_assert(isnan(hct_f32_from_f16(hct_f16_from_f32(f))));
        } else {
            ck_assert_double_eq((double)f, want);
            ck_assert_int_eq(signbit(f) != 0, h >> 15);
            ck_assert_uint_eq(hct_f16_from_f32(f), h);
        }
        f = hct_f32_from_bf16((uint16_t)h);
        if (isnan(f)) ck_assert(isnan(hct_f32_from_bf16(hct_bf16_from_f32(f))));
        else ck_assert_uint_eq(hct_bf16_from_f32(f), h);
    }
}
END_TEST

/* Between any two neighbours: just below the middle goes down, the middle to the even one, just above goes up. */
START_TEST(rounds_to_nearest_even) {
    for (unsigned h = 0; h < 0x7c00; h++) {
        double low = f16_value(h), high = h == 0x7bff ? 65536 : f16_value(h + 1);
        float middle = (float)((low + high) / 2); /* exact: one more fraction bit */
        ck_assert_uint_eq(hct_f16_from_f32(middle), h & 1 ? h + 1 : h);
        ck_assert_uint_eq(hct_f16_from_f32(nextafterf(middle, 0)), h);
        ck_assert_uint_eq(hct_f16_from_f32(nextafterf(middle, INFINITY)), h + 1);
        ck_assert_uint_eq(hct_f16_from_f32(-middle), 0x8000 | (h & 1 ? h + 1 : h));
    }
    for (unsigned h = 0; h < 0x7f80; h++) {
        float middle = hct_f32_of_bits(h << 16 | 0x8000);
        ck_assert_uint_eq(hct_bf16_from_f32(middle), h & 1 ? h + 1 : h);
        ck_assert_uint_eq(hct_bf16_from_f32(hct_f32_of_bits(h << 16 | 0x7fff)), h);
        ck_assert_uint_eq(hct_bf16_from_f32(hct_f32_of_bits(h << 16 | 0x8001)), h + 1);
    }
}
END_TEST

START_TEST(large_and_special) {
    ck_assert_uint_eq(hct_f16_from_f32(1e30f), 0x7c00);
    ck_assert_uint_eq(hct_f16_from_f32(-INFINITY), 0xfc00);
    ck_assert_uint_eq(hct_f16_from_f32(1e-30f), 0);
    ck_assert_uint_eq(hct_bf16_from_f32(3.4e38f), 0x7f80);
    ck_assert(isnan(hct_f32_from_bf16(hct_bf16_from_f32(hct_f32_of_bits(0x7f800001)))));
    ck_assert(isnan(hct_f32_from_f16(hct_f16_from_f32(hct_f32_of_bits(0xff800001)))));
}
END_TEST

CHECK_MAIN("half", every_pattern_round_trips, rounds_to_nearest_even, large_and_special)
