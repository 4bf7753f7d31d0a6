/* Linear and attentive probing: features of frozen weights once, then a small classifier a task on them.
 *
 * RUN/recipe.yaml, metrics.jsonl, predictions.csv (every scan of the three parts), weights.safetensors (encoder and
 * heads: what `headct predict` takes), metrics.json and metrics.csv of the test part, figures/roc_TASK.svg. */
#ifndef PROBE_PROBE_RUN_H
#define PROBE_PROBE_RUN_H

#include "recipe/recipe.h"

typedef struct probe_options {
    const char *run;
    FILE *progress; /* NULL: quiet */
    FILE *table;    /* where the table of the test part is printed; NULL: nowhere */
} probe_options;

hct_status probe_run(const recipe *r, const probe_options *o, hct_err *err);

#endif
