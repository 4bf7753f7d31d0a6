/* cuBLASLt, cuDNN's attention and NCCL of the mock driver (mock_driver.c): calls are checked and written down. */
#include "mock.h"

#include <cublasLt.h>
#ifdef HAVE_CUDNN
#include <cudnn.h>
#endif
#ifdef HAVE_NCCL
#include <nccl.h>
#endif

#include <stdlib.h>
#include <string.h>

static char handle_of; /* what handles point at */

/* ---- cuBLASLt ----
 * MOCK_ALGORITHMS: how many are proposed (1); number 2 is the fastest of four, number 0 what the heuristic thinks best. */

typedef struct shape { uint64_t rows, cols; int64_t ld, batch, step; cudaDataType type; } shape;
typedef struct desc { int ta, tb, epilogue; const void *bias; } desc;

static const double algorithm_ms[] = {0.4, 0.3, 0.1, 0.2};
static long algorithms(void) { return mock_number("MOCK_ALGORITHMS", 1); }

EXPORT size_t cublasLtGetVersion(void) { return (size_t)mock_number("MOCK_CUBLASLT", CUBLAS_VERSION); }
EXPORT cublasStatus_t cublasLtCreate(cublasLtHandle_t *h) { return *h = (cublasLtHandle_t)(void *)&handle_of, CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) { return (void)h, CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale) {
    if (scale != CUDA_R_32F || (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32)) return CUBLAS_STATUS_NOT_SUPPORTED;
    mock_note("product with %s", compute == CUBLAS_COMPUTE_32F ? "f32 sums" : "tf32");
    return (*d = calloc(1, sizeof(desc))) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}
EXPORT cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return free(d), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what, const void *v, size_t n) {
    desc *x = (desc *)(void *)d;
    if (what == CUBLASLT_MATMUL_DESC_TRANSA) memcpy(&x->ta, v, n);
    else if (what == CUBLASLT_MATMUL_DESC_TRANSB) memcpy(&x->tb, v, n);
    else if (what == CUBLASLT_MATMUL_DESC_EPILOGUE) memcpy(&x->epilogue, v, n);
    else if (what == CUBLASLT_MATMUL_DESC_BIAS_POINTER) memcpy(&x->bias, v, n);
    else return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld) {
    shape *s = calloc(1, sizeof *s);
    *s = (shape){rows, cols, ld, 1, 0, type};
    *l = (cublasLtMatrixLayout_t)(void *)s;
    return ld >= (int64_t)rows ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { return free(l), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t what, const void *v, size_t n) {
    shape *s = (shape *)(void *)l;
    int32_t count;
    if (what == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT && n == sizeof count) memcpy(&count, v, n), s->batch = count;
    else if (what == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET && n == sizeof s->step) memcpy(&s->step, v, n);
    else return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) { return *p = (cublasLtMatmulPreference_t)calloc(1, 8), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { return free(p), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t what, const void *v, size_t n) {
    return (void)p, (void)what, (void)v, n == 4 || n == 8 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

/* op(a) [m, k] op(b) [k, n] -> c [m, n], by columns */
static int fits(const desc *d, const shape *a, const shape *b, const shape *c) {
    uint64_t m = d->ta ? a->cols : a->rows, k = d->ta ? a->rows : a->cols, kb = d->tb ? b->cols : b->rows, n = d->tb ? b->rows : b->cols;
    return m == c->rows && n == c->cols && k == kb && a->batch == b->batch && a->batch == c->batch && a->type == b->type && a->type == c->type;
}

EXPORT cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to, cublasLtMatmulPreference_t p, int want,
                                                     cublasLtMatmulHeuristicResult_t *found, int *n) {
    (void)h, (void)p, (void)to;
    if (mock_capturing() || want < 1 || !fits((desc *)(void *)d, (shape *)(void *)a, (shape *)(void *)b, (shape *)(void *)c)) return CUBLAS_STATUS_INVALID_VALUE;
    memset(found, 0, (size_t)want * sizeof *found);
    for (*n = 0; *n < want && *n < algorithms(); ++*n) {
        found[*n].algo.data[0] = (uint64_t)*n;
        found[*n].workspaceSize = 4096 * ((size_t)*n + 1);
    }
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t to, const cublasLtMatmulAlgo_t *algo, cublasLtMatmulHeuristicResult_t *ret) {
    (void)h, (void)to;
    if (algo->data[0] >= (uint64_t)algorithms() || !fits((desc *)(void *)d, (shape *)(void *)a, (shape *)(void *)b, (shape *)(void *)c)) return CUBLAS_STATUS_NOT_SUPPORTED;
    memset(ret, 0, sizeof *ret);
    ret->algo = *algo;
    ret->workspaceSize = 4096 * (algo->data[0] + 1);
    return CUBLAS_STATUS_SUCCESS;
}

static uint64_t bytes_of(const shape *s) {
    uint64_t size = s->type == CUDA_R_32F ? 4 : 2;
    return ((uint64_t)((s->batch - 1) * s->step) + (uint64_t)s->ld * (s->cols - 1) + s->rows) * size;
}

EXPORT cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha, const void *a, cublasLtMatrixLayout_t la, const void *b,
                                     cublasLtMatrixLayout_t lb, const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *to, cublasLtMatrixLayout_t lto,
                                     const cublasLtMatmulAlgo_t *algo, void *work, size_t work_bytes, cudaStream_t stream) {
    (void)h, (void)lto;
    const desc *x = (desc *)(void *)d;
    const shape *sa = (shape *)(void *)la, *sb = (shape *)(void *)lb, *sc = (shape *)(void *)lc;
    const struct { const void *p; uint64_t n; } used[] = {{a, bytes_of(sa)}, {b, bytes_of(sb)}, {c, bytes_of(sc)}, {to, bytes_of(sc)}, {work, work_bytes}};
    for (int i = 0; i < 5; i++)
        if (!mock_inside((CUdeviceptr)(uintptr_t)used[i].p, used[i].n)) return mock_note("product: operand %d leaves its memory", i), CUBLAS_STATUS_INVALID_VALUE;
    if (x->epilogue == CUBLASLT_EPILOGUE_BIAS && !mock_inside((CUdeviceptr)(uintptr_t)x->bias, sc->rows * (sc->type == CUDA_R_32F ? 4 : 2))) return CUBLAS_STATUS_INVALID_VALUE;
    if (*(const float *)alpha != 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (work_bytes < 4096 * (algo->data[0] + 1)) return mock_note("product: the workspace is too small for its algorithm"), CUBLAS_STATUS_INVALID_VALUE;
    mock_clock += algorithm_ms[algo->data[0] % 4];
    mock_note("matmul %llu x %llu x %lld%s beta %g algorithm %d on %d", (unsigned long long)sc->cols, (unsigned long long)sc->rows, (long long)sc->batch,
         x->epilogue == CUBLASLT_EPILOGUE_BIAS ? " bias" : "", (double)*(const float *)beta, (int)algo->data[0], ((CUstream)stream)->number);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- cuDNN: graphs of one attention node ---- */

#ifdef HAVE_CUDNN
enum { FIELDS = 16, VALUES = 16 };
typedef struct field { int name; int64_t n; char bytes[VALUES * 8]; } field;
typedef struct descriptor { int type, finalized, fields, backward; field at[FIELDS]; } descriptor;
static CUstream dnn_stream;

static const field *field_of(const descriptor *d, int name) {
    for (int i = 0; i < d->fields; i++)
        if (d->at[i].name == name) return &d->at[i];
    return NULL;
}
static descriptor *linked(const descriptor *d, int name) {
    const field *f = field_of(d, name);
    descriptor *to = NULL;
    if (f) memcpy(&to, f->bytes, sizeof to);
    return to;
}

EXPORT size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
EXPORT const char *cudnnGetErrorString(cudnnStatus_t code) { return code == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_BAD_PARAM"; }
EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t *h) { return *h = (cudnnHandle_t)(void *)&dnn_stream, CUDNN_STATUS_SUCCESS; }
EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s) { return (void)h, dnn_stream = (CUstream)s, CUDNN_STATUS_SUCCESS; }
/* MOCK_CUDNN=old: a version without the node. */
EXPORT cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *ret) {
    const char *old = getenv("MOCK_CUDNN");
    if (old && (type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR || type == CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR)) return CUDNN_STATUS_NOT_SUPPORTED;
    descriptor *d = calloc(1, sizeof *d);
    d->type = (int)type;
    *ret = d;
    return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) { return free(d), CUDNN_STATUS_SUCCESS; }
EXPORT cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n, const void *v) {
    descriptor *d = to;
    size_t size = type == CUDNN_TYPE_BOOLEAN ? 1 : type == CUDNN_TYPE_DATA_TYPE || type == CUDNN_TYPE_HEUR_MODE ? 4 : 8;
    if (!d || d->finalized || d->fields == FIELDS || n > VALUES) return CUDNN_STATUS_BAD_PARAM;
    d->at[d->fields].name = (int)name;
    d->at[d->fields].n = n;
    memcpy(d->at[d->fields++].bytes, v, (size_t)n * size);
    return CUDNN_STATUS_SUCCESS;
}

/* dims or strides of a linked tensor */
static const int64_t *numbers(const descriptor *op, int tensor, int what) {
    static const int64_t none[4] = {-1, -1, -1, -1};
    const descriptor *t = linked(op, tensor);
    const field *f = t && t->finalized ? field_of(t, what) : NULL;
    return f && f->n == 4 ? (const int64_t *)(const void *)f->bytes : none;
}

static int attention_fits(const descriptor *d, int back) {
    const int dims = CUDNN_ATTR_TENSOR_DIMENSIONS;
    const int64_t *q = numbers(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, dims);
    const int64_t *k = numbers(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, dims);
    const int64_t *o = numbers(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC : CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, dims);
    const int64_t *l = numbers(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, dims);
    if (!linked(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC)) return 0;
    if (q[3] != k[3] || q[0] != k[0] || q[1] != k[1] || memcmp(q, o, 4 * sizeof *q) != 0 || l[0] != q[0] || l[1] != q[1] || l[2] != q[2] || l[3] != 1) return 0;
    return !back || (!memcmp(q, numbers(d, CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, dims), 4 * sizeof *q) &&
                     !memcmp(k, numbers(d, CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, dims), 4 * sizeof *k) &&
                     !memcmp(k, numbers(d, CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, dims), 4 * sizeof *k) &&
                     !memcmp(q, numbers(d, CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, dims), 4 * sizeof *q));
}

EXPORT cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t to) {
    descriptor *d = to, *from = NULL;
    d->finalized = 1;
    if (d->type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR || d->type == CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR) {
        d->backward = d->type == CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR;
        return attention_fits(d, d->backward) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
    }
    if (d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) from = linked(d, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    if (d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) from = linked(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) from = linked(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    if (from) d->backward = from->backward;
    return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const of, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t want, int64_t *n,
                                              void *v) {
    (void)type, (void)want;
    const descriptor *d = of;
    *n = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) return (*(descriptor **)v)->backward = d->backward, CUDNN_STATUS_SUCCESS;
    if (name != CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) return CUDNN_STATUS_BAD_PARAM;
    mock_note("attention plan%s", d->backward ? ".bwd" : "");
    return *(int64_t *)v = 12345, CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    (void)h;
    const descriptor *p = plan;
    const field *ids = field_of(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS), *at = field_of(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    const field *work = field_of(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    void *where;
    if (!ids || !at || !work || ids->n != (p->backward ? 10 : 6) || at->n != ids->n) return CUDNN_STATUS_BAD_PARAM;
    for (int64_t i = 0; i < at->n - 1; i++) { /* the last one is the scale, on the host */
        memcpy(&where, at->bytes + 8 * i, sizeof where);
        if (!mock_inside((CUdeviceptr)(uintptr_t)where, 16)) return mock_note("attention: operand %d is no device memory", (int)i), CUDNN_STATUS_BAD_PARAM;
    }
    memcpy(&where, work->bytes, sizeof where);
    if (!mock_inside((CUdeviceptr)(uintptr_t)where, 12345)) return mock_note("attention: the workspace leaves its memory"), CUDNN_STATUS_BAD_PARAM;
    mock_note("attention%s on %d", p->backward ? ".bwd" : "", dnn_stream->number);
    return CUDNN_STATUS_SUCCESS;
}
#endif

/* ---- NCCL ---- */

#ifdef HAVE_NCCL
static int group;
EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId *id) { return memset(id, 7, sizeof *id), ncclSuccess; }
EXPORT ncclResult_t ncclCommInitRank(ncclComm_t *c, int ranks, ncclUniqueId id, int rank) {
    if (id.internal[5] != 7) return ncclInvalidArgument; /* what rank 0 made must have reached this rank */
    *c = (ncclComm_t)(void *)&group;
    return mock_note("rank %d of %d", rank, ranks), ncclSuccess;
}
EXPORT ncclResult_t ncclCommAbort(ncclComm_t c) { return (void)c, mock_note("abort"), ncclSuccess; }
/* MOCK_LOST: after so many questions another rank is gone. */
EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state) {
    static long asked;
    (void)c;
    *state = mock_number("MOCK_LOST", 0) && ++asked > mock_number("MOCK_LOST", 0) ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}
EXPORT ncclResult_t ncclGroupStart(void) { return group++, ncclSuccess; }
EXPORT ncclResult_t ncclGroupEnd(void) { return group--, ncclSuccess; }
EXPORT ncclResult_t ncclAllReduce(const void *from, void *to, size_t n, ncclDataType_t type, ncclRedOp_t op, ncclComm_t c, cudaStream_t s) {
    (void)c;
    size_t size = type == ncclFloat32 ? 4 : type == ncclFloat64 ? 8 : 2;
    if (from != to || !mock_inside((CUdeviceptr)(uintptr_t)to, n * size) || !group) return ncclInvalidUsage;
    return mock_note("exchange %zu%s on %d", n, op == ncclAvg ? " mean" : "", ((CUstream)s)->number), ncclSuccess;
}
EXPORT const char *ncclGetErrorString(ncclResult_t code) { return code == ncclRemoteError ? "remote process exited or there was a network error" : "an error"; }
#endif
