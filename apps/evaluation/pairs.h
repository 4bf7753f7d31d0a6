/* Every pair of any number of models on the same scans: AUCs, their difference in points and as a share, the paired
 * permutation test (permutation.h), DeLong's test (delong.h), and both after Holm's correction over all pairs and tasks
 * of the table (multiple.h). */
#ifndef EVALUATION_PAIRS_H
#define EVALUATION_PAIRS_H

#include "evaluation/models.h"
#include "evaluation/sheet.h"

typedef struct pairs_options {
    size_t permutations;
    uint64_t seed;
    int threads;
    void (*tell)(void *context, int64_t pairs); /* after each pair; NULL: nobody */
    void *tell_context;
} pairs_options;

/* models: aligned (models_align), two or more. ret_pairs: a row a task and pair, the mean over tasks last where there
 * are several; ret_matrix: a row a task and model, a column a model: p of the permutation test after Holm. */
hct_status pairs_test(const model_set *models, const pairs_options *o, sheet **ret_pairs, sheet **ret_matrix,
                      hct_err *err);

#endif
