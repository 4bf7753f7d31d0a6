/* Gradients: walks the tape backwards; each op's grad() appends its gradient as more calls. */
#include "internal.h"
#include "ops/ops.h"

#include <stdlib.h>
#include <string.h>

static hct_id grad_of(hct_tape *t, hct_id id) { return hct_value(t, id)->grad; }
static int needs_grad(hct_tape *t, hct_id id) { return hct_value(t, id)->needs_grad; }
static void describe(hct_tape *t, hct_id id, hct_view *ret) { *ret = hct_value(t, id)->view; }

int32_t hct_grad_dtype(hct_tape *t, hct_id id) {
    const value *v = hct_value(t, id);
    return v->wide ? HCT_F32 : hct_value(t, v->master ? v->master : id)->view.dtype;
}

static int is_half(int32_t dtype) { return dtype == HCT_BF16 || dtype == HCT_F16; }

int hct_grad_stays_wide(hct_tape *t, const char *op, const hct_id *in, uint32_t n_in) {
    static const char *const through[] = {"reshape", "permute", "mul", "l2_normalize"};
    int passes = 0, wide = 0;
    for (size_t i = 0; i < sizeof through / sizeof *through; i++) passes |= !strcmp(op, through[i]);
    for (uint32_t i = 0; passes && i < n_in; i++)
        wide |= is_half(hct_value(t, in[i])->view.dtype) && hct_grad_dtype(t, in[i]) == HCT_F32;
    return wide;
}

static void add_grad(hct_tape *t, hct_id id, hct_id g) {
    if (t->error.code < 0 || !needs_grad(t, id)) return;
    if (hct_value(t, id)->master) {
        id = hct_value(t, id)->master;
        g = hct_cast(t, g, (hct_dtype)hct_value(t, id)->view.dtype);
        if (t->error.code < 0) return;
    }
    if (g <= 0 || (size_t)g >= t->n_values) {
        hct_tape_fail(t, HCT_EINVAL, "a gradient for value %d is no value of this tape", id);
        return;
    }
    /* a value of 16 bits beside one whose gradient is wide, or the other way round */
    int32_t want = hct_grad_dtype(t, id), have_dtype = hct_value(t, g)->view.dtype;
    if ((want == HCT_F32 && is_half(have_dtype)) || (is_half(want) && have_dtype == HCT_F32))
        g = hct_cast(t, g, (hct_dtype)want);
    if (t->error.code < 0) return;
    const hct_view *x = &hct_value(t, id)->view, *d = &hct_value(t, g)->view;
    if (x->ndim != d->ndim || want != d->dtype || memcmp(x->dim, d->dim, (size_t)x->ndim * sizeof x->dim[0]) != 0) {
        hct_tape_fail(t, HCT_ESHAPE, "a gradient for value %d has another shape or dtype than the value", id);
        return;
    }
    hct_id sum = g, have = hct_value(t, id)->grad;
    if (have) hct_emit(t, "add", (hct_id[]){have, g}, 2, NULL, 0, &sum, 1);
    hct_value(t, id)->grad = sum;
}

hct_id hct_whole_of(const hct_tape *t, const hct_id *part, uint32_t n, int64_t axis) {
    for (size_t i = t->n_nodes; i-- > 0;) {
        const node *s = &t->nodes[i];
        if (strcmp(s->op->name, "split") != 0 || s->n_out != n || memcmp(s->out, part, n * sizeof *part) != 0) continue;
        return hct_attr_int(s->attr, s->n_attr, "axis", -1) == axis ? s->in[0] : 0;
    }
    return 0;
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

/* ---- segments ---- */

void hct_segment_begin(hct_tape *t) {
    if (t->n_segments && !t->segments[t->n_segments - 1].to)
        hct_tape_fail(t, HCT_EINVAL, "a segment begins within another one");
    struct segment s = {t->n_nodes, 0};
    if (t->error.code == 0 && !HCT_PUSH(t->segments, t->n_segments, t->cap_segments, s))
        hct_tape_fail(t, HCT_ENOMEM, "out of memory for a segment");
}

void hct_segment_end(hct_tape *t) {
    if (t->error.code < 0) return;
    if (!t->n_segments || t->segments[t->n_segments - 1].to) {
        hct_tape_fail(t, HCT_EINVAL, "a segment ends that was not begun");
        return;
    }
    if (t->segments[t->n_segments - 1].from == t->n_nodes) t->n_segments--; /* nothing in it */
    else t->segments[t->n_segments - 1].to = t->n_nodes;
}

/* The segment whose last call is node i; NULL: none. */
static const struct segment *segment_at(const hct_tape *t, size_t i) {
    for (size_t k = t->n_segments; k-- > 0;)
        if (t->segments[k].to == i + 1) return &t->segments[k];
    return NULL;
}

/* Appends a segment's calls again; the new results take over the gradients that the old ones have by now. Returns
 * the first new node: the copies of [from, to) follow it in order. */
static size_t append_again(hct_tape *t, struct segment s) {
    size_t first = t->n_nodes, n_old = t->n_values;
    hct_id *now = malloc(n_old * sizeof *now); /* what stands for each value */
    if (!now) return hct_tape_fail(t, HCT_ENOMEM, "out of memory for a segment"), first;
    for (size_t i = 0; i < n_old; i++) now[i] = (hct_id)i;
    for (size_t i = s.from; i < s.to && t->error.code == 0; i++) {
        const node n = t->nodes[i]; /* the array may move */
        hct_id *in = malloc((n.n_in + n.n_out + 1) * sizeof *in), *out = in + n.n_in;
        if (!in) {
            hct_tape_fail(t, HCT_ENOMEM, "out of memory for a segment");
            break;
        }
        for (uint32_t k = 0; k < n.n_in; k++) in[k] = now[n.in[k]];
        if (n.into)
            hct_tape_fail(t, HCT_EINVAL, "%s changes tensors: it cannot be part of a segment that is computed again",
                          n.op->name);
        else hct_emit(t, n.op->name, in, n.n_in, n.attr, n.n_attr, out, n.n_out);
        for (uint32_t k = 0; k < n.n_out && t->error.code == 0; k++) {
            now[n.out[k]] = out[k];
            t->values[out[k]].grad = t->values[n.out[k]].grad;
        }
        free(in);
    }
    free(now);
    return first;
}

/* The gradient of one node. */
static void step_back(hct_tape *t, size_t i) {
    const node *n = &t->nodes[i];
    if (!wanted(t, n)) return;
    hct_node shown = {.size = sizeof shown,
                      .n_in = n->n_in,
                      .n_out = n->n_out,
                      .n_attr = n->n_attr,
                      .op = n->op->name,
                      .in = n->in,
                      .out = n->out,
                      .attr = n->attr};
    hct_err why = {0, ""};
    hct_status st = n->op->grad(&t->dev->ctx->host, t, &shown, &why);
    if (st < 0) hct_tape_fail(t, st, "gradient of %s: %s", shown.op, why.msg);
}

void hct_backward(hct_tape *t, hct_id loss, hct_id seed) {
    if (t->error.code < 0) return;
    const hct_view *v = hct_shape(t, loss);
    if (!seed && hct_numel(v) != 1) {
        hct_tape_fail(t, HCT_ESHAPE, "backward: the loss has %lld elements; give a scalar, or a seed of its shape",
                      (long long)hct_numel(v));
        return;
    }
    if (!needs_grad(t, loss)) {
        hct_tape_fail(t, HCT_EINVAL, "backward: no parameter reaches the loss through differentiable ops");
        return;
    }
    if (!seed) seed = hct_fill(t, (hct_dtype)v->dtype, v->ndim, v->dim, 1.0);
    add_grad(t, loss, seed);
    if (t->buckets) hct_buckets_begin(t, t->backward_from);
    for (size_t i = t->n_nodes, again = 0, from = 0; i-- > t->backward_from && t->error.code == 0;) {
        const struct segment *s = segment_at(t, i);
        if (s) {
            from = s->from;
            again = append_again(t, *s) - from; /* node k of the segment is now node k + again */
        }
        if (t->error.code == 0) step_back(t, again && i >= from ? i + again : i);
        if (i == from) again = 0;
        if (t->buckets && t->error.code == 0) hct_buckets_walked(t, i);
    }
    if (t->buckets) hct_buckets_end(t);
    t->backward_from = t->n_nodes;
}
