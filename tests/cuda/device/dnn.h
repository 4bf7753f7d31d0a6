/* tests/cuda/device/dnn.h: what the two files of the emulated cuDNN share: graphs as they were checked. */
#ifndef TESTS_CUDA_DNN_H
#define TESTS_CUDA_DNN_H

#include "device.h"
#include "kit/nvidia/cudnn.h"

NV_CUDNN(EMU_PROTOTYPE)

enum { DIMS = 8, OPERANDS = 8, OPERATIONS = 40, TENSORS = 80 };

typedef struct tensor {
    int64_t uid, dim[DIMS], stride[DIMS], align;
    int dims;
    number type;
    bool by_value, is_virtual;
} tensor;

/* An operation: its kind, its operands by the attribute that names them, and how it computes. */
typedef struct operation {
    int kind, n_operand; /* kind: a CUDNN_BACKEND_OPERATION_... */
    struct {
        int role;
        tensor t;
    } operand[OPERANDS];
    int mode, axis; /* of a pointwise operation or a reduction */
    double padding; /* of a product: what stands beyond its overridden lengths */
    int64_t conv_stride[3], conv_before[3], conv_after[3], conv_dilation[3];
    double alpha, beta;
} operation;

typedef struct dnn_graph {
    int n_op, refs;
    bool lone;        /* the backward of one query and one key */
    const char *what; /* "attention", "attention.bwd", "convolution", ... */
    operation op[OPERATIONS];
} dnn_graph;

/* The operand of a role; NULL: the operation has none. */
const tensor *dnn_operand(const operation *, int role);
bool dnn_is_result(int role);
int64_t dnn_span(const tensor *); /* elements from the first to the last */

/* Where a graph's tensors lie, in one call; a tensor by value has its number instead. */
typedef struct dnn_place {
    int64_t uid;
    void *at;
    double value;
} dnn_place;
typedef struct dnn_run_args {
    dnn_graph *graph;
    int n_place;
    dnn_place place[TENSORS];
    void *work;
    size_t work_bytes;
    bool adds_to_accumulator; /* before 9.6 a product into memory in float, read again in the graph, adds to it */
} dnn_run_args;
void dnn_evaluate(void *args);
void dnn_graph_free(dnn_graph *);

#endif
