/* Runs side by side: those that differ by their seed alone make one lane, shown as mean and spread. */
#ifndef REPORT_COMPARE_H
#define REPORT_COMPARE_H

#include "figures/report.h"
#include "report/facts.h"

enum { LANE_RUNS = 32, LANES = 12 };

typedef struct lane {
    char label[2 * FACTS_NAME];
    const run_facts *run[LANE_RUNS];
    size_t n;
} lane;

/* A lane's value of a task ("": the macro mean): of one run with its interval; of several their mean, and the lowest
 * and highest as low and high. NaN where any lacks it. */
interval lane_auc(const lane *l, const char *task);

/* Puts runs with metrics into lanes, in order of appearance; *ret_n: how many (LANES at the most). Labels say
 * pre-training and approach, and the folder where that does not tell two lanes apart. */
hct_status lanes_of(const run_facts *const *runs, size_t n, lane ret[LANES], size_t *ret_n, hct_err *err);
/* Adds a run to the lane of that label, which is made where there is none and fewer than LANES. */
void lanes_add(lane lanes[LANES], size_t *n, const char *label, const run_facts *run);

/* FOLDER/NAME_bars.svg and, of three tasks or more, FOLDER/NAME_radar.svg, and both on the page: AUC of each task and
 * the macro mean. Marks: paired permutation tests against the first lane on common scans of the test split, where both
 * are single runs with their predictions.csv; Holm's correction over all tests of the figure. *ret_p (may be NULL): of
 * the macro mean of the second lane; NaN: not tested. */
hct_status compare_add(report *r, const lane *lanes, size_t n, const char *folder, const char *name, const char *title,
                       double *ret_p, hct_err *err);

#endif
