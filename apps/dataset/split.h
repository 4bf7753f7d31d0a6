/* Parting a dataset into train, val and test by patient. */
#ifndef DATASET_SPLIT_H
#define DATASET_SPLIT_H

#include <stdbool.h>

#include "hct/types.h"

enum { SPLITS = 3 };
extern const char *const split_names[SPLITS]; /* "train", "val", "test" */

/* Puts the patients in an order that depends on seed and their names only (SHA-256), cuts it in the proportions of
 * ratios (largest remainders; a split with a ratio gets at least one patient while there are enough) and stores the
 * result in the index, replacing an earlier split. All scans of a patient fall in one split. HCT_EINVAL: the same bytes
 * are scans of two patients, unless allow_copies. */
hct_status split_dataset(const char *dataset, const double ratios[SPLITS], int64_t seed, bool allow_copies,
                         hct_err *err);
/* Deals only patients that have no split yet, each by its own place in that order (its SHA-256 as a number from 0 to 1,
 * cut in the proportions): nobody else moves, so that what was trained on stays in train. *ret_new: how many. */
hct_status split_new_patients(const char *dataset, const double ratios[SPLITS], int64_t seed, bool allow_copies,
                              size_t *ret_new, hct_err *err);

#endif
