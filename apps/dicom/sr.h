/* Scores of a study's series as a DICOM structured report: Comprehensive 3D SR, a measurement report of PS3.16's
 * TID 1500. An image library of all images that were read (TID 1600); a measurement group (TID 1501) a series and task:
 * the finding, its probability, where there is one the threshold and whether the probability reaches it, and which
 * algorithm said so (TID 4019). Codes of our own are of the scheme 99HEADCT.
 *
 *   sr *r = sr_new(&facts, &err);
 *   sr_add(r, files, series, probability, input_sha256, &err);    for each series of one study
 *   status = sr_write(r, folder, &written, &err);
 *   sr_free(r);
 *
 * UIDs are made of what the report says: the same scores of the same images by the same model are the same object,
 * whose file is left as it is where it is there. */
#ifndef DICOM_SR_H
#define DICOM_SR_H

#include "dicom/object.h"
#include "dicom/series.h"

typedef struct sr sr;

typedef struct sr_task {
    const char *name;
    double threshold;    /* NAN: none is known */
    const char *weights; /* SHA-256 of what says it */
} sr_task;

typedef struct sr_facts { /* borrowed */
    const char *model;    /* what it is called */
    const char *weights;  /* SHA-256 of all models */
    const char *preprocessing, *recipe;
    const sr_task *task;
    int n_tasks;
} sr_facts;

/* HCT_EINVAL: a name that is not printable ASCII, which no report can hold. */
sr *sr_new(const sr_facts *f, hct_err *err);
/* HCT_EINVAL: an image without UIDs, which cannot be referred to; HCT_EFORMAT, HCT_EIO: its first file cannot be
 * read. */
hct_status sr_add(sr *r, const pile_file *files, const series *s, const double *probability, const char *input,
                  hct_err *err);
/* folder/UID.dcm. ret_written false: it was there. */
hct_status sr_write(const sr *r, const char *folder, bool *ret_written, hct_err *err);
void sr_free(sr *r);

#endif
