/* headct bench --views: how fast training views are made, and what they are. */
#ifndef COMMANDS_BENCH_VIEWS_H
#define COMMANDS_BENCH_VIEWS_H

#include "hct/hct.h"

/* The paper's views (recipes/dino.yaml) of so many phantom heads at 224^3, made `repeats` times after one untimed
 * run. Prints one line "seconds ..." and writes file (safetensors): volumes I16 [B, z, y, x], params F32 [V, B, 16],
 * views F32 [V, B, 3, 96, 96, 96]. */
hct_status bench_views(hct_dev *dev, const char *file, int64_t scans, int64_t repeats, hct_err *err);

#endif
