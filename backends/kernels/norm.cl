/* Layer norm, batch norm over columns, L2 norm. Statistics in float. */
#include "dialect.h"

KERNEL(layer_norm)(MEM(y), MEM(mean), MEM(rstd), MEM(x), MEM(w), MEM(b), i64 step, i64 c, float eps) {
    SCRATCH;
    GLOBAL const real *x = AT(real, x) + ROW * step, *w = AT(real, w), *b = AT(real, b);
    GLOBAL real *y = AT(real, y) + ROW * c;
    float mean = GROUP_SUM(row_sum(x, c)) / (float)c;
    float rstd = 1.0f / SQRTF(GROUP_SUM(row_squares(x, c, mean)) / (float)c + eps);
    FOR_VECTORS(i, c) vst(y + i, vmad((vld(x + i) - mean) * rstd, vld(w + i), vld(b + i)));
    FOR_REST(i, c) st(y, i, (ld(x, i) - mean) * rstd * ld(w, i) + ld(b, i));
    if (LANE == 0) {
        AT(float, mean)[ROW] = mean;
        AT(float, rstd)[ROW] = rstd;
    }
}

/* ROW: part s of the rows, one after another: dx, and partial [parts][2][c] = sums of dy xhat and of dy; a work-item
 * keeps to its columns. with_ds: dx = ds + what comes through the norm. */
KERNEL(layer_norm_bwd)
(MEM(dx), MEM(partial), MEM(x), MEM(w), MEM(mean), MEM(rstd), MEM(dy), MEM(ds), i64 step, i64 dy_step, i64 ds_step,
 i64 rows, i64 c, i64 part, i32 with_ds) {
    SCRATCH;
    i64 first = ROW * part, last = first + part < rows ? first + part : rows;
    GLOBAL const real *w = AT(real, w);
    GLOBAL float *dw = AT(float, partial) + ROW * 2 * c, *db = dw + c;
    FOR_VECTORS(i, c) {
        vstf(dw + i, VSET(0.0f));
        vstf(db + i, VSET(0.0f));
    }
    FOR_REST(i, c) dw[i] = db[i] = 0;
    for (i64 r = first; r < last; r++) {
        GLOBAL const real *x = AT(real, x) + r * step, *g = AT(real, dy) + r * dy_step,
                          *beside = AT(real, ds) + r * ds_step;
        GLOBAL real *dx = AT(real, dx) + r * c;
        float mean = AT(float, mean)[r], rstd = AT(float, rstd)[r];
        vec vs = VSET(0.0f), vd = VSET(0.0f);
        FOR_VECTORS(i, c) {
            vec grad = vld(g + i), gw = grad * vld(w + i), xhat = (vld(x + i) - mean) * rstd;
            vs += gw;
            vd = vmad(gw, xhat, vd);
            vstf(dw + i, vmad(grad, xhat, vldf(dw + i)));
            vstf(db + i, vldf(db + i) + grad);
        }
        float s = vsum(vs), d = vsum(vd);
        FOR_REST(i, c) {
            float grad = ld(g, i), gw = grad * ld(w, i), xhat = (ld(x, i) - mean) * rstd;
            s += gw;
            d += gw * xhat;
            dw[i] += grad * xhat;
            db[i] += grad;
        }
        s = GROUP_SUM(s) / (float)c;
        d = GROUP_SUM(d) / (float)c;
        if (with_ds) {
            FOR_VECTORS(i, c)
            vst(dx + i, (vld(g + i) * vld(w + i) - s - (vld(x + i) - mean) * rstd * d) * rstd + vld(beside + i));
            FOR_REST(i, c) st(dx, i, rstd * (ld(g, i) * ld(w, i) - s - (ld(x, i) - mean) * rstd * d) + ld(beside, i));
        } else {
            FOR_VECTORS(i, c) vst(dx + i, (vld(g + i) * vld(w + i) - s - (vld(x + i) - mean) * rstd * d) * rstd);
            FOR_REST(i, c) st(dx, i, rstd * (ld(g, i) * ld(w, i) - s - (ld(x, i) - mean) * rstd * d));
        }
    }
}
#ifdef WARPS_OF_ROWS
/* The same in registers. Rows ROW SUBS + SUB and every `step_row`-th from there on. */
KERNEL(layer_norm_warps)
(MEM(y), MEM(mean), MEM(rstd), MEM(x), MEM(w), MEM(b), i64 step, i64 rows, i64 step_row, i64 c, float eps) {
    vec w[HELD_VECTORS], b[HELD_VECTORS], held[HELD_VECTORS];
    FOR_HELD(k, i) {
        w[k] = vld(AT(real, w) + i);
        b[k] = vld(AT(real, b) + i);
    }
    for (i64 r = ROW * SUBS + SUB; r < rows; r += step_row) {
        const real *x = AT(real, x) + r * step;
        real *y = AT(real, y) + r * c;
        vec v = VSET(0.0f);
        FOR_HELD(k, i) {
            held[k] = vld(x + i);
            v += held[k];
        }
        norm_held(y, AT(float, mean) + r, AT(float, rstd) + r, held, w, b, v, c, eps);
    }
}

/* ROW: part of the rows, its warps by turns; sums of dw and db in registers, then over the warps in their order. */
KERNEL(layer_norm_bwd_warps)
(MEM(dx), MEM(partial), MEM(x), MEM(w), MEM(mean), MEM(rstd), MEM(dy), MEM(ds), i64 step, i64 dy_step, i64 ds_step,
 i64 rows, i64 c, i64 part, i32 with_ds) {
    LOCAL float sums[2 * HELD_MOST];
    i64 first = ROW * part, last = first + part < rows ? first + part : rows;
    vec w[HELD_VECTORS], dw[HELD_VECTORS], db[HELD_VECTORS], gw[HELD_VECTORS], xhat[HELD_VECTORS];
    FOR_HELD(k, i) {
        w[k] = vld(AT(real, w) + i);
        dw[k] = db[k] = VSET(0.0f);
    }
    for (i64 r = first + SUB; r < last; r += SUBS) {
        const real *x = AT(real, x) + r * step, *g = AT(real, dy) + r * dy_step, *beside = AT(real, ds) + r * ds_step;
        real *dx = AT(real, dx) + r * c;
        float mean = AT(float, mean)[r], rstd = AT(float, rstd)[r];
        vec vs = VSET(0.0f), vd = VSET(0.0f);
        FOR_HELD(k, i) {
            vec grad = vld(g + i);
            gw[k] = grad * w[k];
            xhat[k] = (vld(x + i) - mean) * rstd;
            vs += gw[k];
            vd = vmad(gw[k], xhat[k], vd);
            dw[k] = vmad(grad, xhat[k], dw[k]);
            db[k] += grad;
        }
        float s = SUB_SUM(vsum(vs)) / (float)c, d = SUB_SUM(vsum(vd)) / (float)c;
        FOR_HELD(k, i) {
            vec to = (gw[k] - s - xhat[k] * d) * rstd;
            if (with_ds) to += vld(beside + i);
            vst(dx + i, to);
        }
    }
    for (i32 u = 0; u < SUBS; u++) {
        if (SUB == u) {
            FOR_HELD(k, i) {
                vstl(sums + i, u ? vldl(sums + i) + dw[k] : dw[k]);
                vstl(sums + c + i, u ? vldl(sums + c + i) + db[k] : db[k]);
            }
        }
        BARRIER();
    }
    for (i64 i = LANE; i < 2 * c; i += GROUP) AT(float, partial)[ROW * 2 * c + i] = sums[i];
}
#endif
KERNEL(layer_norm_bwd_last)(MEM(dw), MEM(db), MEM(partial), i64 c, i64 parts, EACH_ARGS) {
    EACH(i);
    GLOBAL const float *p = AT(float, partial) + i;
    float dw = 0, db = 0;
    for (i64 s = 0; s < parts; s++) {
        dw += p[s * 2 * c];
        db += p[s * 2 * c + c];
    }
    st(AT(real, dw), i, dw);
    st(AT(real, db), i, db);
}

/* ---- batch norm: one work-item a column of x [n, c] ---- */

KERNEL(batch_norm)(MEM(y), MEM(mean), MEM(rstd), MEM(var), MEM(x), i64 step, i64 n, i64 c, float eps, EACH_ARGS) {
    EACH(j);
    GLOBAL const real *x = AT(real, x) + j;
    float sum = 0, square = 0;
    for (i64 i = 0; i < n; i++) sum += ld(x, i * step);
    float m = sum / (float)n;
    for (i64 i = 0; i < n; i++) {
        float d = ld(x, i * step) - m;
        square += d * d;
    }
    float v = square / (float)n, k = 1.0f / SQRTF(v + eps);
    for (i64 i = 0; i < n; i++) st(AT(real, y), i * c + j, (ld(x, i * step) - m) * k);
    AT(float, mean)[j] = m;
    AT(float, rstd)[j] = k;
    AT(float, var)[j] = v;
}

KERNEL(batch_norm_bwd)(MEM(dx), MEM(x), MEM(mean), MEM(rstd), MEM(dy), i64 step, i64 dy_step, i64 n, i64 c, EACH_ARGS) {
    EACH(j);
    GLOBAL const real *x = AT(real, x) + j, *g = AT(real, dy) + j;
    float m = AT(float, mean)[j], k = AT(float, rstd)[j], sum = 0, dot = 0;
    for (i64 i = 0; i < n; i++) {
        float grad = ld(g, i * dy_step);
        sum += grad;
        dot += grad * ((ld(x, i * step) - m) * k);
    }
    sum /= (float)n;
    dot /= (float)n;
    for (i64 i = 0; i < n; i++)
        st(AT(real, dx), i * c + j, k * (ld(g, i * dy_step) - sum - (ld(x, i * step) - m) * k * dot));
}

/* r += momentum (factor s - r), in place. */
KERNEL(batch_norm_update)(MEM(r), MEM(s), i64 r_step, float momentum, float factor, EACH_ARGS) {
    EACH(j);
    float have = ld(AT(real, r), j * r_step);
    st(AT(real, r), j * r_step, have + momentum * (AT(float, s)[j] * factor - have));
}

/* ---- L2 norm ---- */

KERNEL(l2_normalize)(MEM(y), MEM(norm), MEM(x), i64 step, i64 c, float eps) {
    SCRATCH;
    GLOBAL const real *x = AT(real, x) + ROW * step;
    GLOBAL real *y = AT(real, y) + ROW * c;
    float norm = MAXF(SQRTF(GROUP_SUM(row_squares(x, c, 0.0f))), eps);
    FOR_VECTORS(i, c) vst(y + i, vld(x + i) / norm);
    FOR_REST(i, c) st(y, i, ld(x, i) / norm);
    if (LANE == 0) AT(float, norm)[ROW] = norm;
}

KERNEL(l2_normalize_bwd)(MEM(dx), MEM(y), MEM(norm), MEM(dy), i64 step, i64 dy_step, i64 c, float eps) {
    SCRATCH;
    GLOBAL const real *y = AT(real, y) + ROW * step, *g = AT(real, dy) + ROW * dy_step;
    GLOBAL real *dx = AT(real, dx) + ROW * c;
    float norm = AT(float, norm)[ROW];
    vec v = VSET(0.0f);
    FOR_VECTORS(i, c) v = vmad(vld(y + i), vld(g + i), v);
    float dot = vsum(v);
    FOR_REST(i, c) dot += ld(y, i) * ld(g, i);
    dot = GROUP_SUM(dot);
    if (norm <= eps) dot = 0; /* held at eps: a plain division */
    FOR_VECTORS(i, c) vst(dx + i, (vld(g + i) - vld(y + i) * dot) / norm);
    FOR_REST(i, c) st(dx, i, (ld(g, i) - ld(y, i) * dot) / norm);
}
