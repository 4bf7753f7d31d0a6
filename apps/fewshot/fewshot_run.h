/* Few-shot evaluation: K positives and K negatives of the training split, several draws, scored on the test split;
 * every training scan beside them.
 *
 * Which scans teach is fewshot_draw.h's, the same for all methods. The test split is only scored; the validation split
 * only chooses the epoch of a linear probe and of a fine-tuning. All but fine-tuning work on frozen features (probe
 * section of the recipe); fine-tuning takes its finetune section; both take optim and train. OUT/fewshot_draws.csv,
 * a row for each draw as it ends, and OUT/fewshot.csv, their summary: fewshot_table.h. A fine-tuning leaves
 * metrics.jsonl in OUT/finetune/TASK/K-DRAW. */
#ifndef FEWSHOT_FEWSHOT_RUN_H
#define FEWSHOT_FEWSHOT_RUN_H

#include "evaluation/fewshot.h"
#include "fewshot/fewshot_episodes.h"
#include "recipe/recipe.h"

enum { FEWSHOT_KS = 16 };
typedef enum fewshot_method {
    FEWSHOT_KNN,
    FEWSHOT_SIMPLESHOT,
    FEWSHOT_PROTONET,
    FEWSHOT_LINEAR,
    FEWSHOT_FINETUNE,
    FEWSHOT_METHODS
} fewshot_method;
extern const char *const fewshot_method_names[FEWSHOT_METHODS];

typedef struct fewshot_options {
    const char *out; /* folder */
    int resume;      /* rows that are there stay, a fine-tuning that was interrupted goes on from its checkpoint */
    int64_t k[FEWSHOT_KS], draws;
    int n_k;
    int use[FEWSHOT_METHODS];
    fewshot_knn_options knn;   /* k is lowered to 2K where there are fewer examples */
    fewshot_form form;         /* of SimpleShot */
    fewshot_episodes episodes; /* of ProtoNet */
    FILE *progress, *table;    /* may be NULL */
} fewshot_options;

/* HCT_EINTERRUPTED: a signal asked to stop (support/stop.h). */
hct_status fewshot_run(const recipe *r, const fewshot_options *o, hct_err *err);

#endif
