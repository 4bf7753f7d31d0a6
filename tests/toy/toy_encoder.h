/* An encoder in one file: each patch's voxels through one linear layer; the embedding is the mean over patches. */
#ifndef TOY_ENCODER_H
#define TOY_ENCODER_H

#include "models/encoder.h"

extern const encoder_kind encoder_toy;

#endif
