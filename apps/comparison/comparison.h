/* The paper's comparison on anyone's data: every system of a list is trained on the same scans, splits and tasks, and
 * all are held against each other on the test split.
 *
 * OUT/NAME is each system's run (a probe's or a fine-tuning's folder). OUT/systems.csv says of every system of the list
 * whether it is done, left out for want of a file, failed, or not yet run; OUT/models.csv, comparisons.csv,
 * p_matrix.csv and figures/ are those of `headct evaluate` over the systems that are done. Run again, it does what is
 * left. */
#ifndef COMPARISON_COMPARISON_H
#define COMPARISON_COMPARISON_H

#include <stdio.h>

#include "comparison/systems.h"

typedef struct comparison_options {
    const char *systems, *data, *out;
    const char *const *sets; /* KEY=VALUE for every system, after its own */
    size_t n_sets;
    int64_t jobs;        /* processes at once */
    int64_t first, step; /* systems first, first + step, ... are run; step 0: `first` alone */
    int64_t resamples, permutations, seed;
    int by_patient;
    FILE *progress; /* NULL: quiet */
} comparison_options;

/* *ret_failed: systems whose run failed; each has said why. HCT_EINVAL: systems that differ in splits or tasks, a
 * recipe that is neither probe nor fine-tuning, a folder of another recipe. */
hct_status comparison_run(const comparison_options *o, FILE *table, size_t *ret_failed, hct_err *err);

#endif
