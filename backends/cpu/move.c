/* Kernels that only move elements, for any dtype: copy, cast, fill, concat, slice.bwd, gather, unfold3d, fold3d. */
#include "kit/cpu.h"

#include "../patches.h"
#include "hct/half.h"

#include <string.h>

#define RUN(name)                                                                                                      \
    static hct_status name(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,                  \
                           const hct_view *ws, hct_err *err)
#define KERNEL_ANY(id, op_, run_)                                                                                      \
    static const hct_kernel id = {.size = sizeof(hct_kernel),                                                          \
                                  .name = "ref:" op_,                                                                  \
                                  .op = op_,                                                                           \
                                  .backend = "cpu",                                                                    \
                                  .plan = cpu_plan,                                                                    \
                                  .run = run_,                                                                         \
                                  .release = cpu_release}

/* One axis of n elements, sa and sb bytes apart. */
static void move_axis(int64_t n, char *a, int64_t sa, const char *b, int64_t sb, size_t size) {
    if (sa == (int64_t)size && sb == (int64_t)size) {
        memcpy(a, b, (size_t)n * size);
    } else if (size == 4) {
        for (int64_t i = 0; i < n; i++) memcpy(a + i * sa, b + i * sb, 4);
    } else {
        for (int64_t i = 0; i < n; i++) memcpy(a + i * sa, b + i * sb, size);
    }
}

/* The axes from d on, one loop inside the other; a and b point to their first element. Of the last two the longer
 * one is inside, unless elements of the last lie together. */
static void move_axes(const cpu_loop *l, int d, char *a, const char *b, size_t size) {
    int64_t n = l->dim[d], sa = l->stride[0][d] * (int64_t)size, sb = l->stride[1][d] * (int64_t)size;
    if (d + 1 == l->ndim) {
        move_axis(n, a, sa, b, sb, size);
    } else if (d + 2 == l->ndim) {
        int64_t m = l->dim[d + 1], ta = l->stride[0][d + 1] * (int64_t)size, tb = l->stride[1][d + 1] * (int64_t)size;
        if (n > m && (ta != (int64_t)size || tb != (int64_t)size))
            for (int64_t i = 0; i < m; i++) move_axis(n, a + i * ta, sa, b + i * tb, sb, size);
        else
            for (int64_t i = 0; i < n; i++) move_axis(m, a + i * sa, ta, b + i * sb, tb, size);
    } else {
        for (int64_t i = 0; i < n; i++) move_axes(l, d + 1, a + i * sa, b + i * sb, size);
    }
}

/* to[i] = from[i] over equal dims, any strides. Enough leading axes to keep the threads busy are shared out among
 * them. */
static void move(const hct_view *to, const hct_view *from) {
    size_t size = hct_dtype_bytes(to->dtype);
    cpu_loop l;
    cpu_loop_init(&l, 2, (const hct_view *const[]){to, from});
    int shared = 0;
    int64_t tasks = 1, all = 1;
    for (int d = 0; d < l.ndim; d++) all *= l.dim[d];
    while (shared < l.ndim - 1 && tasks < 16) tasks *= l.dim[shared++];
    if (all == 0) return;
#pragma omp parallel for schedule(static) if (all > CPU_CHUNK && tasks > 1)
    for (int64_t task = 0; task < tasks; task++) {
        int64_t rest = task, oa = 0, ob = 0;
        for (int d = shared - 1; d >= 0; d--) {
            oa += rest % l.dim[d] * l.stride[0][d];
            ob += rest % l.dim[d] * l.stride[1][d];
            rest /= l.dim[d];
        }
        move_axes(&l, shared, (char *)hct_ptr(to) + oa * (int64_t)size,
                  (const char *)hct_ptr(from) + ob * (int64_t)size, size);
    }
}

RUN(run_copy) {
    (void)p, (void)s, (void)ws, (void)err;
    move(out, in);
    return HCT_OK;
}

/* ---- cast, through double (every dtype but large I64 fits) ---- */

static double get(const void *mem, int64_t i, int32_t dtype) {
    switch (dtype) {
    case HCT_F32: return (double)((const float *)mem)[i];
    case HCT_F64: return ((const double *)mem)[i];
    case HCT_BF16: return (double)hct_f32_from_bf16(((const uint16_t *)mem)[i]);
    case HCT_F16: return (double)hct_f32_from_f16(((const uint16_t *)mem)[i]);
    case HCT_I64: return (double)((const int64_t *)mem)[i];
    case HCT_I32: return ((const int32_t *)mem)[i];
    case HCT_I16: return ((const int16_t *)mem)[i];
    case HCT_I8: return ((const int8_t *)mem)[i];
    default: return ((const uint8_t *)mem)[i];
    }
}

/* Towards zero, held at the ends of the range; NaN becomes 0. */
static int64_t whole(double v, double low, double high) {
    if (!(v > low)) return v != v ? 0 : (int64_t)low;
    return v < high ? (int64_t)v : high >= 0x1p63 ? INT64_MAX : (int64_t)high;
}

static void put(void *mem, int64_t i, int32_t dtype, double v) {
    switch (dtype) {
    case HCT_F32: ((float *)mem)[i] = (float)v; break;
    case HCT_F64: ((double *)mem)[i] = v; break;
    case HCT_BF16: ((uint16_t *)mem)[i] = hct_bf16_from_f32((float)v); break;
    case HCT_F16: ((uint16_t *)mem)[i] = hct_f16_from_f32((float)v); break;
    case HCT_I64: ((int64_t *)mem)[i] = whole(v, -0x1p63, 0x1p63); break;
    case HCT_I32: ((int32_t *)mem)[i] = (int32_t)whole(v, INT32_MIN, INT32_MAX); break;
    case HCT_I16: ((int16_t *)mem)[i] = (int16_t)whole(v, INT16_MIN, INT16_MAX); break;
    case HCT_I8: ((int8_t *)mem)[i] = (int8_t)whole(v, INT8_MIN, INT8_MAX); break;
    default: ((uint8_t *)mem)[i] = (uint8_t)whole(v, 0, UINT8_MAX);
    }
}

RUN(run_cast) {
    (void)p, (void)s, (void)ws, (void)err;
    cpu_loop l;
    cpu_loop_init(&l, 2, (const hct_view *const[]){out, in});
    int64_t so = cpu_step(&l, 0), si = cpu_step(&l, 1);
#pragma omp parallel for schedule(static) if (l.tasks > 1)
    for (int64_t task = 0; task < l.tasks; task++) {
        int64_t o[CPU_OPERANDS], n;
        cpu_loop_task(&l, task, o, &n);
        for (int64_t i = 0; i < n; i++)
            put(hct_ptr(out), o[0] + i * so, out->dtype, get(hct_ptr(in), o[1] + i * si, in->dtype));
    }
    return HCT_OK;
}

RUN(run_fill) {
    (void)s, (void)ws, (void)err, (void)in;
    double v = cpu_real(p, "value");
    int64_t n = hct_numel(out);
    for (int64_t i = 0; i < n; i++) put(hct_ptr(out), i, out->dtype, v);
    return HCT_OK;
}

/* ---- concat, slice.bwd: pieces of a whole ---- */

static hct_view piece(const hct_view *whole_, int64_t axis, int64_t start, int64_t length) {
    hct_view v = *whole_;
    v.off += (uint64_t)(start * v.stride[axis]) * hct_dtype_bytes(v.dtype);
    v.dim[axis] = length;
    return v;
}

RUN(run_concat) {
    (void)s, (void)ws, (void)err;
    int64_t axis = cpu_int(p, "axis"), at = 0;
    for (uint32_t i = 0; i < cpu_state(p)->n_in; i++) {
        hct_view to = piece(out, axis, at, in[i].dim[axis]);
        move(&to, &in[i]);
        at += in[i].dim[axis];
    }
    return HCT_OK;
}

RUN(run_slice_bwd) {
    (void)s, (void)ws, (void)err;
    int64_t axis = cpu_int(p, "axis");
    memset(hct_ptr(out), 0, (size_t)hct_numel(out) * hct_dtype_bytes(out->dtype));
    hct_view to = piece(out, axis, cpu_int(p, "start"), in->dim[axis]);
    move(&to, in);
    return HCT_OK;
}

/* ---- tokens ---- */

RUN(run_gather) {
    (void)p, (void)s, (void)ws;
    const hct_view *x = &in[0], *index = &in[1];
    size_t size = hct_dtype_bytes(x->dtype);
    int64_t c = x->dim[2], bad = 0;
#pragma omp parallel for schedule(static) reduction(+ : bad) if (hct_numel(out) > CPU_CHUNK)
    for (int64_t b = 0; b < x->dim[0]; b++)
        for (int64_t k = 0; k < index->dim[1]; k++) {
            int32_t at = ((const int32_t *)hct_ptr(index))[b * index->stride[0] + k * index->stride[1]];
            char *to = (char *)hct_ptr(out) + (size_t)((b * index->dim[1] + k) * c) * size;
            if (at < 0 || at >= x->dim[1]) {
                bad++;
                memset(to, 0, (size_t)c * size);
                continue;
            }
            const char *from = (const char *)hct_ptr(x) + (b * x->stride[0] + at * x->stride[1]) * (int64_t)size;
            if (x->stride[2] == 1) memcpy(to, from, (size_t)c * size);
            else
                for (int64_t i = 0; i < c; i++)
                    memcpy(to + (size_t)i * size, from + i * x->stride[2] * (int64_t)size, size);
        }
    return bad ? hct_plugin_fail(err, HCT_EINVAL, "%lld indices lie outside [0, %lld)", (long long)bad,
                                 (long long)x->dim[1])
               : HCT_OK;
}

RUN(run_unfold) {
    (void)s, (void)ws, (void)err;
    hct_view volume, patches;
    hct_as_patches(in, out, cpu_int(p, "patch"), (int)cpu_int(p, "channel_last"), &volume, &patches);
    move(&patches, &volume);
    return HCT_OK;
}

RUN(run_fold) {
    (void)s, (void)ws, (void)err;
    hct_view volume, patches;
    hct_as_patches(out, in, cpu_int(p, "patch"), (int)cpu_int(p, "channel_last"), &volume, &patches);
    move(&volume, &patches);
    return HCT_OK;
}

KERNEL_ANY(k_copy, "copy", run_copy);
KERNEL_ANY(k_cast, "cast", run_cast);
KERNEL_ANY(k_fill, "fill", run_fill);
KERNEL_ANY(k_concat, "concat", run_concat);
KERNEL_ANY(k_slice_bwd, "slice.bwd", run_slice_bwd);
KERNEL_ANY(k_gather, "gather", run_gather);
KERNEL_ANY(k_unfold, "unfold3d", run_unfold);
KERNEL_ANY(k_fold, "fold3d", run_fold);

const hct_kernel *const cpu_move[] = {&k_copy,   &k_cast,   &k_fill, &k_concat, &k_slice_bwd,
                                      &k_gather, &k_unfold, &k_fold, NULL};
