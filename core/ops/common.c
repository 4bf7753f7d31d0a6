/* Checks that every op family's shape rule is made of, and the list of families. */
#include "ops.h"
#include "../internal.h"

#include <stdio.h>

static const hct_op *const *const families[] = {
    hct_ops_elementwise, hct_ops_reduce, hct_ops_matmul,       hct_ops_attention, hct_ops_norm, hct_ops_softmax,
    hct_ops_loss,        hct_ops_shape,  hct_ops_tokens,       hct_ops_optim,     hct_ops_dino, hct_ops_collective,
    hct_ops_conv,        hct_ops_pool,   hct_ops_batch_norm3d, hct_ops_fused};

hct_status hct_register_core_ops(hct_ctx *ctx, hct_err *err) {
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (const hct_op *const *op = families[f]; *op; op++) HCT_TRY(ctx->host.add_op(&ctx->host, *op, err));
    return HCT_OK;
}

hct_status hct_want(const hct_problem *p, uint32_t n_in, uint32_t n_out, hct_err *err) {
    if (p->n_in == n_in && p->n_out == n_out) return HCT_OK;
    return hct_fail(err, HCT_EINVAL, "takes %u inputs and gives %u outputs, not %u and %u", n_in, n_out, p->n_in,
                    p->n_out);
}

hct_status hct_want_same_real(const hct_problem *p, uint32_t n, hct_err *err) {
    for (uint32_t i = 0; i < n; i++) {
        if (!is_real(p->in[i].dtype))
            return hct_fail(err, HCT_EDTYPE, "input %u is %s, a real dtype is needed", i,
                            hct_dtype_name(p->in[i].dtype));
        if (p->in[i].dtype != p->in[0].dtype)
            return hct_fail(err, HCT_EDTYPE, "inputs 0 and %u are %s and %s; cast one", i,
                            hct_dtype_name(p->in[0].dtype), hct_dtype_name(p->in[i].dtype));
    }
    return HCT_OK;
}

hct_status hct_want_dtype(const hct_problem *p, uint32_t i, int32_t dtype, hct_err *err) {
    if (p->in[i].dtype == dtype) return HCT_OK;
    return hct_fail(err, HCT_EDTYPE, "input %u is %s, %s is needed", i, hct_dtype_name(p->in[i].dtype),
                    hct_dtype_name(dtype));
}

const char *hct_dims_text(const hct_view *v, char *out, size_t n) {
    size_t used = (size_t)snprintf(out, n, "[");
    for (int i = 0; i < v->ndim && used < n; i++)
        used += (size_t)snprintf(out + used, n - used, "%s%lld", i ? "," : "", (long long)v->dim[i]);
    if (used < n) snprintf(out + used, n - used, "]");
    return out;
}

void hct_set(hct_view *out, int32_t dtype, int ndim, const int64_t *dim) {
    out->dtype = dtype;
    out->ndim = ndim;
    for (int i = 0; i < ndim; i++) out->dim[i] = dim[i];
}

int hct_same_dims(const hct_view *a, const hct_view *b) {
    if (a->ndim != b->ndim) return 0;
    for (int i = 0; i < a->ndim; i++)
        if (a->dim[i] != b->dim[i]) return 0;
    return 1;
}

hct_status hct_want_dims(const hct_problem *p, uint32_t i, int ndim, const int64_t *dim, hct_err *err) {
    hct_view want;
    char a[128], b[128];
    hct_set(&want, HCT_F32, ndim, dim);
    if (hct_same_dims(&p->in[i], &want)) return HCT_OK;
    return hct_fail(err, HCT_ESHAPE, "input %u is %s, %s is needed", i, hct_dims_text(&p->in[i], a, sizeof a),
                    hct_dims_text(&want, b, sizeof b));
}
