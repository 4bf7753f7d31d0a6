/* One plane of an image, filtered along both its axes (spline.h) and resampled along those where new places are
 * given: the part of a 3D cubic spline that concerns a plane alone. What volumes and stacks of slices share. */
#ifndef IMAGING_PLANE_FIT_H
#define IMAGING_PLANE_FIT_H

#include "imaging/spline.h"

typedef struct plane_fit {
    int64_t dim[2];      /* of the plane: x, fastest in memory, and y */
    spline_span span[2]; /* the parts that are filtered */
    const spline_tap
        *tap[2];  /* where the new columns and rows lie, n of each; NULL: coefficients are kept as they are */
    int64_t n[2]; /* columns and rows of the result; where coefficients are kept those of the span */
} plane_fit;

/* Doubles of scratch memory that plane_fit_run wants. */
size_t plane_fit_scratch(const plane_fit *f);
/* plane: float32 or int16 voxels, by dtype. to: n[1] rows of n[0]. First along y, then along x. */
void plane_fit_run(const plane_fit *f, const void *plane, int32_t dtype, double *scratch, double *to);

/* Planes of `plane` coefficients, `stride` apart, element m of the span at c + m * stride: fills in those that lie
 * outside the image (copies of its first and last), then filters along the third axis. stride: a multiple of
 * SPLINE_LINES. On all of OpenMP's threads. */
void plane_fit_depth(double *c, int64_t plane, int64_t stride, const spline_span *span, int64_t depth);
/* Such a stride. */
int64_t plane_fit_stride(int64_t plane);

#endif
