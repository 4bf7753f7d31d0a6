/* 3D residual networks of bottleneck blocks (He et al. 2016; Hara et al. 2018), as two kinds of encoder:
 *
 *   resnet3d  the published 3D-ResNets (conv1 7 x 7 x 7, stride 1,2,2; strides 1,2,2,2), from scratch or with weights;
 *             with `dilated` MedicalNet's form of it (conv1 stride 2,2,2; strides 1,2,1,1; dilation 1,1,2,4)
 *   merlin    Merlin's image encoder, a 2D ResNet-152 inflated to 3D (conv1 3 x 7 x 7, stride 1,2,2), with its two
 *             heads
 *
 *   conv1 -> batch norm -> ReLU -> max pool 3, stride 2
 *   4 stages of blocks: 1 x 1 x 1, 3 x 3 x 3 (the stride and dilation are here), 1 x 1 x 1 to 4 times the channels,
 *     each with batch norm and no bias; + the input, through 1 x 1 x 1 and batch norm where shapes differ (shortcut B);
 *     ReLU
 *   mean over all places: the embedding [B, 32 w]; the tokens are the places, [B, P, 32 w]
 *
 * Tensors have torchvision's names: conv1.weight, bn1.*, layerL.B.conv{1,2,3}.weight, layerL.B.bn{1,2,3}.*,
 * layerL.0.downsample.{0.weight,1.*}; Merlin's heads classifier.* and contrastive_head.*. Batch norms use the batch's
 * statistics where encoder_values.training is set and their weight is trained, else the running ones. */
#ifndef MODELS_RESNET3D_H
#define MODELS_RESNET3D_H

#include "models/encoder.h"

typedef struct resnet_config {
    int64_t blocks[4];
    int64_t width;                 /* channels of conv1, w: 64; stage s has w 2^s, and 4 times that at its end */
    int64_t channels;              /* that conv1's weight takes; an input of one channel meets their sum */
    int64_t stem;                  /* depth of conv1's kernel */
    int64_t dilated;               /* MedicalNet's strides and dilation */
    int64_t phecodes, contrastive; /* outputs of Merlin's heads; 0: there is no such head */
} resnet_config;

extern const encoder_kind encoder_resnet3d, encoder_merlin;

resnet_config resnet_of(const encoder *);

#endif
