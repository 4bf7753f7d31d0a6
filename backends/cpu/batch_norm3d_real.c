/* Affine batch norm over all axes but the channels: a task is one channel. Statistics in double, stored as stat. */
#include "real.h"

#include <math.h>

#define STAT(view, i) ((double)((const stat *)hct_ptr(view))[(i) * (view)->stride[0]])
#define VALUE(view, i) ((double)ld(((const real *)hct_ptr(view))[(i) * (view)->stride[0]]))

/* Sample b's channel c of v: element i of the rest, any strides. */
typedef struct channel {
    const hct_view *v;
    int64_t at, n;
} channel;
static double element(const channel *k, int64_t i) {
    int64_t o = k->at;
    for (int d = k->v->ndim - 1; d >= 2; d--) {
        o += i % k->v->dim[d] * k->v->stride[d];
        i /= k->v->dim[d];
    }
    return (double)ld(((const real *)hct_ptr(k->v))[o]);
}
static channel channel_of(const hct_view *v, int64_t b, int64_t c) {
    channel k = {v, b * v->stride[0] + c * v->stride[1], 1};
    for (int d = 2; d < v->ndim; d++) k.n *= v->dim[d];
    return k;
}
#define EACH(x, c)                                                                                                     \
    for (int64_t b = 0; b < (x)->dim[0]; b++)                                                                          \
        for (channel k = channel_of((x), b, (c)), *once = &k; once; once = NULL)                                       \
            for (int64_t i = 0; i < k.n; i++)

static void apply(const hct_view *in, const hct_view *out, int64_t c, double mean, double rstd) {
    double w = VALUE(&in[1], c), bias = VALUE(&in[2], c);
    EACH(in, c)
    ((real *)hct_ptr(out))[(b * in->dim[1] + c) * k.n + i] = st((acc)((element(&k, i) - mean) * rstd * w + bias));
}

static hct_status run_train(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                            const hct_view *ws, hct_err *err) {
    (void)s, (void)ws, (void)err;
    double eps = cpu_real(p, "eps");
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < in->dim[1]; c++) {
        double n = (double)(hct_numel(in) / in->dim[1]), sum = 0, square = 0;
        EACH(in, c) sum += element(&k, i);
        double mean = sum / n;
        EACH(in, c) square += (element(&k, i) - mean) * (element(&k, i) - mean);
        double var = square / n, rstd = 1 / sqrt(var + eps);
        apply(in, out, c, mean, rstd);
        ((stat *)hct_ptr(&out[1]))[c] = (stat)mean;
        ((stat *)hct_ptr(&out[2]))[c] = (stat)rstd;
        ((stat *)hct_ptr(&out[3]))[c] = (stat)var;
    }
    return HCT_OK;
}

static hct_status run_eval(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                           const hct_view *ws, hct_err *err) {
    (void)s, (void)ws, (void)err;
    double eps = cpu_real(p, "eps");
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < in->dim[1]; c++) apply(in, out, c, STAT(&in[3], c), 1 / sqrt(STAT(&in[4], c) + eps));
    return HCT_OK;
}

/* in: x, w, mean, rstd (or var, where the statistics are fixed), dy */
static hct_status backward(const hct_plan *p, const hct_view *in, const hct_view *out, int fixed) {
    const hct_view *dy = &in[4];
    double eps = cpu_real(p, "eps");
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < in->dim[1]; c++) {
        double mean = STAT(&in[2], c), rstd = fixed ? 1 / sqrt(STAT(&in[3], c) + eps) : STAT(&in[3], c),
               w = VALUE(&in[1], c);
        double n = (double)(hct_numel(in) / in->dim[1]), sum = 0, dot = 0;
        EACH(in, c) {
            channel g = channel_of(dy, b, c);
            sum += element(&g, i);
            dot += element(&g, i) * (element(&k, i) - mean) * rstd;
        }
        EACH(in, c) {
            channel g = channel_of(dy, b, c);
            /* what moves mean and variance */
            double through = fixed ? 0 : (sum + (element(&k, i) - mean) * rstd * dot) / n;
            ((real *)hct_ptr(&out[0]))[(b * in->dim[1] + c) * k.n + i] =
                st((acc)(w * rstd * (element(&g, i) - through)));
        }
        ((real *)hct_ptr(&out[1]))[c] = st((acc)dot);
        ((real *)hct_ptr(&out[2]))[c] = st((acc)sum);
    }
    return HCT_OK;
}
static hct_status run_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                          hct_err *err) {
    (void)s, (void)ws, (void)err;
    return backward(p, in, out, 0);
}
static hct_status run_eval_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                               const hct_view *ws, hct_err *err) {
    (void)s, (void)ws, (void)err;
    return backward(p, in, out, 1);
}

KERNEL(k_train, "batch_norm3d", run_train);
KERNEL(k_bwd, "batch_norm3d.bwd", run_bwd);
KERNEL(k_eval, "batch_norm3d_eval", run_eval);
KERNEL(k_eval_bwd, "batch_norm3d_eval.bwd", run_eval_bwd);

const hct_kernel *const REAL(cpu_batch_norm3d)[] = {&k_train, &k_bwd, &k_eval, &k_eval_bwd, NULL};
