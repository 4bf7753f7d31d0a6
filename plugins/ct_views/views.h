/* Training views of CT volumes: crop, HU windows at each source voxel, area resize, flip, intensity shift, Gaussian
 * smoothing, gamma.
 *
 * One view's parameters are the floats of hct/view.h.
 *
 * Area resize is adaptive average pooling: bin i of m over n voxels covers floor(i n / m) to ceil((i + 1) n / m) -
 * 1. Smoothing: taps (erf(t (k + 1/2)) - erf(t (k - 1/2))) / 2 with t = 1 / (sqrt(2) sigma), k = -r..r, r =
 * int(max(4 sigma, 1/2) + 1/2), zeros outside. Gamma: ((x - low) / (range + 1e-7))^gamma range + low, low and range
 * over all channels. These are MONAI's. */
#ifndef CT_VIEWS_VIEWS_H
#define CT_VIEWS_VIEWS_H

#include <stdint.h>

#include "hct/view.h"

enum { MOST_TAPS = 2 * HCT_VIEW_TAPS + 1 };

/* A source in its memory order: [channels or 1][slow][mid][fast]. HU volumes have x fastest, ready images z. */
typedef struct view_source {
    const int16_t *hu;  /* int16 HU, windowed here; or */
    const float *ready; /* float32 channels, used as they are */
    int64_t dim[3];     /* along x, y, z */
    int channels;       /* windows, or channels of the ready image */
    float low[HCT_VIEW_WINDOWS], per_width[HCT_VIEW_WINDOWS];
} view_source;

/* Bytes of scratch that one call of view_make needs. */
uint64_t view_scratch(const view_source *, int64_t size);
/* out: float32 [channels, size, size, size], z fastest. */
typedef void view_maker(const view_source *, const float params[HCT_VIEW_FLOATS], int64_t size, float *out,
                        void *scratch);
/* The build of it for this processor. */
view_maker *view_make_best(void);

#endif
