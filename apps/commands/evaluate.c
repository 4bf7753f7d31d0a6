/* headct evaluate: how good predictions are. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "validation/validation.h"

static const char doc[] =
    "ROC AUC and average precision of every task and their macro means, with bootstrap intervals, from a table of "
    "predictions. A task whose scans are all of one class is 'undefined' and stays out of the means.\v"
    "The predictions are a CSV with the columns scan, patient, split (the last two may be missing) and one column of "
    "probabilities a task. Labels (1, 0, empty: not known) stand in columns y_TASK of the same file or come from "
    "--labels, "
    "a CSV with the columns scan, patient and one a task, or a dataset folder.\n\n"
    "Examples:\n"
    "  headct evaluate --run runs/probe\n"
    "  headct evaluate --predictions p.csv --labels labels.csv --out results\n"
    "  headct evaluate -p ours.csv -l data --compare theirs.csv --permutations 1000\n\n"
    "With --run and --data a run's classifier, or all of them where it has a model a task, is applied to another "
    "dataset as it is, nothing is tuned: OUT/predictions.csv is written (and resumed), and judged by "
    "that dataset's labels of the same names, or by --map's.\n\n"
    "  headct evaluate --run runs/probe --data cq500 --map ICH=hemorrhage --out results\n\n"
    "With --out: metrics.json, metrics.csv and figures/roc_TASK.svg.";

enum { OPT_RUN = 256, OPT_BOOTSTRAP, OPT_COMPARE, OPT_PERMUTATIONS, OPT_SPLIT, OPT_TASKS, OPT_BY_PATIENT, OPT_MAP };

static const struct argp_option options[] = {
    {"predictions", 'p', "FILE", 0, "predictions.csv to evaluate", 0},
    {"labels", 'l', "FILE|DATASET", 0, "where the labels are; several may be given, the last one wins", 0},
    {"run", OPT_RUN, "RUN", 0, "take RUN/predictions.csv and write to RUN", 0},
    {"data", 'd', "DATASET", 0,
     "with --run and --out: apply the run's classifier to this dataset, without tuning (external validation)", 0},
    {"map", OPT_MAP, "TASK=LABEL", 0, "with --data: TASK of the run is LABEL there; may be given several times", 0},
    {"out", 'o', "DIR", 0, "write metrics and figures there; without it a table is printed and that is all", 0},
    {"split", OPT_SPLIT, "NAME", 0,
     "only scans of this split, or all (default: with --run the run's test split, else all)", 0},
    {"tasks", OPT_TASKS, "A,B,...", 0, "only these tasks (default: all that have labels)", 0},
    {"bootstrap", OPT_BOOTSTRAP, "N", 0, "resamples of the test set (default 100, as the paper)", 0},
    {"by-patient", OPT_BY_PATIENT, NULL, 0, "resample patients, not scans: for patients with several scans", 0},
    {"compare", OPT_COMPARE, "FILE", 0, "second model's predictions of the same scans: paired permutation test", 0},
    {"permutations", OPT_PERMUTATIONS, "N", 0, "of that test (default 1000)", 0},
    {"seed", 'S', "S", 0, "of resamples and permutations (default 0)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    validation_options *s = state->input;
    switch (key) {
    case 'p': s->predictions = arg; break;
    case 'l':
        if (s->n_labels == VALIDATION_LABELS) argp_error(state, "more than %d --labels", VALIDATION_LABELS);
        s->labels[s->n_labels++] = arg;
        break;
    case OPT_RUN: s->run = arg; break;
    case 'd': s->data = arg; break;
    case OPT_MAP:
        if (s->n_maps == VALIDATION_MAPS) argp_error(state, "more than %d --map", VALIDATION_MAPS);
        if (!strchr(arg, '=') || *arg == '=' || !strchr(arg, '=')[1])
            argp_error(state, "--map %s: TASK=LABEL is needed", arg);
        s->map[s->n_maps++] = arg;
        break;
    case 'o': s->out = arg; break;
    case OPT_SPLIT: s->split = arg; break;
    case OPT_TASKS: s->tasks = arg; break;
    case OPT_COMPARE: s->compare = arg; break;
    case OPT_BY_PATIENT: s->by_patient = true; break;
    case OPT_BOOTSTRAP: s->resamples = argument_whole(state, "bootstrap", arg, 0, 1000000); break;
    case OPT_PERMUTATIONS: s->permutations = argument_whole(state, "permutations", arg, 1, 10000000); break;
    case 'S': s->seed = argument_whole(state, "seed", arg, 0, INT64_MAX); break;
    case ARGP_KEY_END:
        if (!s->predictions == !s->run) argp_error(state, "either --predictions or --run is needed");
        if (s->data && (!s->run || !s->out)) argp_error(state, "--data DATASET needs --run RUN and --out DIR");
        if (s->data && s->n_labels) argp_error(state, "--data DATASET brings its own labels; leave --labels out");
        if (s->n_maps && !s->data) argp_error(state, "--map belongs to --data DATASET");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_evaluate(int argc, char **argv) {
    validation_options o = {.resamples = 100, .permutations = 1000};
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &o);
    hct_err err = {0};
    size_t refused = 0;
    int status = command_end(argv[0], validation_run(&o, stdout, &refused, &err), &err);
    return status == EXIT_OK && refused ? EXIT_PARTIAL : status;
}
