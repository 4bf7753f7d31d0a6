/* Trains one task's probe on features, keeps the epoch with the best validation AUC, scores every row. probe/protocol.h
 * has the other ways to find a linear head. */
#ifndef PROBE_PROBE_FIT_H
#define PROBE_PROBE_FIT_H

#include <stdio.h>

#include "models/weights.h"
#include "recipe/recipe.h"
#include "run/runlog.h"

typedef struct probe_data {
    const float *row;            /* [n, tokens, width] */
    size_t n, width, tokens;     /* tokens 1: one vector a scan */
    int64_t heads;               /* of an attentive probe; 0: linear */
    const int8_t *label;         /* [n]: 1, 0, -1 not known */
    char *const *scan;           /* [n]: ids, for messages; NULL: none */
    const size_t *train, *valid; /* rows; those without a label are left out */
    size_t n_train, n_valid;
} probe_data;

typedef struct probe_fit_options {
    const char *task;
    runlog *log;             /* a line an epoch, phase `task`; NULL: none */
    const char *last, *best; /* checkpoints of the head; NULL: none are written */
    int resume;
    const model_info
        *info; /* recipe, data and parent of the run, for the checkpoints; may be NULL where there are none */
    FILE *progress;
} probe_fit_options;

enum { PROBE_CHOSEN = 96 };

/* score: [n], the probability of each row. head: a parameter set that holds head_declare(head, "", width, 2, heads);
 * its values are the best epoch's afterwards. HCT_EINVAL: a class is missing in training, or a loss is not finite.
 * chosen: what validation chose, for people. HCT_EINTERRUPTED: a signal asked to stop. */
hct_status probe_fit(const recipe *r, hct_dev *dev, const probe_data *d, const probe_fit_options *o, params *head,
                     double *score, char chosen[PROBE_CHOSEN], hct_err *err);
/* The probabilities of all rows by a head as it is. */
hct_status probe_score(hct_dev *dev, const probe_data *d, params *head, double *score, hct_err *err);

#endif
