/* Attention and its backward: attention.cl, compiled for the next of a few head widths. */
#include "launch.h"

typedef struct heads { /* attention.cl's */
    int64_t n, m, h, d, qb, qn, qh, kb, kn, kh, vb, vn, vh, ob, on, oh, gb, gn, gh, rb, rn;
    float scale;
    int32_t pad;
} heads;

static const int widths[] = {16, 32, 48, 64, 96, 128, 256};

static int width_of(int64_t d) {
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (d <= widths[i]) return widths[i];
    return 0;
}

/* in[i] with its width lying together, and its three other strides. */
static hk_ref operand(hk *b, uint32_t i, int64_t *ret_b, int64_t *ret_n, int64_t *ret_h) {
    hct_view v = b->problem->in[i];
    hk_ref r = HK_IN_(i);
    if (v.stride[3] != 1 && v.dim[3] > 1) {
        r = hk_flat(b, i);
        hk_contiguous(&v);
    }
    *ret_b = v.stride[0];
    *ret_n = v.stride[1];
    *ret_h = v.stride[2];
    return r;
}

static hct_status start(const hct_problem *p, heads *z, hct_err *err) {
    const hct_view *q = &p->in[0];
    *z = (heads){
        .n = q->dim[1], .m = p->in[1].dim[1], .h = q->dim[2], .d = q->dim[3], .scale = (float)hk_real(p, "scale")};
    if (!width_of(z->d)) return hct_plugin_fail(err, HCT_NOTIMPL, "heads of %lld floats; at most 256", (long long)z->d);
    return HCT_OK;
}

static void rows(hk *b, const hct_problem *p, const heads *z, const char *kernel, int64_t owners) {
    int64_t q = (int64_t)b->target->queries * b->target->own;
    hk_rows(b, "attention", p->in[0].dtype, kernel, p->in[0].dim[0] * z->h * ((owners + q - 1) / q));
    hk_shape(b, b->target->queries, 1);
    hk_option(b, "HEAD=%d", width_of(z->d));
}

static hct_status plan_attention(hk *b, const hct_problem *p, hct_err *err) {
    heads z;
    hct_status st = start(p, &z, err);
    if (st != HCT_OK) return st;
    hk_ref q = operand(b, 0, &z.qb, &z.qn, &z.qh), k = operand(b, 1, &z.kb, &z.kn, &z.kh),
           v = operand(b, 2, &z.vb, &z.vn, &z.vh);
    z.ob = p->out[0].stride[0];
    z.on = p->out[0].stride[1];
    z.oh = p->out[0].stride[2];
    rows(b, p, &z, "attention", z.n);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, HK_OUT_(1));
    hk_mem(b, q);
    hk_mem(b, k);
    hk_mem(b, v);
    hk_struct(b, &z, sizeof z);
    return HCT_OK;
}

static hct_status plan_attention_bwd(hk *b, const hct_problem *p, hct_err *err) {
    heads z;
    int packed = p->n_out == 1;
    hct_status st = start(p, &z, err);
    if (st != HCT_OK) return st;
    hk_ref q = operand(b, 0, &z.qb, &z.qn, &z.qh), k = operand(b, 1, &z.kb, &z.kn, &z.kh),
           v = operand(b, 2, &z.vb, &z.vn, &z.vh);
    hk_ref out = operand(b, 3, &z.ob, &z.on, &z.oh), lse = hk_flat(b, 4), g = operand(b, 5, &z.gb, &z.gn, &z.gh);
    int64_t all = p->in[0].dim[0] * z.h * z.n;
    hk_ref delta = hk_work(b, (uint64_t)all * sizeof(float));
    hk_each(b, "attention", p->in[0].dtype, "attention_delta", all);
    hk_option(b, "HEAD=%d", width_of(z.d));
    hk_mem(b, delta);
    hk_mem(b, out);
    hk_mem(b, g);
    hk_struct(b, &z, sizeof z);
    hk_ref to[3];
    for (int i = 0; i < 3; i++)
        to[i] = packed ? hk_at(HK_OUT_(0), (uint64_t)(i * z.h * z.d) * hct_dtype_bytes(p->in[0].dtype)) : HK_OUT_(i);
    for (int keys = 0; keys < 2; keys++) {
        z.rn = (packed ? 3 : 1) * z.h * z.d;
        z.rb = (keys ? z.m : z.n) * z.rn;
        rows(b, p, &z, keys ? "attention_dkv" : "attention_dq", keys ? z.m : z.n);
        hk_mem(b, to[keys]);
        if (keys) hk_mem(b, to[2]);
        hk_mem(b, q);
        hk_mem(b, k);
        hk_mem(b, v);
        hk_mem(b, g);
        hk_mem(b, lse);
        hk_mem(b, delta);
        hk_struct(b, &z, sizeof z);
    }
    return HCT_OK;
}

const hk_op hk_attention[] = {
    {"attention", plan_attention, HK_REAL, 0},
    {"attention.bwd", plan_attention_bwd, HK_REAL, 0},
    {"attention.bwd_packed", plan_attention_bwd, HK_REAL, 0},
    {0},
};
