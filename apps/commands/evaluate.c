/* headct evaluate: how good predictions are. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "validation/validation.h"

static const char doc[] =
    "ROC AUC and average precision of every task and their macro means, with bootstrap intervals, from one table of "
    "predictions or several. A task whose scans are all of one class is 'undefined' and stays out of the means.\v"
    "A table is a CSV with the columns scan, patient, split (the last two may be missing) and one column of "
    "probabilities a task. Labels (1, 0, empty: not known) stand in columns y_TASK of the same file or come from "
    "--labels, a CSV with the columns scan, patient and one a task, or a dataset folder. A long table "
    "(scan,model,task,prob, and label) is told by its columns; a wide one, a column a model, by "
    "--models-in-columns.\n\n"
    "Examples:\n"
    "  headct evaluate --run runs/probe\n"
    "  headct evaluate --predictions p.csv --labels labels.csv --out results\n"
    "  headct evaluate ours.csv theirs.csv third.csv --labels data --out results\n"
    "  headct evaluate scores.csv --models-in-columns --scan-column name --label-column label\n"
    "  headct evaluate p.csv --split test --validation val --operating youden --operating sensitivity:0.95 "
    "--calibrate platt\n"
    "  headct evaluate p.csv --by age:18-40-65-80 --by sex --groups patients.csv --out results\n\n"
    "Of several models all pairs are tested on the scans that all of them have: paired permutations, and DeLong's test "
    "as a second opinion, both also after Holm's correction over all pairs and tasks. Permutations compare scores, "
    "which must be on one scale; DeLong compares ranks, and needs some twenty cases of either class.\n\n"
    "Intervals: --interval percentile, as in the paper, is too narrow with few positives; bca corrects for bias and "
    "skewness and takes one more pass a scan; DeLong's stands beside both in metrics.csv. --by-patient draws patients "
    "instead of scans: use it where patients have several scans, which are not independent.\n\n"
    "With --run and --data a run's classifier, or all of them where it has a model a task, is applied to another "
    "dataset as it is, nothing is tuned: OUT/predictions.csv is written (and resumed), and judged by "
    "that dataset's labels of the same names, or by --map's. Scans that the run or its encoder was trained on, and "
    "those of patients that it was trained on, are left out and counted; left_out.csv lists them.\n\n"
    "  headct evaluate --run runs/probe --data cq500 --map ICH=hemorrhage --out results\n\n"
    "With --out: metrics.json, metrics.csv, a CSV of each table printed, and figures/. With --run alone they go to "
    "RUN, "
    "or to RUN/evaluate-SPLIT where RUN has metrics of its own.";

enum {
    OPT_RUN = 256,
    OPT_BOOTSTRAP,
    OPT_COMPARE,
    OPT_PERMUTATIONS,
    OPT_SPLIT,
    OPT_TASKS,
    OPT_BY_PATIENT,
    OPT_MAP,
    OPT_INCLUDE_TRAINING,
    OPT_IN_COLUMNS,
    OPT_SCAN_COLUMN,
    OPT_LABEL_COLUMN,
    OPT_LOGITS,
    OPT_SCORES,
    OPT_OPERATING,
    OPT_VALIDATION,
    OPT_CALIBRATE,
    OPT_BY,
    OPT_GROUPS,
    OPT_INTERVAL,
    OPT_THREADS
};

static const struct argp_option options[] = {
    {0, 0, 0, 0, "What is evaluated:", 1},
    {"predictions", 'p', "FILE", 0, "a table of predictions, as FILE", 1},
    {"labels", 'l', "FILE|DATASET", 0, "where the labels are; several may be given, the last one wins", 1},
    {"run", OPT_RUN, "RUN", 0, "take RUN/predictions.csv", 1},
    {"data", 'd', "DATASET", 0,
     "with --run and --out: apply the run's classifier to this dataset, without tuning (external validation)", 1},
    {"include-training", OPT_INCLUDE_TRAINING, NULL, 0,
     "with --data: evaluate also scans and patients that the run was trained on; they are left out and counted "
     "otherwise",
     1},
    {"map", OPT_MAP, "TASK=LABEL", 0, "with --data: TASK of the run is LABEL there; may be given several times", 1},
    {"split", OPT_SPLIT, "NAME", 0,
     "only scans of this split, or all (default: with --run the run's test split, else all)", 1},
    {"tasks", OPT_TASKS, "A,B,...", 0, "only these tasks (default: all that have labels)", 1},
    {"models-in-columns", OPT_IN_COLUMNS, NULL, 0, "tables are wide: one column a model, one label column", 1},
    {"scan-column", OPT_SCAN_COLUMN, "NAME", 0, "of a wide table (default scan)", 1},
    {"label-column", OPT_LABEL_COLUMN, "NAME", 0, "of a wide table; names the task (default label)", 1},
    {"logits", OPT_LOGITS, NULL, 0, "scores are logits: they become probabilities first", 1},
    {"scores", OPT_SCORES, NULL, 0, "scores may be any numbers: they are only ranked", 1},
    {"out", 'o', "DIR", 0, "write metrics and figures there; without it and --run tables are printed and that is all",
     1},
    {0, 0, 0, 0, "Intervals and comparisons:", 2},
    {"bootstrap", OPT_BOOTSTRAP, "N", 0, "resamples of the test set (default 100, as the paper)", 2},
    {"interval", OPT_INTERVAL, "percentile|bca", 0, "how the bootstrap's intervals are made (default percentile)", 2},
    {"by-patient", OPT_BY_PATIENT, NULL, 0, "resample patients, not scans: for patients with several scans", 2},
    {"compare", OPT_COMPARE, "FILE", 0, "a further model's predictions, as a further FILE; may be given several times",
     2},
    {"permutations", OPT_PERMUTATIONS, "N", 0, "of the paired and the subgroups' tests (default 1000)", 2},
    {"seed", 'S', "S", 0, "of resamples and permutations (default 0)", 2},
    {"threads", OPT_THREADS, "N", 0, "they change no number (default: one a CPU)", 2},
    {0, 0, 0, 0, "Choices made on validation:", 3},
    {"validation", OPT_VALIDATION, "SPLIT", 0, "the split to choose on (default: with --run the run's)", 3},
    {"operating", OPT_OPERATING, "POINT", 0,
     "youden, sensitivity:X or specificity:X: choose the threshold on validation, print what it does on test; may be "
     "given several times",
     3},
    {"calibrate", OPT_CALIBRATE, "KIND", 0,
     "platt or temperature: fit on validation, print Brier score and calibration error before and after; none: as "
     "predicted alone",
     3},
    {0, 0, 0, 0, "Subgroups:", 4},
    {"by", OPT_BY, "COLUMN[:A-B-C]", 0,
     "metrics inside groups by a column's values, numbers cut at edges; may be given several times", 4},
    {"groups", OPT_GROUPS, "FILE|DATASET", 0,
     "where --by's columns are: a CSV with a column scan, or the tags of a dataset (default: --data's)", 4},
    {"quiet", 'q', NULL, 0, "no progress", 5},
    {0},
};

static void add_file(validation_options *s, const char *file, struct argp_state *state) {
    if (s->n_files == VALIDATION_FILES) argp_error(state, "more than %d tables", VALIDATION_FILES);
    s->files[s->n_files++] = file;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    validation_options *s = state->input;
    hct_err err = {0};
    switch (key) {
    case ARGP_KEY_ARG:
    case OPT_COMPARE:
    case 'p': add_file(s, arg, state); break;
    case 'l':
        if (s->n_labels == VALIDATION_LABELS) argp_error(state, "more than %d --labels", VALIDATION_LABELS);
        s->labels[s->n_labels++] = arg;
        break;
    case OPT_RUN: s->run = arg; break;
    case 'd': s->data = arg; break;
    case OPT_INCLUDE_TRAINING: s->include_training = true; break;
    case OPT_MAP:
        if (s->n_maps == VALIDATION_MAPS) argp_error(state, "more than %d --map", VALIDATION_MAPS);
        if (!strchr(arg, '=') || *arg == '=' || !strchr(arg, '=')[1])
            argp_error(state, "--map %s: TASK=LABEL is needed", arg);
        s->map[s->n_maps++] = arg;
        break;
    case 'o': s->out = arg; break;
    case 'q': s->quiet = true; break;
    case OPT_SPLIT: s->split = arg; break;
    case OPT_TASKS: s->tasks = arg; break;
    case OPT_IN_COLUMNS: s->format.in_columns = true; break;
    case OPT_SCAN_COLUMN: s->format.scan = arg; break;
    case OPT_LABEL_COLUMN: s->format.label = arg; break;
    case OPT_LOGITS: s->logits = true; break;
    case OPT_SCORES: s->scores = true; break;
    case OPT_BY_PATIENT: s->by_patient = true; break;
    case OPT_VALIDATION: s->validation = arg; break;
    case OPT_OPERATING:
        if (s->n_rules == OPERATE_RULES) argp_error(state, "more than %d --operating", OPERATE_RULES);
        if (operate_rule_read(arg, &s->rules[s->n_rules++], &err) < 0) argp_error(state, "--operating: %s", err.msg);
        break;
    case OPT_CALIBRATE:
        s->reliability = true;
        if (!strcmp(arg, "platt")) s->calibrate = CALIBRATION_PLATT;
        else if (!strcmp(arg, "temperature")) s->calibrate = CALIBRATION_TEMPERATURE;
        else if (strcmp(arg, "none") != 0) argp_error(state, "--calibrate %s: platt, temperature or none", arg);
        break;
    case OPT_BY:
        if (s->n_by == VALIDATION_BY) argp_error(state, "more than %d --by", VALIDATION_BY);
        s->by[s->n_by++] = arg;
        break;
    case OPT_GROUPS: s->groups = arg; break;
    case OPT_INTERVAL:
        if (!strcmp(arg, "bca")) s->interval = INTERVAL_BCA;
        else if (strcmp(arg, "percentile") != 0) argp_error(state, "--interval %s: percentile or bca", arg);
        break;
    case OPT_BOOTSTRAP: s->resamples = argument_whole(state, "bootstrap", arg, 0, 1000000); break;
    case OPT_PERMUTATIONS: s->permutations = argument_whole(state, "permutations", arg, 1, 10000000); break;
    case OPT_THREADS: s->threads = argument_whole(state, "threads", arg, 1, 1024); break;
    case 'S': s->seed = argument_whole(state, "seed", arg, 0, INT64_MAX); break;
    case ARGP_KEY_END:
        if (!s->n_files && !s->run) argp_error(state, "a table is needed: FILE, --predictions or --run");
        if (s->data && (!s->run || !s->out)) argp_error(state, "--data DATASET needs --run RUN and --out DIR");
        if (s->data && s->n_labels) argp_error(state, "--data DATASET brings its own labels; leave --labels out");
        if (s->data && (s->n_rules || s->calibrate))
            argp_error(state, "--operating and --calibrate choose on a split of one table; leave --data out");
        if (s->include_training && !s->data) argp_error(state, "--include-training belongs to --data DATASET");
        if (s->n_maps && !s->data) argp_error(state, "--map belongs to --data DATASET");
        if (s->n_by && !s->groups && !s->data) argp_error(state, "--by needs --groups FILE or DATASET");
        if ((s->format.scan || s->format.label) && !s->format.in_columns)
            argp_error(state, "--scan-column and --label-column belong to --models-in-columns");
        if (s->logits && s->scores) argp_error(state, "--logits and --scores exclude each other");
        if (s->scores && s->reliability) argp_error(state, "--calibrate needs probabilities, not --scores");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_evaluate(int argc, char **argv) {
    validation_options o = {.resamples = 100, .permutations = 1000};
    const struct argp argp = {options, parse, "[FILE...]", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &o);
    hct_err err = {0};
    size_t refused = 0;
    int status = command_end(argv[0], validation_run(&o, stdout, &refused, &err), &err);
    return status == EXIT_OK && refused ? EXIT_PARTIAL : status;
}
