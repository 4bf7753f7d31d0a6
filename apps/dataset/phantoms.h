/* A set of phantoms as files: DIR/pNNNN_sK.nii.gz of each scan, and DIR/labels.csv (scan, patient, a column of 0 and
 * 1 a finding), as headct prepare --labels reads it. The same options give the same files for any number of threads. */
#ifndef DATASET_PHANTOMS_H
#define DATASET_PHANTOMS_H

#include <stdio.h>

#include "imaging/phantom.h"

typedef struct phantoms_options {
    const char *out;                        /* folder; made where it is missing */
    int64_t patients, scans_min, scans_max; /* scans of a patient: drawn from this range */
    int64_t jobs;                           /* threads; 0: one a CPU */
    phantom_set set;
    int readings;   /* columns of reading_names too; not of plain heads */
    unsigned masks; /* 1 << finding: DIR-masks/SCAN_FINDING.nii.gz of each scan that has it, and SCAN_brain.nii.gz */
} phantoms_options;

/* Writes over the same set; HCT_EINVAL where other scans are in the folder, which labels.csv would not know of. */
hct_status phantoms_write(const phantoms_options *o, FILE *progress, int64_t *ret_scans, hct_err *err);

#endif
