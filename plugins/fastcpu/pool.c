/* Max pooling of volumes whose last axis has no gaps: the rows of a window are reduced to one, column by column,
 * then each place takes the largest of its columns. */
#include "fast.h"

static hct_status plan_max(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    if (!dense_rows(p->in)) return hct_plugin_fail(err, HCT_NOTIMPL, "the last axis has gaps");
    return cpu_plan_workspace(p, ret, (uint64_t)p->in[0].dim[4] * (sizeof(float) + sizeof(int32_t)), err);
}

typedef struct span {
    int64_t from, to;
} span;
ALWAYS span window(const hct_attr *const *a, int axis, int64_t at, int64_t voxels) {
    const int64_t from = at * a[1]->ints[axis] - a[2]->ints[axis], to = from + a[0]->ints[axis];
    return (span){from < 0 ? 0 : from, to < voxels ? to : voxels};
}

/* The row x, whose first voxel is number `first`, into most and at. NaN is larger than all; of equals the first
 * counts, of NaNs the last. */
static void take_row(const real *restrict x, int64_t n, int32_t first, int fresh, float *restrict most,
                     int32_t *restrict at) {
    for (int64_t i = 0; i < n; i++) {
        const float e = ld1(x[i]), m = most[i];
        const int take = fresh | (e > m) | (e != e);
        most[i] = take ? e : m;
        at[i] = take ? first + (int32_t)i : at[i];
    }
}

RUN(run_max) {
    UNUSED_RUN_ARGUMENTS;
    const hct_view *x = in;
    const int64_t *dim = x->dim + 2, *places = out->dim + 2, rows = out->dim[0] * out->dim[1] * places[0] * places[1];
    const hct_attr *a[] = {cpu_attr(p, "kernel"), cpu_attr(p, "stride"), cpu_attr(p, "padding")};
#pragma omp parallel for schedule(static) if (hct_numel(in) > SMALL_BYTES / 4)
    for (int64_t r = 0; r < rows; r++) {
        const int64_t channel = r / (places[0] * places[1]);
        const real *volume =
            (const real *)hct_ptr(x) + channel / x->dim[1] * x->stride[0] + channel % x->dim[1] * x->stride[1];
        const span w0 = window(a, 0, r / places[1] % places[0], dim[0]), w1 = window(a, 1, r % places[1], dim[1]);
        float *most = (float *)(void *)cpu_workspace(p, ws);
        int32_t *at = (int32_t *)(void *)(most + dim[2]);
        for (int64_t i = w0.from; i < w0.to; i++)
            for (int64_t j = w1.from; j < w1.to; j++)
                take_row(volume + i * x->stride[2] + j * x->stride[3], dim[2], (int32_t)((i * dim[1] + j) * dim[2]),
                         i == w0.from && j == w1.from, most, at);
        for (int64_t k = 0; k < places[2]; k++) {
            const span w2 = window(a, 2, k, dim[2]);
            float best = most[w2.from];
            int32_t of = at[w2.from];
            for (int64_t c = w2.from + 1; c < w2.to; c++) {
                const int take =
                    most[c] != most[c] ? best == best || at[c] > of : most[c] > best || (most[c] == best && at[c] < of);
                best = take ? most[c] : best;
                of = take ? at[c] : of;
            }
            ((real *)hct_ptr(&out[0]))[r * places[2] + k] = st1(best);
            ((int32_t *)hct_ptr(&out[1]))[r * places[2] + k] = of;
        }
    }
    return HCT_OK;
}

FAST_KERNEL(k_max, "max_pool3d", plan_max, run_max);

const hct_kernel *const FAST(fast_pool)[] = {&k_max, NULL};
