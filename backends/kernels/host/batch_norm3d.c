/* Affine batch norm over all axes but the channels: batch_norm3d.cl. */
#include "launch.h"

enum { PART = 16384 }; /* fixed, so that sums do not depend on the device */

typedef struct channels { /* batch_norm3d.cl's */
    int64_t batch, c, size, part, chunks;
    float eps;
    int32_t fixed;
} channels;

static channels channels_of(const hct_problem *p, int fixed) {
    const hct_view *x = &p->in[0];
    channels z = {
        .batch = x->dim[0], .c = x->dim[1], .size = 1, .part = PART, .eps = (float)hk_real(p, "eps"), .fixed = fixed};
    for (int d = 2; d < x->ndim; d++) z.size *= x->dim[d];
    z.chunks = (z.size + PART - 1) / PART;
    return z;
}

static void rows(hk *b, const hct_problem *p, const channels *z, const char *kernel) {
    hk_rows(b, "batch_norm3d", p->in[0].dtype, kernel, z->c * z->batch * z->chunks);
}
static hk_ref partial(hk *b, const channels *z) {
    return hk_work(b, (uint64_t)(2 * z->c * z->batch * z->chunks) * sizeof(float));
}

static void apply(hk *b, const hct_problem *p, const channels *z, hk_ref x, hk_ref mean, hk_ref spread) {
    hk_ref w = hk_flat(b, 1), bias = hk_flat(b, 2);
    rows(b, p, z, "batch_norm3d_apply");
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, x);
    hk_mem(b, w);
    hk_mem(b, bias);
    hk_mem(b, mean);
    hk_mem(b, spread);
    hk_struct(b, z, sizeof *z);
}

static hct_status plan_train(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    const channels z = channels_of(p, 0);
    hk_ref x = hk_flat(b, 0), sums = partial(b, &z);
    rows(b, p, &z, "batch_norm3d_parts");
    hk_mem(b, sums);
    hk_mem(b, x);
    hk_struct(b, &z, sizeof z);
    hk_each(b, "batch_norm3d", p->in[0].dtype, "batch_norm3d_last", z.c);
    for (int o = 1; o < 4; o++) hk_mem(b, HK_OUT_(o));
    hk_mem(b, sums);
    hk_struct(b, &z, sizeof z);
    apply(b, p, &z, x, HK_OUT_(1), HK_OUT_(2));
    return HCT_OK;
}

static hct_status plan_eval(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    const channels z = channels_of(p, 1);
    hk_ref x = hk_flat(b, 0), mean = hk_flat(b, 3), var = hk_flat(b, 4);
    apply(b, p, &z, x, mean, var);
    return HCT_OK;
}

static hct_status backward(hk *b, const hct_problem *p, int fixed) {
    const channels z = channels_of(p, fixed);
    hk_ref x = hk_flat(b, 0), w = hk_flat(b, 1), mean = hk_flat(b, 2), spread = hk_flat(b, 3), dy = hk_flat(b, 4),
           sums = partial(b, &z);
    hk_ref total = hk_work(b, (uint64_t)(2 * z.c) * sizeof(float));
    rows(b, p, &z, "batch_norm3d_bwd_parts");
    hk_mem(b, sums);
    hk_mem(b, x);
    hk_mem(b, mean);
    hk_mem(b, spread);
    hk_mem(b, dy);
    hk_struct(b, &z, sizeof z);
    hk_each(b, "batch_norm3d", p->in[0].dtype, "batch_norm3d_bwd_last", z.c);
    hk_mem(b, HK_OUT_(1));
    hk_mem(b, HK_OUT_(2));
    hk_mem(b, total);
    hk_mem(b, sums);
    hk_struct(b, &z, sizeof z);
    rows(b, p, &z, "batch_norm3d_bwd_apply");
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, x);
    hk_mem(b, w);
    hk_mem(b, mean);
    hk_mem(b, spread);
    hk_mem(b, dy);
    hk_mem(b, total);
    hk_struct(b, &z, sizeof z);
    return HCT_OK;
}
static hct_status plan_bwd(hk *b, const hct_problem *p, hct_err *err) { return (void)err, backward(b, p, 0); }
static hct_status plan_eval_bwd(hk *b, const hct_problem *p, hct_err *err) { return (void)err, backward(b, p, 1); }

const hk_op hk_batch_norm3d[] = {
    {"batch_norm3d", plan_train, HK_REAL, 0},
    {"batch_norm3d.bwd", plan_bwd, HK_REAL, 0},
    {"batch_norm3d_eval", plan_eval, HK_REAL, 0},
    {"batch_norm3d_eval.bwd", plan_eval_bwd, HK_REAL, 0},
    {0},
};
