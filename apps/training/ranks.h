/* Several ranks that train one model: which scans each takes, what must be the same on all, and what one of them
 * does for all. With one rank every function is the obvious thing. */
#ifndef TRAINING_RANKS_H
#define TRAINING_RANKS_H

#include "hct/comm.h"
#include "models/params.h"

int ranks_count(void);
int ranks_mine(void); /* from 0; rank 0 alone writes files and the progress line */

/* The scans this rank loads of order[n]: each micro-batch of batch * ranks scans is dealt out in runs of `batch`, so
 * that all ranks together see what one rank with that larger batch sees. share[n / ranks] is filled; n is a multiple
 * of batch * ranks. */
void ranks_share(const size_t *order, size_t n, int64_t batch, size_t *share);
/* Refuses, on all ranks alike, where tensors differ between ranks: one checksum over all bytes and names. */
hct_status ranks_same_params(const params *p, hct_err *err);
/* The mean of `loss` over ranks, and whether any rank was asked to stop (the largest signal number). */
hct_status ranks_step(double *loss, int *stop, hct_err *err);
/* Prints what ended this rank, and ends the others; one rank: prints it. Does not return where there are several. */
void ranks_fail(const char *command, const hct_err *err);

#endif
