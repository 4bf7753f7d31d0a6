/* One-node graphs of scaled dot-product attention through cuDNN's C graph API (9.13 and later have the node): the softmax's statistics are the
 * log-sum-exps of scaled scores, as our op keeps them. */
#include "sdpa.h"

#include <stdlib.h>
#include <string.h>

enum { SCALE_UID = 100, MOST_CONFIGS = 8 };

/* A descriptor under construction: the first failure stays. */
typedef struct maker { cudnnStatus_t code; const char *what; } maker;

static cudnnBackendDescriptor_t create(maker *m, cudnnBackendDescriptorType_t type, const char *what) {
    cudnnBackendDescriptor_t d = NULL;
    if (m->code != CUDNN_STATUS_SUCCESS) return NULL;
    m->what = what;
    m->code = dnn.cudnnBackendCreateDescriptor(type, &d);
    return m->code == CUDNN_STATUS_SUCCESS ? d : NULL;
}
static void set(maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n, const void *values) {
    if (m->code == CUDNN_STATUS_SUCCESS) m->code = dnn.cudnnBackendSetAttribute(d, name, type, n, values);
}
static void finalize(maker *m, cudnnBackendDescriptor_t d) {
    if (m->code == CUDNN_STATUS_SUCCESS) m->code = dnn.cudnnBackendFinalize(d);
}
static void destroy(cudnnBackendDescriptor_t d) {
    if (d) dnn.cudnnBackendDestroyDescriptor(d);
}

static cudnnBackendDescriptor_t tensor(maker *m, int64_t uid, cudnnDataType_t type, const sdpa_tensor *t, bool by_value) {
    cudnnBackendDescriptor_t d = create(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor's descriptor");
    int64_t align = by_value || type == CUDNN_DATA_FLOAT ? 4 : 16;
    set(m, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(m, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(m, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t->dim);
    set(m, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, t->stride);
    set(m, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    if (by_value) set(m, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
    finalize(m, d);
    return d;
}

/* Which tensors a direction has, and their attributes. */
static const struct { int tensor; cudnnBackendAttributeName_t forward, backward; } slots[] = {
    {SDPA_Q, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC},
    {SDPA_K, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC},
    {SDPA_V, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC},
    {SDPA_O, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC},
    {SDPA_STATS, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC},
    {SDPA_DO, 0, CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC},
    {SDPA_DQ, 0, CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC},
    {SDPA_DK, 0, CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC},
    {SDPA_DV, 0, CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC}};
static int slots_of(int backward) { return backward ? SDPA_TENSORS : SDPA_DO; }

static cudnnBackendDescriptor_t graph(maker *m, cudnnHandle_t handle, const sdpa_key *key) {
    static const sdpa_tensor one = {{1, 1, 1, 1}, {1, 1, 1, 1}};
    cudnnDataType_t type = key->dtype == HCT_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
    cudnnBackendDescriptor_t part[SDPA_TENSORS + 1] = {NULL}, op, g;
    int back = key->backward != 0, n = slots_of(back);
    for (int i = 0; i < n; i++)
        part[i] = tensor(m, 1 + slots[i].tensor, slots[i].tensor == SDPA_STATS ? CUDNN_DATA_FLOAT : type, &key->tensor[slots[i].tensor], false);
    part[n] = tensor(m, SCALE_UID, CUDNN_DATA_FLOAT, &one, true);
    op = create(m, back ? CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR : CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, "the attention node (cuDNN 9.13 and later have it)");
    for (int i = 0; i < n; i++) set(m, op, back ? slots[i].backward : slots[i].forward, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part[i]);
    set(m, op, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part[n]);
    finalize(m, op);
    g = create(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "the graph");
    set(m, g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    set(m, g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &op);
    finalize(m, g);
    for (int i = 0; i <= n; i++) destroy(part[i]);
    destroy(op);
    return g;
}

/* The first engine of the heuristics' list that makes a plan. */
static cudnnBackendDescriptor_t choose(maker *m, cudnnHandle_t handle, cudnnBackendDescriptor_t g, cudnnBackendHeurMode_t mode) {
    cudnnBackendDescriptor_t heuristics = create(m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "the heuristics"), config[MOST_CONFIGS] = {NULL}, plan = NULL;
    int64_t found = 0;
    set(m, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g);
    set(m, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    finalize(m, heuristics);
    for (int i = 0; i < MOST_CONFIGS; i++) config[i] = create(m, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "the heuristics");
    if (m->code == CUDNN_STATUS_SUCCESS)
        m->code = dnn.cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_CONFIGS, &found, config);
    for (int64_t i = 0; i < found && i < MOST_CONFIGS && m->code == CUDNN_STATUS_SUCCESS && !plan; i++) {
        maker own = {CUDNN_STATUS_SUCCESS, NULL};
        cudnnBackendDescriptor_t p = create(&own, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "the plan");
        set(&own, p, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
        set(&own, p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config[i]);
        finalize(&own, p);
        if (own.code == CUDNN_STATUS_SUCCESS) plan = p;
        else destroy(p);
    }
    for (int i = 0; i < MOST_CONFIGS; i++) destroy(config[i]);
    destroy(heuristics);
    return plan;
}

const sdpa_plan *sdpa_plan_for(cudnnHandle_t handle, const sdpa_key *key, hct_err *err) {
    static sdpa_plan *plans;
    for (const sdpa_plan *p = plans; p; p = p->next)
        if (!memcmp(&p->key, key, sizeof *key)) return p;
    maker m = {CUDNN_STATUS_SUCCESS, NULL}, second = {CUDNN_STATUS_SUCCESS, NULL};
    cudnnBackendDescriptor_t g = graph(&m, handle, key), plan = choose(&m, handle, g, CUDNN_HEUR_MODE_A);
    if (!plan && g && m.code == CUDNN_STATUS_SUCCESS) plan = choose(&second, handle, g, CUDNN_HEUR_MODE_FALLBACK);
    destroy(g);
    int64_t workspace = 0, n = 0;
    if (plan) m.code = dnn.cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &workspace);
    sdpa_plan *p = plan && m.code == CUDNN_STATUS_SUCCESS ? malloc(sizeof *p) : NULL;
    if (!p) {
        destroy(plan);
        hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN %zu has no engine for this attention (%s: %s)", dnn.cudnnGetVersion(), m.what ? m.what : "?",
                        m.code == CUDNN_STATUS_SUCCESS ? "every engine refused" : dnn.cudnnGetErrorString(m.code));
        return NULL;
    }
    *p = (sdpa_plan){*key, plan, (uint64_t)workspace, plans};
    return plans = p;
}

cudnnBackendDescriptor_t sdpa_bind(const sdpa_plan *p, void *const at[SDPA_TENSORS], const float *scale, void *workspace) {
    maker m = {CUDNN_STATUS_SUCCESS, NULL};
    int n = slots_of(p->key.backward != 0);
    int64_t uid[SDPA_TENSORS + 1];
    void *address[SDPA_TENSORS + 1];
    for (int i = 0; i < n; i++) uid[i] = 1 + slots[i].tensor, address[i] = at[slots[i].tensor];
    uid[n] = SCALE_UID;
    address[n] = (void *)(uintptr_t)scale;
    cudnnBackendDescriptor_t pack = create(&m, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "addresses");
    set(&m, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n + 1, uid);
    set(&m, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n + 1, address);
    set(&m, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    finalize(&m, pack);
    if (m.code == CUDNN_STATUS_SUCCESS) return pack;
    destroy(pack);
    return NULL;
}
