/* A sweep's points as a figure. */
#ifndef REPORT_SWEEP_REPORT_H
#define REPORT_SWEEP_REPORT_H

#include "hct/types.h"

/* FOLDER/sweep.svg out of RUN/sweep.csv: each point's validation AUC, the best on top. Nothing where the run has none.
 * HCT_EFORMAT: it is not what headct sweep writes. */
hct_status sweep_report_draw(const char *run, const char *folder, hct_err *err);

#endif
