/* Sums and means over axes. */
#include "ops.h"

static hct_status infer_sum(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    int64_t axes = hct_attr_int(p->attr, p->n_attr, "axes", 0);
    int keep = (int)hct_attr_int(p->attr, p->n_attr, "keep", 0), n = 0;
    if (axes >> p->in[0].ndim)
        return hct_fail(err, HCT_EINVAL, "axes 0x%llx reach beyond the %d axes there are", (long long)axes,
                        p->in[0].ndim);
    out->dtype = p->in[0].dtype;
    for (int i = 0; i < p->in[0].ndim; i++) {
        if (!(axes >> i & 1)) out->dim[n++] = p->in[0].dim[i];
        else if (keep) out->dim[n++] = 1;
    }
    out->ndim = n;
    return HCT_OK;
}

static hct_status grad_sum(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_view x, kept;
    h->describe(t, n->in[0], &x);
    kept = x;
    int64_t axes = hct_attr_int(n->attr, n->n_attr, "axes", 0);
    for (int i = 0; i < x.ndim; i++)
        if (axes >> i & 1) kept.dim[i] = 1;
    hct_id g = hct_reshape(t, h->grad_of(t, n->out[0]), x.ndim, kept.dim);
    h->add_grad(t, n->in[0], hct_expand(t, g, x.ndim, x.dim));
    return HCT_OK;
}

HCT_OP(op_sum, "sum", .infer = infer_sum, .grad = grad_sum);

hct_id hct_sum(hct_tape *t, hct_id x, uint32_t axes, int keep) {
    return op1(t, "sum", &x, 1, (hct_attr[]){HCT_INT("axes", axes), HCT_INT("keep", keep)}, 2);
}

hct_id hct_mean(hct_tape *t, hct_id x, uint32_t axes, int keep) {
    const hct_view *v = hct_shape(t, x);
    double n = 1;
    for (int i = 0; i < v->ndim; i++)
        if (axes >> i & 1) n *= (double)v->dim[i];
    return hct_scale(t, hct_sum(t, x, axes, keep), 1 / n, 0);
}

const hct_op *const hct_ops_reduce[] = {&op_sum, NULL};
