/* Fine-tuning one model on one trial: what `headct finetune` does for each task, few-shot for each draw, a sweep for
 * each point.
 *
 *   finetune_base base;
 *   finetune_open(r, dev, data, &base, &err);                 weights, loader and its cache: once for many fits
 *   trial_of(data, train, valid, test, &task, 1, &t, &err);   which scans
 *   finetune_fit(&base, r, &t, &(finetune_options){0}, &result, &err);
 *   ... t.said.score of validation and test rows; result.best ...
 *   finetune_result_free(&result);
 *   trial_free(&t);
 *   finetune_close(&base);
 *
 * Every epoch draws train.balanced scans, classes evenly (0: every labelled scan once), in batches of optim.batch;
 * the epoch with the best validation AUC (mean over tasks; where undefined: the last) is kept; train.early_stop ends
 * earlier. All random numbers are functions of r->seed, epoch and step, so a fit gives the same bits whatever the
 * loader's threads, and resumed or not. */
#ifndef FINETUNE_FINETUNE_H
#define FINETUNE_FINETUNE_H

#include "dataset/loader.h"
#include "models/weights.h"
#include "recipe/recipe.h"
#include "training/trial.h"

typedef struct finetune_base {
    hct_dev *dev; /* borrowed, as is data */
    const dataset *data;
    params *encoder; /* of finetune.weights; NULL: from scratch */
    model_info info; /* encoder and input: of the weights, else of the recipe; parent: the weights' hash */
    loader *load;
} finetune_base;

/* r: finetune.init and weights, model and data sections, train.workers, cache_mb and disk_cache. */
hct_status finetune_open(const recipe *r, hct_dev *dev, const dataset *d, finetune_base *ret, hct_err *err);
void finetune_close(finetune_base *);

typedef struct finetune_options {
    /* folder that exists, for metrics.jsonl, TensorBoard events and checkpoints/; NULL: nothing is written */
    const char *run;
    int resume;     /* continue from RUN/checkpoints/last.safetensors where it is */
    FILE *progress; /* NULL: quiet */
} finetune_options;

typedef struct finetune_result {
    params *p;       /* encoder and heads of the best epoch, additions merged */
    model_info info; /* of the classifier */
    char weights[MODEL_HASH];
    double best; /* validation AUC; NaN: undefined */
    int64_t steps, best_step;
} finetune_result;

/* r may differ from the base's in seed, optim, train and finetune's other keys. Rows of t without any known label
 * are not trained on. HCT_EINVAL where a task's training rows lack a class, and where a loss is not finite: step,
 * scans and last good checkpoint are named. HCT_EINTERRUPTED: a signal asked to stop (support/stop.h), and the
 * checkpoint is written. */
hct_status finetune_fit(const finetune_base *base, const recipe *r, trial *t, const finetune_options *o,
                        finetune_result *ret, hct_err *err);
void finetune_result_free(finetune_result *);

#endif
