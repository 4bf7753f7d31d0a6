/* Softmax over the last axis and its backward, of rows without gaps. */
#include "onednn.h"

/* [rows, width] */
static dnnl_memory_desc_t rows_of(onednn_build *b) {
    const hct_problem *p = b->problem;
    onednn_want_dense(b);
    int64_t width = p->out->ndim ? p->out->dim[p->out->ndim - 1] : 1;
    return onednn_dense(b, p->out->dtype, 2, (dnnl_dims_t){hct_numel(p->out) / width, width});
}

static void describe_forward(onednn_build *b, dnnl_softmax_v2_desc_t *ret, const dnnl_memory_desc_t *x) {
    onednn_check(b, dnnl_softmax_v2_forward_desc_init(ret, dnnl_forward_training, dnnl_softmax_accurate, x, x, 1),
                 "softmax");
}

/* softmax(x) -> y */
static hct_status plan_forward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    dnnl_softmax_v2_desc_t desc;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    dnnl_memory_desc_t x = rows_of(&b);
    describe_forward(&b, &desc, &x);
    onednn_describe(&b, &desc, NULL);
    onednn_execute(&b, 2,
                   (onednn_argument[]){
                       {DNNL_ARG_SRC, onednn_input(&b, 0, &x)},
                       {DNNL_ARG_DST, onednn_output(&b, 0, &x)},
                   });
    return onednn_end(&b);
}

/* softmax.bwd(y, dy) -> dx */
static hct_status plan_backward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    dnnl_softmax_v2_desc_t forward, desc;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    dnnl_memory_desc_t x = rows_of(&b);
    describe_forward(&b, &forward, &x);
    onednn_check(&b, dnnl_softmax_v2_backward_desc_init(&desc, dnnl_softmax_accurate, &x, &x, &x, 1), "softmax");
    onednn_describe(&b, &desc, &forward);
    onednn_execute(&b, 3,
                   (onednn_argument[]){
                       {DNNL_ARG_DST, onednn_input(&b, 0, &x)},
                       {DNNL_ARG_DIFF_DST, onednn_input(&b, 1, &x)},
                       {DNNL_ARG_DIFF_SRC, onednn_output(&b, 0, &x)},
                   });
    return onednn_end(&b);
}

const hct_kernel onednn_softmax[] = {ONEDNN_KERNELS("softmax", plan_forward),
                                     ONEDNN_KERNELS("softmax.bwd", plan_backward),
                                     {.name = NULL}};
