/* headct watch: predictions of each series that arrives in a folder, once (docs/watch.md).
 *
 * Its state is the table: a row says that its series is done. A series is recorded, report first and row last, when all
 * of it is: what was killed in between is done again, and gives the same report (dicom/sr.h). */
#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

#include <stdbool.h>
#include <stdio.h>

#include "hct/types.h"

typedef struct watch_options {
    const char *folder;
    const char *weights, *run, *device, *thresholds, *filters; /* as predict_options */
    const char *out;                                           /* the table */
    const char *reports;                                       /* folder of structured reports; NULL: none */
    const char *metrics;                                       /* Prometheus text, written anew; NULL: none */
    int64_t settle, poll;                                      /* seconds */
    bool once;                                                 /* what is at rest now, then the end */
    FILE *log;                                                 /* a JSON line an event, no identifiers; NULL: none */
} watch_options;

/* Until SIGINT or SIGTERM (the series at hand is finished), or with `once` until nothing at rest is left. ret_refused:
 * series without a prediction. */
hct_status watch_run(const watch_options *o, size_t *ret_refused, hct_err *err);

#endif
