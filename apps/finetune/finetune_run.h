/* The work of `headct finetune`: a model for each task, or one for all of them.
 *
 * One model: RUN/ recipe.yaml, metrics.jsonl, events, checkpoints/, weights.safetensors (for headct predict),
 * predictions.csv (validation and test scans), metrics.json, metrics.csv, figures/roc_TASK.svg. A model a task: the
 * same in RUN/TASK, just as a run of that task alone would leave it, and in RUN/ recipe.yaml, predictions.csv,
 * metrics and figures of all tasks together. */
#ifndef FINETUNE_FINETUNE_RUN_H
#define FINETUNE_FINETUNE_RUN_H

#include "recipe/recipe.h"

typedef struct finetune_run_options {
    const char *run;
    /* tasks that are finished are left alone, the one that was interrupted goes on from its checkpoint */
    int resume;
    FILE *progress; /* NULL: quiet */
    FILE *table;    /* where the table of the test split is printed; NULL: nowhere */
} finetune_run_options;

/* HCT_EINTERRUPTED: a signal asked to stop, and the checkpoint is written. */
hct_status finetune_run(const recipe *r, const finetune_run_options *o, hct_err *err);

#endif
