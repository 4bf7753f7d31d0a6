/* The op linear_int8 (kit/int8.h): its shape rule. It comes with this backend, the only one that computes it. */
#include "kit/int8.h"

#include "hct/plugin.h"

static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    if (p->n_out != 1 || p->n_in < 2 || p->n_in > 3)
        return hct_plugin_fail(err, HCT_EINVAL, "takes x, w, and a bias or none; it was given %u inputs", p->n_in);
    const hct_view *x = &p->in[0], *w = &p->in[1];
    for (uint32_t i = 0; i < p->n_in; i++) {
        int32_t dtype = p->in[i].dtype;
        if (dtype != x->dtype || (dtype != HCT_F32 && dtype != HCT_F64 && dtype != HCT_BF16 && dtype != HCT_F16))
            return hct_plugin_fail(err, HCT_EDTYPE, "all inputs must have one real dtype");
    }
    if (x->ndim < 1 || w->ndim != 2 || x->dim[x->ndim - 1] != w->dim[1])
        return hct_plugin_fail(err, HCT_ESHAPE, "x's last axis must be w's last");
    if (w->dim[1] > INT8_INNER)
        return hct_plugin_fail(err, HCT_ESHAPE, "an inner axis of %lld is more than sums of 32 bits hold",
                               (long long)w->dim[1]);
    if (p->n_in == 3 && (p->in[2].ndim != 1 || p->in[2].dim[0] != w->dim[0]))
        return hct_plugin_fail(err, HCT_ESHAPE, "the bias must have one number a row of w");
    out->dtype = x->dtype;
    out->ndim = x->ndim;
    for (int i = 0; i < x->ndim; i++) out->dim[i] = x->dim[i];
    out->dim[x->ndim - 1] = w->dim[0];
    return HCT_OK;
}

const hct_op cpu_linear_int8 = {.size = sizeof(hct_op), .name = "linear_int8", .infer = infer};
