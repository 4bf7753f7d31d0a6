/* Which scans teach and which are scored, in few-shot evaluation of one task at a time.
 *
 * Examples come from the training split alone. A draw is a function of seed, task and number; its first K of a class
 * lie within its first 2K: draws are nested, and the same whatever the method. */
#ifndef FEWSHOT_FEWSHOT_DRAW_H
#define FEWSHOT_FEWSHOT_DRAW_H

#include "training/trial.h"

typedef struct fewshot_draw {
    const trial *t; /* borrowed; every list below holds rows of it */
    uint64_t seed;
    size_t task;
    int8_t *label;                                       /* [t->n], of the task */
    size_t *positive, *negative, n_positive, n_negative; /* of the training split, in the draw's order */
    size_t *support, n_support;                          /* the examples chosen: positives, then negatives */
    size_t *valid, n_valid;                              /* the validation split */
    size_t *test, n_test;                                /* the test split's rows with a label */
    int8_t *test_label;                                  /* [n_test] */
} fewshot_draw;

hct_status fewshot_draw_new(fewshot_draw *, const trial *, uint64_t seed, hct_err *);
void fewshot_draw_free(fewshot_draw *);
/* Turns to a task: its labels, both classes, the test rows. */
void fewshot_draw_task(fewshot_draw *, size_t task);
/* Whether training and test split have both classes of it. */
int fewshot_draw_has_classes(const fewshot_draw *);
/* The first so many of each class, in the order of this draw. */
void fewshot_draw_choose(fewshot_draw *, int64_t draw, size_t positives, size_t negatives);

#endif
