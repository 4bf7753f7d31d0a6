/* Volumes that encoders were published with, where they do not take the dataset's own: each is made from a scan's
 * source in one resampling, never from another prepared volume.
 *
 *   merlin   RAS, 1.5 x 1.5 x 3 mm, linear; padded or cropped about the middle to 224 x 224 x 160
 *   ct-fm    LPS, the box of all voxels above 0 HU, 2 x 2 x 5 mm, linear; padded with each line's least value, or
 *            cropped, to 128 x 128 x 48
 *   hlip     LPS, no resampling: 48 slices (slice floor((k + 1/2) n / 48) for k), padded to squares. Its model's
 *            input is made of it by input_make: windows, then linear resize to 256 x 256, the middle 224 x 224
 *
 * The grid of a linear resampling is MONAI's (resample.h); values are taken between the 8 neighbours, or the nearest of
 * what is there beyond the edge (grid_sample's "border"). Slices that lie unevenly, or slide over each other, are
 * met at their true places: between the two that are nearest along the normal, each in its own plane. */
#ifndef IMAGING_FORM_H
#define IMAGING_FORM_H

#include "imaging/input_spec.h"

typedef struct form {
    const char *name;  /* input_spec.form, headct prepare --for */
    const char *steps; /* all that decides its numbers, for hashes */
} form;

/* NULL: there is none of that name. */
const form *form_find(const char *name);
/* The form that inputs are cut from; NULL: of the dataset's own volumes. HCT_EVERSION: one that this headct does not
 * make. */
hct_status form_of(const input_spec *spec, const form **ret, hct_err *err);
/* SHA-256 of all that a model's inputs go through: of the steps of its form; of a model that takes the dataset's own
 * volumes *io stays, which is that of their preparation. Errors: form_of's. */
hct_status form_preparation(const input_spec *spec, char io[65], hct_err *err);
/* "merlin, ct-fm, hlip" */
const char *form_names(void);

/* A scan as it was read: voxels in HU by an affine, or slices at places of their own. */
typedef struct scan_source {
    volume v;              /* columns x rows x slices; with positions its affine is that of the first and last slice */
    double (*position)[3]; /* [dim[2]]: centre of each slice's first voxel, mm in RAS; NULL: the affine says all */
} scan_source;
void scan_source_free(scan_source *);

/* Makes a form's volume, in HU, of a source, which it frees. HCT_EINVAL: nothing of it is above air (ct-fm), or it has
 * no slices along the body (hlip). */
hct_status form_make(const form *, scan_source *, volume *ret, hct_err *err);
/* What input_make does for volumes of the form "hlip". */
hct_status form_hlip_input(const input_spec *, const volume *v, float *out, hct_err *err);

#endif
