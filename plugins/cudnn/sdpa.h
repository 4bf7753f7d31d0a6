/* plugins/cudnn/sdpa.h: what the plugin's files share. */
#ifndef CUDNN_SDPA_H
#define CUDNN_SDPA_H

#include <cudnn.h>
#include <stdbool.h>

#include "library.h"

#define CUDNN_FUNCTIONS(X)                                                                                                   \
    X(cudnnGetVersion) X(cudnnGetErrorString) X(cudnnCreate) X(cudnnSetStream) X(cudnnBackendCreateDescriptor)               \
    X(cudnnBackendDestroyDescriptor) X(cudnnBackendSetAttribute) X(cudnnBackendGetAttribute) X(cudnnBackendFinalize) X(cudnnBackendExecute)
typedef struct cudnn_table { CUDNN_FUNCTIONS(CUDA_FIELD) } cudnn_table;
extern cudnn_table dnn;

/* Opens the library and a device's handle; 0: err says why there is none. */
int cudnn_open(const hct_cuda_device *, cudnnHandle_t *ret, hct_err *err);

/* A tensor of scaled dot-product attention: axes batch, head, token, width. */
typedef struct sdpa_tensor { int64_t dim[4], stride[4]; } sdpa_tensor;

enum { SDPA_Q, SDPA_K, SDPA_V, SDPA_O, SDPA_STATS, SDPA_DO, SDPA_DQ, SDPA_DK, SDPA_DV, SDPA_TENSORS };

/* What an execution plan is made for; without holes, so that it can be compared byte by byte. */
typedef struct sdpa_key {
    int64_t device, backward, dtype; /* dtype: HCT_BF16 or HCT_F16 */
    sdpa_tensor tensor[SDPA_TENSORS]; /* those that the direction has */
} sdpa_key;

typedef struct sdpa_plan { /* kept as long as the process: blocks of a model share one */
    sdpa_key key;
    cudnnBackendDescriptor_t plan;
    uint64_t workspace;
    struct sdpa_plan *next;
} sdpa_plan;

/* The plan for a key, by cuDNN's heuristics; NULL: err says why not. */
const sdpa_plan *sdpa_plan_for(cudnnHandle_t, const sdpa_key *, hct_err *err);
/* The descriptor that binds addresses (device memory; scale: the host's) to a plan; NULL on failure. */
cudnnBackendDescriptor_t sdpa_bind(const sdpa_plan *, void *const at[SDPA_TENSORS], const float *scale, void *workspace);

#endif
