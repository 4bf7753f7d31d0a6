/* A checkpoint: weights, optimiser state and position of a run in one safetensors file, written atomically. Reading
 * it back continues the run bit for bit (all random numbers are functions of seed and step).
 *
 * It is written in two parts, so that training need not wait for the disk (checkpoint_writer.h): checkpoint_take copies
 * everything to the host, checkpoint_write writes the copy, from any thread. */
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
    int64_t ranks;      /* that the run began with; 0: one. checkpoint_load refuses another number than it is given */
} run_state;

/* One checkpoint file, and what it is of. */
typedef struct checkpoint {
    const char *path;
    params *p;
    hct_optim *optim;
    const model_info *info; /* recipe, data and parent say which run it belongs to */
    int parts;              /* p is a part of the model (a head): the file then describes no model */
} checkpoint;

/* A run's state on the host. */
typedef struct checkpoint_copy checkpoint_copy;
/* Room for the state of c: weights and optimiser's state once more. The tensors and c->info must outlive it. */
checkpoint_copy *checkpoint_copy_new(const checkpoint *c, hct_err *err);
void checkpoint_copy_free(checkpoint_copy *);
/* Bytes of such a copy's tensors. */
uint64_t checkpoint_copy_bytes(const params *p, const hct_optim *optim);
/* Waits for the device. */
hct_status checkpoint_take(checkpoint_copy *, const run_state *s, hct_err *err);
hct_status checkpoint_write(const checkpoint_copy *, const char *path, hct_err *err);

/* Whether weights, described by have, were made by the recipe, from the training scans and the weights that `want`
 * names (hashes); HCT_EINVAL says which differs. */
hct_status checkpoint_same_run(const char *path, const model_info *have, const model_info *want, hct_err *err);
/* Refuses a checkpoint of another recipe, of other training scans or of other shapes. One that is damaged is told of,
 * and the newest whole one before it taken in its place, where there is one (*ret_older then). */
hct_status checkpoint_load(const checkpoint *c, run_state *io, int *ret_older, hct_err *err);
/* The checkpoint that a run goes on from: this one, or, where it cannot be read, the newest before it that can; its
 * path (free it), and how many ranks the run began with. */
hct_status checkpoint_find(const char *last, char **ret_path, int64_t *ret_ranks, hct_err *err);

#endif
