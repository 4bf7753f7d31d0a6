/* AUCs inside groups of scans: by a column of a CSV, or by a tag of a dataset's index. */
#ifndef EVALUATION_SUBGROUPS_H
#define EVALUATION_SUBGROUPS_H

#include "evaluation/predictions.h"
#include "evaluation/sheet.h"

typedef struct subgroups_options {
    size_t resamples, permutations;
    uint64_t seed;
    int threads;
    double level;
    const char *folder; /* NULL: no figures; else FOLDER/forest_COLUMN_TASK.svg */
} subgroups_options;

enum { SUBGROUPS_FEW = 10 }; /* positives below which a row is marked */

/* by, source: grouping.h. Adds a row a task and group: scans, positives, prevalence, AUC with the bootstrap's interval,
 * difference to the rest with its permutation test, a note. */
hct_status subgroups_add(sheet *s, const predictions *p, const char *source, const char *by, const subgroups_options *o,
                         hct_err *err);
sheet *subgroups_sheet(void);

#endif
