/* Probabilities of a cohort from classifiers (encoder and heads, as `headct probe` and `headct finetune` write them;
 * a model a task: all of them). */
#ifndef INFERENCE_PREDICT_H
#define INFERENCE_PREDICT_H

#include "inference/cohort.h"
#include "inference/precision.h"
#include "inference/reports.h"

typedef struct predict_options {
    const char *weights, *run; /* one of them: a file, a run's folder (inference/classifiers.h) */
    const char *device;
    run_precision precision;
    const char *out;        /* CSV that is resumed; NULL: print */
    int json;               /* print one JSON object a scan instead of text */
    const char *thresholds; /* inference/thresholds.h; NULL: the run's own */
    const char *reports;    /* folder of structured reports, one a study (inference/reports.h); NULL: none */
    const char *model;      /* what they call it; NULL: the last part of weights or run */
    FILE *print, *progress;
} predict_options;

/* ret_kept: rows of out that were there already; ret_reports may be NULL. HCT_EINVAL where the file holds no
 * classifier, or out's rows have other weights. HCT_EINTERRUPTED: see cohort_run. Scans that were left out have their
 * reason in c. */
hct_status predict_run(const predict_options *o, cohort *c, size_t *ret_kept, report_count *ret_reports, hct_err *err);

#endif
