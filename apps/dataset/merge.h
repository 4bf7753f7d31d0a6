/* The work of `headct dataset merge`: datasets that were prepared apart become one. */
#ifndef DATASET_MERGE_H
#define DATASET_MERGE_H

#include <stdio.h>

#include "hct/types.h"

typedef struct merge_result {
    int64_t added, known;         /* scans that are new, and that were there already with the same volume */
    int64_t linked, copied;       /* files: volumes, of forms too, and pictures */
    int64_t scans, without_split; /* of the whole, afterwards; the latter where there is a split */
} merge_result;

/* Joins datasets to `into`, which is made where it is missing: scans with their volumes (hard links where the file
 * system has them, else copies) and pictures, files, series, findings, refusals, patients, labels, evidence,
 * fingerprints, splits. HCT_EINVAL, naming both, before anything is written: datasets of different keys, dates,
 * filters or preparations; one id with two volumes; a patient in two parts; a label with two values; labels of
 * different rules. HCT_EVERSION: a dataset of an earlier headct. Files come first, then all rows in one transaction:
 * after a kill the same call finishes. The datasets joined are not changed. */
hct_status merge_datasets(const char *into, const char *const *shards, size_t n, FILE *progress, merge_result *ret,
                          hct_err *err);

#endif
