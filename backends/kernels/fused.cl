/* Bias + GELU, residual + layer norm, and their backwards: one pass where separate kernels would take two or three. */
#include "dialect.h"

KERNEL(bias_gelu)(MEM(y), MEM(x), MEM(b), i64 step, i64 c) {
    GLOBAL const real *x = AT(real, x) + ROW * step, *b = AT(real, b);
    GLOBAL real *y = AT(real, y) + ROW * c;
    FOR_VECTORS(i, c) {
        vec z = vld(x + i) + vld(b + i);
        vst(y + i, z * vphi(z, vexp(z * z * -0.5f)));
    }
    FOR_REST(i, c) st(y, i, kgelu(ld(x, i) + ld(b, i)));
}

/* Work-item e: VW columns of part s of the rows: dx, and partial [parts][c] = sums of dx. */
KERNEL(bias_gelu_bwd)(MEM(dx), MEM(partial), MEM(x), MEM(b), MEM(dy), i64 step, i64 dy_step, i64 rows, i64 c, i64 part, EACH_ARGS) {
    EACH(e);
    i64 strips = (c + VW - 1) / VW, col = e % strips * VW, s = e / strips, first = s * part, last = first + part < rows ? first + part : rows;
    GLOBAL const real *x = AT(real, x) + col, *b = AT(real, b) + col, *g = AT(real, dy) + col;
    GLOBAL real *dx = AT(real, dx) + col;
    GLOBAL float *sums = AT(float, partial) + s * c + col;
    if (col + VW <= c) {
        vec bias = vld(b), sum = VSET(0.0f);
        for (i64 r = first; r < last; r++) {
            vec z = vld(x + r * step) + bias, exponential = vexp(z * z * -0.5f);
            vec d = vld(g + r * dy_step) * vmad(z * INV_SQRT_2PI, exponential, vphi(z, exponential));
            vst(dx + r * c, d);
            sum += d;
        }
        vstf(sums, sum);
    } else {
        for (i64 j = 0; j < c - col; j++) {
            float sum = 0;
            for (i64 r = first; r < last; r++) {
                float d = ld(g, r * dy_step + j) * kgelu_slope(ld(x, r * step + j) + ld(b, j));
                st(dx, r * c + j, d);
                sum += d;
            }
            sums[j] = sum;
        }
    }
}

/* s = x + h as it is stored; y, mean and rstd of that. */
KERNEL(add_layer_norm)(MEM(s), MEM(y), MEM(mean), MEM(rstd), MEM(x), MEM(h), MEM(w), MEM(b), i64 step, i64 h_step, i64 c, float eps) {
    SCRATCH;
    GLOBAL const real *x = AT(real, x) + ROW * step, *h = AT(real, h) + ROW * h_step, *w = AT(real, w), *b = AT(real, b);
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
    v = VSET(0.0f);
    FOR_VECTORS(i, c) {
        vec d = vld(s + i) - mean;
        v = vmad(d, d, v);
    }
    sum = vsum(v);
    FOR_REST(i, c) {
        float d = ld(s, i) - mean;
        sum += d * d;
    }
    float rstd = 1.0f / SQRTF(GROUP_SUM(sum) / (float)c + eps);
    FOR_VECTORS(i, c) vst(y + i, vmad((vld(s + i) - mean) * rstd, vld(w + i), vld(b + i)));
    FOR_REST(i, c) st(y, i, (ld(s, i) - mean) * rstd * ld(w, i) + ld(b, i));
    if (LANE == 0) {
        AT(float, mean)[ROW] = mean;
        AT(float, rstd)[ROW] = rstd;
    }
}

/* dx = ds + the gradient through the norm. */
KERNEL(add_layer_norm_bwd)(MEM(dx), MEM(x), MEM(w), MEM(mean), MEM(rstd), MEM(dy), MEM(ds), i64 step, i64 dy_step, i64 ds_step, i64 c) {
    SCRATCH;
    GLOBAL const real *x = AT(real, x) + ROW * step, *g = AT(real, dy) + ROW * dy_step, *beside = AT(real, ds) + ROW * ds_step, *w = AT(real, w);
    GLOBAL real *dx = AT(real, dx) + ROW * c;
    float mean = AT(float, mean)[ROW], rstd = AT(float, rstd)[ROW];
    vec vs = VSET(0.0f), vd = VSET(0.0f);
    FOR_VECTORS(i, c) {
        vec gw = vld(g + i) * vld(w + i);
        vs += gw;
        vd = vmad(gw, (vld(x + i) - mean) * rstd, vd);
    }
    float s = vsum(vs), d = vsum(vd);
    FOR_REST(i, c) {
        float gw = ld(g, i) * ld(w, i);
        s += gw;
        d += gw * ((ld(x, i) - mean) * rstd);
    }
    s = GROUP_SUM(s) / (float)c;
    d = GROUP_SUM(d) / (float)c;
    FOR_VECTORS(i, c) vst(dx + i, (vld(g + i) * vld(w + i) - s - (vld(x + i) - mean) * rstd * d) * rstd + vld(beside + i));
    FOR_REST(i, c) st(dx, i, rstd * (ld(g, i) * ld(w, i) - s - (ld(x, i) - mean) * rstd * d) + ld(beside, i));
}
