/* A grid of probes or fine-tunings, one process a point, the best by validation.
 *
 * RUN/point-000, point-001, ... are the points' runs, the last axis changing fastest. RUN/sweep.csv lists those that
 * are done; once all are, RUN/best.yaml is the best one's recipe and, where tasks have models of their own,
 * RUN/best-TASK.yaml that of the task's best point. A point whose folder is complete is not run again, one that was
 * cut off goes on from its checkpoint. */
#ifndef SWEEP_SWEEP_H
#define SWEEP_SWEEP_H

#include <stdio.h>

#include "recipe/recipe.h"

enum { SWEEP_AXES = 4, SWEEP_VALUES = 16, SWEEP_VALUE = 32 };

typedef struct sweep_axis {
    const char *option, *key, *values; /* on the command line; of the recipe; what it has where nothing is said */
} sweep_axis;
extern const sweep_axis sweep_axes[SWEEP_AXES];

typedef struct sweep_options {
    const char *run;
    char value[SWEEP_AXES][SWEEP_VALUES][SWEEP_VALUE];
    int n[SWEEP_AXES];
    int64_t jobs;        /* processes at once */
    int64_t first, step; /* points first, first + step, ...; step 0: `first` alone */
} sweep_options;

/* The whole grid, one process at once. */
sweep_options sweep_default(void);
/* The values of an axis, "A,B,..."; 0: none, too many, or one that is too long. */
int sweep_set_axis(sweep_options *s, int axis, const char *list);
/* Runs the points of r, a probe's or a fine-tuning's recipe, and says on out what is best. *ret_failed: points that
 * failed; each has said why. */
hct_status sweep_run(const sweep_options *s, const recipe *r, FILE *out, size_t *ret_failed, hct_err *err);

#endif
