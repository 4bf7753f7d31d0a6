/* ct_views, whose op is plugins/ct_views: views.cl. */
#include "hct/view.h"
#include "launch.h"

#include <math.h>

typedef struct views { /* views.cl's */
    int64_t batch, channels, size, dim[3], step[3], step_batch, step_channel, hu, patch, bf16;
} views;

static views views_of(const hct_problem *p) {
    const hct_view *v = &p->in[0];
    views z = {.batch = p->out[0].dim[1],
               .size = hk_int(p, "size"),
               .hu = v->dtype == HCT_I16,
               .patch = hk_int(p, "patch"),
               .bf16 = p->out[0].dtype == HCT_BF16};
    z.channels = z.hu ? p->in[2].dim[0] : v->dim[1];
    for (int a = 0; a < 3; a++) {
        int axis = z.hu ? 3 - a : 2 + a; /* [B, Z, Y, X], or [B, C, X, Y, Z] */
        z.dim[a] = v->dim[axis];
        z.step[a] = v->stride[axis];
    }
    z.step_batch = v->stride[0];
    z.step_channel = z.hu ? 0 : v->stride[1];
    return z;
}

/* The share of the views that is smoothed (or has a gamma) where it is told: for the accounts alone. */
static double share_of(const hct_problem *p, const char *name) { return hct_attr_real(p->attr, p->n_attr, name, 1); }

static void smooth(hk *b, const views *z, hk_ref to, hk_ref from, hk_ref taps, int64_t n, int axis) {
    hk_each(b, "views", -1, "views_smooth", n);
    hk_mem(b, to);
    hk_mem(b, from);
    hk_mem(b, taps);
    hk_mem(b, HK_IN_(1));
    hk_i64(b, z->channels);
    hk_i64(b, z->size);
    hk_i64(b, axis);
    hk_i64(b, axis == 0 ? z->size * z->size : axis == 1 ? z->size : 1);
    hk_moves(b, (int64_t)llround(share_of(b->problem, "smoothed") * (double)n) * 2 * (int64_t)sizeof(float));
}

/* Resized into the output, where that is all; else into `apart`, smoothed from there over and back into `smoothed`,
 * and with a gamma into the output. */
static hct_status plan_views(hk *b, const hct_problem *p, hct_err *err) {
    for (uint32_t i = 1; i < p->n_in; i++)
        if (!hct_is_contiguous(&p->in[i])) return hct_plugin_fail(err, HCT_NOTIMPL, "params and windows lie together");
    if (p->out[0].dtype != HCT_F32 && p->out[0].dtype != HCT_BF16)
        return hct_plugin_fail(err, HCT_NOTIMPL, "views are F32 or BF16 here");
    const views z = views_of(p);
    double cube = (double)z.size * (double)z.size * (double)z.size, source = 1;
    for (int a = 0; a < 3; a++) source += (double)(z.dim[a] - 1) * (double)z.step[a];
    if (cube * (double)z.channels > (double)INT32_MAX || source > (double)INT32_MAX)
        return hct_plugin_fail(err, HCT_NOTIMPL, "a view or a volume of more than 2^31 voxels");
    int64_t seen = p->out[0].dim[0] * z.batch, each = z.channels * z.size * z.size * z.size, n = seen * each;
    if (n == 0) return HCT_OK;
    int64_t size = (int64_t)hct_dtype_bytes(p->out[0].dtype), wide = (int64_t)sizeof(float),
            volumes = hct_numel(&p->in[0]) * (int64_t)hct_dtype_bytes(p->in[0].dtype);
    double s = share_of(p, "smoothed"), g = share_of(p, "gamma");
    int64_t apart_n = (int64_t)llround((s + g - s * g) * (double)n), gamma_n = (int64_t)llround(g * (double)n);
    hk_ref apart = hk_work(b, (uint64_t)n * sizeof(float)), smoothed = hk_work(b, (uint64_t)n * sizeof(float)),
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
    hk_mem(b, apart);
    hk_mem(b, HK_IN_(0));
    hk_mem(b, HK_IN_(1));
    hk_mem(b, z.hu ? HK_IN_(2) : HK_IN_(1));
    hk_struct(b, &z, sizeof z);
    hk_moves(b, volumes + (n - apart_n) * size + apart_n * wide);
    smooth(b, &z, smoothed, apart, taps, n, 0);
    smooth(b, &z, apart, smoothed, taps, n, 1);
    smooth(b, &z, smoothed, apart, taps, n, 2);
    hk_rows(b, "views", -1, "views_range", seen);
    hk_mem(b, range);
    hk_mem(b, apart);
    hk_mem(b, smoothed);
    hk_mem(b, HK_IN_(1));
    hk_i64(b, each);
    hk_moves(b, gamma_n * wide);
    hk_each(b, "views", -1, "views_finish", n);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, apart);
    hk_mem(b, smoothed);
    hk_mem(b, range);
    hk_mem(b, HK_IN_(1));
    hk_struct(b, &z, sizeof z);
    hk_moves(b, apart_n * (wide + size));
    return HCT_OK;
}

const hk_op hk_views[] = {{"ct_views", plan_views, (uint64_t)(1u << HCT_I16 | 1u << HCT_F32), 0}, {0}};
