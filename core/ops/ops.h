/* core/ops/ops.h: what the op families share: checks for shape rules, and short forms for writing gradients. */
#ifndef HCT_OPS_INTERNAL_H
#define HCT_OPS_INTERNAL_H

#include "hct/hct.h"

#include <string.h>

/* A family: its ops, ended by NULL. */
extern const hct_op *const hct_ops_elementwise[],
    *const hct_ops_reduce[], *const hct_ops_matmul[],
                                 *const hct_ops_attention[],
                                     *const hct_ops_norm[],
                                         *const hct_ops_softmax[],
                                             *const hct_ops_loss[],
                                                 *const hct_ops_shape[],
                                                     *const hct_ops_tokens[],
                                                         *const hct_ops_optim[],
                                                             *const hct_ops_dino[],
                                                                 *const hct_ops_collective[],
                                                                     *const hct_ops_conv[],
                                                                         *const hct_ops_pool[],
                                                                             *const hct_ops_batch_norm3d[],
                                                                                 *const hct_ops_fused[];

#define HCT_OP(id, text, ...) static const hct_op id = {.size = sizeof(hct_op), .name = text, __VA_ARGS__}

static inline int is_real(int32_t dtype) {
    return dtype == HCT_F32 || dtype == HCT_F64 || dtype == HCT_BF16 || dtype == HCT_F16;
}
/* What statistics of x (means, log-sum-exps) are kept in. */
static inline int stat_dtype(const hct_view *x) { return x->dtype == HCT_F64 ? HCT_F64 : HCT_F32; }

/* HCT_OK where the call has n inputs and m outputs. */
hct_status hct_want(const hct_problem *p, uint32_t n_in, uint32_t n_out, hct_err *err);
/* HCT_OK where in[i] is real (first_real) and all of in[0..n) have in[0]'s dtype. */
hct_status hct_want_same_real(const hct_problem *p, uint32_t n, hct_err *err);
hct_status hct_want_dtype(const hct_problem *p, uint32_t i, int32_t dtype, hct_err *err);
/* HCT_OK where in[i] has exactly these dims. */
hct_status hct_want_dims(const hct_problem *p, uint32_t i, int ndim, const int64_t *dim, hct_err *err);
int hct_same_dims(const hct_view *a, const hct_view *b);
/* "[2,65,48]" in a rotating static-free buffer given by the caller. */
const char *hct_dims_text(const hct_view *v, char *out, size_t n);
/* out = a tensor of like's dtype with these dims. */
void hct_set(hct_view *out, int32_t dtype, int ndim, const int64_t *dim);

/* What gradients of a value are added up in: its own dtype, or that of the parameter it is a copy of. */
int32_t hct_grad_dtype(hct_tape *, hct_id);
/* The job's ranks. */
int hct_ranks(void);
/* x - mean over the axes (bits) of all ranks' x, in the statistics' dtype; that mean, and the population variance:
 * two exchanges, which gradients go through too. */
hct_id hct_centre_over_ranks(hct_tape *t, hct_id x, uint32_t axes, int keep, hct_id *ret_mean, hct_id *ret_var);

#define HCT_TRY(x)                                                                                                     \
    do {                                                                                                               \
        hct_status try_st = (x);                                                                                       \
        if (try_st != HCT_OK) return try_st;                                                                           \
    } while (0)

/* One call with one output. */
static inline hct_id op1(hct_tape *t, const char *op, const hct_id *in, uint32_t n_in, const hct_attr *a,
                         uint32_t n_a) {
    hct_id out = 0;
    hct_emit(t, op, in, n_in, a, n_a, &out, 1);
    return out;
}
#define OP1(t, op, ...)                                                                                                \
    op1((t), (op), (const hct_id[]){__VA_ARGS__}, sizeof((hct_id[]){__VA_ARGS__}) / sizeof(hct_id), NULL, 0)
static inline hct_attr hct_ints(const char *name, int n, const int64_t *v) {
    hct_attr a = {.name = name, .kind = HCT_ATTR_INTS, .n = n};
    for (int i = 0; i < n; i++) a.ints[i] = v[i];
    return a;
}
/* A negative axis counted from the end; -1 if out of range. */
static inline int hct_axis(int axis, int ndim) {
    if (axis < 0) axis += ndim;
    return axis >= 0 && axis < ndim ? axis : -1;
}

#endif
