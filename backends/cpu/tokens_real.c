/* gather's backward: rows are added back to where they came from, a sample at a time. */
#include "real.h"

#include <stdlib.h>

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return cpu_plan_workspace(p, ret,
                              (uint64_t)hct_attr_int(p->attr, p->n_attr, "tokens", 0) * (uint64_t)p->in[0].dim[2] *
                                  sizeof(double),
                              err);
}

static hct_status scatter_rows(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                               const hct_view *ws, hct_err *err) {
    (void)s;
    const hct_view *dy = &in[0], *index = &in[1];
    int64_t tokens = out->dim[1], c = out->dim[2], bad = 0;
#pragma omp parallel for schedule(static) if (dy->dim[0] > 1) reduction(+ : bad)
    for (int64_t b = 0; b < dy->dim[0]; b++) {
        double *sum = (double *)cpu_workspace(p, ws);
        real *dx = (real *)hct_ptr(out) + b * tokens * c;
        for (int64_t i = 0; i < tokens * c; i++) sum[i] = 0;
        for (int64_t k = 0; k < dy->dim[1]; k++) {
            int32_t at = ((const int32_t *)hct_ptr(index))[b * index->stride[0] + k * index->stride[1]];
            const real *g = (const real *)hct_ptr(dy) + b * dy->stride[0] + k * dy->stride[1];
            if (at < 0 || at >= tokens) {
                bad++;
                continue;
            }
            for (int64_t i = 0; i < c; i++) sum[at * c + i] += (double)ld(g[i * dy->stride[2]]);
        }
        for (int64_t i = 0; i < tokens * c; i++) dx[i] = st((acc)sum[i]);
    }
    return bad ? hct_plugin_fail(err, HCT_EINVAL, "%lld indices lie outside [0, %lld)", (long long)bad,
                                 (long long)tokens)
               : HCT_OK;
}

KERNEL_PLANNED(k_gather_bwd, "gather.bwd", plan, scatter_rows);

const hct_kernel *const REAL(cpu_tokens)[] = {&k_gather_bwd, NULL};
