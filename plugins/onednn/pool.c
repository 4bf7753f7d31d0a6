/* Average pooling and its backwards; adaptive pooling where every window has one size. oneDNN works on rows as they
 * lie: copies to blocks of channels cost more than they save (bf16: 0.8 ms as it lies, 2.9 ms in blocks, for a
 * ResNet's first).
 *
 * Not here: max pooling. Ours takes NaN for the largest, as PyTorch does; oneDNN passes over NaN, and a loss that is
 * not finite would go unseen. */
#include "onednn.h"

typedef struct pool {
    dnnl_dims_t kernel, stride, padding;
    dnnl_memory_desc_t x, y;
} pool;

static void pool_init(onednn_build *b, pool *l, const hct_view *x, const hct_view *y) {
    const hct_problem *p = b->problem;
    const hct_attr *kernel = hct_attr_find(p->attr, p->n_attr, "kernel"),
                   *stride = hct_attr_find(p->attr, p->n_attr, "stride"),
                   *padding = hct_attr_find(p->attr, p->n_attr, "padding");
    for (int d = 0; d < 3; d++) {
        if (!kernel && x->dim[2 + d] % y->dim[2 + d]) onednn_refuse(b, "windows of several sizes");
        l->kernel[d] = kernel ? kernel->ints[d] : x->dim[2 + d] / y->dim[2 + d];
        l->stride[d] = kernel ? stride->ints[d] : l->kernel[d];
        l->padding[d] = kernel ? padding->ints[d] : 0;
    }
    if (!hct_is_contiguous(x) || !hct_is_contiguous(y)) onednn_refuse(b, "an operand has gaps");
    l->x = onednn_dense(b, x->dtype, 5, x->dim);
    l->y = onednn_dense(b, y->dtype, 5, y->dim);
}

static void describe_forward(onednn_build *b, const pool *l, dnnl_pooling_desc_t *ret) {
    onednn_check(b,
                 dnnl_pooling_forward_desc_init(ret, dnnl_forward_training, dnnl_pooling_avg_include_padding, &l->x,
                                                &l->y, l->stride, l->kernel, l->padding, l->padding),
                 "pooling");
}

/* avg_pool3d(x) -> y, adaptive_avg_pool3d(x) -> y */
static hct_status plan_forward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    pool l;
    dnnl_pooling_desc_t desc;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    pool_init(&b, &l, p->in, p->out);
    describe_forward(&b, &l, &desc);
    onednn_describe(&b, &desc, NULL);
    onednn_execute(&b, 2,
                   (onednn_argument[]){
                       {DNNL_ARG_SRC, onednn_input(&b, 0, &l.x)},
                       {DNNL_ARG_DST, onednn_output(&b, 0, &l.y)},
                   });
    return onednn_end(&b);
}

/* avg_pool3d.bwd(dy) -> dx, adaptive_avg_pool3d.bwd(dy) -> dx */
static hct_status plan_backward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    pool l;
    dnnl_pooling_desc_t forward, desc;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    pool_init(&b, &l, p->out, p->in);
    describe_forward(&b, &l, &forward);
    onednn_check(&b,
                 dnnl_pooling_backward_desc_init(&desc, dnnl_pooling_avg_include_padding, &l.x, &l.y, l.stride,
                                                 l.kernel, l.padding, l.padding),
                 "pooling");
    onednn_describe(&b, &desc, &forward);
    onednn_execute(&b, 2,
                   (onednn_argument[]){
                       {DNNL_ARG_DIFF_DST, onednn_input(&b, 0, &l.y)},
                       {DNNL_ARG_DIFF_SRC, onednn_output(&b, 0, &l.x)},
                   });
    return onednn_end(&b);
}

const hct_kernel onednn_pool[] = {ONEDNN_KERNELS("avg_pool3d", plan_forward),
                                  ONEDNN_KERNELS("avg_pool3d.bwd", plan_backward),
                                  ONEDNN_KERNELS("adaptive_avg_pool3d", plan_forward),
                                  ONEDNN_KERNELS("adaptive_avg_pool3d.bwd", plan_backward),
                                  {.name = NULL}};
