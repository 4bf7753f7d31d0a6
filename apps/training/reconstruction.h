/* A picture of what MAE learned: a validation scan, what the encoder saw of it, and the decoder's answer. */
#ifndef TRAINING_RECONSTRUCTION_H
#define TRAINING_RECONSTRUCTION_H

#include "training/mae_step.h"

/* After a run of a forward-only step whose micro-batch 0 was filled: draws scan `which` of the batch, channel 0's window, as
 * three tiles (scan | visible patches | visible patches with the hidden ones filled in) in the middle axial plane. */
hct_status reconstruction_draw(mae_step *s, const mae_config *c, int64_t which, const char *path, hct_err *err);

#endif
