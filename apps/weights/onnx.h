/* ONNX files: the few messages of onnx.proto3 that a graph of float tensors needs, written by hand. Nodes and values
 * are added in order, tensors are borrowed until the file is written.
 *
 *   onnx_graph g = {0};
 *   onnx_input(&g, "input", ONNX_FLOAT, 2, (int64_t[]){-1, 3});                       -1: the batch
 *   onnx_tensor(&g, "w", ONNX_FLOAT, 2, dim, values);
 *   onnx_node(&g, "MatMul", "input", "w", NULL); onnx_out(&g, "y");
 *   onnx_save(&g, "model.onnx", meta, n, &err);
 *
 * IR 8, opset 17: what ONNX Runtime 1.13, OpenVINO and Debian 12's libonnx read. Field numbers: onnx.proto3. */
#ifndef WEIGHTS_ONNX_H
#define WEIGHTS_ONNX_H

#include "hct/safetensors.h"
#include "support/text.h"

enum { ONNX_FLOAT = 1, ONNX_INT16 = 5, ONNX_INT64 = 7, ONNX_DIMS = 5, ONNX_NAME = 128 };

typedef struct onnx_graph {
    text_buffer nodes, inputs, outputs; /* messages, each with its tag */
    text_buffer attributes, in;         /* of the node at hand */
    char type[32];                      /* its op; "": none is open */
    struct onnx_values {
        char name[ONNX_NAME];
        int type, ndim;
        int64_t dim[ONNX_DIMS];
        const void *data;
        size_t bytes;
        void *owned; /* NULL: the caller's */
    } * tensor;
    size_t n, cap;
    bool failed; /* out of memory; onnx_save says so */
} onnx_graph;

/* dim -1: the batch, called "batch". */
void onnx_input(onnx_graph *g, const char *name, int type, int ndim, const int64_t *dim);
void onnx_output(onnx_graph *g, const char *name, int type, int ndim, const int64_t *dim);
/* Constants: borrowed; copied; a matrix [rows, columns] turned over; a short list of whole numbers. */
void onnx_tensor(onnx_graph *g, const char *name, int type, int ndim, const int64_t *dim, const void *data);
void onnx_copy(onnx_graph *g, const char *name, int type, int ndim, const int64_t *dim, const void *data);
void onnx_turned(onnx_graph *g, const char *name, int64_t rows, int64_t columns, const float *data);
void onnx_list(onnx_graph *g, const char *name, int n, const int64_t *values);

/* Begins a node; its inputs follow the op, the last is NULL. */
void onnx_node(onnx_graph *g, const char *op, ...) __attribute__((sentinel));
void onnx_whole(onnx_graph *g, const char *attribute, int64_t value);
void onnx_wholes(onnx_graph *g, const char *attribute, int n, const int64_t *values);
void onnx_real(onnx_graph *g, const char *attribute, double value);
/* Ends it; the names of its results, the last is NULL. */
void onnx_out(onnx_graph *g, ...) __attribute__((sentinel));

/* HCT_EINVAL where the file would pass 2 GB, the most that one message can hold. */
hct_status onnx_save(const onnx_graph *g, const char *path, const hct_st_pair *meta, size_t n_meta, hct_err *err);
void onnx_free(onnx_graph *g);

#endif
