/* Graphs of a 3D cross-correlation, sums in float: y = x * w (+ bias, a second node), dx and dw. Groups follow from
 * the channels of x and w. */
#include "dnn.h"

/* The attributes of a direction's node. */
static const struct {
    cudnnBackendDescriptorType_t node;
    cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
} ways[] = {
    [CONV_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [CONV_BACKWARD_X] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [CONV_BACKWARD_W] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

static cudnnBackendDescriptor_t convolution(dnn_maker *m, const conv_key *key) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t axes = 3;
    cudnnBackendDescriptor_t d = dnn_create(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "the convolution's descriptor");
    dnn_set(m, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    dnn_set(m, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    dnn_set(m, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
    dnn_set(m, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 3, key->stride);
    dnn_set(m, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 3, key->dilation);
    dnn_set(m, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 3, key->padding);
    dnn_set(m, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 3, key->padding);
    dnn_finalize(m, d);
    return d;
}

/* y = between + bias */
static cudnnBackendDescriptor_t add_bias(dnn_maker *m, cudnnBackendDescriptor_t between, cudnnBackendDescriptor_t bias,
                                         cudnnBackendDescriptor_t y) {
    cudnnBackendDescriptor_t add = dnn_pointwise(m, CUDNN_POINTWISE_ADD, CUDNN_DATA_FLOAT, -1),
                             op = dnn_create(m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "the bias's node");
    dnn_link(m, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, add);
    dnn_link(m, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, between);
    dnn_link(m, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, bias);
    dnn_link(m, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    dnn_finalize(m, op);
    dnn_destroy(add);
    return op;
}

static cudnnBackendDescriptor_t build(dnn_maker *m, const dnn_target *on, const void *of) {
    enum { BETWEEN_UID = 90 };
    const conv_key *key = of;
    const float one = 1, nothing = 0;
    cudnnDataType_t type = dnn_type(key->dtype);
    cudnnBackendDescriptor_t part[CONV_TENSORS] = {NULL}, between = NULL, op[2] = {NULL};
    int with_bias = key->has_bias != 0;
    for (int i = 0; i < (with_bias ? CONV_TENSORS : CONV_BIAS); i++)
        part[i] = dnn_tensor_new(m, CONV_UIDS + i, type, &key->tensor[i], DNN_MEMORY);
    if (with_bias) between = dnn_tensor_new(m, BETWEEN_UID, CUDNN_DATA_FLOAT, &key->tensor[CONV_Y], DNN_VIRTUAL);
    cudnnBackendDescriptor_t how = convolution(m, key);
    op[0] = dnn_create(m, ways[key->way].node, "the convolution's node");
    dnn_link(m, op[0], ways[key->way].conv, how);
    dnn_link(m, op[0], ways[key->way].x, part[CONV_X]);
    dnn_link(m, op[0], ways[key->way].w, part[CONV_W]);
    dnn_link(m, op[0], ways[key->way].y, with_bias ? between : part[CONV_Y]);
    dnn_set(m, op[0], ways[key->way].alpha, CUDNN_TYPE_FLOAT, 1, &one);
    dnn_set(m, op[0], ways[key->way].beta, CUDNN_TYPE_FLOAT, 1, &nothing);
    dnn_finalize(m, op[0]);
    if (with_bias) op[1] = add_bias(m, between, part[CONV_BIAS], part[CONV_Y]);
    dnn_destroy(how);
    dnn_destroy(between);
    for (int i = 0; i < CONV_TENSORS; i++) dnn_destroy(part[i]);
    return dnn_graph_of(m, on, op, 1 + with_bias);
}

const dnn_plan *conv_plan_for(const dnn_target *on, const conv_key *key, hct_err *err) {
    return dnn_plan_for(on, build, key, sizeof *key, (uint32_t)key->avoid, "convolution", err);
}
