/* Mean squared error over masked patches, MAE's loss: pred, target [B, L, P], mask [B, L] ->
 * sum_bl mask (1/P) sum_p (pred - target)^2 / sum mask. */
#include "ops.h"

static hct_status check(const hct_problem *p, hct_err *err) {
    HCT_TRY(hct_want_same_real(p, 3, err));
    if (p->in[0].ndim != 3) return hct_fail(err, HCT_ESHAPE, "pred is [batch, patches, patch size]");
    HCT_TRY(hct_want_dims(p, 1, 3, p->in[0].dim, err));
    return hct_want_dims(p, 2, 2, p->in[0].dim, err);
}

static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 3, 1, err));
    HCT_TRY(check(p, err));
    hct_set(out, p->in[0].dtype, 0, NULL);
    return HCT_OK;
}

/* mse_masked.bwd(pred, target, mask, dloss) -> dpred = dloss 2 mask (pred - target) / (P sum mask) */
static hct_status infer_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 4, 1, err));
    HCT_TRY(check(p, err));
    HCT_TRY(hct_want_dims(p, 3, 0, NULL, err));
    hct_set(out, p->in[0].dtype, 3, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    if (h->needs_grad(t, n->in[2])) return hct_fail(err, HCT_EINVAL, "the mask has no gradient; detach it");
    hct_id d = OP1(t, "mse_masked.bwd", n->in[0], n->in[1], n->in[2], h->grad_of(t, n->out[0]));
    h->add_grad(t, n->in[0], d);
    if (h->needs_grad(t, n->in[1])) h->add_grad(t, n->in[1], hct_scale(t, d, -1, 0));
    return HCT_OK;
}

HCT_OP(op_mse, "mse_masked", .infer = infer, .grad = grad);
HCT_OP(op_mse_bwd, "mse_masked.bwd", .infer = infer_bwd);

hct_id hct_mse_masked(hct_tape *t, hct_id pred, hct_id target, hct_id mask) {
    return OP1(t, "mse_masked", pred, target, mask);
}

const hct_op *const hct_ops_loss[] = {&op_mse, &op_mse_bwd, NULL};
