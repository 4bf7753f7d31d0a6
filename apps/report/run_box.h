/* What stands first of a run: the facts in a box, and the result in one sentence. */
#ifndef REPORT_RUN_BOX_H
#define REPORT_RUN_BOX_H

#include "figures/report.h"
#include "report/facts.h"

/* The sentence where the run has metrics, then a table: what was trained on what, scans, prevalence, rate, parameters,
 * when and by which command. */
hct_status run_box_add(report *r, const run_facts *f, hct_err *err);
/* "Macro AUC 0.712 (0.650 to 0.770) on 330 scans: better than chance." and what limits it. */
void run_box_sentence(const run_facts *f, char *ret, size_t room);

#endif
