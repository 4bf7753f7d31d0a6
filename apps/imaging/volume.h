/* volume: a 3D image in memory, as read from a NIfTI file.
 *
 * Axis order, said once for all of apps/imaging: dim[0], dim[1], dim[2] count voxels along x, y, z, and x is fastest
 * in memory, as in NIfTI: voxel (i, j, k) is data[i + dim[0] * (j + dim[1] * k)]. After volume_to_ras the axes point
 * to the patient's right, front and top. Model inputs (model_input.h) have the opposite order, z fastest.
 */
#ifndef IMAGING_VOLUME_H
#define IMAGING_VOLUME_H

#include "hct/types.h"

typedef struct volume {
    int64_t dim[3];
    double affine[4][4]; /* voxel indices (i, j, k, 1) to millimetres in RAS+ (right, anterior, superior) */
    int32_t dtype;       /* HCT_F32 or HCT_I16 */
    union {
        void *data; /* owned; NULL in an empty volume */
        float *f32;
        int16_t *i16;
    };
} volume;

/* Zeroes *ret, then allocates voxels (not set) and an identity affine. HCT_ENOMEM, HCT_EINVAL for a bad size. */
hct_status volume_alloc(volume *ret, int32_t dtype, const int64_t dim[3], hct_err *err);
/* Frees the voxels and leaves an empty volume. */
void volume_free(volume *v);
static inline int64_t volume_count(const volume *v) { return v->dim[0] * v->dim[1] * v->dim[2]; }

/* Widens an int16 volume in place; nothing to do for float32. On failure v is unchanged. */
hct_status volume_to_f32(volume *v, hct_err *err);
/* Rounds half to even and saturates at the range of int16, in place. On failure v is unchanged. */
hct_status volume_to_i16(volume *v, hct_err *err);

/* Permutes and flips axes so that they lie as near to right, anterior, superior as they can; no interpolation.
 * Which axis is nearest is decided as in nibabel's io_orientation: by the rotation part of the affine's polar
 * decomposition, axes with the clearest direction first. The affine follows. On failure v is unchanged. */
hct_status volume_to_ras(volume *v, hct_err *err);

/* How axes are permuted and flipped for that: axis a of an affine's voxels comes to lie along world[a] (0 right, 1
 * anterior, 2 superior), backwards where sign[a] is -1. */
void affine_ras_order(double affine[4][4], int world[3], int sign[3]);

/* Pads with `fill` or crops each axis about its centre, in place: padding puts floor(n/2) before and the rest after,
 * a crop starts at dim/2 - size/2 (both MONAI's ResizeWithPadOrCrop). The affine follows. */
hct_status volume_pad_crop(volume *v, const int64_t size[3], float fill, hct_err *err);
/* The same about another place than the middle: `shift` voxels further along each axis. */
hct_status volume_pad_crop_at(volume *v, const int64_t size[3], const int64_t shift[3], float fill, hct_err *err);
/* What volume_pad_crop does apart from copying voxels: a new volume *ret of `size`, all `fill`, with the affine that
 * follows from the grid dim and affine given; its voxels low..high-1 are those of the grid with `off` added. */
typedef struct pad_box {
    int64_t off[3], low[3], high[3];
} pad_box;
hct_status volume_padded(const int64_t dim[3], double affine[4][4], int32_t dtype, const int64_t size[3], float fill,
                         volume *ret, pad_box *box, hct_err *err);
hct_status volume_padded_at(const int64_t dim[3], double affine[4][4], int32_t dtype, const int64_t size[3],
                            const int64_t shift[3], float fill, volume *ret, pad_box *box, hct_err *err);

/* A copy of the voxels with z fastest, as pictures and model inputs have them: [x, y, z] row-major. The caller's to
 * free; NULL: no memory. */
float *volume_row_major(const volume *v, hct_err *err);

/* Length in mm of one step along each axis. */
void volume_spacing(const volume *v, double ret[3]);

/* The determinant of the affine's 3x3 part; 0 also where an entry is not finite. */
double affine_det(double a[4][4]);
/* ret = inverse of a (last row 0 0 0 1). -1 where a is singular. */
int affine_invert(double a[4][4], double ret[4][4]);
void affine_mul(double a[4][4], double b[4][4], double ret[4][4]);

#endif
