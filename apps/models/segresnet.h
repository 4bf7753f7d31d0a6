/* CT-FM's encoder: that of MONAI's SegResNet, on one channel.
 *
 *   conv 3 -> levels of blocks: x + conv 3(ReLU(norm(conv 3(ReLU(norm(x)))))), between levels conv 3 of stride 2 to
 *     twice the channels
 *   mean over all places: the embedding [B, 2^4 w]; the tokens are the places
 *
 * No convolution has a bias; norms are batch norms (eps 1e-5). Windows of the input follow one another along the
 * slices, as CT-FM's published head-CT recipe has them: [B, windows, D, H, W] is seen as [B, 1, windows D, H, W].
 * Tensors have the published names: conv_init.weight, layers.L.blocks.B.{norm1,conv1,norm2,conv2}.*,
 * layers.L.downsample.weight. */
#ifndef MODELS_SEGRESNET_H
#define MODELS_SEGRESNET_H

#include "models/encoder.h"

extern const encoder_kind encoder_ct_fm;

#endif
