/* Normalisation: layer norm, batch norm without affine, L2 norm. */
#include "ops.h"

/* ---- layer norm: x [..., C], w [C], b [C] -> y, mean [...], rstd [...] ---- */

static hct_status infer_layer_norm(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 3, 3, err));
    HCT_TRY(hct_want_same_real(p, 3, err));
    const hct_view *x = &p->in[0];
    if (x->ndim < 1 || x->dim[x->ndim - 1] < 1)
        return hct_fail(err, HCT_ESHAPE, "x needs a last axis to normalise over");
    for (uint32_t i = 1; i < 3; i++) HCT_TRY(hct_want_dims(p, i, 1, &x->dim[x->ndim - 1], err));
    hct_set(&out[0], x->dtype, x->ndim, x->dim);
    for (int i = 1; i < 3; i++) hct_set(&out[i], stat_dtype(x), x->ndim - 1, x->dim);
    return HCT_OK;
}

/* layer_norm.bwd(x, w, mean, rstd, dy) -> dx, dw, db. With xhat = (x - mean) rstd and g = dy w:
 * dx = rstd (g - mean(g) - xhat mean(g xhat)), dw = sum(dy xhat), db = sum(dy). */
static hct_status infer_layer_norm_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 5, 3, err));
    const hct_view *x = &p->in[0];
    HCT_TRY(hct_want_dims(p, 2, x->ndim - 1, x->dim, err));
    HCT_TRY(hct_want_dims(p, 4, x->ndim, x->dim, err));
    hct_set(&out[0], x->dtype, x->ndim, x->dim);
    for (int i = 1; i < 3; i++) hct_set(&out[i], p->in[1].dtype, 1, p->in[1].dim);
    return HCT_OK;
}

static hct_status grad_layer_norm(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id d[3];
    h->emit(t, "layer_norm.bwd", (hct_id[]){n->in[0], n->in[1], n->out[1], n->out[2], h->grad_of(t, n->out[0])}, 5,
            NULL, 0, d, 3);
    for (int i = 0; i < 3; i++) h->add_grad(t, n->in[i], d[i]);
    return HCT_OK;
}

HCT_OP(op_layer_norm, "layer_norm", .infer = infer_layer_norm, .grad = grad_layer_norm);
HCT_OP(op_layer_norm_bwd, "layer_norm.bwd", .infer = infer_layer_norm_bwd);

hct_id hct_layer_norm(hct_tape *t, hct_id x, hct_id w, hct_id b, double eps) {
    hct_id out[3];
    hct_emit(t, "layer_norm", (hct_id[]){x, w, b}, 3, &HCT_REAL("eps", eps), 1, out, 3);
    return out[0];
}

/* ---- batch norm in training: x [N, C] -> y, mean [C], rstd [C], var [C] (population) ---- */

static hct_status infer_batch_norm(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 4, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    const hct_view *x = &p->in[0];
    if (x->ndim != 2 || x->dim[0] < 2)
        return hct_fail(err, HCT_ESHAPE, "x is [N, C] with N of 2 or more when training");
    hct_set(&out[0], x->dtype, 2, x->dim);
    for (int i = 1; i < 4; i++) hct_set(&out[i], stat_dtype(x), 1, &x->dim[1]);
    return HCT_OK;
}

/* batch_norm.bwd(x, mean, rstd, dy) -> dx = rstd (dy - mean(dy) - xhat mean(dy xhat)), means over N */
static hct_status infer_batch_norm_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 4, 1, err));
    HCT_TRY(hct_want_dims(p, 3, p->in[0].ndim, p->in[0].dim, err));
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad_batch_norm(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    if (h->grad_of(t, n->out[0]))
        h->add_grad(t, n->in[0], OP1(t, "batch_norm.bwd", n->in[0], n->out[1], n->out[2], h->grad_of(t, n->out[0])));
    return HCT_OK;
}

/* batch_norm.update(running_mean, running_var, mean, var) -> both running statistics, written in place:
 * r += momentum (s - r), with s = mean, and var n/(n-1). */
static hct_status infer_update(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 4, 2, err));
    for (uint32_t i = 1; i < 4; i++) HCT_TRY(hct_want_dims(p, i, 1, p->in[0].dim, err));
    if (hct_attr_int(p->attr, p->n_attr, "n", 0) < 2)
        return hct_fail(err, HCT_EINVAL, "attribute 'n', the rows of a batch, must be 2 or more");
    for (int i = 0; i < 2; i++) hct_set(&out[i], p->in[i].dtype, 1, p->in[i].dim);
    return HCT_OK;
}

HCT_OP(op_batch_norm, "batch_norm", .infer = infer_batch_norm, .grad = grad_batch_norm);
HCT_OP(op_batch_norm_bwd, "batch_norm.bwd", .infer = infer_batch_norm_bwd);
HCT_OP(op_update, "batch_norm.update", .infer = infer_update);

/* With several ranks the batch is that of all of them. */
static hct_id norm_over_ranks(hct_tape *t, hct_id x, hct_id *ret_mean, hct_id *ret_var, double eps) {
    hct_dtype dtype = (hct_dtype)hct_shape(t, x)->dtype;
    hct_id mean, var, d = hct_centre_over_ranks(t, x, 1, 0, &mean, &var);
    *ret_mean = hct_detach(t, mean);
    *ret_var = hct_detach(t, var);
    return hct_cast(t, hct_mul(t, d, hct_rsqrt(t, var, eps)), dtype);
}

hct_id hct_batch_norm(hct_tape *t, hct_id x, hct_id mean, hct_id var, double momentum, double eps, int training) {
    if (!training) return hct_mul(t, hct_sub(t, x, mean), hct_rsqrt(t, var, eps));
    hct_id out[4], running[] = {mean, var};
    int ranks = hct_ranks();
    if (ranks > 1) out[0] = norm_over_ranks(t, x, &out[1], &out[3], eps);
    else hct_emit(t, "batch_norm", &x, 1, &HCT_REAL("eps", eps), 1, out, 4);
    hct_attr a[] = {HCT_REAL("momentum", momentum), HCT_INT("n", hct_shape(t, x)->dim[0] * ranks)};
    hct_emit_into(t, "batch_norm.update", (hct_id[]){mean, var, out[1], out[3]}, 4, a, 2, running, 2);
    return out[0];
}

/* ---- L2 norm over the last axis: x -> y = x / max(||x||, eps), norm [...] = max(||x||, eps) ---- */

static hct_status infer_l2(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 2, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    const hct_view *x = &p->in[0];
    if (x->ndim < 1) return hct_fail(err, HCT_ESHAPE, "x needs a last axis");
    hct_set(&out[0], x->dtype, x->ndim, x->dim);
    hct_set(&out[1], stat_dtype(x), x->ndim - 1, x->dim);
    return HCT_OK;
}

/* l2_normalize.bwd(y, norm, dy) -> dx = (dy - y (y . dy)) / norm; where ||x|| < eps: dy / eps */
static hct_status infer_l2_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 3, 1, err));
    HCT_TRY(hct_want_dims(p, 2, p->in[0].ndim, p->in[0].dim, err));
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad_l2(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id in[] = {n->out[0], n->out[1], h->grad_of(t, n->out[0])};
    if (in[2]) in[0] = hct_cast(t, in[0], (hct_dtype)hct_shape(t, in[2])->dtype); /* of a parameter's: F32 */
    if (in[2]) h->add_grad(t, n->in[0], op1(t, "l2_normalize.bwd", in, 3, n->attr, n->n_attr));
    return HCT_OK;
}

HCT_OP(op_l2, "l2_normalize", .infer = infer_l2, .grad = grad_l2);
HCT_OP(op_l2_bwd, "l2_normalize.bwd", .infer = infer_l2_bwd);

hct_id hct_l2_normalize(hct_tape *t, hct_id x, double eps) {
    hct_id out[2];
    hct_emit(t, "l2_normalize", &x, 1, &HCT_REAL("eps", eps), 1, out, 2);
    return out[0];
}

const hct_op *const hct_ops_norm[] = {
    &op_layer_norm, &op_layer_norm_bwd, &op_batch_norm, &op_batch_norm_bwd, &op_update, &op_l2, &op_l2_bwd, NULL};
