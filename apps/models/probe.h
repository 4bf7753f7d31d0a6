/* The linear probe: batch norm without affine (eps 1e-6, momentum 0.1), then one linear layer on frozen features. */
#ifndef MODELS_PROBE_H
#define MODELS_PROBE_H

#include "models/params.h"

#define PROBE_EPS 1e-6
#define PROBE_MOMENTUM 0.1

/* Declares PREFIXbn.running_mean, PREFIXbn.running_var [width], PREFIXlinear.weight [classes, width], PREFIXlinear.bias. */
void probe_declare(params *, const char *prefix, int64_t width, int64_t classes);
/* x [B, width] -> logits [B, classes]. In training the running statistics move. */
hct_id probe_forward(hct_tape *, params *, const char *prefix, hct_id x, int training);

#endif
