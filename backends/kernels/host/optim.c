/* Gradient norms and fused updates: a few tensors a launch, each cut into parts. */
#include "launch.h"

#include "hct/optim.h"

#include <string.h>

enum { BATCH = 4, PART = 16384 }; /* BATCH as in optim.cl; PART is fixed, so that norms do not depend on the device */

typedef struct sizes {
    int64_t n[BATCH], first[BATCH], slot[BATCH];
} sizes;

static int64_t parts_of(int64_t n) { return (n + PART - 1) / PART; }

static hct_status plan_norm(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t total = 0, at = 0;
    for (uint32_t i = 0; i < p->n_in; i++) total += parts_of(hct_numel(&p->in[i]));
    hk_ref partial = hk_work(b, (uint64_t)total * sizeof(float));
    for (uint32_t i = 0; i < p->n_in; i += BATCH) {
        sizes z = {{-1, -1, -1, -1}, {0}, {0}};
        int64_t groups = 0, elements = 0;
        hk_ref g[BATCH];
        for (uint32_t k = 0; k < BATCH; k++) g[k] = HK_IN_(i);
        for (uint32_t k = 0; k < BATCH && i + k < p->n_in; k++) {
            g[k] = hk_flat(b, i + k);
            z.n[k] = hct_numel(&p->in[i + k]);
            z.first[k] = groups;
            groups += parts_of(z.n[k]);
            elements += z.n[k];
        }
        hk_rows(b, "optim", p->in[0].dtype, "norm_parts", groups);
        hk_mem(b, partial);
        for (int k = 0; k < BATCH; k++) hk_mem(b, g[k]);
        hk_struct(b, &z, sizeof z);
        hk_i64(b, PART);
        hk_i64(b, at);
        hk_moves(b, elements * (int64_t)hct_dtype_bytes(p->in[0].dtype) + groups * (int64_t)sizeof(float));
        at += groups;
    }
    at = 0;
    for (uint32_t i = 0; i < p->n_in; i++) {
        int64_t parts = parts_of(hct_numel(&p->in[i]));
        hk_rows(b, "optim", p->in[0].dtype, "norm_each", 1);
        hk_mem(b, HK_OUT_(0));
        hk_mem(b, partial);
        hk_i64(b, i);
        hk_i64(b, at);
        hk_i64(b, at + parts);
        hk_moves(b, (parts + 1) * (int64_t)sizeof(float));
        at += parts;
    }
    hk_rows(b, "optim", p->in[0].dtype, "norm_all", 1);
    hk_mem(b, HK_OUT_(0));
    hk_i64(b, p->n_in);
    return HCT_OK;
}

/* optim.cl's hyper */
typedef struct hyper {
    float beta1, beta2, rest1, rest2, eps, momentum, clip;
    int32_t decoupled, clip_mode, pad;
    int64_t at, norm_at, norm_last, rate_step, norm_step;
} hyper;

static hyper hyper_of(const hct_problem *p) {
    return (hyper){.beta1 = (float)hk_real(p, "beta1"),
                   .beta2 = (float)hk_real(p, "beta2"),
                   .rest1 = (float)(1 - hk_real(p, "beta1")),
                   .rest2 = (float)(1 - hk_real(p, "beta2")),
                   .eps = (float)hk_real(p, "eps"),
                   .momentum = (float)hk_real(p, "momentum"),
                   .clip = (float)hk_real(p, "clip"),
                   .decoupled = (int32_t)hk_int(p, "decoupled"),
                   .clip_mode = (int32_t)hk_int(p, "clip_mode"),
                   .at = hk_int(p, "at"),
                   .norm_at = hk_int(p, "norm_at"),
                   .norm_last = p->in[1].dim[0] - 1,
                   .rate_step = p->in[0].stride[0],
                   .norm_step = p->in[1].stride[0]};
}

/* Tensors of a parameter: itself, its gradient, then `states` moments. */
static hct_status plan_update(hk *b, const hct_problem *p, const char *kernel, uint32_t states, hct_err *err) {
    uint32_t copy = hk_int(p, "copy") != 0, per = 2 + states + copy, count = (p->n_in - 2) / per;
    int32_t dtype = p->in[2].dtype, moment = p->in[4].dtype;
    if (!(HK_REAL >> dtype & 1)) return hct_plugin_fail(err, HCT_NOTIMPL, "parameters are F32, BF16 or F16 here");
    for (uint32_t i = 2; i < p->n_in; i++) {
        uint32_t role = (i - 2) % per;
        int32_t want = role < 2 ? dtype : role == 2 + states ? HCT_BF16 : moment;
        if (p->in[i].dtype != want || (moment != dtype && moment != HCT_F32))
            return hct_plugin_fail(err, HCT_NOTIMPL,
                                   "parameters and gradients have one dtype, moments the same or F32, copies are BF16");
        if (role != 1 && !hct_is_contiguous(&p->in[i]))
            return hct_plugin_fail(err, HCT_NOTIMPL, "parameters and moments with gaps");
    }
    hyper h = hyper_of(p);
    for (uint32_t i = 0; i < count; i += BATCH) {
        sizes z = {{-1, -1, -1, -1}, {0}, {0}};
        int64_t groups = 0, elements = 0;
        hk_ref grad[BATCH];
        for (uint32_t k = 0; k < BATCH && i + k < count; k++) {
            uint32_t first = 2 + (i + k) * per;
            grad[k] = hk_flat(b, first + 1);
            z.n[k] = hct_numel(&p->in[first]);
            z.first[k] = groups;
            z.slot[k] = i + k;
            groups += parts_of(z.n[k]);
            elements += z.n[k];
        }
        hk_rows(b, "optim", dtype, copy ? "adam_copy" : kernel, groups);
        if (moment == dtype && dtype != HCT_F32) hk_option(b, "MOMENT_REAL=1");
        hk_mem(b, HK_IN_(0));
        hk_mem(b, HK_IN_(1));
        for (uint32_t k = 0; k < BATCH; k++) {
            uint32_t j = i + k < count ? k : 0, first = 2 + (i + j) * per;
            hk_mem(b, HK_IN_(first));
            hk_mem(b, grad[j]);
            for (uint32_t s = 0; s < states + copy; s++) hk_mem(b, HK_IN_(first + 2 + s));
        }
        hk_struct(b, &z, sizeof z);
        hk_struct(b, &h, sizeof h);
        hk_i64(b, PART);
        hk_moves(b, elements * (3 * (int64_t)hct_dtype_bytes(dtype) + 2 * states * (int64_t)hct_dtype_bytes(moment) +
                                2 * copy));
    }
    return HCT_OK;
}

static hct_status plan_adam(hk *b, const hct_problem *p, hct_err *err) { return plan_update(b, p, "adam", 2, err); }
static hct_status plan_sgd(hk *b, const hct_problem *p, hct_err *err) { return plan_update(b, p, "sgd", 1, err); }

const hk_op hk_optim[] = {
    {"grad_norm", plan_norm, HK_REAL, 0},
    {"adam", plan_adam, 0, 0},
    {"sgd", plan_sgd, 0, 0},
    {0},
};
