/* What a run folder shows in a report: the loss curve out of metrics.jsonl, the table of metrics.json, every figure in
 * RUN/figures, the recipe. Parts that a run lacks are left out; a folder with none of them is refused. */
#ifndef REPORT_RUN_REPORT_H
#define REPORT_RUN_REPORT_H

#include "figures/report.h"

/* Adds a run under its own heading. Draws RUN/figures/loss.svg anew where there is a metrics.jsonl; of a
 * run that may only be read nothing is written. HCT_EINVAL: a link in it leads elsewhere. */
hct_status run_report(report *r, const char *run, hct_err *err);

/* The parts of it, for pages put together otherwise; each says with HCT_ENOTFOUND that the run lacks it. */
hct_status run_report_metrics(report *r, const char *metrics_json, const char *caption, hct_err *err);
/* A note that says whether run a's macro AUC is above b's with 95% intervals that do not overlap (*ret_better). */
hct_status run_report_better(report *r, const char *a, const char *b, int *ret_better, hct_err *err);
/* One row a run: macro AUC and average precision out of RUN/metrics.json; runs without it are left out. */
hct_status run_report_comparison(report *r, const char *const *runs, size_t n, hct_err *err);

#endif
