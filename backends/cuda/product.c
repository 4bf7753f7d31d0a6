/* Matrix products by cuBLASLt: operands as they are stored, sums in f32, the algorithm chosen once, when a call is planned. TF32 only where
 * HEADCT_TF32=1 asks for it. cuBLASLt thinks in columns: a row-major c = a b is its c' = b' a'. */
#include "gpu.h"

#include <stdlib.h>

static cuda_lt lt;
enum { MOST_WORKSPACE = 32 << 20 };

static int library(hct_err *err) {
#define SYMBOL(f) {CUDA_TEXT(f), offsetof(cuda_lt, f)},
    static const cuda_symbol symbols[] = {CUBLASLT_FUNCTIONS(SYMBOL)};
#undef SYMBOL
    static const char *const files[] = {"libcublasLt.so." CUDA_TEXT(CUBLAS_VER_MAJOR), "libcublasLt.so", NULL};
    static int state;
    static hct_err why;
    if (!state) state = cuda_library(files, symbols, sizeof symbols / sizeof *symbols, &lt, &why) ? 1 : -1;
    if (state < 0 && err) *err = why;
    return state == 1;
}

int cuda_lt_open(hct_device *d, hct_err *err) {
    pthread_mutex_lock(&cuda_lock);
    int ok = library(err);
    if (ok && !d->lt) {
        cu->cuCtxSetCurrent(d->context);
        cublasStatus_t code = lt.cublasLtCreate(&d->lt);
        if (code != CUBLAS_STATUS_SUCCESS) {
            d->lt = NULL;
            hct_plugin_fail(err, HCT_NOTIMPL, "cuBLASLt does not start on %s (status %d)", d->name, (int)code);
        }
    }
    pthread_mutex_unlock(&cuda_lock);
    return ok && d->lt;
}

void cuda_lt_close(hct_device *d) {
    if (d->lt) lt.cublasLtDestroy(d->lt);
    d->lt = NULL;
}

void cuda_product_free(cuda_product *p) {
    if (p->desc) lt.cublasLtMatmulDescDestroy(p->desc);
    if (p->a) lt.cublasLtMatrixLayoutDestroy(p->a);
    if (p->b) lt.cublasLtMatrixLayoutDestroy(p->b);
    if (p->c) lt.cublasLtMatrixLayoutDestroy(p->c);
    *p = (cuda_product){0};
}

static cudaDataType type_of(int32_t dtype) { return dtype == HCT_BF16 ? CUDA_R_16BF : dtype == HCT_F16 ? CUDA_R_16F : CUDA_R_32F; }

/* A matrix whose `cols` columns of `rows` lie ld apart. */
static cublasStatus_t layout(cublasLtMatrixLayout_t *ret, cudaDataType type, int64_t rows, int64_t cols, int64_t ld, int64_t batch, int64_t step) {
    int32_t count = (int32_t)batch;
    cublasStatus_t code = lt.cublasLtMatrixLayoutCreate(ret, type, (uint64_t)rows, (uint64_t)cols, ld);
    if (code == CUBLAS_STATUS_SUCCESS && batch > 1) code = lt.cublasLtMatrixLayoutSetAttribute(*ret, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count);
    if (code == CUBLAS_STATUS_SUCCESS && batch > 1)
        code = lt.cublasLtMatrixLayoutSetAttribute(*ret, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step);
    return code;
}

static cublasStatus_t describe(cuda_product *p, const hk_product *g, cudaDataType type, int tf32) {
    cublasComputeType_t compute = type == CUDA_R_32F && tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cublasOperation_t op_a = g->t_b ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = g->t_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cublasStatus_t code = lt.cublasLtMatmulDescCreate(&p->desc, compute, CUDA_R_32F);
    if (code == CUBLAS_STATUS_SUCCESS) code = lt.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a);
    if (code == CUBLAS_STATUS_SUCCESS) code = lt.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b);
    if (code == CUBLAS_STATUS_SUCCESS && g->has_bias) code = lt.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    /* its first operand is our b, stored [k, n] (or [n, k]) by rows, so columns of n (of k) */
    if (code == CUBLAS_STATUS_SUCCESS) code = layout(&p->a, type, g->t_b ? g->k : g->n, g->t_b ? g->n : g->k, g->ld_b, g->batch, g->step_b);
    if (code == CUBLAS_STATUS_SUCCESS) code = layout(&p->b, type, g->t_a ? g->m : g->k, g->t_a ? g->k : g->m, g->ld_a, g->batch, g->step_a);
    if (code == CUBLAS_STATUS_SUCCESS) code = layout(&p->c, type, g->n, g->m, g->ld_c, g->batch, g->step_c);
    return code;
}

static cublasStatus_t prefer(cublasLtMatmulPreference_t preference, const uint32_t align[4]) {
    static const cublasLtMatmulPreferenceAttributes_t of[] = {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                                              CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint64_t most = MOST_WORKSPACE;
    cublasStatus_t code = lt.cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most);
    for (int i = 0; code == CUBLAS_STATUS_SUCCESS && i < 4; i++)
        code = lt.cublasLtMatmulPreferenceSetAttribute(preference, of[i], &align[i < 3 ? i : 2], sizeof *align);
    return code;
}

hct_status cuda_product_plan(hct_device *d, const hk_product *g, int32_t dtype, const uint32_t align[4], cuda_product *ret, hct_err *err) {
    const char *tf32 = getenv("HEADCT_TF32");
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t found;
    int n = 0;
    *ret = (cuda_product){.beta = g->beta};
    cu->cuCtxSetCurrent(d->context);
    cublasStatus_t code = describe(ret, g, type_of(dtype), tf32 && *tf32 == '1');
    if (code == CUBLAS_STATUS_SUCCESS) code = lt.cublasLtMatmulPreferenceCreate(&preference);
    if (code == CUBLAS_STATUS_SUCCESS) code = prefer(preference, align);
    if (code == CUBLAS_STATUS_SUCCESS)
        code = lt.cublasLtMatmulAlgoGetHeuristic(d->lt, ret->desc, ret->a, ret->b, ret->c, ret->c, preference, 1, &found, &n);
    if (preference) lt.cublasLtMatmulPreferenceDestroy(preference);
    if (code == CUBLAS_STATUS_SUCCESS && n > 0 && found.state == CUBLAS_STATUS_SUCCESS) {
        ret->algo = found.algo;
        ret->workspace = found.workspaceSize;
        return HCT_OK;
    }
    cuda_product_free(ret);
    return hct_plugin_fail(err, HCT_NOTIMPL, "cuBLASLt has no algorithm for %lld x %lld x %lld (status %d)", (long long)g->m, (long long)g->n, (long long)g->k,
                           (int)code);
}

hct_status cuda_product_run(hct_stream *s, const cuda_product *p, CUdeviceptr a, CUdeviceptr b, CUdeviceptr c, CUdeviceptr bias, CUdeviceptr work, hct_err *err) {
    const float alpha = 1;
    const void *at = (const void *)(uintptr_t)bias;
    cublasStatus_t code = CUBLAS_STATUS_SUCCESS;
    if (bias) code = lt.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &at, sizeof at);
    if (code == CUBLAS_STATUS_SUCCESS)
        code = lt.cublasLtMatmul(s->device->lt, p->desc, &alpha, (const void *)(uintptr_t)b, p->a, (const void *)(uintptr_t)a, p->b, &p->beta,
                                 (const void *)(uintptr_t)c, p->c, (void *)(uintptr_t)c, p->c, &p->algo, (void *)(uintptr_t)work, p->workspace, (cudaStream_t)s->stream);
    return code == CUBLAS_STATUS_SUCCESS ? HCT_OK : hct_plugin_fail(err, HCT_EDEVICE, "cuBLASLt's product fails (status %d)", (int)code);
}
