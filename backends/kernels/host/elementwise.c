/* add, sub, mul, gelu(.bwd), relu(.bwd), scale, rsqrt, dropout. */
#include "launch.h"

#include <math.h>
#include <string.h>

/* strips: of VW numbers a work-item, for devices of single work-items */
typedef struct names {
    const char *op, *flat, *strided, *strips;
} names;
static const names binary[] = {
    {"add", "add", "add_strided", NULL},
    {"sub", "sub", "sub_strided", NULL},
    {"mul", "mul", "mul_strided", NULL},
    {"gelu.bwd", "gelu_bwd", "gelu_bwd_strided", "gelu_bwd_strips"},
    {"relu.bwd", "relu_bwd", "relu_bwd_strided", NULL},
    {NULL, NULL, NULL, NULL},
};
static const names unary[] = {
    {"scale", "scale", "scale_strided", NULL},
    {"gelu", "gelu", "gelu_strided", "gelu_strips"},
    {"relu", "relu", "relu_strided", NULL},
    {"rsqrt", "rsqrt_eps", "rsqrt_eps_strided", NULL},
    {NULL, NULL, NULL, NULL},
};

static const names *find(const names *n, const char *op) {
    while (strcmp(n->op, op) != 0) n++;
    return n;
}

/* Starts the launch: result and operands follow as arguments, then numbers of the kernel's own; returns whether it
 * is one over strips. */
static int start(hk *b, const hct_problem *p, const names *n, const hk_walk *w, int inputs) {
    int flat = hk_walk_flat(w, 1 + inputs), strips = flat && n->strips && b->target->group == 1;
    int64_t count = hct_numel(p->out);
    hk_each(b, "elementwise", p->in[0].dtype,
            strips ? n->strips
            : flat ? n->flat
                   : n->strided,
            strips ? hk_strips(b, count) : count);
    hk_mem(b, HK_OUT_(0));
    for (int i = 0; i < inputs; i++) hk_mem(b, HK_IN_(i));
    if (strips) hk_i64(b, count);
    return strips;
}

static hct_status plan_binary(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    hk_walk w;
    hk_walk_init(&w, 3, (const hct_view *const[]){p->out, p->in, p->in + 1});
    start(b, p, find(binary, p->op), &w, 2);
    if (!hk_walk_flat(&w, 3)) hk_struct(b, &w, sizeof w);
    return HCT_OK;
}

static hct_status plan_unary(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    hk_walk w;
    hk_walk_init(&w, 2, (const hct_view *const[]){p->out, p->in});
    if (start(b, p, find(unary, p->op), &w, 1)) return HCT_OK;
    hk_f32(b, hk_real(p, !strcmp(p->op, "scale") ? "factor" : "eps"));
    hk_f32(b, hk_real(p, "plus"));
    if (!hk_walk_flat(&w, 2)) hk_struct(b, &w, sizeof w);
    return HCT_OK;
}

/* A word u means zero where (u + 1/2) / 2^32 < p: the first ceil(p 2^32 - 1/2) of them. */
static hct_status plan_dropout(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    double rate = hk_real(p, "p");
    int64_t n = hct_numel(p->out);
    hk_ref x = hk_flat(b, 0);
    hk_each(b, "elementwise", p->in[0].dtype, "dropout", (n + 3) / 4);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, x);
    hk_mem(b, HK_IN_(1));
    hk_i64(b, p->in[1].stride[0]);
    hk_i64(b, hk_int(p, "stream"));
    hk_i64(b, (int64_t)ceil(rate * 4294967296.0 - 0.5));
    hk_f32(b, 1 / (1 - rate));
    hk_i64(b, n);
    return HCT_OK;
}

/* Sums over ranks, where there is one: each value times scale. */
static hct_status plan_all_reduce(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    for (uint32_t i = 0; i < p->n_in; i++) {
        hk_walk w;
        hk_walk_init(&w, 2, (const hct_view *const[]){&p->out[i], &p->in[i]});
        int flat = hk_walk_flat(&w, 2);
        hk_each(b, "elementwise", p->in[0].dtype, flat ? "scale" : "scale_strided", hct_numel(&p->out[i]));
        hk_mem(b, HK_OUT_(i));
        hk_mem(b, HK_IN_(i));
        hk_f32(b, hk_real(p, "scale"));
        hk_f32(b, 0);
        if (!flat) hk_struct(b, &w, sizeof w);
    }
    return HCT_OK;
}

const hk_op hk_elementwise[] = {
    {"add", plan_binary, HK_REAL, 3},
    {"sub", plan_binary, HK_REAL, 3},
    {"mul", plan_binary, HK_REAL, 3},
    {"gelu.bwd", plan_binary, HK_REAL, 3},
    {"relu.bwd", plan_binary, HK_REAL, 3},
    {"scale", plan_unary, HK_REAL, 1},
    {"gelu", plan_unary, HK_REAL, 1},
    {"relu", plan_unary, HK_REAL, 1},
    {"rsqrt", plan_unary, HK_REAL, 1},
    {"dropout", plan_dropout, HK_REAL, 0},
    {"all_reduce", plan_all_reduce, HK_REAL, 0},
    {0},
};
