/* Everything an encoder says of a ready input tensor.
 *
 * In: [B, C, D0, D1, D2] of any float type, of the weights' channels and of a size that the encoder takes (of a vit:
 * cubes of a multiple of its patch). Out, F32: tokens [B, N, width] after the last norm, cls [B, width] (the
 * embedding), attn.L [B, heads, N, N] of every layer L that has attention; metadata: format "headct-tokens/1",
 * weights_sha256, recipe_sha256, input_sha256 (of the file) and model. */
#ifndef INFERENCE_TOKENS_H
#define INFERENCE_TOKENS_H

#include "inference/model_file.h"

/* in: a safetensors file; its tensor `input`, or its only one. model.dim is set from it. */
hct_status tokens_run(const model_file_options *model, const char *device, const char *in, const char *out,
                      hct_err *err);

#endif
