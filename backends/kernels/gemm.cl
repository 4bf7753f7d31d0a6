/* Matrix product c [m, n] = a [m, k] b [k, n] (+ bias [n]), any strides, float sums: a group computes a tile of TILE
 * x TILE, a work-item 8 x 8 of it; a and b pass through local memory in slices of SLICE. One batch index a group in
 * dimension 1. */
#include "dialect.h"

enum { TILE = 64, SLICE = 16, EDGE = 8, ITEMS = (TILE / EDGE) * (TILE / EDGE) };

typedef struct product {
    i64 m, n, k, row_a, col_a, row_b, col_b, row_c, step_bias_row, step_bias; /* c's columns lie together */
    i64 tiles_n, batch_dims, dim[6], stride_a[6], stride_b[6], stride_c[6];
    i32 has_bias, add; /* add: to what is there */
} product;

#ifdef OUT_FLOAT
typedef float result;
#define LD_RESULT(p, i) ((p)[i])
#define ST_RESULT(p, i, f) (p)[i] = (f)
#else
typedef real result;
#define LD_RESULT(p, i) ld((p), (i))
#define ST_RESULT(p, i, f) st((p), (i), (f))
#endif

KERNEL(gemm)(MEM(c), MEM(a), MEM(b), MEM(bias), product g) {
    LOCAL float la[SLICE * TILE], lb[SLICE * TILE];
    i64 rest = ROW_Y, oa = 0, ob = 0, oc = 0;
    for (i32 d = (i32)g.batch_dims - 1; d >= 0; d--) {
        i64 j = rest % g.dim[d];
        rest /= g.dim[d];
        oa += j * g.stride_a[d];
        ob += j * g.stride_b[d];
        oc += j * g.stride_c[d];
    }
    GLOBAL const real *a = AT(real, a) + oa, *b = AT(real, b) + ob;
    GLOBAL result *c = AT(result, c) + oc;
    i64 m0 = ROW / g.tiles_n * TILE, n0 = ROW % g.tiles_n * TILE;
    i32 ty = LANE / (TILE / EDGE) * EDGE, tx = LANE % (TILE / EDGE) * EDGE;
    float acc[EDGE][EDGE];
    for (i32 i = 0; i < EDGE; i++)
        for (i32 j = 0; j < EDGE; j++) acc[i][j] = 0;
    for (i64 k0 = 0; k0 < g.k; k0 += SLICE) {
        for (i32 e = LANE; e < SLICE * TILE; e += ITEMS) {
            /* neighbours in memory are taken by neighbouring work-items, whichever way the operand lies */
            i32 ka = g.col_a == 1 ? e % SLICE : e / TILE, ma = g.col_a == 1 ? e / SLICE : e % TILE;
            i32 kb = g.col_b == 1 ? e / TILE : e % SLICE, nb = g.col_b == 1 ? e % TILE : e / SLICE;
            la[ka * TILE + ma] =
                m0 + ma < g.m && k0 + ka < g.k ? ld(a, (m0 + ma) * g.row_a + (k0 + ka) * g.col_a) : 0.0f;
            lb[kb * TILE + nb] =
                n0 + nb < g.n && k0 + kb < g.k ? ld(b, (k0 + kb) * g.row_b + (n0 + nb) * g.col_b) : 0.0f;
        }
        BARRIER();
        for (i32 k = 0; k < SLICE; k++)
            for (i32 i = 0; i < EDGE; i++) {
                float x = la[k * TILE + ty + i];
                for (i32 j = 0; j < EDGE; j++) acc[i][j] = MAD(x, lb[k * TILE + tx + j], acc[i][j]);
            }
        BARRIER();
    }
    for (i32 i = 0; i < EDGE; i++)
        for (i32 j = 0; j < EDGE; j++) {
            i64 r = m0 + ty + i, s = n0 + tx + j;
            if (r >= g.m || s >= g.n) continue;
            float v = acc[i][j];
            if (g.has_bias) v += ld(AT(real, bias), r * g.step_bias_row + s * g.step_bias);
            if (g.add) v += LD_RESULT(c, r * g.row_c + s);
            ST_RESULT(c, r * g.row_c + s, v);
        }
}

/* c [rows, n] = bias, before a product that adds to it. */
KERNEL(bias_fill)(MEM(c), MEM(bias), i64 n, i64 step, EACH_ARGS) {
    EACH(i);
    st(AT(real, c), i, ld(AT(real, bias), i % n * step));
}
