/* Slices of volumes as greyscale PNG, alone or side by side with captions (cairo). */
#ifndef FIGURES_PICTURE_H
#define FIGURES_PICTURE_H

#include "hct/types.h"

/* Which axis of a RAS volume [n0 right][n1 anterior][n2 superior] a slice is cut across. Drawn as radiologists look at
 * it: the patient's right on the left (axial, coronal), the nose on the left (sagittal), up is up. */
typedef enum slice_plane { SLICE_SAGITTAL = 0, SLICE_CORONAL = 1, SLICE_AXIAL = 2 } slice_plane;

typedef struct picture_tile {
    const float *volume; /* dim[0] x dim[1] x dim[2], row-major */
    int64_t dim[3];
    slice_plane plane;
    int64_t at;          /* along the plane's axis; below 0: the middle */
    double low, high;    /* values drawn black and white; NaN is drawn blue */
    const char *caption; /* NULL: none */
    /* Of the same dims, drawn over it: nothing at overlay_low and below, from dark red to yellow at overlay_high. NULL:
     * none. A bar with its colours stands at the row's right. */
    const float *overlay;
    double overlay_low, overlay_high;
} picture_tile;

/* The same in rows of `columns`. */
hct_status picture_grid(const picture_tile *tiles, size_t n, size_t columns, int size, const char *path, hct_err *err);
/* The tiles in one row, each `size` pixels high; whole or not there. */
hct_status picture_write(const picture_tile *tiles, size_t n, int size, const char *path, hct_err *err);

/* A PNG that picture_write wrote, as bytes [rows, columns, 3], red first; the caller's to free. NULL and err. */
unsigned char *picture_rgb(const char *path, int *ret_rows, int *ret_columns, hct_err *err);

#endif
