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

#endif
