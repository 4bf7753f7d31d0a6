/* From Hounsfield units to what a model sees: windows, and resizing by area (input_spec.h says which, and of what).
 *
 * A model input is float32 [C, X, Y, Z] in C order: channel (window) slowest, then x (to the patient's right), y (to
 * the front), z (to the top) fastest. A volume has x fastest (volume.h): the functions here transpose. */
#ifndef IMAGING_MODEL_INPUT_H
#define IMAGING_MODEL_INPUT_H

#include "imaging/volume.h"

/* value = clip((HU - (centre - width/2)) / width, 0, 1) */
typedef struct hu_window {
    double centre, width; /* HU */
} hu_window;

/* The paper's three: soft tissue (40, 80), vessels (80, 200), bone (600, 2800). */
enum { PAPER_WINDOWS = 3 };
extern const hu_window paper_windows[PAPER_WINDOWS];

static inline float hu_window_low(hu_window w) { return (float)(w.centre - w.width / 2); }
static inline float hu_window_value(float hu, float low, float per_width) {
    float x = (hu - low) * per_width;
    return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x;
}

/* Windows each voxel of the box [start, start + extent), then averages it to size[0] x size[1] x size[2] by area
 * ("adaptive average pooling"): along an axis of n voxels, bin i of m covers floor(i n / m) to ceil((i + 1) n / m) - 1.
 * out: float32 [n_windows, size[0], size[1], size[2]]. HCT_ESHAPE where the box leaves the volume. */
hct_status windowed_area(const volume *v, const int64_t start[3], const int64_t extent[3], const hu_window *windows,
                         int n_windows, const int64_t size[3], float *out, hct_err *err);

#endif
