/* gather's backward: each row of dx [B, L, C] collects the rows of dy that were taken from it, in order, without
 * atomics. */
#include "dialect.h"

enum { STRIP = 4 }; /* vectors a work-item collects in one walk over the indices */

KERNEL(gather_bwd)(MEM(dx), MEM(dy), MEM(index), i64 tokens, i64 k, i64 c, i64 db, i64 dk, i64 ib, i64 ik) {
    i64 b = ROW / tokens, l = ROW - b * tokens;
    GLOBAL const i32 *index = AT(i32, index) + b * ib;
    GLOBAL const real *g = AT(real, dy) + b * db;
    GLOBAL real *dx = AT(real, dx) + ROW * c;
    i64 whole = c / (STRIP * VW) * (STRIP * VW);
    for (i64 i = (i64)LANE * STRIP * VW; i < whole; i += (i64)GROUP * STRIP * VW) {
        vec v[STRIP];
        for (i32 s = 0; s < STRIP; s++) v[s] = VSET(0.0f);
        for (i64 j = 0; j < k; j++) {
            if (index[j * ik] != (i32)l) continue;
            for (i32 s = 0; s < STRIP; s++) v[s] += vld(g + j * dk + i + s * VW);
        }
        for (i32 s = 0; s < STRIP; s++) vst(dx + i + s * VW, v[s]);
    }
    for (i64 i = whole + LANE; i < c; i += GROUP) {
        float v = 0;
        for (i64 j = 0; j < k; j++)
            if (index[j * ik] == (i32)l) v += ld(g, j * dk + i);
        st(dx, i, v);
    }
}

KERNEL(index_check)(MEM(index), MEM(status), i64 k, i64 tokens, i64 ib, i64 ik, EACH_ARGS) {
    EACH(i);
    i64 b = i / k;
    i32 at = AT(i32, index)[b * ib + (i - b * k) * ik];
    if (at < 0 || at >= tokens) FAIL(AT(i32, status), 1, at);
}
