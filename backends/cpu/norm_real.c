/* Layer norm, batch norm, L2 norm. Statistics in double, stored as stat. */
#include "real.h"

#include <math.h>
#include <string.h>

#define STAT(view, i) (((const stat *)hct_ptr(view))[cpu_row((view), 0, (i))])

/* ---- layer norm, and of a sum: then out is s = x + h before the others, and what is normalised is s as it is
 * stored ---- */

static void add_rows(const hct_view *x, const hct_view *h, const hct_view *s) {
    int64_t c = x->dim[x->ndim - 1], rows = cpu_rows(x, 1);
#pragma omp parallel for schedule(static) if (rows * c > CPU_CHUNK)
    for (int64_t r = 0; r < rows; r++) {
        const real *a = (const real *)hct_ptr(x) + cpu_row(x, 1, r), *b = (const real *)hct_ptr(h) + cpu_row(h, 1, r);
        for (int64_t i = 0; i < c; i++)
            ((real *)hct_ptr(s))[r * c + i] = st(ld(a[i * x->stride[x->ndim - 1]]) + ld(b[i * h->stride[h->ndim - 1]]));
    }
}

static hct_status run_ln(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                         hct_err *err) {
    (void)s, (void)ws, (void)err;
    const hct_view *x = &in[0];
    int64_t c = x->dim[x->ndim - 1], rows = cpu_rows(x, 1), sx = x->stride[x->ndim - 1], sw = in[1].stride[0],
            sb = in[2].stride[0];
    const real *w = hct_ptr(&in[1]), *b = hct_ptr(&in[2]);
    double eps = cpu_real(p, "eps");
#pragma omp parallel for schedule(static) if (rows * c > CPU_CHUNK)
    for (int64_t r = 0; r < rows; r++) {
        const real *row = (const real *)hct_ptr(x) + cpu_row(x, 1, r);
        real *y = (real *)hct_ptr(&out[0]) + r * c;
        double sum = 0, square = 0;
        for (int64_t i = 0; i < c; i++) sum += (double)ld(row[i * sx]);
        double mean = sum / (double)c;
        for (int64_t i = 0; i < c; i++) {
            double d = (double)ld(row[i * sx]) - mean;
            square += d * d;
        }
        double rstd = 1 / sqrt(square / (double)c + eps);
        acc m = (acc)mean, k = (acc)rstd;
        for (int64_t i = 0; i < c; i++) y[i] = st((ld(row[i * sx]) - m) * k * ld(w[i * sw]) + ld(b[i * sb]));
        ((stat *)hct_ptr(&out[1]))[r] = (stat)mean;
        ((stat *)hct_ptr(&out[2]))[r] = (stat)rstd;
    }
    return HCT_OK;
}

static hct_status run_add_ln(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                             const hct_view *ws, hct_err *err) {
    add_rows(&in[0], &in[1], &out[0]);
    return run_ln(p, s, (const hct_view[]){out[0], in[2], in[3]}, out + 1, ws, err);
}

/* dw and db are summed in double, one pair of rows a thread. */
static hct_status plan_ln_bwd(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return cpu_plan_workspace(p, ret, 2 * (uint64_t)p->in[1].dim[0] * sizeof(double), err);
}

static hct_status run_ln_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                             const hct_view *ws, hct_err *err) {
    (void)s, (void)err;
    const hct_view *x = &in[0], *dy = &in[4];
    int64_t c = x->dim[x->ndim - 1], rows = cpu_rows(x, 1), sx = x->stride[x->ndim - 1], sg = dy->stride[dy->ndim - 1],
            sw = in[1].stride[0];
    const real *w = hct_ptr(&in[1]);
    const hct_view *ds = cpu_state(p)->n_in == 6 ? &in[5] : NULL; /* what comes to s beside its norm */
    uint32_t parts = cpu_state(p)->threads;
#pragma omp parallel for schedule(static) if (rows * c > CPU_CHUNK)
    /* a fixed share of the rows each, so that the sums do not depend on timing */
    for (uint32_t part = 0; part < parts; part++) {
        double *dw = (double *)((char *)hct_ptr(ws) + part * cpu_state(p)->per_thread), *db = dw + c;
        memset(dw, 0, 2 * (size_t)c * sizeof *dw);
        for (int64_t r = rows * part / parts; r < rows * (part + 1) / parts; r++) {
            const real *row = (const real *)hct_ptr(x) + cpu_row(x, 1, r),
                       *g = (const real *)hct_ptr(dy) + cpu_row(dy, 1, r);
            const real *add = ds ? (const real *)hct_ptr(ds) + cpu_row(ds, 1, r) : NULL;
            real *dx = (real *)hct_ptr(&out[0]) + r * c;
            acc mean = (acc)STAT(&in[2], r), rstd = (acc)STAT(&in[3], r);
            double sum = 0, dot = 0;
            for (int64_t i = 0; i < c; i++) {
                acc xhat = (ld(row[i * sx]) - mean) * rstd, grad = ld(g[i * sg]), gw = grad * ld(w[i * sw]);
                sum += (double)gw;
                dot += (double)(gw * xhat);
                dw[i] += (double)(grad * xhat);
                db[i] += (double)grad;
            }
            acc a = (acc)(sum / (double)c), b = (acc)(dot / (double)c);
            for (int64_t i = 0; i < c; i++) {
                acc xhat = (ld(row[i * sx]) - mean) * rstd, beside = add ? ld(add[i * ds->stride[ds->ndim - 1]]) : 0;
                dx[i] = st(rstd * (ld(g[i * sg]) * ld(w[i * sw]) - a - xhat * b) + beside);
            }
        }
    }
    for (int64_t i = 0; i < c; i++) {
        double dw = 0, db = 0;
        for (uint32_t part = 0; part < parts; part++) {
            const double *sums = (const double *)((char *)hct_ptr(ws) + part * cpu_state(p)->per_thread);
            dw += sums[i];
            db += sums[c + i];
        }
        ((real *)hct_ptr(&out[1]))[i] = st((acc)dw);
        ((real *)hct_ptr(&out[2]))[i] = st((acc)db);
    }
    return HCT_OK;
}

/* ---- batch norm: column statistics of x [N, C] ---- */

static hct_status run_bn(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                         hct_err *err) {
    (void)s, (void)ws, (void)err;
    int64_t n = in->dim[0], c = in->dim[1], sn = in->stride[0], sc = in->stride[1];
    double eps = cpu_real(p, "eps");
    for (int64_t j = 0; j < c; j++) {
        const real *x = (const real *)hct_ptr(in) + j * sc;
        real *y = (real *)hct_ptr(&out[0]) + j;
        double sum = 0, square = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)ld(x[i * sn]);
        double mean = sum / (double)n;
        for (int64_t i = 0; i < n; i++) {
            double d = (double)ld(x[i * sn]) - mean;
            square += d * d;
        }
        double var = square / (double)n, rstd = 1 / sqrt(var + eps);
        for (int64_t i = 0; i < n; i++) y[i * c] = st((acc)(((double)ld(x[i * sn]) - mean) * rstd));
        ((stat *)hct_ptr(&out[1]))[j] = (stat)mean;
        ((stat *)hct_ptr(&out[2]))[j] = (stat)rstd;
        ((stat *)hct_ptr(&out[3]))[j] = (stat)var;
    }
    return HCT_OK;
}

static hct_status run_bn_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                             const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)ws, (void)err;
    int64_t n = in->dim[0], c = in->dim[1];
    for (int64_t j = 0; j < c; j++) {
        const real *x = (const real *)hct_ptr(in) + j * in->stride[1],
                   *g = (const real *)hct_ptr(&in[3]) + j * in[3].stride[1];
        double mean = (double)STAT(&in[1], j), rstd = (double)STAT(&in[2], j), sum = 0, dot = 0;
        for (int64_t i = 0; i < n; i++) {
            double grad = (double)ld(g[i * in[3].stride[0]]);
            sum += grad;
            dot += grad * ((double)ld(x[i * in->stride[0]]) - mean) * rstd;
        }
        for (int64_t i = 0; i < n; i++) {
            double xhat = ((double)ld(x[i * in->stride[0]]) - mean) * rstd, grad = (double)ld(g[i * in[3].stride[0]]);
            ((real *)hct_ptr(out))[i * c + j] = st((acc)(rstd * (grad - sum / (double)n - xhat * dot / (double)n)));
        }
    }
    return HCT_OK;
}

static hct_status run_bn_update(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                                const hct_view *ws, hct_err *err) {
    (void)s, (void)ws, (void)err;
    double momentum = cpu_real(p, "momentum"), n = (double)cpu_int(p, "n");
    for (int k = 0; k < 2; k++) {
        real *r = hct_ptr(&out[k]);
        for (int64_t j = 0; j < out[k].dim[0]; j++) {
            double have = (double)ld(r[j * out[k].stride[0]]),
                   fresh = (double)STAT(&in[2 + k], j) * (k ? n / (n - 1) : 1);
            r[j * out[k].stride[0]] = st((acc)(have + momentum * (fresh - have)));
        }
    }
    return HCT_OK;
}

/* ---- L2 norm ---- */

static hct_status run_l2(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                         hct_err *err) {
    (void)s, (void)ws, (void)err;
    int64_t c = in->dim[in->ndim - 1], step = in->stride[in->ndim - 1], rows = cpu_rows(in, 1);
    double eps = cpu_real(p, "eps");
    for (int64_t r = 0; r < rows; r++) {
        const real *x = (const real *)hct_ptr(in) + cpu_row(in, 1, r);
        double square = 0;
        for (int64_t i = 0; i < c; i++) square += (double)ld(x[i * step]) * (double)ld(x[i * step]);
        double norm = fmax(sqrt(square), eps);
        for (int64_t i = 0; i < c; i++)
            ((real *)hct_ptr(&out[0]))[r * c + i] = st((acc)((double)ld(x[i * step]) / norm));
        ((stat *)hct_ptr(&out[1]))[r] = (stat)norm;
    }
    return HCT_OK;
}

static hct_status run_l2_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                             const hct_view *ws, hct_err *err) {
    (void)s, (void)ws, (void)err;
    const hct_view *yv = &in[0], *gv = &in[2];
    int64_t c = yv->dim[yv->ndim - 1], sy = yv->stride[yv->ndim - 1], sg = gv->stride[gv->ndim - 1],
            rows = cpu_rows(yv, 1);
    double eps = cpu_real(p, "eps");
    for (int64_t r = 0; r < rows; r++) {
        const real *y = (const real *)hct_ptr(yv) + cpu_row(yv, 1, r),
                   *g = (const real *)hct_ptr(gv) + cpu_row(gv, 1, r);
        double norm = (double)STAT(&in[1], r), dot = 0;
        for (int64_t i = 0; i < c; i++) dot += (double)ld(y[i * sy]) * (double)ld(g[i * sg]);
        if (norm <= (double)(stat)eps) dot = 0; /* held at eps: a plain division */
        for (int64_t i = 0; i < c; i++)
            ((real *)hct_ptr(out))[r * c + i] = st((acc)(((double)ld(g[i * sg]) - (double)ld(y[i * sy]) * dot) / norm));
    }
    return HCT_OK;
}

KERNEL(k_ln, "layer_norm", run_ln);
KERNEL_PLANNED(k_ln_bwd, "layer_norm.bwd", plan_ln_bwd, run_ln_bwd);
KERNEL(k_add_ln, "add_layer_norm", run_add_ln);
KERNEL_PLANNED(k_add_ln_bwd, "add_layer_norm.bwd", plan_ln_bwd, run_ln_bwd);
KERNEL(k_bn, "batch_norm", run_bn);
KERNEL(k_bn_bwd, "batch_norm.bwd", run_bn_bwd);
KERNEL(k_bn_update, "batch_norm.update", run_bn_update);
KERNEL(k_l2, "l2_normalize", run_l2);
KERNEL(k_l2_bwd, "l2_normalize.bwd", run_l2_bwd);

const hct_kernel *const REAL(cpu_norm)[] = {&k_ln,     &k_ln_bwd,    &k_add_ln, &k_add_ln_bwd, &k_bn,
                                            &k_bn_bwd, &k_bn_update, &k_l2,     &k_l2_bwd,     NULL};
