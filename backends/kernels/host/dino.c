/* DINO's loss and its backward: dino.cl. */
#include "launch.h"

typedef struct dino { /* dino.cl's */
    int64_t views, batch, k, teachers, sv, sb, sk, tv, tb, tk, ck, temp_step, ls_v, ls_b, lt_v, lt_b;
} dino;

static dino dino_of(const hct_problem *p) {
    const hct_view *s = &p->in[0], *t = &p->in[1];
    return (dino){.views = s->dim[0],
                  .batch = s->dim[1],
                  .k = s->dim[2],
                  .teachers = t->dim[0],
                  .sv = s->stride[0],
                  .sb = s->stride[1],
                  .sk = s->stride[2],
                  .tv = t->stride[0],
                  .tb = t->stride[1],
                  .tk = t->stride[2],
                  .ck = p->in[2].stride[0],
                  .temp_step = p->in[3].stride[0]};
}

static void sources(hk *b, const dino *z) {
    for (int i = 0; i < 4; i++) hk_mem(b, HK_IN_(i));
    hk_struct(b, z, sizeof *z);
}

static hct_status plan_loss(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    const dino z = dino_of(p);
    int32_t dtype = p->in[0].dtype;
    int64_t teachers = z.teachers * z.batch, terms = teachers * z.views;
    hk_ref entropy = hk_work(b, (uint64_t)teachers * sizeof(float)), term = hk_work(b, (uint64_t)terms * sizeof(float));
    hk_rows(b, "dino", dtype, "dino_lse", z.views * z.batch + teachers);
    hk_mem(b, HK_OUT_(2));
    hk_mem(b, HK_OUT_(3));
    hk_mem(b, entropy);
    sources(b, &z);
    int64_t size = (int64_t)hct_dtype_bytes(dtype), centre = (int64_t)sizeof(float);
    hk_moves(b, 2 * z.k * (z.views * z.batch * size + teachers * (size + centre)));
    hk_rows(b, "dino", dtype, "dino_pairs", terms);
    hk_mem(b, term);
    hk_mem(b, HK_OUT_(2));
    hk_mem(b, HK_OUT_(3));
    sources(b, &z);
    hk_moves(b, teachers * (z.views - 1) * z.k * (2 * size + centre));
    hk_rows(b, "dino", dtype, "dino_last", 1);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, HK_OUT_(1));
    hk_mem(b, term);
    hk_mem(b, entropy);
    hk_i64(b, terms);
    hk_i64(b, teachers);
    hk_f32(b, 1 / (double)(teachers * (z.views - 1)));
    return HCT_OK;
}

static hct_status plan_loss_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    dino z = dino_of(p);
    z.ls_v = p->in[4].stride[0];
    z.ls_b = p->in[4].stride[1];
    z.lt_v = p->in[5].stride[0];
    z.lt_b = p->in[5].stride[1];
    hk_rows(b, "dino", p->in[0].dtype, "dino_bwd", z.views * z.batch);
    hk_mem(b, HK_OUT_(0));
    for (int i = 4; i < 7; i++) hk_mem(b, HK_IN_(i));
    sources(b, &z);
    hk_f32(b, 1 / (double)(z.teachers * (z.views - 1) * z.batch));
    int64_t size = (int64_t)hct_dtype_bytes(p->in[0].dtype), others = z.teachers * (z.views - 1);
    hk_moves(b, z.batch * z.k * (2 * z.views * size + others * (size + (int64_t)sizeof(float))));
    return HCT_OK;
}

const hk_op hk_dino[] = {
    {"dino_loss", plan_loss, HK_REAL, 0},
    {"dino_loss.bwd", plan_loss_bwd, HK_REAL, 0},
    {0},
};
