/* Everything an encoder says of a ready input tensor.
 *
 * In: [B, C, S, S, S] of any float type, C the weights' channels, S a multiple of their patch. Out, F32: tokens [B,
 * N, width] after the last norm, cls [B, width], attn.L [B, heads, N, N] of every block L; metadata: format
 * "headct-tokens/1", weights_sha256, recipe_sha256, input_sha256 (of the file) and model. */
#ifndef INFERENCE_TOKENS_H
#define INFERENCE_TOKENS_H

#include "inference/model_file.h"

/* in: a safetensors file; its tensor `input`, or its only one. model.image is set from it. */
hct_status tokens_run(const model_file_options *model, const char *device, const char *in, const char *out,
                      hct_err *err);

#endif
