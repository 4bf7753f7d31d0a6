/* One recorded DINO step (micro-batches, gradients, update, averages) or one validation pass, and filling its
 * inputs. */
#ifndef PRETRAIN_DINO_STEP_H
#define PRETRAIN_DINO_STEP_H

#include "hct/optim.h"
#include "models/weights.h"
#include "recipe/recipe.h"
#include "training/micro.h"

typedef struct dino_step {
    hct_tape *tape;
    int64_t micro, batch; /* micro-batches of `batch` scans */
    dino_config config;
    views_config draw;
    hct_tensor *volume[MICRO_MOST]; /* I16 [batch, E, E, E]: the cubes that views are cut from */
    hct_tensor *views[MICRO_MOST];  /* F32 [views, batch, 16] */
    hct_tensor *windows;
    dino_inputs in;
    dino_outputs out[MICRO_MOST];
    int16_t *host; /* one micro-batch's cubes */
    float *params; /* one micro-batch's views */
    size_t cube;   /* voxels of one scan's cube */
} dino_step;

/* How far student and teacher are from collapse. */
typedef struct dino_health {
    /* mean entropy of the teacher's distributions, nats: log K where all prototypes are alike, 0 where one takes all */
    double entropy;
    /* of the teacher's class tokens, each of length 1, over scans and views, times sqrt(width): near 1 is well
     * spread, 0 collapsed */
    double feature_std;
} dino_health;

/* Rows of the recipe. optim NULL: forward only. Compiles unless plan_only. */
hct_status dino_step_new(dino_step *, hct_dev *, params *, const recipe *, const model_info *, int64_t batch,
                         int64_t micro, hct_optim *, int plan_only, hct_err *);
void dino_step_free(dino_step *);
/* Of the host buffers. */
uint64_t dino_step_host_bytes(const dino_step *);
/* Sends micro-batch m: cubes from step->host, views drawn from (seed, epoch, scan). */
hct_status dino_step_fill(dino_step *, int64_t m, uint64_t seed, uint64_t epoch, const size_t *scan, hct_err *);
/* Temperatures and momenta of an optimiser step. */
hct_status dino_step_set(dino_step *, const recipe *, int64_t epoch, int64_t step, int64_t total, hct_err *);
/* Waits for the tape's run; *ret_loss is the mean over micro-batches. */
hct_status dino_step_loss(dino_step *, double *ret_loss, hct_err *);
/* Of the last run's first micro-batch. */
hct_status dino_step_health(dino_step *, dino_health *ret, hct_err *);

/* The student's optimiser: group 0 decays, group 1 is the last layer, group 2 does not decay. */
hct_optim *dino_optimizer(hct_dev *, const recipe *, const params *, hct_err *);
/* Its rates; the last layer is left alone in the first dino.freeze_last_layer epochs. */
hct_status dino_set_rates(hct_optim *, const recipe *, double lr, double decay, int64_t epoch, hct_err *);
/* RUN/weights.safetensors: the teacher's encoder alone, under its plain names. */
hct_status dino_save_teacher(const char *path, hct_dev *, const params *, const model_info *, hct_err *);

#endif
