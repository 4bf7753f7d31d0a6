/* Masked autoencoding of volumes (He et al. 2022, clean-room from the paper): the encoder sees the visible patches
 * only, a small decoder predicts the voxels of the others. */
#ifndef MODELS_VIT_MAE_H
#define MODELS_VIT_MAE_H

#include "models/pretext.h"
#include "models/vit.h"

typedef struct mae_config {
    vit_config encoder;               /* its norm_eps is MAE_NORM_EPS here */
    int64_t width, depth, heads, mlp; /* decoder */
    int decoder_bias;                 /* of decoder_embed, decoder_pred and the decoder's qkv */
    double mask_ratio;
    int normalize; /* targets per patch: (t - mean) / sqrt(var + 1e-6), var with n-1 */
    int inside;    /* the loss leaves out voxels that mae_inside leaves out */
} mae_config;

#define MAE_NORM_EPS 1e-5 /* of the encoder's last norm, as MAE's authors have it */

/* MAE as a pretext task; its own struct is a mae_config whose encoder is left empty. */
extern const pretext_kind pretext_mae;
mae_config mae_of(const pretext *, const encoder *);
pretext pretext_of_mae(const mae_config *);

/* What changes from step to step; device tensors of a batch. */
typedef struct mae_inputs {
    hct_tensor *image;   /* F32 [B, C, S, S, S] */
    hct_tensor *keep;    /* I32 [B, kept] : visible patches, in the order of the noise */
    hct_tensor *restore; /* I32 [B, L] : place of patch l among kept patches followed by masked ones */
    hct_tensor *mask;    /* F32 [B, L] : 1 is hidden */
    /* F32 [1, B, 16]: each image's flips and shift (dataset/views.h), done on the device; NULL: images as they are */
    hct_tensor *views;
    hct_tensor *inside;       /* F32 as image: mae_inside's, where the config has it; NULL: every voxel counts */
    hct_tensor *inside_views; /* views without their shifts, for inside */
} mae_inputs;

typedef struct mae_outputs {
    hct_id loss;   /* scalar */
    hct_id pred;   /* [B, L, patch^3 C], voxel order (d0, d1, d2, channel) */
    hct_id latent; /* [B, 1 + kept, width] after the encoder's last norm */
} mae_outputs;

hct_status mae_check(const mae_config *, hct_err *);
static inline int64_t mae_patches(const mae_config *c) { return vit_patches(&c->encoder); }
static inline int64_t mae_kept(const mae_config *c) { return (int64_t)((double)mae_patches(c) * (1 - c->mask_ratio)); }
void mae_declare(params *, const mae_config *);
hct_status mae_inputs_new(mae_inputs *, hct_dev *, const mae_config *, int64_t batch, hct_err *);
/* Adds `views` (and `inside_views`), which start as the whole images unchanged. */
hct_status mae_inputs_augment(mae_inputs *in, hct_dev *dev, const mae_config *, int64_t batch, hct_err *err);
/* Writes views [B, 16], and to inside_views the same without shifts (views is scratch after that). */
hct_status mae_set_views(const mae_inputs *, int64_t batch, float *views, hct_err *err);
void mae_inputs_free(mae_inputs *);
mae_outputs mae_forward(hct_tape *, params *, const mae_config *, const mae_inputs *);

/* noise [B, L] -> the three index tensors: patches in ascending order of noise (ties by number), the first `kept`
 * are visible. */
hct_status mae_set_mask(const mae_inputs *, const mae_config *, int64_t batch, const float *noise, hct_err *);
/* Which voxels of images [B, C, S, S, S] count where config.inside: 1 where a voxel and its six neighbours, of its own
 * channel, lie between 0.03 and 0.97 of the window, so that none of them is clamped by it but for a trace; else 0, and
 * on the surface of the cube, where a neighbour is not known. Ours, no part of the paper: air and bone, flat and easy,
 * otherwise decide what a small model learns (docs/results.md). The loss is the sum of squared errors of voxels that
 * count, over the number of all hidden voxels, so that batches and ranks add up as they do without it. */
void mae_inside(const mae_config *, int64_t batch, const float *image, float *ret);
/* noise of one scan: Philox keyed by seed and counted by step and scan, so that it does not depend on ranks or
 * threads. */
void mae_noise(uint64_t seed, uint64_t step, uint64_t scan, int64_t patches, float *noise);

#endif
