/* Fixed 3D sine-cosine positions, and their resampling to another grid. */
#ifndef MODELS_POSITION_H
#define MODELS_POSITION_H

#include <stdint.h>

/* table [grid^3, width], width a multiple of 6, q = width / 6, omega_m = 10000^(-m/q). Token (i, j, k) is row (i
 * grid + j) grid + k: [sin(j w), cos(j w), sin(i w), cos(i w), sin(k w), cos(k w)], q columns each: the second axis
 * comes first, as in the published tables (np.meshgrid's default order). */
void position_sincos(int64_t grid, int64_t width, float *table);

/* to [to_grid^3, width] from [from_grid^3, width], trilinear, half-pixel centres (align_corners off), edges held. */
void position_resample(const float *from, int64_t from_grid, float *to, int64_t to_grid, int64_t width);

#endif
