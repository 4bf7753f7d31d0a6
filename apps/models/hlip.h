/* HLIP's image encoder (v1 for head CT, and the models of 2026): a vision transformer over all scans of a study, of
 * which each HU window of each series is one. x [B, scans, D0, D1, D2], any number of scans.
 *
 *   patches of each scan (linear) + spatial table (+ row n of the sequence table, for scan n)
 *   blocks (pre-norm, exact GELU), each at one level: tokens see those of their slice (one depth of patches), their
 *     scan, or the whole study.
 *     Prefix tokens (class token, registers) are in each group: copied where groups are split, averaged where they
 *     are joined
 *   layer norm; the class token (v1), or it and the mean of all patches' tokens (where there are registers): the
 *     trunk [B, w or 2 w];
 *   times the projection, without bias: the embedding [B, out], which the published code then divides by its length
 *
 * Block i is at study level where i mod period is period - 1; with `slices` at scan level where it is period - 2,
 * else at slice level; without, all others are at scan level. No step holds a table of tokens x tokens
 * (hct_attention). Tensors have the published names behind "visual.trunk.", and projection.weight for
 * "visual.head.proj.weight". */
#ifndef MODELS_HLIP_H
#define MODELS_HLIP_H

#include "models/encoder.h"

extern const encoder_kind encoder_hlip;

#endif
