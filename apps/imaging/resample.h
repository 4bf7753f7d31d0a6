/* Resampling to 1 mm cubic voxels exactly as MONAI 1.2.0's Spacing(pixdim=1, mode=3) does it. */
#ifndef IMAGING_RESAMPLE_H
#define IMAGING_RESAMPLE_H

#include "imaging/volume.h"

/* The grid that MONAI chooses. With M = the affine's 3x3 part, Z = the upper Cholesky factor of M'M: rotation = M Z^-1
 * (shear is dropped, an oblique rotation stays), new affine B = rotation, 1 mm. In voxels of B, the centres of the
 * input's 8 corner voxels span an extent; size = round-half-even(extent + 1), a half
 * being one within 1e-10. The corner that is the minimum along all
 * axes (within 1e-8) becomes the origin; without one, origin = A (size_in / 2) - B (size_out / 2).
 * HCT_ESHAPE where the grid would exceed 2^30 voxels. */
hct_status resample_grid_1mm(const volume *v, int64_t ret_dim[3], double ret_affine[4][4], hct_err *err);
/* The same, M's columns taken in that order (MONAI: 0, 1, 2): of a sheared M the first two give the plane that the
 * new grid keeps, the third is turned square to it. */
hct_status resample_grid_1mm_along(const volume *v, const int order[3], int64_t ret_dim[3], double ret_affine[4][4],
                                   hct_err *err);
/* The same with other voxels than 1 mm: `spacing` along its axes. */
hct_status resample_grid_along(const volume *v, const int order[3], const double spacing[3], int64_t ret_dim[3],
                               double ret_affine[4][4], hct_err *err);
/* Maps voxels of the grid dim, to_world to those of v: old = m[a][0..2] new + m[a][3]. Returns whether both are one
 * grid (volume_resample_1mm). */
int resample_index_map(const volume *v, const int64_t dim[3], double to_world[4][4], double m[3][4]);

/* Replaces v by its cubic spline (spline.h) on that grid, float32; overshoot is not clipped. A volume that lies on the
 * new grid already (same size; both affines, or the map between them and the identity, equal within 1e-3) is only
 * widened to float32 and keeps its affine. On failure v is unchanged. */
hct_status volume_resample_1mm(volume *v, hct_err *err);

/* What volume_resample_1mm, then (dtype HCT_I16) volume_to_i16, then volume_pad_crop to `size` would give, made in one
 * go: only the voxels that are kept are computed, and nothing of the new grid's size is held but the result. */
hct_status volume_resample_1mm_cut(volume *v, const int64_t size[3], int32_t dtype, float fill, hct_err *err);
/* The same cut `shift` voxels of the new grid further along each axis. */
hct_status volume_resample_1mm_cut_at(volume *v, const int64_t size[3], const int64_t shift[3], int32_t dtype,
                                      float fill, hct_err *err);

#endif
