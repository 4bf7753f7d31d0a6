/* kit/nvidia/cublaslt.h: cuBLASLt's interface as far as headct calls it (libcublasLt.so.12 and .13; the two agree in
 * all of this), declared after NVIDIA's documentation of the library. See driver.h for what these files are. */
#ifndef KIT_NVIDIA_CUBLASLT_H
#define KIT_NVIDIA_CUBLASLT_H

#include <stddef.h>
#include <stdint.h>

typedef struct CUstream_st *cudaStream_t; /* the runtime's name for a CUstream */

typedef enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_NOT_INITIALIZED = 1,
    CUBLAS_STATUS_ALLOC_FAILED = 3,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_ARCH_MISMATCH = 8,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_INTERNAL_ERROR = 14,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
} cublasStatus_t;
typedef enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_FAST_TF32 = 77 } cublasComputeType_t;
typedef enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 } cublasOperation_t;
typedef enum cudaDataType { CUDA_R_32F = 0, CUDA_R_16F = 2, CUDA_R_16BF = 14 } cudaDataType;
typedef enum cublasLtEpilogue_t { CUBLASLT_EPILOGUE_DEFAULT = 1, CUBLASLT_EPILOGUE_BIAS = 4 } cublasLtEpilogue_t;
typedef enum cublasLtMatmulDescAttributes_t {
    CUBLASLT_MATMUL_DESC_TRANSA = 3,
    CUBLASLT_MATMUL_DESC_TRANSB = 4,
    CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
    CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8
} cublasLtMatmulDescAttributes_t;
typedef enum cublasLtMatrixLayoutAttribute_t {
    CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT = 5,         /* int32_t */
    CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET = 6 /* int64_t, elements */
} cublasLtMatrixLayoutAttribute_t;
typedef enum cublasLtMatmulPreferenceAttributes_t {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,   /* uint64_t */
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3, /* uint32_t: which of the schemes may be used */
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5, /* uint32_t, 256 if not set */
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8
} cublasLtMatmulPreferenceAttributes_t;
/* How parts of a product whose sums were split (split-K) are added up: in the compute type, in workspace; or rounded
 * to the result's type first. */
typedef enum cublasLtReductionScheme_t {
    CUBLASLT_REDUCTION_SCHEME_NONE = 0,
    CUBLASLT_REDUCTION_SCHEME_INPLACE = 1,
    CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2,
    CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE = 4,
    CUBLASLT_REDUCTION_SCHEME_MASK = 7
} cublasLtReductionScheme_t;

typedef struct cublasLtContext *cublasLtHandle_t;
typedef struct cublasLtMatmulDescOpaque_t *cublasLtMatmulDesc_t;
typedef struct cublasLtMatrixLayoutOpaque_t *cublasLtMatrixLayout_t;
typedef struct cublasLtMatmulPreferenceOpaque_t *cublasLtMatmulPreference_t;
typedef struct cublasLtMatmulAlgo_t {
    uint64_t data[8];
} cublasLtMatmulAlgo_t;
typedef struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    size_t workspaceSize;
    cublasStatus_t state;
    float wavesCount;
    int reserved[4];
} cublasLtMatmulHeuristicResult_t;

/* X(return type, name, parameters); symbols are called as the functions are. */
/* clang-format off */
#define NV_CUBLASLT(X)                                                                                           \
    X(size_t, cublasLtGetVersion, (void))                                                                        \
    X(cublasStatus_t, cublasLtCreate, (cublasLtHandle_t *handle))                                                \
    X(cublasStatus_t, cublasLtDestroy, (cublasLtHandle_t handle))                                                \
    X(cublasStatus_t, cublasLtMatmulDescCreate, (cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,        \
                                                 cudaDataType scale))                                            \
    X(cublasStatus_t, cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t desc))                                    \
    X(cublasStatus_t, cublasLtMatmulDescSetAttribute, (cublasLtMatmulDesc_t desc,                                \
                                                       cublasLtMatmulDescAttributes_t which,                     \
                                                       const void *value, size_t bytes))                         \
    X(cublasStatus_t, cublasLtMatrixLayoutCreate, (cublasLtMatrixLayout_t *layout, cudaDataType type,            \
                                                   uint64_t rows, uint64_t cols, int64_t ld))                    \
    X(cublasStatus_t, cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t layout))                              \
    X(cublasStatus_t, cublasLtMatrixLayoutSetAttribute, (cublasLtMatrixLayout_t layout,                          \
                                                         cublasLtMatrixLayoutAttribute_t which,                  \
                                                         const void *value, size_t bytes))                       \
    X(cublasStatus_t, cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t *preference))                  \
    X(cublasStatus_t, cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t preference))                  \
    X(cublasStatus_t, cublasLtMatmulPreferenceSetAttribute, (cublasLtMatmulPreference_t preference,              \
                                                             cublasLtMatmulPreferenceAttributes_t which,         \
                                                             const void *value, size_t bytes))                   \
    X(cublasStatus_t, cublasLtMatmulAlgoGetHeuristic, (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,       \
                                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,       \
                                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,       \
                                                       cublasLtMatmulPreference_t preference, int wanted,        \
                                                       cublasLtMatmulHeuristicResult_t result[], int *n))        \
    X(cublasStatus_t, cublasLtMatmulAlgoCheck, (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,              \
                                                cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,              \
                                                cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,              \
                                                const cublasLtMatmulAlgo_t *algo,                                \
                                                cublasLtMatmulHeuristicResult_t *result))                        \
    X(cublasStatus_t, cublasLtMatmul, (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,    \
                                       const void *a, cublasLtMatrixLayout_t layout_a, const void *b,            \
                                       cublasLtMatrixLayout_t layout_b, const void *beta, const void *c,         \
                                       cublasLtMatrixLayout_t layout_c, void *d, cublasLtMatrixLayout_t layout_d,\
                                       const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,          \
                                       cudaStream_t stream))
/* clang-format on */

#endif
