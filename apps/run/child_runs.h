/* Probes and fine-tunings in processes of their own, each in a run folder: the points of a sweep, the systems of a
 * comparison. A folder that is complete is not run again, one that was cut off goes on from its checkpoint.
 *
 *   child_runs c = {.jobs = 2};
 *   child_runs_add(&c, "runs/a/point-000", &recipe, &err);      waits where two are at work
 *   child_runs_end(&c);                                         waits for all; c.failed of them failed */
#ifndef RUN_CHILD_RUNS_H
#define RUN_CHILD_RUNS_H

#include "recipe/recipe.h"

typedef struct child_runs {
    int64_t jobs; /* processes at once */
    int64_t running;
    size_t failed; /* each has said why on stderr */
} child_runs;

/* Whether FOLDER/predictions.csv, which a run writes last, is there, of this very recipe. HCT_EINVAL: the folder holds
 * a run of another recipe; it is not overwritten. */
hct_status child_run_done(const char *folder, const recipe *want, int *ret, hct_err *err);
/* Starts `headct probe` or `headct finetune`, as the recipe's method says, quietly, unless the folder is done. Where
 * this process is killed the others are asked to stop, and a fine-tuning writes its checkpoint. */
hct_status child_runs_add(child_runs *c, const char *folder, const recipe *r, hct_err *err);
void child_runs_end(child_runs *c);

#endif
