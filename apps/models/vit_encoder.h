/* The vision transformer as a kind of encoder. */
#ifndef MODELS_VIT_ENCODER_H
#define MODELS_VIT_ENCODER_H

#include "models/encoder.h"
#include "models/vit.h"

extern const encoder_kind encoder_vit;

/* Its sizes as vit.h takes them; image and channels are those of e's input. */
vit_config vit_of(const encoder *e);
/* An encoder of those sizes, whose input is cut from `crop` voxels through these windows. */
encoder encoder_of_vit(const vit_config *, const hu_window *windows, int64_t crop);

#endif
