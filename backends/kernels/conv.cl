/* 3D convolution: columns of what each position sees (rows: channel and kernel place), around a matrix product; and
 * back, each voxel gathering its gradient from the columns in a fixed order. */
#include "dialect.h"

typedef struct conv {
    i64 d[3], k[3], p[3], stride[3], padding[3], dilation[3]; /* voxels, kernel places, positions on each axis */
    i64 step[4];                                              /* x: from channel to channel, and on each axis */
    i64 first, n;                                             /* the positions of this block */
} conv;

/* columns [channel kernel place][n] */
KERNEL(conv_columns)(MEM(columns), MEM(x), conv z, EACH_ARGS) {
    EACH(e);
    u32 n = (u32)z.n, row = (u32)e / n, at = (u32)e - row * n + (u32)z.first, tap = row;
    i64 from = 0;
    i32 inside = 1;
    for (i32 a = 2; a >= 0; a--) {
        u32 next = at / (u32)z.p[a], further = tap / (u32)z.k[a];
        i64 v = (i64)(at - next * (u32)z.p[a]) * z.stride[a] - z.padding[a] +
                (i64)(tap - further * (u32)z.k[a]) * z.dilation[a];
        inside &= v >= 0 && v < z.d[a];
        from += v * z.step[1 + a];
        at = next;
        tap = further;
    }
    st(AT(real, columns), e, inside ? ld(AT(real, x), from + (i64)tap * z.step[0]) : 0.0f);
}

/* dx of planes v0 .. of each channel, from columns (float) of planes p0 = z.first .. z.first + z.n. step[0]: dx,
 * from channel to channel. */
KERNEL(conv_gather)(MEM(dx), MEM(columns), conv z, i64 v0, i64 planes, EACH_ARGS) {
    EACH(e);
    GLOBAL const float *columns = AT(float, columns);
    u32 rest = (u32)e, d2 = (u32)z.d[2], d1 = (u32)z.d[1], x2 = rest % d2, x1 = rest / d2 % d1,
        x0 = rest / (d2 * d1) % (u32)planes, c = rest / (d2 * d1 * (u32)planes);
    i64 t0 = v0 + x0 + z.padding[0], t1 = x1 + z.padding[1], t2 = x2 + z.padding[2], plane = z.p[1] * z.p[2],
        length = z.n * plane;
    i64 taps = z.k[0] * z.k[1] * z.k[2];
    float sum = 0;
    for (i64 q0 = 0; q0 < z.k[0]; q0++) {
        i64 u = t0 - q0 * z.dilation[0], p0 = u / z.stride[0] - z.first;
        if (u < 0 || u % z.stride[0] || p0 < 0 || p0 >= z.n) continue;
        for (i64 q1 = 0; q1 < z.k[1]; q1++) {
            i64 v = t1 - q1 * z.dilation[1], p1 = v / z.stride[1];
            if (v < 0 || v % z.stride[1] || p1 >= z.p[1]) continue;
            for (i64 q2 = 0; q2 < z.k[2]; q2++) {
                i64 w = t2 - q2 * z.dilation[2], p2 = w / z.stride[2];
                if (w < 0 || w % z.stride[2] || p2 >= z.p[2]) continue;
                i64 row = (i64)c * taps + (q0 * z.k[1] + q1) * z.k[2] + q2;
                sum += columns[row * length + p0 * plane + p1 * z.p[2] + p2];
            }
        }
    }
    st(AT(real, dx), (i64)c * z.step[0] + ((v0 + x0) * d1 + x1) * d2 + x2, sum);
}

/* y [n, channels, positions] = bias of the channel, before products that add to it. */
KERNEL(conv_bias)(MEM(y), MEM(bias), i64 channels, i64 positions, i64 step, EACH_ARGS) {
    EACH(i);
    st(AT(real, y), i, ld(AT(real, bias), i / positions % channels * step));
}
