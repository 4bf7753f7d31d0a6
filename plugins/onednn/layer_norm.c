/* Layer norm over rows without gaps. oneDNN's statistics are mean and variance, ours mean and rstd: see norm.c. */
#include "onednn.h"

static const unsigned affine = dnnl_use_scale | dnnl_use_shift;

typedef struct shapes {
    dnnl_memory_desc_t x, statistic, c; /* [rows, C], [rows], [C]; F32 */
} shapes;

static shapes shapes_of(onednn_build *b) {
    const hct_view *x = b->problem->in;
    int64_t c = x->dim[x->ndim - 1], rows = hct_numel(x) / c;
    onednn_want_dense(b);
    return (shapes){onednn_dense(b, HCT_F32, 2, (dnnl_dims_t){rows, c}), onednn_dense(b, HCT_F32, 1, &rows),
                    onednn_dense(b, HCT_F32, 1, &c)};
}

static void describe_forward(onednn_build *b, dnnl_layer_normalization_desc_t *ret, const shapes *s, double eps) {
    onednn_check(b,
                 dnnl_layer_normalization_forward_desc_init(ret, dnnl_forward_training, &s->x, &s->statistic,
                                                            (float)eps, affine),
                 "layer norm");
}

/* layer_norm(x, w, b) -> y, mean, rstd */
static hct_status plan_forward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    dnnl_layer_normalization_desc_t desc;
    double eps = hct_attr_real(p->attr, p->n_attr, "eps", 0);
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    shapes s = shapes_of(&b);
    describe_forward(&b, &desc, &s, eps);
    onednn_describe(&b, &desc, NULL);
    int var = onednn_temporary(&b, &s.statistic);
    onednn_execute(&b, 6,
                   (onednn_argument[]){
                       {DNNL_ARG_SRC, onednn_float_input(&b, 0, &s.x)},
                       {DNNL_ARG_SCALE, onednn_float_input(&b, 1, &s.c)},
                       {DNNL_ARG_SHIFT, onednn_float_input(&b, 2, &s.c)},
                       {DNNL_ARG_MEAN, onednn_output(&b, 1, &s.statistic)},
                       {DNNL_ARG_VARIANCE, var},
                       {DNNL_ARG_DST, onednn_float_output(&b, 0, &s.x)},
                   });
    onednn_append(&b, (onednn_step){.loop = onednn_rstd_of_var,
                                    .n = 2,
                                    .of = {var, onednn_output(&b, 2, &s.statistic)},
                                    .size = {s.x.dims[0]},
                                    .number = eps});
    return onednn_end(&b);
}

/* layer_norm.bwd(x, w, mean, rstd, dy) -> dx, dw, db */
static hct_status plan_backward(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    dnnl_layer_normalization_desc_t forward, desc;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    shapes s = shapes_of(&b);
    describe_forward(&b, &forward, &s, 0);
    onednn_check(&b,
                 dnnl_layer_normalization_backward_desc_init(&desc, dnnl_backward, &s.x, &s.x, &s.statistic, 0, affine),
                 "layer norm");
    onednn_describe(&b, &desc, &forward);
    /* what it is told of the shift it does not read */
    int var = onednn_temporary(&b, &s.statistic), w = onednn_float_input(&b, 1, &s.c);
    onednn_append(&b, (onednn_step){.loop = onednn_var_of_rstd,
                                    .n = 2,
                                    .of = {onednn_input(&b, 3, &s.statistic), var},
                                    .size = {s.x.dims[0]}});
    onednn_execute(&b, 9,
                   (onednn_argument[]){
                       {DNNL_ARG_SRC, onednn_float_input(&b, 0, &s.x)},
                       {DNNL_ARG_SCALE, w},
                       {DNNL_ARG_SHIFT, w},
                       {DNNL_ARG_MEAN, onednn_input(&b, 2, &s.statistic)},
                       {DNNL_ARG_VARIANCE, var},
                       {DNNL_ARG_DIFF_DST, onednn_float_input(&b, 4, &s.x)},
                       {DNNL_ARG_DIFF_SRC, onednn_float_output(&b, 0, &s.x)},
                       {DNNL_ARG_DIFF_SCALE, onednn_float_output(&b, 1, &s.c)},
                       {DNNL_ARG_DIFF_SHIFT, onednn_float_output(&b, 2, &s.c)},
                   });
    return onednn_end(&b);
}

const hct_kernel onednn_layer_norm[] = {ONEDNN_KERNELS("layer_norm", plan_forward),
                                        ONEDNN_KERNELS("layer_norm.bwd", plan_backward),
                                        {.name = NULL}};
