/* What attention matrices say. A layer's attention is [heads, N, N] (query, key), rows that sum to 1, of one scan; the
 * first `lead` tokens are class and registers, the others patches of a grid [g0, g1, g2] in C order. */
#ifndef EXPLAIN_ATTENTION_H
#define EXPLAIN_ATTENTION_H

#include "hct/types.h"

typedef struct attention_shape {
    int64_t layers, heads, tokens, lead;
    int64_t grid[3];
    double step[3]; /* mm between the centres of neighbouring patches along each axis */
} attention_shape;

/* HCT_ESHAPE where lead and grid do not make `tokens`. */
hct_status attention_check(const attention_shape *s, hct_err *err);

/* D_i = sum_j A_ij d(i, j) over patches, d in mm between centres (Dosovitskiy et al. 2021, appendix D.7; the paper's
 * Figure 4). attention: [layers, heads, N, N]; ret: [layers, heads, patches]. renormalise: divides by what a row gives
 * to patches. */
void attention_distance(const attention_shape *s, const float *attention, int renormalise, double *ret);

/* What the class token gives to each patch: mean over heads of one layer; ret [patches]. */
void attention_of_class(const attention_shape *s, const float *layer, double *ret);

/* Attention rollout (Abnar & Zuidema 2020, doi 10.18653/v1/2020.acl-main.385): the product over layers of
 * (A + I) / 2, A the mean over heads; the class token's row, patches alone. attention as above; ret [patches]. */
hct_status attention_rollout(const attention_shape *s, const float *attention, double *ret, hct_err *err);

#endif
