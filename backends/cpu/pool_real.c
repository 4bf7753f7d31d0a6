/* Pooling and its backwards: a task is one channel of one sample. */
#include "real.h"

#include <math.h>

typedef struct window { /* of one axis: the voxels from .. to, `count` of them with padding */
    int64_t from, to, count;
} window;

static window window_of(const hct_plan *p, int axis, int64_t at, int64_t voxels, int64_t places) {
    const hct_attr *kernel = cpu_attr(p, "kernel");
    if (!kernel) { /* adaptive */
        window w = {at * voxels / places, ((at + 1) * voxels + places - 1) / places, 0};
        w.count = w.to - w.from;
        return w;
    }
    int64_t padding = cpu_attr(p, "padding")->ints[axis], start = at * cpu_attr(p, "stride")->ints[axis] - padding,
            end = start + kernel->ints[axis];
    return (window){start < 0 ? 0 : start, end < voxels ? end : voxels,
                    (end < voxels + padding ? end : voxels + padding) - start};
}

static int64_t place(const hct_view *v, int64_t channel, int64_t i) {
    int64_t b = channel / v->dim[1], c = channel % v->dim[1], i2 = i % v->dim[4], i1 = i / v->dim[4] % v->dim[3],
            i0 = i / (v->dim[4] * v->dim[3]);
    return b * v->stride[0] + c * v->stride[1] + i0 * v->stride[2] + i1 * v->stride[3] + i2 * v->stride[4];
}
static int64_t size_of(const hct_view *v) { return v->dim[2] * v->dim[3] * v->dim[4]; }

/* The windows of position i of pooled dims y over x. */
static void windows(const hct_plan *p, const hct_view *x, const hct_view *y, int64_t i, window *w) {
    for (int d = 2; d >= 0; d--) {
        w[d] = window_of(p, d, i % y->dim[2 + d], x->dim[2 + d], y->dim[2 + d]);
        i /= y->dim[2 + d];
    }
}
#define EACH_VOXEL(w, x)                                                                                               \
    for (int64_t v0 = (w)[0].from; v0 < (w)[0].to; v0++)                                                               \
        for (int64_t v1 = (w)[1].from; v1 < (w)[1].to; v1++)                                                           \
            for (int64_t v2 = (w)[2].from, v = (v0 * (x)->dim[3] + v1) * (x)->dim[4] + v2; v2 < (w)[2].to; v2++, v++)

/* The first of the largest, row by row; NaN is larger than all. */
static hct_status run_max(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                          hct_err *err) {
    (void)s, (void)ws, (void)err;
    int64_t channels = in->dim[0] * in->dim[1], n = size_of(out);
#pragma omp parallel for schedule(static) if (channels * n > CPU_CHUNK)
    for (int64_t ch = 0; ch < channels; ch++)
        for (int64_t i = 0; i < n; i++) {
            window w[3];
            acc most = (acc)-INFINITY;
            int64_t at = -1;
            windows(p, in, out, i, w);
            EACH_VOXEL(w, in) {
                acc x = ld(((const real *)hct_ptr(in))[place(in, ch, v)]);
                if (at < 0 || x > most || x != x) most = x, at = v;
            }
            ((real *)hct_ptr(&out[0]))[ch * n + i] = st(most);
            ((int32_t *)hct_ptr(&out[1]))[ch * n + i] = (int32_t)at;
        }
    return HCT_OK;
}

static hct_status run_avg(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                          hct_err *err) {
    (void)s, (void)ws, (void)err;
    int64_t channels = in->dim[0] * in->dim[1], n = size_of(out);
#pragma omp parallel for schedule(static) if (channels * n > CPU_CHUNK)
    for (int64_t ch = 0; ch < channels; ch++)
        for (int64_t i = 0; i < n; i++) {
            window w[3];
            double sum = 0;
            windows(p, in, out, i, w);
            EACH_VOXEL(w, in) sum += (double)ld(((const real *)hct_ptr(in))[place(in, ch, v)]);
            ((real *)hct_ptr(out))[ch * n + i] = st((acc)(sum / (double)(w[0].count * w[1].count * w[2].count)));
        }
    return HCT_OK;
}

static hct_status plan_bwd(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return cpu_plan_workspace(p, ret, (uint64_t)size_of(p->out) * sizeof(double), err);
}

/* dy [..] is shared out evenly over its window, or (max) given to the voxel of its index. */
static hct_status backward(const hct_plan *p, const hct_view *in, const hct_view *out, const hct_view *ws, int max) {
    int64_t channels = out->dim[0] * out->dim[1], n = size_of(out), places = size_of(in);
#pragma omp parallel for schedule(static) if (channels * n > CPU_CHUNK)
    for (int64_t ch = 0; ch < channels; ch++) {
        double *sum = (double *)cpu_workspace(p, ws);
        for (int64_t i = 0; i < n; i++) sum[i] = 0;
        for (int64_t i = 0; i < places; i++) {
            double g = (double)ld(((const real *)hct_ptr(in))[place(in, ch, i)]);
            if (max) {
                int32_t at = ((const int32_t *)hct_ptr(in + 1))[place(in + 1, ch, i)];
                if (at >= 0 && at < n) sum[at] += g;
                continue;
            }
            window w[3];
            windows(p, out, in, i, w);
            g /= (double)(w[0].count * w[1].count * w[2].count);
            EACH_VOXEL(w, out) sum[v] += g;
        }
        for (int64_t i = 0; i < n; i++) ((real *)hct_ptr(out))[ch * n + i] = st((acc)sum[i]);
    }
    return HCT_OK;
}
static hct_status run_max_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                              const hct_view *ws, hct_err *err) {
    (void)s, (void)err;
    return backward(p, in, out, ws, 1);
}
static hct_status run_avg_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                              const hct_view *ws, hct_err *err) {
    (void)s, (void)err;
    return backward(p, in, out, ws, 0);
}

KERNEL(k_max, "max_pool3d", run_max);
KERNEL_PLANNED(k_max_bwd, "max_pool3d.bwd", plan_bwd, run_max_bwd);
KERNEL(k_avg, "avg_pool3d", run_avg);
KERNEL_PLANNED(k_avg_bwd, "avg_pool3d.bwd", plan_bwd, run_avg_bwd);
KERNEL(k_adaptive, "adaptive_avg_pool3d", run_avg);
KERNEL_PLANNED(k_adaptive_bwd, "adaptive_avg_pool3d.bwd", plan_bwd, run_avg_bwd);

const hct_kernel *const REAL(cpu_pool)[] = {&k_max, &k_max_bwd, &k_avg, &k_avg_bwd, &k_adaptive, &k_adaptive_bwd, NULL};
