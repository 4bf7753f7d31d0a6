/* Linear and attentive probing: features of frozen weights once, then a small classifier a task on them.
 *
 * RUN/recipe.yaml, metrics.jsonl, predictions.csv (every scan of the three splits), weights.safetensors (encoder and
 * heads: what `headct predict` takes; not for histograms and embeddings made elsewhere), checkpoints/ (each task's
 * head), metrics.json and metrics.csv of the test part, figures/roc_TASK.svg; left_out.csv (embedded.h). */
#ifndef PROBE_PROBE_RUN_H
#define PROBE_PROBE_RUN_H

#include <stdio.h>

#include "recipe/recipe.h"

typedef struct probe_options {
    const char *run;
    int resume;     /* tasks that are finished are left alone, the one that was interrupted goes on */
    FILE *progress; /* NULL: quiet */
    FILE *table;    /* where the table of the test split is printed; NULL: nowhere */
} probe_options;

/* HCT_EINVAL where there is a run already, and resume is not set. HCT_EINTERRUPTED: a signal asked to stop, and the
 * checkpoint is written. */
hct_status probe_run(const recipe *r, const probe_options *o, hct_err *err);

#endif
