/* Matrix products: linear (x w^T + b), GELU of that, and matmul (batched), any strides that leave the rows or the
 * columns of an operand without gaps. */
#include "onednn.h"

/* x w^T + b over the rows of x [..., K]; linear_gelu: its GELU, where nobody wants x w^T */
static hct_status plan_linear(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    dnnl_matmul_desc_t desc;
    const hct_view *x = &p->in[0], *w = &p->in[1];
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    if (p->n_out == 2) {
        if (!HCT_HAS(p, unused) || !(p->unused & 2)) onednn_refuse(&b, "the product itself is wanted beside its GELU");
        plan->leaves = 2;
        b.gelu = 1;
    }
    if (!hct_is_contiguous(x) || !hct_is_contiguous(p->out) || (p->n_in == 3 && !hct_is_contiguous(&p->in[2])))
        onednn_refuse(&b, "an operand has gaps");
    int64_t in = w->dim[1], out = w->dim[0], rows = hct_numel(x) / in;
    dnnl_memory_desc_t X = onednn_dense(&b, x->dtype, 2, (dnnl_dims_t){rows, in}),
                       W = onednn_strided(&b, x->dtype, 2, (dnnl_dims_t){in, out},
                                          (dnnl_dims_t){w->stride[1], w->stride[0]}),
                       Y = onednn_dense(&b, x->dtype, 2, (dnnl_dims_t){rows, out}),
                       B = onednn_dense(&b, x->dtype, 2, (dnnl_dims_t){1, out});
    onednn_check(&b, dnnl_matmul_desc_init(&desc, &X, &W, p->n_in == 3 ? &B : NULL, &Y), "matrix product");
    onednn_describe(&b, &desc, NULL);
    onednn_argument arg[4] = {
        {DNNL_ARG_SRC, onednn_input(&b, 0, &X)},
        {DNNL_ARG_WEIGHTS, onednn_input(&b, 1, &W)},
        {DNNL_ARG_DST, onednn_output(&b, 0, &Y)},
    };
    if (p->n_in == 3) arg[3] = (onednn_argument){DNNL_ARG_BIAS, onednn_input(&b, 2, &B)};
    onednn_execute(&b, p->n_in == 3 ? 4 : 3, arg);
    return onednn_end(&b);
}

/* a [..., M, K] b [..., K, N], in the output's dtype */
static hct_status plan_matmul(hct_device *d, const hct_problem *p, hct_plan *plan, hct_err *err) {
    (void)d;
    onednn_build b;
    dnnl_matmul_desc_t desc;
    if (!onednn_begin(&b, p, plan, err)) return b.status;
    dnnl_memory_desc_t X = onednn_view(&b, &p->in[0]), W = onednn_view(&b, &p->in[1]), Y = onednn_view(&b, p->out);
    onednn_check(&b, dnnl_matmul_desc_init(&desc, &X, &W, NULL, &Y), "matrix product");
    onednn_describe(&b, &desc, NULL);
    onednn_execute(&b, 3,
                   (onednn_argument[]){
                       {DNNL_ARG_SRC, onednn_input(&b, 0, &X)},
                       {DNNL_ARG_WEIGHTS, onednn_input(&b, 1, &W)},
                       {DNNL_ARG_DST, onednn_output(&b, 0, &Y)},
                   });
    return onednn_end(&b);
}

const hct_kernel onednn_products[] = {ONEDNN_KERNELS("linear", plan_linear),
                                      ONEDNN_KERNELS("linear_gelu", plan_linear),
                                      ONEDNN_KERNELS("matmul", plan_matmul),
                                      ONEDNN_KERNELS("matmul_wide", plan_matmul),
                                      {.name = NULL}};
