/* Bias + GELU and its backward, residual + layer norm (whose backward is layer norm's): one pass where separate
 * kernels would take two or three. */
#include "dialect.h"

KERNEL(bias_gelu)(MEM(y), MEM(x), MEM(b), i64 step, i64 c) {
    GLOBAL const real *x = AT(real, x) + ROW * step, *b = AT(real, b);
    GLOBAL real *y = AT(real, y) + ROW * c;
    FOR_VECTORS(i, c) vst(y + i, vgelu(vld(x + i) + vld(b + i)));
    FOR_REST(i, c) st(y, i, kgelu(ld(x, i) + ld(b, i)));
}

/* ROW: a part of the rows, one after another: dx, and partial [parts][c] = sums of dx; a work-item keeps to its
 * columns. */
KERNEL(bias_gelu_bwd)
(MEM(dx), MEM(partial), MEM(x), MEM(b), MEM(dy), i64 step, i64 dy_step, i64 rows, i64 c, i64 part) {
    i64 first = ROW * part, last = first + part < rows ? first + part : rows;
    GLOBAL const real *b = AT(real, b);
    GLOBAL float *sum = AT(float, partial) + ROW * c;
    FOR_VECTORS(i, c) vstf(sum + i, VSET(0.0f));
    FOR_REST(i, c) sum[i] = 0;
    for (i64 r = first; r < last; r++) {
        GLOBAL const real *x = AT(real, x) + r * step, *g = AT(real, dy) + r * dy_step;
        GLOBAL real *dx = AT(real, dx) + r * c;
        FOR_VECTORS(i, c) {
            vec d = vld(g + i) * vgelu_slope(vld(x + i) + vld(b + i));
            vst(dx + i, d);
            vstf(sum + i, vldf(sum + i) + d);
        }
        FOR_REST(i, c) {
            float d = ld(g, i) * kgelu_slope(ld(x, i) + ld(b, i));
            st(dx, i, d);
            sum[i] += d;
        }
    }
}

/* s = x + h as it is stored; y, mean and rstd of that. */
KERNEL(add_layer_norm)
(MEM(s), MEM(y), MEM(mean), MEM(rstd), MEM(x), MEM(h), MEM(w), MEM(b), i64 step, i64 h_step, i64 c, float eps) {
    SCRATCH;
    GLOBAL const real *x = AT(real, x) + ROW * step, *h = AT(real, h) + ROW * h_step, *w = AT(real, w),
                      *b = AT(real, b);
    GLOBAL real *s = AT(real, s) + ROW * c, *y = AT(real, y) + ROW * c;
    vec v = VSET(0.0f);
    FOR_VECTORS(i, c) { /* a work-item reads below only what it wrote here */
        vst(s + i, vld(x + i) + vld(h + i));
        v += vld(s + i);
    }
    float sum = vsum(v);
    FOR_REST(i, c) {
        st(s, i, ld(x, i) + ld(h, i));
        sum += ld(s, i);
    }
    float mean = GROUP_SUM(sum) / (float)c;
    float rstd = 1.0f / SQRTF(GROUP_SUM(row_squares(s, c, mean)) / (float)c + eps);
    FOR_VECTORS(i, c) vst(y + i, vmad((vld(s + i) - mean) * rstd, vld(w + i), vld(b + i)));
    FOR_REST(i, c) st(y, i, (ld(s, i) - mean) * rstd * ld(w, i) + ld(b, i));
    if (LANE == 0) {
        AT(float, mean)[ROW] = mean;
        AT(float, rstd)[ROW] = rstd;
    }
}
