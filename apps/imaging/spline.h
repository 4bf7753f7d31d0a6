/* Cubic B-spline interpolation as scipy.ndimage does it for mode='nearest', order=3, in double.
 * Method: M. Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Proc. Mag. 16(6), 1999. */
#ifndef IMAGING_SPLINE_H
#define IMAGING_SPLINE_H

#include "imaging/volume.h"

/* The image is extended by this many voxels of its edge value on every side before it is filtered. */
enum { SPLINE_PAD = 12 };

typedef struct spline {
    int64_t dim[3]; /* of the extended image: the volume's + 2 * SPLINE_PAD */
    double *c;      /* coefficients, x fastest; owned */
} spline;

/* Four neighbours and their weights: the value at a coordinate is sum w[q] * c[at[q]]. */
typedef struct spline_tap {
    int64_t at[4];
    double w[4];
} spline_tap;

/* Coefficients whose spline passes through v's voxels (half-sample symmetric ends). HCT_ENOMEM. */
hct_status spline_fit(const volume *v, spline *ret, hct_err *err);
void spline_free(spline *s);

/* The taps for coordinate x (in voxels of the volume) along an axis whose extended length is n;
 * beyond the extended image x is clamped to its ends. */
spline_tap spline_tap_at(double x, int64_t n);

#endif
