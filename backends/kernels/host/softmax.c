/* Softmax, cross-entropy, masked squared error, with their backwards. */
#include "launch.h"

enum { ONE_GROUP = 2048 }; /* logits that one group goes through as fast as a second launch would start */

static int64_t last_dim(const hct_view *v) { return v->dim[v->ndim - 1]; }

static hct_status plan_softmax(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step;
    hk_ref x = hk_rows_of(b, 0, &step);
    hk_rows(b, "softmax", p->in[0].dtype, "softmax", hk_row_count(&p->in[0], 1));
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, x);
    hk_i64(b, step);
    hk_i64(b, last_dim(p->in));
    return HCT_OK;
}

static hct_status plan_softmax_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step, dy_step;
    hk_ref y = hk_rows_of(b, 0, &step), dy = hk_rows_of(b, 1, &dy_step);
    hk_rows(b, "softmax", p->in[0].dtype, "softmax_bwd", hk_row_count(&p->in[0], 1));
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, y);
    hk_mem(b, dy);
    hk_i64(b, step);
    hk_i64(b, dy_step);
    hk_i64(b, last_dim(p->in));
    return HCT_OK;
}

/* ---- cross-entropy ---- */

static void mean_of(hk *b, int32_t dtype, hk_ref terms, int64_t n, double factor, int divide, hk_ref weights) {
    hk_rows(b, "softmax", dtype, "mean_of", 1);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, terms);
    hk_i64(b, n);
    hk_f32(b, factor);
    hk_i32(b, divide);
    hk_mem(b, weights);
}

static hct_status plan_ce(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step, n = p->in[0].dim[0];
    hk_ref x = hk_rows_of(b, 0, &step);
    if (n * p->in[0].dim[1] <= ONE_GROUP) {
        hk_rows(b, "softmax", p->in[0].dtype, "cross_entropy", 1);
        hk_mem(b, HK_OUT_(0));
        hk_mem(b, HK_OUT_(1));
        hk_mem(b, x);
        hk_mem(b, HK_IN_(1));
        hk_mem(b, (hk_ref){.place = HK_STATUS});
        hk_i64(b, n);
        hk_i64(b, step);
        hk_i64(b, p->in[0].dim[1]);
        hk_i64(b, p->in[1].stride[0]);
        return HCT_OK;
    }
    hk_ref loss = hk_work(b, (uint64_t)n * sizeof(float));
    hk_rows(b, "softmax", p->in[0].dtype, "cross_entropy_rows", n);
    hk_mem(b, loss);
    hk_mem(b, HK_OUT_(1));
    hk_mem(b, x);
    hk_mem(b, HK_IN_(1));
    hk_mem(b, (hk_ref){.place = HK_STATUS});
    hk_i64(b, step);
    hk_i64(b, p->in[0].dim[1]);
    hk_i64(b, p->in[1].stride[0]);
    mean_of(b, p->in[0].dtype, loss, n, 1.0 / (double)n, 0, loss);
    return HCT_OK;
}

static hct_status plan_ce_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t step, n = p->in[0].dim[0];
    hk_ref x = hk_rows_of(b, 0, &step), lse = hk_flat(b, 2);
    hk_rows(b, "softmax", p->in[0].dtype, "cross_entropy_bwd", n);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, x);
    hk_mem(b, HK_IN_(1));
    hk_mem(b, lse);
    hk_mem(b, HK_IN_(3));
    hk_i64(b, step);
    hk_i64(b, p->in[1].stride[0]);
    hk_i64(b, p->in[0].dim[1]);
    hk_f32(b, 1.0 / (double)n);
    return HCT_OK;
}

/* ---- masked squared error ---- */

static hct_status plan_mse(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t a_step, b_step, rows = hk_row_count(&p->in[0], 1);
    hk_ref a = hk_rows_of(b, 0, &a_step), t = hk_rows_of(b, 1, &b_step), mask = hk_flat(b, 2);
    hk_ref loss = hk_work(b, (uint64_t)rows * sizeof(float)), weight = hk_work(b, (uint64_t)rows * sizeof(float));
    hk_rows(b, "softmax", p->in[0].dtype, "mse_rows", rows);
    hk_mem(b, loss);
    hk_mem(b, weight);
    hk_mem(b, a);
    hk_mem(b, t);
    hk_mem(b, mask);
    hk_i64(b, a_step);
    hk_i64(b, b_step);
    hk_i64(b, p->in[0].dim[2]);
    mean_of(b, p->in[0].dtype, loss, rows, 1, 1, weight);
    return HCT_OK;
}

static hct_status plan_mse_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t a_step, b_step, rows = hk_row_count(&p->in[0], 1), n = p->in[0].dim[2];
    hk_ref a = hk_rows_of(b, 0, &a_step), t = hk_rows_of(b, 1, &b_step), mask = hk_flat(b, 2),
           scale = hk_work(b, sizeof(float));
    hk_rows(b, "softmax", p->in[0].dtype, "mse_scale", 1);
    hk_mem(b, scale);
    hk_mem(b, mask);
    hk_mem(b, HK_IN_(3));
    hk_i64(b, rows);
    hk_i64(b, n);
    hk_rows(b, "softmax", p->in[0].dtype, "mse_bwd", rows);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, a);
    hk_mem(b, t);
    hk_mem(b, mask);
    hk_mem(b, scale);
    hk_i64(b, a_step);
    hk_i64(b, b_step);
    hk_i64(b, n);
    return HCT_OK;
}

const hk_op hk_softmax[] = {
    {"softmax", plan_softmax, HK_REAL, 0},
    {"softmax.bwd", plan_softmax_bwd, HK_REAL, 0},
    {"cross_entropy", plan_ce, HK_REAL, 0},
    {"cross_entropy.bwd", plan_ce_bwd, HK_REAL, 0},
    {"mse_masked", plan_mse, HK_REAL, 0},
    {"mse_masked.bwd", plan_mse_bwd, HK_REAL, 0},
    {0},
};
