/* Elementwise ops: add, sub, mul, scale, gelu, relu, rsqrt, cast, copy, fill, dropout. Broadcasting is a view
 * (expand), so kernels see operands of equal dims, with stride 0 where an axis was broadcast. */
#include "ops.h"
#include "../internal.h"

/* ---- add, sub, mul ---- */

static hct_status infer_binary(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 2, 1, err));
    HCT_TRY(hct_want_same_real(p, 2, err));
    HCT_TRY(hct_want_dims(p, 1, p->in[0].ndim, p->in[0].dim, err));
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad_add(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    h->add_grad(t, n->in[0], h->grad_of(t, n->out[0]));
    h->add_grad(t, n->in[1], h->grad_of(t, n->out[0]));
    return HCT_OK;
}

static hct_status grad_sub(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id g = h->grad_of(t, n->out[0]);
    h->add_grad(t, n->in[0], g);
    if (h->needs_grad(t, n->in[1])) h->add_grad(t, n->in[1], hct_scale(t, g, -1, 0));
    return HCT_OK;
}

static hct_status grad_mul(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id g = h->grad_of(t, n->out[0]);
    for (int i = 0; i < 2; i++)
        if (h->needs_grad(t, n->in[i]))
            h->add_grad(t, n->in[i], OP1(t, "mul", g, hct_cast(t, n->in[1 - i], (hct_dtype)hct_shape(t, g)->dtype)));
    return HCT_OK;
}

HCT_OP(op_add, "add", .infer = infer_binary, .grad = grad_add);
HCT_OP(op_sub, "sub", .infer = infer_binary, .grad = grad_sub);
HCT_OP(op_mul, "mul", .infer = infer_binary, .grad = grad_mul);

static hct_id broadcast(hct_tape *t, const char *op, hct_id a, hct_id b) {
    const hct_view *x = hct_shape(t, a), *y = hct_shape(t, b);
    if (a && b && !hct_same_dims(x, y)) {
        int n = x->ndim > y->ndim ? x->ndim : y->ndim;
        int64_t dim[HCT_MAX_DIMS];
        for (int i = 0; i < n; i++) {
            int64_t p = i < n - x->ndim ? 1 : x->dim[i - (n - x->ndim)],
                    q = i < n - y->ndim ? 1 : y->dim[i - (n - y->ndim)];
            dim[i] = p == 1 ? q : p;
        }
        a = hct_expand(t, a, n, dim);
        b = hct_expand(t, b, n, dim);
    }
    return OP1(t, op, a, b);
}

hct_id hct_add(hct_tape *t, hct_id a, hct_id b) { return broadcast(t, "add", a, b); }
hct_id hct_sub(hct_tape *t, hct_id a, hct_id b) { return broadcast(t, "sub", a, b); }
hct_id hct_mul(hct_tape *t, hct_id a, hct_id b) { return broadcast(t, "mul", a, b); }

/* ---- one operand ---- */

static hct_status infer_same(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad_scale(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    h->add_grad(t, n->in[0], hct_scale(t, h->grad_of(t, n->out[0]), hct_attr_real(n->attr, n->n_attr, "factor", 1), 0));
    return HCT_OK;
}

/* gelu.bwd(x, dy) = dy * (Phi(x) + x phi(x)) */
static hct_status grad_gelu(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    h->add_grad(t, n->in[0], OP1(t, "gelu.bwd", n->in[0], h->grad_of(t, n->out[0])));
    return HCT_OK;
}

/* relu.bwd(y, dy) = dy where y > 0, else 0 */
static hct_status grad_relu(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    h->add_grad(t, n->in[0], OP1(t, "relu.bwd", n->out[0], h->grad_of(t, n->out[0])));
    return HCT_OK;
}

/* y = (x + eps)^-1/2, dy/dx = -y^3 / 2 */
static hct_status grad_rsqrt(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id y = n->out[0], cube = OP1(t, "mul", OP1(t, "mul", y, y), y);
    h->add_grad(t, n->in[0], hct_scale(t, OP1(t, "mul", cube, h->grad_of(t, y)), -0.5, 0));
    return HCT_OK;
}

HCT_OP(op_scale, "scale", .infer = infer_same, .grad = grad_scale);
HCT_OP(op_gelu, "gelu", .infer = infer_same, .grad = grad_gelu);
HCT_OP(op_gelu_bwd, "gelu.bwd", .infer = infer_binary);
HCT_OP(op_relu, "relu", .infer = infer_same, .grad = grad_relu);
HCT_OP(op_relu_bwd, "relu.bwd", .infer = infer_binary);
HCT_OP(op_rsqrt, "rsqrt", .infer = infer_same, .grad = grad_rsqrt);

hct_id hct_scale(hct_tape *t, hct_id x, double factor, double plus) {
    return op1(t, "scale", &x, 1, (hct_attr[]){HCT_REAL("factor", factor), HCT_REAL("plus", plus)}, 2);
}
hct_id hct_gelu(hct_tape *t, hct_id x) { return OP1(t, "gelu", x); }
hct_id hct_relu(hct_tape *t, hct_id x) { return OP1(t, "relu", x); }
hct_id hct_rsqrt(hct_tape *t, hct_id x, double eps) { return op1(t, "rsqrt", &x, 1, &HCT_REAL("eps", eps), 1); }

/* ---- cast, copy, fill ---- */

static hct_status infer_cast(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    int64_t to = hct_attr_int(p->attr, p->n_attr, "dtype", -1);
    if (!hct_dtype_size((int32_t)to)) return hct_fail(err, HCT_EDTYPE, "attribute 'dtype' is missing or no dtype");
    hct_set(out, (int32_t)to, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad_cast(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_view x;
    h->describe(t, n->in[0], &x);
    if (is_real(x.dtype)) h->add_grad(t, n->in[0], hct_cast(t, h->grad_of(t, n->out[0]), (hct_dtype)x.dtype));
    return HCT_OK;
}

static hct_status infer_copy(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad_copy(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    h->add_grad(t, n->in[0], h->grad_of(t, n->out[0]));
    return HCT_OK;
}

static hct_status infer_fill(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 0, 1, err));
    const hct_attr *dim = hct_attr_find(p->attr, p->n_attr, "dim");
    int64_t dtype = hct_attr_int(p->attr, p->n_attr, "dtype", -1);
    if (!dim || !hct_dtype_size((int32_t)dtype))
        return hct_fail(err, HCT_EINVAL, "attributes 'dim' and 'dtype' are needed");
    hct_set(out, (int32_t)dtype, dim->n, dim->ints);
    return HCT_OK;
}

HCT_OP(op_cast, "cast", .infer = infer_cast, .grad = grad_cast);
HCT_OP(op_copy, "copy", .infer = infer_copy, .grad = grad_copy);
HCT_OP(op_fill, "fill", .infer = infer_fill);

hct_id hct_cast(hct_tape *t, hct_id x, hct_dtype dtype) {
    if (hct_shape(t, x)->dtype == (int32_t)dtype) return x;
    return op1(t, "cast", &x, 1, &HCT_INT("dtype", dtype), 1);
}
hct_id hct_copy(hct_tape *t, hct_id x) { return OP1(t, "copy", x); }
hct_id hct_fill(hct_tape *t, hct_dtype dtype, int ndim, const int64_t *dim, double v) {
    return op1(t, "fill", NULL, 0,
               (hct_attr[]){hct_ints("dim", ndim, dim), HCT_INT("dtype", dtype), HCT_REAL("value", v)}, 3);
}

/* ---- dropout ---- */

static hct_status infer_dropout(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 2, 1, err));
    HCT_TRY(hct_want_same_real(p, 1, err));
    HCT_TRY(hct_want_dtype(p, 1, HCT_I32, err));
    HCT_TRY(hct_want_dims(p, 1, 1, (int64_t[]){4}, err));
    double rate = hct_attr_real(p->attr, p->n_attr, "p", -1);
    if (!(rate >= 0 && rate < 1)) return hct_fail(err, HCT_EINVAL, "p is %g, it must lie in [0, 1)", rate);
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    return HCT_OK;
}

/* The same mask again: element i of call `stream` draws the same number. */
static hct_status grad_dropout(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    h->add_grad(t, n->in[0], op1(t, "dropout", (hct_id[]){h->grad_of(t, n->out[0]), n->in[1]}, 2, n->attr, n->n_attr));
    return HCT_OK;
}

HCT_OP(op_dropout, "dropout", .infer = infer_dropout, .grad = grad_dropout);

hct_id hct_dropout(hct_tape *t, hct_id x, hct_id rng, double p) {
    if (p == 0) return x;
    return op1(t, "dropout", (hct_id[]){x, rng}, 2, (hct_attr[]){HCT_REAL("p", p), HCT_INT("stream", t->next_stream++)},
               2);
}

const hct_op *const hct_ops_elementwise[] = {&op_add,      &op_sub,  &op_mul,      &op_scale, &op_gelu,
                                             &op_gelu_bwd, &op_relu, &op_relu_bwd, &op_rsqrt, &op_cast,
                                             &op_copy,     &op_fill, &op_dropout,  NULL};
