/* A picture of what MAE learned: a validation scan, what the encoder saw of it, and the decoder's answer. */
#ifndef PRETRAIN_RECONSTRUCTION_H
#define PRETRAIN_RECONSTRUCTION_H

#include "pretrain/mae_step.h"

/* After a run of a forward-only step whose micro-batch 0 was filled: draws the scan of the batch whose middle axial
 * slice shows most (largest variance; channel 0's window) as three tiles: scan | visible patches | visible patches
 * with the hidden ones filled in. */
hct_status reconstruction_draw(mae_step *s, const mae_config *c, const char *path, hct_err *err);

#endif
