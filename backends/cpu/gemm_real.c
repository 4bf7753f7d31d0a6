/* The blocked matrix product around the register tile: packing, and writing blocks of C out. */
#include "real.h"

#include "gemm.h"

#include <string.h>

typedef REAL(gemm) gemm;

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t blocks_n(const gemm *g) { return (g->n + GEMM_NC - 1) / GEMM_NC; }

int64_t REAL(gemm_blocks)(const gemm *g) { return (g->m + GEMM_MC - 1) / GEMM_MC * blocks_n(g); }

/* `many` lines of k elements each, packed in groups of `width` lines: out [group][k][width], short groups filled
 * with 0. */
static void pack(acc *out, const real *x, int64_t many, int64_t k, int64_t step_line, int64_t step_k, int width) {
    for (int64_t g = 0; g < many; g += width, out += k * width) {
        int64_t w = at_most(width, many - g);
        const real *lines = x + g * step_line;
        if (step_line == 1) {
            for (int64_t p = 0; p < k; p++) {
                for (int64_t i = 0; i < w; i++) out[p * width + i] = ld(lines[p * step_k + i]);
                for (int64_t i = w; i < width; i++) out[p * width + i] = 0;
            }
            continue;
        }
        for (int64_t i = 0; i < width; i++) {
            const real *line = lines + i * step_line;
            if (i < w)
                for (int64_t p = 0; p < k; p++) out[p * width + i] = ld(line[p * step_k]);
            else
                for (int64_t p = 0; p < k; p++) out[p * width + i] = 0;
        }
    }
}

static void write_tile(const gemm *g, const acc *tile, int64_t m0, int64_t n0, int mr, int nr) {
    int64_t m = at_most(mr, g->m - m0), n = at_most(nr, g->n - n0);
    for (int64_t i = 0; i < m; i++) {
        int64_t at = (m0 + i) * g->row_c + n0 * g->col_c;
        for (int64_t j = 0; j < n; j++, at += g->col_c) {
            acc bias = g->bias ? ld(g->bias[(n0 + j) * g->step_bias]) : 0, sum = g->alpha * tile[i * nr + j] + bias;
            if (g->wide) g->wide[at] = sum;
            else g->c[at] = st(sum);
        }
    }
}

void REAL(gemm_block)(const gemm *g, int64_t block, void *scratch) {
    const GEMM(gemm_tile) tile = GEMM(gemm_best)();
    int64_t m0 = block / blocks_n(g) * GEMM_MC, n0 = block % blocks_n(g) * GEMM_NC;
    int64_t m = at_most(GEMM_MC, g->m - m0), n = at_most(GEMM_NC, g->n - n0);
    int64_t tiles_m = (m + tile.mr - 1) / tile.mr, tiles_n = (n + tile.nr - 1) / tile.nr,
            size = (int64_t)tile.mr * tile.nr;
    acc *pa = scratch, *pb = pa + GEMM_MC * GEMM_KC, *pc = pb + GEMM_KC * GEMM_NC;
    memset(pc, 0, (size_t)(tiles_m * tiles_n * size) * sizeof *pc);
    for (int64_t k0 = 0; k0 < g->k; k0 += GEMM_KC) {
        int64_t k = at_most(GEMM_KC, g->k - k0);
        pack(pa, g->a + m0 * g->row_a + k0 * g->col_a, m, k, g->row_a, g->col_a, tile.mr);
        pack(pb, g->b + n0 * g->col_b + k0 * g->row_b, n, k, g->col_b, g->row_b, tile.nr);
        for (int64_t j = 0; j < tiles_n; j++)
            for (int64_t i = 0; i < tiles_m; i++)
                tile.run(k, pa + i * k * tile.mr, pb + j * k * tile.nr, pc + (i * tiles_n + j) * size);
    }
    for (int64_t i = 0; i < tiles_m; i++)
        for (int64_t j = 0; j < tiles_n; j++)
            write_tile(g, pc + (i * tiles_n + j) * size, m0 + i * tile.mr, n0 + j * tile.nr, tile.mr, tile.nr);
}

void REAL(gemm_serial)(const gemm *g, void *scratch) {
    for (int64_t i = 0; i < REAL(gemm_blocks)(g); i++) REAL(gemm_block)(g, i, scratch);
}
