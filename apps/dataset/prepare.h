/* The work of `headct prepare`: scans on disk to a dataset folder.
 *
 *   DATASET/index.sqlite      what is known of each scan (index.h)
 *   DATASET/scans/ID.nii.gz   the prepared volume (imaging/scan.h)
 */
#ifndef DATASET_PREPARE_H
#define DATASET_PREPARE_H

#include <stdio.h>

#include "hct/types.h"

typedef struct prepare_options {
    const char *const *inputs; /* files and folders (sources.h) */
    size_t n_inputs;
    const char *dataset;
    const char *labels; /* CSV (labels.h), NULL: none; new scans are then their own patients */
    const char *const *label_columns;
    size_t n_label_columns;
    int jobs;          /* threads, 0: one a CPU */
    int shard, shards; /* does every shards-th scan of the sorted list, the shard-th of each; 1 of 1 does all */
    int exact;
    FILE *progress; /* NULL: quiet */
} prepare_options;

typedef struct prepare_refusal {
    char *id, *source, *reason;
} prepare_refusal;

typedef struct prepare_result {
    size_t prepared, unchanged, n_refused;
    prepare_refusal *refused; /* in order of id */
    char *left_out;           /* folders of prepared scans among the inputs (sources.h); NULL: none */
} prepare_result;

/* Prepared scans are no sources, wherever they are met among the inputs. HCT_EINVAL: a scan of a dataset is an input
 * by name, or DATASET/scans holds volumes that no index knows of. A scan that is there, its file whole, made by the
 * same preparation from an unchanged source (same size and time, or else same SHA-256), is not made again; its
 * patient and labels are brought up to date. A scan that cannot be read is refused: noted in the index with its
 * reason, and in *ret. Half-written volumes of writers that were killed are removed (hct_leftovers_remove). Errors
 * (labels that do not fit, a full disk, ...) end the run, and so does a signal that asks to stop (support/stop.h,
 * HCT_EINTERRUPTED), after the scans in work; what was finished stays. *ret is to be freed in any case. */
hct_status prepare_dataset(const prepare_options *options, prepare_result *ret, hct_err *err);
void prepare_free(prepare_result *r);

#endif
