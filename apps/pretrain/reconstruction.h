/* A picture of what MAE learned: a validation scan, what the encoder saw of it, and the decoder's answer. */
#ifndef PRETRAIN_RECONSTRUCTION_H
#define PRETRAIN_RECONSTRUCTION_H

#include "hct/hct.h"

/* A batch that was filled, and run without gradients. */
typedef struct reconstruction_batch {
    hct_tape *tape;
    int64_t batch, channels, edge, patch; /* edge of the image and of a patch, voxels */
    int normalize;                        /* predictions are of normalised patches: (t - mean) / sqrt(var + 1e-6) */
    const float *image;                   /* [batch, channels, edge, edge, edge] */
    hct_tensor *mask;                     /* F32 [batch, patches]: 1 is hidden */
    hct_id pred;                          /* [batch, patches, patch^3 channels], voxel order (d0, d1, d2, channel) */
} reconstruction_batch;

/* Draws the scan of the batch whose middle axial slice shows most (largest variance; channel 0's window) as three
 * tiles: scan | visible patches | visible patches with the hidden ones filled in. */
hct_status reconstruction_draw(const reconstruction_batch *b, const char *path, hct_err *err);

#endif
