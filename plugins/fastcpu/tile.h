/* plugins/fastcpu/tile.h: the register tile of a block product, once for each kind of unit that A and B are made of
 * (4 bytes: a float, or a pair of bfloat16). The including file says BROADCAST(p): a vector of the unit at p,
 * DOT(a, b, c): c + a b, and PLUS(a, b) where sums are no floats; OPERAND and TAKE(p) where b is no vector in a
 * register. Strides of A are in bytes, and compile-time constants where they can be. */

#ifndef OPERAND /* what DOT takes of B */
#define OPERAND vf
#define TAKE(p) vload(p)
#endif
#ifndef PLUS
#define PLUS(a, b) vadd(a, b)
#endif

ALWAYS void tile(const int rows, int64_t k, const char *a, int64_t rs, int64_t cs, const float *b, float *c,
                 int64_t row_c, int add) {
    vf t[MR][NV];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < NV; j++) t[i][j] = vzero();
#ifndef __SANITIZE_ADDRESS__ /* minutes of compiling there */
#pragma GCC unroll 4
#endif
    for (int64_t p = 0; p < k; p++, a += cs, b += NR) {
        OPERAND bv[NV];
        for (int j = 0; j < NV; j++) bv[j] = TAKE(b + j * VL);
        for (int i = 0; i < rows; i++) {
            const vf av = BROADCAST(a + i * rs);
            for (int j = 0; j < NV; j++) t[i][j] = DOT(av, bv[j], t[i][j]);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < NV; j++) {
            float *to = c + i * row_c + j * VL;
            vstore(to, add ? PLUS(vload(to), t[i][j]) : t[i][j]);
        }
}

#define ROWS(n)                                                                                                        \
    case n:                                                                                                            \
        tile(n, g->k, a, rs, cs, b, c, g->row_c, g->add);                                                              \
        break;
#if defined __AVX512F__
#define FEWER_ROWS ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11)
#else
#define FEWER_ROWS ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5)
#endif

/* The tile at row i, column j of C; A's first row lies at byte from. */
ALWAYS void tile_at(const block_product *g, int64_t i, int64_t j, int64_t from, const int64_t rs, const int64_t cs) {
    const char *a = (const char *)g->a + from;
    const float *b = (const float *)g->b + j / NR * (g->step_b ? g->step_b : g->k * NR);
    float *c = g->c + i * g->row_c + j;
    switch (at_most(MR, g->m - i)) {
        FEWER_ROWS
    default: tile(MR, g->k, a, rs, cs, b, c, g->row_c, g->add);
    }
}
