/* Pre-training by one of the methods (pretrain/method.h): reads scans, draws masks and views, steps, validates,
 * checkpoints.
 *
 * RUN/recipe.yaml, metrics.jsonl, events.*, checkpoints/last.safetensors and, where the validation loss tells which
 * epoch is best, best.safetensors; weights.safetensors at the end. */
#ifndef PRETRAIN_PRETRAIN_H
#define PRETRAIN_PRETRAIN_H

#include <stdio.h>

#include "recipe/recipe.h"

typedef struct pretrain_options {
    const char *run; /* folder */
    int resume;      /* continue from checkpoints/last.safetensors */
    /* NULL, or the folder of another run, whose checkpoint and log a new run begins with: resume under changed keys.
     * Its training scans must be the same. */
    const char *fork_of;
    FILE *progress; /* NULL: quiet */
} pretrain_options;

/* HCT_EINTERRUPTED: a signal asked to stop, and the checkpoint is written. */
hct_status pretrain_run(const recipe *r, const pretrain_options *o, hct_err *err);

#endif
