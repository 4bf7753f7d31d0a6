/* cuBLASLt: products of what descriptors and layouts say, in double, rounded once. It refuses what the real one
 * refuses, and an algorithm relies on the alignment that the heuristic was told. Algorithms are four numbers of
 * different speed (EMU_ALGORITHMS says how many are proposed; number 2 is the fastest of four, number 0 what the
 * heuristic thinks best) and a way of adding up: where the result is 16 bits wide, sums are long and the reduction
 * schemes allow it, in two parts that are rounded to 16 bits, as the real one's split sums may be.
 *
 * An algorithm's words: [0] its number, [1..5] the alignment it relies on of A, B, C, D and the bias, [6] whether it
 * rounds parts. */
#include "device.h"

#include <stdlib.h>
#include <string.h>

enum { SPLIT_FROM = 256, WORKSPACE = 4096, WORKSPACE_ALIGN = 256, ANY = 256 };
enum { A, B, C, D, BIAS, OPERANDS };

struct cublasLtContext {
    owner of;
};
struct cublasLtMatmulDescOpaque_t {
    cublasComputeType_t compute;
    int32_t ta, tb, epilogue;
    const void *bias;
};
struct cublasLtMatrixLayoutOpaque_t {
    uint64_t rows, cols;
    int64_t ld, step;
    int32_t batch;
    cudaDataType type;
};
struct cublasLtMatmulPreferenceOpaque_t {
    uint32_t align[4], schemes;
};
typedef struct cublasLtMatmulDescOpaque_t desc;
typedef struct cublasLtMatrixLayoutOpaque_t layout;
typedef struct cublasLtMatmulPreferenceOpaque_t preference;

static const double algorithm_ms[] = {0.4, 0.3, 0.1, 0.2};
static long algorithms(void) { return emu_number("EMU_ALGORITHMS", 1); }

static number number_of(cudaDataType t) {
    return t == CUDA_R_32F ? NUMBER_F32 : t == CUDA_R_16F ? NUMBER_F16 : NUMBER_BF16;
}

EXPORT size_t cublasLtGetVersion(void) { return (size_t)emu_number("EMU_CUBLASLT", 130100); }

EXPORT cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    EMU_CALL;
    owner of;
    if (emu_current(&of) != CUDA_SUCCESS) return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = calloc(1, sizeof **handle);
    (*handle)->of = of;
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    EMU_CALL;
    CUresult code = emu_valid(&handle->of, "cuBLASLt's handle");
    free(handle);
    return code == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

/* ---- descriptions ---- */

EXPORT cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *ret, cublasComputeType_t compute,
                                               cudaDataType scale) {
    EMU_CALL;
    if (scale != CUDA_R_32F || (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    emu_note("product with %s", compute == CUBLAS_COMPUTE_32F ? "f32 sums" : "tf32");
    *ret = calloc(1, sizeof **ret);
    (*ret)->compute = compute;
    (*ret)->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return free(d), CUBLAS_STATUS_SUCCESS; }

static cublasStatus_t take(void *to, size_t want, const void *value, size_t bytes) {
    if (bytes != want) return CUBLAS_STATUS_INVALID_VALUE;
    return memcpy(to, value, bytes), CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t which,
                                                     const void *value, size_t bytes) {
    switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return take(&d->ta, sizeof d->ta, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return take(&d->tb, sizeof d->tb, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return take(&d->epilogue, sizeof d->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return take(&d->bias, sizeof d->bias, value, bytes);
    default: return CUBLAS_STATUS_INVALID_VALUE;
    }
}

EXPORT cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *ret, cudaDataType type, uint64_t rows,
                                                 uint64_t cols, int64_t ld) {
    EMU_CALL;
    if (!rows || !cols || ld < (int64_t)rows || (type != CUDA_R_32F && type != CUDA_R_16F && type != CUDA_R_16BF)) {
        emu_complain("a matrix of %llu x %llu, %lld apart", (unsigned long long)rows, (unsigned long long)cols,
                     (long long)ld);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    *ret = calloc(1, sizeof **ret);
    **ret = (layout){rows, cols, ld, 0, 1, type};
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { return free(l), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t which,
                                                       const void *value, size_t bytes) {
    if (which == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return take(&l->batch, sizeof l->batch, value, bytes);
    if (which == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET) return take(&l->step, sizeof l->step, value, bytes);
    return CUBLAS_STATUS_INVALID_VALUE;
}

EXPORT cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *ret) {
    *ret = calloc(1, sizeof **ret);
    **ret = (preference){{ANY, ANY, ANY, ANY}, CUBLASLT_REDUCTION_SCHEME_MASK};
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
    return free(p), CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                           cublasLtMatmulPreferenceAttributes_t which,
                                                           const void *value, size_t bytes) {
    uint64_t most;
    int i = (int)which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
    if (i >= 0 && i < 4) return take(&p->align[i], sizeof p->align[i], value, bytes);
    if (which == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) return take(&p->schemes, sizeof p->schemes, value, bytes);
    if (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return take(&most, sizeof most, value, bytes);
    return CUBLAS_STATUS_INVALID_VALUE;
}

/* ---- algorithms ---- */

/* op(a) [m, k] op(b) [k, n] -> d [m, n], by columns; the combinations of types that its table has for sums in F32. */
static cublasStatus_t fits(const desc *x, const layout *a, const layout *b, const layout *c, const layout *d) {
    uint64_t m = x->ta ? a->cols : a->rows, k = x->ta ? a->rows : a->cols, kb = x->tb ? b->cols : b->rows,
             n = x->tb ? b->rows : b->cols;
    if (m != d->rows || n != d->cols || k != kb || a->batch != b->batch || a->batch != d->batch || c->rows != d->rows ||
        c->cols != d->cols || c->batch != d->batch || c->ld != d->ld) {
        emu_complain("a product of %llu x %llu and %llu x %llu into %llu x %llu", (unsigned long long)m,
                     (unsigned long long)k, (unsigned long long)kb, (unsigned long long)n, (unsigned long long)d->rows,
                     (unsigned long long)d->cols);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (a->type != b->type || c->type != d->type || (d->type != a->type && d->type != CUDA_R_32F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (x->epilogue != CUBLASLT_EPILOGUE_DEFAULT && x->epilogue != CUBLASLT_EPILOGUE_BIAS)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (x->compute == CUBLAS_COMPUTE_32F_FAST_TF32 && a->type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

static void algorithm(const desc *x, const layout *a, const layout *d, const preference *p, uint64_t which,
                      cublasLtMatmulHeuristicResult_t *ret) {
    uint64_t k = x->ta ? a->rows : a->cols;
    uintptr_t bias = (uintptr_t)x->bias | 16; /* no bias yet: it relies on what usual ones have */
    memset(ret, 0, sizeof *ret);
    ret->algo.data[0] = which;
    for (int i = 0; i < 4; i++) ret->algo.data[1 + i] = p->align[i] < 16 ? p->align[i] : 16;
    ret->algo.data[1 + BIAS] = x->epilogue == CUBLASLT_EPILOGUE_BIAS ? bias & -bias : 1;
    ret->algo.data[6] = d->type != CUDA_R_32F && k >= SPLIT_FROM && p->schemes & CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    ret->workspaceSize = WORKSPACE * (size_t)(which + 1);
}

EXPORT cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t x,
                                                     cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                                     cublasLtMatmulPreference_t p, int wanted,
                                                     cublasLtMatmulHeuristicResult_t result[], int *n) {
    EMU_CALL;
    int code;
    *n = 0;
    if (emu_valid(&handle->of, "cuBLASLt's handle") != CUDA_SUCCESS) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (emu_capturing) emu_complain("algorithms are asked for while a step is captured");
    if (emu_fails("heuristic", CUBLAS_STATUS_NOT_SUPPORTED, &code)) return (cublasStatus_t)code;
    cublasStatus_t status = wanted < 1 ? CUBLAS_STATUS_INVALID_VALUE : fits(x, a, b, c, d);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    for (; *n < wanted && *n < algorithms(); ++*n) algorithm(x, a, d, p, (uint64_t)*n, &result[*n]);
    return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t x, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algo,
                                              cublasLtMatmulHeuristicResult_t *result) {
    EMU_CALL;
    uintptr_t bias = (uintptr_t)x->bias;
    if (emu_valid(&handle->of, "cuBLASLt's handle") != CUDA_SUCCESS) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (algo->data[0] >= (uint64_t)algorithms() || fits(x, a, b, c, d) != CUBLAS_STATUS_SUCCESS)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (x->epilogue == CUBLASLT_EPILOGUE_BIAS && bias & (algo->data[1 + BIAS] - 1)) return CUBLAS_STATUS_NOT_SUPPORTED;
    memset(result, 0, sizeof *result);
    result->algo = *algo;
    result->workspaceSize = WORKSPACE * (size_t)(algo->data[0] + 1);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- a product ---- */

typedef struct product {
    desc x;
    layout a, b, d;
    const void *at_a, *at_b, *at_c;
    void *at_d, *work;
    size_t work_bytes;
    double alpha, beta;
    bool rounds;
} product;

/* A batch's matrix op(m) as rows of k doubles each: rows of A's product, or columns of B's. */
static double *unfold(const layout *l, const void *at, int64_t batch, bool transposed, uint64_t outer, uint64_t k) {
    double *to = malloc(outer * k * sizeof *to);
    number n = number_of(l->type);
    for (uint64_t i = 0; i < outer; i++)
        for (uint64_t j = 0; j < k; j++)
            to[i * k + j] = number_get(
                at, batch * l->step + (int64_t)(transposed ? j * (uint64_t)l->ld + i : i * (uint64_t)l->ld + j), n);
    return to;
}

static double dot(const double *x, const double *y, uint64_t n) {
    double sum[4] = {0};
    uint64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) sum[k] += x[i + (uint64_t)k] * y[i + (uint64_t)k];
    for (; i < n; i++) sum[0] += x[i] * y[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double rounded(double v, number n) {
    double room;
    number_set(&room, 0, n, v);
    return number_get(&room, 0, n);
}

static void run_product(void *arg) {
    const product *p = arg;
    uint64_t m = p->d.rows, n = p->d.cols, k = p->x.ta ? p->a.rows : p->a.cols;
    number type = number_of(p->d.type);
    if (p->work) memset(p->work, 0xFF, p->work_bytes);
    for (int64_t q = 0; q < p->d.batch; q++) {
        double *a = unfold(&p->a, p->at_a, q, !p->x.ta, m, k), *b = unfold(&p->b, p->at_b, q, p->x.tb, n, k);
        for (uint64_t j = 0; j < n; j++)
            for (uint64_t i = 0; i < m; i++) {
                const double *x = a + i * k, *y = b + j * k;
                int64_t o = q * p->d.step + (int64_t)(j * (uint64_t)p->d.ld + i);
                uint64_t h = k / 2;
                double sum =
                    p->rounds ? rounded(dot(x, y, h), type) + rounded(dot(x + h, y + h, k - h), type) : dot(x, y, k);
                double v = p->alpha * sum + (p->beta != 0 ? p->beta * number_get(p->at_c, o, type) : 0);
                if (p->x.epilogue == CUBLASLT_EPILOGUE_BIAS) v += number_get(p->x.bias, (int64_t)i, type);
                number_set(p->at_d, o, type, v);
            }
        free(a);
        free(b);
    }
}

static uint64_t bytes_of(const layout *l) {
    return ((uint64_t)((l->batch - 1) * l->step) + (uint64_t)l->ld * (l->cols - 1) + l->rows) *
           number_bytes(number_of(l->type));
}

EXPORT cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t x, const void *alpha, const void *a,
                                     cublasLtMatrixLayout_t la, const void *b, cublasLtMatrixLayout_t lb,
                                     const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *d,
                                     cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t *algo, void *work,
                                     size_t bytes, cudaStream_t stream) {
    EMU_CALL;
    static const char *const names[] = {"A", "B", "C", "D", "the bias"};
    int code;
    CUstream s = emu_stream(stream);
    if (emu_valid(&handle->of, "cuBLASLt's handle") != CUDA_SUCCESS || emu_valid(&s->of, "a stream") != CUDA_SUCCESS)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (emu_fails("matmul", CUBLAS_STATUS_INTERNAL_ERROR, &code)) return (cublasStatus_t)code;
    cublasStatus_t status = fits(x, la, lb, lc, ld);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    bool has_bias = x->epilogue == CUBLASLT_EPILOGUE_BIAS;
    const struct {
        const void *at;
        uint64_t bytes;
    } used[OPERANDS] = {{a, bytes_of(la)},
                        {b, bytes_of(lb)},
                        {c, bytes_of(lc)},
                        {d, bytes_of(ld)},
                        {x->bias, has_bias ? ld->rows * number_bytes(number_of(ld->type)) : 0}};
    for (int i = 0; i < (has_bias ? OPERANDS : BIAS); i++) {
        if (!emu_inside((CUdeviceptr)(uintptr_t)used[i].at, used[i].bytes)) {
            emu_complain("a product: %s leaves its memory", names[i]);
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        if ((uintptr_t)used[i].at & (algo->data[1 + i] - 1)) {
            emu_complain("a product: %s lies at %p, its algorithm was chosen for multiples of %d", names[i], used[i].at,
                         (int)algo->data[1 + i]);
            return CUBLAS_STATUS_INVALID_VALUE;
        }
    }
    if (bytes < WORKSPACE * (algo->data[0] + 1) || !emu_inside((CUdeviceptr)(uintptr_t)work, bytes)) {
        emu_complain("a product: the workspace of %zu bytes is too small or leaves its memory", bytes);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if ((uintptr_t)work % WORKSPACE_ALIGN) {
        emu_complain("a product: the workspace lies at %p, no multiple of %d", work, WORKSPACE_ALIGN);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    emu_clock += algorithm_ms[algo->data[0] % 4];
    emu_note("matmul %llu x %llu x %lld%s beta %g algorithm %d on %d", (unsigned long long)ld->cols,
             (unsigned long long)ld->rows, (long long)ld->batch, has_bias ? " bias" : "", (double)*(const float *)beta,
             (int)algo->data[0], s->number);
    const product p = {*x,
                       *la,
                       *lb,
                       *ld,
                       a,
                       b,
                       c,
                       d,
                       work,
                       bytes,
                       (double)*(const float *)alpha,
                       (double)*(const float *)beta,
                       algo->data[6] != 0};
    emu_put(s, emu_computing(emu_work(run_product, NULL, &p, sizeof p, s->of.device)));
    return CUBLAS_STATUS_SUCCESS;
}
