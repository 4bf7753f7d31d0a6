/* Graphs, plans and calls through cuDNN's C backend API, whatever the operations are. */
#include "dnn.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_CONFIGS = 32, MOST_NOTES = 32 };

/* ---- descriptors ---- */

cudnnBackendDescriptor_t dnn_create(dnn_maker *m, cudnnBackendDescriptorType_t type, const char *what) {
    cudnnBackendDescriptor_t d = NULL;
    if (m->code != CUDNN_STATUS_SUCCESS) return NULL;
    m->what = what;
    m->code = dnn.cudnnBackendCreateDescriptor(type, &d);
    return m->code == CUDNN_STATUS_SUCCESS ? d : NULL;
}
void dnn_set(dnn_maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
             cudnnBackendAttributeType_t type, int64_t n, const void *values) {
    if (m->code == CUDNN_STATUS_SUCCESS) m->code = dnn.cudnnBackendSetAttribute(d, name, type, n, values);
}
void dnn_finalize(dnn_maker *m, cudnnBackendDescriptor_t d) {
    if (m->code == CUDNN_STATUS_SUCCESS) m->code = dnn.cudnnBackendFinalize(d);
}
void dnn_destroy(cudnnBackendDescriptor_t d) {
    if (d) dnn.cudnnBackendDestroyDescriptor(d);
}
void dnn_link(dnn_maker *m, cudnnBackendDescriptor_t op, cudnnBackendAttributeName_t name,
              cudnnBackendDescriptor_t operand) {
    dnn_set(m, op, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &operand);
}

cudnnDataType_t dnn_type(int64_t dtype) {
    return dtype == HCT_BF16 ? CUDNN_DATA_BFLOAT16 : dtype == HCT_F16 ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
}

dnn_tensor dnn_tensor_of(const hct_view *v) {
    uint64_t at = v->off | 16;
    dnn_tensor t = {.dims = v->ndim, .align = (int64_t)(at & -at)};
    for (int d = 0; d < v->ndim && d < DNN_DIMS; d++) t.dim[d] = v->dim[d], t.stride[d] = v->stride[d];
    return t;
}

cudnnBackendDescriptor_t dnn_tensor_new(dnn_maker *m, int64_t uid, cudnnDataType_t type, const dnn_tensor *t,
                                        dnn_kind kind) {
    cudnnBackendDescriptor_t d = dnn_create(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor's descriptor");
    const bool yes = true;
    dnn_set(m, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    dnn_set(m, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    dnn_set(m, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, t->dims, t->dim);
    dnn_set(m, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, t->dims, t->stride);
    dnn_set(m, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &t->align);
    if (kind == DNN_BY_VALUE) dnn_set(m, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &yes);
    if (kind == DNN_VIRTUAL) dnn_set(m, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &yes);
    dnn_finalize(m, d);
    return d;
}

cudnnBackendDescriptor_t dnn_pointwise(dnn_maker *m, cudnnPointwiseMode_t mode, cudnnDataType_t precision,
                                       int64_t axis) {
    cudnnBackendDescriptor_t d = dnn_create(m, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "a pointwise node");
    dnn_set(m, d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    dnn_set(m, d, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    if (axis >= 0) dnn_set(m, d, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
    dnn_finalize(m, d);
    return d;
}

cudnnBackendDescriptor_t dnn_graph_of(dnn_maker *m, const dnn_target *on, cudnnBackendDescriptor_t *op, int n) {
    cudnnBackendDescriptor_t g = dnn_create(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "the graph");
    if (on->handle) dnn_set(m, g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &on->handle);
    dnn_set(m, g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, op);
    dnn_finalize(m, g);
    for (int i = 0; i < n; i++) dnn_destroy(op[i]);
    return g;
}

/* ---- plans ---- */

/* Bit i: the engine of a configuration has numerical note i. */
static uint32_t notes_of(dnn_maker *m, cudnnBackendDescriptor_t config) {
    cudnnBackendDescriptor_t engine = dnn_create(m, CUDNN_BACKEND_ENGINE_DESCRIPTOR, "an engine");
    cudnnBackendNumericalNote_t note[MOST_NOTES];
    uint32_t notes = 0;
    int64_t n = 0;
    if (m->code == CUDNN_STATUS_SUCCESS)
        m->code = dnn.cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                               &n, &engine);
    if (m->code == CUDNN_STATUS_SUCCESS)
        m->code = dnn.cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                               MOST_NOTES, &n, note);
    for (int64_t i = 0; m->code == CUDNN_STATUS_SUCCESS && i < n && i < MOST_NOTES; i++) notes |= 1u << (note[i] & 31);
    dnn_destroy(engine);
    return notes;
}

/* The first engine of the heuristics' list that may be taken and makes a plan. */
static cudnnBackendDescriptor_t choose(dnn_maker *m, const dnn_target *on, cudnnBackendDescriptor_t g,
                                       cudnnBackendHeurMode_t mode, uint32_t avoid, uint32_t *ret_notes) {
    cudnnBackendDescriptor_t heuristics = dnn_create(m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "the heuristics"),
                             config[MOST_CONFIGS] = {NULL}, plan = NULL;
    int64_t found = 0;
    dnn_link(m, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g);
    dnn_set(m, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (!on->handle) dnn_link(m, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, on->card);
    dnn_finalize(m, heuristics);
    for (int i = 0; i < MOST_CONFIGS; i++)
        config[i] = dnn_create(m, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "the heuristics");
    if (m->code == CUDNN_STATUS_SUCCESS)
        m->code = dnn.cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                               MOST_CONFIGS, &found, config);
    for (int64_t i = 0; i < found && i < MOST_CONFIGS && m->code == CUDNN_STATUS_SUCCESS && !plan; i++) {
        dnn_maker own = {CUDNN_STATUS_SUCCESS, NULL};
        uint32_t notes = notes_of(&own, config[i]);
        if (own.code != CUDNN_STATUS_SUCCESS || notes & avoid) continue;
        cudnnBackendDescriptor_t p = dnn_create(&own, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "the plan");
        if (on->handle) dnn_set(&own, p, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &on->handle);
        else dnn_link(&own, p, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, on->card);
        dnn_link(&own, p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config[i]);
        dnn_finalize(&own, p);
        if (own.code == CUDNN_STATUS_SUCCESS) plan = p, *ret_notes = notes;
        else dnn_destroy(p);
    }
    for (int i = 0; i < MOST_CONFIGS; i++) dnn_destroy(config[i]);
    dnn_destroy(heuristics);
    return plan;
}

struct dnn_kept {
    dnn_plan plan;
    dnn_builder *build;
    dnn_kept *next;
    size_t bytes;
    unsigned char key[];
};

void dnn_plans_free(dnn_kept **list) {
    for (dnn_kept *k = *list, *next; k; k = next) {
        next = k->next;
        dnn_destroy(k->plan.plan);
        free(k);
    }
    *list = NULL;
}

const dnn_plan *dnn_plan_for(const dnn_target *on, dnn_builder *build, const void *key, size_t bytes, uint32_t avoid,
                             const char *what, hct_err *err) {
    for (const dnn_kept *k = *on->plans; k; k = k->next)
        if (k->build == build && k->bytes == bytes && !memcmp(k->key, key, bytes)) return &k->plan;
    dnn_maker m = {CUDNN_STATUS_SUCCESS, NULL}, second = {CUDNN_STATUS_SUCCESS, NULL};
    uint32_t notes = 0;
    cudnnBackendDescriptor_t g = build(&m, on, key), plan = choose(&m, on, g, CUDNN_HEUR_MODE_A, avoid, &notes);
    if (!plan && g && m.code == CUDNN_STATUS_SUCCESS)
        plan = choose(&second, on, g, CUDNN_HEUR_MODE_FALLBACK, avoid, &notes);
    dnn_destroy(g);
    int64_t workspace = 0, n = 0;
    if (plan)
        m.code = dnn.cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                                              &workspace);
    dnn_kept *k = plan && m.code == CUDNN_STATUS_SUCCESS ? malloc(sizeof *k + bytes) : NULL;
    if (!k) {
        dnn_destroy(plan);
        hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN %zu has no engine for this %s (%s: %s)", dnn.cudnnGetVersion(), what,
                        m.what ? m.what : "?",
                        m.code == CUDNN_STATUS_SUCCESS ? "every engine refused" : dnn.cudnnGetErrorString(m.code));
        return NULL;
    }
    *k = (dnn_kept){.plan = {plan, (uint64_t)workspace, !(notes >> CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC & 1)},
                    .build = build,
                    .next = *on->plans,
                    .bytes = bytes};
    memcpy(k->key, key, bytes);
    *on->plans = k;
    return &k->plan;
}

/* ---- calls ---- */

static cudnnBackendDescriptor_t bind(const dnn_call *c) {
    dnn_maker m = {CUDNN_STATUS_SUCCESS, NULL};
    cudnnBackendDescriptor_t pack = dnn_create(&m, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "addresses");
    dnn_set(&m, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, c->n, c->uid);
    dnn_set(&m, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, c->n, c->at);
    dnn_set(&m, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &c->work);
    dnn_finalize(&m, pack);
    if (m.code == CUDNN_STATUS_SUCCESS) return pack;
    dnn_destroy(pack);
    return NULL;
}

hct_status dnn_run(dnn_call *c, hct_stream *stream, void *const *at, void *work, hct_err *err) {
    const hct_cuda_stream *on = (const hct_cuda_stream *)(const void *)stream;
    size_t bytes = (size_t)c->n * sizeof *at;
    if (!c->pack || memcmp(at, c->at, bytes) != 0 || work != c->work) { /* a program's addresses never change: once */
        dnn_destroy(c->pack);
        memcpy(c->at, at, bytes);
        c->work = work;
        c->pack = bind(c);
    }
    cudnnStatus_t code = !on->device->enter(on->device) ? CUDNN_STATUS_NOT_INITIALIZED : CUDNN_STATUS_SUCCESS;
    if (code == CUDNN_STATUS_SUCCESS)
        code = c->pack ? dnn.cudnnSetStream(c->handle, (cudaStream_t)on->stream) : CUDNN_STATUS_BAD_PARAM;
    if (code == CUDNN_STATUS_SUCCESS) code = dnn.cudnnBackendExecute(c->handle, c->plan->plan, c->pack);
    return code == CUDNN_STATUS_SUCCESS ? HCT_OK
                                        : hct_plugin_fail(err, HCT_EDEVICE, "cuDNN: %s", dnn.cudnnGetErrorString(code));
}

void dnn_call_free(dnn_call *c) { dnn_destroy(c->pack); }

void dnn_account(const hct_problem *p, hct_plan *ret) {
    ret->launches = ret->library = 1;
    for (uint32_t i = 0; i < p->n_in; i++)
        ret->moved += (uint64_t)hct_numel(&p->in[i]) * hct_dtype_bytes(p->in[i].dtype);
    for (uint32_t i = 0; i < p->n_out; i++)
        ret->moved += (uint64_t)hct_numel(&p->out[i]) * hct_dtype_bytes(p->out[i].dtype);
    ret->moved_library = ret->moved;
}
