/* The options of commands that run over scans. */
#include "commands/cohort_args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/command.h"
#include "hct/log.h"

enum { OPT_SPLIT = 300, OPT_FILTERS, OPT_IDENTIFIERS, OPT_KEY, OPT_PRECISION };

static const struct argp_option options[] = {
    {"weights", 'w', "FILE", 0, "weights file", 0},
    {"data", 'd', "DATASET", 0, "all scans of a dataset made by headct prepare, instead of SCAN...", 0},
    {"split", OPT_SPLIT, "NAME", 0, "only this split of the dataset: train, val, test (default: all)", 0},
    {"part", OPT_SPLIT, NULL, OPTION_ALIAS | OPTION_HIDDEN, NULL, 0},
    {"filters", OPT_FILTERS, "NAME|FILE", 0,
     "which series of DICOM files are scans: any-head-ct (default), nyu, none, or a file of such keys", 0},
    {"identifiers", OPT_IDENTIFIERS, "clear|none", 0,
     "whether results name paths, UIDs and accession numbers beside ids (default: clear for SCAN..., none for --data)",
     0},
    {"key", OPT_KEY, "FILE", 0,
     "key of the dataset, for --data with --identifiers clear (default: $XDG_CONFIG_HOME/headct/key)", 0},
    {"device", 'D', "NAME", 0,
     "cpu, or another backend that 'headct backends' lists (default: $HEADCT_DEVICE, else cpu)", 0},
    {"precision", OPT_PRECISION, "NAME", 0, PRECISION_HELP, 0},
    {"quiet", 'q', NULL, 0, "no progress line", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    cohort_args *a = state->input;
    switch (key) {
    case 'w': a->weights = arg; break;
    case 'd': a->data = arg; break;
    case OPT_SPLIT: a->split = arg; break;
    case OPT_FILTERS: a->filters = arg; break;
    case OPT_IDENTIFIERS:
        if (strcmp(arg, "clear") != 0 && strcmp(arg, "none") != 0)
            argp_error(state, "--identifiers: '%s' is neither clear nor none", arg);
        a->identifiers = arg;
        break;
    case OPT_KEY: a->key = arg; break;
    case 'D': a->device = arg; break;
    case OPT_PRECISION:
        if (!precision_find(arg, &a->precision)) argp_error(state, "--precision: '%s' is none of f32, bf16, int8", arg);
        break;
    case 'q': a->quiet = 1; break;
    case ARGP_KEY_ARG: {
        const char **more = realloc(a->scans, (a->n_scans + 1) * sizeof *more);
        if (!more) argp_failure(state, EXIT_ERROR, 0, "out of memory");
        a->scans = more;
        a->scans[a->n_scans++] = arg;
        break;
    }
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char doc[] = "\vA SCAN does not tell whose it is: its patient in the result is its own ID, as in headct "
                          "prepare without --labels. With --data patients are "
                          "those of the dataset.";

const struct argp cohort_argp = {options, parse, NULL, doc, NULL, NULL, NULL};

void cohort_args_check(const cohort_args *a, struct argp_state *state) {
    if (!a->n_scans && !a->data)
        argp_error(state, "SCAN (a NIfTI file, a folder or an archive) or --data DATASET is missing");
    if (a->n_scans && a->data) argp_error(state, "either SCAN... or --data DATASET, not both");
    if (a->filters && a->data)
        argp_error(state, "--filters is for SCAN...; a dataset was filtered when it was prepared");
    if (a->key && !a->data) argp_error(state, "--key needs --data DATASET: a SCAN is read without a key");
    if (a->split && !a->data) argp_error(state, "--split needs --data DATASET");
}

hct_status cohort_from_args(const cohort_args *a, cohort *ret, hct_err *err) {
    const bool clear = a->identifiers ? strcmp(a->identifiers, "clear") == 0 : !a->data;
    hct_status st = a->data ? cohort_of_dataset(a->data, a->split ? a->split : "all", ret, err)
                            : cohort_of_files(a->scans, a->n_scans, a->filters, ret, err);
    return st == HCT_OK && clear ? cohort_name_clear(ret, a->key, err) : st;
}

void cohort_args_free(cohort_args *a) {
    free(a->scans);
    *a = (cohort_args){0};
}

int cohort_report(const char *command, const cohort *c, const char *out, size_t kept, hct_status st,
                  const hct_err *err) {
    size_t refused = cohort_tell_refused(c);
    if (st == HCT_OK && out)
        printf("%s: %zu new, %zu there before, %zu refused\n", out, c->n - kept - refused, kept, refused);
    return st == HCT_OK && refused ? EXIT_PARTIAL : command_end(command, st, err);
}
