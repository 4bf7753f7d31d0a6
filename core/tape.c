/* A tape: a flat array of calls over values, each value written once. Eager tapes run each call as it is appended. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hct_tape *hct_tape_new(hct_dev *dev, hct_mode mode) {
    hct_tape *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->dev = dev;
    t->mode = mode;
    value inert = {.view = {.dtype = -1}};
    if (!HCT_PUSH(t->values, t->n_values, t->cap_values, inert)) {
        free(t);
        return NULL;
    }
    return t;
}

void hct_node_release(node *n) {
    if (n->kernel && HCT_HAS(n->kernel, release)) n->kernel->release(&n->plan);
    n->kernel = NULL;
}

void hct_tape_free(hct_tape *t) {
    if (!t) return;
    if (t->graph) t->dev->backend->graph_free(t->dev->stream, t->graph);
    for (size_t i = 0; i < t->n_nodes; i++) {
        hct_node_release(&t->nodes[i]);
        free(t->nodes[i].in);
        free(t->nodes[i].attr);
        free(t->nodes[i].views);
    }
    for (size_t i = 0; i < t->n_values; i++)
        if (t->values[i].owned) hct_dev_free(t->dev, t->values[i].view.mem, hct_view_bytes(&t->values[i].view));
    hct_dev_free(t->dev, t->arena, t->arena_bytes);
    hct_dev_free(t->dev, t->workspace, t->workspace_bytes);
    hct_dev_free(t->dev, t->packed, t->packed_bytes);
    hct_buckets_free(t->buckets);
    free(t->segments);
    free(t->nodes);
    free(t->values);
    free(t);
}

hct_status hct_tape_error(const hct_tape *t, hct_err *ret) {
    if (!t) return hct_fail(ret, HCT_ENOMEM, "out of memory for a tape");
    if (ret && t->error.code < 0) *ret = t->error;
    return t->error.code;
}

hct_id hct_tape_fail(hct_tape *t, hct_status code, const char *fmt, ...) {
    if (t->error.code < 0) return 0;
    va_list ap;
    va_start(ap, fmt);
    t->error.code = code;
    vsnprintf(t->error.msg, sizeof t->error.msg, fmt, ap);
    va_end(ap);
    return 0;
}

value *hct_value(hct_tape *t, hct_id id) { return &t->values[id > 0 && (size_t)id < t->n_values ? id : 0]; }
const hct_view *hct_shape(const hct_tape *t, hct_id id) { return &hct_value((hct_tape *)t, id)->view; }
void hct_keep(hct_tape *t, hct_id id) { hct_value(t, hct_value(t, id)->root)->keep = 1; }
hct_id hct_grad(hct_tape *t, hct_id id) { return hct_value(t, id)->grad; }

hct_view hct_resolve(hct_tape *t, hct_id id) {
    const value *v = hct_value(t, id), *root = hct_value(t, v->root);
    hct_view r = v->view;
    r.mem = root->tensor ? root->tensor->view.mem : root->view.mem;
    if (v != root) r.off = v->view.off + (root->tensor ? 0 : root->view.off);
    return r;
}

static hct_id new_value(hct_tape *t, const hct_view *view) {
    value v = {.view = *view, .first = -1, .last = -1};
    v.view.mem = NULL;
    if (!HCT_PUSH(t->values, t->n_values, t->cap_values, v))
        return hct_tape_fail(t, HCT_ENOMEM, "out of memory for the tape");
    hct_id id = (hct_id)(t->n_values - 1);
    t->values[id].root = id;
    return id;
}

hct_id hct_use(hct_tape *t, hct_tensor *tensor) {
    if (t->error.code < 0) return 0;
    if (!tensor) return hct_tape_fail(t, HCT_EINVAL, "a tensor that could not be made is used");
    for (size_t i = 1; i < t->n_values; i++)
        if (t->values[i].tensor == tensor) return (hct_id)i;
    hct_id id = new_value(t, &tensor->view);
    if (id) t->values[id].tensor = tensor;
    return id;
}

hct_id hct_param(hct_tape *t, hct_tensor *tensor) {
    hct_id id = hct_use(t, tensor);
    if (id) t->values[id].needs_grad = 1;
    return id;
}

hct_id hct_param_copy(hct_tape *t, hct_tensor *master, hct_tensor *copy) {
    hct_id of = hct_param(t, master), id = hct_param(t, copy);
    if (of && id && id != of) t->values[id].master = of;
    return id;
}

/* ---- appending ---- */

void hct_problem_of(hct_tape *t, const node *n, hct_view *views, hct_problem *ret) {
    for (uint32_t i = 0; i < n->n_in; i++) views[i] = hct_value(t, n->in[i])->view;
    for (uint32_t i = 0; i < n->n_out; i++) views[n->n_in + i] = hct_value(t, n->out[i])->view;
    for (uint32_t i = 0; i < n->n_in + n->n_out; i++) views[i].mem = NULL;
    *ret = (hct_problem){.size = sizeof *ret,
                         .op = n->op->name,
                         .in = views,
                         .out = views + n->n_in,
                         .attr = n->attr,
                         .n_in = n->n_in,
                         .n_out = n->n_out,
                         .n_attr = n->n_attr};
}

static void free_node(node *n) {
    free(n->in);
    free(n->attr);
    memset(n, 0, sizeof *n);
}

/* Copies ids and attributes (names included) into memory of the node's own. */
static int fill_node(node *n, const hct_op *op, const hct_id *in, uint32_t n_in, const hct_attr *attr, uint32_t n_attr,
                     uint32_t n_out) {
    size_t names = 0;
    for (uint32_t i = 0; i < n_attr; i++) names += strlen(attr[i].name) + 1;
    *n = (node){.op = op, .n_in = n_in, .n_out = n_out, .n_attr = n_attr};
    n->in = malloc((n_in + n_out + 1) * sizeof *n->in);
    n->attr = malloc(n_attr * sizeof *n->attr + names + 1);
    if (!n->in || !n->attr) return 0;
    n->out = n->in + n_in;
    if (n_in) memcpy(n->in, in, n_in * sizeof *in);
    memset(n->out, 0, n_out * sizeof *n->out);
    char *text = (char *)(n->attr + n_attr);
    for (uint32_t i = 0; i < n_attr; i++) {
        n->attr[i] = attr[i];
        n->attr[i].name = strcpy(text, attr[i].name);
        text += strlen(text) + 1;
    }
    return 1;
}

static void infer_views(hct_tape *t, node *n, hct_view *views, const hct_id *into) {
    hct_problem p;
    hct_err why = {0, ""};
    hct_view *out = views + n->n_in;
    hct_problem_of(t, n, views, &p);
    memset(out, 0, n->n_out * sizeof *out);
    hct_status st = n->op->infer(&p, out, &why);
    if (st != HCT_OK) {
        hct_tape_fail(t, st < 0 ? st : HCT_EINVAL, "%s: %s", n->op->name, why.msg[0] ? why.msg : hct_status_text(st));
        return;
    }
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!(n->op->flags & HCT_OP_VIEW)) {
            hct_make_contiguous(&out[i]);
            out[i].off = 0;
        }
        if (!into) continue;
        const hct_view *have = &hct_value(t, into[i])->view;
        if (!hct_value(t, into[i])->tensor || have->ndim != out[i].ndim || have->dtype != out[i].dtype ||
            memcmp(have->dim, out[i].dim, sizeof have->dim[0] * (size_t)have->ndim) != 0)
            hct_tape_fail(t, HCT_ESHAPE, "%s: output %u is to be written into a value that is no tensor of its shape",
                          n->op->name, i);
    }
}

/* Composes the op out of smaller ones where the backend has no kernel for it. */
static int composed(hct_tape *t, node *n, hct_id *out) {
    if ((n->op->flags & HCT_OP_VIEW) || hct_has_kernel(t->dev, n->op->name) || !HCT_HAS(n->op, compose)) return 0;
    hct_node shown = {.size = sizeof shown,
                      .n_in = n->n_in,
                      .n_out = n->n_out,
                      .n_attr = n->n_attr,
                      .op = n->op->name,
                      .in = n->in,
                      .out = n->out,
                      .attr = n->attr};
    hct_err why = {0, ""};
    hct_status st = n->op->compose(&t->dev->ctx->host, t, &shown, out, &why);
    if (st < 0) hct_tape_fail(t, st, "%s: %s", n->op->name, why.msg);
    return 1;
}

/* Gives one value a buffer of the tape's own (eager). */
static hct_status own_memory(hct_tape *t, value *v, hct_err *err) {
    hct_status st = hct_dev_alloc(t->dev, hct_view_bytes(&v->view), &v->view.mem, err);
    v->owned = st == HCT_OK;
    return st;
}

static void run_now(hct_tape *t, node *n) {
    hct_err err = {0, ""};
    hct_view *views = calloc(n->n_in + n->n_out + 2, sizeof *views);
    hct_problem p;
    if (!views) {
        hct_tape_fail(t, HCT_ENOMEM, "%s: out of memory", n->op->name);
        return;
    }
    hct_problem_of(t, n, views, &p);
    hct_status st = hct_dispatch(t->dev, &p, &n->kernel, &n->plan, &err);
    for (uint32_t i = 0; st == HCT_OK && !n->into && i < n->n_out; i++)
        st = own_memory(t, hct_value(t, n->out[i]), &err);
    if (st == HCT_OK && n->plan.workspace > t->workspace_bytes) {
        hct_dev_free(t->dev, t->workspace, t->workspace_bytes);
        t->workspace_bytes = 0;
        st = hct_dev_alloc(t->dev, n->plan.workspace, &t->workspace, &err);
        if (st == HCT_OK) t->workspace_bytes = n->plan.workspace;
    }
    for (uint32_t i = 0; i < n->n_in; i++) views[i] = hct_resolve(t, n->in[i]);
    for (uint32_t i = 0; i < n->n_out; i++) views[n->n_in + i] = hct_resolve(t, n->out[i]);
    views[n->n_in + n->n_out].mem = t->workspace;
    n->views = views;
    if (st == HCT_OK) st = hct_node_run(t, n, &err);
    if (st < 0) hct_tape_fail(t, st, "%s", err.msg);
    hct_node_release(n);
    n->views = NULL;
    free(views);
}

void hct_node_wrote(hct_tape *t, const node *n) {
    for (uint32_t o = 0; n->into && o < n->n_out; o++) hct_value(t, n->out[o])->tensor->version++;
}

hct_status hct_node_run(hct_tape *t, node *n, hct_err *err) {
    hct_err why = {0, ""};
    const hct_backend *b = t->dev->backend;
    if (t->dev->ranges) b->range_push(t->dev->stream, n->op->name);
    hct_node_wrote(t, n);
    hct_status st =
        n->kernel->run(&n->plan, t->dev->stream, n->views, n->views + n->n_in, n->views + n->n_in + n->n_out, &why);
    if (t->dev->ranges) b->range_pop(t->dev->stream);
    if (st == HCT_OK && t->dev->waits && (st = b->stream_sync(t->dev->stream, &why)) < 0)
        return hct_fail(err, st, "%s: found after %s (HCT_SYNC=1): %s", n->op->name, n->kernel->name, why.msg);
    return st < 0 ? hct_fail(err, st, "%s: %s", n->op->name, why.msg) : HCT_OK;
}

static hct_status append(hct_tape *t, const char *name, const hct_id *in, uint32_t n_in, const hct_attr *attr,
                         uint32_t n_attr, const hct_id *into, hct_id *out, uint32_t n_out) {
    for (uint32_t i = 0; out && i < n_out; i++) out[i] = 0;
    if (t->error.code < 0) return t->error.code;
    const hct_op *op = hct_op_find(t->dev->ctx, name);
    if (!op) return hct_tape_fail(t, HCT_ENOTFOUND, "op '%s' is not known; is its plugin loaded?", name), t->error.code;
    if (t->compiled)
        return hct_tape_fail(t, HCT_EINVAL, "%s: the tape is compiled, nothing can be appended", name), t->error.code;
    uint32_t needs = 0;
    for (uint32_t i = 0; i < n_in; i++) {
        if (in[i] <= 0 || (size_t)in[i] >= t->n_values)
            return hct_tape_fail(t, HCT_EINVAL, "%s: input %u is no value of this tape", name, i), t->error.code;
        needs |= t->values[in[i]].needs_grad;
    }
    node n = {0};
    hct_view *views = calloc(n_in + n_out + 1, sizeof *views);
    if (!views || !fill_node(&n, op, in, n_in, attr, n_attr, n_out))
        hct_tape_fail(t, HCT_ENOMEM, "%s: out of memory", name);
    if (t->error.code == 0) infer_views(t, &n, views, into);
    if (t->error.code < 0 || (!into && composed(t, &n, out))) {
        free_node(&n);
        free(views);
        return t->error.code;
    }
    n.into = into != NULL;
    for (uint32_t i = 0; i < n_out; i++) {
        hct_id id = into ? into[i] : new_value(t, &views[n_in + i]);
        n.out[i] = id;
        if (into) t->values[id].written = 1;
        if (!id || into) continue;
        out[i] = id;
        t->values[id].needs_grad = needs && HCT_HAS(op, grad);
        if (op->flags & HCT_OP_VIEW) t->values[id].root = t->values[in[0]].root;
        t->values[id].wide = needs && i == 0 && hct_grad_stays_wide(t, name, in, n_in);
    }
    free(views);
    if (t->error.code == 0 && !HCT_PUSH(t->nodes, t->n_nodes, t->cap_nodes, n))
        hct_tape_fail(t, HCT_ENOMEM, "%s: out of memory", name);
    if (t->error.code < 0) free_node(&n);
    else if (t->mode == HCT_EAGER && !(op->flags & HCT_OP_VIEW)) run_now(t, &t->nodes[t->n_nodes - 1]);
    for (uint32_t i = 0; out && t->error.code < 0 && i < n_out; i++) out[i] = 0;
    return t->error.code;
}

hct_status hct_emit(hct_tape *t, const char *op, const hct_id *in, uint32_t n_in, const hct_attr *attr, uint32_t n_attr,
                    hct_id *out, uint32_t n_out) {
    return append(t, op, in, n_in, attr, n_attr, NULL, out, n_out);
}

hct_status hct_emit_into(hct_tape *t, const char *op, const hct_id *in, uint32_t n_in, const hct_attr *attr,
                         uint32_t n_attr, const hct_id *out, uint32_t n_out) {
    return append(t, op, in, n_in, attr, n_attr, out, NULL, n_out);
}

/* ---- reading back ---- */

static void gather_strided(const hct_view *v, const char *mem, char *host, size_t size) {
    int64_t n = hct_numel(v), at[HCT_MAX_DIMS] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t o = 0;
        for (int d = 0; d < v->ndim; d++) o += at[d] * v->stride[d];
        memcpy(host + (size_t)i * size, mem + (size_t)o * size, size);
        for (int d = v->ndim - 1; d >= 0 && ++at[d] == v->dim[d]; d--) at[d] = 0;
    }
}

hct_status hct_read(hct_tape *t, hct_id id, void *host, hct_err *err) {
    hct_status st = hct_tape_error(t, err);
    if (st < 0) return st;
    const value *v = hct_value(t, id), *root = hct_value(t, v->root);
    hct_view r = hct_resolve(t, id);
    if (!id || !r.mem || (t->mode == HCT_PROGRAM && !root->keep && !root->tensor))
        return hct_fail(err, HCT_EINVAL,
                        "value %d cannot be read: keep it with hct_keep before compiling, and run the program", id);
    if (hct_numel(&r) == 0) return HCT_OK;
    const hct_backend *b = t->dev->backend;
    if ((st = b->stream_sync(t->dev->stream, err)) < 0) return st;
    size_t size = hct_dtype_size(r.dtype);
    if (hct_is_contiguous(&r))
        return b->copy(t->dev->device, t->dev->stream, HCT_DEVICE_TO_HOST, host, 0, r.mem, r.off, hct_view_bytes(&r),
                       err);
    int64_t span = 1;
    for (int d = 0; d < r.ndim; d++) span += (r.dim[d] - 1) * r.stride[d];
    char *raw = malloc((size_t)span * size);
    if (!raw) return hct_fail(err, HCT_ENOMEM, "out of memory to read a value");
    st = b->copy(t->dev->device, t->dev->stream, HCT_DEVICE_TO_HOST, raw, 0, r.mem, r.off, (uint64_t)span * size, err);
    if (st == HCT_OK) gather_strided(&r, raw, host, size);
    free(raw);
    return st;
}
