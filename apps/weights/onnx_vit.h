/* A vision transformer, with the heads of a classifier, as an ONNX graph.
 *
 *   input       float [batch, C, D, D, D]: what the encoder takes; or
 *   volume      int16 [batch, 224, 224, 224], HU, axes to the right, front and top at 1 mm, as headct prepare stores
 *               it: crop, windows and resizing are in the graph
 *   embedding   float [batch, width]
 *   probabilities float [batch, tasks], of a classifier; the tasks' names are in the metadata "tasks"
 *
 * GELU is written by Erf, softmax of two logits by Sigmoid of their difference. */
#ifndef WEIGHTS_ONNX_VIT_H
#define WEIGHTS_ONNX_VIT_H

#include "models/weights.h"
#include "weights/onnx.h"

typedef struct onnx_source {
    const char *path; /* for messages */
    const model_info *info;
    const hct_st_entry *entry; /* [n]: the model's tensors by its own names */
    size_t n;
    int from_volume;
} onnx_source;

/* Fills g; values are copied. HCT_EINVAL: an encoder of another kind, heads that are not linear; HCT_ENOTFOUND,
 * HCT_ESHAPE name a tensor. */
hct_status onnx_vit(const onnx_source *s, onnx_graph *g, hct_err *err);

#endif
