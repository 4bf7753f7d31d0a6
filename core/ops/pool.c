/* Pooling of volumes [N, C, D0, D1, D2], as PyTorch's MaxPool3d, AvgPool3d (padding counted) and AdaptiveAvgPool3d.
 * Attributes: kernel, stride, padding (3 each), padding at most half of the kernel; adaptive: out (3). */
#include "ops.h"

static hct_status ints_of(const hct_problem *p, const char *name, int64_t least, const int64_t **ret, hct_err *err) {
    const hct_attr *a = hct_attr_find(p->attr, p->n_attr, name);
    if (!a || a->n != 3)
        return hct_fail(err, HCT_EINVAL, "attribute '%s' is needed, a number for each of 3 axes", name);
    for (int d = 0; d < 3; d++)
        if (a->ints[d] < least)
            return hct_fail(err, HCT_EINVAL, "%s is %lld, it must be %lld or more", name, (long long)a->ints[d],
                            (long long)least);
    *ret = a->ints;
    return HCT_OK;
}

static int is_adaptive(const hct_problem *p) { return !strncmp(p->op, "adaptive", 8); }

/* The pooled dims of x [N, C, ...]. */
static hct_status shape_of(const hct_problem *p, const int64_t *x, int64_t *y, hct_err *err) {
    const int64_t *kernel, *stride, *padding;
    memcpy(y, x, 2 * sizeof *y);
    for (int d = 2; d < 5; d++)
        if (x[d] < 1) return hct_fail(err, HCT_ESHAPE, "axis %d is empty", d);
    if (is_adaptive(p)) {
        HCT_TRY(ints_of(p, "out", 1, &kernel, err));
        memcpy(y + 2, kernel, 3 * sizeof *y);
        return HCT_OK;
    }
    HCT_TRY(ints_of(p, "kernel", 1, &kernel, err));
    HCT_TRY(ints_of(p, "stride", 1, &stride, err));
    HCT_TRY(ints_of(p, "padding", 0, &padding, err));
    for (int d = 0; d < 3; d++) {
        int64_t room = x[2 + d] + 2 * padding[d] - kernel[d];
        if (2 * padding[d] > kernel[d])
            return hct_fail(err, HCT_EINVAL, "padding %lld is more than half of the kernel, %lld",
                            (long long)padding[d], (long long)kernel[d]);
        if (room < 0)
            return hct_fail(err, HCT_ESHAPE, "axis %d of length %lld, padded by %lld, is shorter than the kernel, %lld",
                            2 + d, (long long)x[2 + d], (long long)padding[d], (long long)kernel[d]);
        y[2 + d] = room / stride[d] + 1;
    }
    return HCT_OK;
}

/* max_pool3d and its backward, not avg_pool3d's or adaptive_avg_pool3d's. */
static int is_max(const char *op) { return !strncmp(op, "max_pool3d", 10); }

static hct_status infer_pool(const hct_problem *p, hct_view *out, hct_err *err) {
    int64_t y[5];
    int max = is_max(p->op);
    HCT_TRY(hct_want(p, 1, max ? 2 : 1, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    if (p->in[0].ndim != 5) return hct_fail(err, HCT_ESHAPE, "x is [batch, channels, d0, d1, d2]");
    HCT_TRY(shape_of(p, p->in[0].dim, y, err));
    hct_set(&out[0], p->in[0].dtype, 5, y);
    if (max) hct_set(&out[1], HCT_I32, 5, y);
    return HCT_OK;
}

/* The backwards: dy (and the places of the largest), attribute dim: D0, D1, D2 -> dx. */
static hct_status infer_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    int64_t y[5], x[5];
    const int64_t *dim;
    int max = is_max(p->op);
    HCT_TRY(hct_want(p, max ? 2 : 1, 1, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    if (p->in[0].ndim != 5) return hct_fail(err, HCT_ESHAPE, "dy is [batch, channels, p0, p1, p2]");
    if (max) HCT_TRY(hct_want_dtype(p, 1, HCT_I32, err));
    if (max) HCT_TRY(hct_want_dims(p, 1, 5, p->in[0].dim, err));
    HCT_TRY(ints_of(p, "dim", 1, &dim, err));
    memcpy(x, p->in[0].dim, 2 * sizeof *x);
    memcpy(x + 2, dim, 3 * sizeof *x);
    HCT_TRY(shape_of(p, x, y, err));
    HCT_TRY(hct_want_dims(p, 0, 5, y, err));
    hct_set(out, p->in[0].dtype, 5, x);
    return HCT_OK;
}

static hct_status grad_pool(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_view x;
    hct_attr a[4];
    char name[40];
    int max = is_max(n->op);
    h->describe(t, n->in[0], &x);
    memcpy(a, n->attr, n->n_attr * sizeof *a);
    a[n->n_attr] = hct_ints("dim", 3, x.dim + 2);
    snprintf(name, sizeof name, "%s.bwd", n->op);
    if (h->grad_of(t, n->out[0]))
        h->add_grad(t, n->in[0],
                    op1(t, name, (hct_id[]){h->grad_of(t, n->out[0]), max ? n->out[1] : 0}, max ? 2 : 1, a,
                        n->n_attr + 1));
    return HCT_OK;
}

HCT_OP(op_max, "max_pool3d", .infer = infer_pool, .grad = grad_pool);
HCT_OP(op_max_bwd, "max_pool3d.bwd", .infer = infer_bwd);
HCT_OP(op_avg, "avg_pool3d", .infer = infer_pool, .grad = grad_pool);
HCT_OP(op_avg_bwd, "avg_pool3d.bwd", .infer = infer_bwd);
HCT_OP(op_adaptive, "adaptive_avg_pool3d", .infer = infer_pool, .grad = grad_pool);
HCT_OP(op_adaptive_bwd, "adaptive_avg_pool3d.bwd", .infer = infer_bwd);

static hct_id windowed(hct_tape *t, const char *op, hct_id x, const int64_t *kernel, const int64_t *stride,
                       const int64_t *padding, uint32_t n_out) {
    const hct_attr a[] = {hct_ints("kernel", 3, kernel), hct_ints("stride", 3, stride),
                          hct_ints("padding", 3, padding)};
    hct_id out[2] = {0, 0};
    hct_emit(t, op, &x, 1, a, 3, out, n_out);
    return out[0];
}
hct_id hct_max_pool3d(hct_tape *t, hct_id x, const int64_t *kernel, const int64_t *stride, const int64_t *padding) {
    return windowed(t, "max_pool3d", x, kernel, stride, padding, 2);
}
hct_id hct_avg_pool3d(hct_tape *t, hct_id x, const int64_t *kernel, const int64_t *stride, const int64_t *padding) {
    return windowed(t, "avg_pool3d", x, kernel, stride, padding, 1);
}
hct_id hct_adaptive_avg_pool3d(hct_tape *t, hct_id x, const int64_t *out) {
    return op1(t, "adaptive_avg_pool3d", &x, 1, (hct_attr[]){hct_ints("out", 3, out)}, 1);
}

const hct_op *const hct_ops_pool[] = {&op_max, &op_max_bwd, &op_avg, &op_avg_bwd, &op_adaptive, &op_adaptive_bwd, NULL};
