/* cuBLASLt and NCCL of the mock driver (mock_driver.c): calls are checked and written down. */
#include "mock.h"

#include <cublasLt.h>
#ifdef HAVE_NCCL
#include <nccl.h>
#endif

#include <stdlib.h>
#include <string.h>

static char handle_of; /* what handles point at */

/* ---- cuBLASLt ---- MOCK_ALGORITHMS: how many are proposed (1); number 2 is the fastest of four, number 0 what the
 * heuristic thinks best. */

typedef struct shape {
    uint64_t rows, cols;
    int64_t ld, batch, step;
    cudaDataType type;
} shape;
typedef struct desc {
    int ta, tb, epilogue;
    const void *bias;
} desc;

static const double algorithm_ms[] = {0.4, 0.3, 0.1, 0.2};
static long algorithms(void) { return mock_number("MOCK_ALGORITHMS", 1); }

EXPORT size_t cublasLtGetVersion(void) { return (size_t)mock_number("MOCK_CUBLASLT", CUBLAS_VERSION); }
EXPORT cublasStatus_t cublasLtCreate(cublasLtHandle_t *h) {
    return *h = (cublasLtHandle_t)(void *)&handle_of, CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) { return (void)h, CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute,
                                               cudaDataType_t scale) {
    if (scale != CUDA_R_32F || (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    mock_note("product with %s", compute == CUBLAS_COMPUTE_32F ? "f32 sums" : "tf32");
    return (*d = calloc(1, sizeof(desc))) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}
EXPORT cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return free(d), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what,
                                                     const void *v, size_t n) {
    desc *x = (desc *)(void *)d;
    if (what == CUBLASLT_MATMUL_DESC_TRANSA) memcpy(&x->ta, v, n);
    else if (what == CUBLASLT_MATMUL_DESC_TRANSB) memcpy(&x->tb, v, n);
    else if (what == CUBLASLT_MATMUL_DESC_EPILOGUE) memcpy(&x->epilogue, v, n);
    else if (what == CUBLASLT_MATMUL_DESC_BIAS_POINTER) memcpy(&x->bias, v, n);
    else return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows,
                                                 uint64_t cols, int64_t ld) {
    shape *s = calloc(1, sizeof *s);
    *s = (shape){rows, cols, ld, 1, 0, type};
    *l = (cublasLtMatrixLayout_t)(void *)s;
    return ld >= (int64_t)rows ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { return free(l), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t what,
                                                       const void *v, size_t n) {
    shape *s = (shape *)(void *)l;
    int32_t count;
    if (what == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT && n == sizeof count) memcpy(&count, v, n), s->batch = count;
    else if (what == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET && n == sizeof s->step) memcpy(&s->step, v, n);
    else return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) {
    return *p = (cublasLtMatmulPreference_t)calloc(1, 8), CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
    return free(p), CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                           cublasLtMatmulPreferenceAttributes_t what, const void *v,
                                                           size_t n) {
    return (void)p, (void)what, (void)v, n == 4 || n == 8 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

/* op(a) [m, k] op(b) [k, n] -> c [m, n], by columns */
static int fits(const desc *d, const shape *a, const shape *b, const shape *c) {
    uint64_t m = d->ta ? a->cols : a->rows, k = d->ta ? a->rows : a->cols, kb = d->tb ? b->cols : b->rows,
             n = d->tb ? b->rows : b->cols;
    return m == c->rows && n == c->cols && k == kb && a->batch == b->batch && a->batch == c->batch &&
           a->type == b->type && a->type == c->type;
}

EXPORT cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d,
                                                     cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to,
                                                     cublasLtMatmulPreference_t p, int want,
                                                     cublasLtMatmulHeuristicResult_t *found, int *n) {
    (void)h, (void)p, (void)to;
    if (mock_capturing() || want < 1 ||
        !fits((desc *)(void *)d, (shape *)(void *)a, (shape *)(void *)b, (shape *)(void *)c))
        return CUBLAS_STATUS_INVALID_VALUE;
    memset(found, 0, (size_t)want * sizeof *found);
    for (*n = 0; *n < want && *n < algorithms(); ++*n) {
        found[*n].algo.data[0] = (uint64_t)*n;
        found[*n].workspaceSize = 4096 * ((size_t)*n + 1);
    }
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t to, const cublasLtMatmulAlgo_t *algo,
                                              cublasLtMatmulHeuristicResult_t *ret) {
    (void)h, (void)to;
    if (algo->data[0] >= (uint64_t)algorithms() ||
        !fits((desc *)(void *)d, (shape *)(void *)a, (shape *)(void *)b, (shape *)(void *)c))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    memset(ret, 0, sizeof *ret);
    ret->algo = *algo;
    ret->workspaceSize = 4096 * (algo->data[0] + 1);
    return CUBLAS_STATUS_SUCCESS;
}

static uint64_t bytes_of(const shape *s) {
    uint64_t size = s->type == CUDA_R_32F ? 4 : 2;
    return ((uint64_t)((s->batch - 1) * s->step) + (uint64_t)s->ld * (s->cols - 1) + s->rows) * size;
}

EXPORT cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha, const void *a,
                                     cublasLtMatrixLayout_t la, const void *b, cublasLtMatrixLayout_t lb,
                                     const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *to,
                                     cublasLtMatrixLayout_t lto, const cublasLtMatmulAlgo_t *algo, void *work,
                                     size_t work_bytes, cudaStream_t stream) {
    (void)h, (void)lto;
    const desc *x = (desc *)(void *)d;
    const shape *sa = (shape *)(void *)la, *sb = (shape *)(void *)lb, *sc = (shape *)(void *)lc;
    const struct {
        const void *p;
        uint64_t n;
    } used[] = {
        {a, bytes_of(sa)}, {b, bytes_of(sb)}, {c, bytes_of(sc)}, {to, bytes_of(sc)}, {work, work_bytes},
    };
    for (int i = 0; i < 5; i++)
        if (!mock_inside((CUdeviceptr)(uintptr_t)used[i].p, used[i].n))
            return mock_note("product: operand %d leaves its memory", i), CUBLAS_STATUS_INVALID_VALUE;
    if (x->epilogue == CUBLASLT_EPILOGUE_BIAS &&
        !mock_inside((CUdeviceptr)(uintptr_t)x->bias, sc->rows * (sc->type == CUDA_R_32F ? 4 : 2)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (*(const float *)alpha != 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (work_bytes < 4096 * (algo->data[0] + 1))
        return mock_note("product: the workspace is too small for its algorithm"), CUBLAS_STATUS_INVALID_VALUE;
    mock_clock += algorithm_ms[algo->data[0] % 4];
    mock_note("matmul %llu x %llu x %lld%s beta %g algorithm %d on %d", (unsigned long long)sc->cols,
              (unsigned long long)sc->rows, (long long)sc->batch, x->epilogue == CUBLASLT_EPILOGUE_BIAS ? " bias" : "",
              (double)*(const float *)beta, (int)algo->data[0], ((CUstream)stream)->number);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- NCCL ---- */

#ifdef HAVE_NCCL
static int group;
EXPORT ncclResult_t ncclGetVersion(int *v) { return *v = NCCL_VERSION_CODE, ncclSuccess; }
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
EXPORT ncclResult_t ncclAllReduce(const void *from, void *to, size_t n, ncclDataType_t type, ncclRedOp_t op,
                                  ncclComm_t c, cudaStream_t s) {
    (void)c;
    size_t size = type == ncclFloat32 ? 4 : type == ncclFloat64 ? 8 : 2;
    if (from != to || !mock_inside((CUdeviceptr)(uintptr_t)to, n * size) || !group) return ncclInvalidUsage;
    return mock_note("exchange %zu%s on %d", n, op == ncclAvg ? " mean" : "", ((CUstream)s)->number), ncclSuccess;
}
EXPORT const char *ncclGetErrorString(ncclResult_t code) {
    return code == ncclRemoteError ? "remote process exited or there was a network error" : "an error";
}
#endif
