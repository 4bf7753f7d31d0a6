/* ct_views, whose op is plugins/ct_views: views.cl. */
#include "hct/view.h"
#include "launch.h"

typedef struct views { /* views.cl's */
    int64_t batch, channels, size, dim[3], step[3], step_batch, step_channel, hu;
} views;

static views views_of(const hct_problem *p) {
    const hct_view *v = &p->in[0];
    views z = {
        .batch = p->out[0].dim[1], .channels = p->out[0].dim[2], .size = p->out[0].dim[3], .hu = v->dtype == HCT_I16};
    for (int a = 0; a < 3; a++) {
        int axis = z.hu ? 3 - a : 2 + a; /* [B, Z, Y, X], or [B, C, X, Y, Z] */
        z.dim[a] = v->dim[axis];
        z.step[a] = v->stride[axis];
    }
    z.step_batch = v->stride[0];
    z.step_channel = z.hu ? 0 : v->stride[1];
    return z;
}

/* Resized into the output, smoothed there and back through the workspace (three steps end in the workspace), gamma
 * into the output. */
static hct_status plan_views(hk *b, const hct_problem *p, hct_err *err) {
    for (uint32_t i = 1; i < p->n_in; i++)
        if (!hct_is_contiguous(&p->in[i])) return hct_plugin_fail(err, HCT_NOTIMPL, "params and windows lie together");
    const views z = views_of(p);
    int64_t seen = p->out[0].dim[0] * z.batch, cube = z.size * z.size * z.size, n = seen * z.channels * cube;
    if (n == 0) return HCT_OK;
    hk_ref other = hk_work(b, (uint64_t)n * sizeof(float)),
           taps = hk_work(b, (uint64_t)(seen * 3 * (HCT_VIEW_TAPS + 1)) * sizeof(float)),
           range = hk_work(b, (uint64_t)(seen * 2) * sizeof(float));
    hk_each(b, "views", -1, "views_check", seen);
    hk_mem(b, HK_IN_(1));
    hk_mem(b, (hk_ref){.place = HK_STATUS});
    hk_struct(b, &z, sizeof z);
    hk_each(b, "views", -1, "views_taps", seen * 3 * (HCT_VIEW_TAPS + 1));
    hk_mem(b, taps);
    hk_mem(b, HK_IN_(1));
    hk_each(b, "views", -1, "views_resize", n);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, HK_IN_(0));
    hk_mem(b, HK_IN_(1));
    hk_mem(b, z.hu ? HK_IN_(2) : HK_IN_(1));
    hk_struct(b, &z, sizeof z);
    for (int axis = 0; axis < 3; axis++) {
        hk_each(b, "views", -1, "views_smooth", n);
        hk_mem(b, axis == 1 ? HK_OUT_(0) : other);
        hk_mem(b, axis == 1 ? other : HK_OUT_(0));
        hk_mem(b, taps);
        hk_mem(b, HK_IN_(1));
        hk_i64(b, z.channels);
        hk_i64(b, z.size);
        hk_i64(b, axis);
        hk_i64(b, axis == 0 ? z.size * z.size : axis == 1 ? z.size : 1);
        hk_moves(b, n * 2 * (int64_t)sizeof(float));
    }
    hk_rows(b, "views", -1, "views_range", seen);
    hk_mem(b, range);
    hk_mem(b, other);
    hk_mem(b, HK_IN_(1));
    hk_i64(b, z.channels * cube);
    hk_each(b, "views", -1, "views_gamma", n);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, other);
    hk_mem(b, range);
    hk_mem(b, HK_IN_(1));
    hk_i64(b, z.channels * cube);
    return HCT_OK;
}

const hk_op hk_views[] = {{"ct_views", plan_views, (uint64_t)(1u << HCT_I16 | 1u << HCT_F32), 0}, {0}};
