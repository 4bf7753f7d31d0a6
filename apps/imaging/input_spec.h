/* What a model takes of a scan: a value that the model owns, and all that loaders, caches and inference need to make
 * its input.
 *
 *   prepared volume (form, spacing, axes) -> centre crop -> windows at each voxel -> resize -> scale -> order of axes
 *
 * The result is float32 [C, D0, D1, D2] in C order, one channel a window; `order` says which axis of the patient
 * each of D0, D1, D2 runs along. */
#ifndef IMAGING_INPUT_SPEC_H
#define IMAGING_INPUT_SPEC_H

#include "imaging/model_input.h"
#include "support/text.h"

enum { INPUT_WINDOWS = 8, INPUT_FORM = 24 };

typedef struct input_spec {
    /* The prepared volume that it is cut from: "" the dataset's own (RAS, 1 mm, 224^3; imaging/scan.h), else that of
     * the encoder of this name (headct prepare --for NAME), with this spacing and these axes. */
    char form[INPUT_FORM];
    double spacing[3]; /* mm, along the volume's axes */
    char axes[4];      /* where they run to: "RAS": to the patient's right, front (anterior) and top (superior) */

    int64_t crop[3]; /* voxels cut out of the middle, along the volume's axes; start: dim/2 - crop/2 */
    int64_t size[3]; /* voxels that they become, by area ("adaptive average pooling") */
    char order[4];   /* the axes of D0, D1, D2, slowest first: "xyz" is [C, X, Y, Z] */

    int n_windows;
    hu_window window[INPUT_WINDOWS]; /* to 0..1, one channel each */
    /* of each channel then: (value - mean) / deviation; 0 and 1: left as it is */
    double mean[INPUT_WINDOWS], deviation[INPUT_WINDOWS];
} input_spec;

/* The dataset's own volume, cubes of `crop` voxels to cubes of `size`, these windows, nothing scaled: the paper's
 * form. */
input_spec input_cube(const hu_window *windows, int n_windows, int64_t crop, int64_t size);
/* HCT_EINVAL names the member and the rule it breaks. */
hct_status input_check(const input_spec *, hct_err *);
/* Whether two ask for the same numbers. */
int input_same(const input_spec *, const input_spec *);
/* Floats of a scan: C D0 D1 D2. */
size_t input_floats(const input_spec *);
/* D0, D1, D2. */
void input_dims(const input_spec *, int64_t ret[3]);
/* The size whose dims these are. */
void input_set_dims(input_spec *, const int64_t dim[3]);

/* v: a volume of the form, spacing and axes that the spec names (the caller sees to that). out [C, D0, D1, D2]. */
hct_status input_make(const input_spec *, const volume *v, float *out, hct_err *err);
/* Everything that decides the numbers, as text: for caches and hashes. */
void input_text(const input_spec *, text_buffer *out);

#endif
