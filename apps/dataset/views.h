/* Which views of a scan training sees: crops and augmentations, drawn from numbers alone. The same seed, epoch, scan
 * and view give the same draw, whatever the threads, ranks or restarts. The ct_views op (plugins/ct_views) makes the
 * views from these parameters. */
#ifndef DATASET_VIEWS_H
#define DATASET_VIEWS_H

#include "hct/types.h"
#include "hct/view.h"

typedef enum views_shape { VIEWS_CUBE, VIEWS_BOX } views_shape;
typedef enum views_placement { VIEWS_ALL, VIEWS_PUBLISHED } views_placement;

typedef struct views_config {
    int64_t global, local;                 /* views a scan */
    int64_t global_edge[2], local_edge[2]; /* shortest and longest edge of a crop, mm */
    views_shape shape;
    /* crops lie in this cube (mm); voxels of the source are this many mm wide */
    int64_t region, shrink;
    double flip;                  /* probability, each axis */
    double shift, shift_prob;     /* uniform in [-shift, shift], window units */
    double smooth_prob, sigma[2]; /* uniform, each axis */
    double gamma_prob, gamma[2];  /* uniform */
    views_placement placement;
} views_config;

/* HCT_EINVAL names the key and what it must be. */
hct_status views_check(const views_config *, hct_err *err);
/* Edge of the source volume in its own voxels: the region, shrunk. */
static inline int64_t views_source(const views_config *c) { return c->region / c->shrink; }
/* Whether anything is ever flipped, shifted, smoothed or gamma-adjusted. */
int views_augments(const views_config *);

/* View `view` (the first `global` are the global ones) of a scan in an epoch, cropped from a cube of views_source
 * voxels. */
void views_draw_crop(const views_config *, uint64_t seed, uint64_t epoch, uint64_t scan, int64_t view,
                     float ret[HCT_VIEW_FLOATS]);
/* A view of the whole image of `size` voxels: flips and shift only, as MAE and fine-tuning use them. */
void views_draw_whole(const views_config *, uint64_t seed, uint64_t epoch, uint64_t scan, int64_t size,
                      float ret[HCT_VIEW_FLOATS]);

#endif
