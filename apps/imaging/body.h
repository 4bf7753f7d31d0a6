/* Where the patient's body lies in a scan, so that it can be said when the model's cube misses a part of the head,
 * and the cube be cut about the head instead. The body is the largest piece, connected by faces, of what is denser
 * than BODY_HU, on a coarse grid of cells of about BODY_CELL_MM in the slices' planes: a head, with the neck where
 * that was scanned; head holders, tables and tubes are pieces of their own, or hang on it without moving its middle. */
#ifndef IMAGING_BODY_H
#define IMAGING_BODY_H

#include "imaging/volume.h"

#define BODY_HU (-300)
#define BODY_CELL_MM 4.0
#define BODY_HEAD_MM 120.0 /* below the top of the body: what the head's middle is taken of */
#define BODY_TOP_MM 2.0    /* of air above the head in a cube that is cut about it */

typedef struct body_map {
    int64_t columns, rows, slices; /* of the scan, as its slices are stored */
    int64_t factor;                /* pixels along a side of a cell */
    int64_t cells[2];
    unsigned char *dense; /* [slices][cells y][cells x] */
} body_map;

/* spacing: of the pixels, mm. Free with body_map_free. */
hct_status body_map_begin(body_map *m, int64_t columns, int64_t rows, int64_t slices, double spacing, hct_err *err);
/* Slice k, rows x columns of HU. From several threads, each slice once. */
void body_map_plane(body_map *m, int64_t k, const float *pixels);
/* All of a volume. */
hct_status body_map_volume(body_map *m, const volume *v, hct_err *err);
void body_map_free(body_map *m);

/* Where slices lie: a pixel (x, y) of slice k is at origin[k] + x step_x + y step_y, mm in RAS. */
typedef struct body_slices {
    double (*origin)[3];
    double step_x[3], step_y[3], step_z[3]; /* step_z: from a slice to the next, on the average */
} body_slices;

typedef struct body_place {
    int found;
    double low[3], high[3]; /* what the body covers, to the edges of its cells and slices, voxels of the grid */
    double head[3];         /* the middle of the head across; along the grid's third axis the top of the body */
} body_place;

/* The largest body, in voxels of the 1 mm grid whose affine is given (resample.h). Leaves nothing but it in the map. */
hct_status body_find(body_map *m, const body_slices *at, double grid[4][4], body_place *ret, hct_err *err);

/* How far, in mm, the body reaches beyond the cube of `cube` voxels in the middle of a cut: the cut's voxel 0 is
 * voxel -off of the grid, its size `size`. 0: it lies inside (within a cell). */
double body_beyond(const body_place *p, const int64_t off[3], const int64_t size[3], int64_t cube);
/* By how many voxels a cut must be shifted (volume_padded_at) so that a cube of `cube` in its middle holds the head:
 * from BODY_TOP_MM above the top of the body down, and about the head's middle across. off and size: of the cut
 * without a shift. */
void body_shift(const body_place *p, const int64_t off[3], const int64_t size[3], int64_t cube, int64_t ret[3]);

#endif
