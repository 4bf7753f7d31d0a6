/* Graphs of scaled dot-product attention. Forward: cuDNN's own node (9.13.1 and later), else the operations of its
 * formula; its statistics are the log-sum-exps of scaled scores, as our op keeps them. Backward: the products and
 * pointwise operations of its formula, which cuDNN recognises and fuses. There is no SDPA_BWD node to use instead: 9.19
 * has it in its header, but its graph builder accepts no graph of one (tests/cuda/test_cudnn.c asks for one).
 *
 * What older versions need is what NVIDIA's cudnn-frontend gives them (docs: include/cudnn_frontend/node/
 * scaled_dot_product_flash_attention.h): a mask of padding in the backward up to 9.15 where there is another number of
 * keys than a multiple of 128, that mask once more behind the statistics up to 9.9, cleared memory for dq before 9.6,
 * and the lowest float for minus infinity before 9.10. 9.10.0 and 9.10.1 compute attention wrongly. */
#include "dnn.h"

#include <float.h>
#include <math.h>

/* The tensors of the op, in the order of addresses; a direction's are the first ones. */
enum { FORWARD = SDPA_DO, OWN_UIDS = 200 /* virtual tensors */, NODE = 91301, ANY_KEYS = 91600, ONE_MASK = 91000 };

int sdpa_fit(sdpa_key *key, size_t version, hct_err *err) {
    if (version == 91000 || version == 91001) {
        hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN 9.10.%d computes attention wrongly; 9.10.2 and later, or 9.9, do not",
                        (int)(version % 100));
        return 0;
    }
    key->composite = key->backward || version < NODE;
    key->masked = key->backward && version < ANY_KEYS && key->tensor[SDPA_K].dim[2] % 128 != 0;
    key->masked_twice = key->masked && version < ONE_MASK;
    return 1;
}

float sdpa_low(size_t version) { return version < ONE_MASK ? -FLT_MAX : -INFINITY; }

int sdpa_uids(const sdpa_key *key, int64_t uid[DNN_TENSORS]) {
    int n = key->backward ? SDPA_TENSORS : FORWARD;
    for (int i = 0; i < n; i++) uid[i] = 1 + i;
    uid[n++] = SDPA_SCALE_UID;
    if (!key->backward) return n;
    uid[n++] = SDPA_ONE_UID;
    uid[n++] = SDPA_SUM_UID;
    uid[n++] = SDPA_ACCUMULATOR_UID;
    if (!key->masked) return n;
    uid[n++] = SDPA_LOW_UID;
    uid[n++] = SDPA_QUERIES_UID;
    uid[n++] = SDPA_KEYS_UID;
    return n;
}

static const dnn_tensor one = {4, {1, 1, 1, 1}, {1, 1, 1, 1}, 4};

static cudnnBackendDescriptor_t forward(dnn_maker *m, const dnn_target *on, const void *of) {
    static const cudnnBackendAttributeName_t names[FORWARD] = {
        CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC,
        CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC};
    const sdpa_key *key = of;
    cudnnBackendDescriptor_t part[FORWARD + 1], op;
    for (int i = 0; i < FORWARD; i++)
        part[i] = dnn_tensor_new(m, 1 + i, i == SDPA_STATS ? CUDNN_DATA_FLOAT : dnn_type(key->dtype), &key->tensor[i],
                                 DNN_MEMORY);
    part[FORWARD] = dnn_tensor_new(m, SDPA_SCALE_UID, CUDNN_DATA_FLOAT, &one, DNN_BY_VALUE);
    op = dnn_create(m, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, "the attention node");
    for (int i = 0; i < FORWARD; i++) dnn_link(m, op, names[i], part[i]);
    dnn_link(m, op, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, part[FORWARD]);
    dnn_finalize(m, op);
    for (int i = 0; i <= FORWARD; i++) dnn_destroy(part[i]);
    return dnn_graph_of(m, on, &op, 1);
}

/* ---- by operations ---- */

typedef cudnnBackendDescriptor_t tensor;
enum { MOST_OPS = 40, MOST_MADE = 64 };
typedef struct graph { /* operations under construction, and the tensors between them */
    dnn_maker *m;
    const sdpa_key *key;
    tensor op[MOST_OPS], made[MOST_MADE];
    tensor queries, keys; /* how many there are, where that is masked; else NULL */
    int n_op, n_made;
} graph;

static tensor keep(graph *g, tensor t) { return g->made[g->n_made++] = t; }

/* A virtual tensor [B, H, rows, cols]; turned: stored as its transpose. */
static tensor between(graph *g, cudnnDataType_t type, int64_t rows, int64_t cols, int turned) {
    int64_t b = g->key->tensor[SDPA_Q].dim[0], h = g->key->tensor[SDPA_Q].dim[1];
    const dnn_tensor t = {
        4, {b, h, rows, cols}, {h * rows * cols, rows * cols, turned ? 1 : cols, turned ? rows : 1}, 16};
    return keep(g, dnn_tensor_new(g->m, OWN_UIDS + g->n_made, type, &t, DNN_VIRTUAL));
}

static tensor done(graph *g, tensor op, tensor how, tensor result) {
    dnn_finalize(g->m, op);
    dnn_destroy(how);
    g->op[g->n_op++] = op;
    return result;
}

/* y = a b, sums in float. rows, cols, inner: true lengths of y and of the sums, where they are masked, else NULL. */
static tensor multiply(graph *g, tensor a, tensor b, tensor y, tensor rows, tensor cols, tensor inner) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    tensor how = dnn_create(g->m, CUDNN_BACKEND_MATMUL_DESCRIPTOR, "a product of attention");
    dnn_set(g->m, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    dnn_finalize(g->m, how);
    tensor op = dnn_create(g->m, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, "a product of attention");
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, y);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    if (rows) dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, rows);
    if (cols) dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, cols);
    if (inner) dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, inner);
    return done(g, op, how, y);
}

/* y = mode(a, b) in a type; b, and t, the Boolean of a choice: or NULL. axis: of an index, else -1. */
static tensor pointwise_in(graph *g, cudnnPointwiseMode_t mode, cudnnDataType_t type, int64_t axis, tensor a, tensor b,
                           tensor t, tensor y) {
    tensor how = dnn_pointwise(g->m, mode, type, axis),
           op = dnn_create(g->m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "a pointwise node of attention");
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a);
    if (b) dnn_link(g->m, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    if (t) dnn_link(g->m, op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    return done(g, op, how, y);
}

static tensor pointwise(graph *g, cudnnPointwiseMode_t mode, tensor a, tensor b, tensor y) {
    return pointwise_in(g, mode, CUDNN_DATA_FLOAT, -1, a, b, NULL, y);
}

/* y [B, H, n, 1]: the sum of x's rows, or their largest. */
static tensor reduce_rows(graph *g, cudnnReduceTensorOp_t mode, tensor x, tensor y) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    tensor how = dnn_create(g->m, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, "a sum of attention");
    dnn_set(g->m, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    dnn_set(g->m, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &mode);
    dnn_finalize(g->m, how);
    tensor op = dnn_create(g->m, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, "a sum of attention");
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
    return done(g, op, how, y);
}

/* y: x seen with other dims and strides. */
static tensor see(graph *g, tensor x, tensor y) {
    tensor op = dnn_create(g->m, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, "a transpose of attention");
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
    return done(g, op, NULL, y);
}

static dnn_tensor turned(dnn_tensor t) {
    int64_t d = t.dim[2], s = t.stride[2];
    t.dim[2] = t.dim[3], t.stride[2] = t.stride[3];
    t.dim[3] = d, t.stride[3] = s;
    return t;
}

static graph begin(dnn_maker *m, const sdpa_key *key, int parts, tensor *part) {
    const dnn_tensor *t = key->tensor;
    /* products take k as its transpose; in the backward they take v so too */
    const dnn_tensor kt = turned(t[SDPA_K]), vt = key->backward ? turned(t[SDPA_V]) : t[SDPA_V];
    graph g = {.m = m, .key = key};
    for (int i = 0; i < parts; i++)
        part[i] = keep(&g, dnn_tensor_new(m, 1 + i, i == SDPA_STATS ? CUDNN_DATA_FLOAT : dnn_type(key->dtype),
                                          i == SDPA_K   ? &kt
                                          : i == SDPA_V ? &vt
                                                        : &t[i],
                                          DNN_MEMORY));
    return g;
}

static cudnnBackendDescriptor_t finish(graph *g, const dnn_target *on) {
    for (int i = 0; i < g->n_made; i++) dnn_destroy(g->made[i]);
    return dnn_graph_of(g->m, on, g->op, g->n_op);
}

/* S = scale q k^T, lse = top + log sum exp(S - top), o = exp(S - top) / sum v. */
static cudnnBackendDescriptor_t forward_by_operations(dnn_maker *m, const dnn_target *on, const void *of) {
    const sdpa_key *key = of;
    const cudnnDataType_t real = dnn_type(key->dtype), wide = CUDNN_DATA_FLOAT;
    const int64_t n = key->tensor[SDPA_Q].dim[2], keys = key->tensor[SDPA_K].dim[2];
    tensor part[FORWARD];
    graph g = begin(m, key, FORWARD, part);
    tensor scale = keep(&g, dnn_tensor_new(m, SDPA_SCALE_UID, wide, &one, DNN_BY_VALUE));
    tensor s = multiply(&g, part[SDPA_Q], part[SDPA_K], between(&g, wide, n, keys, 0), NULL, NULL, NULL);
    s = pointwise(&g, CUDNN_POINTWISE_MUL, s, scale, between(&g, wide, n, keys, 0));
    tensor top = reduce_rows(&g, CUDNN_REDUCE_TENSOR_MAX, s, between(&g, wide, n, 1, 0));
    tensor e = pointwise(&g, CUDNN_POINTWISE_SUB, s, top, between(&g, wide, n, keys, 0));
    e = pointwise(&g, CUDNN_POINTWISE_EXP, e, NULL, between(&g, wide, n, keys, 0));
    tensor sum = reduce_rows(&g, CUDNN_REDUCE_TENSOR_ADD, e, between(&g, wide, n, 1, 0));
    tensor log = pointwise(&g, CUDNN_POINTWISE_LOG, sum, NULL, between(&g, wide, n, 1, 0));
    pointwise(&g, CUDNN_POINTWISE_ADD, top, log, part[SDPA_STATS]);
    tensor p = pointwise(&g, CUDNN_POINTWISE_DIV, e, sum, between(&g, real, n, keys, 0));
    multiply(&g, p, part[SDPA_V], part[SDPA_O], NULL, NULL, NULL);
    return finish(&g, on);
}

/* s where its row is a query and its column a key; else low. */
static tensor masked(graph *g, tensor s, tensor low, int64_t n, int64_t keys) {
    const cudnnDataType_t index = CUDNN_DATA_INT32, truth = CUDNN_DATA_BOOLEAN;
    tensor row = pointwise_in(g, CUDNN_POINTWISE_GEN_INDEX, index, 2, s, NULL, NULL, between(g, index, n, keys, 0)),
           col = pointwise_in(g, CUDNN_POINTWISE_GEN_INDEX, index, 3, s, NULL, NULL, between(g, index, n, keys, 0));
    row = pointwise_in(g, CUDNN_POINTWISE_CMP_LT, truth, -1, row, g->queries, NULL, between(g, truth, n, keys, 0));
    col = pointwise_in(g, CUDNN_POINTWISE_CMP_LT, truth, -1, col, g->keys, NULL, between(g, truth, n, keys, 0));
    tensor both =
        pointwise_in(g, CUDNN_POINTWISE_LOGICAL_AND, truth, -1, row, col, NULL, between(g, truth, n, keys, 0));
    return pointwise_in(g, CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, -1, s, low, both,
                        between(g, CUDNN_DATA_FLOAT, n, keys, 0));
}

/* P = exp(scale q k^T - lse), dv = P^T do, dS = scale P (do v^T - rowsum(do o)), dq = dS k, dk = dS^T q. dq is
 * summed in float memory of its own. */
static cudnnBackendDescriptor_t backward(dnn_maker *m, const dnn_target *on, const void *of) {
    const sdpa_key *key = of;
    const dnn_tensor *t = key->tensor;
    const cudnnDataType_t real = dnn_type(key->dtype), wide = CUDNN_DATA_FLOAT;
    const int64_t b = t[SDPA_Q].dim[0], h = t[SDPA_Q].dim[1], n = t[SDPA_Q].dim[2], keys = t[SDPA_K].dim[2],
                  width = t[SDPA_Q].dim[3];
    const dnn_tensor rows = {4, {b, h, n, 1}, {h * n, n, 1, 1}, 16}, lengths = {4, {b, 1, 1, 1}, {1, 1, 1, 1}, 4},
                     accumulated = {4, {b, h, n, width}, {h * n * width, n * width, width, 1}, 16};
    tensor part[SDPA_TENSORS], low = NULL;
    graph g = begin(m, key, SDPA_TENSORS, part);
    tensor scale = keep(&g, dnn_tensor_new(m, SDPA_SCALE_UID, wide, &one, DNN_BY_VALUE)),
           unit = keep(&g, dnn_tensor_new(m, SDPA_ONE_UID, wide, &one, DNN_BY_VALUE));
    tensor sum = keep(&g, dnn_tensor_new(m, SDPA_SUM_UID, wide, &rows, DNN_MEMORY)),
           dq = keep(&g, dnn_tensor_new(m, SDPA_ACCUMULATOR_UID, wide, &accumulated, DNN_MEMORY));
    if (key->masked) {
        low = keep(&g, dnn_tensor_new(m, SDPA_LOW_UID, wide, &one, DNN_BY_VALUE));
        g.queries = keep(&g, dnn_tensor_new(m, SDPA_QUERIES_UID, CUDNN_DATA_INT32, &lengths, DNN_MEMORY));
        g.keys = keep(&g, dnn_tensor_new(m, SDPA_KEYS_UID, CUDNN_DATA_INT32, &lengths, DNN_MEMORY));
    }

    tensor dots =
        reduce_rows(&g, CUDNN_REDUCE_TENSOR_ADD,
                    pointwise(&g, CUDNN_POINTWISE_MUL, part[SDPA_DO], part[SDPA_O], between(&g, wide, n, width, 0)),
                    between(&g, wide, n, 1, 0));
    pointwise(&g, CUDNN_POINTWISE_MUL, dots, unit, sum); /* where dropout's factor would stand: part of the pattern */

    tensor s = multiply(&g, part[SDPA_Q], part[SDPA_K], between(&g, wide, n, keys, 0), g.queries, g.keys, NULL);
    s = pointwise(&g, CUDNN_POINTWISE_MUL, s, scale, between(&g, wide, n, keys, 0));
    if (key->masked) s = masked(&g, s, low, n, keys);
    s = pointwise(&g, CUDNN_POINTWISE_SUB, s, part[SDPA_STATS], between(&g, wide, n, keys, 0));
    if (key->masked_twice) s = masked(&g, s, low, n, keys);
    tensor p = pointwise(&g, CUDNN_POINTWISE_EXP, s, NULL, between(&g, wide, n, keys, 0));
    multiply(&g, see(&g, p, between(&g, real, keys, n, 1)), part[SDPA_DO], part[SDPA_DV], g.keys, NULL, g.queries);

    tensor ds = multiply(&g, part[SDPA_DO], part[SDPA_V], between(&g, wide, n, keys, 0), g.queries, g.keys, NULL);
    ds = pointwise(&g, CUDNN_POINTWISE_SUB, ds, sum, between(&g, wide, n, keys, 0));
    ds = pointwise(&g, CUDNN_POINTWISE_MUL, ds, p, between(&g, wide, n, keys, 0));
    ds = pointwise(&g, CUDNN_POINTWISE_MUL, ds, scale, between(&g, wide, n, keys, 0));
    multiply(&g, see(&g, ds, between(&g, real, keys, n, 1)), part[SDPA_Q], part[SDPA_DK], g.keys, NULL, g.queries);

    tensor k = keep(&g, dnn_tensor_new(m, OWN_UIDS + g.n_made, real, &t[SDPA_K], DNN_VIRTUAL));
    multiply(&g, ds, see(&g, part[SDPA_K], k), dq, g.queries, NULL, g.keys);
    pointwise(&g, CUDNN_POINTWISE_IDENTITY, dq, NULL, part[SDPA_DQ]);
    return finish(&g, on);
}

const dnn_plan *sdpa_plan_for(const dnn_target *on, const sdpa_key *key, hct_err *err) {
    return dnn_plan_for(on,
                        key->backward    ? backward
                        : key->composite ? forward_by_operations
                                         : forward,
                        key, sizeof *key, (uint32_t)key->avoid, key->backward ? "attention's backward" : "attention",
                        err);
}
