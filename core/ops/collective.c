/* all_reduce(x...) -> y...: y_i = scale * sum over ranks of x_i. Every rank runs the same calls in the same order. */
#include "ops.h"
#include "hct/comm.h"

#include <stdlib.h>

static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    if (!p->n_in || p->n_out != p->n_in) return hct_fail(err, HCT_EINVAL, "takes one value or more, and gives as many");
    HCT_TRY(hct_want_same_real(p, p->n_in, err));
    for (uint32_t i = 0; i < p->n_in; i++) hct_set(&out[i], p->in[i].dtype, p->in[i].ndim, p->in[i].dim);
    return HCT_OK;
}

/* With the loss summed over ranks, dL/dx_i on each rank = scale * sum over ranks of dL_rank/dy_i. Every rank must
 * ask for the same gradients: they record the same model. */
static hct_status grad(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    hct_id *g = malloc(2 * (size_t)n->n_in * sizeof *g), *of = g + n->n_in;
    uint32_t k = 0;
    if (!g) return hct_fail(err, HCT_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < n->n_in; i++)
        if (h->grad_of(t, n->out[i]) && h->needs_grad(t, n->in[i])) g[k] = h->grad_of(t, n->out[i]), of[k++] = n->in[i];
    if (k) hct_all_reduce(t, g, k, hct_attr_real(n->attr, n->n_attr, "scale", 1));
    for (uint32_t i = 0; i < k && g[i]; i++) h->add_grad(t, of[i], g[i]);
    free(g);
    return HCT_OK;
}

HCT_OP(op_all_reduce, "all_reduce", .infer = infer, .grad = grad);

/* all_reduce.wait(y...) -> token F32 [1]: what runs behind it may read y, the results of all_reduce calls before it;
 * a device may still be exchanging them until then. */
static hct_status infer_wait(const hct_problem *p, hct_view *out, hct_err *err) {
    if (!p->n_in || p->n_out != 1) return hct_fail(err, HCT_EINVAL, "takes one value or more, and gives one");
    hct_set(out, HCT_F32, 1, (int64_t[]){1});
    return HCT_OK;
}

HCT_OP(op_wait, "all_reduce.wait", .infer = infer_wait);

void hct_all_reduce(hct_tape *t, hct_id *x, uint32_t n, double scale) {
    hct_id *out = malloc((size_t)n * sizeof *out), token;
    if (!out) {
        hct_tape_fail(t, HCT_ENOMEM, "all_reduce: out of memory");
        return;
    }
    hct_emit(t, "all_reduce", x, n, &HCT_REAL("scale", scale), 1, out, n);
    memcpy(x, out, n * sizeof *x);
    hct_emit(t, "all_reduce.wait", x, n, NULL, 0, &token, 1);
    hct_keep(t, token);
    free(out);
}

int hct_ranks(void) {
    const hct_comm *comm = hct_comm_world();
    return comm ? comm->ranks : 1;
}

hct_id hct_centre_over_ranks(hct_tape *t, hct_id x, uint32_t axes, int keep, hct_id *ret_mean, hct_id *ret_var) {
    const double share = 1.0 / hct_ranks();
    x = hct_cast(t, x, (hct_dtype)stat_dtype(hct_shape(t, x)));
    hct_id mean = hct_mean(t, x, axes, keep);
    hct_all_reduce(t, &mean, 1, share);
    hct_id d = hct_sub(t, x, mean), var = hct_mean(t, hct_mul(t, d, d), axes, keep);
    hct_all_reduce(t, &var, 1, share);
    *ret_mean = mean;
    *ret_var = var;
    return d;
}

const hct_op *const hct_ops_collective[] = {&op_all_reduce, &op_wait, NULL};
