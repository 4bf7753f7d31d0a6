/* Cubic B-spline interpolation as scipy.ndimage does it for mode='nearest', order=3, in double.
 * Method: M. Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Proc. Mag. 16(6), 1999.
 *
 * One axis at a time: SPLINE_LINES lines lie side by side in a block, element m of line x at block[m * stride + x], so
 * that the recursion along a line runs over vectors. The same bits come out with and without AVX2. */
#ifndef IMAGING_SPLINE_H
#define IMAGING_SPLINE_H

#include "hct/types.h"

/* The image is extended by SPLINE_PAD voxels of its edge value on every side before it is filtered. What lies
 * SPLINE_REACH elements away has an influence below 1e-15 on a coefficient. */
enum { SPLINE_PAD = 12, SPLINE_REACH = 30, SPLINE_LINES = 32 };

/* Four neighbours and their weights: the value at a coordinate is sum w[q] * c[at[q]]. */
typedef struct spline_tap {
    int64_t at[4];
    double w[4];
} spline_tap;

/* The part of an extended axis that is filtered: element m is the voxel first + m (outside the image its edge), n >= 2.
 */
typedef struct spline_span {
    int64_t first, n;
} spline_span;

/* The part that coordinates from low to high (in voxels) need, of an axis of `dim` voxels. */
spline_span spline_span_of(int64_t dim, double low, double high);
/* The voxel whose value element m has. */
static inline int64_t spline_voxel(const spline_span *s, int64_t m, int64_t dim) {
    int64_t i = s->first + m;
    return i < 0 ? 0 : i >= dim ? dim - 1 : i;
}
/* The taps, as elements of the span, for coordinate x; beyond the extended axis x is clamped to its ends. */
spline_tap spline_tap_at(double x, int64_t dim, const spline_span *s);

/* Replaces n >= 2 elements of SPLINE_LINES lines by the coefficients of the splines through them (half-sample symmetric
 * ends). */
void spline_filter(double *block, int64_t n, int64_t stride);
/* to[i] = sum w[q] * c[t->at[q] * stride + i], i < n. */
void spline_blend(const spline_tap *t, const double *c, int64_t stride, int64_t n, double *to);
/* The same, rounded to float32, or further to int16 (half to even, saturated). */
void spline_blend_f32(const spline_tap *t, const double *c, int64_t stride, int64_t n, float *to);
void spline_blend_i16(const spline_tap *t, const double *c, int64_t stride, int64_t n, int16_t *to);
/* to[i] = the spline with coefficients c (the span's, along an axis of dim voxels) at x0 + i step, i < n. c[-1],
 * c[s->n] and c[s->n + 1] are there to be written. */
void spline_sample(double *c, const spline_span *s, int64_t dim, double x0, double step, int64_t n, double *to);

#endif
