/* Threads that share out independent items, each taken by the next free thread. */
#ifndef SUPPORT_WORKERS_H
#define SUPPORT_WORKERS_H

#include "hct/types.h"

/* Does item i; < 0 stops the whole run. Called from several threads at once. */
typedef hct_status (*workers_fn)(void *context, int64_t i, hct_err *err);

/* Runs items 0..n-1 on `jobs` threads (0: one a CPU). On failure no new item is begun; the error returned is the one of
 * the lowest item that failed. With more than one thread each item's own loops (parallel.h) use one thread. */
hct_status workers_run(int jobs, int64_t n, workers_fn fn, void *context, hct_err *err);
/* What 0 jobs means here. */
int workers_default(void);

#endif
