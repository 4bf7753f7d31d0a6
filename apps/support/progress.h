/* One line that says how far a job is: "step 120/400  30%  loss 0.0123  45.1 scans/s  ETA 1:02".
 * On a terminal the line is rewritten at most ten times a second; elsewhere (a log) a new line comes every 10 seconds
 * and at the end. Quiet prints nothing. */
#ifndef SUPPORT_PROGRESS_H
#define SUPPORT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct progress {
    FILE *out; /* NULL: quiet */
    const char *what, *unit;
    int64_t total, done, first; /* total 0: unknown. first: done when the clock was started (a resumed job) */
    double per_step, started, shown, every; /* per_step: units in one of `done`; times in seconds */
    bool terminal, line_open;
} progress;

/* what: "step", "scan". unit and per_step: what the rate counts, e.g. "scans" and the batch size. */
progress progress_begin(FILE *out, const char *what, int64_t first, int64_t total, const char *unit, double per_step);
/* note: "loss 0.0123" or "". */
void progress_show(progress *p, int64_t done, const char *note);
/* Last line, always printed, with the time taken. */
void progress_end(progress *p, const char *note);
/* Ends a line that is being rewritten, so that a message can be printed under it. */
void progress_break(progress *p);
/* Units a second since the start. */
double progress_rate(const progress *p);

/* "1:02:03" or "2:03" of seconds. */
const char *progress_time(double seconds, char buffer[32]);

#endif
