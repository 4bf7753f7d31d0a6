/* Gradients: walks the tape backwards; each op's grad() appends its gradient as more calls. */
#include "internal.h"

#include <string.h>

static hct_id grad_of(hct_tape *t, hct_id id) { return hct_value(t, id)->grad; }
static int needs_grad(hct_tape *t, hct_id id) { return hct_value(t, id)->needs_grad; }
static void describe(hct_tape *t, hct_id id, hct_view *ret) { *ret = hct_value(t, id)->view; }

static void add_grad(hct_tape *t, hct_id id, hct_id g) {
    if (t->error.code < 0 || !needs_grad(t, id)) return;
    if (g <= 0 || (size_t)g >= t->n_values) {
        hct_tape_fail(t, HCT_EINVAL, "a gradient for value %d is no value of this tape", id);
        return;
    }
    const hct_view *x = &hct_value(t, id)->view, *d = &hct_value(t, g)->view;
    if (x->ndim != d->ndim || x->dtype != d->dtype || memcmp(x->dim, d->dim, (size_t)x->ndim * sizeof x->dim[0]) != 0) {
        hct_tape_fail(t, HCT_ESHAPE, "a gradient for value %d has another shape or dtype than the value", id);
        return;
    }
    hct_id sum = g, have = hct_value(t, id)->grad;
    if (have) hct_emit(t, "add", (hct_id[]){have, g}, 2, NULL, 0, &sum, 1);
    hct_value(t, id)->grad = sum;
}

void hct_host_fill_tape(hct_host *h) {
    h->emit = hct_emit;
    h->grad_of = grad_of;
    h->add_grad = add_grad;
    h->needs_grad = needs_grad;
    h->describe = describe;
}

static int wanted(hct_tape *t, const node *n) {
    int out = 0, in = 0;
    for (uint32_t i = 0; i < n->n_out; i++) out |= grad_of(t, n->out[i]) != 0;
    for (uint32_t i = 0; i < n->n_in; i++) in |= needs_grad(t, n->in[i]);
    return out && in && !n->into && HCT_HAS(n->op, grad);
}

void hct_backward(hct_tape *t, hct_id loss, hct_id seed) {
    if (t->error.code < 0) return;
    const hct_view *v = hct_shape(t, loss);
    if (!seed && hct_numel(v) != 1) {
        hct_tape_fail(t, HCT_ESHAPE, "backward: the loss has %lld elements; give a scalar, or a seed of its shape", (long long)hct_numel(v));
        return;
    }
    if (!needs_grad(t, loss)) {
        hct_tape_fail(t, HCT_EINVAL, "backward: no parameter reaches the loss through differentiable ops");
        return;
    }
    if (!seed) seed = hct_fill(t, (hct_dtype)v->dtype, v->ndim, v->dim, 1.0);
    add_grad(t, loss, seed);
    if (t->buckets) hct_buckets_begin(t, t->backward_from);
    for (size_t i = t->n_nodes; i-- > t->backward_from && t->error.code == 0;) {
        const node *n = &t->nodes[i];
        if (!wanted(t, n)) {
            if (t->buckets) hct_buckets_walked(t, i);
            continue;
        }
        hct_node shown = {.size = sizeof shown, .n_in = n->n_in, .n_out = n->n_out, .n_attr = n->n_attr, .op = n->op->name,
                          .in = n->in, .out = n->out, .attr = n->attr};
        hct_err why = {0, ""};
        hct_status st = n->op->grad(&t->dev->ctx->host, t, &shown, &why);
        if (st < 0) hct_tape_fail(t, st, "gradient of %s: %s", shown.op, why.msg);
        if (t->buckets) hct_buckets_walked(t, i);
    }
    if (t->buckets) hct_buckets_end(t);
    t->backward_from = t->n_nodes;
}
