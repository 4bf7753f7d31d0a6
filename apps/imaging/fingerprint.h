/* A fingerprint of a prepared volume, by which the same scan is known again though its file was written anew: in
 * another orientation, cut smaller, with other slices, with noise, or mirrored.
 *
 * It is the head on two grids, about a place that the head itself gives: along z the level at which the section of the
 * body, from the top down, first has FINGERPRINT_SECTION mm^2; across, the middle of the body in the 120 mm below that.
 * A cell of 10 mm holds the mean of its voxels, clipped to -200..300 HU, and is not known where it reaches out of the
 * scan (into padding). A cell of 5 mm holds the mean of its soft tissue, where most of it is that.
 *
 * Two numbers find the pairs that may be the same. `shape`: the root of the mean squared difference of the wide cells
 * that both know, HU, after the small shift that explains most of it, for thick slices tell the place to a few mm only.
 * `detail`: how far the fine cells, each less the mean of its neighbours and no more than 6 HU, go together (their
 * correlation), at about the same shift. Clipped values depend on how thick the slices were, and noise hides details,
 * so these two do not decide.
 *
 * What decides is the close grid: cells of 5 mm that hold the plain mean of HU, which no thickness of slices changes,
 * smoothed by a Gaussian of 5 mm. One of two is shifted onto the other until the root of the mean squared difference
 * is least (`difference`; no cell counts for more than 100 HU); `half` is what half of the cells differ by at most.
 * Both are over cells that are no air in one of the two. Skulls that are a little apart raise the first, folds and
 * ventricles the second. docs/splits.md has what was measured.
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
    FINGERPRINT_CLOSE_X = 32,
    FINGERPRINT_CLOSE_Y = 40,
    FINGERPRINT_CLOSE_Z = 24,
    FINGERPRINT_CLOSE = FINGERPRINT_CLOSE_X * FINGERPRINT_CLOSE_Y * FINGERPRINT_CLOSE_Z,
    FINGERPRINT_CLOSE_UNKNOWN = INT16_MIN,
    FINGERPRINT_VERSION = 2
};
/* Scans whose shapes are farther apart, or whose details go together less, are not looked at closely. */
#define FINGERPRINT_SHAPE 10.0
#define FINGERPRINT_DETAIL 0.2
/* Scans that differ more are not the same (docs/splits.md). */
#define FINGERPRINT_DIFFERENCE 7.2
#define FINGERPRINT_HALF 1.2

/* Held in memory of every scan. */
typedef struct fingerprint_quick {
    unsigned char
        cell[FINGERPRINT_CELLS];          /* x fastest, from left to right; z from the top down; (HU + 200) 254 / 500 */
    unsigned char fine[FINGERPRINT_FINE]; /* (HU + 20) 254 / 140; FINGERPRINT_UNKNOWN: not soft tissue */
} fingerprint_quick;

/* Looked up for pairs that may be the same. */
typedef struct fingerprint_close {
    int16_t cell[FINGERPRINT_CLOSE]; /* in the same order; eighths of HU; FINGERPRINT_CLOSE_UNKNOWN */
} fingerprint_close;

typedef struct fingerprint {
    fingerprint_quick quick;
    fingerprint_close close;
} fingerprint;

typedef struct fingerprint_apart {
    double shape, detail;    /* INFINITY, -1: too few cells are known to both */
    double difference, half; /* HU; INFINITY: likewise, or not looked at */
} fingerprint_apart;

/* v: prepared (scan.h), int16 or float32. Where there is no body no cell is known. HCT_ENOMEM. */
hct_status fingerprint_of(const volume *v, fingerprint *ret, hct_err *err);

/* shape and detail; mirrored: b with left and right exchanged. */
fingerprint_apart fingerprint_distance(const fingerprint_quick *a, const fingerprint_quick *b, bool mirrored);
/* difference and half. */
void fingerprint_look(const fingerprint_close *a, const fingerprint_close *b, bool mirrored, fingerprint_apart *io);
/* Whether a pair is to be looked at closely; and whether, after that, it is the same scan. */
bool fingerprint_may_be_same(const fingerprint_apart *d);
bool fingerprint_is_same(const fingerprint_apart *d);

/* The close grid of a volume about a place: voxels; top: of the grid. Part of fingerprint_of. */
hct_status fingerprint_close_of(const volume *v, double x, double y, double top, fingerprint_close *ret, hct_err *err);

/* Many, to be compared in pairs quickly. */
typedef struct fingerprints fingerprints;
/* Borrows all[0..n). NULL: no memory. */
fingerprints *fingerprints_new(const fingerprint_quick *all, size_t n);
void fingerprints_free(fingerprints *f);
/* Whether i and j may be the same scan, and how far apart they are in shape and detail. */
bool fingerprints_may_be_same(const fingerprints *f, size_t i, size_t j, bool mirrored, fingerprint_apart *ret);

#endif
