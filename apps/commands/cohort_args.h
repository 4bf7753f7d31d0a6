/* The options of commands that run a model over scans: SCAN..., --data, --split, --filters, --weights, --device,
 * --identifiers, --key, --precision, --quiet. Use as an argp child: {&cohort_argp, 0, NULL, 0} with
 * state->child_inputs[0] pointing to a cohort_args. */
#ifndef COMMANDS_COHORT_ARGS_H
#define COMMANDS_COHORT_ARGS_H

#include <argp.h>

#include "inference/cohort.h"
#include "inference/precision.h"

typedef struct cohort_args {
    const char *weights, *data, *split, *device, *filters, *identifiers, *key;
    const char **scans;
    size_t n_scans;
    run_precision precision;
    int quiet;
} cohort_args;

extern const struct argp cohort_argp;

/* The usage error that scans and --data call for: neither, or both. */
void cohort_args_check(const cohort_args *a, struct argp_state *state);
hct_status cohort_from_args(const cohort_args *a, cohort *ret, hct_err *err);
void cohort_args_free(cohort_args *a);
/* Lists the scans that were left out and prints what came of the others; returns the exit status. */
int cohort_report(const char *command, const cohort *c, const char *out, size_t kept, hct_status st,
                  const hct_err *err);

#endif
