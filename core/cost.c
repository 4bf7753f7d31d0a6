/* Floating-point operations of one call: what a matrix product of its shape needs; cheap ops count as nothing. */
#include "internal.h"

#include <string.h>

double hct_node_flops(const hct_problem *p) {
    const hct_view *a = p->in;
    if (!strcmp(p->op, "linear") || !strcmp(p->op, "linear_gelu") || !strcmp(p->op, "linear_int8"))
        return 2.0 * (double)hct_numel(p->out) * (double)a[1].dim[1];
    if (!strcmp(p->op, "matmul") || !strcmp(p->op, "matmul_wide"))
        return 2.0 * (double)hct_numel(p->out) * (double)a[0].dim[a[0].ndim - 1];
    if (!strcmp(p->op, "conv3d")) return 2.0 * (double)hct_numel(p->out) * (double)(hct_numel(&a[1]) / a[1].dim[0]);
    if (!strcmp(p->op, "conv3d.bwd_x"))
        return 2.0 * (double)hct_numel(&a[1]) * (double)(hct_numel(&a[0]) / a[0].dim[0]);
    if (!strcmp(p->op, "conv3d.bwd_w"))
        return 2.0 * (double)hct_numel(&a[1]) * (double)(hct_numel(p->out) / p->out->dim[0]);
    int forward = !strcmp(p->op, "attention");
    /* q k^T and p v; backward: the gradients of those two's inputs. That a kernel computes q k^T once more is its own
     * affair: work that is done twice makes no model faster. */
    if (forward || !strcmp(p->op, "attention.bwd") || !strcmp(p->op, "attention.bwd_packed"))
        return (forward ? 4.0 : 8.0) * (double)hct_numel(&a[0]) * (double)a[1].dim[1];
    return 0;
}

void hct_node_product(const hct_problem *p, hct_call *ret) {
    const hct_view *a = p->in, *b = p->in + 1;
    int d = p->n_in ? a->ndim : 0;
    if (!strcmp(p->op, "linear") || !strcmp(p->op, "linear_gelu")) {
        ret->n = b->dim[0], ret->k = b->dim[1], ret->matrices = 1;
        ret->m = ret->n ? hct_numel(p->out) / ret->n : 0;
    } else if (!strcmp(p->op, "matmul") || !strcmp(p->op, "matmul_wide")) {
        ret->m = a->dim[d - 2], ret->k = a->dim[d - 1], ret->n = b->dim[d - 1];
        ret->matrices = ret->m && ret->n ? hct_numel(p->out) / (ret->m * ret->n) : 0;
    }
}
