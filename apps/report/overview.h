/* Several runs on one page: what comes before their own sections. */
#ifndef REPORT_OVERVIEW_H
#define REPORT_OVERVIEW_H

#include "figures/report.h"

/* Where they have metrics: one sentence of which lane of runs is best, bars and a radar of all lanes, a forest of all
 * runs, and curves over the share of the data, where runs differ by it. Figures and their numbers go into `folder`. */
hct_status overview_add(report *r, const char *const *runs, size_t n, const char *folder, hct_err *err);

/* The data card (data_card.h) of each dataset that the runs' recipes name and that is at hand, its files in
 * folder/data_NAME; nothing where there is none. */
hct_status overview_data(report *r, const char *const *runs, size_t n, const char *folder, hct_err *err);

#endif
