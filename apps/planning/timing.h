/* How fast, and in how much memory, a model runs on a device: what headct bench prints. */
#ifndef PLANNING_TIMING_H
#define PLANNING_TIMING_H

#include <stdio.h>

#include "hct/types.h"

typedef struct timing_options {
    const char *recipe_file, *model; /* a recipe's model; or vit-b12 (NULL), vit-b16 */
    const char *device, *precision;  /* NULL: the recipe's */
    const char *views;               /* a file: views are timed instead (planning/view_timing.h) */
    const char *tune;                /* "auto", or one in N configurations: the fastest products are found first */
    int64_t batch, steps;            /* scans, 0: 4 forward, 1 training, with a recipe its own; timed steps */
    int profile, forward_only, train_only;
    FILE *out;
} timing_options;

hct_status timing_run(const timing_options *o, hct_err *err);

#endif
