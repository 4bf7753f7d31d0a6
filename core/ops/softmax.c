/* Softmax over the last axis, and cross-entropy, which keeps only one number a row instead of the probabilities. */
#include "ops.h"

static hct_status infer_softmax(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    if (p->in[0].ndim < 1) return hct_fail(err, HCT_ESHAPE, "x needs a last axis");
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

/* softmax.bwd(y, dy) -> y (dy - sum(y dy)) */
static hct_status infer_softmax_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 2, 1, err));
    HCT_TRY(hct_want_same_real(p, 2, err));
    HCT_TRY(hct_want_dims(p, 1, p->in[0].ndim, p->in[0].dim, err));
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad_softmax(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    h->add_grad(t, n->in[0], OP1(t, "softmax.bwd", n->out[0], h->grad_of(t, n->out[0])));
    return HCT_OK;
}

HCT_OP(op_softmax, "softmax", .infer = infer_softmax, .grad = grad_softmax);
HCT_OP(op_softmax_bwd, "softmax.bwd", .infer = infer_softmax_bwd);

hct_id hct_softmax(hct_tape *t, hct_id x) { return OP1(t, "softmax", x); }

/* ---- cross_entropy(logits [N, C], target I32 [N]) -> loss [], lse [N] ---- */

static hct_status infer_ce(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 2, 2, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    HCT_TRY(hct_want_dtype(p, 1, HCT_I32, err));
    const hct_view *x = &p->in[0];
    if (x->ndim != 2 || x->dim[0] < 1 || x->dim[1] < 1)
        return hct_fail(err, HCT_ESHAPE, "logits are [rows, classes], at least one of each");
    HCT_TRY(hct_want_dims(p, 1, 1, x->dim, err));
    hct_set(&out[0], x->dtype, 0, NULL);
    hct_set(&out[1], x->dtype == HCT_F64 ? HCT_F64 : HCT_F32, 1, x->dim);
    return HCT_OK;
}

/* cross_entropy.bwd(logits, target, lse, dloss) -> dloss (softmax - onehot) / N */
static hct_status infer_ce_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 4, 1, err));
    HCT_TRY(hct_want_dims(p, 3, 0, NULL, err));
    hct_set(out, p->in[0].dtype, 2, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad_ce(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    if (h->grad_of(t, n->out[0]))
        h->add_grad(t, n->in[0], OP1(t, "cross_entropy.bwd", n->in[0], n->in[1], n->out[1], h->grad_of(t, n->out[0])));
    return HCT_OK;
}

HCT_OP(op_ce, "cross_entropy", .infer = infer_ce, .grad = grad_ce);
HCT_OP(op_ce_bwd, "cross_entropy.bwd", .infer = infer_ce_bwd);

hct_id hct_cross_entropy(hct_tape *t, hct_id logits, hct_id target) {
    hct_id out[2];
    hct_emit(t, "cross_entropy", (hct_id[]){logits, target}, 2, NULL, 0, out, 2);
    return out[0];
}

const hct_op *const hct_ops_softmax[] = {&op_softmax, &op_softmax_bwd, &op_ce, &op_ce_bwd, NULL};
