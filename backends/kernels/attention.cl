/* Scaled dot-product attention and its backward, without a tokens x tokens matrix in memory (Dao et al. 2022, 2023:
 * running maximum and sum; the backward rebuilds the softmax from lse). Compiled for a head of up to HEAD floats (a
 * multiple of 16, 256 at most); d <= HEAD is the real width, the rest is zero. A work-item owns OWN queries (or, for
 * dk and dv, keys): one where a group has many work-items, many where it is one work-item; BLOCK of them are worked
 * on together, so that a vector from local memory serves them all. Keys (queries) pass through local memory TILE at
 * a time, and VW scores are computed at once. Tensors are [B, N, H, D] with strides for b, n, h and 1 for d. */
#include "dialect.h"

#ifndef HEAD
#define HEAD 64
#endif
#ifndef QUERIES
#define QUERIES 32 /* work-items of a group */
#endif
#ifndef OWN
#define OWN 1
#endif
#if OWN == 1
#define BLOCK 1
#define TILE (HEAD > 128 ? 8 : 16)
#define HELD HV
#else /* 32 registers: BLOCK TV scores, or BLOCK HELD vectors of sums */
#define BLOCK 4
#define TILE (HEAD > 128 ? 16 : 32)
#define HELD (HV <= 4 ? HV : HV % 4 ? 3 : 4)
#endif
#define HV (HEAD / VW)
#define TV (TILE / VW)

typedef struct heads {
    i64 n, m, h, d;                                                 /* queries, keys, heads, width */
    i64 qb, qn, qh, kb, kn, kh, vb, vn, vh, ob, on, oh, gb, gn, gh; /* strides of q, k, v, out and dout */
    i64 rb, rn;                                                     /* of dq, or of dk and dv; heads lie d apart */
    float scale;
    i32 pad;
} heads;

/* Rows of any width, element by element through memory of the work-item: short code compiles fast, and a row is read
 * once. */
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
/* Rows first .. first + TILE of x (zero beyond n): as they are into rows [TILE][HEAD], and turned into columns
 * [HEAD][TILE]. Either may be absent. */
#define LOAD_TILE(x, step, first, limit, d_, rows, columns, with_rows, with_columns)                                   \
    NO_UNROLL                                                                                                          \
    for (i32 e = LANE; e < TILE * HEAD; e += QUERIES) {                                                                \
        i32 r = e / HEAD, j = e % HEAD;                                                                                \
        float taken = (first) + r < (limit) && j < (d_) ? ld((x), ((first) + r) * (step) + j) : 0.0f;                  \
        if (with_rows) rows[e] = taken;                                                                                \
        if (with_columns) columns[j * TILE + r] = taken;                                                               \
    }

/* s[u][t] = a[u] x_t: BLOCK rows with each of the tile's rows, whose columns x are. */
FN void products(vec s[BLOCK][TV], const vec (*a)[HV], LOCAL_AT const float *x) {
    vec sum[BLOCK][TV];
    for (i32 u = 0; u < BLOCK; u++)
        for (i32 t = 0; t < TV; t++) sum[u][t] = VSET(0.0f);
    ROLL for (i32 i = 0; i < HV; i++) for (i32 e = 0; e < VW; e++) for (i32 t = 0; t < TV; t++) {
        vec column = vldl(x + (i * VW + e) * TILE + t * VW);
        for (i32 u = 0; u < BLOCK; u++) sum[u][t] = vmad(VSET(vget(a[u][i], e)), column, sum[u][t]);
    }
    for (i32 u = 0; u < BLOCK; u++)
        for (i32 t = 0; t < TV; t++) s[u][t] = sum[u][t];
}

/* acc[u] += sum over t of w[u][t] x_t. */
FN void add_rows(vec (*acc)[HV], const vec w[BLOCK][TV], LOCAL_AT const float *x) {
    for (i32 c = 0; c < HV; c += HELD) {
        vec sum[BLOCK][HELD];
        for (i32 u = 0; u < BLOCK; u++)
            for (i32 i = 0; i < HELD; i++) sum[u][i] = acc[u][c + i];
        ROLL for (i32 t = 0; t < TILE; t++) for (i32 i = 0; i < HELD; i++) {
            vec row = vldl(x + t * HEAD + (c + i) * VW);
            for (i32 u = 0; u < BLOCK; u++) sum[u][i] = vmad(VSET(vget(w[u][t / VW], t % VW)), row, sum[u][i]);
        }
        for (i32 u = 0; u < BLOCK; u++)
            for (i32 i = 0; i < HELD; i++) acc[u][c + i] = sum[u][i];
    }
}

/* ROW = (b h) blocks of QUERIES OWN queries (keys). This work-item's: own from `first`; to own_up the last one is
 * repeated, and not stored. */
#define OWNER(count)                                                                                                   \
    i64 blocks = ((count) + QUERIES * OWN - 1) / (QUERIES * OWN), bh = ROW / blocks,                                   \
        first = (ROW % blocks * QUERIES + LANE) * OWN;                                                                 \
    i64 b = bh / z.h, h = bh % z.h;                                                                                    \
    i32 own = (count)-first < OWN ? (i32)((count)-first) : OWN, own_up = (own + BLOCK - 1) / BLOCK * BLOCK;
#define MINE(o) (first + ((o) < own ? (o) : own - 1))

KERNEL(attention)(MEM(out), MEM(lse), MEM(q), MEM(k), MEM(v), heads z) {
    LOCAL float kt[HEAD * TILE], vr[TILE * HEAD];
    OWNER(z.n)
    GLOBAL const real *k = AT(real, k) + b * z.kb + h * z.kh, *v = AT(real, v) + b * z.vb + h * z.vh;
    vec q[OWN][HV], acc[OWN][HV];
    float top[OWN], sum[OWN];
    for (i32 o = 0; o < own_up; o++) {
        load_row(q[o], AT(real, q) + b * z.qb + h * z.qh + MINE(o) * z.qn, z.d);
        for (i32 i = 0; i < HV; i++) {
            q[o][i] = q[o][i] * z.scale;
            acc[o][i] = VSET(0.0f);
        }
        top[o] = -INFINITY;
        sum[o] = 0;
    }
    for (i64 j0 = 0; j0 < z.m; j0 += TILE) {
        BARRIER();
        LOAD_TILE(k, z.kn, j0, z.m, z.d, kt, kt, 0, 1)
        LOAD_TILE(v, z.vn, j0, z.m, z.d, vr, vr, 1, 0)
        BARRIER();
        for (i32 o = 0; o < own_up; o += BLOCK) {
            vec s[BLOCK][TV];
            products(s, q + o, kt);
            for (i32 u = 0; u < BLOCK; u++) {
                vec most = VSET(top[o + u]), all = VSET(0.0f);
                for (i32 t = 0; t < TV; t++) {
                    s[u][t] = vfirst(s[u][t], (i32)(z.m - j0) - t * VW);
                    most = vtop(most, s[u][t]);
                }
                float now = vmost(most), shrink = kexp(top[o + u] - now);
                for (i32 t = 0; t < TV; t++) {
                    s[u][t] = vexp(s[u][t] - now);
                    all += s[u][t];
                }
                sum[o + u] = sum[o + u] * shrink + vsum(all);
                top[o + u] = now;
                for (i32 i = 0; i < HV; i++) acc[o + u][i] = acc[o + u][i] * shrink;
            }
            add_rows(acc + o, s, vr);
        }
    }
    for (i32 o = 0; o < own; o++) {
        store_row(AT(real, out) + b * z.ob + h * z.oh + (first + o) * z.on, acc[o], 1.0f / sum[o], z.d);
        AT(float, lse)[bh * z.n + first + o] = top[o] + LOGF(sum[o]);
    }
}

/* delta [B, H, N] = sum over d of dout out. ROW: a query of [B, H, N]. */
KERNEL(attention_delta)(MEM(delta), MEM(out), MEM(dout), heads z, EACH_ARGS) {
    EACH(e);
    i64 bh = e / z.n, i = e % z.n, b = bh / z.h, h = bh % z.h;
    GLOBAL const real *o = AT(real, out) + b * z.ob + h * z.oh + i * z.on,
                      *g = AT(real, dout) + b * z.gb + h * z.gh + i * z.gn;
    vec v = VSET(0.0f);
    i64 j = 0;
    for (; j + VW <= z.d; j += VW) v = vmad(vld(o + j), vld(g + j), v);
    float s = vsum(v);
    for (; j < z.d; j++) s += ld(o, j) * ld(g, j);
    AT(float, delta)[e] = s;
}

/* dq = scale sum_j P (dP - delta) k_j, with P = exp(scale q k - lse), dP = dout v. */
KERNEL(attention_dq)(MEM(dq), MEM(q), MEM(k), MEM(v), MEM(dout), MEM(lse), MEM(delta), heads z) {
    LOCAL float kt[HEAD * TILE], vt[HEAD * TILE], kr[TILE * HEAD];
    OWNER(z.n)
    GLOBAL const real *k = AT(real, k) + b * z.kb + h * z.kh, *v = AT(real, v) + b * z.vb + h * z.vh;
    vec q[OWN][HV], g[OWN][HV], acc[OWN][HV];
    float lse[OWN], delta[OWN];
    for (i32 o = 0; o < own_up; o++) {
        lse[o] = AT(float, lse)[bh * z.n + MINE(o)];
        delta[o] = AT(float, delta)[bh * z.n + MINE(o)];
        load_row(q[o], AT(real, q) + b * z.qb + h * z.qh + MINE(o) * z.qn, z.d);
        load_row(g[o], AT(real, dout) + b * z.gb + h * z.gh + MINE(o) * z.gn, z.d);
        for (i32 i = 0; i < HV; i++) acc[o][i] = VSET(0.0f);
    }
    for (i64 j0 = 0; j0 < z.m; j0 += TILE) {
        BARRIER();
        LOAD_TILE(k, z.kn, j0, z.m, z.d, kr, kt, 1, 1)
        LOAD_TILE(v, z.vn, j0, z.m, z.d, vt, vt, 0, 1)
        BARRIER();
        for (i32 o = 0; o < own_up; o += BLOCK) {
            vec s[BLOCK][TV], dp[BLOCK][TV];
            products(s, q + o, kt);
            products(dp, g + o, vt);
            for (i32 u = 0; u < BLOCK; u++)
                for (i32 t = 0; t < TV; t++)
                    s[u][t] = vexp(vfirst(s[u][t] * z.scale - lse[o + u], (i32)(z.m - j0) - t * VW)) *
                              (dp[u][t] - delta[o + u]);
            add_rows(acc + o, s, kr);
        }
    }
    for (i32 o = 0; o < own; o++)
        store_row(AT(real, dq) + b * z.rb + (first + o) * z.rn + h * z.d, acc[o], z.scale, z.d);
}

/* dk = scale sum_i P (dP - delta) q_i, dv = sum_i P dout_i; a work-item owns keys. */
KERNEL(attention_dkv)(MEM(dk), MEM(dv), MEM(q), MEM(k), MEM(v), MEM(dout), MEM(lse), MEM(delta), heads z) {
    LOCAL float qt[HEAD * TILE], gt[HEAD * TILE], qr[TILE * HEAD], gr[TILE * HEAD], lse[TILE], delta[TILE];
    OWNER(z.m)
    GLOBAL const real *qs = AT(real, q) + b * z.qb + h * z.qh, *gs = AT(real, dout) + b * z.gb + h * z.gh;
    vec k[OWN][HV], v[OWN][HV], dk[OWN][HV], dv[OWN][HV];
    for (i32 o = 0; o < own_up; o++) {
        load_row(k[o], AT(real, k) + b * z.kb + h * z.kh + MINE(o) * z.kn, z.d);
        load_row(v[o], AT(real, v) + b * z.vb + h * z.vh + MINE(o) * z.vn, z.d);
        for (i32 i = 0; i < HV; i++) dk[o][i] = dv[o][i] = VSET(0.0f);
    }
    for (i64 i0 = 0; i0 < z.n; i0 += TILE) {
        BARRIER();
        LOAD_TILE(qs, z.qn, i0, z.n, z.d, qr, qt, 1, 1)
        LOAD_TILE(gs, z.gn, i0, z.n, z.d, gr, gt, 1, 1)
        for (i32 t = LANE; t < TILE; t += QUERIES) { /* beyond the end P is 0 */
            lse[t] = i0 + t < z.n ? AT(float, lse)[bh * z.n + i0 + t] : INFINITY;
            delta[t] = i0 + t < z.n ? AT(float, delta)[bh * z.n + i0 + t] : 0.0f;
        }
        BARRIER();
        for (i32 o = 0; o < own_up; o += BLOCK) {
            vec s[BLOCK][TV], dp[BLOCK][TV];
            products(s, k + o, qt);
            products(dp, v + o, gt);
            for (i32 u = 0; u < BLOCK; u++)
                for (i32 t = 0; t < TV; t++) {
                    s[u][t] = vexp(s[u][t] * z.scale - vldl(lse + t * VW));
                    dp[u][t] = s[u][t] * (dp[u][t] - vldl(delta + t * VW));
                }
            add_rows(dv + o, s, gr);
            add_rows(dk + o, dp, qr);
        }
    }
    for (i32 o = 0; o < own; o++) {
        store_row(AT(real, dk) + b * z.rb + (first + o) * z.rn + h * z.d, dk[o], z.scale, z.d);
        store_row(AT(real, dv) + b * z.rb + (first + o) * z.rn + h * z.d, dv[o], 1.0f, z.d);
    }
}
