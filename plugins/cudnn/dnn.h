/* plugins/cudnn/dnn.h: what the plugin's files share: cuDNN's functions, graphs under construction, plans kept for
 * the process, and calls of them. */
#ifndef CUDNN_DNN_H
#define CUDNN_DNN_H

#include <stdbool.h>

#include "kit/cuda.h"
#include "kit/nvidia/cudnn.h"

typedef struct cudnn_table {
    NV_CUDNN(CUDA_FIELD)
} cudnn_table;
extern cudnn_table dnn;

/* Opens the library; 0: err says why there is none. */
int cudnn_library(hct_err *err);

/* ---- plugin.c: what is kept for a device until it is closed ---- */

typedef struct dnn_kept dnn_kept; /* a plan and its key */
typedef struct dnn_lengths dnn_lengths;
typedef struct dnn_device {
    int index, open;
    cudnnHandle_t handle;
    dnn_kept *plans;
    dnn_lengths *lengths;
    cuda_closer closer;
} dnn_device;

/* Makes the device's context current; its handle and plans. NULL: err says why there are none. */
dnn_device *dnn_open(hct_cuda_device *, hct_err *err);
/* n numbers `value` (int32) in the device's memory, written once. NULL: err says why not. */
void *dnn_lengths_of(dnn_device *, int64_t n, int32_t value, hct_err *err);
/* Zeros, behind what is on the stream. */
hct_status dnn_clear(const hct_cuda_stream *, void *at, size_t bytes, hct_err *err);
/* On stderr, the first time for this `what`: that it is left to slower kernels, and why. */
void dnn_say_slow(const char *what, const char *why);

/* ---- graph.c: descriptors ---- */

/* The first failure of a graph under construction stays, and what was being made. */
typedef struct dnn_maker {
    cudnnStatus_t code;
    const char *what;
} dnn_maker;
cudnnBackendDescriptor_t dnn_create(dnn_maker *, cudnnBackendDescriptorType_t, const char *what);
void dnn_set(dnn_maker *, cudnnBackendDescriptor_t, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t n,
             const void *values);
void dnn_finalize(dnn_maker *, cudnnBackendDescriptor_t);
void dnn_destroy(cudnnBackendDescriptor_t);
/* One operand of an operation. */
void dnn_link(dnn_maker *, cudnnBackendDescriptor_t op, cudnnBackendAttributeName_t, cudnnBackendDescriptor_t operand);

enum { DNN_DIMS = 5, DNN_TENSORS = 18 };
/* align: bytes that divide its address */
typedef struct dnn_tensor {
    int64_t dims, dim[DNN_DIMS], stride[DNN_DIMS], align;
} dnn_tensor;
typedef enum dnn_kind { DNN_MEMORY, DNN_BY_VALUE, DNN_VIRTUAL } dnn_kind;
cudnnBackendDescriptor_t dnn_tensor_new(dnn_maker *, int64_t uid, cudnnDataType_t, const dnn_tensor *, dnn_kind);
cudnnDataType_t dnn_type(int64_t dtype);
/* v as it lies. */
dnn_tensor dnn_tensor_of(const hct_view *v);

/* How a pointwise node computes: mode, in float, int32 or Boolean; axis: of GEN_INDEX, else -1. */
cudnnBackendDescriptor_t dnn_pointwise(dnn_maker *, cudnnPointwiseMode_t mode, cudnnDataType_t precision, int64_t axis);

/* What a graph is planned for: a device's handle; or, in tests without a GPU, a card's description
 * (CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR). */
typedef struct dnn_target {
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t card;
    dnn_kept **plans; /* where its plans are kept */
} dnn_target;
/* The graph of these operations, which it destroys. */
cudnnBackendDescriptor_t dnn_graph_of(dnn_maker *, const dnn_target *, cudnnBackendDescriptor_t *op, int n);

/* ---- graph.c: plans ---- */

typedef struct dnn_plan {
    cudnnBackendDescriptor_t plan;
    uint64_t workspace;
    int deterministic; /* its engine says that it gives the same bits every time */
} dnn_plan;

/* The plan that cuDNN's heuristics make for a graph; kept with the target, found again by the bytes of its key (without
 * holes), so that a model's layers share them. avoid: bit i, no engine with CUDNN_NUMERICAL_NOTE i. NULL: err says why
 * not. */
typedef cudnnBackendDescriptor_t dnn_builder(dnn_maker *, const dnn_target *, const void *key);
const dnn_plan *dnn_plan_for(const dnn_target *, dnn_builder *, const void *key, size_t bytes, uint32_t avoid,
                             const char *what, hct_err *err);
void dnn_plans_free(dnn_kept **);

/* ---- graph.c: calls ---- */

typedef struct dnn_call { /* a plan, and the addresses it was bound to last */
    const dnn_plan *plan;
    cudnnHandle_t handle;
    int n;
    int64_t uid[DNN_TENSORS];
    void *at[DNN_TENSORS], *work;
    cudnnBackendDescriptor_t pack;
} dnn_call;
/* at: an address for each uid; work: the workspace, or NULL. */
hct_status dnn_run(dnn_call *, hct_stream *, void *const *at, void *work, hct_err *err);
void dnn_call_free(dnn_call *);
/* A plan's accounts: one kernel of a library, each operand once. What cuDNN launches in truth it does not say. */
void dnn_account(const hct_problem *, hct_plan *);

/* ---- sdpa.c: scaled dot-product attention; axes batch, head, token, width ---- */

enum { SDPA_Q, SDPA_K, SDPA_V, SDPA_O, SDPA_STATS, SDPA_DO, SDPA_DQ, SDPA_DK, SDPA_DV, SDPA_TENSORS };
/* uids: 1 + SDPA_...; by value: the scale, 1, and what stands for minus infinity; in the workspace of the backward:
 * sums of rows [B, H, N], and dq in float; in memory of the device's: how many queries and keys each batch has. */
enum {
    SDPA_SCALE_UID = 100,
    SDPA_ONE_UID,
    SDPA_LOW_UID,
    SDPA_SUM_UID,
    SDPA_ACCUMULATOR_UID,
    SDPA_QUERIES_UID,
    SDPA_KEYS_UID
};
typedef struct sdpa_key {
    int64_t device, backward, dtype, avoid;  /* dtype: HCT_BF16 or HCT_F16 */
    int64_t composite, masked, masked_twice; /* sdpa_fit's */
    dnn_tensor tensor[SDPA_TENSORS];         /* those that the direction has */
} sdpa_key;
/* Sets how a graph for this version of cuDNN is built: forward by operations before 9.13.1 has a node for it, backward
 * with a mask of padding before 9.16 where there are other numbers of keys than multiples of 128. 0: this version does
 * not compute it rightly; err says so. */
int sdpa_fit(sdpa_key *, size_t version, hct_err *err);
/* What minus infinity is in a mask. */
float sdpa_low(size_t version);
/* The uids of a graph's tensors in memory or by value; how many. */
int sdpa_uids(const sdpa_key *, int64_t uid[DNN_TENSORS]);
const dnn_plan *sdpa_plan_for(const dnn_target *, const sdpa_key *, hct_err *err);

/* ---- convolution.c: x [N, C, D, H, W], w [O, C / groups, ...], y; a direction computes one of the three from the
 * others ---- */

typedef enum conv_way { CONV_FORWARD, CONV_BACKWARD_X, CONV_BACKWARD_W } conv_way;
enum { CONV_X, CONV_W, CONV_Y, CONV_BIAS, CONV_TENSORS, CONV_UIDS = 1 };
typedef struct conv_key {
    int64_t device, way, dtype, avoid, has_bias; /* a bias: forward alone */
    int64_t stride[3], padding[3], dilation[3];
    dnn_tensor tensor[CONV_TENSORS];
} conv_key;
const dnn_plan *conv_plan_for(const dnn_target *, const conv_key *, hct_err *err);

extern const hct_kernel *const cudnn_attention[], *const cudnn_conv[]; /* ended by NULL */

#endif
