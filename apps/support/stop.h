/* SIGTERM, SIGINT and SIGUSR1 (Slurm's --signal) ask a run to stop: training after the current step, with a
 * checkpoint written; work over scans after those at hand. */
#ifndef SUPPORT_STOP_H
#define SUPPORT_STOP_H

#include <stddef.h>

#include "hct/hct.h"

void stop_listen(void);
/* Number of the signal that asked, 0 while none did. */
int stop_asked(void);
/* HCT_EINTERRUPTED once a signal asked: done of total scans are kept, the same command does the rest. */
hct_status stop_check(size_t done, size_t total, hct_err *err);

#endif
