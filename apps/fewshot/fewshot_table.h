/* What few-shot evaluation found: a row a draw, and their summary.
 *
 * OUT/fewshot_draws.csv grows row by row (support/row_file.h): task, method, k ("all": every training scan), draw
 * (from 1), positives, negatives (of the examples), auc, ap; of "all" also auc_low, auc_high, ap_low, ap_high, 2.5
 * and 97.5 percentiles over bootstrap resamples of the test split. OUT/fewshot.csv: task, method, k, draws,
 * positives, negatives, then auc and ap, each as mean, low, high: 2.5 and 97.5 percentiles over draws; of "all" the
 * value and its interval. It is a function of the rows. */
#ifndef FEWSHOT_FEWSHOT_TABLE_H
#define FEWSHOT_FEWSHOT_TABLE_H

#include <stdio.h>

#include "evaluation/statistics.h"

typedef struct fewshot_row {
    size_t task;
    int method;
    int64_t k, draw; /* k 0: every training scan */
    size_t positives, negatives;
    interval auc, ap; /* low, high: of "all" alone, else NaN */
} fewshot_row;

typedef struct fewshot_table fewshot_table;

/* tasks, methods: names, borrowed. origin: one JSON object of what made the rows; HCT_EINVAL where the file's rows
 * were made otherwise. Rows of tasks that are not among these are left as they are. */
hct_status fewshot_table_open(const char *folder, const char *origin, const char *const *tasks, size_t n_tasks,
                              const char *const *methods, size_t n_methods, fewshot_table **ret, hct_err *err);
void fewshot_table_free(fewshot_table *);
int fewshot_table_has(const fewshot_table *, size_t task, int method, int64_t k, int64_t draw);
/* On the disk when it returns. */
hct_status fewshot_table_add(fewshot_table *, const fewshot_row *, hct_err *err);
/* The mean over the draws there are, and percentiles; of "all" its row. Returns the number of draws; 0: none. */
size_t fewshot_table_summary(const fewshot_table *, size_t task, int method, int64_t k, fewshot_row *ret);
/* OUT/fewshot.csv: by task, method, K, "all" last. */
hct_status fewshot_table_write(const fewshot_table *, hct_err *err);
/* "8", or "all"; buffer of 24. */
const char *fewshot_k_text(int64_t k, char buffer[24]);

#endif
