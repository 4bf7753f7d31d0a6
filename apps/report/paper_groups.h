/* Subgroups as the paper shows them: AUC by slice thickness and by manufacturer. */
#ifndef REPORT_PAPER_GROUPS_H
#define REPORT_PAPER_GROUPS_H

#include "figures/report.h"
#include "report/facts.h"

/* Bars over the groups of a column out of RUN/subgroups.csv and RUN/evaluate-NAME/subgroups.csv: each task a series,
 * or their mean alone. *ret_drawn: set where something was. */
hct_status paper_groups(report *r, const run_facts *const *runs, size_t n, const char *folder, const char *name,
                        const char *column, int mean, int *ret_drawn, hct_err *err);

#endif
