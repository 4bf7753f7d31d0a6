/* Layer norm and softmax with their backwards, and sums over axes. Rows without gaps. */
#include "rows.h"

#include <math.h>

/* ---- layer norm ---- */

static hct_status plan_ln(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_rows(p, 7, ret, err);
}

/* in: x, w, b; out: y, mean, rstd. With h: of x + h, which goes to `stored`. */
static void layer_norm(const rows_plan *a, const hct_view *in, const hct_view *out, const hct_view *h,
                       const hct_view *stored) {
    const int64_t c = a->width;
    const real *w = hct_ptr(&in[1]), *b = hct_ptr(&in[2]);
    float *means = hct_ptr(&out[1]), *rstds = hct_ptr(&out[2]);
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t r = 0; r < a->rows; r++) {
        const real *x = row_of(&in[0], r);
        real *y = out_row(&out[0], c, r);
        if (h) { /* what is normalised is the sum as it is stored */
            const real *more = row_of(h, r);
            real *sum = out_row(stored, c, r);
            EACH_VECTOR(c, put(sum + i, vadd(get(x + i, n), get(more + i, n)), n););
            x = sum;
        }
        vf sum = vzero(), square = vzero();
        EACH_VECTOR(c, sum = vadd(sum, get(x + i, n)););
        const float mean = vsum(sum) / (float)c;
        const vf m = vset(mean);
        EACH_VECTOR(c, const vf e = only(vsub(get(x + i, n), m), n); square = vfma(e, e, square););
        const float rstd = 1 / sqrtf(vsum(square) / (float)c + a->eps);
        const vf k = vset(rstd);
        EACH_VECTOR(c, put(y + i, vfma(vmul(vsub(get(x + i, n), m), k), get(w + i, n), get(b + i, n)), n););
        means[r] = mean;
        rstds[r] = rstd;
    }
}

RUN(run_ln) {
    UNUSED_RUN_ARGUMENTS;
    layer_norm(p->state, in, out, NULL, NULL);
    return HCT_OK;
}

static hct_status plan_add_ln(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_rows(p, 15, ret, err);
}
RUN(run_add_ln) {
    UNUSED_RUN_ARGUMENTS;
    layer_norm(p->state, (const hct_view[]){in[0], in[2], in[3]}, out + 1, &in[1], &out[0]);
    return HCT_OK;
}

/* A share's sums: dw, db, and of the bundle that is under way. */
static hct_status plan_ln_bwd(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    for (int i = 2; i < 4; i++) {
        int64_t step;
        if (!even_rows(&p->in[i], 0, &step))
            return hct_plugin_fail(err, HCT_NOTIMPL, "mean and rstd do not lie evenly");
    }
    ret->workspace = PARTS * cpu_round(4 * (uint64_t)p->in[1].dim[0] * sizeof(float));
    return plan_rows(p, 1 | 2 | 16 | 32, ret, err);
}

/* beside: what comes to the normalised sum beside its norm, or NULL */
static void ln_bwd_share(const rows_plan *a, const hct_view *in, const hct_view *beside, const hct_view *out,
                         int64_t from, int64_t to, float *sums) {
    const int64_t c = a->width;
    const real *w = hct_ptr(&in[1]);
    const float *means = hct_ptr(&in[2]), *rstds = hct_ptr(&in[3]);
    int64_t step_mean, step_rstd;
    even_rows(&in[2], 0, &step_mean);
    even_rows(&in[3], 0, &step_rstd);
    float *dw = sums + 2 * c, *db = sums + 3 * c; /* of the bundle */
    memset(sums, 0, 4 * (size_t)c * sizeof *sums);
    for (int64_t r = from; r < to; r++) {
        const real *x = row_of(&in[0], r), *g = row_of(&in[4], r), *more = beside ? row_of(beside, r) : NULL;
        real *dx = out_row(&out[0], c, r);
        const vf mean = vset(means[r * step_mean]), rstd = vset(rstds[r * step_rstd]);
        vf sum = vzero(), dot = vzero();
        EACH_VECTOR(c, {
            const vf xhat = vmul(vsub(get(x + i, n), mean), rstd), grad = get(g + i, n), gw = vmul(grad, get(w + i, n));
            sum = vadd(sum, gw);
            dot = vfma(gw, xhat, dot);
            if (n == VL) {
                vstore(dw + i, vfma(grad, xhat, vload(dw + i)));
                vstore(db + i, vadd(grad, vload(db + i)));
            } else {
                vstore_n(dw + i, vfma(grad, xhat, vload_n(dw + i, n)), n);
                vstore_n(db + i, vadd(grad, vload_n(db + i, n)), n);
            }
        });
        const vf s = vset(vsum(sum) / (float)c), t = vset(vsum(dot) / (float)c);
        EACH_VECTOR(c, {
            const vf xhat = vmul(vsub(get(x + i, n), mean), rstd);
            const vf through = vmul(rstd, vsub(vfma(get(g + i, n), get(w + i, n), vsub(vzero(), s)), vmul(xhat, t)));
            put(dx + i, more ? vadd(through, get(more + i, n)) : through, n);
        });
        if ((r - from) % BUNDLE == BUNDLE - 1) carry(sums, dw, 2 * c);
    }
    carry(sums, dw, 2 * c);
}

static void layer_norm_bwd(const rows_plan *a, const hct_view *in, const hct_view *beside, const hct_view *out,
                           const hct_view *ws) {
    const int64_t c = a->width;
    const uint64_t each = cpu_round(4 * (uint64_t)c * sizeof(float));
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t part = 0; part < PARTS; part++)
        ln_bwd_share(a, in, beside, out, a->rows * part / PARTS, a->rows * (part + 1) / PARTS,
                     (float *)((char *)hct_ptr(ws) + (uint64_t)part * each));
    for (int64_t i = 0; i < c; i++) {
        double dw = 0, db = 0;
        for (int64_t part = 0; part < PARTS; part++) {
            const float *sums = (const float *)((const char *)hct_ptr(ws) + (uint64_t)part * each);
            dw += (double)sums[i];
            db += (double)sums[c + i];
        }
        ((real *)hct_ptr(&out[1]))[i] = st1((float)dw);
        ((real *)hct_ptr(&out[2]))[i] = st1((float)db);
    }
}
RUN(run_ln_bwd) {
    UNUSED_RUN_ARGUMENTS;
    layer_norm_bwd(p->state, in, NULL, out, ws);
    return HCT_OK;
}
RUN(run_add_ln_bwd) {
    UNUSED_RUN_ARGUMENTS;
    layer_norm_bwd(p->state, in, &in[5], out, ws);
    return HCT_OK;
}

/* ---- softmax ---- */

static hct_status plan_softmax(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_rows(p, 3, ret, err);
}

RUN(run_softmax) {
    UNUSED_RUN_ARGUMENTS;
    const rows_plan *a = p->state;
    const int64_t c = a->width;
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t r = 0; r < a->rows; r++) {
        const real *x = row_of(&in[0], r);
        real *y = out_row(&out[0], c, r);
        vf most = vset(-INFINITY), sum = vzero();
        float top = -INFINITY;
        int64_t j = 0;
        for (; j + VL <= c; j += VL) most = vmax(most, ld(x + j));
        if (j) top = vtop(most);
        for (; j < c; j++) top = ld1(x[j]) > top ? ld1(x[j]) : top;
        const vf shift = vset(top);
        EACH_VECTOR(c, sum = vadd(sum, only(vexp(vsub(get(x + i, n), shift)), n)););
        const vf inverse = vset(1 / vsum(sum));
        EACH_VECTOR(c, put(y + i, vmul(vexp(vsub(get(x + i, n), shift)), inverse), n););
    }
    return HCT_OK;
}

RUN(run_softmax_bwd) {
    UNUSED_RUN_ARGUMENTS;
    const rows_plan *a = p->state;
    const int64_t c = a->width;
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t r = 0; r < a->rows; r++) {
        const real *y = row_of(&in[0], r), *g = row_of(&in[1], r);
        real *dx = out_row(&out[0], c, r);
        vf dot = vzero();
        EACH_VECTOR(c, dot = vfma(get(y + i, n), get(g + i, n), dot););
        const vf d = vset(vsum(dot));
        EACH_VECTOR(c, put(dx + i, vmul(get(y + i, n), vsub(get(g + i, n), d)), n););
    }
    return HCT_OK;
}

/* ---- sum: of rows into one row (all axes but the last), or of each row ---- */

static hct_status plan_sum(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    const hct_view *x = &p->in[0];
    int64_t axes = hct_attr_int(p->attr, p->n_attr, "axes", 0), last = x->ndim ? (int64_t)1 << (x->ndim - 1) : 0;
    if (!last || (axes != last && axes != last - 1))
        return hct_plugin_fail(err, HCT_NOTIMPL, "only sums of rows, or into one row");
    hct_status st = plan_rows(p, 1, ret, err);
    /* one axis: both readings agree only if it is the last */
    if (st == HCT_OK) ((rows_plan *)ret->state)->axes = axes == last ? 1 : 0;
    return st;
}

static void sum_strip(const hct_view *x, int64_t rows, int64_t from, int64_t width, real *y) {
    float total[STRIP] = {0}, bundle[STRIP] = {0};
    for (int64_t r = 0; r < rows; r++) {
        const real *row = row_of(x, r) + from;
        EACH_VECTOR(width, {
            if (n == VL) vstore(bundle + i, vadd(vload(bundle + i), get(row + i, n)));
            else vstore_n(bundle + i, vadd(vload_n(bundle + i, n), get(row + i, n)), n);
        });
        if (r % BUNDLE == BUNDLE - 1) carry(total, bundle, width);
    }
    carry(total, bundle, width);
    for (int64_t i = 0; i < width; i++) y[from + i] = st1(total[i]);
}

RUN(run_sum) {
    UNUSED_RUN_ARGUMENTS;
    const rows_plan *a = p->state;
    real *y = hct_ptr(&out[0]);
    if (a->axes) {
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
        for (int64_t r = 0; r < a->rows; r++) {
            const real *x = row_of(&in[0], r);
            double sum = 0;
            for (int64_t at = 0; at < a->width; at += 16 * STRIP) {
                vf part = vzero();
                EACH_VECTOR(a->width - at < 16 * STRIP ? a->width - at : 16 * STRIP,
                            part = vadd(part, get(x + at + i, n)););
                sum += (double)vsum(part);
            }
            y[r] = st1((float)sum);
        }
        return HCT_OK;
    }
    /* a strip for each of 8 threads, if they are wide enough */
    int64_t strip = a->width / 8 < STRIP ? a->width / 8 / VL * VL : STRIP;
    if (strip < 64) strip = 64;
    int64_t strips = (a->width + strip - 1) / strip;
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t i = 0; i < strips; i++)
        sum_strip(&in[0], a->rows, i * strip, a->width - i * strip < strip ? a->width - i * strip : strip, y);
    return HCT_OK;
}

FAST_KERNEL(k_ln, "layer_norm", plan_ln, run_ln);
FAST_KERNEL(k_ln_bwd, "layer_norm.bwd", plan_ln_bwd, run_ln_bwd);
FAST_KERNEL(k_add_ln, "add_layer_norm", plan_add_ln, run_add_ln);
FAST_KERNEL(k_add_ln_bwd, "add_layer_norm.bwd", plan_ln_bwd, run_add_ln_bwd);
FAST_KERNEL(k_softmax, "softmax", plan_softmax, run_softmax);
FAST_KERNEL(k_softmax_bwd, "softmax.bwd", plan_softmax, run_softmax_bwd);
FAST_KERNEL(k_sum, "sum", plan_sum, run_sum);

const hct_kernel *const FAST(fast_norm)[] = {&k_ln,      &k_ln_bwd,      &k_add_ln, &k_add_ln_bwd,
                                             &k_softmax, &k_softmax_bwd, &k_sum,    NULL};
