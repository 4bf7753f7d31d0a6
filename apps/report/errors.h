/* A run's worst errors, with pictures of the scans. */
#ifndef REPORT_ERRORS_H
#define REPORT_ERRORS_H

#include "figures/report.h"
#include "report/facts.h"

enum { ERRORS_SHOWN = 3 };

/* Of each task the ERRORS_SHOWN positives of the test split with the lowest probability and the negatives with the
 * highest, as a table; and FOLDER/error_TASK.png, an axial slice of each, where the dataset of the recipe is at hand.
 * Nothing where the run has no predictions.csv with labels. */
hct_status errors_add(report *r, const run_facts *f, const char *folder, hct_err *err);

#endif
