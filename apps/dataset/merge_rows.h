/* The rows of one index added to those of another: part of merge.h. */
#ifndef DATASET_MERGE_ROWS_H
#define DATASET_MERGE_ROWS_H

#include "dataset/index.h"

/* Before: whether the indexes may be joined at all. HCT_EINVAL names both. */
hct_status merge_check(dataset_index *to, dataset_index *from, hct_err *err);
/* Adds every row of from that `to` lacks, inside of the caller's transaction. */
hct_status merge_rows(dataset_index *to, dataset_index *from, hct_err *err);

#endif
