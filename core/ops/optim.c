/* Ops that end a training step: gradient norms, and fused updates of all tensors of a group.
 *
 * rates: F32 [8 g]; group g's floats at `at`: lr, decay, 1 - beta1^t, 1 - beta2^t, active (0: touch nothing), then
 * unused. norms: F32 [n + 1] from grad_norm; tensor i of the call uses norms[norm_at + i], or the last one where
 * clip is global. */
#include "ops.h"
#include "hct/optim.h"

static hct_status infer_norm(const hct_problem *p, hct_view *out, hct_err *err) {
    if (!p->n_in || p->n_out != 1) return hct_fail(err, HCT_EINVAL, "takes one gradient or more");
    HCT_TRY(hct_want_same_real(p, p->n_in, err));
    hct_set(out, HCT_F32, 1, (int64_t[]){(int64_t)p->n_in + 1});
    return HCT_OK;
}

/* in: rates, norms, then (param, grad, state...) each; out: (param, state...) each, in place. adam with attribute
 * "copy": a BF16 or F16 copy of the parameter is the last state; it is only written. */
static hct_status infer_update(const hct_problem *p, hct_view *out, hct_err *err, uint32_t states) {
    states += hct_attr_int(p->attr, p->n_attr, "copy", 0) != 0;
    uint32_t per_in = 2 + states, per_out = 1 + states;
    if (p->n_in < 2 + per_in || (p->n_in - 2) % per_in || p->n_out != (p->n_in - 2) / per_in * per_out)
        return hct_fail(err, HCT_EINVAL, "takes rates, norms, and %u values for each parameter", per_in);
    HCT_TRY(hct_want_dtype(p, 0, HCT_F32, err));
    HCT_TRY(hct_want_dtype(p, 1, HCT_F32, err));
    for (uint32_t i = 2, o = 0; i < p->n_in; i += per_in) {
        const hct_view *w = &p->in[i];
        if (!is_real(w->dtype)) return hct_fail(err, HCT_EDTYPE, "parameters are real");
        for (uint32_t k = 1; k < per_in; k++) HCT_TRY(hct_want_dims(p, i + k, w->ndim, w->dim, err));
        for (uint32_t k = 0; k < per_out; k++) hct_set(&out[o++], p->in[k ? i + 1 + k : i].dtype, w->ndim, w->dim);
    }
    return HCT_OK;
}

static hct_status infer_adam(const hct_problem *p, hct_view *out, hct_err *err) { return infer_update(p, out, err, 2); }
static hct_status infer_sgd(const hct_problem *p, hct_view *out, hct_err *err) { return infer_update(p, out, err, 1); }

HCT_OP(op_norm, "grad_norm", .infer = infer_norm);
HCT_OP(op_adam, "adam", .infer = infer_adam);
HCT_OP(op_sgd, "sgd", .infer = infer_sgd);

const hct_op *const hct_ops_optim[] = {&op_norm, &op_adam, &op_sgd, NULL};
