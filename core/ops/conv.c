/* 3D convolution, channels first, as PyTorch's Conv3d (a cross-correlation): x [N, C, D0, D1, D2], w [O, C/groups,
 * K0, K1, K2], b [O] or none -> [N, O, P0, P1, P2], P = (D + 2 padding - dilation (K - 1) - 1) / stride + 1.
 * Attributes: stride, padding, dilation (3 each), groups. */
#include "ops.h"

typedef struct conv {
    int64_t stride[3], padding[3], dilation[3], groups;
} conv;

static hct_status conv_of(const hct_problem *p, conv *c, hct_err *err) {
    static const char *const names[] = {"stride", "padding", "dilation"};
    int64_t *const to[] = {c->stride, c->padding, c->dilation};
    for (int k = 0; k < 3; k++) {
        const hct_attr *a = hct_attr_find(p->attr, p->n_attr, names[k]);
        if (!a || a->n != 3)
            return hct_fail(err, HCT_EINVAL, "attribute '%s' is needed, a number for each of 3 axes", names[k]);
        for (int d = 0; d < 3; d++) {
            to[k][d] = a->ints[d];
            if (a->ints[d] < (k == 1 ? 0 : 1))
                return hct_fail(err, HCT_EINVAL, "%s is %lld, it must be %d or more", names[k], (long long)a->ints[d],
                                k == 1 ? 0 : 1);
        }
    }
    c->groups = hct_attr_int(p->attr, p->n_attr, "groups", 1);
    return c->groups < 1 ? hct_fail(err, HCT_EINVAL, "groups is %lld, it must be 1 or more", (long long)c->groups)
                         : HCT_OK;
}

/* The output's dims of x [N, C, ...] and w [O, C/groups, ...]. */
static hct_status shape_of(const conv *c, const int64_t *x, const int64_t *w, int64_t *y, hct_err *err) {
    if (x[1] != w[1] * c->groups || w[0] < 1 || w[0] % c->groups)
        return hct_fail(err, HCT_ESHAPE, "%lld channels and weights [%lld, %lld, ...] do not make %lld groups",
                        (long long)x[1], (long long)w[0], (long long)w[1], (long long)c->groups);
    y[0] = x[0];
    y[1] = w[0];
    for (int d = 0; d < 3; d++) {
        int64_t room = x[2 + d] + 2 * c->padding[d] - c->dilation[d] * (w[2 + d] - 1) - 1;
        if (w[2 + d] < 1 || room < 0)
            return hct_fail(err, HCT_ESHAPE,
                            "axis %d of length %lld, padded by %lld, is shorter than the kernel, %lld at dilation %lld",
                            2 + d, (long long)x[2 + d], (long long)c->padding[d], (long long)w[2 + d],
                            (long long)c->dilation[d]);
        y[2 + d] = room / c->stride[d] + 1;
    }
    return HCT_OK;
}

static hct_status want_volumes(const hct_problem *p, uint32_t n, hct_err *err) {
    for (uint32_t i = 0; i < n; i++)
        if (p->in[i].ndim != 5)
            return hct_fail(
                err, HCT_ESHAPE,
                "input %u has %d axes; volumes are [batch, channels, d0, d1, d2], weights [out, in, k0, k1, k2]", i,
                p->in[i].ndim);
    return HCT_OK;
}

static hct_status infer_conv(const hct_problem *p, hct_view *out, hct_err *err) {
    conv c;
    int64_t y[5];
    HCT_TRY(hct_want(p, p->n_in == 3 ? 3 : 2, 1, err));
    HCT_TRY(hct_want_same_real(p, p->n_in, err));
    HCT_TRY(want_volumes(p, 2, err));
    HCT_TRY(conv_of(p, &c, err));
    HCT_TRY(shape_of(&c, p->in[0].dim, p->in[1].dim, y, err));
    if (p->n_in == 3) HCT_TRY(hct_want_dims(p, 2, 1, &y[1], err));
    hct_set(out, p->in[0].dtype, 5, y);
    return HCT_OK;
}

/* conv3d.bwd_x(w, dy; dim: D0, D1, D2) -> dx */
static hct_status infer_bwd_x(const hct_problem *p, hct_view *out, hct_err *err) {
    conv c;
    int64_t y[5];
    HCT_TRY(hct_want(p, 2, 1, err));
    HCT_TRY(hct_want_same_real(p, 2, err));
    HCT_TRY(want_volumes(p, 2, err));
    HCT_TRY(conv_of(p, &c, err));
    const hct_attr *dim = hct_attr_find(p->attr, p->n_attr, "dim");
    if (!dim || dim->n != 3) return hct_fail(err, HCT_EINVAL, "attribute 'dim', the three axes of x, is needed");
    const int64_t x[5] = {p->in[1].dim[0], p->in[0].dim[1] * c.groups, dim->ints[0], dim->ints[1], dim->ints[2]};
    HCT_TRY(shape_of(&c, x, p->in[0].dim, y, err));
    HCT_TRY(hct_want_dims(p, 1, 5, y, err));
    hct_set(out, p->in[0].dtype, 5, x);
    return HCT_OK;
}

/* conv3d.bwd_w(x, dy; kernel: K0, K1, K2) -> dw */
static hct_status infer_bwd_w(const hct_problem *p, hct_view *out, hct_err *err) {
    conv c;
    int64_t y[5];
    HCT_TRY(hct_want(p, 2, 1, err));
    HCT_TRY(hct_want_same_real(p, 2, err));
    HCT_TRY(want_volumes(p, 2, err));
    HCT_TRY(conv_of(p, &c, err));
    const hct_attr *kernel = hct_attr_find(p->attr, p->n_attr, "kernel");
    if (!kernel || kernel->n != 3)
        return hct_fail(err, HCT_EINVAL, "attribute 'kernel', the three axes of w, is needed");
    const int64_t w[5] = {p->in[1].dim[1], p->in[0].dim[1] / c.groups, kernel->ints[0], kernel->ints[1],
                          kernel->ints[2]};
    HCT_TRY(shape_of(&c, p->in[0].dim, w, y, err));
    HCT_TRY(hct_want_dims(p, 1, 5, y, err));
    hct_set(out, p->in[0].dtype, 5, w);
    return HCT_OK;
}

static hct_status grad_conv(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id dy = h->grad_of(t, n->out[0]);
    hct_view x, w;
    hct_attr a[5];
    h->describe(t, n->in[0], &x);
    h->describe(t, n->in[1], &w);
    memcpy(a, n->attr, 4 * sizeof *a);
    a[4] = hct_ints("dim", 3, x.dim + 2);
    if (h->needs_grad(t, n->in[0])) h->add_grad(t, n->in[0], op1(t, "conv3d.bwd_x", (hct_id[]){n->in[1], dy}, 2, a, 5));
    a[4] = hct_ints("kernel", 3, w.dim + 2);
    if (h->needs_grad(t, n->in[1])) h->add_grad(t, n->in[1], op1(t, "conv3d.bwd_w", (hct_id[]){n->in[0], dy}, 2, a, 5));
    if (n->n_in == 3 && h->needs_grad(t, n->in[2]))
        h->add_grad(t, n->in[2], hct_sum(t, dy, HCT_AXES(5) & ~HCT_AXIS(1), 0));
    return HCT_OK;
}

HCT_OP(op_conv, "conv3d", .infer = infer_conv, .grad = grad_conv);
HCT_OP(op_bwd_x, "conv3d.bwd_x", .infer = infer_bwd_x);
HCT_OP(op_bwd_w, "conv3d.bwd_w", .infer = infer_bwd_w);

hct_id hct_conv3d(hct_tape *t, hct_id x, hct_id w, hct_id b, const int64_t *stride, const int64_t *padding,
                  const int64_t *dilation, int64_t groups) {
    const hct_attr a[] = {hct_ints("stride", 3, stride), hct_ints("padding", 3, padding),
                          hct_ints("dilation", 3, dilation), HCT_INT("groups", groups)};
    return op1(t, "conv3d", (hct_id[]){x, w, b}, b ? 3 : 2, a, 4);
}

const hct_op *const hct_ops_conv[] = {&op_conv, &op_bwd_x, &op_bwd_w, NULL};
