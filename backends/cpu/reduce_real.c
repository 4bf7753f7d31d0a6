/* Sums over axes, in double. Where the last axis stays, rows are added to a row of sums; where it goes, each sum
 * walks alone. */
#include "real.h"

#include <string.h>

typedef struct split { /* the axes that stay and those that are summed */
    int n_kept, n_gone;
    int64_t kept_dim[HCT_MAX_DIMS], kept_stride[HCT_MAX_DIMS], gone_dim[HCT_MAX_DIMS], gone_stride[HCT_MAX_DIMS];
    int64_t kept, gone; /* elements */
} split;

static split split_axes(const hct_view *x, int64_t axes) {
    split s = {.kept = 1, .gone = 1};
    for (int d = 0; d < x->ndim; d++) {
        if (axes >> d & 1) {
            s.gone_dim[s.n_gone] = x->dim[d];
            s.gone_stride[s.n_gone++] = x->stride[d];
            s.gone *= x->dim[d];
        } else {
            s.kept_dim[s.n_kept] = x->dim[d];
            s.kept_stride[s.n_kept++] = x->stride[d];
            s.kept *= x->dim[d];
        }
    }
    return s;
}

static int64_t offset(int64_t i, int n, const int64_t *dim, const int64_t *stride) {
    int64_t o = 0;
    for (int d = n - 1; d >= 0; d--) {
        o += i % dim[d] * stride[d];
        i /= dim[d];
    }
    return o;
}

enum { STRIP = 256 }; /* sums held at once */

static hct_status run_sum(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                          const hct_view *ws, hct_err *err) {
    (void)stream, (void)ws, (void)err;
    const real *x = hct_ptr(in);
    real *y = hct_ptr(out);
    split s = split_axes(in, cpu_int(p, "axes"));
    int last_stays = s.n_kept && s.kept_stride[s.n_kept - 1] == 1;
    int64_t inner = last_stays ? s.kept_dim[s.n_kept - 1] : 1, strips = (inner + STRIP - 1) / STRIP;
    int64_t tasks = inner ? s.kept / inner * strips : 0;
#pragma omp parallel for schedule(static) if (s.kept * s.gone > CPU_CHUNK)
    for (int64_t task = 0; task < tasks; task++) {
        int64_t first = task / strips * inner + task % strips * STRIP, width = inner - task % strips * STRIP;
        if (width > STRIP) width = STRIP;
        double sum[STRIP] = {0};
        const real *from = x + offset(first, s.n_kept, s.kept_dim, s.kept_stride);
        int64_t run = s.n_gone ? s.gone_dim[s.n_gone - 1] : 1, step = s.n_gone ? s.gone_stride[s.n_gone - 1] : 0;
        for (int64_t r = 0; run && r < s.gone; r += run) {
            const real *row = from + offset(r, s.n_gone, s.gone_dim, s.gone_stride);
            for (int64_t g = 0; g < run; g++, row += step)
                for (int64_t i = 0; i < width; i++) sum[i] += (double)ld(row[i]);
        }
        for (int64_t i = 0; i < width; i++) y[first + i] = st((acc)sum[i]);
    }
    return HCT_OK;
}

KERNEL(k_sum, "sum", run_sum);

const hct_kernel *const REAL(cpu_reduce)[] = {&k_sum, NULL};
