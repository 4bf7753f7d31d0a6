/* Shape ops. reshape, permute, expand, slice, split, detach are views: infer() sets strides and offset, nothing
 * moves. */
#include "ops.h"

static hct_view *like(hct_view *out, const hct_view *x) {
    *out = *x;
    out->mem = NULL;
    return out;
}

/* ---- reshape (contiguous input) ---- */

static hct_status infer_reshape(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    const hct_attr *dim = hct_attr_find(p->attr, p->n_attr, "dim");
    if (!dim) return hct_fail(err, HCT_EINVAL, "attribute 'dim' is missing");
    if (!hct_is_contiguous(&p->in[0])) return hct_fail(err, HCT_EINVAL, "x has gaps; copy it first");
    like(out, &p->in[0]);
    int64_t n = 1, have = hct_numel(&p->in[0]);
    int open = -1;
    out->ndim = dim->n;
    for (int i = 0; i < dim->n; i++) {
        out->dim[i] = dim->ints[i];
        if (dim->ints[i] < 0) open = i;
        else n *= dim->ints[i];
    }
    if (open >= 0) {
        out->dim[open] = n ? have / n : 0;
        n *= out->dim[open];
    }
    char a[128], b[128];
    if (n != have)
        return hct_fail(err, HCT_ESHAPE, "%s cannot become %s", hct_dims_text(&p->in[0], a, sizeof a),
                        hct_dims_text(out, b, sizeof b));
    int64_t s = 1;
    for (int i = out->ndim - 1; i >= 0; i--) {
        out->stride[i] = s;
        s *= out->dim[i];
    }
    return HCT_OK;
}

static hct_status grad_reshape(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_view x;
    h->describe(t, n->in[0], &x);
    h->add_grad(t, n->in[0], hct_reshape(t, h->grad_of(t, n->out[0]), x.ndim, x.dim));
    return HCT_OK;
}

hct_id hct_reshape(hct_tape *t, hct_id x, int ndim, const int64_t *dim) {
    if (ndim < 0 || ndim > HCT_MAX_DIMS)
        return hct_tape_fail(t, HCT_ESHAPE, "reshape: %d axes; at most %d", ndim, HCT_MAX_DIMS);
    if (x && !hct_is_contiguous(hct_shape(t, x))) x = hct_copy(t, x);
    return op1(t, "reshape", &x, 1, (hct_attr[]){hct_ints("dim", ndim, dim)}, 1);
}

/* ---- permute ---- */

static hct_status infer_permute(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    const hct_attr *axes = hct_attr_find(p->attr, p->n_attr, "axes");
    const hct_view *x = &p->in[0];
    if (!axes || axes->n != x->ndim)
        return hct_fail(err, HCT_EINVAL, "'axes' must name each of the %d axes once", x->ndim);
    like(out, x);
    unsigned seen = 0;
    for (int i = 0; i < x->ndim; i++) {
        int64_t a = axes->ints[i];
        if (a < 0 || a >= x->ndim || seen >> a & 1)
            return hct_fail(err, HCT_EINVAL, "'axes' must name each of the %d axes once", x->ndim);
        seen |= 1u << a;
        out->dim[i] = x->dim[a];
        out->stride[i] = x->stride[a];
    }
    return HCT_OK;
}

static hct_status grad_permute(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    const hct_attr *axes = hct_attr_find(n->attr, n->n_attr, "axes");
    int back[HCT_MAX_DIMS];
    for (int i = 0; i < axes->n; i++) back[axes->ints[i]] = i;
    h->add_grad(t, n->in[0], hct_permute(t, h->grad_of(t, n->out[0]), back));
    return HCT_OK;
}

hct_id hct_permute(hct_tape *t, hct_id x, const int *axes) {
    int64_t a[HCT_MAX_DIMS];
    int n = hct_shape(t, x)->ndim;
    for (int i = 0; i < n; i++) a[i] = axes[i];
    return op1(t, "permute", &x, 1, (hct_attr[]){hct_ints("axes", n, a)}, 1);
}

/* ---- expand: broadcast, aligned at the last axis ---- */

static hct_status infer_expand(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    const hct_attr *dim = hct_attr_find(p->attr, p->n_attr, "dim");
    const hct_view *x = &p->in[0];
    if (!dim || dim->n < x->ndim)
        return hct_fail(err, HCT_EINVAL, "'dim' must have at least the %d axes of x", x->ndim);
    like(out, x);
    out->ndim = dim->n;
    for (int i = 0; i < dim->n; i++) {
        int from = i - (dim->n - x->ndim);
        int64_t have = from < 0 ? 1 : x->dim[from];
        if (have != 1 && have != dim->ints[i])
            return hct_fail(err, HCT_ESHAPE, "axis %d of length %lld cannot be broadcast to %lld", i, (long long)have,
                            (long long)dim->ints[i]);
        out->dim[i] = dim->ints[i];
        out->stride[i] = have == 1 && dim->ints[i] != 1 ? 0 : from < 0 ? 0 : x->stride[from];
    }
    return HCT_OK;
}

static hct_status grad_expand(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_view x, y;
    h->describe(t, n->in[0], &x);
    h->describe(t, n->out[0], &y);
    uint32_t axes = 0;
    for (int i = 0; i < y.ndim; i++) {
        int from = i - (y.ndim - x.ndim);
        if ((from < 0 || x.dim[from] == 1) && y.dim[i] != 1) axes |= 1u << i;
    }
    hct_id g = h->grad_of(t, n->out[0]);
    if (axes) g = hct_sum(t, g, axes, 1);
    h->add_grad(t, n->in[0], hct_reshape(t, g, x.ndim, x.dim));
    return HCT_OK;
}

hct_id hct_expand(hct_tape *t, hct_id x, int ndim, const int64_t *dim) {
    return op1(t, "expand", &x, 1, (hct_attr[]){hct_ints("dim", ndim, dim)}, 1);
}

/* ---- slice and its gradient (zeros around) ---- */

static hct_status infer_slice(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    const hct_view *x = &p->in[0];
    int64_t axis = hct_attr_int(p->attr, p->n_attr, "axis", -1), start = hct_attr_int(p->attr, p->n_attr, "start", -1);
    int64_t length = hct_attr_int(p->attr, p->n_attr, "length", -1);
    if (axis < 0 || axis >= x->ndim)
        return hct_fail(err, HCT_EINVAL, "axis %lld of a value with %d axes", (long long)axis, x->ndim);
    if (start < 0 || length < 0 || start > x->dim[axis] - length)
        return hct_fail(err, HCT_ESHAPE, "[%lld, %lld) lies outside axis %lld of length %lld", (long long)start,
                        (long long)(start + length), (long long)axis, (long long)x->dim[axis]);
    like(out, x)->dim[axis] = length;
    out->off += (uint64_t)(start * x->stride[axis]) * hct_dtype_size(x->dtype);
    return HCT_OK;
}

static hct_status grad_slice(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_view x;
    h->describe(t, n->in[0], &x);
    hct_attr a[] = {HCT_INT("axis", hct_attr_int(n->attr, n->n_attr, "axis", 0)),
                    HCT_INT("start", hct_attr_int(n->attr, n->n_attr, "start", 0)), hct_ints("dim", x.ndim, x.dim)};
    h->add_grad(t, n->in[0], op1(t, "slice.bwd", (hct_id[]){h->grad_of(t, n->out[0])}, 1, a, 3));
    return HCT_OK;
}

/* slice.bwd(dy): dy at [start, start + its length) of an axis, zeros elsewhere, in all `dim` */
static hct_status infer_slice_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    const hct_attr *dim = hct_attr_find(p->attr, p->n_attr, "dim");
    int64_t axis = hct_attr_int(p->attr, p->n_attr, "axis", -1), start = hct_attr_int(p->attr, p->n_attr, "start", -1);
    if (!dim || dim->n != p->in[0].ndim || axis < 0 || axis >= dim->n || start < 0 ||
        start > dim->ints[axis] - p->in[0].dim[axis])
        return hct_fail(err, HCT_EINVAL, "'dim', 'axis' and 'start' do not fit the input");
    hct_set(out, p->in[0].dtype, dim->n, dim->ints);
    return HCT_OK;
}

hct_id hct_slice(hct_tape *t, hct_id x, int axis, int64_t start, int64_t length) {
    hct_attr a[] = {HCT_INT("axis", hct_axis(axis, hct_shape(t, x)->ndim)), HCT_INT("start", start),
                    HCT_INT("length", length)};
    return op1(t, "slice", &x, 1, a, 3);
}

/* ---- split into equal parts ---- */

static hct_status infer_split(const hct_problem *p, hct_view *out, hct_err *err) {
    const hct_view *x = &p->in[0];
    int64_t axis = hct_attr_int(p->attr, p->n_attr, "axis", -1);
    if (p->n_in != 1 || !p->n_out || axis < 0 || axis >= x->ndim || x->dim[axis] % p->n_out)
        return hct_fail(err, HCT_ESHAPE, "axis %lld cannot be split into %u equal parts", (long long)axis, p->n_out);
    int64_t length = x->dim[axis] / p->n_out;
    for (uint32_t i = 0; i < p->n_out; i++) {
        like(&out[i], x)->dim[axis] = length;
        out[i].off += (uint64_t)(i * length * x->stride[axis]) * hct_dtype_size(x->dtype);
    }
    return HCT_OK;
}

static hct_status grad_split(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    if (n->n_out > 64) return hct_fail(err, HCT_EINVAL, "at most 64 parts have a gradient");
    hct_id g[64];
    for (uint32_t i = 0; i < n->n_out; i++) {
        hct_view v;
        h->describe(t, n->out[i], &v);
        g[i] = h->grad_of(t, n->out[i]);
        if (!g[i]) g[i] = hct_fill(t, (hct_dtype)v.dtype, v.ndim, v.dim, 0);
    }
    h->add_grad(t, n->in[0], op1(t, "concat", g, n->n_out, n->attr, n->n_attr));
    return HCT_OK;
}

void hct_split(hct_tape *t, hct_id x, int axis, uint32_t parts, hct_id *out) {
    hct_emit(t, "split", &x, 1, &HCT_INT("axis", hct_axis(axis, hct_shape(t, x)->ndim)), 1, out, parts);
}

/* ---- concat ---- */

static hct_status infer_concat(const hct_problem *p, hct_view *out, hct_err *err) {
    int64_t axis = hct_attr_int(p->attr, p->n_attr, "axis", -1);
    if (!p->n_in || p->n_out != 1 || axis < 0 || axis >= p->in[0].ndim)
        return hct_fail(err, HCT_EINVAL, "axis %lld", (long long)axis);
    hct_set(out, p->in[0].dtype, p->in[0].ndim, p->in[0].dim);
    for (uint32_t i = 1; i < p->n_in; i++) {
        hct_view want = p->in[0];
        if (p->in[i].ndim == want.ndim) want.dim[axis] = p->in[i].dim[axis];
        HCT_TRY(hct_want_dims(p, i, want.ndim, want.dim, err));
        HCT_TRY(hct_want_dtype(p, i, want.dtype, err));
        out->dim[axis] += want.dim[axis];
    }
    return HCT_OK;
}

static hct_status grad_concat(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    int axis = (int)hct_attr_int(n->attr, n->n_attr, "axis", 0);
    int64_t at = 0;
    for (uint32_t i = 0; i < n->n_in; i++) {
        hct_view v;
        h->describe(t, n->in[i], &v);
        if (h->needs_grad(t, n->in[i]))
            h->add_grad(t, n->in[i], hct_slice(t, h->grad_of(t, n->out[0]), axis, at, v.dim[axis]));
        at += v.dim[axis];
    }
    return HCT_OK;
}

hct_id hct_concat(hct_tape *t, const hct_id *x, uint32_t n, int axis) {
    return op1(t, "concat", x, n, &HCT_INT("axis", n ? hct_axis(axis, hct_shape(t, x[0])->ndim) : -1), 1);
}

/* ---- detach ---- */

static hct_status infer_detach(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 1, 1, err));
    like(out, &p->in[0]);
    return HCT_OK;
}

hct_id hct_detach(hct_tape *t, hct_id x) { return OP1(t, "detach", x); }

HCT_OP(op_reshape, "reshape", .flags = HCT_OP_VIEW, .infer = infer_reshape, .grad = grad_reshape);
HCT_OP(op_permute, "permute", .flags = HCT_OP_VIEW, .infer = infer_permute, .grad = grad_permute);
HCT_OP(op_expand, "expand", .flags = HCT_OP_VIEW, .infer = infer_expand, .grad = grad_expand);
HCT_OP(op_slice, "slice", .flags = HCT_OP_VIEW, .infer = infer_slice, .grad = grad_slice);
HCT_OP(op_slice_bwd, "slice.bwd", .infer = infer_slice_bwd);
HCT_OP(op_split, "split", .flags = HCT_OP_VIEW, .infer = infer_split, .grad = grad_split);
HCT_OP(op_concat, "concat", .infer = infer_concat, .grad = grad_concat);
HCT_OP(op_detach, "detach", .flags = HCT_OP_VIEW, .infer = infer_detach);

const hct_op *const hct_ops_shape[] = {&op_reshape, &op_permute, &op_expand, &op_slice, &op_slice_bwd,
                                       &op_split,   &op_concat,  &op_detach, NULL};
