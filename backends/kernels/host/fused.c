/* Bias + GELU, residual + layer norm: fused.cl, and norm.cl's backward. */
#include "launch.h"

static int64_t last_dim(const hct_view *v) { return v->dim[v->ndim - 1]; }

/* Where a group has many work-items they share out columns, in strips that lie side by side; else it takes a row. */
static int64_t strips(const hk *b, int64_t c) {
    int64_t wide = (int64_t)b->target->group * b->target->vw;
    return b->target->group == 1 ? 1 : (c + wide - 1) / wide;
}

void hk_bias_gelu(hk *b, int32_t dtype, int64_t rows, int64_t c, hk_ref to, hk_ref x, int64_t step, hk_ref bias) {
    int64_t parts = rows ? hk_row_parts(b, rows) : 0, size = (int64_t)hct_dtype_bytes(dtype);
    int by_rows = b->target->group == 1;
    hk_rows(b, "fused", dtype, "bias_gelu", !c ? 0 : by_rows ? rows : parts);
    hk_shape(b, b->target->group, strips(b, c));
    hk_mem(b, to);
    hk_mem(b, x);
    hk_mem(b, bias);
    hk_i64(b, step);
    if (!by_rows) hk_i64(b, rows);
    hk_i64(b, c);
    if (!by_rows) hk_i64(b, parts ? (rows + parts - 1) / parts : 0);
    hk_moves(b, size * c * (2 * rows + (by_rows ? rows : parts))); /* x, y, bias */
}

static hct_status plan_bias_gelu(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step;
    hk_ref x = hk_rows_of(b, 0, &step), bias = hk_flat(b, 1);
    hk_bias_gelu(b, p->in[0].dtype, hk_row_count(p->in, 1), last_dim(p->in), HK_OUT_(0), x, step, bias);
    return HCT_OK;
}

static hct_status plan_bias_gelu_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step, dy_step, c = last_dim(p->in), rows = hk_row_count(p->in, 1), parts = hk_row_parts(b, rows),
                           size = (int64_t)hct_dtype_bytes(p->in[0].dtype);
    hk_ref x = hk_rows_of(b, 0, &step), bias = hk_flat(b, 1), dy = hk_rows_of(b, 2, &dy_step),
           partial = hk_work(b, (uint64_t)(parts * c) * sizeof(float));
    hk_rows(b, "fused", p->in[0].dtype, "bias_gelu_bwd", parts);
    hk_shape(b, b->target->group, strips(b, c));
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, partial);
    hk_mem(b, x);
    hk_mem(b, bias);
    hk_mem(b, dy);
    hk_i64(b, step);
    hk_i64(b, dy_step);
    hk_i64(b, rows);
    hk_i64(b, c);
    hk_i64(b, (rows + parts - 1) / parts);
    /* x, dy, dx, bias, sums; by rows the bias of each, and sums from and to memory */
    if (b->target->group == 1) hk_moves(b, rows * c * (4 * size + 8) + parts * c * 4);
    else hk_moves(b, rows * c * 3 * size + parts * c * (size + 4));
    hk_each(b, "reduce", p->in[0].dtype, "sum_columns_last", c);
    hk_mem(b, HK_OUT_(1));
    hk_mem(b, partial);
    hk_i64(b, c);
    hk_i64(b, parts);
    return HCT_OK;
}

static hct_status plan_add_norm(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step, h_step, c = last_dim(p->in), rows = hk_row_count(p->in, 1), groups = hk_warp_groups(b, rows, c),
                          size = (int64_t)hct_dtype_bytes(p->in[0].dtype);
    hk_ref x = hk_rows_of(b, 0, &step), h = hk_rows_of(b, 1, &h_step), w = hk_flat(b, 2), bias = hk_flat(b, 3);
    hk_rows(b, "fused", p->in[0].dtype, groups ? "add_layer_norm_warps" : "add_layer_norm", groups ? groups : rows);
    for (int o = 0; o < 4; o++) hk_mem(b, HK_OUT_(o));
    hk_mem(b, x);
    hk_mem(b, h);
    hk_mem(b, w);
    hk_mem(b, bias);
    hk_i64(b, step);
    hk_i64(b, h_step);
    if (groups) hk_i64(b, rows), hk_i64(b, groups * b->target->warps);
    hk_i64(b, c);
    hk_f32(b, hk_real(p, "eps"));
    /* x, h, s, y, and w and b of a warp; else s four times, w, b */
    if (groups) hk_moves(b, size * c * (4 * rows + 2 * groups * b->target->warps));
    else hk_moves(b, size * c * 9 * rows);
    return HCT_OK;
}

const hk_op hk_fused[] = {
    {"bias_gelu", plan_bias_gelu, HK_REAL, 0},
    {"bias_gelu.bwd", plan_bias_gelu_bwd, HK_REAL, 0},
    {"add_layer_norm", plan_add_norm, HK_REAL, 0},
    {"add_layer_norm.bwd", hk_norm_backward, HK_REAL, 0},
    {0},
};
