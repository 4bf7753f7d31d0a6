/* Pooling of contiguous volumes [channels][d0][d1][d2]; backwards gather, so that the order of additions is always
 * the same. */
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

/* ---- backwards: work-item e takes `run` voxels along the last axis, 1 or a whole row of them, so that a row costs
 * one row's divisions ---- */

typedef struct seen {
    i64 first[3], last[3]; /* the positions whose windows hold the voxel */
    /* along the last axis: the voxel at which the first of them drops out, and at which one more comes in */
    i64 leaves, enters;
} seen;

FN void pool_edges(const pool *z, seen *s) {
    i64 other;
    pool_window(z, 2, s->first[2], &other, &s->leaves);
    pool_window(z, 2, s->last[2] + 1, &s->enters, &other);
    if (s->last[2] + 1 >= z->p[2]) s->enters = z->d[2];
}
FN void pool_see(const pool *z, const i64 *v, seen *s) {
    for (i32 a = 0; a < 3; a++) pool_seen_by(z, a, v[a], &s->first[a], &s->last[a]);
    pool_edges(z, s);
}
/* On to voxel v of the last axis, the next one; whether other positions see it. */
FN i32 pool_step(const pool *z, i64 v, seen *s) {
    i32 other = 0;
    for (; v >= s->leaves || v >= s->enters; other = 1) {
        if (v >= s->leaves) s->first[2]++;
        else s->last[2]++;
        pool_edges(z, s);
    }
    return other;
}

#define EACH_SEEN_BY(p0, p1, p2)                                                                                       \
    for (i64 p0 = s.first[0]; p0 <= s.last[0]; p0++)                                                                   \
        for (i64 p1 = s.first[1]; p1 <= s.last[1]; p1++)                                                               \
            for (i64 p2 = s.first[2]; p2 <= s.last[2]; p2++)

KERNEL(max_pool3d_bwd)(MEM(dx), MEM(dy), MEM(index), pool z, i64 run, EACH_ARGS) {
    EACH(e);
    i64 v[3], ch;
    seen s;
    pool_index(z.d, e * run, v, &ch);
    pool_see(&z, v, &s);
    i64 base = ch * z.p[0] * z.p[1] * z.p[2], end = v[2] + run;
    i32 row = (i32)((v[0] * z.d[1] + v[1]) * z.d[2]);
    GLOBAL const real *dy = AT(real, dy) + base;
    GLOBAL const i32 *index = AT(i32, index) + base;
    GLOBAL real *dx = AT(real, dx) + ch * z.d[0] * z.d[1] * z.d[2] + row;
    for (i64 at = v[2]; at < end; at++) {
        float sum = 0;
        pool_step(&z, at, &s);
        EACH_SEEN_BY(p0, p1, p2) {
            i64 p = (p0 * z.p[1] + p1) * z.p[2] + p2;
            sum += index[p] == row + (i32)at ? ld(dy, p) : 0.0f;
        }
        st(dx, at, sum);
    }
}

KERNEL(avg_pool3d_bwd)(MEM(dx), MEM(dy), pool z, i64 run, EACH_ARGS) {
    EACH(e);
    i64 v[3], ch, from, to;
    seen s;
    pool_index(z.d, e * run, v, &ch);
    pool_see(&z, v, &s);
    GLOBAL const real *dy = AT(real, dy) + ch * z.p[0] * z.p[1] * z.p[2];
    GLOBAL real *dx = AT(real, dx) + ((ch * z.d[0] + v[0]) * z.d[1] + v[1]) * z.d[2];
    float sum = 0;
    i64 end = v[2] + run;
    for (i64 at = v[2]; at < end; at++) {
        if (pool_step(&z, at, &s) || at == v[2]) { /* voxels that the same positions see get the same */
            sum = 0;
            EACH_SEEN_BY(p0, p1, p2) {
                i64 count = pool_window(&z, 0, p0, &from, &to) * pool_window(&z, 1, p1, &from, &to) *
                            pool_window(&z, 2, p2, &from, &to);
                sum += ld(dy, (p0 * z.p[1] + p1) * z.p[2] + p2) / (float)count;
            }
        }
        st(dx, at, sum);
    }
}
