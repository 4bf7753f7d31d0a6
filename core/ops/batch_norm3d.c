/* Affine batch norm of x [N, C, ...] over everything but the channels, as PyTorch's BatchNorm3d; the statistics are
 * F32 (F64 beside F64). */
#include "ops.h"

static hct_status check(const hct_problem *p, uint32_t affine, hct_err *err) {
    HCT_TRY(hct_want_same_real(p, affine, err));
    if (p->in[0].ndim < 2) return hct_fail(err, HCT_ESHAPE, "x is [batch, channels, ...]");
    for (uint32_t i = 1; i < affine; i++) HCT_TRY(hct_want_dims(p, i, 1, &p->in[0].dim[1], err));
    return HCT_OK;
}
static hct_status check_statistics(const hct_problem *p, uint32_t from, hct_err *err) {
    for (uint32_t i = from; i < from + 2; i++) {
        HCT_TRY(hct_want_dims(p, i, 1, &p->in[0].dim[1], err));
        HCT_TRY(hct_want_dtype(p, i, stat_dtype(&p->in[0]), err));
    }
    return HCT_OK;
}

/* Values of one channel. */
static int64_t values(const hct_view *x) { return x->dim[1] ? hct_numel(x) / x->dim[1] : 0; }

/* batch_norm3d(x, w, b; eps) -> y = (x - mean) rstd w + b, mean [C], rstd [C], var [C] (population) */
static hct_status infer_train(const hct_problem *p, hct_view *out, hct_err *err) {
    const hct_view *x = &p->in[0];
    HCT_TRY(hct_want(p, 3, 4, err));
    HCT_TRY(check(p, 3, err));
    if (x->dim[1] && values(x) < 2)
        return hct_fail(err, HCT_ESHAPE, "a channel has %lld values; 2 or more are needed when training",
                        (long long)values(x));
    hct_set(&out[0], x->dtype, x->ndim, x->dim);
    for (int i = 1; i < 4; i++) hct_set(&out[i], stat_dtype(x), 1, &x->dim[1]);
    return HCT_OK;
}

/* batch_norm3d_eval(x, w, b, mean, var; eps) -> (x - mean) / sqrt(var + eps) w + b */
static hct_status infer_eval(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 5, 1, err));
    HCT_TRY(check(p, 3, err));
    HCT_TRY(check_statistics(p, 3, err));
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

/* batch_norm3d.bwd(x, w, mean, rstd, dy) -> dx = w rstd (dy - mean(dy) - xhat mean(dy xhat)), dw = sum(dy xhat), db
 * = sum(dy), a channel at a time; batch_norm3d_eval.bwd(x, w, mean, var, dy; eps) -> dx = w rstd dy, dw, db: there
 * the statistics do not depend on x. */
static hct_status infer_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 5, 3, err));
    HCT_TRY(check(p, 2, err));
    HCT_TRY(check_statistics(p, 2, err));
    HCT_TRY(hct_want_dims(p, 4, p->in[0].ndim, p->in[0].dim, err));
    hct_set(&out[0], p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    for (int i = 1; i < 3; i++) hct_set(&out[i], p->in[1].dtype, 1, p->in[1].dim);
    return HCT_OK;
}

static void backward(const hct_host *h, hct_tape *t, const hct_node *n, const char *op, hct_id mean, hct_id spread) {
    hct_id d[3], dy = h->grad_of(t, n->out[0]);
    if (!dy) return;
    hct_emit(t, op, (hct_id[]){n->in[0], n->in[1], mean, spread, dy}, 5, n->attr, n->n_attr, d, 3);
    for (int i = 0; i < 3; i++) h->add_grad(t, n->in[i], d[i]);
}
static hct_status grad_train(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    backward(h, t, n, "batch_norm3d.bwd", n->out[1], n->out[2]);
    return HCT_OK;
}
static hct_status grad_eval(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    if (h->needs_grad(t, n->in[3]) || h->needs_grad(t, n->in[4]))
        return hct_fail(err, HCT_EINVAL, "running statistics have no gradient; detach them");
    backward(h, t, n, "batch_norm3d_eval.bwd", n->in[3], n->in[4]);
    return HCT_OK;
}

HCT_OP(op_train, "batch_norm3d", .infer = infer_train, .grad = grad_train);
HCT_OP(op_train_bwd, "batch_norm3d.bwd", .infer = infer_bwd);
HCT_OP(op_eval, "batch_norm3d_eval", .infer = infer_eval, .grad = grad_eval);
HCT_OP(op_eval_bwd, "batch_norm3d_eval.bwd", .infer = infer_bwd);

/* With several ranks the batch is that of all of them, as hct_batch_norm's. */
static hct_id norm_over_ranks(hct_tape *t, hct_id x, hct_id w, hct_id b, hct_id *ret_mean, hct_id *ret_var,
                              double eps) {
    const hct_view own = *hct_shape(t, x);
    const hct_dtype dtype = (hct_dtype)own.dtype, statistics = (hct_dtype)stat_dtype(&own);
    int64_t channels = own.dim[1], one[HCT_MAX_DIMS];
    uint32_t others = 0;
    for (int i = 0; i < own.ndim; i++) one[i] = i == 1 ? channels : 1, others |= i == 1 ? 0 : 1u << i;
    hct_id mean, var, d = hct_centre_over_ranks(t, x, others, 1, &mean, &var);
    *ret_mean = hct_detach(t, hct_reshape(t, mean, 1, &channels));
    *ret_var = hct_detach(t, hct_reshape(t, var, 1, &channels));
    hct_id xhat = hct_mul(t, d, hct_rsqrt(t, var, eps)),
           scale = hct_reshape(t, hct_cast(t, w, statistics), own.ndim, one);
    return hct_cast(t, hct_add(t, hct_mul(t, xhat, scale), hct_reshape(t, hct_cast(t, b, statistics), own.ndim, one)),
                    dtype);
}

hct_id hct_batch_norm3d(hct_tape *t, hct_id x, hct_id w, hct_id b, hct_id running_mean, hct_id running_var,
                        double momentum, double eps, int training) {
    const hct_attr e = HCT_REAL("eps", eps);
    if (!training) return op1(t, "batch_norm3d_eval", (hct_id[]){x, w, b, running_mean, running_var}, 5, &e, 1);
    hct_id out[4], running[] = {running_mean, running_var};
    int ranks = hct_ranks();
    if (ranks > 1 && x && hct_shape(t, x)->ndim >= 2) out[0] = norm_over_ranks(t, x, w, b, &out[1], &out[3], eps);
    else hct_emit(t, "batch_norm3d", (hct_id[]){x, w, b}, 3, &e, 1, out, 4);
    const hct_attr a[] = {HCT_REAL("momentum", momentum), HCT_INT("n", x ? values(hct_shape(t, x)) * ranks : 0)};
    hct_emit_into(t, "batch_norm.update", (hct_id[]){running_mean, running_var, out[1], out[3]}, 4, a, 2, running, 2);
    return out[0];
}

const hct_op *const hct_ops_batch_norm3d[] = {&op_train, &op_train_bwd, &op_eval, &op_eval_bwd, NULL};
