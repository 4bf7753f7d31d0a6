/* linear, with GELU behind it or not, and matmul, into the dtype of its factors or F32: a library's product where
 * the device has one for the dtype, else gemm.cl. */
#include "products.h"

enum { TILE = 64, ITEMS = 64 }; /* as in gemm.cl */

void hk_gemm_own(hk *b, int32_t dtype, hk_gemm *g, hk_ref c, hk_ref x, hk_ref y, hk_ref bias, int to_float) {
    int64_t batch = 1;
    for (int d = 0; d < g->batch_dims; d++) batch *= g->dim[d];
    g->tiles_n = (g->n + TILE - 1) / TILE;
    hk_rows(b, "gemm", dtype, "gemm", (g->m + TILE - 1) / TILE * g->tiles_n);
    hk_shape(b, ITEMS, batch);
    if (to_float && dtype != HCT_F32) hk_option(b, "OUT_FLOAT=1");
    hk_mem(b, c);
    hk_mem(b, x);
    hk_mem(b, y);
    hk_mem(b, bias);
    hk_struct(b, g, sizeof *g);
}

/* Whether a matrix with these strides is one a library takes; *ret_t: it lies transposed; *ret_ld: its leading
 * dimension. */
static int library_matrix(int64_t rows, int64_t cols, int64_t row, int64_t col, int *ret_t, int64_t *ret_ld) {
    if ((col == 1 || cols == 1) && (row >= cols || rows == 1)) {
        *ret_t = 0;
        *ret_ld = rows == 1 || row < cols ? cols : row;
        return 1;
    }
    if ((row == 1 || rows == 1) && (col >= rows || cols == 1)) {
        *ret_t = 1;
        *ret_ld = cols == 1 || col < rows ? rows : col;
        return 1;
    }
    return 0;
}

/* The batch is one even step or none. */
int hk_gemm_library(hk *b, const hk_gemm *g, hk_ref c, hk_ref x, hk_ref y, float beta, const hk_ref *bias, int wide) {
    hk_product p = {.a = x,
                    .b = y,
                    .c = c,
                    .bias = bias ? *bias : c,
                    .has_bias = bias != NULL,
                    .wide = wide,
                    .m = g->m,
                    .n = g->n,
                    .k = g->k,
                    .ld_c = g->row_c,
                    .batch = 1,
                    .beta = beta};
    if (!library_matrix(g->m, g->k, g->row_a, g->col_a, &p.t_a, &p.ld_a) ||
        !library_matrix(g->k, g->n, g->row_b, g->col_b, &p.t_b, &p.ld_b))
        return 0;
    if (g->m < 1 || g->n < 1 || g->k < 1) return 0;
    for (int d = (int)g->batch_dims - 1; d >= 0; d--) {
        if (g->dim[d] == 1) continue;
        if (p.batch == 1) {
            p.step_a = g->stride_a[d];
            p.step_b = g->stride_b[d];
            p.step_c = g->stride_c[d];
        } else if (g->stride_a[d] != p.step_a * p.batch || g->stride_b[d] != p.step_b * p.batch ||
                   g->stride_c[d] != p.step_c * p.batch) {
            return 0;
        }
        p.batch *= g->dim[d];
    }
    hk_multiply(b, &p);
    return 1;
}

static hct_status linear(hk *b, const hct_problem *p, int has_bias, hk_ref out, hct_err *err) {
    const hct_view *x = &p->in[0], *w = &p->in[1];
    int32_t dtype = x->dtype;
    int64_t step;
    hk_ref rows = hk_rows_of(b, 0, &step), bias = has_bias ? HK_IN_(2) : HK_IN_(1);
    hk_gemm g = {.m = hk_row_count(x, 1),
                 .n = w->dim[0],
                 .k = w->dim[1],
                 .row_a = step,
                 .col_a = 1,
                 .row_b = w->stride[1],
                 .col_b = w->stride[0],
                 .row_c = w->dim[0],
                 .has_bias = has_bias};
    if (g.has_bias) g.step_bias = p->in[2].stride[0];
    if (hct_numel(p->out) == 0) return HCT_OK;
    if (hk_library_takes(b, dtype)) {
        int inside = g.has_bias && b->target->library_bias && (g.step_bias == 1 || g.n == 1);
        if (g.has_bias && !inside) {
            hk_each(b, "gemm", dtype, "bias_fill", g.m * g.n);
            hk_mem(b, out);
            hk_mem(b, bias);
            hk_i64(b, g.n);
            hk_i64(b, g.step_bias);
        }
        if (hk_gemm_library(b, &g, out, rows, HK_IN_(1), g.has_bias && !inside, inside ? &bias : NULL, 0))
            return HCT_OK;
        return hct_plugin_fail(err, HCT_NOTIMPL, "the library takes matrices with one axis that lies together");
    }
    hk_gemm_own(b, dtype, &g, out, rows, HK_IN_(1), bias, 0);
    return HCT_OK;
}

static hct_status plan_linear(hk *b, const hct_problem *p, hct_err *err) {
    return linear(b, p, p->n_in == 3, HK_OUT_(0), err);
}

static hct_status plan_linear_gelu(hk *b, const hct_problem *p, hct_err *err) {
    hct_status st = linear(b, p, 0, HK_OUT_(1), err);
    int64_t n = p->in[1].dim[0];
    if (st == HCT_OK)
        hk_bias_gelu(b, p->in[0].dtype, hct_numel(p->out) ? hk_row_count(p->out, 1) : 0, n, HK_OUT_(0), HK_OUT_(1), n,
                     hk_flat(b, 2));
    return st;
}

/* wide: into F32, whatever dtype the factors have. */
static hct_status matmul(hk *b, const hct_problem *p, int wide, hct_err *err) {
    const hct_view *x = &p->in[0], *y = &p->in[1], *c = &p->out[0];
    int n = x->ndim;
    hk_gemm g = {.m = x->dim[n - 2],
                 .n = y->dim[n - 1],
                 .k = x->dim[n - 1],
                 .row_a = x->stride[n - 2],
                 .col_a = x->stride[n - 1],
                 .row_b = y->stride[n - 2],
                 .col_b = y->stride[n - 1],
                 .row_c = c->stride[n - 2],
                 .batch_dims = n - 2};
    if (n - 2 > HK_DIMS) return hct_plugin_fail(err, HCT_NOTIMPL, "at most %d leading axes", HK_DIMS);
    for (int d = 0; d < n - 2; d++) {
        g.dim[d] = x->dim[d];
        g.stride_a[d] = x->stride[d];
        g.stride_b[d] = y->stride[d];
        g.stride_c[d] = c->stride[d];
    }
    if (hct_numel(c) == 0) return HCT_OK;
    if (hk_library_takes(b, x->dtype)) {
        if (hk_gemm_library(b, &g, HK_OUT_(0), HK_IN_(0), HK_IN_(1), 0, NULL, wide && x->dtype != HCT_F32))
            return HCT_OK;
        return hct_plugin_fail(err, HCT_NOTIMPL,
                               "the library takes matrices with one axis that lies together, evenly spaced");
    }
    hk_gemm_own(b, x->dtype, &g, HK_OUT_(0), HK_IN_(0), HK_IN_(1), HK_IN_(0), wide);
    return HCT_OK;
}

static hct_status plan_matmul(hk *b, const hct_problem *p, hct_err *err) { return matmul(b, p, 0, err); }
static hct_status plan_matmul_wide(hk *b, const hct_problem *p, hct_err *err) { return matmul(b, p, 1, err); }

const hk_op hk_products[] = {
    {"linear", plan_linear, HK_REAL, 0},
    {"linear_gelu", plan_linear_gelu, HK_REAL, 0},
    {"matmul", plan_matmul, HK_REAL, 0},
    {"matmul_wide", plan_matmul_wide, HK_REAL, 0},
    {0},
};
