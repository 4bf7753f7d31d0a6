/* hct/view.h: the numbers of a training view of a CT volume, as the op ct_views takes them: 16 floats a view, drawn by
 * whoever trains (apps/dataset/views.h), made into voxels by plugins/ct_views and by devices' kernels. Device kernels
 * include this file (backends/kernels/views.cl), so it stays within what OpenCL C 1.2 knows.
 *
 *   START    of the crop along x, y, z, voxels of the source
 *   EXTENT   of it along x, y, z
 *   FLIP     along x, y, z: not 0: that axis runs backwards
 *   SHIFT    added to every voxel, in units of a window (0 to 1)
 *   GAMMA    ((v - low) / (range + 1e-7))^gamma range + low, over all channels; 0: none
 *   SIGMA    of Gaussian smoothing along x, y, z, voxels of the view; 0: none
 *   the last two are not used */
#ifndef HCT_VIEW_H
#define HCT_VIEW_H

enum {
    HCT_VIEW_START = 0,
    HCT_VIEW_EXTENT = 3,
    HCT_VIEW_FLIP = 6,
    HCT_VIEW_SHIFT = 9,
    HCT_VIEW_GAMMA = 10,
    HCT_VIEW_SIGMA = 11,
    HCT_VIEW_FLOATS = 16,
    HCT_VIEW_WINDOWS = 8, /* the most windows of a view's source */
    HCT_VIEW_TAPS = 32    /* the most taps of a smoothing on either side of a voxel */
};

#endif
