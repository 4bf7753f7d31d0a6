/* Matrix products: linear (weights [out, in], as PyTorch keeps them), the same with GELU behind it, and matmul
 * (batched, any strides; or into the dtype of statistics). */
#include "ops.h"

/* ---- linear: x [..., K], w [N, K], b [N] -> [..., N] ---- */

static hct_status linear_dims(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want_same_real(p, p->n_in, err));
    const hct_view *x = &p->in[0], *w = &p->in[1];
    char a[128], b[128];
    if (x->ndim < 1 || w->ndim != 2 || x->dim[x->ndim - 1] != w->dim[1])
        return hct_fail(err, HCT_ESHAPE, "x is %s and w is %s; x's last axis must be w's last",
                        hct_dims_text(x, a, sizeof a), hct_dims_text(w, b, sizeof b));
    if (p->n_in == 3) HCT_TRY(hct_want_dims(p, 2, 1, &w->dim[0], err));
    hct_set(out, x->dtype, x->ndim, x->dim);
    out->dim[x->ndim - 1] = w->dim[0];
    return HCT_OK;
}

static hct_status infer_linear(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, p->n_in == 3 ? 3 : 2, 1, err));
    return linear_dims(p, out, err);
}

static hct_id as_rows(hct_tape *t, hct_id x) {
    const hct_view *v = hct_shape(t, x);
    return hct_reshape(t, x, 2, (int64_t[]){-1, v->ndim ? v->dim[v->ndim - 1] : 1});
}

/* dx = dy w; dw = dy^T x. Returns dy as rows. */
static hct_id factors_grad(const hct_host *h, hct_tape *t, const hct_node *n, hct_id dy) {
    static const int swap[] = {1, 0};
    hct_id rows = as_rows(t, dy);
    hct_view x;
    h->describe(t, n->in[0], &x);
    if (h->needs_grad(t, n->in[0]))
        h->add_grad(t, n->in[0], hct_reshape(t, hct_matmul(t, rows, n->in[1]), x.ndim, x.dim));
    if (h->needs_grad(t, n->in[1])) { /* a parameter in F32 whose copy is computed with gets its gradient in F32 */
        const char *product = hct_grad_dtype(t, n->in[1]) == hct_shape(t, rows)->dtype ? "matmul" : "matmul_wide";
        h->add_grad(t, n->in[1], OP1(t, product, hct_permute(t, rows, swap), as_rows(t, n->in[0])));
    }
    return rows;
}

/* and db = column sums of dy */
static hct_status grad_linear(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id rows = factors_grad(h, t, n, h->grad_of(t, n->out[0]));
    if (n->n_in == 3 && h->needs_grad(t, n->in[2])) h->add_grad(t, n->in[2], hct_sum(t, rows, HCT_AXIS(0), 0));
    return HCT_OK;
}

/* ---- linear_gelu: x [..., K], w [N, K], b [N] -> gelu(x w^T + b) [..., N], and x w^T, which its gradient reads
 * ---- */

static hct_status infer_linear_gelu(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 3, 2, err));
    HCT_TRY(linear_dims(p, &out[0], err));
    hct_set(&out[1], out[0].dtype, out[0].ndim, out[0].dim);
    return HCT_OK;
}

static hct_status grad_linear_gelu(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id d[2];
    h->emit(t, "bias_gelu.bwd", (hct_id[]){n->out[1], n->in[2], h->grad_of(t, n->out[0])}, 3, NULL, 0, d, 2);
    factors_grad(h, t, n, d[0]);
    h->add_grad(t, n->in[2], d[1]);
    return HCT_OK;
}

static hct_status compose_linear_gelu(const hct_host *h, hct_tape *t, const hct_node *n, hct_id *out, hct_err *err) {
    (void)h, (void)err;
    out[1] = hct_linear(t, n->in[0], n->in[1], 0);
    out[0] = hct_bias_gelu(t, out[1], n->in[2]);
    return HCT_OK;
}

/* ---- matmul: a [..., M, K], b [..., K, N], equal leading axes -> [..., M, N] ---- */

static hct_status infer_matmul(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 2, 1, err));
    HCT_TRY(hct_want_same_real(p, 2, err));
    const hct_view *a = &p->in[0], *b = &p->in[1];
    int n = a->ndim, fits = n >= 2 && b->ndim == n && a->dim[n - 1] == b->dim[n - 2];
    for (int i = 0; fits && i < n - 2; i++) fits = a->dim[i] == b->dim[i];
    char x[128], y[128];
    if (!fits)
        return hct_fail(err, HCT_ESHAPE, "%s and %s cannot be multiplied", hct_dims_text(a, x, sizeof x),
                        hct_dims_text(b, y, sizeof y));
    hct_set(out, a->dtype, n, a->dim);
    out->dim[n - 1] = b->dim[n - 1];
    return HCT_OK;
}

/* ---- matmul_wide: the same in F32 (beside F64: F64), from sums that were never rounded to less ---- */

static hct_status infer_matmul_wide(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(infer_matmul(p, out, err));
    out->dtype = stat_dtype(&p->in[0]);
    return HCT_OK;
}

static hct_status compose_matmul_wide(const hct_host *h, hct_tape *t, const hct_node *n, hct_id *out, hct_err *err) {
    (void)h, (void)err;
    hct_id y = OP1(t, "matmul", n->in[0], n->in[1]);
    out[0] = hct_cast(t, y, (hct_dtype)stat_dtype(hct_shape(t, y)));
    return HCT_OK;
}

static hct_id transpose(hct_tape *t, hct_id x) {
    int axes[HCT_MAX_DIMS], n = hct_shape(t, x)->ndim;
    for (int i = 0; i < n; i++) axes[i] = i;
    if (n >= 2) axes[n - 1] = n - 2, axes[n - 2] = n - 1;
    return hct_permute(t, x, axes);
}

/* da = dy b^T; db = a^T dy */
static hct_status grad_matmul(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id dy = h->grad_of(t, n->out[0]);
    if (h->needs_grad(t, n->in[0])) h->add_grad(t, n->in[0], OP1(t, "matmul", dy, transpose(t, n->in[1])));
    if (h->needs_grad(t, n->in[1])) h->add_grad(t, n->in[1], OP1(t, "matmul", transpose(t, n->in[0]), dy));
    return HCT_OK;
}

HCT_OP(op_linear, "linear", .infer = infer_linear, .grad = grad_linear);
HCT_OP(op_linear_gelu, "linear_gelu", .infer = infer_linear_gelu, .grad = grad_linear_gelu,
       .compose = compose_linear_gelu);
HCT_OP(op_matmul, "matmul", .infer = infer_matmul, .grad = grad_matmul);
HCT_OP(op_matmul_wide, "matmul_wide", .infer = infer_matmul_wide, .compose = compose_matmul_wide);

hct_id hct_linear(hct_tape *t, hct_id x, hct_id w, hct_id b) {
    return op1(t, "linear", (hct_id[]){x, w, b}, b ? 3 : 2, NULL, 0);
}

hct_id hct_linear_gelu(hct_tape *t, hct_id x, hct_id w, hct_id b) {
    hct_id out[2];
    hct_emit(t, "linear_gelu", (hct_id[]){x, w, b}, 3, NULL, 0, out, 2);
    return out[0];
}

hct_id hct_matmul(hct_tape *t, hct_id a, hct_id b) {
    const hct_view *x = hct_shape(t, a), *y = hct_shape(t, b);
    int n = x->ndim > y->ndim ? x->ndim : y->ndim;
    if (a && b && x->ndim >= 2 && y->ndim >= 2) {
        int64_t da[HCT_MAX_DIMS], db[HCT_MAX_DIMS];
        int grow_a = 0, grow_b = 0;
        for (int i = 0; i < n; i++) {
            int64_t p = i < n - x->ndim ? 1 : x->dim[i - (n - x->ndim)],
                    q = i < n - y->ndim ? 1 : y->dim[i - (n - y->ndim)];
            int batch = i < n - 2;
            da[i] = batch && p == 1 ? q : p;
            db[i] = batch && q == 1 ? p : q;
            grow_a |= i < n - x->ndim || da[i] != p;
            grow_b |= i < n - y->ndim || db[i] != q;
        }
        if (grow_a) a = hct_expand(t, a, n, da);
        if (grow_b) b = hct_expand(t, b, n, db);
    }
    return OP1(t, "matmul", a, b);
}

const hct_op *const hct_ops_matmul[] = {&op_linear, &op_linear_gelu, &op_matmul, &op_matmul_wide, NULL};
