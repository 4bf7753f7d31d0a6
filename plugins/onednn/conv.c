/* 3D convolution and its backwards. oneDNN's fast kernels want channels in blocks of 16, so operands are copied to
 * its own order and results back: at a ResNet's sizes still 1.2 to 5 times as fast as on rows. Only a forward
 * product of channels alone (1 x 1 x 1) is left as it lies, at nearly twice the speed. */
#include "onednn.h"

typedef struct conv {
    dnnl_dims_t stride, padding, dilation; /* dilation as oneDNN counts: 0 for none */
    dnnl_dims_t w_dim, w_stride;           /* [groups,] out, in, kernel */
    int w_ndim;
    dnnl_memory_desc_t x, w, bias, y; /* in any order */
} conv;

static void conv_init(onednn_build *b, conv *c, const hct_view *x, const hct_view *w, const hct_view *y, int forward) {
    static const char *const names[] = {"stride", "padding", "dilation"};
    const hct_problem *p = b->problem;
    int64_t *const to[] = {c->stride, c->padding, c->dilation};
    for (int k = 0; k < 3; k++) {
        const hct_attr *a = hct_attr_find(p->attr, p->n_attr, names[k]);
        for (int d = 0; d < 3; d++) to[k][d] = a->ints[d] - (k == 2);
    }
    int64_t groups = hct_attr_int(p->attr, p->n_attr, "groups", 1);
    int g = groups > 1;
    c->w_ndim = 5 + g;
    c->w_dim[0] = groups;
    c->w_stride[0] = w->dim[0] / groups * w->stride[0];
    for (int d = 0; d < 5; d++) {
        c->w_dim[g + d] = w->dim[d] / (d ? 1 : groups);
        c->w_stride[g + d] = w->stride[d];
    }
    int pointwise = forward && groups == 1;
    for (int d = 0; d < 3; d++) pointwise &= w->dim[2 + d] == 1 && c->stride[d] == 1 && c->padding[d] == 0;
    c->x = (pointwise ? onednn_dense : onednn_any)(b, x->dtype, 5, x->dim);
    c->y = (pointwise ? onednn_dense : onednn_any)(b, x->dtype, 5, y->dim);
    c->w = onednn_any(b, x->dtype, c->w_ndim, c->w_dim);
    c->bias = onednn_dense(b, x->dtype, 1, y->dim + 1);
}

static dnnl_memory_desc_t weights_of(onednn_build *b, const conv *c, int32_t dtype) {
    return onednn_strided(b, dtype, c->w_ndim, c->w_dim, c->w_stride);
}

static void describe_forward(onednn_build *b, const conv *c, dnnl_convolution_desc_t *ret, int with_bias) {
    onednn_check(b,
                 dnnl_dilated_convolution_forward_desc_init(ret, dnnl_forward_training, dnnl_convolution_direct, &c->x,
                                                            &c->w, with_bias ? &c->bias : NULL, &c->y, c->stride,
                                                            c->dilation, c->padding, c->padding),
                 "convolution");
}

/* conv3d(x, w, b) -> y */
static hct_status plan_forward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    conv c;
    dnnl_convolution_desc_t desc;
    int with_bias = p->n_in == 3;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    if (with_bias && !hct_is_contiguous(&p->in[2])) onednn_refuse(&b, "the bias has gaps");
    conv_init(&b, &c, &p->in[0], &p->in[1], p->out, 1);
    describe_forward(&b, &c, &desc, with_bias);
    onednn_describe(&b, &desc, NULL);
    dnnl_memory_desc_t x = onednn_view(&b, &p->in[0]), w = weights_of(&b, &c, p->in[1].dtype),
                       y = onednn_view(&b, p->out);
    onednn_argument arg[4] = {
        {DNNL_ARG_SRC, onednn_source(&b, onednn_input(&b, 0, &x), dnnl_query_src_md)},
        {DNNL_ARG_WEIGHTS, onednn_source(&b, onednn_input(&b, 1, &w), dnnl_query_weights_md)},
        {DNNL_ARG_DST, onednn_target(&b, onednn_output(&b, 0, &y), dnnl_query_dst_md)},
    };
    if (with_bias) arg[3] = (onednn_argument){DNNL_ARG_BIAS, onednn_input(&b, 2, &c.bias)};
    onednn_execute(&b, 3 + with_bias, arg);
    return onednn_end(&b);
}

/* conv3d.bwd_x(w, dy) -> dx */
static hct_status plan_bwd_x(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    conv c;
    dnnl_convolution_desc_t forward, desc;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    conv_init(&b, &c, p->out, &p->in[0], &p->in[1], 0);
    describe_forward(&b, &c, &forward, 0);
    onednn_check(&b,
                 dnnl_dilated_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &c.x, &c.w, &c.y,
                                                                  c.stride, c.dilation, c.padding, c.padding),
                 "convolution");
    onednn_describe(&b, &desc, &forward);
    dnnl_memory_desc_t w = weights_of(&b, &c, p->in[0].dtype), dy = onednn_view(&b, &p->in[1]),
                       dx = onednn_view(&b, p->out);
    const onednn_argument arg[] = {
        {DNNL_ARG_WEIGHTS, onednn_source(&b, onednn_input(&b, 0, &w), dnnl_query_weights_md)},
        {DNNL_ARG_DIFF_DST, onednn_source(&b, onednn_input(&b, 1, &dy), dnnl_query_diff_dst_md)},
        {DNNL_ARG_DIFF_SRC, onednn_target(&b, onednn_output(&b, 0, &dx), dnnl_query_diff_src_md)},
    };
    onednn_execute(&b, 3, arg);
    return onednn_end(&b);
}

/* conv3d.bwd_w(x, dy) -> dw; the bias's gradient is a sum of its own (core/ops/conv.c) */
static hct_status plan_bwd_w(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    conv c;
    dnnl_convolution_desc_t forward, desc;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    conv_init(&b, &c, &p->in[0], p->out, &p->in[1], 0);
    describe_forward(&b, &c, &forward, 0);
    onednn_check(&b,
                 dnnl_dilated_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &c.x, &c.w, NULL,
                                                                     &c.y, c.stride, c.dilation, c.padding, c.padding),
                 "convolution");
    onednn_describe(&b, &desc, &forward);
    dnnl_memory_desc_t x = onednn_view(&b, &p->in[0]), dy = onednn_view(&b, &p->in[1]),
                       dw = weights_of(&b, &c, p->out->dtype);
    const onednn_argument arg[] = {
        {DNNL_ARG_SRC, onednn_source(&b, onednn_input(&b, 0, &x), dnnl_query_src_md)},
        {DNNL_ARG_DIFF_DST, onednn_source(&b, onednn_input(&b, 1, &dy), dnnl_query_diff_dst_md)},
        {DNNL_ARG_DIFF_WEIGHTS, onednn_target(&b, onednn_output(&b, 0, &dw), dnnl_query_diff_weights_md)},
    };
    onednn_execute(&b, 3, arg);
    return onednn_end(&b);
}

const hct_kernel onednn_conv[] = {ONEDNN_KERNELS("conv3d", plan_forward),
                                  ONEDNN_KERNELS("conv3d.bwd_x", plan_bwd_x),
                                  ONEDNN_KERNELS("conv3d.bwd_w", plan_bwd_w),
                                  {.name = NULL}};
