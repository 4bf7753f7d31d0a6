/* Bias + GELU and its backward, residual + layer norm (whose backward is layer norm's): one pass where separate
 * kernels would take two or three. */
#include "dialect.h"

#if GROUP == 1
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
#else
/* ROW: a part of the rows; ROW_Y: GROUP VW columns; a work-item keeps to VW of them, whose bias and sums it holds. */
#define OWN_COLUMNS                                                                                                    \
    i64 first = ROW * part, last = first + part < rows ? first + part : rows, col = (ROW_Y * GROUP + LANE) * VW;       \
    i64 whole = col + VW <= c, end = c < col + VW ? c : col + VW;
KERNEL(bias_gelu)(MEM(y), MEM(x), MEM(b), i64 step, i64 rows, i64 c, i64 part) {
    OWN_COLUMNS
    GLOBAL const real *x = AT(real, x), *b = AT(real, b);
    GLOBAL real *y = AT(real, y);
    if (whole) {
        vec own = vld(b + col);
        for (i64 r = first; r < last; r++) vst(y + r * c + col, vgelu(vld(x + r * step + col) + own));
    } else {
        for (; col < end; col++)
            for (i64 r = first; r < last; r++) st(y, r * c + col, kgelu(ld(x, r * step + col) + ld(b, col)));
    }
}

/* dx, and partial [parts][c] = sums of dx. */
KERNEL(bias_gelu_bwd)
(MEM(dx), MEM(partial), MEM(x), MEM(b), MEM(dy), i64 step, i64 dy_step, i64 rows, i64 c, i64 part) {
    OWN_COLUMNS
    GLOBAL const real *x = AT(real, x), *b = AT(real, b), *g = AT(real, dy);
    GLOBAL real *dx = AT(real, dx);
    GLOBAL float *partial = AT(float, partial) + ROW * c;
    if (whole) {
        vec own = vld(b + col), sum = VSET(0.0f);
        for (i64 r = first; r < last; r++) {
            vec d = vld(g + r * dy_step + col) * vgelu_slope(vld(x + r * step + col) + own);
            vst(dx + r * c + col, d);
            sum += d;
        }
        vstf(partial + col, sum);
    } else {
        for (; col < end; col++) {
            float own = ld(b, col), sum = 0;
            for (i64 r = first; r < last; r++) {
                float d = ld(g, r * dy_step + col) * kgelu_slope(ld(x, r * step + col) + own);
                st(dx, r * c + col, d);
                sum += d;
            }
            partial[col] = sum;
        }
    }
}
#endif

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

#ifdef WARPS_OF_ROWS
/* The same, a warp a row, in registers. Rows ROW SUBS + SUB and every `step_row`-th from there on. */
KERNEL(add_layer_norm_warps)
(MEM(s), MEM(y), MEM(mean), MEM(rstd), MEM(x), MEM(h), MEM(w), MEM(b), i64 step, i64 h_step, i64 rows, i64 step_row,
 i64 c, float eps) {
    vec w[HELD_VECTORS], b[HELD_VECTORS], held[HELD_VECTORS];
    FOR_HELD(k, i) {
        w[k] = vld(AT(real, w) + i);
        b[k] = vld(AT(real, b) + i);
    }
    for (i64 r = ROW * SUBS + SUB; r < rows; r += step_row) {
        const real *x = AT(real, x) + r * step, *h = AT(real, h) + r * h_step;
        real *s = AT(real, s) + r * c, *y = AT(real, y) + r * c;
        vec v = VSET(0.0f);
        FOR_HELD(k, i) {
            held[k] = vstored(vld(x + i) + vld(h + i));
            vst(s + i, held[k]);
            v += held[k];
        }
        norm_held(y, AT(float, mean) + r, AT(float, rstd) + r, held, w, b, v, c, eps);
    }
}
#endif
