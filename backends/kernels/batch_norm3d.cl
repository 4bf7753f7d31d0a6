/* Affine batch norm of contiguous x [batch][channels][size]. A group takes one part of a channel: `part` values of
 * one sample; parts are joined in order, mean and squared distance by Chan, Golub & LeVeque 1979. */
#include "dialect.h"

typedef struct channels {
    i64 batch, c, size, part, chunks; /* chunks: parts of one sample's channel */
    float eps;
    i32 fixed; /* the statistics given are mean and variance, and do not depend on x */
} channels;

/* ROW: channel, sample, chunk. */
#define PART_OF                                                                                                        \
    i64 chunk = ROW % z.chunks, sample = ROW / z.chunks % z.batch, ch = ROW / (z.chunks * z.batch),                    \
        start = chunk * z.part;                                                                                        \
    i64 base = (sample * z.c + ch) * z.size + start, n = z.size - start < z.part ? z.size - start : z.part;
#define RSTD(p, ch) (z.fixed ? 1.0f / SQRTF((p)[ch] + z.eps) : (p)[ch])

KERNEL(batch_norm3d_parts)(MEM(partial), MEM(x), channels z) {
    SCRATCH;
    PART_OF
    GLOBAL const real *x = AT(real, x) + base;
    float mean = GROUP_SUM(row_sum(x, n)) / (float)n, s = GROUP_SUM(row_squares(x, n, mean));
    if (LANE == 0) {
        AT(float, partial)[2 * ROW] = mean;
        AT(float, partial)[2 * ROW + 1] = s;
    }
}
KERNEL(batch_norm3d_last)(MEM(mean), MEM(rstd), MEM(var), MEM(partial), channels z, EACH_ARGS) {
    EACH(ch);
    GLOBAL const float *p = AT(float, partial) + 2 * ch * z.batch * z.chunks;
    float mean = 0, square = 0, count = 0;
    for (i64 s = 0; s < z.batch * z.chunks; s++) {
        i64 start = s % z.chunks * z.part;
        float n = (float)(z.size - start < z.part ? z.size - start : z.part), all = count + n, d = p[2 * s] - mean;
        mean += d * (n / all);
        square += p[2 * s + 1] + d * d * (count * n / all);
        count = all;
    }
    AT(float, mean)[ch] = mean;
    AT(float, rstd)[ch] = 1.0f / SQRTF(square / count + z.eps);
    AT(float, var)[ch] = square / count;
}
KERNEL(batch_norm3d_apply)(MEM(y), MEM(x), MEM(w), MEM(b), MEM(mean), MEM(spread), channels z) {
    PART_OF
    GLOBAL const real *x = AT(real, x) + base;
    GLOBAL real *y = AT(real, y) + base;
    float mean = AT(float, mean)[ch], k = RSTD(AT(float, spread), ch), w = ld(AT(real, w), ch), b = ld(AT(real, b), ch);
    FOR_VECTORS(i, n) vst(y + i, (vld(x + i) - mean) * k * w + b);
    FOR_REST(i, n) st(y, i, (ld(x, i) - mean) * k * w + b);
}

KERNEL(batch_norm3d_bwd_parts)(MEM(partial), MEM(x), MEM(mean), MEM(spread), MEM(dy), channels z) {
    SCRATCH;
    PART_OF
    GLOBAL const real *x = AT(real, x) + base, *g = AT(real, dy) + base;
    float mean = AT(float, mean)[ch], k = RSTD(AT(float, spread), ch);
    vec vs = VSET(0.0f), vd = VSET(0.0f);
    FOR_VECTORS(i, n) {
        vec grad = vld(g + i);
        vs += grad;
        vd = vmad(grad, (vld(x + i) - mean) * k, vd);
    }
    float s = vsum(vs), d = vsum(vd);
    FOR_REST(i, n) {
        float grad = ld(g, i);
        s += grad;
        d += grad * ((ld(x, i) - mean) * k);
    }
    s = GROUP_SUM(s);
    d = GROUP_SUM(d);
    if (LANE == 0) {
        AT(float, partial)[2 * ROW] = s;
        AT(float, partial)[2 * ROW + 1] = d;
    }
}
/* total [c][2]: sums of dy and of dy xhat */
KERNEL(batch_norm3d_bwd_last)(MEM(dw), MEM(db), MEM(total), MEM(partial), channels z, EACH_ARGS) {
    EACH(ch);
    GLOBAL const float *p = AT(float, partial) + 2 * ch * z.batch * z.chunks;
    float s = 0, d = 0;
    for (i64 i = 0; i < z.batch * z.chunks; i++) {
        s += p[2 * i];
        d += p[2 * i + 1];
    }
    st(AT(real, dw), ch, d);
    st(AT(real, db), ch, s);
    AT(float, total)[2 * ch] = s;
    AT(float, total)[2 * ch + 1] = d;
}
KERNEL(batch_norm3d_bwd_apply)(MEM(dx), MEM(x), MEM(w), MEM(mean), MEM(spread), MEM(dy), MEM(total), channels z) {
    PART_OF
    GLOBAL const real *x = AT(real, x) + base, *g = AT(real, dy) + base;
    GLOBAL real *dx = AT(real, dx) + base;
    float count = (float)(z.batch * z.size), mean = AT(float, mean)[ch], k = RSTD(AT(float, spread), ch),
          w = ld(AT(real, w), ch) * k;
    float s = z.fixed ? 0.0f : AT(float, total)[2 * ch] / count,
          d = z.fixed ? 0.0f : AT(float, total)[2 * ch + 1] / count;
    FOR_VECTORS(i, n) vst(dx + i, (vld(g + i) - s - (vld(x + i) - mean) * k * d) * w);
    FOR_REST(i, n) st(dx, i, (ld(g, i) - s - (ld(x, i) - mean) * k * d) * w);
}
