/* Layer norm, batch norm, L2 norm, with their backwards. */
#include "launch.h"

static int64_t last_dim(const hct_view *v) { return v->dim[v->ndim - 1]; }

static hct_status plan_layer_norm(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step, c = last_dim(p->in), rows = hk_row_count(p->in, 1), groups = hk_warp_groups(b, rows, c),
                  size = (int64_t)hct_dtype_bytes(p->in[0].dtype);
    hk_ref x = hk_rows_of(b, 0, &step), w = hk_flat(b, 1), bias = hk_flat(b, 2);
    hk_rows(b, "norm", p->in[0].dtype, groups ? "layer_norm_warps" : "layer_norm", groups ? groups : rows);
    for (int o = 0; o < 3; o++) hk_mem(b, HK_OUT_(o));
    hk_mem(b, x);
    hk_mem(b, w);
    hk_mem(b, bias);
    hk_i64(b, step);
    if (groups) hk_i64(b, rows), hk_i64(b, groups * b->target->warps);
    hk_i64(b, c);
    hk_f32(b, hk_real(p, "eps"));
    /* x, y, and w and b of a warp; else x three times, w, b */
    if (groups) hk_moves(b, size * c * (2 * rows + 2 * groups * b->target->warps));
    else hk_moves(b, size * c * 6 * rows);
    return HCT_OK;
}

hct_status hk_norm_backward(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step, dy_step, ds_step = 0, c = last_dim(p->in), rows = hk_row_count(p->in, 1),
                           parts = hk_row_parts(b, rows);
    int with_ds = p->n_in == 6;
    hk_ref x = hk_rows_of(b, 0, &step), w = hk_flat(b, 1), mean = hk_flat(b, 2), rstd = hk_flat(b, 3),
           dy = hk_rows_of(b, 4, &dy_step);
    hk_ref ds = with_ds ? hk_rows_of(b, 5, &ds_step) : dy,
           partial = hk_work(b, (uint64_t)(parts * 2 * c) * sizeof(float));
    int64_t size = (int64_t)hct_dtype_bytes(p->in[0].dtype);
    int warps = hk_warp_groups(b, rows, c) != 0;
    hk_rows(b, "norm", p->in[0].dtype, warps ? "layer_norm_bwd_warps" : "layer_norm_bwd", parts);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, partial);
    hk_mem(b, x);
    hk_mem(b, w);
    hk_mem(b, mean);
    hk_mem(b, rstd);
    hk_mem(b, dy);
    hk_mem(b, ds);
    hk_i64(b, step);
    hk_i64(b, dy_step);
    hk_i64(b, ds_step);
    hk_i64(b, rows);
    hk_i64(b, c);
    hk_i64(b, (rows + parts - 1) / parts);
    hk_i32(b, with_ds);
    /* x, dy, ds, dx, w of a warp, sums; else x, dy and w twice, dw and db from and to memory */
    if (warps) hk_moves(b, size * c * ((3 + with_ds) * rows + parts * b->target->warps) + parts * 2 * c * 4);
    else hk_moves(b, rows * c * ((7 + with_ds) * size + 16) + parts * 2 * c * 4);
    hk_each(b, "norm", p->in[0].dtype, "layer_norm_bwd_last", c);
    hk_mem(b, HK_OUT_(1));
    hk_mem(b, HK_OUT_(2));
    hk_mem(b, partial);
    hk_i64(b, c);
    hk_i64(b, parts);
    return HCT_OK;
}

static hct_status plan_batch_norm(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step;
    hk_ref x = hk_rows_of(b, 0, &step);
    hk_each(b, "norm", p->in[0].dtype, "batch_norm", p->in[0].dim[1]);
    for (int o = 0; o < 4; o++) hk_mem(b, HK_OUT_(o));
    hk_mem(b, x);
    hk_i64(b, step);
    hk_i64(b, p->in[0].dim[0]);
    hk_i64(b, p->in[0].dim[1]);
    hk_f32(b, hk_real(p, "eps"));
    return HCT_OK;
}

static hct_status plan_batch_norm_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step, dy_step;
    hk_ref x = hk_rows_of(b, 0, &step), mean = hk_flat(b, 1), rstd = hk_flat(b, 2), dy = hk_rows_of(b, 3, &dy_step);
    hk_each(b, "norm", p->in[0].dtype, "batch_norm_bwd", p->in[0].dim[1]);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, x);
    hk_mem(b, mean);
    hk_mem(b, rstd);
    hk_mem(b, dy);
    hk_i64(b, step);
    hk_i64(b, dy_step);
    hk_i64(b, p->in[0].dim[0]);
    hk_i64(b, p->in[0].dim[1]);
    return HCT_OK;
}

static hct_status plan_update(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    double n = (double)hk_int(p, "n");
    hk_ref fresh[] = {hk_flat(b, 2), hk_flat(b, 3)};
    for (int k = 0; k < 2; k++) {
        hk_each(b, "norm", p->in[0].dtype, "batch_norm_update", p->out[k].dim[0]);
        hk_mem(b, HK_OUT_(k));
        hk_mem(b, fresh[k]);
        hk_i64(b, p->out[k].stride[0]);
        hk_f32(b, hk_real(p, "momentum"));
        hk_f32(b, k ? n / (n - 1) : 1);
    }
    return HCT_OK;
}

static hct_status plan_l2(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step;
    hk_ref x = hk_rows_of(b, 0, &step);
    hk_rows(b, "norm", p->in[0].dtype, "l2_normalize", hk_row_count(&p->in[0], 1));
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, HK_OUT_(1));
    hk_mem(b, x);
    hk_i64(b, step);
    hk_i64(b, last_dim(p->in));
    hk_f32(b, hk_real(p, "eps"));
    return HCT_OK;
}

static hct_status plan_l2_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step, dy_step;
    hk_ref y = hk_rows_of(b, 0, &step), norm = hk_flat(b, 1), dy = hk_rows_of(b, 2, &dy_step);
    hk_rows(b, "norm", p->in[0].dtype, "l2_normalize_bwd", hk_row_count(&p->in[0], 1));
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, y);
    hk_mem(b, norm);
    hk_mem(b, dy);
    hk_i64(b, step);
    hk_i64(b, dy_step);
    hk_i64(b, last_dim(p->in));
    hk_f32(b, hk_real(p, "eps"));
    return HCT_OK;
}

const hk_op hk_norm[] = {
    {"layer_norm", plan_layer_norm, HK_REAL, 0},    {"layer_norm.bwd", hk_norm_backward, HK_REAL, 0},
    {"batch_norm", plan_batch_norm, HK_REAL, 0},    {"batch_norm.bwd", plan_batch_norm_bwd, HK_REAL, 0},
    {"batch_norm.update", plan_update, HK_REAL, 0}, {"l2_normalize", plan_l2, HK_REAL, 0},
    {"l2_normalize.bwd", plan_l2_bwd, HK_REAL, 0},  {0},
};
