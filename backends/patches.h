/* backends/patches.h: unfold3d and fold3d as a move of elements between two views. */
#ifndef BACKENDS_PATCHES_H
#define BACKENDS_PATCHES_H

#include "hct/plugin.h"

#include <string.h>

/* A volume [B, C, D0, D1, D2] and its patches of edge s, [B, n, C s^3], as two views v and u of equal dims: B, the
 * grid's three axes, then what a patch holds: channel and the three inner axes, or with channel_last the channel
 * after them. */
static inline void hct_as_patches(const hct_view *volume, const hct_view *patches, int64_t s, int channel_last,
                                  hct_view *v, hct_view *u) {
    *v = *volume;
    *u = *patches;
    v->ndim = u->ndim = 8;
    int ch = channel_last ? 7 : 4, d = channel_last ? 4 : 5; /* where the channel and the three inner axes stand */
    v->dim[0] = volume->dim[0];
    v->stride[0] = volume->stride[0];
    v->dim[ch] = volume->dim[1];
    v->stride[ch] = volume->stride[1];
    for (int i = 0; i < 3; i++) {
        v->dim[1 + i] = volume->dim[2 + i] / s;
        v->stride[1 + i] = volume->stride[2 + i] * s;
        v->dim[d + i] = s;
        v->stride[d + i] = volume->stride[2 + i];
    }
    int64_t step = patches->stride[2];
    for (int i = 7; i >= 4; i--) {
        u->stride[i] = step;
        step *= v->dim[i];
    }
    step = patches->stride[1];
    for (int i = 3; i >= 1; i--) {
        u->stride[i] = step;
        step *= v->dim[i];
    }
    u->stride[0] = patches->stride[0];
    memcpy(u->dim, v->dim, sizeof u->dim);
}

#endif
