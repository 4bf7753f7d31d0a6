/* Tokens: gather by index, and the unfolding of volumes into patches. */
#include "ops.h"

/* ---- gather: x [B, L, C], index I32 [B, K] -> [B, K, C]; gather.bwd(dy, index) adds rows back into [B, L, C] ---- */

static hct_status infer_gather(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 2, 1, err));
    HCT_TRY(hct_want_dtype(p, 1, HCT_I32, err));
    const hct_view *x = &p->in[0], *ix = &p->in[1];
    if (x->ndim != 3 || ix->ndim != 2 || ix->dim[0] != x->dim[0])
        return hct_fail(err, HCT_ESHAPE, "x is [batch, tokens, width] and index [batch, chosen]");
    hct_set(out, x->dtype, 3, (int64_t[]){x->dim[0], ix->dim[1], x->dim[2]});
    return HCT_OK;
}

static hct_status infer_gather_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 2, 1, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    HCT_TRY(hct_want_dtype(p, 1, HCT_I32, err));
    HCT_TRY(hct_want_dims(p, 1, 2, p->in[0].dim, err));
    int64_t tokens = hct_attr_int(p->attr, p->n_attr, "tokens", -1);
    if (p->in[0].ndim != 3 || tokens < 0)
        return hct_fail(err, HCT_EINVAL, "dy is [batch, chosen, width]; attribute 'tokens' is needed");
    hct_set(out, p->in[0].dtype, 3, (int64_t[]){p->in[0].dim[0], tokens, p->in[0].dim[2]});
    return HCT_OK;
}

static hct_status grad_gather(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_view x;
    h->describe(t, n->in[0], &x);
    h->add_grad(t, n->in[0],
                op1(t, "gather.bwd", (hct_id[]){h->grad_of(t, n->out[0]), n->in[1]}, 2, &HCT_INT("tokens", x.dim[1]),
                    1));
    return HCT_OK;
}

hct_id hct_gather(hct_tape *t, hct_id x, hct_id index) { return OP1(t, "gather", x, index); }

/* ---- unfold3d and fold3d: each is the other's gradient ---- */

static hct_status infer_unfold(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    const hct_view *x = &p->in[0];
    int64_t s = hct_attr_int(p->attr, p->n_attr, "patch", 0), n = 1;
    if (x->ndim != 5 || s < 1)
        return hct_fail(err, HCT_ESHAPE, "x is [batch, channels, d0, d1, d2] and patch 1 or more");
    for (int i = 2; i < 5; i++) {
        if (x->dim[i] % s)
            return hct_fail(err, HCT_ESHAPE, "axis %d of length %lld is no multiple of the patch, %lld", i,
                            (long long)x->dim[i], (long long)s);
        n *= x->dim[i] / s;
    }
    hct_set(out, x->dtype, 3, (int64_t[]){x->dim[0], n, x->dim[1] * s * s * s});
    return HCT_OK;
}

static hct_status infer_fold(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    const hct_attr *dim = hct_attr_find(p->attr, p->n_attr, "dim");
    int64_t s = hct_attr_int(p->attr, p->n_attr, "patch", 0), n = 1;
    if (!dim || dim->n != 4 || s < 1)
        return hct_fail(err, HCT_EINVAL, "attributes 'dim' (channels, d0, d1, d2) and 'patch' are needed");
    for (int i = 1; i < 4; i++) {
        if (dim->ints[i] % s) return hct_fail(err, HCT_ESHAPE, "'dim' is no multiple of the patch, %lld", (long long)s);
        n *= dim->ints[i] / s;
    }
    HCT_TRY(hct_want_dims(p, 0, 3, (int64_t[]){p->in[0].dim[0], n, dim->ints[0] * s * s * s}, err));
    hct_set(out, p->in[0].dtype, 5,
            (int64_t[]){p->in[0].dim[0], dim->ints[0], dim->ints[1], dim->ints[2], dim->ints[3]});
    return HCT_OK;
}

static hct_status grad_unfold(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_view x;
    h->describe(t, n->in[0], &x);
    h->add_grad(t, n->in[0],
                hct_fold3d(t, h->grad_of(t, n->out[0]), hct_attr_int(n->attr, n->n_attr, "patch", 0),
                           (int)hct_attr_int(n->attr, n->n_attr, "channel_last", 0), x.dim + 1));
    return HCT_OK;
}

static hct_status grad_fold(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    h->add_grad(t, n->in[0],
                hct_unfold3d(t, h->grad_of(t, n->out[0]), hct_attr_int(n->attr, n->n_attr, "patch", 0),
                             (int)hct_attr_int(n->attr, n->n_attr, "channel_last", 0)));
    return HCT_OK;
}

hct_id hct_unfold3d(hct_tape *t, hct_id x, int64_t patch, int channel_last) {
    return op1(t, "unfold3d", &x, 1, (hct_attr[]){HCT_INT("patch", patch), HCT_INT("channel_last", channel_last)}, 2);
}
hct_id hct_fold3d(hct_tape *t, hct_id x, int64_t patch, int channel_last, const int64_t *dim) {
    return op1(t, "fold3d", &x, 1,
               (hct_attr[]){HCT_INT("patch", patch), HCT_INT("channel_last", channel_last), hct_ints("dim", 4, dim)},
               3);
}

HCT_OP(op_gather, "gather", .infer = infer_gather, .grad = grad_gather);
HCT_OP(op_gather_bwd, "gather.bwd", .infer = infer_gather_bwd);
HCT_OP(op_unfold, "unfold3d", .infer = infer_unfold, .grad = grad_unfold);
HCT_OP(op_fold, "fold3d", .infer = infer_fold, .grad = grad_fold);

const hct_op *const hct_ops_tokens[] = {&op_gather, &op_gather_bwd, &op_unfold, &op_fold, NULL};
