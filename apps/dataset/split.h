/* Parting a dataset into train, val and test by patient. */
#ifndef DATASET_SPLIT_H
#define DATASET_SPLIT_H

#include "hct/types.h"

enum { PARTS = 3 };
extern const char *const part_names[PARTS]; /* "train", "val", "test" */

/* Puts the patients in an order that depends on seed and their names only (SHA-256), cuts it in the proportions of
 * ratios (largest remainders; a part with a ratio gets at least one patient while there are enough) and stores the
 * result in the index, replacing an earlier split. All scans of a patient fall in one part. */
hct_status split_dataset(const char *dataset, const double ratios[PARTS], int64_t seed, hct_err *err);

#endif
