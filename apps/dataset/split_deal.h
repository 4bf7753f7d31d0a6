/* Patients in their order to parts in proportion, if wanted with the positives of labels spread evenly. */
#ifndef DATASET_SPLIT_DEAL_H
#define DATASET_SPLIT_DEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "hct/types.h"

/* ret_part[i] of patient i, in order: the first share to the first part, and so on; largest remainders, and a part with
 * a ratio gets at least one patient while there are enough. */
void split_deal(size_t n, const double *ratios, size_t parts, int *ret_part);

/* The same numbers of patients a part, but those with positives first, label by label from the rarest on, each to the
 * part that lacks most of its share of that label (Sechidis et al. 2011, "On the Stratification of Multi-Label Data");
 * as long as parts have none, to these. labels[i]: bit k, patient i has a positive of label k. */
hct_status split_deal_evenly(const uint64_t *labels, size_t n, const double *ratios, size_t parts, int *ret_part,
                             hct_err *err);

#endif
