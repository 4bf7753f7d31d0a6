/* A checkpoint: weights, optimiser state and position of a run in one safetensors file, written atomically. Reading
 * it back continues the run bit for bit (all random numbers are functions of seed and step). */
#ifndef RUN_CHECKPOINT_H
#define RUN_CHECKPOINT_H

#include "hct/optim.h"
#include "models/weights.h"
#include "recipe/recipe.h"

typedef struct run_state {
    int64_t step; /* optimiser steps done */
    double best;  /* best validation figure so far; NaN before the first */
    int64_t best_step;
    int64_t since_best; /* validations without improvement */
    int64_t ranks;      /* of the job; 0: one. checkpoint_load refuses another number than it is given */
} run_state;

/* One checkpoint file, and what it is of. */
typedef struct checkpoint {
    const char *path;
    params *p;
    hct_optim *optim;
    const model_info *info; /* recipe, data and parent say which run it belongs to */
    int parts;              /* p is a part of the model (a head): the file then describes no model */
} checkpoint;

hct_status checkpoint_save(const checkpoint *c, const run_state *s, hct_err *err);
/* "checkpoints/before-last.safetensors" of "checkpoints/last.safetensors"; the caller's to free. */
char *checkpoint_before(const char *path);
/* Has a checkpoint that is there stay under that name when the next one takes its place. */
void checkpoint_keep(const char *path);
/* Whether weights, described by have, were made by the recipe, from the training scans and the weights that `want`
 * names (hashes); HCT_EINVAL says which differs. */
hct_status checkpoint_same_run(const char *path, const model_info *have, const model_info *want, hct_err *err);
/* Refuses a checkpoint of another recipe, of other training scans or of other shapes. One that is damaged is told of,
 * and the one before it taken in its place, where that is there. */
hct_status checkpoint_load(const checkpoint *c, run_state *io, hct_err *err);

#endif
