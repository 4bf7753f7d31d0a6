/* Few-shot evaluation on frozen features: K positives and K negatives of the training part, several draws, scored on the test part.
 *
 * Examples come from the training part alone; the test part is only scored, the validation part only chooses a linear probe's epoch. A draw's first K
 * of a class lie within its first 2K: draws are nested, and depend on seed, task and draw alone.
 * OUT/fewshot.csv: task, method, k ("all": every training scan), draws, positives, negatives, then auc and ap each as mean, low, high: 2.5 and 97.5
 * percentiles over draws; of "all" over 100 bootstrap resamples of the test part. OUT/fewshot_draws.csv: task, method, k, draw, auc, ap. */
#ifndef TRAINING_FEWSHOT_RUN_H
#define TRAINING_FEWSHOT_RUN_H

#include "evaluation/fewshot.h"
#include "training/recipe.h"

enum { FEWSHOT_KS = 16 };
typedef enum fewshot_method { FEWSHOT_KNN, FEWSHOT_SIMPLESHOT, FEWSHOT_PROTONET, FEWSHOT_LINEAR, FEWSHOT_METHODS } fewshot_method;
extern const char *const fewshot_method_names[FEWSHOT_METHODS];

typedef struct fewshot_options {
    const char *out; /* folder */
    int64_t k[FEWSHOT_KS], draws;
    int n_k;
    int use[FEWSHOT_METHODS];
    fewshot_knn_options knn; /* k is lowered to 2K where there are fewer examples */
    fewshot_form form;       /* of SimpleShot */
    FILE *progress, *table;  /* may be NULL */
} fewshot_options;

hct_status fewshot_run(const recipe *r, const fewshot_options *o, hct_err *err);

#endif
