/* headct explain: maps of what a model looks at, over scans as they are on disk.
 *
 * For each scan and method OUT/SCAN_METHOD.nii.gz on the scan's own voxels (as nifti_write writes them: any viewer lays
 * it over the scan), OUT/SCAN_METHOD.png, and a row of OUT/explain.csv; where masks are given OUT/lesions.csv
 * (lesions.h). */
#ifndef EXPLAIN_EXPLAIN_H
#define EXPLAIN_EXPLAIN_H

#include <stdbool.h>
#include <stdio.h>

#include "explain/saliency.h"

typedef struct explain_options {
    const char *weights, *run; /* one of them; of a run RUN/weights.safetensors, else RUN/TASK/weights.safetensors */
    const char *device, *task, *out;
    const char **scans;
    size_t n_scans;
    int method[SALIENCY_METHODS]; /* asked for; none: all that the model allows but occlusion */
    const char *lesion, *brain;   /* masks on the scan's own voxels, of one scan; brain NULL: voxels of 0 to 100 HU */
    const char *masks;            /* or of many: MASKS/SCAN_TASK.nii.gz, MASKS/SCAN_brain.nii.gz where they are */
    int64_t randomise; /* from 0: weights are drawn anew for each scan, from this seed on; below: as trained */
    const char
        *captures;   /* folder of DICOM secondary captures of the pictures, of scans that are DICOM folders; NULL */
    bool table_only; /* neither maps nor pictures are written */
    FILE *progress;
} explain_options;

/* said: a line a scan and method. *ret_refused: scans that could not be read, each logged with its reason. */
hct_status explain_run(const explain_options *o, FILE *said, size_t *ret_refused, hct_err *err);

#endif
