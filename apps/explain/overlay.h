/* A map over a model's input, brought back to the scan it came from. */
#ifndef EXPLAIN_OVERLAY_H
#define EXPLAIN_OVERLAY_H

#include "explain/saliency.h"
#include "imaging/volume.h"

/* Values of the map at each voxel of grid (dim and affine count), by linear interpolation between cell centres,
 * float32; 0 where the voxel lies outside what the model saw. prepared: the volume that the input was cut from;
 * spec: how. */
hct_status overlay_make(const saliency_map *map, const volume *prepared, const input_spec *spec, const volume *grid,
                        volume *ret, hct_err *err);

/* Where it is highest: voxel indices; returns the value. */
float overlay_peak(const volume *overlay, int64_t ret[3]);

/* How much of the highest `share` (0.01) of the voxels where inside is above 0.5 lies where lesion is above 0.5,
 * and what chance would give: the lesion's share of these voxels. Equal values at the edge count by their share.
 * Volumes of one size, float32. HCT_EINVAL: nothing inside, or no lesion there. */
hct_status overlay_hits(const volume *overlay, const volume *inside, const volume *lesion, double share,
                        double *ret_hits, double *ret_chance, hct_err *err);

/* OUT.png: three planes through `at`, of the prepared volume in a window, the overlay in colours over it. */
hct_status overlay_draw(const volume *prepared, const volume *overlay, const int64_t at[3], const hu_window *window,
                        const char *caption, const char *path, hct_err *err);

#endif
