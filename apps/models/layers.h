/* Layers that models are made of: each takes its tensors by name from a set of parameters. */
#ifndef MODELS_LAYERS_H
#define MODELS_LAYERS_H

#include "models/params.h"

/* name.weight, name.bias; over the last axis. */
hct_id layers_norm(hct_tape *, params *, const char *name, hct_id x, double eps);
/* x w^T + b: name.weight, and name.bias and models/lora.h's where there are. */
hct_id layers_linear(hct_tape *, params *, const char *name, hct_id x);
/* gelu(x w^T + b), the exact form: name.weight, name.bias. */
hct_id layers_linear_gelu(hct_tape *, params *, const char *name, hct_id x);
/* Declares name.weight (1), name.bias (0), name.running_mean (0), name.running_var (1), each [width]; the last two are
 * not trained. */
void layers_declare_batch_norm(params *, const char *name, int64_t width);
/* Batch norm of volumes [N, C, ...]. In training, where its weight is trained, by the batch's statistics, and the
 * running ones move; else by the running ones. */
hct_id layers_batch_norm(hct_tape *, params *, const char *name, hct_id x, double momentum, double eps, int training);
/* That batch norm (norm.*) of the convolution of x by w, without bias. By running statistics it is one convolution with
 * other weights and a bias: w g / sqrt(var + eps), b - mean g / sqrt(var + eps), so that no pass over the volume is
 * made for it. */
hct_id layers_conv_norm(hct_tape *, params *, const char *norm, hct_id x, hct_id w, const int64_t stride[3],
                        const int64_t padding[3], const int64_t dilation[3], double momentum, double eps, int training);

#endif
