/* What predictions of DICOM series become for a PACS: a structured report a study (dicom/sr.h). */
#ifndef INFERENCE_REPORTS_H
#define INFERENCE_REPORTS_H

#include "inference/cohort.h"
#include "inference/thresholds.h"

typedef struct report_count {
    size_t written, there, no_dicom; /* reports; those that were there already; scans that are no DICOM series */
} report_count;

/* Whether reports can be written at all: the component is there, folder can be made, names are plain. model: what it is
 * called. */
hct_status reports_check(const classifiers *c, const char *model, const char *folder, hct_err *err);
/* probability[i * c->n_tasks + k]; the first is NAN of a scan that has none. Scans whose input is not what their
 * probabilities were made from are an error (cohort_same_input). out: the table they stand in, for messages. */
hct_status reports_write(cohort *scans, const classifiers *c, const thresholds *t, const double *probability,
                         const char *model, const char *folder, const char *out, report_count *ret, hct_err *err);

#endif
