/* Graphs of scaled dot-product attention. Forward: cuDNN's own node (9.13 and later); its statistics are the
 * log-sum-exps of scaled scores, as our op keeps them. Backward: the products and pointwise operations of its
 * formula, which cuDNN recognises and fuses (9.16 and later for any number of tokens); its SDPA_BWD node exists in
 * 9.19's header, but no graph of it is accepted. */
#include "dnn.h"

/* The tensors of the op, in the order of addresses; a direction's are the first ones. */
enum { FORWARD = SDPA_DO, OWN_UIDS = 200 /* virtual tensors of the backward */ };

int sdpa_uids(int backward, int64_t uid[DNN_TENSORS]) {
    int n = backward ? SDPA_TENSORS : FORWARD;
    for (int i = 0; i < n; i++) uid[i] = 1 + i;
    uid[n++] = SDPA_SCALE_UID;
    if (!backward) return n;
    uid[n++] = SDPA_ONE_UID;
    uid[n++] = SDPA_SUM_UID;
    uid[n++] = SDPA_ACCUMULATOR_UID;
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
    op =
        dnn_create(m, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, "the attention node (cuDNN 9.13 and later have it)");
    for (int i = 0; i < FORWARD; i++) dnn_link(m, op, names[i], part[i]);
    dnn_link(m, op, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, part[FORWARD]);
    dnn_finalize(m, op);
    for (int i = 0; i <= FORWARD; i++) dnn_destroy(part[i]);
    return dnn_graph_of(m, on, &op, 1);
}

/* ---- the backward ---- */

typedef cudnnBackendDescriptor_t tensor;
enum { MOST = 32 };
typedef struct graph { /* operations under construction, and the tensors between them */
    dnn_maker *m;
    tensor op[MOST], made[MOST];
    int n_op, n_made;
} graph;

static tensor keep(graph *g, tensor t) { return g->made[g->n_made++] = t; }

/* A virtual tensor [B, H, rows, cols]; turned: stored as its transpose. */
static tensor between(graph *g, const sdpa_key *key, cudnnDataType_t type, int64_t rows, int64_t cols, int turned) {
    int64_t b = key->tensor[SDPA_Q].dim[0], h = key->tensor[SDPA_Q].dim[1];
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

/* y = a b, sums in float. */
static tensor multiply(graph *g, tensor a, tensor b, tensor y) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    tensor how = dnn_create(g->m, CUDNN_BACKEND_MATMUL_DESCRIPTOR, "a product of the attention's backward");
    dnn_set(g->m, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    dnn_finalize(g->m, how);
    tensor op = dnn_create(g->m, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, "a product of the attention's backward");
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, y);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    return done(g, op, how, y);
}

/* y = a mode b, or mode(a) where b is NULL. */
static tensor pointwise(graph *g, cudnnPointwiseMode_t mode, tensor a, tensor b, tensor y) {
    tensor how = dnn_pointwise(g->m, mode), op = dnn_create(g->m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
                                                            "a pointwise node of the attention's backward");
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a);
    if (b) dnn_link(g->m, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    return done(g, op, how, y);
}

static tensor sum_of_rows(graph *g, tensor x, tensor y) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnReduceTensorOp_t mode = CUDNN_REDUCE_TENSOR_ADD;
    tensor how = dnn_create(g->m, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, "a sum of the attention's backward");
    dnn_set(g->m, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    dnn_set(g->m, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &mode);
    dnn_finalize(g->m, how);
    tensor op = dnn_create(g->m, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, "a sum of the attention's backward");
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
    dnn_link(g->m, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
    return done(g, op, how, y);
}

/* y: x seen with other dims and strides. */
static tensor see(graph *g, tensor x, tensor y) {
    tensor op = dnn_create(g->m, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, "a transpose of the attention's backward");
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

/* P = exp(scale q k^T - lse), dv = P^T do, dS = scale P (do v^T - rowsum(do o)), dq = dS k, dk = dS^T q. dq is
 * summed in float memory of its own. */
static cudnnBackendDescriptor_t backward(dnn_maker *m, const dnn_target *on, const void *of) {
    const sdpa_key *key = of;
    const dnn_tensor *t = key->tensor;
    const cudnnDataType_t real = dnn_type(key->dtype), wide = CUDNN_DATA_FLOAT;
    const int64_t b = t[SDPA_Q].dim[0], h = t[SDPA_Q].dim[1], n = t[SDPA_Q].dim[2], keys = t[SDPA_K].dim[2],
                  width = t[SDPA_Q].dim[3];
    const dnn_tensor kt = turned(t[SDPA_K]), vt = turned(t[SDPA_V]), rows = {4, {b, h, n, 1}, {h * n, n, 1, 1}, 16},
                     accumulated = {4, {b, h, n, width}, {h * n * width, n * width, width, 1}, 16};
    graph g = {.m = m};
    tensor part[SDPA_TENSORS];
    for (int i = 0; i < SDPA_TENSORS; i++)
        part[i] = keep(&g, dnn_tensor_new(m, 1 + i, i == SDPA_STATS ? wide : real,
                                          i == SDPA_K   ? &kt
                                          : i == SDPA_V ? &vt
                                                        : &t[i],
                                          DNN_MEMORY));
    tensor scale = keep(&g, dnn_tensor_new(m, SDPA_SCALE_UID, wide, &one, DNN_BY_VALUE)),
           unit = keep(&g, dnn_tensor_new(m, SDPA_ONE_UID, wide, &one, DNN_BY_VALUE));
    tensor sum = keep(&g, dnn_tensor_new(m, SDPA_SUM_UID, wide, &rows, DNN_MEMORY)),
           dq = keep(&g, dnn_tensor_new(m, SDPA_ACCUMULATOR_UID, wide, &accumulated, DNN_MEMORY));

    tensor dots = sum_of_rows(
        &g, pointwise(&g, CUDNN_POINTWISE_MUL, part[SDPA_DO], part[SDPA_O], between(&g, key, wide, n, width, 0)),
        between(&g, key, wide, n, 1, 0));
    pointwise(&g, CUDNN_POINTWISE_MUL, dots, unit, sum); /* where dropout's factor would stand: part of the pattern */

    tensor s = multiply(&g, part[SDPA_Q], part[SDPA_K], between(&g, key, wide, n, keys, 0));
    s = pointwise(&g, CUDNN_POINTWISE_MUL, s, scale, between(&g, key, wide, n, keys, 0));
    s = pointwise(&g, CUDNN_POINTWISE_SUB, s, part[SDPA_STATS], between(&g, key, wide, n, keys, 0));
    tensor p = pointwise(&g, CUDNN_POINTWISE_EXP, s, NULL, between(&g, key, wide, n, keys, 0));
    multiply(&g, see(&g, p, between(&g, key, real, keys, n, 1)), part[SDPA_DO], part[SDPA_DV]);

    tensor ds = multiply(&g, part[SDPA_DO], part[SDPA_V], between(&g, key, wide, n, keys, 0));
    ds = pointwise(&g, CUDNN_POINTWISE_SUB, ds, sum, between(&g, key, wide, n, keys, 0));
    ds = pointwise(&g, CUDNN_POINTWISE_MUL, ds, p, between(&g, key, wide, n, keys, 0));
    ds = pointwise(&g, CUDNN_POINTWISE_MUL, ds, scale, between(&g, key, wide, n, keys, 0));
    multiply(&g, see(&g, ds, between(&g, key, real, keys, n, 1)), part[SDPA_Q], part[SDPA_DK]);

    tensor k = keep(&g, dnn_tensor_new(m, OWN_UIDS + g.n_made, real, &t[SDPA_K], DNN_VIRTUAL));
    multiply(&g, ds, see(&g, part[SDPA_K], k), dq);
    pointwise(&g, CUDNN_POINTWISE_IDENTITY, dq, NULL, part[SDPA_DQ]);
    for (int i = 0; i < g.n_made; i++) dnn_destroy(g.made[i]);
    return dnn_graph_of(m, on, g.op, g.n_op);
}

const dnn_plan *sdpa_plan_for(const dnn_target *on, const sdpa_key *key, hct_err *err) {
    return dnn_plan_for(on, key->backward ? backward : forward, key, sizeof *key, (uint32_t)key->avoid,
                        key->backward ? "attention's backward" : "attention", err);
}
