/* What a run writes while it goes: RUN/metrics.jsonl, one JSON object a line, and TensorBoard events.
 *
 *   {"step":120,"phase":"train","epoch":2,"loss":0.0123,"lr":0.0004}
 *
 * metrics.jsonl holds nothing that depends on the clock, so a run that was killed and resumed ends with the very file
 * of an undisturbed one: runlog_open(resume) cuts off what was logged after the checkpoint's step, half lines too. For
 * this lines of step S must be written before the checkpoint of step S. Rates and times go to TensorBoard alone. */
#ifndef RUN_RUNLOG_H
#define RUN_RUNLOG_H

#include "hct/types.h"

typedef struct runlog runlog;

typedef struct runlog_value {
    const char *key;
    double value; /* NaN and infinities become null in JSON */
} runlog_value;

/* step: the last one whose lines stay (the checkpoint's); below 0: a new run, older lines are dropped. The folder must
 * exist. */
runlog *runlog_open(const char *folder, int64_t step, hct_err *err);
/* Cuts off the first line of this phase whose step is above `step`, and all that follow it: where several things are
 * trained one after the other, each with steps of its own, and one of them goes on from its checkpoint. */
hct_status runlog_cut(runlog *log, const char *phase, int64_t step, hct_err *err);
/* One line, and each value as the TensorBoard scalar "PHASE/KEY". A line that the disk does not take is a warning; it
 * waits, and is tried again with the next one, by sync and by close, which report it. */
void runlog_write(runlog *log, int64_t step, const char *phase, const runlog_value *values, size_t n);
/* A TensorBoard scalar alone: scans a second and other things of the clock. */
void runlog_timing(runlog *log, int64_t step, const char *tag, double value);
/* Puts the lines on the disk: before a checkpoint is written. */
hct_status runlog_sync(runlog *log, hct_err *err);
/* log may be NULL. */
hct_status runlog_close(runlog *log, hct_err *err);

/* The points (step, value) of one key of a phase, in the file's order; null values are left out. Free both arrays.
 * HCT_ENOTFOUND where the file is absent; no such key: n = 0. */
hct_status runlog_read(const char *folder, const char *phase, const char *key, double **ret_steps, double **ret_values,
                       size_t *ret_n, hct_err *err);
/* The phases that log `key`, in order of first appearance; free each, then the array. */
hct_status runlog_phases(const char *folder, const char *key, char ***ret_phases, size_t *ret_n, hct_err *err);

#endif
