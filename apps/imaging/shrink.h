/* A prepared volume as the views of training are cut from it: the cube in its middle, averaged over cubes of voxels. */
#ifndef IMAGING_SHRINK_H
#define IMAGING_SHRINK_H

#include "imaging/volume.h"

/* The centre cube of `region` voxels (from dim/2 - region/2 on), averaged over factor^3 voxels and rounded to the
 * nearest HU; x fastest. v is int16; out holds (region / factor)^3. HCT_ESHAPE where the cube does not fit or is no
 * multiple of the factor. */
hct_status volume_shrink(const volume *v, int64_t region, int64_t factor, int16_t *out, hct_err *err);

#endif
