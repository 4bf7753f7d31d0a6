/* Kernels that move or convert elements, for any dtype: by bytes an element. */
#include "dialect.h"

#define MOVES(bits, type)                                                                                              \
    KERNEL(copy_##bits)(MEM(y), MEM(x), EACH_ARGS) {                                                                   \
        EACH(i);                                                                                                       \
        AT(type, y)[i] = AT(type, x)[i];                                                                               \
    }                                                                                                                  \
    KERNEL(copy_##bits##_strided)(MEM(y), MEM(x), walk w, EACH_ARGS) {                                                 \
        EACH(i);                                                                                                       \
        i64 at[2];                                                                                                     \
        walk_to(&w, i, 2, at);                                                                                         \
        AT(type, y)[at[0]] = AT(type, x)[at[1]];                                                                       \
    }                                                                                                                  \
    /* the same where the last axis lies together in both: a work-item a run; w is the walk over runs */               \
    KERNEL(copy_##bits##_runs)(MEM(y), MEM(x), walk w, i64 length, EACH_ARGS) {                                        \
        EACH(i);                                                                                                       \
        i64 at[2];                                                                                                     \
        walk_to(&w, i, 2, at);                                                                                         \
        GLOBAL const type *x = AT(type, x) + at[1];                                                                    \
        GLOBAL type *y = AT(type, y) + at[0];                                                                          \
        for (i64 j = 0; j < length; j++) y[j] = x[j];                                                                  \
    }                                                                                                                  \
    KERNEL(fill_##bits)(MEM(y), u64 value, EACH_ARGS) {                                                                \
        EACH(i);                                                                                                       \
        AT(type, y)[i] = (type)value;                                                                                  \
    }                                                                                                                  \
    /* out [B, K, C] = x[b, index[b, k]], strides of x and index */                                                    \
    KERNEL(gather_##bits)                                                                                              \
    (MEM(y), MEM(x), MEM(index), MEM(status), i64 k, i64 c, i64 tokens, i64 xb, i64 xl, i64 xc, i64 ib, i64 ik,        \
     EACH_ARGS) {                                                                                                      \
        EACH(i);                                                                                                       \
        i64 row = i / c, b = row / k;                                                                                  \
        i32 at = AT(i32, index)[b * ib + (row - b * k) * ik];                                                          \
        type v = 0;                                                                                                    \
        if (at >= 0 && at < tokens) v = AT(type, x)[b * xb + at * xl + (i - row * c) * xc];                            \
        else if (i == row * c) FAIL(AT(i32, status), 1, at);                                                           \
        AT(type, y)[i] = v;                                                                                            \
    }

MOVES(8, u8)
MOVES(16, u16)
MOVES(32, u32)
MOVES(64, u64)

/* ---- cast: dtypes by their numbers in hct/types.h. Integers go through 64 bits, reals through `wide`; towards
 * zero, held at the ends of the range, NaN becomes 0 ---- */

#ifdef HAVE_FP64
typedef double wide;
#else
typedef float wide;
#endif

FN wide cast_real(GLOBAL const char *p, i32 dtype, i64 i) {
    switch (dtype) {
    case 0: return ((GLOBAL const float *)p)[i];
#ifdef HAVE_FP64
    case 1: return ((GLOBAL const double *)p)[i];
#endif
    case 2: return f32_of_bf16(((GLOBAL const u16 *)p)[i]);
    default: return ld_f16((GLOBAL const u16 *)p, i);
    }
}
FN i64 cast_whole(GLOBAL const char *p, i32 dtype, i64 i) {
    switch (dtype) {
    case 4: return ((GLOBAL const i64 *)p)[i];
    case 5: return ((GLOBAL const i32 *)p)[i];
    case 6: return ((GLOBAL const i16 *)p)[i];
    case 7: return ((GLOBAL const i8 *)p)[i];
    default: return ((GLOBAL const u8 *)p)[i];
    }
}
FN void cast_put_real(GLOBAL char *p, i32 dtype, i64 i, wide v) {
    switch (dtype) {
    case 0: ((GLOBAL float *)p)[i] = (float)v; break;
#ifdef HAVE_FP64
    case 1: ((GLOBAL double *)p)[i] = v; break;
#endif
    case 2: ((GLOBAL u16 *)p)[i] = bf16_of_f32((float)v); break;
    default: st_f16((GLOBAL u16 *)p, i, (float)v);
    }
}
FN void cast_put_whole(GLOBAL char *p, i32 dtype, i64 i, i64 v) {
    i64 low = dtype == 5 ? -2147483647 - 1 : dtype == 6 ? -32768 : dtype == 7 ? -128 : 0;
    i64 high = dtype == 5 ? 2147483647 : dtype == 6 ? 32767 : dtype == 7 ? 127 : 255;
    if (dtype != 4) v = v < low ? low : v > high ? high : v;
    switch (dtype) {
    case 4: ((GLOBAL i64 *)p)[i] = v; break;
    case 5: ((GLOBAL i32 *)p)[i] = (i32)v; break;
    case 6: ((GLOBAL i16 *)p)[i] = (i16)v; break;
    case 7: ((GLOBAL i8 *)p)[i] = (i8)v; break;
    default: ((GLOBAL u8 *)p)[i] = (u8)v;
    }
}
FN i64 whole_of(wide v) {
    if (v != v) return 0;
    if (v <= (wide)-9223372036854775807.0f) return -9223372036854775807 - 1;
    return v >= (wide)9223372036854775807.0f ? 9223372036854775807 : (i64)v;
}

KERNEL(cast)(MEM(y), MEM(x), i32 to, i32 from, walk w, EACH_ARGS) {
    EACH(i);
    i64 at[2];
    walk_to(&w, i, 2, at);
    if (from >= 4) {
        i64 v = cast_whole(AT(char, x), from, at[1]);
        if (to >= 4) cast_put_whole(AT(char, y), to, at[0], v);
        else cast_put_real(AT(char, y), to, at[0], (wide)v);
    } else {
        wide v = cast_real(AT(char, x), from, at[1]);
        if (to >= 4) cast_put_whole(AT(char, y), to, at[0], whole_of(v));
        else cast_put_real(AT(char, y), to, at[0], v);
    }
}
