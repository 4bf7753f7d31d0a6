/* Curves over the share of data that was trained or pre-trained on (the paper's Figure 3). */
#ifndef REPORT_SCALING_H
#define REPORT_SCALING_H

#include "figures/report.h"
#include "report/facts.h"

/* FOLDER/NAME.svg and its figure: AUC of a task ("": the macro mean) over the share of the pre-training data, or where
 * that does not vary of the training data; a curve an approach, pre-training and dataset, with bands: 95% intervals, or
 * of several runs the lowest and highest. Nothing where no curve has two shares. */
hct_status scaling_add(report *r, const run_facts *const *runs, size_t n, const char *folder, const char *name,
                       const char *task, hct_err *err);
/* Whether there is such a curve. */
int scaling_varies(const run_facts *const *runs, size_t n);

#endif
