/* The checkpoints of a run that are older than its last one. "checkpoints/last.safetensors" is the last; those
 * before it lie beside it as "checkpoints/step-1200.safetensors" ("task-1-last.safetensors":
 * "task-1-step-1200.safetensors"), by the step that they were written after. */
#ifndef RUN_CHECKPOINT_FILES_H
#define RUN_CHECKPOINT_FILES_H

#include "hct/types.h"

/* The last one, of this step, gets its name as an older one as well: its successor then takes the first name from it.
 * Says once where the file system has no hard links; then there is none before the last. */
void checkpoint_keep(const char *last, int64_t step);
/* Of those that are older than the last one, of `step`, the newest `keep` stay. */
void checkpoint_prune(const char *last, int64_t step, int64_t keep);
/* Paths of those before the last, newest first; free each, then the array. None: n = 0. */
hct_status checkpoint_older(const char *last, char ***ret, size_t *ret_n, hct_err *err);

#endif
