/* copy, cast, fill, concat, slice.bwd, gather, unfold3d, fold3d: any dtype. */
#include "launch.h"

#include "../../patches.h"
#include "hct/half.h"

#include <string.h>

static const char *by_size(const char *const *names, int32_t dtype) {
    size_t n = hct_dtype_bytes(dtype);
    return names[n == 1 ? 0 : n == 2 ? 1 : n == 4 ? 2 : 3];
}

static hct_status plan_copy(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    hk_copy(b, HK_OUT_(0), p->out, HK_IN_(0), p->in);
    return HCT_OK;
}

static void cast(hk *b, hk_ref to, const hct_view *to_view, hk_ref from, const hct_view *from_view) {
    hk_walk w;
    hk_walk_init(&w, 2, (const hct_view *const[]){to_view, from_view});
    hk_each(b, "move", -1, "cast", hct_numel(to_view));
    hk_mem(b, to);
    hk_mem(b, from);
    hk_i32(b, to_view->dtype);
    hk_i32(b, from_view->dtype);
    hk_struct(b, &w, sizeof w);
    hk_moves(b, hct_numel(to_view) * (int64_t)(hct_dtype_bytes(to_view->dtype) + hct_dtype_bytes(from_view->dtype)));
}
void hk_cast(hk *b, hk_ref to, int32_t to_dtype, hk_ref from, int32_t from_dtype, int64_t n) {
    hct_view x = {.ndim = 1, .dim = {n}, .stride = {1}, .dtype = from_dtype}, y = x;
    y.dtype = to_dtype;
    cast(b, to, &y, from, &x);
}

static hct_status plan_cast(hk *b, const hct_problem *p, hct_err *err) {
    if (!b->target->fp64 && (p->in[0].dtype == HCT_F64 || p->out[0].dtype == HCT_F64))
        return hct_plugin_fail(err, HCT_NOTIMPL, "the device has no double arithmetic");
    cast(b, HK_OUT_(0), p->out, HK_IN_(0), p->in);
    return HCT_OK;
}

static uint64_t bits_of(double v, int32_t dtype) {
    uint64_t bits = 0;
    float f = (float)v;
    switch (dtype) {
    case HCT_F32: memcpy(&bits, &f, sizeof f); break;
    case HCT_F64: memcpy(&bits, &v, sizeof v); break;
    case HCT_BF16: bits = hct_bf16_from_f32(f); break;
    case HCT_F16: bits = hct_f16_from_f32(f); break;
    default: bits = (uint64_t)(int64_t)v;
    }
    return bits;
}

void hk_fill(hk *b, hk_ref to, int32_t dtype, int64_t n, double value) {
    static const char *const names[] = {"fill_8", "fill_16", "fill_32", "fill_64"};
    hk_each(b, "move", -1, by_size(names, dtype), n);
    hk_mem(b, to);
    hk_i64(b, (int64_t)bits_of(value, dtype));
    hk_moves(b, n * (int64_t)hct_dtype_bytes(dtype));
}
static void fill(hk *b, const hct_view *out, double value) {
    hk_fill(b, HK_OUT_(0), out->dtype, hct_numel(out), value);
}

static hct_status plan_fill(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    fill(b, p->out, hk_real(p, "value"));
    return HCT_OK;
}

/* One rank: there is nothing to wait for. */
static hct_status plan_wait(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    fill(b, p->out, 0);
    return HCT_OK;
}

/* ---- pieces of a whole ---- */

static void piece_copy(hk *b, const hct_problem *p, uint32_t i, int64_t axis, int64_t start) {
    hct_view part = p->out[0];
    hk_ref to = HK_OUT_(0);
    to.off = (uint64_t)(start * part.stride[axis]) * hct_dtype_bytes(part.dtype);
    part.dim[axis] = p->in[i].dim[axis];
    hk_copy(b, to, &part, HK_IN_(i), &p->in[i]);
}

static hct_status plan_concat(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int64_t axis = hk_int(p, "axis"), at = 0;
    for (uint32_t i = 0; i < p->n_in; i++) {
        piece_copy(b, p, i, axis, at);
        at += p->in[i].dim[axis];
    }
    return HCT_OK;
}

static hct_status plan_slice_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    fill(b, p->out, 0);
    piece_copy(b, p, 0, hk_int(p, "axis"), hk_int(p, "start"));
    return HCT_OK;
}

/* ---- gather: indices outside the tokens give zeros and a complaint ---- */

static hct_status plan_gather(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    static const char *const names[] = {"gather_8", "gather_16", "gather_32", "gather_64"};
    const hct_view *x = &p->in[0], *ix = &p->in[1];
    hk_each(b, "move", -1, by_size(names, x->dtype), hct_numel(p->out));
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, HK_IN_(0));
    hk_mem(b, HK_IN_(1));
    hk_mem(b, (hk_ref){.place = HK_STATUS});
    hk_i64(b, ix->dim[1]);
    hk_i64(b, x->dim[2]);
    hk_i64(b, x->dim[1]);
    for (int d = 0; d < 3; d++) hk_i64(b, x->stride[d]);
    for (int d = 0; d < 2; d++) hk_i64(b, ix->stride[d]);
    hk_moves(b, hct_numel(p->out) * (int64_t)(2 * hct_dtype_bytes(x->dtype) + sizeof(int32_t)));
    return HCT_OK;
}

/* ---- unfolding is a copy ---- */

static hct_status plan_unfold(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    hct_view volume, patches;
    hct_as_patches(p->in, p->out, hk_int(p, "patch"), (int)hk_int(p, "channel_last"), &volume, &patches);
    hk_copy(b, HK_OUT_(0), &patches, HK_IN_(0), &volume);
    return HCT_OK;
}

static hct_status plan_fold(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    hct_view volume, patches;
    hct_as_patches(p->out, p->in, hk_int(p, "patch"), (int)hk_int(p, "channel_last"), &volume, &patches);
    hk_copy(b, HK_OUT_(0), &volume, HK_IN_(0), &patches);
    return HCT_OK;
}

const hk_op hk_move[] = {
    {"copy", plan_copy, HK_ANY, 0},
    {"cast", plan_cast, HK_ANY, 0},
    {"fill", plan_fill, HK_ANY, 0},
    {"concat", plan_concat, HK_ANY, 0},
    {"slice.bwd", plan_slice_bwd, HK_ANY, 0},
    {"gather", plan_gather, HK_ANY, 0},
    {"unfold3d", plan_unfold, HK_ANY, 0},
    {"fold3d", plan_fold, HK_ANY, 0},
    {"all_reduce.wait", plan_wait, HK_ANY, 0},
    {0},
};
