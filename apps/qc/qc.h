/* A page that lets a person look at a whole dataset: DATASET/qc.html with three planes of each scan in the soft-tissue
 * window, what was found on it, and what was left out with its reason. Pictures lie beside it, DATASET/qc/ID.png, and
 * are loaded as the page is scrolled: thousands of scans are no burden. */
#ifndef QC_QC_H
#define QC_QC_H

#include <stdio.h>

#include "imaging/volume.h"

/* Three planes through the middle of a prepared volume (RAS). */
hct_status qc_picture(const char *dataset, const char *id, const volume *v, hct_err *err);
/* One slice of what was left out, rows x columns of HU. */
hct_status qc_slice(const char *dataset, const char *id, const float *hu, int64_t columns, int64_t rows, hct_err *err);

/* Writes the page anew, with pictures of scans that lack one. progress may be NULL. */
hct_status qc_page(const char *dataset, FILE *progress, hct_err *err);

#endif
