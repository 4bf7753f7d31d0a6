/* Figures of the paper that are not comparisons of runs (paper.h). Each sets *ret_drawn where it drew something. */
#ifndef REPORT_PAPER_PARTS_H
#define REPORT_PAPER_PARTS_H

#include "figures/report.h"
#include "report/facts.h"

/* Few-shot curves of every run that has them. */
hct_status paper_fewshot(report *r, const run_facts *const *runs, size_t n, const char *folder, int *ret_drawn,
                         hct_err *err);
/* Pictures and plots of RUN/sub whose names begin so. */
hct_status paper_pictures(report *r, const run_facts *const *runs, size_t n, const char *prefix, const char *sub,
                          int *ret_drawn, hct_err *err);
/* Bars of the share of positives among the tested scans of each dataset. */
hct_status paper_prevalence(report *r, const run_facts *const *runs, size_t n, const char *folder, const char *name,
                            int *ret_drawn, hct_err *err);

#endif
