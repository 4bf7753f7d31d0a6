/* Scaled dot-product attention and its backward, without a tokens x tokens matrix in memory (Dao et al. 2022, 2023: running maximum and sum;
 * the backward rebuilds the softmax from lse). Compiled for a head of up to HEAD floats (a multiple of 8, 256 at most); d <= HEAD is the real
 * width, the rest is zero. A work-item owns one query (or, for dk and dv, one key); keys (queries) pass through local memory TILE at a time,
 * so that VW scores are computed at once. Tensors are [B, N, H, D] with strides for b, n, h and 1 for d. */
#include "dialect.h"

#ifndef HEAD
#define HEAD 64
#endif
#ifndef QUERIES
#define QUERIES 32 /* work-items of a group */
#endif
#define TILE (HEAD > 128 && VW < 16 ? 8 : 16)
#define HV (HEAD / VW)

typedef struct heads {
    i64 n, m, h, d; /* queries, keys, heads, width */
    i64 qb, qn, qh, kb, kn, kh, vb, vn, vh, ob, on, oh, gb, gn, gh; /* strides of q, k, v, out and dout */
    float scale;
    i32 pad;
} heads;

/* Rows of any width, element by element through memory of the work-item: short code compiles fast, and a row is read once. */
FN void load_row(vec *to, GLOBAL const real *from, i64 d) {
    float row[HEAD];
    NO_UNROLL
    for (i32 j = 0; j < HEAD; j++) row[j] = j < d ? ld(from, j) : 0.0f;
    for (i32 i = 0; i < HV; i++) to[i] = vldp(row + i * VW);
}
FN void store_row(GLOBAL real *to, const vec *from, float factor, i64 d) {
    float row[HEAD];
    for (i32 i = 0; i < HV; i++) vstp(row + i * VW, from[i] * factor);
    NO_UNROLL
    for (i32 j = 0; j < HEAD && j < d; j++) st(to, j, row[j]);
}
/* Rows first .. first + TILE of x (zero beyond n): as they are into rows [TILE][HEAD], and turned into columns [HEAD][TILE]. Either may be absent. */
#define LOAD_TILE(x, step, first, limit, d_, rows, columns, with_rows, with_columns)                               \
    NO_UNROLL                                                                                                      \
    for (i32 e = LANE; e < TILE * HEAD; e += QUERIES) {                                                            \
        i32 r = e / HEAD, j = e % HEAD;                                                                            \
        float taken = (first) + r < (limit) && j < (d_) ? ld((x), ((first) + r) * (step) + j) : 0.0f;              \
        if (with_rows) rows[e] = taken;                                                                            \
        if (with_columns) columns[j * TILE + r] = taken;                                                           \
    }

/* s = a x, dp = b y: a row of a and of b with each of the tile's rows, whose columns x and y are. */
FN void two_products(vec *s, vec *dp, const vec *a, const vec *b, LOCAL_AT const float *x, LOCAL_AT const float *y) {
    for (i32 t = 0; t < TILE / VW; t++) s[t] = dp[t] = VSET(0.0f);
    ROLL
    for (i32 i = 0; i < HV; i++)
        for (i32 e = 0; e < VW; e++) {
            vec u = VSET(vget(a[i], e)), w = VSET(vget(b[i], e));
            for (i32 t = 0; t < TILE / VW; t++) {
                s[t] = vmad(u, vldl(x + (i * VW + e) * TILE + t * VW), s[t]);
                dp[t] = vmad(w, vldl(y + (i * VW + e) * TILE + t * VW), dp[t]);
            }
        }
}

/* The group's queries: ROW = (b h) blocks of QUERIES. */
#define OWNER(count)                                                                                      \
    i64 blocks = ((count) + QUERIES - 1) / QUERIES, bh = ROW / blocks, own = ROW % blocks * QUERIES + LANE; \
    i64 b = bh / z.h, h = bh % z.h;                                                                       \
    i64 mine = own < (count) ? own : (count) - 1; /* beyond the end: work on the last one, store nothing */

KERNEL(attention)(MEM(out), MEM(lse), MEM(q), MEM(k), MEM(v), heads z) {
    LOCAL float kt[HEAD * TILE], vr[TILE * HEAD];
    OWNER(z.n)
    GLOBAL const real *k = AT(real, k) + b * z.kb + h * z.kh, *v = AT(real, v) + b * z.vb + h * z.vh;
    vec q[HV], acc[HV];
    load_row(q, AT(real, q) + b * z.qb + h * z.qh + mine * z.qn, z.d);
    for (i32 i = 0; i < HV; i++) {
        q[i] = q[i] * z.scale;
        acc[i] = VSET(0.0f);
    }
    float top = -INFINITY, sum = 0;
    for (i64 j0 = 0; j0 < z.m; j0 += TILE) {
        BARRIER();
        LOAD_TILE(k, z.kn, j0, z.m, z.d, kt, kt, 0, 1)
        LOAD_TILE(v, z.vn, j0, z.m, z.d, vr, vr, 1, 0)
        BARRIER();
        vec s[TILE / VW];
        for (i32 t = 0; t < TILE / VW; t++) s[t] = VSET(0.0f);
        ROLL
        for (i32 i = 0; i < HV; i++)
            for (i32 e = 0; e < VW; e++) {
                vec x = VSET(vget(q[i], e));
                for (i32 t = 0; t < TILE / VW; t++) s[t] = vmad(x, vldl(kt + (i * VW + e) * TILE + t * VW), s[t]);
            }
        float p[TILE];
        float most = top;
        for (i32 t = 0; t < TILE; t++) {
            p[t] = j0 + t < z.m ? vget(s[t / VW], t % VW) : -INFINITY;
            most = MAXF(most, p[t]);
        }
        float shrink = kexp(top - most);
        sum *= shrink;
        for (i32 i = 0; i < HV; i++) acc[i] = acc[i] * shrink;
        for (i32 t = 0; t < TILE; t++) {
            p[t] = kexp(p[t] - most);
            sum += p[t];
        }
        ROLL
        for (i32 t = 0; t < TILE; t++) {
            vec x = VSET(p[t]);
            for (i32 i = 0; i < HV; i++) acc[i] = vmad(x, vldl(vr + t * HEAD + i * VW), acc[i]);
        }
        top = most;
    }
    if (own >= z.n) return;
    store_row(AT(real, out) + b * z.ob + h * z.oh + own * z.on, acc, 1.0f / sum, z.d);
    AT(float, lse)[bh * z.n + own] = top + LOGF(sum);
}

/* delta [B, H, N] = sum over d of dout out. ROW: a query of [B, H, N]. */
KERNEL(attention_delta)(MEM(delta), MEM(out), MEM(dout), heads z, EACH_ARGS) {
    EACH(e);
    i64 bh = e / z.n, i = e % z.n, b = bh / z.h, h = bh % z.h;
    GLOBAL const real *o = AT(real, out) + b * z.ob + h * z.oh + i * z.on, *g = AT(real, dout) + b * z.gb + h * z.gh + i * z.gn;
    vec v = VSET(0.0f);
    i64 j = 0;
    for (; j + VW <= z.d; j += VW) v = vmad(vld(o + j), vld(g + j), v);
    float s = vsum(v);
    for (; j < z.d; j++) s += ld(o, j) * ld(g, j);
    AT(float, delta)[e] = s;
}

/* dq = scale sum_j P (dP - delta) k_j, with P = exp(scale q k - lse), dP = dout v. dq is contiguous. */
KERNEL(attention_dq)(MEM(dq), MEM(q), MEM(k), MEM(v), MEM(dout), MEM(lse), MEM(delta), heads z) {
    LOCAL float kt[HEAD * TILE], vt[HEAD * TILE], kr[TILE * HEAD];
    OWNER(z.n)
    GLOBAL const real *k = AT(real, k) + b * z.kb + h * z.kh, *v = AT(real, v) + b * z.vb + h * z.vh;
    vec q[HV], g[HV], acc[HV];
    load_row(q, AT(real, q) + b * z.qb + h * z.qh + mine * z.qn, z.d);
    load_row(g, AT(real, dout) + b * z.gb + h * z.gh + mine * z.gn, z.d);
    float lse = AT(float, lse)[bh * z.n + mine], delta = AT(float, delta)[bh * z.n + mine];
    for (i32 i = 0; i < HV; i++) acc[i] = VSET(0.0f);
    for (i64 j0 = 0; j0 < z.m; j0 += TILE) {
        BARRIER();
        LOAD_TILE(k, z.kn, j0, z.m, z.d, kr, kt, 1, 1)
        LOAD_TILE(v, z.vn, j0, z.m, z.d, vt, vt, 0, 1)
        BARRIER();
        vec s[TILE / VW], dp[TILE / VW];
        two_products(s, dp, q, g, kt, vt);
        for (i32 t = 0; t < TILE / VW; t++) s[t] = vexp(s[t] * z.scale - lse) * (dp[t] - delta);
        ROLL
        for (i32 t = 0; t < TILE && j0 + t < z.m; t++) {
            vec x = VSET(vget(s[t / VW], t % VW));
            for (i32 i = 0; i < HV; i++) acc[i] = vmad(x, vldl(kr + t * HEAD + i * VW), acc[i]);
        }
    }
    if (own < z.n) store_row(AT(real, dq) + ((b * z.n + own) * z.h + h) * z.d, acc, z.scale, z.d);
}

/* dk = scale sum_i P (dP - delta) q_i, dv = sum_i P dout_i; a work-item owns a key. dk and dv are contiguous. */
KERNEL(attention_dkv)(MEM(dk), MEM(dv), MEM(q), MEM(k), MEM(v), MEM(dout), MEM(lse), MEM(delta), heads z) {
    LOCAL float qt[HEAD * TILE], gt[HEAD * TILE], qr[TILE * HEAD], gr[TILE * HEAD];
    OWNER(z.m)
    GLOBAL const real *qs = AT(real, q) + b * z.qb + h * z.qh, *gs = AT(real, dout) + b * z.gb + h * z.gh;
    GLOBAL const float *lse = AT(float, lse) + bh * z.n, *delta = AT(float, delta) + bh * z.n;
    vec k[HV], v[HV], dk[HV], dv[HV];
    load_row(k, AT(real, k) + b * z.kb + h * z.kh + mine * z.kn, z.d);
    load_row(v, AT(real, v) + b * z.vb + h * z.vh + mine * z.vn, z.d);
    for (i32 i = 0; i < HV; i++) dk[i] = dv[i] = VSET(0.0f);
    for (i64 i0 = 0; i0 < z.n; i0 += TILE) {
        BARRIER();
        LOAD_TILE(qs, z.qn, i0, z.n, z.d, qr, qt, 1, 1)
        LOAD_TILE(gs, z.gn, i0, z.n, z.d, gr, gt, 1, 1)
        BARRIER();
        vec s[TILE / VW], dp[TILE / VW];
        two_products(s, dp, k, v, qt, gt);
        ROLL
        for (i32 t = 0; t < TILE; t++) {
            if (i0 + t >= z.n) break;
            float p = kexp(vget(s[t / VW], t % VW) * z.scale - lse[i0 + t]), ds = p * (vget(dp[t / VW], t % VW) - delta[i0 + t]);
            vec x = VSET(p), y = VSET(ds);
            for (i32 i = 0; i < HV; i++) {
                dv[i] = vmad(x, vldl(gr + t * HEAD + i * VW), dv[i]);
                dk[i] = vmad(y, vldl(qr + t * HEAD + i * VW), dk[i]);
            }
        }
    }
    if (own >= z.m) return;
    store_row(AT(real, dk) + ((b * z.m + own) * z.h + h) * z.d, dk, z.scale, z.d);
    store_row(AT(real, dv) + ((b * z.m + own) * z.h + h) * z.d, dv, 1.0f, z.d);
}
