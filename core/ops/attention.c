/* Scaled dot-product attention (Vaswani et al. 2017) as one op: q [B, N, H, D], k, v [B, M, H, D] -> out [B, N, H,
 * D], and lse [B, H, N], the log of each row's sum of exponentials, from which the backward rebuilds the softmax. */
#include "ops.h"
#include "../internal.h"

static hct_status check(const hct_problem *p, hct_err *err) {
    const hct_view *q = &p->in[0], *k = &p->in[1];
    HCT_TRY(hct_want_same_real(p, 3, err));
    if (q->ndim != 4 || k->ndim != 4)
        return hct_fail(err, HCT_ESHAPE, "q, k and v are [batch, tokens, heads, width], %d axes were given", q->ndim);
    HCT_TRY(hct_want_dims(p, 1, 4, (int64_t[]){q->dim[0], k->dim[1], q->dim[2], q->dim[3]}, err));
    return hct_want_dims(p, 2, 4, k->dim, err);
}

static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 3, 2, err));
    HCT_TRY(check(p, err));
    const hct_view *q = &p->in[0];
    hct_set(&out[0], q->dtype, 4, q->dim);
    hct_set(&out[1], q->dtype == HCT_F64 ? HCT_F64 : HCT_F32, 3, (int64_t[]){q->dim[0], q->dim[2], q->dim[1]});
    return HCT_OK;
}

/* attention.bwd(q, k, v, out, lse, dout) -> dq, dk, dv */
static hct_status infer_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 6, 3, err));
    HCT_TRY(check(p, err));
    const hct_view *q = &p->in[0];
    HCT_TRY(hct_want_dims(p, 3, 4, q->dim, err));
    HCT_TRY(hct_want_dims(p, 4, 3, (int64_t[]){q->dim[0], q->dim[2], q->dim[1]}, err));
    HCT_TRY(hct_want_dims(p, 5, 4, q->dim, err));
    for (int i = 0; i < 3; i++) hct_set(&out[i], q->dtype, 4, p->in[i].dim);
    return HCT_OK;
}

/* attention.bwd_packed(the same) -> [B, N, 3 H, D], where q, k and v have equal dims: dq, dk and dv side by side, as a
 * product that made q, k and v in one wants them. Devices may have a kernel for it or not. */
static hct_status infer_bwd_packed(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 6, 1, err));
    hct_view each[3] = {0};
    hct_problem apart = *p;
    apart.n_out = 3;
    HCT_TRY(infer_bwd(&apart, each, err));
    const hct_view *q = &p->in[0];
    HCT_TRY(hct_want_dims(p, 1, 4, q->dim, err));
    hct_set(out, q->dtype, 4, (int64_t[]){q->dim[0], q->dim[1], 3 * q->dim[2], q->dim[3]});
    return HCT_OK;
}

static hct_status grad(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id d[3], in[] = {n->in[0], n->in[1], n->in[2], n->out[0], n->out[1], h->grad_of(t, n->out[0])};
    if (!in[5]) return HCT_OK; /* only lse was used, which has no gradient */
    hct_id whole = hct_has_kernel(t->dev, "attention.bwd_packed") ? hct_whole_of(t, n->in, 3, 2) : 0;
    if (whole) {
        h->emit(t, "attention.bwd_packed", in, 6, n->attr, n->n_attr, d, 1);
        h->add_grad(t, whole, d[0]);
        return HCT_OK;
    }
    h->emit(t, "attention.bwd", in, 6, n->attr, n->n_attr, d, 3);
    for (int i = 0; i < 3; i++) h->add_grad(t, n->in[i], d[i]);
    return HCT_OK;
}

/* In smaller ops. lse stays inert: only attention.bwd reads it, and the smaller ops have gradients of their own. */
static hct_status compose(const hct_host *h, hct_tape *t, const hct_node *n, hct_id *out, hct_err *err) {
    (void)h, (void)err;
    out[0] = hct_attention_probs(t, n->in[0], n->in[1], n->in[2], hct_attr_real(n->attr, n->n_attr, "scale", 1), NULL);
    return HCT_OK;
}

HCT_OP(op_attention, "attention", .infer = infer, .grad = grad, .compose = compose);
HCT_OP(op_attention_bwd, "attention.bwd", .infer = infer_bwd);
HCT_OP(op_attention_bwd_packed, "attention.bwd_packed", .infer = infer_bwd_packed);

hct_id hct_attention(hct_tape *t, hct_id q, hct_id k, hct_id v, double scale) {
    hct_id out[2];
    hct_emit(t, "attention", (hct_id[]){q, k, v}, 3, &HCT_REAL("scale", scale), 1, out, 2);
    return out[0];
}

hct_id hct_attention_probs(hct_tape *t, hct_id q, hct_id k, hct_id v, double scale, hct_id *ret_probs) {
    static const int heads_first[] = {0, 2, 1, 3}, transposed[] = {0, 2, 3, 1};
    hct_id s = hct_matmul(t, hct_permute(t, q, heads_first), hct_permute(t, k, transposed)); /* [B, H, N, M] */
    hct_id p = hct_softmax(t, hct_scale(t, s, scale, 0));
    if (ret_probs) *ret_probs = p;
    return hct_copy(t, hct_permute(t, hct_matmul(t, p, hct_permute(t, v, heads_first)), heads_first));
}

const hct_op *const hct_ops_attention[] = {&op_attention, &op_attention_bwd, &op_attention_bwd_packed, NULL};
