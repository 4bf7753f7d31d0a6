/* A trial: the scans that a classifier is trained, chosen and tested on, their labels, and what it says of them.
 * Probes and fine-tuned models take one, fill in the scores, and write the same files of it.
 *
 *   trial_open(r, data, &t, &err);                    splits and tasks as the recipe names them; or trial_of any scans
 *   ... train on rows [0, n_train), choose by the next n_valid, write t.said.score ...
 *   trial_write(&t, 0, run, hash, &info, &err);       RUN/predictions.csv, predictions.csv.json
 *   trial_evaluate(&t, name, seed, run, stdout, &err); RUN/metrics.json, metrics.csv, figures/roc_TASK.svg */
#ifndef TRAINING_TRIAL_H
#define TRAINING_TRIAL_H

#include <stdio.h>

#include "dataset/dataset.h"
#include "evaluation/predictions.h"
#include "models/weights.h"
#include "recipe/recipe.h"

typedef struct trial {
    const dataset *data; /* borrowed */
    size_t *scan, n;     /* train, validation and test scans, one after the other; numbers in data */
    size_t n_train, n_valid, n_test;
    char preparation[MODEL_HASH]; /* SHA-256 of what all scans went through */
    predictions said;             /* row i is scan[i]: labels are filled in, scores are 0 at first */
} trial;

typedef struct scan_list {
    const size_t *scan;
    size_t n;
} scan_list;

/* The splits and tasks that a recipe names (no tasks: every label of the dataset). HCT_EINVAL, HCT_ENOTFOUND: no such
 * part or label, no labels at all, more than MODEL_TASKS tasks, a name of MODEL_NAME characters or more. */
hct_status trial_open(const recipe *r, const dataset *d, trial *ret, hct_err *err);
/* The same of any scans, in their order. */
hct_status trial_of(const dataset *d, scan_list train, scan_list valid, scan_list test, const char *const *tasks,
                    size_t n_tasks, trial *ret, hct_err *err);
void trial_free(trial *t);
/* SHA-256 of all that the inputs of a model go through: the scans' preparation, or its own form's (imaging/form.h). */
hct_status trial_preparation(const trial *t, const input_spec *spec, char ret[MODEL_HASH], hct_err *err);
/* Whether every task has both classes among the training rows; HCT_EINVAL names one that has not. */
hct_status trial_need_classes(const trial *t, hct_err *err);
/* The same of the tasks that a recipe names; where it names none, such labels are left out, and said so on stderr. */
hct_status trial_leave_one_class(trial *t, const recipe *r, hct_err *err);
/* Whether scores of a task are the same for all of rows [first, first + n), two or more: nothing was learned. */
int trial_scores_alike(const trial *t, size_t first, size_t n);
/* HCT_EINVAL where a task's name cannot name a folder. */
hct_status trial_check_folders(const trial *t, hct_err *err);

/* RUN/predictions.csv of the rows from `first` on, with labels, and predictions.csv.json: the hashes of what made
 * it. weights: SHA-256, "" where there are none. */
hct_status trial_write(const trial *t, size_t first, const char *run, const char *weights, const model_info *info,
                       hct_err *err);
/* Of the test rows; name stands in the figures; table (may be NULL) is printed to. Nothing without test scans. */
hct_status trial_evaluate(const trial *t, const char *name, uint64_t seed, const char *run, FILE *table, hct_err *err);

#endif
