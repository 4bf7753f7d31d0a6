/* What a transformer block does after its products, in one pass each: bias + GELU, and residual + layer norm. */
#include "ops.h"

/* ---- bias_gelu(x [..., C], b [C]) -> z Phi(z), z = x + b ---- */

static hct_status infer_bias_gelu(const hct_problem *p, hct_view *out, hct_err *err) {
    const hct_view *x = &p->in[0];
    HCT_TRY(hct_want(p, 2, 1, err));
    HCT_TRY(hct_want_same_real(p, 2, err));
    if (x->ndim < 1) return hct_fail(err, HCT_ESHAPE, "x needs a last axis");
    HCT_TRY(hct_want_dims(p, 1, 1, &x->dim[x->ndim - 1], err));
    hct_set(out, x->dtype, x->ndim, x->dim);
    return HCT_OK;
}

/* bias_gelu.bwd(x, b, dy) -> dx = dy (Phi(z) + z phi(z)), db = sum of dx over all but the last axis */
static hct_status infer_bias_gelu_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    const hct_view *x = &p->in[0];
    HCT_TRY(hct_want(p, 3, 2, err));
    HCT_TRY(hct_want_same_real(p, 3, err));
    HCT_TRY(hct_want_dims(p, 2, x->ndim, x->dim, err));
    hct_set(&out[0], x->dtype, x->ndim, x->dim);
    hct_set(&out[1], x->dtype, 1, p->in[1].dim);
    return HCT_OK;
}

static hct_status grad_bias_gelu(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id d[2];
    h->emit(t, "bias_gelu.bwd", (hct_id[]){n->in[0], n->in[1], h->grad_of(t, n->out[0])}, 3, NULL, 0, d, 2);
    for (int i = 0; i < 2; i++) h->add_grad(t, n->in[i], d[i]);
    return HCT_OK;
}

HCT_OP(op_bias_gelu, "bias_gelu", .infer = infer_bias_gelu, .grad = grad_bias_gelu);
HCT_OP(op_bias_gelu_bwd, "bias_gelu.bwd", .infer = infer_bias_gelu_bwd);

hct_id hct_bias_gelu(hct_tape *t, hct_id x, hct_id b) { return OP1(t, "bias_gelu", x, b); }

/* ---- add_layer_norm(x, h [..., C], w [C], b [C]; eps) -> s = x + h, y = layer norm of s, mean [...], rstd [...]
 * ---- */

static hct_status infer_add_norm(const hct_problem *p, hct_view *out, hct_err *err) {
    const hct_view *x = &p->in[0];
    HCT_TRY(hct_want(p, 4, 4, err));
    HCT_TRY(hct_want_same_real(p, 4, err));
    if (x->ndim < 1 || x->dim[x->ndim - 1] < 1)
        return hct_fail(err, HCT_ESHAPE, "x needs a last axis to normalise over");
    HCT_TRY(hct_want_dims(p, 1, x->ndim, x->dim, err));
    for (uint32_t i = 2; i < 4; i++) HCT_TRY(hct_want_dims(p, i, 1, &x->dim[x->ndim - 1], err));
    for (int i = 0; i < 2; i++) hct_set(&out[i], x->dtype, x->ndim, x->dim);
    for (int i = 2; i < 4; i++) hct_set(&out[i], stat_dtype(x), x->ndim - 1, x->dim);
    return HCT_OK;
}

/* add_layer_norm.bwd(s, w, mean, rstd, dy, ds) -> dx = ds + layer_norm.bwd's dx, dw, db; dh is dx */
static hct_status infer_add_norm_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    const hct_view *s = &p->in[0];
    HCT_TRY(hct_want(p, 6, 3, err));
    for (uint32_t i = 2; i < 4; i++) HCT_TRY(hct_want_dims(p, i, s->ndim - 1, s->dim, err));
    for (uint32_t i = 4; i < 6; i++) HCT_TRY(hct_want_dims(p, i, s->ndim, s->dim, err));
    hct_set(&out[0], s->dtype, s->ndim, s->dim);
    for (int i = 1; i < 3; i++) hct_set(&out[i], p->in[1].dtype, 1, p->in[1].dim);
    return HCT_OK;
}

static hct_status grad_add_norm(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id ds = h->grad_of(t, n->out[0]), dy = h->grad_of(t, n->out[1]), d[3] = {ds, 0, 0};
    if (dy)
        h->emit(t, ds ? "add_layer_norm.bwd" : "layer_norm.bwd",
                (hct_id[]){n->out[0], n->in[2], n->out[2], n->out[3], dy, ds}, ds ? 6 : 5, NULL, 0, d, 3);
    if (!d[0]) return HCT_OK;
    for (int i = 0; i < 2; i++) h->add_grad(t, n->in[i], d[0]);
    for (int i = 0; i < 2 && dy; i++) h->add_grad(t, n->in[2 + i], d[1 + i]);
    return HCT_OK;
}

HCT_OP(op_add_norm, "add_layer_norm", .infer = infer_add_norm, .grad = grad_add_norm);
HCT_OP(op_add_norm_bwd, "add_layer_norm.bwd", .infer = infer_add_norm_bwd);

hct_id hct_add_layer_norm(hct_tape *t, hct_id x, hct_id h, hct_id w, hct_id b, double eps, hct_id *ret_sum) {
    hct_id out[4] = {0};
    hct_emit(t, "add_layer_norm", (hct_id[]){x, h, w, b}, 4, &HCT_REAL("eps", eps), 1, out, 4);
    *ret_sum = out[0];
    return out[1];
}

const hct_op *const hct_ops_fused[] = {&op_bias_gelu, &op_bias_gelu_bwd, &op_add_norm, &op_add_norm_bwd, NULL};
