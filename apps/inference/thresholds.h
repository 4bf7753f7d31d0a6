/* The thresholds that validation chose for a run's tasks: what `headct evaluate --operating RULE` wrote. */
#ifndef INFERENCE_THRESHOLDS_H
#define INFERENCE_THRESHOLDS_H

#include "inference/classifiers.h"

typedef struct thresholds {
    char *path;             /* NULL: none are known */
    double at[MODEL_TASKS]; /* of each task of the classifiers; NAN: not known. At or above it is positive */
} thresholds;

/* path: an operating_points.csv; NULL: the run's own, RUN/operating_points.csv, else RUN/evaluate-test/; NULL and no
 * run (or none there): none. Of several rules for a task the first. HCT_ENOTFOUND: a file that knows none of the
 * tasks. */
hct_status thresholds_read(const char *path, const char *run, const classifiers *c, thresholds *ret, hct_err *err);
void thresholds_free(thresholds *t);

#endif
