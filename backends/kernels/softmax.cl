/* Softmax, cross-entropy and masked squared error, with their backwards. */
#include "dialect.h"

/* exp is the dear part: F32 keeps it in y until the sum is known; in 16 bits that would round twice. */
KERNEL(softmax)(MEM(y), MEM(x), i64 step, i64 c) {
    SCRATCH;
    GLOBAL const real *x = AT(real, x) + ROW * step;
    GLOBAL real *y = AT(real, y) + ROW * c;
    float top = GROUP_MAX(row_top(x, c));
#ifdef REAL_F32
    float s = 0;
    vec v = VSET(0.0f);
    FOR_REST(i, c) {
        float e = kexp(ld(x, i) - top);
        st(y, i, e);
        s += e;
    }
    FOR_VECTORS(i, c) {
        vec e = vexp(vld(x + i) - top);
        vst(y + i, e);
        v += e;
    }
    float inv = 1.0f / GROUP_SUM(s + vsum(v));
    FOR_VECTORS(i, c) vst(y + i, vld(y + i) * inv);
    FOR_REST(i, c) st(y, i, ld(y, i) * inv);
#else
    float inv = 1.0f / GROUP_SUM(row_exps(x, c, top));
    FOR_VECTORS(i, c) vst(y + i, vexp(vld(x + i) - top) * inv);
    FOR_REST(i, c) st(y, i, kexp(ld(x, i) - top) * inv);
#endif
}

KERNEL(softmax_bwd)(MEM(dx), MEM(y), MEM(dy), i64 step, i64 dy_step, i64 c) {
    SCRATCH;
    GLOBAL const real *y = AT(real, y) + ROW * step, *g = AT(real, dy) + ROW * dy_step;
    GLOBAL real *dx = AT(real, dx) + ROW * c;
    float dot = 0;
    vec v = VSET(0.0f);
    FOR_REST(i, c) dot += ld(y, i) * ld(g, i);
    FOR_VECTORS(i, c) v = vmad(vld(y + i), vld(g + i), v);
    dot = GROUP_SUM(dot + vsum(v));
    FOR_VECTORS(i, c) vst(dx + i, vld(y + i) * (vld(g + i) - dot));
    FOR_REST(i, c) st(dx, i, ld(y, i) * (ld(g, i) - dot));
}

/* ---- cross-entropy without its softmax in memory: lse and loss of each row, then the mean ---- */

/* All n rows in one group, mean and all: for the few rows that most losses have. */
KERNEL(cross_entropy)(MEM(y), MEM(lse), MEM(x), MEM(target), MEM(status), i64 n, i64 step, i64 c, i64 target_step) {
    SCRATCH;
    float loss = 0;
    for (i64 r = 0; r < n; r++) {
        GLOBAL const real *x = AT(real, x) + r * step;
        float top = -INFINITY, s = 0;
        for (i64 i = LANE; i < c; i += GROUP) top = MAXF(top, ld(x, i));
        top = GROUP_MAX(top);
        for (i64 i = LANE; i < c; i += GROUP) s += kexp(ld(x, i) - top);
        s = GROUP_SUM(s);
        i32 t = AT(i32, target)[r * target_step], valid = t >= 0 && t < c;
        if (valid) loss += (top - ld(x, t)) + LOGF(s);
        if (LANE != 0) continue;
        AT(float, lse)[r] = top + LOGF(s);
        if (!valid) FAIL(AT(i32, status), 2, t);
    }
    if (LANE == 0) st(AT(real, y), 0, loss / (float)n);
}

KERNEL(cross_entropy_rows)(MEM(loss), MEM(lse), MEM(x), MEM(target), MEM(status), i64 step, i64 c, i64 target_step) {
    SCRATCH;
    GLOBAL const real *x = AT(real, x) + ROW * step;
    float top = GROUP_MAX(row_top(x, c));
    float s = GROUP_SUM(row_exps(x, c, top));
    if (LANE != 0) return;
    i32 t = AT(i32, target)[ROW * target_step];
    float lse = top + LOGF(s);
    AT(float, lse)[ROW] = lse;
    if (t < 0 || t >= c) {
        FAIL(AT(i32, status), 2, t);
        AT(float, loss)[ROW] = 0;
    } else {
        AT(float, loss)[ROW] = (top - ld(x, t)) + LOGF(s);
    }
}

/* y[0] = factor * sum of n floats / (m given: sum of m's n floats). */
KERNEL(mean_of)(MEM(y), MEM(terms), i64 n, float factor, i32 divide, MEM(m)) {
    SCRATCH;
    float s = 0, d = 0;
    for (i64 i = LANE; i < n; i += GROUP) {
        s += AT(float, terms)[i];
        if (divide) d += AT(float, m)[i];
    }
    s = GROUP_SUM(s);
    d = GROUP_SUM(d);
    if (LANE == 0) st(AT(real, y), 0, divide ? s * factor / d : s * factor);
}

KERNEL(cross_entropy_bwd)
(MEM(dx), MEM(x), MEM(target), MEM(lse), MEM(dloss), i64 step, i64 target_step, i64 c, float inv_n) {
    GLOBAL const real *x = AT(real, x) + ROW * step;
    GLOBAL real *dx = AT(real, dx) + ROW * c;
    i32 t = AT(i32, target)[ROW * target_step];
    float lse = AT(float, lse)[ROW], g = ld(AT(real, dloss), 0) * inv_n;
    for (i64 i = LANE; i < c; i += GROUP) st(dx, i, g * (kexp(ld(x, i) - lse) - (i == t ? 1.0f : 0.0f)));
}

/* ---- masked squared error; masks are contiguous ---- */

KERNEL(mse_rows)(MEM(loss), MEM(weight), MEM(a), MEM(b), MEM(mask), i64 a_step, i64 b_step, i64 n) {
    SCRATCH;
    GLOBAL const real *a = AT(real, a) + ROW * a_step, *b = AT(real, b) + ROW * b_step;
    vec v = VSET(0.0f);
    FOR_VECTORS(i, n) {
        vec d = vld(a + i) - vld(b + i);
        v = vmad(d, d, v);
    }
    float s = vsum(v);
    FOR_REST(i, n) {
        float d = ld(a, i) - ld(b, i);
        s += d * d;
    }
    s = GROUP_SUM(s);
    if (LANE != 0) return;
    float m = ld(AT(real, mask), ROW);
    AT(float, loss)[ROW] = m == 0 ? 0.0f : m * s / (float)n;
    AT(float, weight)[ROW] = m;
}

/* scale[0] = 2 dloss / (n sum of mask) */
KERNEL(mse_scale)(MEM(scale), MEM(mask), MEM(dloss), i64 rows, i64 n) {
    SCRATCH;
    float s = 0;
    for (i64 i = LANE; i < rows; i += GROUP) s += ld(AT(real, mask), i);
    s = GROUP_SUM(s);
    if (LANE == 0) AT(float, scale)[0] = 2.0f * ld(AT(real, dloss), 0) / ((float)n * s);
}
KERNEL(mse_bwd)(MEM(dx), MEM(a), MEM(b), MEM(mask), MEM(scale), i64 a_step, i64 b_step, i64 n) {
    GLOBAL const real *a = AT(real, a) + ROW * a_step, *b = AT(real, b) + ROW * b_step;
    GLOBAL real *dx = AT(real, dx) + ROW * n;
    float m = AT(float, scale)[0] * ld(AT(real, mask), ROW);
    FOR_VECTORS(i, n) vst(dx + i, (vld(a + i) - vld(b + i)) * m);
    FOR_REST(i, n) st(dx, i, m * (ld(a, i) - ld(b, i)));
}
