/* Low-rank adaptation of the attention's products (Hu et al. 2022): beside a frozen W [out, in] a trained A [rank,
 * in] and B [out, rank],
 *
 *   y = x W^T + b + (alpha / rank) (x A^T) B^T        x [..., in], whatever stands before the last axis
 *
 * B starts at 0, so the model starts as it was. Merged, W + (alpha / rank) B A gives the same y with no further
 * tensors: that is what a weights file holds. Names: blocks.L.attn.qkv.lora_a, .lora_b, blocks.L.attn.proj.lora_a,
 * .lora_b, and lora.scale [1] = alpha / rank. */
#ifndef MODELS_LORA_H
#define MODELS_LORA_H

#include "models/vit.h"

#define LORA_SCALE "lora.scale"

/* Declares A (normal, standard deviation 0.02), B (zero) and the scale; params_init draws them. */
void lora_declare(params *, const vit_config *, int64_t rank, double alpha);
/* The low-rank part of a layer's result; 0 where NAME has none. */
hct_id lora_branch(hct_tape *, params *, const char *name, hct_id x);
/* Copies every tensor of `into` from p, where there is A and B with their product added. */
hct_status lora_merge(const params *p, params *into, hct_err *err);

/* w [out, in] += scale b [out, rank] a [rank, in] */
void lora_add(float *w, const float *b, const float *a, double scale, int64_t out, int64_t in, int64_t rank);

#endif
