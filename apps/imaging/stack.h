/* A stack of parallel slices at their true positions, straight to a prepared volume: the resampling of resample.h for
 * images that no voxel grid describes.
 *
 * The new grid is the one that resample.h gives for the stack: its planes are parallel to the slices, its third axis
 * is their normal, 1 mm each way. So a slice is resampled in its own plane alone, by the cubic spline, where the new
 * grid's columns and rows meet it: a tilted gantry (slices that slide over each other) is an offset there, of either
 * sign, and leaves no shear. Along the normal a new voxel then lies between slices whose distances are known. Evenly
 * spaced (within STACK_EVEN_MM): the same cubic spline as of a volume; with no tilt either the result is that of the
 * equal NIfTI volume. Otherwise: linear between the two true neighbours. A spline through unequal steps overshoots
 * where they grow (7 mm beside 4 at the skull base), and nothing tells what lies between. Where slices slide, none of
 * them is drawn out beyond its edge: there is nothing (fill).
 *
 * Nothing is interpolated twice, and no volume of the source's size is ever held: slices are added in any order, each
 * costs its share of the new grid's plane. */
#ifndef IMAGING_STACK_H
#define IMAGING_STACK_H

#include "imaging/volume.h"

#define STACK_EVEN_MM 0.025

typedef struct slice_stack {
    int64_t n;                /* slices, 2 or more, in ascending order along row x column */
    int64_t columns, rows;    /* pixels of each */
    double spacing[2];        /* mm from column to column, from row to row */
    double row[3], column[3]; /* unit vectors along a row and down a column, in RAS */
    double (*position)[3];    /* n of them: the centre of each slice's first pixel, mm in RAS */
} slice_stack;

/* The stack's geometry, measured. */
typedef struct stack_shape {
    double normal[3];    /* row x column */
    double step;         /* mean distance along the normal */
    double shear[2];     /* mm by which a slice lies further along row and column than the one a millimetre below it */
    int even, straight;  /* distances are equal; slices lie straight above each other (both within STACK_EVEN_MM) */
    int64_t dim[3];      /* of the source in RAS order */
    double affine[4][4]; /* of the source in RAS order: exact where even; else that of its first and last slice */
} stack_shape;
/* HCT_EINVAL: fewer than 2 slices, or two at one place. */
hct_status stack_measure(const slice_stack *s, stack_shape *ret, hct_err *err);

typedef struct stack_options {
    int64_t size[3];
    int64_t shift[3]; /* of the cut from the middle, voxels of the 1 mm grid; 0: the paper's */
    int32_t dtype;    /* HCT_I16, HCT_F32 */
    float fill;
} stack_options;

typedef struct stack_resampler stack_resampler;

/* s is copied. HCT_ESHAPE: the grid would exceed 2^30 voxels; HCT_ENOMEM. */
hct_status stack_begin(const slice_stack *s, const stack_options *o, stack_resampler **ret, hct_err *err);
/* The grid before it is cut: its size and affine. */
void stack_grid(const stack_resampler *r, int64_t ret_dim[3], double ret_affine[4][4]);
/* Whether slice k has a part in the result: the others need not be added. */
int stack_wants(const stack_resampler *r, int64_t k);
/* Slice k, rows x columns, row by row. Each once, in any order, from any thread. */
hct_status stack_add(stack_resampler *r, int64_t k, const float *pixels, hct_err *err);
/* Makes the volume of all slices that were added (all that stack_wants), and the part of it that is not fill; frees
 * r. */
hct_status stack_end(stack_resampler *r, volume *ret, pad_box *ret_box, hct_err *err);
/* Gives up. r may be NULL. */
void stack_discard(stack_resampler *r);

#endif
