/* cuDNN: graphs of attention, its backward and convolutions. Each operation is checked when it is finalized, each graph
 * for what engines of the real library's version (EMU_CUDNN, 91900) support; dnn_run.c evaluates them. Whether the real
 * library takes the same graphs is test_cudnn.c's question. */
#include "dnn.h"

#include <stdlib.h>
#include <string.h>

enum { FIELDS = 16, VALUES = 64, WORKSPACE = 12345, CONFIGS = 2 };

typedef struct field {
    int name, type;
    int64_t n;
    char bytes[VALUES * 8];
} field;
typedef struct descriptor {
    int type, fields, engine;
    bool finalized;
    owner of; /* of a plan */
    field at[FIELDS];
    operation op;
    dnn_graph *graph; /* of a graph, and what is made from it */
} descriptor;
struct cudnnContext {
    owner of;
    CUstream stream;
};

static long version(void) { return emu_number("EMU_CUDNN", 91900); }

/* ---- fields ---- */

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
static int64_t whole(const descriptor *d, int name, int64_t i, int64_t otherwise) {
    const field *f = field_of(d, name);
    int64_t v = otherwise;
    if (f && i < f->n) memcpy(&v, f->bytes + 8 * i, sizeof v);
    return v;
}
static int word(const descriptor *d, int name, int otherwise) {
    const field *f = field_of(d, name);
    int32_t v = otherwise;
    if (f) memcpy(&v, f->bytes, sizeof v);
    return v;
}
static double real(const descriptor *d, int name, double otherwise) {
    const field *f = field_of(d, name);
    double v = otherwise;
    float single;
    if (f && f->type == CUDNN_TYPE_DOUBLE) memcpy(&v, f->bytes, sizeof v);
    else if (f) memcpy(&single, f->bytes, sizeof single), v = (double)single;
    return v;
}
static bool flag(const descriptor *d, int name) {
    const field *f = field_of(d, name);
    return f && f->bytes[0];
}

static size_t size_of(int type) {
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR: return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE: return 8;
    default: return 4;
    }
}

EXPORT size_t cudnnGetVersion(void) { return (size_t)version(); }
EXPORT const char *cudnnGetErrorString(cudnnStatus_t code) {
    return code == CUDNN_STATUS_NOT_SUPPORTED      ? "CUDNN_STATUS_NOT_SUPPORTED"
           : code == CUDNN_STATUS_EXECUTION_FAILED ? "CUDNN_STATUS_EXECUTION_FAILED"
                                                   : "CUDNN_STATUS_BAD_PARAM";
}
EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
    EMU_CALL;
    owner of;
    if (!version() || emu_current(&of) != CUDA_SUCCESS) return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = calloc(1, sizeof **handle);
    (*handle)->of = of;
    return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    EMU_CALL;
    CUresult code = emu_valid(&handle->of, "cuDNN's handle");
    free(handle);
    return code == CUDA_SUCCESS ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    EMU_CALL;
    if (emu_valid(&handle->of, "cuDNN's handle") != CUDA_SUCCESS) return CUDNN_STATUS_BAD_PARAM;
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *ret) {
    EMU_CALL;
    if (type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR && version() < 91301) return CUDNN_STATUS_NOT_SUPPORTED;
    descriptor *d = calloc(1, sizeof *d);
    d->type = (int)type;
    *ret = d;
    return CUDNN_STATUS_SUCCESS;
}

void dnn_graph_free(dnn_graph *g) {
    if (g && --g->refs == 0) free(g);
}

EXPORT cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) {
    EMU_CALL;
    dnn_graph_free(((descriptor *)d)->graph);
    free(d);
    return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t n, const void *values) {
    EMU_CALL;
    descriptor *d = to;
    size_t size = size_of((int)type);
    if (!d || d->finalized || d->fields == FIELDS || n < 1 || (size_t)n * size > sizeof d->at[0].bytes)
        return CUDNN_STATUS_BAD_PARAM;
    field *f = &d->at[d->fields++];
    f->name = (int)name;
    f->type = (int)type;
    f->n = n;
    memcpy(f->bytes, values, (size_t)n * size);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- operations ---- */

const tensor *dnn_operand(const operation *op, int role) {
    for (int i = 0; i < op->n_operand; i++)
        if (op->operand[i].role == role) return &op->operand[i].t;
    return NULL;
}

bool dnn_is_result(int role) {
    static const int roles[] = {CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC,
                                CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC,
                                CUDNN_ATTR_OPERATION_MATMUL_CDESC,
                                CUDNN_ATTR_OPERATION_POINTWISE_YDESC,
                                CUDNN_ATTR_OPERATION_REDUCTION_YDESC,
                                CUDNN_ATTR_OPERATION_RESHAPE_YDESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (roles[i] == role) return true;
    return false;
}

int64_t dnn_span(const tensor *t) {
    int64_t last = 0;
    for (int i = 0; i < t->dims; i++) last += (t->dim[i] - 1) * t->stride[i];
    return last + 1;
}

static bool take_tensor(const descriptor *d, tensor *ret) {
    static const struct {
        int code;
        number type;
    } types[] = {{CUDNN_DATA_FLOAT, NUMBER_F32},
                 {CUDNN_DATA_HALF, NUMBER_F16},
                 {CUDNN_DATA_BFLOAT16, NUMBER_BF16},
                 {CUDNN_DATA_INT32, NUMBER_I32},
                 {CUDNN_DATA_BOOLEAN, NUMBER_BOOL}};
    const field *dims = field_of(d, CUDNN_ATTR_TENSOR_DIMENSIONS), *strides = field_of(d, CUDNN_ATTR_TENSOR_STRIDES);
    int code = word(d, CUDNN_ATTR_TENSOR_DATA_TYPE, -1), known = 0;
    if (!dims || !strides || dims->n != strides->n || dims->n > DIMS) return false;
    *ret = (tensor){.uid = whole(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0, -1),
                    .dims = (int)dims->n,
                    .align = whole(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 0, 1),
                    .by_value = flag(d, CUDNN_ATTR_TENSOR_IS_BY_VALUE),
                    .is_virtual = flag(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL)};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == code) ret->type = types[i].type, known = 1;
    for (int i = 0; i < ret->dims; i++) {
        ret->dim[i] = whole(d, CUDNN_ATTR_TENSOR_DIMENSIONS, i, 0);
        ret->stride[i] = whole(d, CUDNN_ATTR_TENSOR_STRIDES, i, 0);
        if (ret->dim[i] < 1 || ret->stride[i] < 0) return false;
    }
    return known && ret->uid >= 0;
}

static bool take_operation(descriptor *d) {
    operation *op = &d->op;
    op->kind = d->type;
    for (int i = 0; i < d->fields; i++) {
        const descriptor *t = d->at[i].type == CUDNN_TYPE_BACKEND_DESCRIPTOR ? linked_at(&d->at[i], 0) : NULL;
        if (!t || t->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
        if (!t->finalized || op->n_operand == OPERANDS) return false;
        op->operand[op->n_operand].role = d->at[i].name;
        if (!take_tensor(t, &op->operand[op->n_operand++].t)) return false;
    }
    return true;
}

/* Axis i of an operand; axes count from its end where i is negative. */
static int64_t dim(const operation *op, int role, int i) {
    const tensor *t = dnn_operand(op, role);
    return t ? t->dim[i < 0 ? t->dims + i : i] : -1;
}

static bool same_or_one(const operation *op, int small, int large) {
    const tensor *a = dnn_operand(op, small), *b = dnn_operand(op, large);
    bool fits = a && b && a->dims == b->dims;
    for (int i = 0; fits && i < a->dims; i++) fits = a->dim[i] == b->dim[i] || a->dim[i] == 1;
    return fits;
}

static bool take_convolution(descriptor *d, int conv, int x, int w, int y, int alpha, int beta) {
    operation *op = &d->op;
    const descriptor *c = linked(d, conv);
    op->alpha = real(d, alpha, 1);
    op->beta = real(d, beta, 0);
    if (!c || !c->finalized || whole(c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 0, 0) != 3 || dim(op, x, 0) < 1 ||
        dim(op, w, 0) < 1 || dim(op, x, 0) != dim(op, y, 0) || dim(op, w, 0) != dim(op, y, 1) ||
        dim(op, x, 1) % dim(op, w, 1))
        return false;
    for (int a = 0; a < 3; a++) {
        op->conv_stride[a] = whole(c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, a, 1);
        op->conv_before[a] = whole(c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, a, 0);
        op->conv_after[a] = whole(c, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, a, 0);
        op->conv_dilation[a] = whole(c, CUDNN_ATTR_CONVOLUTION_DILATIONS, a, 1);
        int64_t room = dim(op, x, 2 + a) + op->conv_before[a] + op->conv_after[a] -
                       op->conv_dilation[a] * (dim(op, w, 2 + a) - 1) - 1;
        if (dim(op, y, 2 + a) != room / op->conv_stride[a] + 1) return false;
    }
    return true;
}

static bool take_pointwise(descriptor *d) {
    const descriptor *how = linked(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const int x = CUDNN_ATTR_OPERATION_POINTWISE_XDESC, b = CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
              t = CUDNN_ATTR_OPERATION_POINTWISE_TDESC, y = CUDNN_ATTR_OPERATION_POINTWISE_YDESC;
    if (!how || !how->finalized) return false;
    d->op.mode = word(how, CUDNN_ATTR_POINTWISE_MODE, -1);
    d->op.axis = (int)whole(how, CUDNN_ATTR_POINTWISE_AXIS, 0, -1);
    return same_or_one(&d->op, x, y) && (!dnn_operand(&d->op, b) || same_or_one(&d->op, b, y)) &&
           (!dnn_operand(&d->op, t) || same_or_one(&d->op, t, y));
}

static bool fits(descriptor *d) {
    operation *op = &d->op;
    switch (d->type) {
    case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR: {
        const int q = CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, k = CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC,
                  o = CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, l = CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC;
        if (!dnn_operand(op, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC)) return false;
        for (int a = 0; a < 4; a++)
            if (dim(op, q, a) != dim(op, o, a) || (a != 2 && dim(op, q, a) != dim(op, k, a)) ||
                dim(op, l, a) != (a < 3 ? dim(op, q, a) : 1))
                return false;
        return true;
    }
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: {
        const int a = CUDNN_ATTR_OPERATION_MATMUL_ADESC, b = CUDNN_ATTR_OPERATION_MATMUL_BDESC,
                  c = CUDNN_ATTR_OPERATION_MATMUL_CDESC;
        op->padding = real(linked(d, CUDNN_ATTR_OPERATION_MATMUL_DESC), CUDNN_ATTR_MATMUL_PADDING_VALUE, 0);
        return dim(op, a, -2) > 0 && dim(op, a, -2) == dim(op, c, -2) && dim(op, a, -1) == dim(op, b, -2) &&
               dim(op, b, -1) == dim(op, c, -1) && dim(op, a, 0) == dim(op, c, 0);
    }
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: return take_pointwise(d);
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
        op->mode = word(linked(d, CUDNN_ATTR_OPERATION_REDUCTION_DESC), CUDNN_ATTR_REDUCTION_OPERATOR, -1);
        return same_or_one(op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
        return take_convolution(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
        return take_convolution(
            d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
        return take_convolution(
            d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA);
    default: return true;
    }
}

/* ---- graphs ---- */

static bool same_tensor(const tensor *a, const tensor *b) {
    return a->dims == b->dims && a->type == b->type && a->is_virtual == b->is_virtual &&
           !memcmp(a->dim, b->dim, sizeof a->dim) && !memcmp(a->stride, b->stride, sizeof a->stride);
}

/* One meaning for each uid, one writer for each tensor, and nothing virtual is read before it is made. */
static bool consistent(const dnn_graph *g) {
    const tensor *known[TENSORS];
    bool written[TENSORS] = {false};
    int n = 0;
    for (int k = 0; k < g->n_op; k++)
        for (int pass = 0; pass < 2; pass++) /* what it reads, then what it writes */
            for (int i = 0; i < g->op[k].n_operand; i++) {
                const tensor *t = &g->op[k].operand[i].t;
                if (dnn_is_result(g->op[k].operand[i].role) != (pass == 1)) continue;
                int j = 0;
                while (j < n && known[j]->uid != t->uid) j++;
                if (j == n && n == TENSORS) return false;
                if (j == n) known[n++] = t;
                if (!same_tensor(known[j], t)) return false;
                if (pass == 0 && t->is_virtual && !written[j]) return false;
                if (pass == 1 && written[j]) return false;
                if (pass == 1) written[j] = true;
            }
    return true;
}

static const char *kind_of(const dnn_graph *g) {
    int products = 0;
    for (int k = 0; k < g->n_op; k++) switch (g->op[k].kind) {
        case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR: return "attention";
        case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: products++; break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR: return "convolution";
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR: return "convolution.bwd_x";
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR: return "convolution.bwd_w";
        default: break;
        }
    return products == 2 ? "attention" : products == 5 ? "attention.bwd" : NULL;
}

/* A tensor of attention: whole rows of 16 bytes, the width's elements side by side, no two places the same. */
static bool lies_well(const tensor *t) {
    int together = t->stride[t->dims - 1] == 1 ? t->dims - 1 : t->dims - 2; /* keys are given as their transpose */
    if (t->stride[together] != 1 || t->align < 16 || t->dim[together] % 8 || t->dim[together] > 128) return false;
    for (int i = 0; i < t->dims; i++)
        if (i != together && t->dim[i] > 1 && (t->stride[i] < 8 || t->stride[i] % 8)) return false;
    return true;
}

/* Whether an engine of the library's version takes the graph: what NVIDIA's cudnn-frontend says of attention. */
static bool supported(dnn_graph *g) {
    if (strncmp(g->what, "attention", 9) != 0) return true;
    bool back = g->what[9] != 0, masked = false;
    int64_t tokens = 0, keys = 0;
    for (int k = 0; k < g->n_op; k++) {
        const operation *op = &g->op[k];
        for (int i = 0; i < op->n_operand; i++) {
            const tensor *t = &op->operand[i].t;
            if ((t->type == NUMBER_BF16 || t->type == NUMBER_F16) && !t->is_virtual && !lies_well(t)) return false;
        }
        if (op->kind == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR && !tokens) {
            tokens = dim(op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, -2);
            keys = dim(op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, -1);
        }
        masked = masked || op->mode == CUDNN_POINTWISE_BINARY_SELECT;
    }
    if (!back) return true;
    g->lone = tokens == 1 && keys == 1; /* which it plans, and does not compute */
    return version() >= 91600 || keys % 128 == 0 || masked;
}

static cudnnStatus_t join_operations(descriptor *d) {
    const field *ops = field_of(d, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    dnn_graph *g = calloc(1, sizeof *g);
    g->refs = 1;
    d->graph = g;
    if (!ops || ops->n > OPERATIONS) return CUDNN_STATUS_BAD_PARAM;
    for (int64_t k = 0; k < ops->n; k++) {
        const descriptor *op = linked_at(ops, k);
        if (!op->finalized) return CUDNN_STATUS_BAD_PARAM;
        g->op[g->n_op++] = op->op;
    }
    g->what = kind_of(g);
    return g->what && consistent(g) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

static cudnnStatus_t make_plan(descriptor *d) {
    const descriptor *config = linked(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    cudnnHandle_t handle = (cudnnHandle_t)(void *)linked(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
    int code;
    if (!config || !config->graph || !handle) return CUDNN_STATUS_BAD_PARAM;
    if (emu_valid(&handle->of, "cuDNN's handle") != CUDA_SUCCESS) return CUDNN_STATUS_BAD_PARAM;
    if (emu_fails("plan", CUDNN_STATUS_NOT_SUPPORTED, &code)) return (cudnnStatus_t)code;
    if (emu_capturing) emu_complain("a plan is made while a step is captured");
    d->graph = config->graph;
    d->graph->refs++;
    d->engine = config->engine;
    d->of = handle->of;
    return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t of) {
    EMU_CALL;
    descriptor *d = of;
    cudnnStatus_t code = CUDNN_STATUS_SUCCESS;
    tensor t;
    switch (d->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR: code = take_tensor(d, &t) ? code : CUDNN_STATUS_BAD_PARAM; break;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: code = join_operations(d); break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: code = make_plan(d); break;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR: {
        const descriptor *g = linked(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
        if (!g || !g->graph) return CUDNN_STATUS_BAD_PARAM;
        d->graph = g->graph;
        d->graph->refs++;
        break;
    }
    default: code = take_operation(d) && fits(d) ? code : CUDNN_STATUS_BAD_PARAM; break;
    }
    d->finalized = code == CUDNN_STATUS_SUCCESS;
    return code;
}

/* Two engines: the first works on tensor cores, and in no fixed order. */
EXPORT cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const of, cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t wanted, int64_t *n,
                                              void *values) {
    EMU_CALL;
    (void)type;
    const descriptor *d = of;
    *n = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
        int64_t found = supported(d->graph) ? CONFIGS : 0;
        for (*n = 0; *n < wanted && *n < found; ++*n) {
            descriptor *config = ((descriptor **)values)[*n];
            config->graph = d->graph;
            config->graph->refs++;
            config->engine = (int)*n;
        }
        return CUDNN_STATUS_SUCCESS;
    }
    if (name == CUDNN_ATTR_ENGINECFG_ENGINE) return (*(descriptor **)values)->engine = d->engine, CUDNN_STATUS_SUCCESS;
    if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) {
        const cudnnBackendNumericalNote_t notes[] = {CUDNN_NUMERICAL_NOTE_TENSOR_CORE,
                                                     CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC};
        *n = d->engine == 0 ? 2 : 0;
        return memcpy(values, notes, (size_t)*n * sizeof *notes), CUDNN_STATUS_SUCCESS;
    }
    if (name != CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) return CUDNN_STATUS_BAD_PARAM;
    emu_note("%s plan, engine %d", d->graph->what, d->engine);
    return *(int64_t *)values = WORKSPACE, CUDNN_STATUS_SUCCESS;
}

/* ---- calls ---- */

/* The address of a tensor of the graph, and what is to be said of it. */
static bool place(const char *what, const tensor *t, const descriptor *pack, dnn_place *ret) {
    const field *ids = field_of(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS),
                *at = field_of(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    int64_t k = 0;
    while (k < ids->n && whole(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, k, -1) != t->uid) k++;
    if (k == ids->n) return emu_complain("%s: tensor %d has no address", what, (int)t->uid), false;
    ret->uid = t->uid;
    memcpy(&ret->at, at->bytes + 8 * k, sizeof ret->at);
    CUdeviceptr there = (CUdeviceptr)(uintptr_t)ret->at;
    if (t->by_value) {
        if (emu_inside(there, 1)) return emu_complain("%s: tensor %d is no value", what, (int)t->uid), false;
        ret->value = number_get(ret->at, 0, t->type);
        return true;
    }
    if (!emu_inside(there, (size_t)dnn_span(t) * number_bytes(t->type)))
        return emu_complain("%s: tensor %d leaves its memory", what, (int)t->uid), false;
    if ((uintptr_t)ret->at % (uintptr_t)t->align)
        return emu_complain("%s: tensor %d at %p, no multiple of %d", what, (int)t->uid, ret->at, (int)t->align), false;
    return true;
}

static void drop_run(void *args) { dnn_graph_free(((dnn_run_args *)args)->graph); }

EXPORT cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                         cudnnBackendDescriptor_t addresses) {
    EMU_CALL;
    const descriptor *p = plan, *pack = addresses;
    int code;
    if (emu_valid(&handle->of, "cuDNN's handle") != CUDA_SUCCESS || emu_valid(&p->of, "cuDNN's plan") != CUDA_SUCCESS)
        return CUDNN_STATUS_BAD_PARAM;
    CUstream s = emu_stream(handle->stream);
    if (emu_valid(&s->of, "a stream") != CUDA_SUCCESS) return CUDNN_STATUS_BAD_PARAM;
    if (emu_fails("cudnn", CUDNN_STATUS_EXECUTION_FAILED, &code)) return (cudnnStatus_t)code;
    const field *ids = field_of(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS),
                *at = field_of(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    if (!ids || !at || at->n != ids->n) return CUDNN_STATUS_BAD_PARAM;
    dnn_run_args *run = calloc(1, sizeof *run);
    const char *what = p->graph->what;
    bool ok = true;
    for (int k = 0; ok && k < p->graph->n_op; k++)
        for (int i = 0; ok && i < p->graph->op[k].n_operand; i++) {
            const tensor *t = &p->graph->op[k].operand[i].t;
            int j = 0;
            while (j < run->n_place && run->place[j].uid != t->uid) j++;
            if (t->is_virtual || j < run->n_place) continue;
            ok = place(what, t, pack, &run->place[run->n_place]);
            run->n_place++;
        }
    if (ok && run->n_place != ids->n) {
        emu_complain("%s: %d tensors, %d addresses", what, run->n_place, (int)ids->n);
        ok = false;
    }
    run->work = (void *)linked(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    run->work_bytes = WORKSPACE;
    if (ok && !emu_inside((CUdeviceptr)(uintptr_t)run->work, WORKSPACE)) {
        emu_complain("%s: the workspace leaves its memory", what);
        ok = false;
    }
    if (ok && p->graph->lone) {
        emu_complain("%s: the library computes no backward of one query and one key", what);
        ok = false;
    }
    if (ok) {
        run->graph = p->graph;
        run->graph->refs++;
        run->adds_to_accumulator = version() < 90600;
        emu_note("%s on %d", what, s->number);
        emu_put(s, emu_computing(emu_work(dnn_evaluate, drop_run, run, sizeof *run, s->of.device)));
    }
    free(run);
    return ok ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}
