/* Gradient norms, fused updates and moving averages: many tensors a launch, each cut into parts. */
#include "launch.h"

#include "hct/optim.h"

#include <limits.h>
#include <string.h>

/* FEW, MANY: BATCH of optim.cl; PART is fixed, so that norms do not depend on the device. */
enum { FEW = 4, MANY = 64, ROLES = 5, LISTED = 200, PART = 16384 };

/* optim.cl's tensors: where launches take tables of addresses, and where they do not */
typedef struct many {
    int64_t n[MANY];
    int32_t first[MANY], slot[MANY];
    uint64_t at[ROLES][MANY];
} many;
typedef struct few {
    int64_t n[FEW];
    int32_t first[FEW], slot[FEW];
} few;
_Static_assert(sizeof(many) + 256 <= HK_TABLE, "a kernel's parameters have 4 KB");

/* Tensors of one launch under construction. */
typedef struct batch {
    many z;
    hk_ref at[ROLES][MANY];
    uint32_t most, count, roles;
    int64_t groups, elements;
} batch;

static int64_t parts_of(int64_t n) { return (n + PART - 1) / PART; }

static void clear(const hk *b, batch *t, uint32_t roles) {
    *t = (batch){.most = b->target->addresses ? MANY : FEW, .roles = roles};
    for (int k = 0; k < MANY; k++) t->z.first[k] = INT_MAX;
}

static void add(batch *t, uint32_t slot, int64_t n, const hk_ref *role) {
    uint32_t k = t->count++;
    t->z.n[k] = n;
    t->z.first[k] = (int32_t)t->groups;
    t->z.slot[k] = (int32_t)slot;
    for (uint32_t r = 0; r < t->roles; r++) t->at[r][k] = role[r];
    t->groups += parts_of(n);
    t->elements += n;
}

/* Their places, and the struct, as the next arguments of a launch. */
static void arguments(hk *b, const batch *t) {
    hk_address at[ROLES * MANY];
    uint32_t n = 0;
    if (t->most == MANY) {
        for (uint32_t r = 0; r < t->roles; r++)
            for (uint32_t k = 0; k < t->count; k++)
                at[n++] = (hk_address){(uint32_t)(offsetof(many, at) + (r * MANY + k) * sizeof(uint64_t)), t->at[r][k]};
        hk_table(b, &t->z, sizeof t->z, at, n);
        return;
    }
    few z;
    memcpy(z.n, t->z.n, sizeof z.n);
    memcpy(z.first, t->z.first, sizeof z.first);
    memcpy(z.slot, t->z.slot, sizeof z.slot);
    for (uint32_t r = 0; r < t->roles; r++)
        for (uint32_t k = 0; k < FEW; k++) hk_mem(b, t->at[r][k < t->count ? k : 0]);
    hk_struct(b, &z, sizeof z);
}

static hct_status plan_norm(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t total = 0, at = 0, size = (int64_t)hct_dtype_bytes(p->in[0].dtype);
    batch t;
    for (uint32_t i = 0; i < p->n_in; i++) total += parts_of(hct_numel(&p->in[i]));
    hk_ref partial = hk_work(b, (uint64_t)total * sizeof(float));
    for (uint32_t i = 0; i < p->n_in; i += t.count) {
        clear(b, &t, 1);
        while (t.count < t.most && i + t.count < p->n_in) {
            hk_ref g = hk_flat(b, i + t.count);
            add(&t, i + t.count, hct_numel(&p->in[i + t.count]), &g);
        }
        hk_rows(b, "optim", p->in[0].dtype, "norm_parts", t.groups);
        hk_mem(b, partial);
        arguments(b, &t);
        hk_i64(b, PART);
        hk_i64(b, at);
        hk_moves(b, t.elements * size + t.groups * (int64_t)sizeof(float));
        at += t.groups;
    }
    at = 0;
    for (uint32_t i = 0; i < p->n_in; i += LISTED) {
        int32_t end[LISTED] = {0};
        int64_t from = at, n = 0;
        for (; n < LISTED && i + n < p->n_in; n++) end[n] = (int32_t)(at += parts_of(hct_numel(&p->in[i + n])));
        hk_rows(b, "optim", p->in[0].dtype, "norm_each", n);
        hk_mem(b, HK_OUT_(0));
        hk_mem(b, partial);
        hk_struct(b, end, sizeof end);
        hk_i64(b, i);
        hk_i64(b, from);
        hk_moves(b, (at - from + n) * (int64_t)sizeof(float));
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
    batch t;
    for (uint32_t i = 0; i < count; i += t.count) {
        clear(b, &t, 2 + states + copy);
        while (t.count < t.most && i + t.count < count) {
            uint32_t first = 2 + (i + t.count) * per;
            hk_ref role[ROLES] = {HK_IN_(first), hk_flat(b, first + 1)};
            for (uint32_t s = 0; s < states + copy; s++) role[2 + s] = HK_IN_(first + 2 + s);
            add(&t, i + t.count, hct_numel(&p->in[first]), role);
        }
        hk_rows(b, "optim", dtype, copy ? "adam_copy" : kernel, t.groups);
        if (moment == dtype && dtype != HCT_F32) hk_option(b, "MOMENT_REAL=1");
        hk_mem(b, HK_IN_(0));
        hk_mem(b, HK_IN_(1));
        arguments(b, &t);
        hk_struct(b, &h, sizeof h);
        hk_i64(b, PART);
        hk_moves(b, t.elements * (3 * (int64_t)hct_dtype_bytes(dtype) + 2 * states * (int64_t)hct_dtype_bytes(moment) +
                                  2 * copy));
    }
    return HCT_OK;
}

static hct_status plan_adam(hk *b, const hct_problem *p, hct_err *err) { return plan_update(b, p, "adam", 2, err); }
static hct_status plan_sgd(hk *b, const hct_problem *p, hct_err *err) { return plan_update(b, p, "sgd", 1, err); }

/* ---- moving averages ---- */

static hct_status plan_ema(hk *b, const hct_problem *p, hct_err *err) {
    int32_t dtype = p->in[1].dtype;
    uint32_t copy = hk_int(p, "copy") != 0, per = 2 + copy, count = (p->n_in - 1) / per;
    if (!(HK_REAL >> dtype & 1)) return hct_plugin_fail(err, HCT_NOTIMPL, "targets are F32, BF16 or F16 here");
    if (p->in[0].stride[0] != 1) return hct_plugin_fail(err, HCT_NOTIMPL, "rates with gaps");
    for (uint32_t i = 1; i < p->n_in; i++) {
        uint32_t role = (i - 1) % per;
        if (p->in[i].dtype != (role == 2 ? HCT_BF16 : dtype))
            return hct_plugin_fail(err, HCT_NOTIMPL, "targets and sources have one dtype here, copies are BF16");
        if (role != 1 && !hct_is_contiguous(&p->in[i])) return hct_plugin_fail(err, HCT_NOTIMPL, "targets with gaps");
    }
    batch t;
    for (uint32_t i = 0; i < count; i += t.count) {
        clear(b, &t, per);
        while (t.count < t.most && i + t.count < count) {
            uint32_t first = 1 + (i + t.count) * per;
            hk_ref role[ROLES] = {HK_IN_(first), hk_flat(b, first + 1)};
            if (copy) role[2] = HK_IN_(first + 2);
            add(&t, i + t.count, hct_numel(&p->in[first]), role);
        }
        hk_rows(b, "optim", dtype, copy ? "ema_copy" : "ema", t.groups);
        hk_mem(b, HK_IN_(0));
        arguments(b, &t);
        hk_i64(b, hk_int(p, "at"));
        hk_i64(b, PART);
        hk_moves(b, t.elements * (3 * (int64_t)hct_dtype_bytes(dtype) + 2 * copy));
    }
    return HCT_OK;
}

const hk_op hk_optim[] = {
    {"grad_norm", plan_norm, HK_REAL, 0},
    {"adam", plan_adam, 0, 0},
    {"sgd", plan_sgd, 0, 0},
    {"ema", plan_ema, 0, 0},
    {0},
};
