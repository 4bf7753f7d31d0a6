/* Kernels for devices that have more than the base set asks of them: sums over a group through sub-groups, and f16
 * arithmetic. */
#include "launch.h"

#include "hct/half.h"

#include <string.h>

/* The op's base plan; its row kernels are compiled with SUBGROUPS (hk_rows sees the target). */
static hct_status plan_subgroups(hk *b, const hct_problem *p, hct_err *err) {
    hct_status st = hk_find(hk_families, p->op)->plan(b, p, err);
    if (st != HCT_OK) return st;
    for (uint32_t i = 0; i < b->n_launch; i++)
        if (b->launch[i].kind == HK_ROWS) return HCT_OK;
    return hct_plugin_fail(err, HCT_NOTIMPL, "nothing is added up over a group here");
}

static const hk_op subgroups[] = {
    {"sum", plan_subgroups, HK_REAL, 0},
    {"layer_norm", plan_subgroups, HK_REAL, 0},
    {"layer_norm.bwd", plan_subgroups, HK_REAL, 0},
    {"add_layer_norm", plan_subgroups, HK_REAL, 0},
    {"add_layer_norm.bwd", plan_subgroups, HK_REAL, 0},
    {"l2_normalize", plan_subgroups, HK_REAL, 0},
    {"l2_normalize.bwd", plan_subgroups, HK_REAL, 0},
    {"softmax", plan_subgroups, HK_REAL, 0},
    {"softmax.bwd", plan_subgroups, HK_REAL, 0},
    {"cross_entropy", plan_subgroups, HK_REAL, 0},
    {"mse_masked", plan_subgroups, HK_REAL, 0},
    {"dino_loss", plan_subgroups, HK_REAL, 0},
    {"batch_norm3d", plan_subgroups, HK_REAL, 0},
    {"batch_norm3d.bwd", plan_subgroups, HK_REAL, 0},
    {0},
};

/* ---- f16 arithmetic: half.cl ---- */

static hct_status start(hk *b, const hct_problem *p, const char *kernel, hct_err *err) {
    hk_walk w;
    const hct_view *const views[] = {p->out, p->in, p->in + p->n_in - 1};
    hk_walk_init(&w, 3, views);
    if (!hk_walk_flat(&w, 3)) return hct_plugin_fail(err, HCT_NOTIMPL, "operands with gaps");
    hk_each(b, "half", HCT_F16, kernel, hk_strips(b, hct_numel(p->out)));
    hk_option(b, "HALF_ARITHMETIC=1");
    hk_mem(b, HK_OUT_(0));
    for (uint32_t i = 0; i < p->n_in; i++) hk_mem(b, HK_IN_(i));
    return HCT_OK;
}

static hct_status plan_binary(hk *b, const hct_problem *p, hct_err *err) {
    const char *kernel = !strcmp(p->op, "add") ? "half_add" : !strcmp(p->op, "sub") ? "half_sub" : "half_mul";
    hct_status st = start(b, p, kernel, err);
    if (st == HCT_OK) hk_i64(b, hct_numel(p->out));
    return st;
}

static int is_half(double x) { return (double)hct_f32_from_f16(hct_f16_from_f32((float)x)) == x; }

static hct_status plan_scale(hk *b, const hct_problem *p, hct_err *err) {
    double factor = hk_real(p, "factor"), plus = hk_real(p, "plus");
    if (!is_half(factor) || !is_half(plus))
        return hct_plugin_fail(err, HCT_NOTIMPL, "%g x + %g has factors that f16 would round", factor, plus);
    hct_status st = start(b, p, "half_scale", err);
    if (st != HCT_OK) return st;
    hk_f32(b, factor);
    hk_f32(b, plus);
    hk_i64(b, hct_numel(p->out));
    return HCT_OK;
}

#define F16 ((uint64_t)1 << HCT_F16)
static const hk_op half[] = {
    {"add", plan_binary, F16, 3},
    {"sub", plan_binary, F16, 3},
    {"mul", plan_binary, F16, 3},
    {"scale", plan_scale, F16, 1},
    {0},
};

const hk_op *const hk_subgroup_families[] = {subgroups, NULL}, *const hk_half_families[] = {half, NULL};
