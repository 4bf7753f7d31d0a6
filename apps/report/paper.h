/* The paper's figures from run folders: 1e to 1g, 2, 3, 4 and supplementary 1 to 14. */
#ifndef REPORT_PAPER_H
#define REPORT_PAPER_H

#include "figures/report.h"

/* A section a figure: drawn of the runs that belong to it, or what is missing and the command that makes it. Runs are
 * told apart by their recipes and those beside their encoders' weights; a folder of headct evaluate without a recipe is
 * an external validation, one of headct project or headct explain goes into Supplementary Figure 11 and Figure 4.
 * Figures and their numbers go into `folder`. *ret_drawn, *ret_missing: sections. */
hct_status paper_add(report *r, const char *const *runs, size_t n, const char *folder, size_t *ret_drawn,
                     size_t *ret_missing, hct_err *err);

#endif
