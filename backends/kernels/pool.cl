/* Pooling of contiguous volumes [channels][d0][d1][d2]; backwards gather, so that the order of additions is always the same. */
#include "dialect.h"

typedef struct pool {
    i64 d[3], p[3], k[3], stride[3], padding[3], adaptive; /* voxels, positions, and the windows */
} pool;

/* The voxels from .. to of position i on axis a; returns how many places divide its mean. */
FN i64 pool_window(const pool *z, i32 a, i64 i, i64 *from, i64 *to) {
    if (z->adaptive) {
        *from = i * z->d[a] / z->p[a];
        *to = ((i + 1) * z->d[a] + z->p[a] - 1) / z->p[a];
        return *to - *from;
    }
    i64 start = i * z->stride[a] - z->padding[a], end = start + z->k[a], most = z->d[a] + z->padding[a];
    *from = start < 0 ? 0 : start;
    *to = end < z->d[a] ? end : z->d[a];
    return (end < most ? end : most) - start;
}
/* The positions first .. last whose windows hold voxel v. */
FN void pool_seen_by(const pool *z, i32 a, i64 v, i64 *first, i64 *last) {
    if (z->adaptive) {
        *first = v * z->p[a] / z->d[a];
        *last = ((v + 1) * z->p[a] + z->d[a] - 1) / z->d[a] - 1;
        return;
    }
    i64 t = v + z->padding[a], low = t - z->k[a] + 1;
    *first = low <= 0 ? 0 : (low + z->stride[a] - 1) / z->stride[a];
    *last = t / z->stride[a] < z->p[a] - 1 ? t / z->stride[a] : z->p[a] - 1;
}
FN void pool_index(const i64 *dim, i64 e, i64 *i, i64 *channel) {
    i[2] = e % dim[2];
    i[1] = e / dim[2] % dim[1];
    i[0] = e / (dim[2] * dim[1]) % dim[0];
    *channel = e / (dim[2] * dim[1] * dim[0]);
}

KERNEL(max_pool3d)(MEM(y), MEM(index), MEM(x), pool z, EACH_ARGS) {
    EACH(e);
    i64 i[3], ch, from[3], to[3], at = -1;
    pool_index(z.p, e, i, &ch);
    for (i32 a = 0; a < 3; a++) pool_window(&z, a, i[a], &from[a], &to[a]);
    GLOBAL const real *x = AT(real, x) + ch * z.d[0] * z.d[1] * z.d[2];
    float most = -INFINITY;
    for (i64 v0 = from[0]; v0 < to[0]; v0++)
        for (i64 v1 = from[1]; v1 < to[1]; v1++)
            for (i64 v2 = from[2]; v2 < to[2]; v2++) {
                i64 v = (v0 * z.d[1] + v1) * z.d[2] + v2;
                float f = ld(x, v);
                if (at < 0 || f > most || f != f) {
                    most = f;
                    at = v;
                }
            }
    st(AT(real, y), e, most);
    AT(i32, index)[e] = (i32)at;
}

KERNEL(avg_pool3d)(MEM(y), MEM(x), pool z, EACH_ARGS) {
    EACH(e);
    i64 i[3], ch, from[3], to[3], count = 1;
    pool_index(z.p, e, i, &ch);
    for (i32 a = 0; a < 3; a++) count *= pool_window(&z, a, i[a], &from[a], &to[a]);
    GLOBAL const real *x = AT(real, x) + ch * z.d[0] * z.d[1] * z.d[2];
    float sum = 0;
    for (i64 v0 = from[0]; v0 < to[0]; v0++)
        for (i64 v1 = from[1]; v1 < to[1]; v1++)
            for (i64 v2 = from[2]; v2 < to[2]; v2++) sum += ld(x, (v0 * z.d[1] + v1) * z.d[2] + v2);
    st(AT(real, y), e, sum / (float)count);
}

#define EACH_SEEN_BY(p0, p1, p2)                         \
    for (i64 p0 = first[0]; p0 <= last[0]; p0++)         \
        for (i64 p1 = first[1]; p1 <= last[1]; p1++)     \
            for (i64 p2 = first[2]; p2 <= last[2]; p2++)

KERNEL(max_pool3d_bwd)(MEM(dx), MEM(dy), MEM(index), pool z, EACH_ARGS) {
    EACH(e);
    i64 v[3], ch, first[3], last[3];
    pool_index(z.d, e, v, &ch);
    for (i32 a = 0; a < 3; a++) pool_seen_by(&z, a, v[a], &first[a], &last[a]);
    i32 me = (i32)((v[0] * z.d[1] + v[1]) * z.d[2] + v[2]);
    i64 base = ch * z.p[0] * z.p[1] * z.p[2];
    float sum = 0;
    EACH_SEEN_BY(p0, p1, p2) {
        i64 p = base + (p0 * z.p[1] + p1) * z.p[2] + p2;
        if (AT(i32, index)[p] == me) sum += ld(AT(real, dy), p);
    }
    st(AT(real, dx), e, sum);
}

KERNEL(avg_pool3d_bwd)(MEM(dx), MEM(dy), pool z, EACH_ARGS) {
    EACH(e);
    i64 v[3], ch, first[3], last[3], from, to;
    pool_index(z.d, e, v, &ch);
    for (i32 a = 0; a < 3; a++) pool_seen_by(&z, a, v[a], &first[a], &last[a]);
    GLOBAL const real *dy = AT(real, dy) + ch * z.p[0] * z.p[1] * z.p[2];
    float sum = 0;
    EACH_SEEN_BY(p0, p1, p2) {
        i64 count = pool_window(&z, 0, p0, &from, &to) * pool_window(&z, 1, p1, &from, &to) * pool_window(&z, 2, p2, &from, &to);
        sum += ld(dy, (p0 * z.p[1] + p1) * z.p[2] + p2) / (float)count;
    }
    st(AT(real, dx), e, sum);
}
