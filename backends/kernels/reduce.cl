/* Sums. Two stages where a sum is long: partial sums of `part` terms each in float, then their sum; the parts do not
 * depend on the device. */
#include "dialect.h"

/* y[r] = sum of x's row r; rows lie `step` apart. */
KERNEL(sum_rows)(MEM(y), MEM(x), i64 step, i64 c) {
    SCRATCH;
    GLOBAL const real *x = AT(real, x) + ROW * step;
    float s = GROUP_SUM(row_sum(x, c));
    if (LANE == 0) st(AT(real, y), ROW, s);
}

/* partial[p] = sum of x[p part, (p + 1) part) below n, in float. */
KERNEL(sum_parts)(MEM(partial), MEM(x), i64 n, i64 part) {
    SCRATCH;
    i64 first = ROW * part, c = n - first < part ? n - first : part;
    GLOBAL const real *x = AT(real, x) + first;
    float s = GROUP_SUM(row_sum(x, c));
    if (LANE == 0) AT(float, partial)[ROW] = s;
}

/* y[0] = sum of n partial sums. */
KERNEL(sum_last)(MEM(y), MEM(partial), i64 n) {
    SCRATCH;
    GLOBAL const float *p = AT(float, partial);
    float s = 0;
    for (i64 i = LANE; i < n; i += GROUP) s += p[i];
    s = GROUP_SUM(s);
    if (LANE == 0) st(AT(real, y), 0, s);
}

/* Columns: x [outer][gone][inner], strides so, sg, 1. Work-item e of EACH: VW columns of part s of outer o;
 * partial [outer][parts][inner] in float. */
KERNEL(sum_columns)(MEM(partial), MEM(x), i64 so, i64 sg, i64 gone, i64 inner, i64 parts, i64 part, EACH_ARGS) {
    EACH(e);
    i64 strips = (inner + VW - 1) / VW, strip = e % strips, rest = e / strips, s = rest % parts, o = rest / parts;
    i64 first = s * part, last = first + part < gone ? first + part : gone, col = strip * VW;
    GLOBAL const real *x = AT(real, x) + o * so + col;
    GLOBAL float *y = AT(float, partial) + rest * inner + col;
    if (col + VW <= inner) {
        vec v = VSET(0.0f);
        for (i64 g = first; g < last; g++) v += vld(x + g * sg);
        vstf(y, v);
    } else {
        for (i64 j = 0; j < inner - col; j++) {
            float v = 0;
            for (i64 g = first; g < last; g++) v += ld(x, g * sg + j);
            y[j] = v;
        }
    }
}

/* y [outer][inner] = sum over parts. */
KERNEL(sum_columns_last)(MEM(y), MEM(partial), i64 inner, i64 parts, EACH_ARGS) {
    EACH(i);
    i64 o = i / inner;
    GLOBAL const float *p = AT(float, partial) + o * parts * inner + (i - o * inner);
    float s = 0;
    for (i64 k = 0; k < parts; k++) s += p[k * inner];
    st(AT(real, y), i, s);
}
