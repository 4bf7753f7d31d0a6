/* A fingerprint of a prepared volume, by which the same scan is known again though its file was written anew: in
 * another orientation, cut smaller, with other slices, with noise, or mirrored.
 *
 * It is the head on two grids, about a place that the head itself gives: along z the level at which the section of the
 * body, from the top down, first has FINGERPRINT_SECTION mm^2; across, the middle of the body in the 120 mm below that.
 * A cell of 10 mm holds the mean of its voxels, clipped to -200..300 HU, and is not known where it reaches out of the
 * scan (into padding). A cell of 5 mm holds the mean of its soft tissue, where most of it is that.
 *
 * Two numbers tell two scans apart. `shape`: the root of the mean squared difference of the wide cells that both know,
 * HU, after the small shift that explains most of it, for thick slices tell the place to a few mm only. `detail`: how
 * far the fine cells, each less the mean of its neighbours and no more than 6 HU, go together (their correlation),
 * at about the same shift. The first is what skulls differ in, the second what folds, ventricles and bleeds do; noise
 * makes it smaller, but does not make two people alike. docs/splits.md has what was measured.
 */
#ifndef IMAGING_FINGERPRINT_H
#define IMAGING_FINGERPRINT_H

#include <stdbool.h>

#include "imaging/volume.h"

enum {
    FINGERPRINT_X = 15,
    FINGERPRINT_Y = 19,
    FINGERPRINT_Z = 12,
    FINGERPRINT_CELLS = FINGERPRINT_X * FINGERPRINT_Y * FINGERPRINT_Z,
    FINGERPRINT_CELL_MM = 10,
    FINGERPRINT_FINE_X = 30,
    FINGERPRINT_FINE_Y = 37,
    FINGERPRINT_FINE_Z = 24,
    FINGERPRINT_FINE = FINGERPRINT_FINE_X * FINGERPRINT_FINE_Y * FINGERPRINT_FINE_Z,
    FINGERPRINT_FINE_MM = 5,
    FINGERPRINT_ABOVE_MM = 15, /* the grid's top above that level */
    FINGERPRINT_SECTION = 6000,
    FINGERPRINT_UNKNOWN = 255,
    FINGERPRINT_VERSION = 1
};
/* Scans whose shapes are farther apart, or whose details go together less, are not the same (docs/splits.md). */
#define FINGERPRINT_SHAPE 7.5
#define FINGERPRINT_DETAIL 0.4

typedef struct fingerprint {
    unsigned char
        cell[FINGERPRINT_CELLS];          /* x fastest, from left to right; z from the top down; (HU + 200) 254 / 500 */
    unsigned char fine[FINGERPRINT_FINE]; /* (HU + 20) 254 / 140; FINGERPRINT_UNKNOWN: not soft tissue */
} fingerprint;

typedef struct fingerprint_apart {
    double shape, detail; /* INFINITY, -1: too few cells are known to both */
} fingerprint_apart;

/* v: prepared (scan.h), int16 or float32. Where there is no body no cell is known. HCT_ENOMEM. */
hct_status fingerprint_of(const volume *v, fingerprint *ret, hct_err *err);

/* mirrored: b with left and right exchanged. */
fingerprint_apart fingerprint_distance(const fingerprint *a, const fingerprint *b, bool mirrored);
/* Whether both are within the limits. */
bool fingerprint_is_same(const fingerprint_apart *d);

/* Many, to be compared in pairs quickly. */
typedef struct fingerprints fingerprints;
/* Borrows all[0..n). NULL: no memory. */
fingerprints *fingerprints_new(const fingerprint *all, size_t n);
void fingerprints_free(fingerprints *f);
/* Whether i and j are the same scan, as they are or mirrored, and how far apart. */
bool fingerprints_same(const fingerprints *f, size_t i, size_t j, fingerprint_apart *ret, bool *ret_mirrored);

#endif
