/* Matrix products by cuBLASLt: operands as they are stored, sums in f32, the algorithm chosen once, when a call is
 * planned: what `headct bench --tune` found fastest on this card (HEADCT_TUNE set: found now), else the heuristic's
 * first. TF32 only where HEADCT_TF32=1 asks for it; parts of a long sum are added up in f32 too, unless
 * HEADCT_SPLIT_SUMS=1 lets them be rounded to the result's type before (faster for few rows, less exact). cuBLASLt
 * thinks in columns: a row-major c = a b is its c' = b' a'. */
#include "gpu.h"

#include <stdlib.h>
#include <string.h>

cuda_lt lt;
enum { MOST_WORKSPACE = 32 << 20, CANDIDATES = 16 };

static int is_set(const char *name) {
    const char *text = getenv(name);
    return text && *text == '1';
}

static int library(hct_err *err) {
#define SYMBOL(ret, name, args) CUDA_SYMBOL(cuda_lt, name),
    static const cuda_symbol symbols[] = {NV_CUBLASLT(SYMBOL)};
#undef SYMBOL
    static int state;
    static hct_err why;
    if (!state) state = cuda_library(CUDA_CUBLASLT, symbols, sizeof symbols / sizeof *symbols, &lt, &why) ? 1 : -1;
    if (state < 0 && err) *err = why;
    return state == 1;
}

int cuda_lt_open(hct_device *d, hct_err *err) {
    pthread_mutex_lock(&cuda_lock);
    int ok = library(err);
    if (ok && !d->lt) {
        cuda_enter(d);
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
    cuda_choices_close(d);
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

static cudaDataType type_of(int32_t dtype) {
    return dtype == HCT_BF16 ? CUDA_R_16BF : dtype == HCT_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* A matrix whose `cols` columns of `rows` lie ld apart. */
static cublasStatus_t layout(cublasLtMatrixLayout_t *ret, cudaDataType type, int64_t rows, int64_t cols, int64_t ld,
                             int64_t batch, int64_t step) {
    int32_t count = (int32_t)batch;
    cublasStatus_t code = lt.cublasLtMatrixLayoutCreate(ret, type, (uint64_t)rows, (uint64_t)cols, ld);
    if (code == CUBLAS_STATUS_SUCCESS && batch > 1)
        code = lt.cublasLtMatrixLayoutSetAttribute(*ret, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count);
    if (code == CUBLAS_STATUS_SUCCESS && batch > 1)
        code =
            lt.cublasLtMatrixLayoutSetAttribute(*ret, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step);
    return code;
}

/* bias_align: bytes that divide the bias's place. The library looks at the pointer when it chooses, so that it has to
 * have one by then: one that is aligned alike stands in until the call is run. */
static cublasStatus_t describe(cuda_product *p, const hk_product *g, cudaDataType type, int tf32, uint32_t bias_align) {
    const void *stands_in = (const void *)(uintptr_t)(4096 + bias_align);
    cudaDataType result = g->wide ? CUDA_R_32F : type;
    cublasComputeType_t compute = type == CUDA_R_32F && tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cublasOperation_t op_a = g->t_b ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = g->t_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cublasStatus_t code = lt.cublasLtMatmulDescCreate(&p->desc, compute, CUDA_R_32F);
    if (code == CUBLAS_STATUS_SUCCESS)
        code = lt.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a);
    if (code == CUBLAS_STATUS_SUCCESS)
        code = lt.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b);
    if (code == CUBLAS_STATUS_SUCCESS && g->has_bias)
        code = lt.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (code == CUBLAS_STATUS_SUCCESS && g->has_bias)
        code =
            lt.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &stands_in, sizeof stands_in);
    /* its first operand is our b, stored [k, n] (or [n, k]) by rows, so columns of n (of k) */
    if (code == CUBLAS_STATUS_SUCCESS)
        code = layout(&p->a, type, g->t_b ? g->k : g->n, g->t_b ? g->n : g->k, g->ld_b, g->batch, g->step_b);
    if (code == CUBLAS_STATUS_SUCCESS)
        code = layout(&p->b, type, g->t_a ? g->m : g->k, g->t_a ? g->k : g->m, g->ld_a, g->batch, g->step_a);
    if (code == CUBLAS_STATUS_SUCCESS) code = layout(&p->c, result, g->n, g->m, g->ld_c, g->batch, g->step_c);
    return code;
}

static cublasStatus_t prefer(cublasLtMatmulPreference_t preference, const uint32_t align[4]) {
    static const cublasLtMatmulPreferenceAttributes_t of[] = {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                                              CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                                              CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                                                              CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint64_t most = MOST_WORKSPACE;
    uint32_t schemes =
        is_set("HEADCT_SPLIT_SUMS") ? CUBLASLT_REDUCTION_SCHEME_MASK : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    cublasStatus_t code = lt.cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                                  &most, sizeof most);
    if (code == CUBLAS_STATUS_SUCCESS)
        code = lt.cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                                                       sizeof schemes);
    for (int i = 0; code == CUBLAS_STATUS_SUCCESS && i < 4; i++)
        code = lt.cublasLtMatmulPreferenceSetAttribute(preference, of[i], &align[i < 3 ? i : 2], sizeof *align);
    return code;
}

static void key_of(int64_t key[CUDA_CHOICE_KEY], const hk_product *g, int32_t dtype, int tf32,
                   const uint32_t align[4]) {
    const int64_t all[CUDA_CHOICE_KEY] = {dtype,       tf32,
                                          g->m,        g->n,
                                          g->k,        g->batch,
                                          g->ld_a,     g->ld_b,
                                          g->ld_c,     g->step_a,
                                          g->step_b,   g->step_c,
                                          g->t_a,      g->t_b,
                                          g->has_bias, g->beta != 0,
                                          align[0],    align[1],
                                          align[2],    align[3],
                                          g->wide,     is_set("HEADCT_SPLIT_SUMS")};
    memcpy(key, all, sizeof all);
}

/* The algorithm that is kept for the key, if this cuBLASLt still takes it. */
static int take_kept(hct_device *d, const int64_t key[CUDA_CHOICE_KEY], cuda_product *p) {
    cublasLtMatmulAlgo_t algo;
    cublasLtMatmulHeuristicResult_t checked;
    if (!cuda_choice_find(d, key, &algo)) return 0;
    if (lt.cublasLtMatmulAlgoCheck(d->lt, p->desc, p->a, p->b, p->c, p->c, &algo, &checked) != CUBLAS_STATUS_SUCCESS ||
        checked.workspaceSize > MOST_WORKSPACE)
        return 0;
    p->algo = algo;
    p->workspace = checked.workspaceSize;
    return 1;
}

/* The proposals of the heuristic, the likeliest first. */
static cublasStatus_t propose(hct_device *d, const cuda_product *p, const uint32_t align[4], int want,
                              cublasLtMatmulHeuristicResult_t *found, int *ret_n) {
    cublasLtMatmulPreference_t preference = NULL;
    *ret_n = 0;
    cublasStatus_t code = lt.cublasLtMatmulPreferenceCreate(&preference);
    if (code == CUBLAS_STATUS_SUCCESS) code = prefer(preference, align);
    if (code == CUBLAS_STATUS_SUCCESS)
        code =
            lt.cublasLtMatmulAlgoGetHeuristic(d->lt, p->desc, p->a, p->b, p->c, p->c, preference, want, found, ret_n);
    if (preference) lt.cublasLtMatmulPreferenceDestroy(preference);
    return code;
}

hct_status cuda_product_plan(hct_device *d, const hk_product *g, int32_t dtype, const uint32_t align[4],
                             cuda_product *ret, hct_err *err) {
    const char *tune = getenv("HEADCT_TUNE");
    int fast = is_set("HEADCT_TF32"), search = tune && *tune, n = 0;
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int64_t key[CUDA_CHOICE_KEY];
    *ret = (cuda_product){.beta = g->beta};
    cuda_enter(d);
    cublasStatus_t code = describe(ret, g, type_of(dtype), fast, align[3]);
    key_of(key, g, dtype, fast, align);
    if (code == CUBLAS_STATUS_SUCCESS && take_kept(d, key, ret)) return HCT_OK;
    if (code == CUBLAS_STATUS_SUCCESS) code = propose(d, ret, align, search ? CANDIDATES : 1, found, &n);
    if (code == CUBLAS_STATUS_SUCCESS && n > 0 && found[0].state == CUBLAS_STATUS_SUCCESS) {
        int best = search ? cuda_product_search(d, g, dtype, ret, found, n) : -1;
        ret->algo = found[best < 0 ? 0 : best].algo;
        ret->workspace = found[best < 0 ? 0 : best].workspaceSize;
        if (best >= 0) cuda_choice_keep(d, key, &ret->algo);
        return HCT_OK;
    }
    cuda_product_free(ret);
    return hct_plugin_fail(err, HCT_NOTIMPL, "cuBLASLt has no algorithm for %lld x %lld x %lld (status %d)",
                           (long long)g->m, (long long)g->n, (long long)g->k, (int)code);
}

cublasStatus_t cuda_product_enqueue(cublasLtHandle_t handle, CUstream stream, const cuda_product *p, CUdeviceptr a,
                                    CUdeviceptr b, CUdeviceptr c, CUdeviceptr bias, CUdeviceptr work) {
    const float alpha = 1;
    const void *at = (const void *)(uintptr_t)bias;
    cublasStatus_t code = CUBLAS_STATUS_SUCCESS;
    if (bias) code = lt.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &at, sizeof at);
    if (code != CUBLAS_STATUS_SUCCESS) return code;
    return lt.cublasLtMatmul(handle, p->desc, &alpha, (const void *)(uintptr_t)b, p->a, (const void *)(uintptr_t)a,
                             p->b, &p->beta, (const void *)(uintptr_t)c, p->c, (void *)(uintptr_t)c, p->c, &p->algo,
                             (void *)(uintptr_t)work, p->workspace, (cudaStream_t)stream);
}

hct_status cuda_product_run(hct_stream *s, const cuda_product *p, CUdeviceptr a, CUdeviceptr b, CUdeviceptr c,
                            CUdeviceptr bias, CUdeviceptr work, hct_err *err) {
    cublasStatus_t code = cuda_product_enqueue(s->device->lt, s->stream, p, a, b, c, bias, work);
    return code == CUBLAS_STATUS_SUCCESS
               ? HCT_OK
               : hct_plugin_fail(err, HCT_EDEVICE, "cuBLASLt's product fails (status %d)", (int)code);
}
