/* A step of whichever pre-training method the recipe names: what the loop, headct plan and headct bench need of it. */
#ifndef PRETRAIN_STEP_H
#define PRETRAIN_STEP_H

#include "dataset/loader.h"
#include "pretrain/dino_step.h"
#include "pretrain/mae_step.h"

typedef struct train_step {
    const recipe *r;
    const model_info *info;
    mae_step mae; /* one of the two */
    dino_step dino;
} train_step;

/* optim NULL: validation. */
hct_status step_new(train_step *, hct_dev *, params *, const recipe *, const model_info *, int64_t batch, int64_t micro,
                    hct_optim *, int plan_only, hct_err *);
void step_free(train_step *);
hct_tape *step_tape(const train_step *);
int64_t step_batch(const train_step *);
/* Of the host's memory that it holds beside the tape's: a micro-batch before it is sent. */
uint64_t step_host_bytes(const train_step *);
/* Where the loader puts scan b of a micro-batch. */
void *step_item(train_step *, int64_t b);
/* What the loader is to read for the recipe. */
loader_options step_loader(const recipe *, const model_info *);
/* Sends micro-batch m. The last batch - valid scans count for nothing in MAE; DINO takes whole batches. */
hct_status step_fill(train_step *, int64_t m, uint64_t seed, int64_t epoch, int64_t step, const size_t *scan,
                     int64_t valid, hct_err *);
/* What goes with an optimiser step besides learning rate and decay. */
hct_status step_set(train_step *, int64_t epoch, int64_t step, int64_t total, hct_err *);
hct_status step_run(train_step *, double *ret_loss, hct_err *);
/* That in two: enqueue the step; wait for it. */
hct_status step_start(train_step *, hct_err *);
hct_status step_finish(train_step *, double *ret_loss, hct_err *);

/* The method's optimiser and its rates. */
hct_optim *step_optimizer(hct_dev *, const recipe *, const params *, hct_err *);
hct_status step_rates(hct_optim *, const recipe *, double lr, double decay, int64_t epoch, hct_err *);

#endif
