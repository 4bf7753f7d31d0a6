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

hct_status checkpoint_save(const char *path, const params *p, const model_info *info, const hct_optim *o,
                           const run_state *s, hct_err *err);
/* Whether weights, described by have, were made by that recipe from those training scans (hashes); HCT_EINVAL says
 * which differs. */
hct_status checkpoint_same_run(const char *path, const model_info *have, const char *recipe, const char *data,
                               hct_err *err);
/* Refuses a checkpoint of another recipe, of other training scans or of other shapes. */
hct_status checkpoint_load(const char *path, params *p, const model_info *info, hct_optim *o, run_state *ret,
                           hct_err *err);

#endif
