/* cuDNN of the mock driver (mock_driver.c): graphs of attention, its backward and convolutions are checked operation
 * by operation, and their calls written down. Whether the real library takes such graphs is test_cudnn.c's question.
 *
 *   MOCK_CUDNN=old   9.12, which has no attention node */
#include "mock.h"

#include <cudnn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 16, VALUES = 32, OPERANDS = 64, WORKSPACE = 12345, CONFIGS = 2 };
typedef struct field {
    int name, type;
    int64_t n;
    char bytes[VALUES * 8];
} field;
typedef struct operand {
    int64_t uid;
    int by_value, is_virtual, written;
    uint64_t bytes;
} operand;
typedef struct descriptor {
    int type, finalized, fields, n_operand, engine;
    const char *what; /* of a graph, and what is made from it */
    field at[FIELDS];
    operand operand[OPERANDS];
} descriptor;
static CUstream stream;

static const field *field_of(const descriptor *d, int name) {
    for (int i = 0; d && i < d->fields; i++)
        if (d->at[i].name == name) return &d->at[i];
    return NULL;
}
static descriptor *linked_at(const field *f, int64_t i) {
    descriptor *to = NULL;
    if (f && i < f->n) memcpy(&to, f->bytes + 8 * i, sizeof to);
    return to;
}
static descriptor *linked(const descriptor *d, int name) { return linked_at(field_of(d, name), 0); }
static int64_t number(const descriptor *d, int name, int64_t i) {
    const field *f = field_of(d, name);
    int64_t v = -1;
    if (f && i < f->n) memcpy(&v, f->bytes + 8 * i, sizeof v);
    return v;
}
static int flag(const descriptor *d, int name) {
    const field *f = field_of(d, name);
    return f && f->bytes[0];
}
/* Axis i of an operand; axes count from its end where i is negative. */
static int64_t dim(const descriptor *op, int name, int64_t i) {
    const descriptor *t = linked(op, name);
    const field *f = field_of(t, CUDNN_ATTR_TENSOR_DIMENSIONS);
    return f ? number(t, CUDNN_ATTR_TENSOR_DIMENSIONS, i < 0 ? f->n + i : i) : -1;
}

EXPORT size_t cudnnGetVersion(void) { return getenv("MOCK_CUDNN") ? 91200 : CUDNN_VERSION; }
EXPORT const char *cudnnGetErrorString(cudnnStatus_t code) {
    return code == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_BAD_PARAM";
}
EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t *h) { return *h = (cudnnHandle_t)(void *)&stream, CUDNN_STATUS_SUCCESS; }
EXPORT cudnnStatus_t cudnnDestroy(cudnnHandle_t h) { return (void)h, CUDNN_STATUS_SUCCESS; }
EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s) {
    return (void)h, stream = (CUstream)s, CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *ret) {
    if (getenv("MOCK_CUDNN") && type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR) return CUDNN_STATUS_NOT_SUPPORTED;
    descriptor *d = calloc(1, sizeof *d);
    d->type = (int)type;
    *ret = d;
    return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) { return free(d), CUDNN_STATUS_SUCCESS; }
EXPORT cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t n, const void *v) {
    descriptor *d = to;
    size_t size = type == CUDNN_TYPE_BOOLEAN ? 1
                  : type == CUDNN_TYPE_INT64 || type == CUDNN_TYPE_BACKEND_DESCRIPTOR || type == CUDNN_TYPE_VOID_PTR ||
                          type == CUDNN_TYPE_HANDLE
                      ? 8
                      : 4;
    if (!d || d->finalized || d->fields == FIELDS || n > VALUES) return CUDNN_STATUS_BAD_PARAM;
    field *f = &d->at[d->fields++];
    f->name = (int)name;
    f->type = (int)type;
    f->n = n;
    memcpy(f->bytes, v, (size_t)n * size);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- operations ---- */

static int same_or_one(const descriptor *d, int small, int large) {
    for (int64_t i = 0; i < field_of(linked(d, large), CUDNN_ATTR_TENSOR_DIMENSIONS)->n; i++)
        if (dim(d, small, i) != dim(d, large, i) && dim(d, small, i) != 1) return 0;
    return 1;
}

static int convolution_fits(const descriptor *d, int conv, int x, int w, int y) {
    const descriptor *c = linked(d, conv);
    if (!c || !c->finalized || number(c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 0) != 3 || dim(d, x, 0) != dim(d, y, 0) ||
        dim(d, w, 0) != dim(d, y, 1) || dim(d, x, 1) % dim(d, w, 1))
        return 0;
    for (int64_t a = 0; a < 3; a++) {
        int64_t room = dim(d, x, 2 + a) + number(c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, a) +
                       number(c, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, a) -
                       number(c, CUDNN_ATTR_CONVOLUTION_DILATIONS, a) * (dim(d, w, 2 + a) - 1) - 1;
        if (dim(d, y, 2 + a) != room / number(c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, a) + 1) return 0;
    }
    return 1;
}

static int fits(const descriptor *d) {
    switch (d->type) {
    case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR: {
        const int q = CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, k = CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC,
                  o = CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC;
        const int l = CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC;
        if (!linked(d, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC)) return 0;
        for (int a = 0; a < 4; a++)
            if (dim(d, q, a) != dim(d, o, a) || (a != 2 && dim(d, q, a) != dim(d, k, a)) ||
                dim(d, l, a) != (a < 3 ? dim(d, q, a) : 1))
                return 0;
        return 1;
    }
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: {
        const int a = CUDNN_ATTR_OPERATION_MATMUL_ADESC, b = CUDNN_ATTR_OPERATION_MATMUL_BDESC,
                  c = CUDNN_ATTR_OPERATION_MATMUL_CDESC;
        return dim(d, a, -2) == dim(d, c, -2) && dim(d, a, -1) == dim(d, b, -2) && dim(d, b, -1) == dim(d, c, -1) &&
               dim(d, a, 0) == dim(d, c, 0);
    }
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return same_or_one(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_YDESC) &&
               (!linked(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC) ||
                same_or_one(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
        return same_or_one(d, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
        return convolution_fits(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
        return convolution_fits(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
        return convolution_fits(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY);
    default: return 1;
    }
}

static int is_result(int name) {
    static const int names[] = {CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC,
                                CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC,
                                CUDNN_ATTR_OPERATION_MATMUL_CDESC,
                                CUDNN_ATTR_OPERATION_POINTWISE_YDESC,
                                CUDNN_ATTR_OPERATION_REDUCTION_YDESC,
                                CUDNN_ATTR_OPERATION_RESHAPE_YDESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i] == name) return 1;
    return 0;
}

static uint64_t bytes_of(const descriptor *t) {
    const field *f = field_of(t, CUDNN_ATTR_TENSOR_DIMENSIONS);
    int32_t type;
    int64_t last = 0;
    memcpy(&type, field_of(t, CUDNN_ATTR_TENSOR_DATA_TYPE)->bytes, sizeof type);
    for (int64_t i = 0; i < f->n; i++)
        last += (number(t, CUDNN_ATTR_TENSOR_DIMENSIONS, i) - 1) * number(t, CUDNN_ATTR_TENSOR_STRIDES, i);
    return (uint64_t)(last + 1) * (type == CUDNN_DATA_FLOAT ? 4 : 2);
}

/* The tensors of an operation, as they are now: their descriptors may go before the graph's. */
static int take_operands(descriptor *d) {
    for (int i = 0; i < d->fields; i++) {
        const descriptor *t = d->at[i].type == CUDNN_TYPE_BACKEND_DESCRIPTOR ? linked_at(&d->at[i], 0) : NULL;
        if (!t || t->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
        if (!t->finalized) return 0;
        d->operand[d->n_operand++] =
            (operand){number(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0), flag(t, CUDNN_ATTR_TENSOR_IS_BY_VALUE),
                      flag(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL), is_result(d->at[i].name), bytes_of(t)};
    }
    return 1;
}

/* ---- graphs, and what is made from them ---- */

static int join_operations(descriptor *g) {
    const field *ops = field_of(g, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    for (int64_t k = 0; ops && k < ops->n; k++) {
        const descriptor *op = linked_at(ops, k);
        if (!op->finalized) return 0;
        if (op->type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR) g->what = "attention";
        if (op->type == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR) g->what = "attention.bwd";
        if (op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) g->what = "convolution";
        if (op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) g->what = "convolution.bwd_x";
        if (op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR) g->what = "convolution.bwd_w";
        for (int i = 0; i < op->n_operand; i++) {
            const operand *o = &op->operand[i];
            operand *had = NULL;
            for (int j = 0; j < g->n_operand; j++)
                if (g->operand[j].uid == o->uid) had = &g->operand[j];
            if (had && had->written && o->written) return 0;                      /* two results in one place */
            if (o->is_virtual && !o->written && !(had && had->written)) return 0; /* read before it is made */
            if (had) had->written |= o->written;
            else if (g->n_operand == OPERANDS) return 0;
            else g->operand[g->n_operand++] = *o;
        }
    }
    return g->what != NULL;
}

EXPORT cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t of) {
    descriptor *d = of, *from = NULL;
    d->finalized = 1;
    if (d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
        return join_operations(d) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
    if (d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) from = linked(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    else if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
        from = linked(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    else return take_operands(d) && fits(d) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
    if (!from) return CUDNN_STATUS_BAD_PARAM;
    d->what = from->what;
    d->engine = from->engine;
    d->n_operand = from->n_operand;
    memcpy(d->operand, from->operand, sizeof d->operand);
    return CUDNN_STATUS_SUCCESS;
}

/* Two engines: the first works on tensor cores, and in no fixed order. */
EXPORT cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const of, cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t want, int64_t *n, void *v) {
    (void)type;
    const descriptor *d = of;
    *n = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
        for (*n = 0; *n < want && *n < CONFIGS; ++*n) {
            descriptor *config = ((descriptor **)v)[*n];
            config->what = d->what;
            config->engine = (int)*n;
            config->n_operand = d->n_operand;
            memcpy(config->operand, d->operand, sizeof d->operand);
        }
        return CUDNN_STATUS_SUCCESS;
    }
    if (name == CUDNN_ATTR_ENGINECFG_ENGINE) return (*(descriptor **)v)->engine = d->engine, CUDNN_STATUS_SUCCESS;
    if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) {
        const cudnnBackendNumericalNote_t notes[] = {CUDNN_NUMERICAL_NOTE_TENSOR_CORE,
                                                     CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC};
        *n = d->engine == 0 ? 2 : 0;
        return memcpy(v, notes, (size_t)*n * sizeof *notes), CUDNN_STATUS_SUCCESS;
    }
    if (name != CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) return CUDNN_STATUS_BAD_PARAM;
    mock_note("%s plan, engine %d", d->what, d->engine);
    return *(int64_t *)v = WORKSPACE, CUDNN_STATUS_SUCCESS;
}

/* Every tensor of the graph has an address, and lies in memory as a whole. */
EXPORT cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan,
                                         cudnnBackendDescriptor_t pack) {
    (void)h;
    const descriptor *p = plan;
    const field *ids = field_of(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS),
                *at = field_of(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    const field *work = field_of(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    int64_t needed = 0;
    void *where;
    if (!ids || !at || !work || at->n != ids->n) return CUDNN_STATUS_BAD_PARAM;
    for (int i = 0; i < p->n_operand; i++) {
        const operand *o = &p->operand[i];
        int64_t k = 0;
        if (o->is_virtual) continue;
        needed++;
        while (k < ids->n && number(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, k) != o->uid) k++;
        if (k == ids->n) return mock_note("%s: tensor %d has no address", p->what, (int)o->uid), CUDNN_STATUS_BAD_PARAM;
        memcpy(&where, at->bytes + 8 * k, sizeof where);
        if (o->by_value ? mock_inside((CUdeviceptr)(uintptr_t)where, 4)
                        : !mock_inside((CUdeviceptr)(uintptr_t)where, o->bytes))
            return mock_note("%s: tensor %d leaves its memory", p->what, (int)o->uid), CUDNN_STATUS_BAD_PARAM;
    }
    if (needed != ids->n)
        return mock_note("%s: %d tensors, %d addresses", p->what, (int)needed, (int)ids->n), CUDNN_STATUS_BAD_PARAM;
    memcpy(&where, work->bytes, sizeof where);
    if (!mock_inside((CUdeviceptr)(uintptr_t)where, WORKSPACE))
        return mock_note("%s: the workspace leaves its memory", p->what), CUDNN_STATUS_BAD_PARAM;
    mock_note("%s on %d", p->what, stream->number);
    return CUDNN_STATUS_SUCCESS;
}
