/* Sums over ranks: packed into the workspace, so that a bucket is one exchange. */
#include "real.h"

#include "hct/comm.h"

static hct_status plan_reduce(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    hct_status st = cpu_plan(d, p, ret, err);
    for (uint32_t i = 0; i < p->n_in; i++) ret->workspace += (uint64_t)hct_numel(&p->in[i]) * sizeof(real);
    ret->may_alias = 1;
    for (uint32_t i = 1; i < p->n_in && i < 8; i++) ret->may_alias |= (uint64_t)1 << (i * 8 + i);
    return st;
}

static hct_status run_reduce(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                             const hct_view *ws, hct_err *err) {
    (void)s;
    const cpu_call *c = cpu_state(p);
    const hct_comm *comm = cpu_comm;
    acc scale = (acc)cpu_real(p, "scale");
    real *all = hct_ptr(ws);
    uint64_t n = 0;
    for (uint32_t i = 0; i < c->n_in; i++) {
        const real *x = hct_ptr(&in[i]);
        int64_t m = hct_numel(&in[i]);
        int even = hct_is_contiguous(&in[i]);
        for (int64_t j = 0; j < m; j++) all[n++] = x[even ? j : cpu_row(&in[i], 0, j)];
    }
    hct_status done = comm ? comm->all_reduce(comm, all, n, REAL_DTYPE, err) : HCT_OK;
    n = 0;
    for (uint32_t i = 0; done == HCT_OK && i < c->n_in; i++) {
        real *y = hct_ptr(&out[i]);
        for (int64_t j = 0, m = hct_numel(&out[i]); j < m; j++) y[j] = st(scale * ld(all[n++]));
    }
    return done;
}

static hct_status run_wait(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                           const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)in, (void)ws, (void)err;
    *(float *)hct_ptr(out) = 0; /* every exchange has ended when its kernel returns */
    return HCT_OK;
}

KERNEL_PLANNED(k_reduce, "all_reduce", plan_reduce, run_reduce);
KERNEL(k_wait, "all_reduce.wait", run_wait);

const hct_kernel *const REAL(cpu_collective)[] = {&k_reduce, &k_wait, NULL};
