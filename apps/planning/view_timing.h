/* headct bench --views: how fast training views are made, and what they are. */
#ifndef PLANNING_VIEW_TIMING_H
#define PLANNING_VIEW_TIMING_H

#include <stdio.h>

#include "hct/hct.h"

/* The paper's views (recipes/dino.yaml) of so many phantom heads at 224^3, made `repeats` times after one untimed
 * run. Prints one line "seconds ..." on out and writes file (safetensors): volumes I16 [B, z, y, x], params F32 [V,
 * B, 16], views F32 [V, B, 3, 96, 96, 96]. */
hct_status view_timing(hct_dev *dev, const char *file, int64_t scans, int64_t repeats, FILE *out, hct_err *err);

#endif
