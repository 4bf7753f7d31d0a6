/* Micro-batches of one step: their gradients are added up, their losses averaged. */
#ifndef TRAINING_MICRO_H
#define TRAINING_MICRO_H

#include "hct/hct.h"

enum { MICRO_MOST = 64 }; /* of one step */

/* HCT_EINVAL where optim.accumulate is no number of micro-batches. */
hct_status micro_check(int64_t n, hct_err *err);
/* Waits for the step; *ret_loss is the mean of the n scalars loss. */
hct_status micro_losses(hct_tape *t, const hct_id *loss, int64_t n, double *ret_loss, hct_err *err);

#endif
