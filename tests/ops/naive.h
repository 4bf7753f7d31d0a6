/* What ops mean, as plain loops over doubles: each reads k->x and fills k->y. Defined from the op's formula (the paper
 * or PyTorch's documentation), not from a kernel. */
#ifndef TESTS_OPS_NAIVE_H
#define TESTS_OPS_NAIVE_H

#include "conformance.h"

/* naive_math.c */
void naive_add(call *), naive_sub(call *), naive_mul(call *), naive_scale(call *), naive_gelu(call *),
    naive_relu(call *), naive_relu_bwd(call *), naive_rsqrt(call *);
void naive_cast(call *), naive_copy(call *), naive_fill(call *), naive_dropout(call *), naive_sum(call *);
void naive_linear(call *), naive_linear_gelu(call *), naive_linear_int8(call *), naive_matmul(call *);
void naive_attention(call *), naive_attention_bwd_packed(call *);
void naive_bias_gelu(call *), naive_bias_gelu_bwd(call *), naive_add_layer_norm(call *);
void naive_layer_norm(call *), naive_batch_norm(call *), naive_update(call *), naive_l2(call *);
void naive_softmax(call *), naive_cross_entropy(call *), naive_mse(call *);
/* naive_dino.c */
void naive_dino_loss(call *), naive_dino_loss_bwd(call *), naive_ema(call *);
/* naive_views.c */
void naive_views(call *);
/* naive_volume.c */
void naive_conv(call *), naive_conv_bwd_x(call *), naive_conv_bwd_w(call *);
void naive_max_pool(call *), naive_max_pool_bwd(call *), naive_avg_pool(call *), naive_avg_pool_bwd(call *);
void naive_batch_norm3d(call *), naive_batch_norm3d_eval(call *);
/* naive_move.c */
void naive_permute(call *), naive_expand(call *), naive_slice(call *), naive_slice_bwd(call *), naive_split(call *),
    naive_concat(call *);
void naive_gather(call *), naive_gather_bwd(call *), naive_unfold(call *), naive_fold(call *);
/* naive_optim.c */
void naive_all_reduce(call *), naive_all_reduce_wait(call *), naive_grad_norm(call *), naive_adam(call *),
    naive_sgd(call *);

#endif
