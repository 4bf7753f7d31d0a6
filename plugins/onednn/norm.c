/* Batch norm of volumes over rows as they lie. A training step's statistics are ours (statistics.c): oneDNN adds up
 * a channel in F32 one by one, which at 35,000 values is 50 eps off. Its backward wants the variance where ours
 * keeps rstd: it is given 1/rstd^2, and 0 for eps. bf16 is converted to F32 and back: its rows are read three times
 * as slowly as F32's. */
#include "onednn.h"

/* [N, C, 1, rest] in F32 */
static dnnl_memory_desc_t volume_of(onednn_build *b, const hct_view *x) {
    int64_t rest = 1;
    for (int d = 2; d < x->ndim; d++) rest *= x->dim[d];
    return onednn_dense(b, HCT_F32, 4, (dnnl_dims_t){x->dim[0], x->dim[1], 1, rest});
}

static void describe_forward(onednn_build *b, dnnl_batch_normalization_desc_t *ret, const dnnl_memory_desc_t *x,
                             double eps) {
    onednn_check(b,
                 dnnl_batch_normalization_forward_desc_init(ret, dnnl_forward_training, x, (float)eps,
                                                            dnnl_use_scale | dnnl_use_shift | dnnl_use_global_stats),
                 "batch norm");
}

/* batch_norm3d(x, w, b) -> y, mean, rstd, var; batch_norm3d_eval(x, w, b, mean, var) -> y */
static hct_status plan_forward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    dnnl_batch_normalization_desc_t desc;
    int given = p->n_in == 5;
    double eps = hct_attr_real(p->attr, p->n_attr, "eps", 0);
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    onednn_want_dense(&b);
    dnnl_memory_desc_t x = volume_of(&b, p->in), c = onednn_dense(&b, HCT_F32, 1, &p->in[0].dim[1]);
    describe_forward(&b, &desc, &x, eps);
    onednn_describe(&b, &desc, NULL);
    int mean = given ? onednn_input(&b, 3, &c) : onednn_output(&b, 1, &c),
        var = given ? onednn_input(&b, 4, &c) : onednn_output(&b, 3, &c);
    int from = onednn_float_input(&b, 0, &x);
    if (!given)
        onednn_append(&b, (onednn_step){.loop = onednn_statistics,
                                        .n = 4,
                                        .of = {from, mean, onednn_output(&b, 2, &c), var},
                                        .number = eps,
                                        .size = {x.dims[0], x.dims[1], x.dims[3]}});
    onednn_execute(&b, 6,
                   (onednn_argument[]){
                       {DNNL_ARG_SRC, from},
                       {DNNL_ARG_SCALE, onednn_float_input(&b, 1, &c)},
                       {DNNL_ARG_SHIFT, onednn_float_input(&b, 2, &c)},
                       {DNNL_ARG_MEAN, mean},
                       {DNNL_ARG_VARIANCE, var},
                       {DNNL_ARG_DST, onednn_float_output(&b, 0, &x)},
                   });
    return onednn_end(&b);
}

/* batch_norm3d.bwd(x, w, mean, rstd, dy) -> dx, dw, db; batch_norm3d_eval.bwd(x, w, mean, var, dy) */
static hct_status backward(const hct_problem *p, hct_plan *plan, hct_err *err, int fixed) {
    onednn_build b;
    dnnl_batch_normalization_desc_t forward, desc;
    double eps = fixed ? hct_attr_real(p->attr, p->n_attr, "eps", 0) : 0;
    unsigned more = fixed ? dnnl_use_global_stats : 0;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    onednn_want_dense(&b);
    dnnl_memory_desc_t x = volume_of(&b, p->in), c = onednn_dense(&b, HCT_F32, 1, &p->in[0].dim[1]);
    describe_forward(&b, &forward, &x, eps);
    onednn_check(&b,
                 dnnl_batch_normalization_backward_desc_init(&desc, dnnl_backward, &x, &x, (float)eps,
                                                             dnnl_use_scale | dnnl_use_shift | more),
                 "batch norm");
    onednn_describe(&b, &desc, &forward);
    int spread = onednn_input(&b, 3, &c), var = fixed ? spread : onednn_temporary(&b, &c);
    if (!fixed)
        onednn_append(&b, (onednn_step){.loop = onednn_var_of_rstd, .n = 2, .of = {spread, var}, .size = {c.dims[0]}});
    int w = onednn_float_input(&b, 1, &c); /* what it is told of the shift it does not read */
    onednn_execute(&b, 9,
                   (onednn_argument[]){
                       {DNNL_ARG_SRC, onednn_float_input(&b, 0, &x)},
                       {DNNL_ARG_SCALE, w},
                       {DNNL_ARG_SHIFT, w},
                       {DNNL_ARG_MEAN, onednn_input(&b, 2, &c)},
                       {DNNL_ARG_VARIANCE, var},
                       {DNNL_ARG_DIFF_DST, onednn_float_input(&b, 4, &x)},
                       {DNNL_ARG_DIFF_SRC, onednn_float_output(&b, 0, &x)},
                       {DNNL_ARG_DIFF_SCALE, onednn_float_output(&b, 1, &c)},
                       {DNNL_ARG_DIFF_SHIFT, onednn_float_output(&b, 2, &c)},
                   });
    return onednn_end(&b);
}
static hct_status plan_backward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    return backward(p, plan, err, 0);
}
static hct_status plan_eval_backward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    return backward(p, plan, err, 1);
}

const hct_kernel onednn_norm[] = {ONEDNN_KERNELS("batch_norm3d", plan_forward),
                                  ONEDNN_KERNELS("batch_norm3d_eval", plan_forward),
                                  ONEDNN_KERNELS("batch_norm3d.bwd", plan_backward),
                                  ONEDNN_KERNELS("batch_norm3d_eval.bwd", plan_eval_backward),
                                  {.name = NULL}};
