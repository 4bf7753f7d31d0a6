/* One recorded step of fine-tuning: micro-batches of images through encoder and heads, cross-entropy, gradients,
 * update.
 *
 * With several heads the loss is the mean over tasks of each task's mean cross-entropy over the scans of the
 * micro-batch whose label is known; an unknown label has no gradient: its logits are multiplied by 0, and what they
 * then cost, log 2 each, is taken off again. */
#ifndef FINETUNE_FINETUNE_STEP_H
#define FINETUNE_FINETUNE_STEP_H

#include "finetune/tuning.h"
#include "models/weights.h"
#include "training/micro.h"

typedef struct finetune_micro {
    hct_tensor *image;  /* F32 [B, C, D0, D1, D2] */
    hct_tensor *target; /* I32 [tasks, B] */
    hct_tensor *known;  /* F32 [tasks, B, 1]: 1, or 0 where the label is not known; several tasks only */
    hct_tensor *count;  /* F32 [tasks, 2]: a task's loss is count[0] * mean - count[1]; several tasks only */
    hct_tensor *views;  /* F32 [1, B, HCT_VIEW_FLOATS]: flips and shift; where the recipe has some */
    hct_tensor *drop;   /* F32 [branches, B, 1, 1]: encoder_values.drop; with drop-path only */
    hct_id loss;
} finetune_micro;

typedef struct finetune_step {
    hct_tape *tape;
    const model_info *info; /* borrowed */
    int64_t micro, batch;   /* micro-batches of `batch` scans */
    size_t image_floats;    /* of one scan */
    float *image;           /* [batch]: the images of the micro-batch that is filled next */
    float *views; /* [batch, HCT_VIEW_FLOATS]: theirs (views_draw_whole); NULL: images are taken as they are */
    double drop_path;
    int64_t branches; /* that drop-path skips */
    finetune_micro in[MICRO_MOST];
} finetune_step;

/* info: a classifier's; it must outlive the step. */
hct_status finetune_step_new(finetune_step *, hct_dev *, params *, const model_info *info, const recipe *, hct_optim *,
                             int64_t batch, hct_err *);
void finetune_step_free(finetune_step *);
/* Sends micro-batch m: step->image, step->views, and label [batch, tasks] (1, 0, -1 not known). Skipped branches are
 * drawn from (seed, step, m, place). */
hct_status finetune_step_fill(finetune_step *, int64_t m, uint64_t seed, uint64_t step, const int8_t *label, hct_err *);
/* Runs; *ret_loss is the mean over micro-batches. */
hct_status finetune_step_run(finetune_step *, double *ret_loss, hct_err *);

/* Drop-path (Huang et al. 2016) for `batch` scans from number `first` of a step on: out [branches, batch] is 0 with
 * probability p_l, else 1 / (1 - p_l); p_l rises evenly from 0 in the first layer, of two branches each, to p in the
 * last. */
void finetune_drop(uint64_t seed, uint64_t step, int64_t first, int64_t batch, int64_t branches, double p, float *out);

#endif
