/* A run's folder: made, kept to one process, and given its recipe. */
#ifndef RUN_RUN_FOLDER_H
#define RUN_RUN_FOLDER_H

#include "recipe/recipe.h"

/* Makes RUN and holds it until run_folder_leave: HCT_EINVAL where another process holds it, where a run of another
 * method lies in it, or, to resume, of another recipe. What killed writers left in it is removed. */
hct_status run_folder_enter(const char *run, const recipe *r, int resume, int *ret_lock, hct_err *err);
void run_folder_leave(int lock);

/* Removes from RUN, RUN/checkpoints and RUN/figures what killed writers left there (hct_leftovers_remove);
 * run_folder_enter does, but not for a model's folder below. */
void run_folder_clean(const char *run);
/* Removes what a run that was cut off before its first checkpoint left: events and figures. */
hct_status run_folder_empty(const char *run, hct_err *err);
/* Makes RUN (and RUN/sub, where sub is not NULL) and writes RUN/recipe.yaml. */
hct_status run_folder_open(const char *run, const char *sub, const recipe *r, hct_err *err);

#endif
