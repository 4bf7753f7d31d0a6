/* Convolution, pooling and batch norm of volumes, from PyTorch's formulas: every output voxel looks up what it
 * reads. */
#include "naive.h"

#include <math.h>
#include <string.h>

#define EACH(i, n) for (int64_t i = 0, end_##i = (n); i < end_##i; i++)

static const int64_t *ints(const call *k, const char *name) { return hct_attr_find(k->c->attr, k->n_attr, name)->ints; }
/* Row-major place in a [.., .., d0, d1, d2] tensor. */
static int64_t at5(const hct_view *v, int64_t b, int64_t c, const int64_t *i) {
    return (((b * v->dim[1] + c) * v->dim[2] + i[0]) * v->dim[3] + i[1]) * v->dim[4] + i[2];
}
#define EACH3(i, dim)                                                                                                  \
    for (int64_t i[3] = {0, 0, 0}; i[0] < (dim)[0]; i[0]++)                                                            \
        for (i[1] = 0; i[1] < (dim)[1]; i[1]++)                                                                        \
            for (i[2] = 0; i[2] < (dim)[2]; i[2]++)

/* Calls for each (output voxel, kernel place, channel) that meet: y += w x, dx += w dy or dw += x dy. */
static void convolve(const call *k, const hct_view *xv, double *x, const hct_view *wv, double *w, const hct_view *yv,
                     double *y, double *into) {
    const int64_t *stride = ints(k, "stride"), *padding = ints(k, "padding"), *dilation = ints(k, "dilation");
    int64_t groups = call_int(k, "groups", 1), per_in = wv->dim[1], per_out = wv->dim[0] / groups;
    EACH(b, yv->dim[0]) EACH(o, yv->dim[1]) EACH3(p, yv->dim + 2) EACH(c, per_in) EACH3(q, wv->dim + 2) {
        int64_t v[3], inside = 1;
        EACH(d, 3)
        v[d] = p[d] * stride[d] - padding[d] + q[d] * dilation[d], inside &= v[d] >= 0 && v[d] < xv->dim[2 + d];
        if (!inside) continue;
        double *at_x = x + at5(xv, b, o / per_out * per_in + c, v), *at_w = w + at5(wv, o, c, q),
               *at_y = y + at5(yv, b, o, p);
        if (into == y) *at_y += *at_w * *at_x;
        if (into == x) *at_x += *at_w * *at_y;
        if (into == w) *at_w += *at_x * *at_y;
    }
}
void naive_conv(call *k) {
    const hct_view *y = &k->out[0];
    int64_t voxels = y->dim[2] * y->dim[3] * y->dim[4];
    if (k->n_in == 3) EACH(i, hct_numel(y)) k->y[0][i] = k->x[2][i / voxels % y->dim[1]];
    convolve(k, &k->in[0], k->x[0], &k->in[1], k->x[1], y, k->y[0], k->y[0]);
}
void naive_conv_bwd_x(call *k) { convolve(k, &k->out[0], k->y[0], &k->in[0], k->x[0], &k->in[1], k->x[1], k->y[0]); }
void naive_conv_bwd_w(call *k) { convolve(k, &k->in[0], k->x[0], &k->out[0], k->y[0], &k->in[1], k->x[1], k->y[0]); }

/* ---- pooling ---- */

/* The window of output p: `from` and `to` within the volume, *ret_count places with padding. */
static void window(const call *k, const int64_t *dim, const int64_t *out, const int64_t *p, int64_t *from, int64_t *to,
                   double *ret_count) {
    bool adaptive = !strncmp(k->c->op, "adaptive", 8);
    *ret_count = 1;
    EACH(d, 3) {
        if (adaptive) {
            from[d] = (int64_t)floor((double)(p[d] * dim[d]) / (double)out[d]);
            to[d] = (int64_t)ceil((double)((p[d] + 1) * dim[d]) / (double)out[d]);
            *ret_count *= (double)(to[d] - from[d]);
            continue;
        }
        int64_t pad = ints(k, "padding")[d], start = p[d] * ints(k, "stride")[d] - pad,
                end = start + ints(k, "kernel")[d];
        *ret_count *= fmin((double)end, (double)(dim[d] + pad)) - (double)start;
        from[d] = start > 0 ? start : 0;
        to[d] = end < dim[d] ? end : dim[d];
    }
}
#define EACH_IN(i, from, to)                                                                                           \
    for (int64_t i[3] = {(from)[0], 0, 0}; i[0] < (to)[0]; i[0]++)                                                     \
        for (i[1] = (from)[1]; i[1] < (to)[1]; i[1]++)                                                                 \
            for (i[2] = (from)[2]; i[2] < (to)[2]; i[2]++)

void naive_max_pool(call *k) {
    const hct_view *x = &k->in[0], *y = &k->out[0];
    EACH(b, y->dim[0]) EACH(c, y->dim[1]) EACH3(p, y->dim + 2) {
        int64_t from[3], to[3], o = at5(y, b, c, p);
        double count;
        window(k, x->dim + 2, y->dim + 2, p, from, to, &count);
        k->y[0][o] = -INFINITY;
        EACH_IN(i, from, to) {
            double v = k->x[0][at5(x, b, c, i)];
            if (v > k->y[0][o]) k->y[0][o] = v, k->y[1][o] = (double)((i[0] * x->dim[3] + i[1]) * x->dim[4] + i[2]);
        }
    }
}
void naive_max_pool_bwd(call *k) {
    const hct_view *dx = &k->out[0];
    int64_t voxels = dx->dim[2] * dx->dim[3] * dx->dim[4], places = k->in[0].dim[2] * k->in[0].dim[3] * k->in[0].dim[4];
    EACH(i, hct_numel(&k->in[0])) k->y[0][i / places * voxels + (int64_t)k->x[1][i]] += k->x[0][i];
}
void naive_avg_pool(call *k) {
    const hct_view *x = &k->in[0], *y = &k->out[0];
    EACH(b, y->dim[0]) EACH(c, y->dim[1]) EACH3(p, y->dim + 2) {
        int64_t from[3], to[3];
        double count;
        window(k, x->dim + 2, y->dim + 2, p, from, to, &count);
        EACH_IN(i, from, to) k->y[0][at5(y, b, c, p)] += k->x[0][at5(x, b, c, i)] / count;
    }
}
void naive_avg_pool_bwd(call *k) {
    const hct_view *dy = &k->in[0], *dx = &k->out[0];
    EACH(b, dy->dim[0]) EACH(c, dy->dim[1]) EACH3(p, dy->dim + 2) {
        int64_t from[3], to[3];
        double count;
        window(k, dx->dim + 2, dy->dim + 2, p, from, to, &count);
        EACH_IN(i, from, to) k->y[0][at5(dx, b, c, i)] += k->x[0][at5(dy, b, c, p)] / count;
    }
}

/* ---- batch norm ---- */

static int64_t channel(const hct_view *x, int64_t i) {
    int64_t inner = 1;
    for (int d = 2; d < x->ndim; d++) inner *= x->dim[d];
    return i / inner % x->dim[1];
}
static void normalise(call *k, const double *mean, const double *rstd) {
    EACH(i, hct_numel(&k->in[0])) {
        int64_t c = channel(&k->in[0], i);
        k->y[0][i] = (k->x[0][i] - mean[c]) * rstd[c] * k->x[1][c] + k->x[2][c];
    }
}
void naive_batch_norm3d(call *k) {
    const hct_view *x = &k->in[0];
    int64_t n = hct_numel(x);
    EACH(c, x->dim[1]) {
        double count = (double)(n / x->dim[1]), sum = 0, square = 0;
        EACH(i, n) if (channel(x, i) == c) sum += k->x[0][i];
        EACH(i, n) if (channel(x, i) == c) square += pow(k->x[0][i] - sum / count, 2);
        k->y[1][c] = sum / count;
        k->y[2][c] = pow(square / count + call_real(k, "eps"), -0.5);
        k->y[3][c] = square / count;
    }
    normalise(k, k->y[1], k->y[2]);
}
void naive_batch_norm3d_eval(call *k) {
    double rstd[64];
    EACH(c, k->in[0].dim[1]) rstd[c] = pow(k->x[4][c] + call_real(k, "eps"), -0.5);
    normalise(k, k->x[3], rstd);
}
