/* headct evaluate: how good predictions are. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/cohort_args.h"
#include "commands/command.h"
#include "evaluation/evaluation.h"
#include "evaluation/predictions.h"
#include "hct/log.h"
#include "hct/nearest.h"
#include "inference/predict.h"
#include "support/paths.h"
#include "support/stop.h"
#include "support/text.h"
#include "recipe/recipe.h"

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

enum {
    MAX_LABELS = 16,
    MAX_MAPS = 64,
    OPT_RUN = 256,
    OPT_OUT,
    OPT_BOOTSTRAP,
    OPT_SEED,
    OPT_COMPARE,
    OPT_PERMUTATIONS,
    OPT_SPLIT,
    OPT_TASKS,
    OPT_BY_PATIENT,
    OPT_DATA,
    OPT_MAP
};

static const struct argp_option options[] = {
    {"predictions", 'p', "FILE", 0, "predictions.csv to evaluate", 0},
    {"labels", 'l', "FILE|DATASET", 0, "where the labels are; several may be given, the last one wins", 0},
    {"run", OPT_RUN, "RUN", 0, "take RUN/predictions.csv and write to RUN", 0},
    {"data", OPT_DATA, "DATASET", 0,
     "with --run and --out: apply the run's classifier to this dataset, without tuning (external validation)", 0},
    {"map", OPT_MAP, "TASK=LABEL", 0, "with --data: TASK of the run is LABEL there; may be given several times", 0},
    {"out", OPT_OUT, "DIR", 0, "write metrics and figures there; without it a table is printed and that is all", 0},
    {"split", OPT_SPLIT, "NAME", 0,
     "only scans of this split, or all (default: with --run the run's test split, else all)", 0},
    {"tasks", OPT_TASKS, "A,B,...", 0, "only these tasks (default: all that have labels)", 0},
    {"bootstrap", OPT_BOOTSTRAP, "N", 0, "resamples of the test set (default 100, as the paper)", 0},
    {"by-patient", OPT_BY_PATIENT, NULL, 0, "resample patients, not scans: for patients with several scans", 0},
    {"compare", OPT_COMPARE, "FILE", 0, "second model's predictions of the same scans: paired permutation test", 0},
    {"permutations", OPT_PERMUTATIONS, "N", 0, "of that test (default 1000)", 0},
    {"seed", OPT_SEED, "S", 0, "of resamples and permutations (default 0)", 0},
    {0},
};

typedef struct settings {
    const char *predictions, *run, *out, *compare, *split, *tasks, *labels[MAX_LABELS], *data, *map[MAX_MAPS];
    int n_labels, n_maps;
    int64_t resamples, permutations, seed;
    bool by_patient;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case 'p': s->predictions = arg; break;
    case 'l':
        if (s->n_labels == MAX_LABELS) argp_error(state, "more than %d --labels", MAX_LABELS);
        s->labels[s->n_labels++] = arg;
        break;
    case OPT_RUN: s->run = arg; break;
    case OPT_DATA: s->data = arg; break;
    case OPT_MAP:
        if (s->n_maps == MAX_MAPS) argp_error(state, "more than %d --map", MAX_MAPS);
        if (!strchr(arg, '=') || *arg == '=' || !strchr(arg, '=')[1])
            argp_error(state, "--map %s: TASK=LABEL is needed", arg);
        s->map[s->n_maps++] = arg;
        break;
    case OPT_OUT: s->out = arg; break;
    case OPT_SPLIT: s->split = arg; break;
    case OPT_TASKS: s->tasks = arg; break;
    case OPT_COMPARE: s->compare = arg; break;
    case OPT_BY_PATIENT: s->by_patient = true; break;
    case OPT_BOOTSTRAP: s->resamples = argument_whole(state, "bootstrap", arg, 0, 1000000); break;
    case OPT_PERMUTATIONS: s->permutations = argument_whole(state, "permutations", arg, 1, 10000000); break;
    case OPT_SEED: s->seed = argument_whole(state, "seed", arg, 0, INT64_MAX); break;
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

static bool named(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *c = list; c; c = strchr(c, ',') ? strchr(c, ',') + 1 : NULL)
        if (strncmp(c, name, n) == 0 && (c[n] == ',' || c[n] == '\0')) return true;
    return false;
}

/* Every name of the list must be a task; labels of all other tasks are forgotten, so that they drop out. */
static hct_status choose_tasks(predictions *p, const char *list, hct_err *err) {
    char name[128];
    for (const char *c = list; *c;) {
        size_t n = strcspn(c, ","), k = 0;
        snprintf(name, sizeof name, "%.*s", (int)n, c);
        while (k < p->n_tasks && strcmp(p->task[k], name) != 0) k++;
        if (k == p->n_tasks) {
            const char *near = hct_name_nearest(name, (const char *const *)p->task, p->n_tasks);
            return hct_fail(err, HCT_ENOTFOUND, "--tasks: no task '%s' in the predictions; %s '%s'", name,
                            near ? "did you mean" : "the first one is", near ? near : p->task[0]);
        }
        c += n + (c[n] == ',');
    }
    for (size_t k = 0; k < p->n_tasks; k++)
        for (size_t i = 0; !named(list, p->task[k]) && i < p->n; i++) p->label[i * p->n_tasks + k] = -1;
    return HCT_OK;
}

/* Gives the run's tasks the names that the other dataset has for them, and takes that dataset's labels alone. */
static hct_status take_other_labels(const settings *s, predictions *p, hct_err *err) {
    for (size_t i = 0; i < p->n * p->n_tasks; i++) p->label[i] = -1;
    for (int m = 0; m < s->n_maps; m++) {
        const char *equals = strchr(s->map[m], '=');
        size_t n = (size_t)(equals - s->map[m]), k = 0, other = 0;
        while (k < p->n_tasks && (strlen(p->task[k]) != n || strncmp(p->task[k], s->map[m], n) != 0)) k++;
        if (k == p->n_tasks)
            return hct_fail(err, HCT_ENOTFOUND, "--map %s: the run has no task '%.*s'; the first one is '%s'",
                            s->map[m], (int)n, s->map[m], p->task[0]);
        while (other < p->n_tasks && strcmp(p->task[other], equals + 1) != 0) other++;
        if (other < p->n_tasks && other != k)
            return hct_fail(err, HCT_EINVAL, "--map %s: '%s' is a task of the run already", s->map[m], equals + 1);
        hct_status st = predictions_text(&p->task[k], equals + 1, err);
        if (st < 0) return st;
    }
    size_t scans, tasks;
    hct_status st = predictions_take_labels(p, s->data, &scans, &tasks, err);
    if (st == HCT_OK && (!scans || !tasks))
        st = hct_fail(err, HCT_ENOTFOUND,
                      "%s: has labels of none of the run's tasks; say with --map TASK=LABEL which they are (the first "
                      "task is '%s')",
                      s->data, p->task[0]);
    return st;
}

/* OUT/predictions.csv of the run's classifier on the other dataset; *ret_refused: scans that could not be read, each
 * listed with its reason. */
static hct_status predict_other(const settings *s, const char *path, size_t *ret_refused, hct_err *err) {
    cohort c = {0};
    size_t kept;
    stop_listen();
    hct_status st = path_make_folders(s->out, err);
    if (st == HCT_OK) st = cohort_of_dataset(s->data, s->split ? s->split : "all", &c, err);
    if (st == HCT_OK) st = predict_run(&(predict_options){.run = s->run, .out = path}, &c, &kept, err);
    *ret_refused = cohort_print_refused("headct evaluate", &c);
    cohort_free(&c);
    return st;
}

static hct_status read_all(const settings *s, const char *path, const char *split, predictions *p, hct_err *err) {
    hct_status status = predictions_read(path, split, p, err);
    if (status == HCT_OK && s->data) status = take_other_labels(s, p, err);
    for (int i = 0; i < s->n_labels && status == HCT_OK; i++) {
        size_t scans, tasks;
        status = predictions_take_labels(p, s->labels[i], &scans, &tasks, err);
        if (status == HCT_OK && (scans == 0 || tasks == 0))
            status =
                hct_fail(err, HCT_ENOTFOUND, "%s: has labels of %zu of the %zu scans and %zu of the %zu tasks in %s",
                         s->labels[i], scans, p->n, tasks, p->n_tasks, path);
        if (status == HCT_OK && scans < p->n)
            hct_log(HCT_LOG_WARNING, "headct evaluate: %s: %zu of %zu scans have no labels there", s->labels[i],
                    p->n - scans, p->n);
    }
    if (status == HCT_OK && s->tasks) status = choose_tasks(p, s->tasks, err);
    if (status < 0) return status;
    size_t dropped = predictions_drop_unlabelled(p);
    if (dropped && !s->tasks)
        hct_log(HCT_LOG_WARNING, "headct evaluate: %s: %zu tasks have no labels and are left out", path, dropped);
    if (p->n_tasks == 0)
        return hct_fail(err, HCT_ENOTFOUND, "%s: no task has labels; give columns y_TASK, or --labels", path);
    return HCT_OK;
}

/* *ret: the split that a run keeps for testing: what its recipe says, or where it has none "test"; NULL: every scan. */
static hct_status choose_split(const settings *s, recipe *r, const char **ret, hct_err *err) {
    *ret = NULL;
    if (s->data) return HCT_OK; /* its part was chosen before the scans were run */
    if (s->split && strcmp(s->split, "all") != 0) *ret = s->split;
    if (s->split || !s->run) return HCT_OK;
    char *path = path_join(s->run, "recipe.yaml");
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory");
    *r = recipe_default();
    hct_err why;
    hct_status st = path_is_file(path) ? recipe_load(path, r, &why) : HCT_OK;
    if (st < 0) hct_fail(err, st, "%.900s; mend it, or say with --split which scans to take", why.msg);
    *ret = r->data.test;
    free(path);
    return st;
}

/* Reads the second model's scores of p's scans, whatever else its file holds, and tests the difference. */
static hct_status compare(const settings *s, const predictions *p, evaluation *e, predictions *other, hct_err *err) {
    hct_err here = {0};
    hct_status status = predictions_read(s->compare, NULL, other, err);
    if (status < 0) return status;
    if ((status = predictions_align(p, other, &here)) < 0) return hct_fail(err, status, "%s: %s", s->compare, here.msg);
    score_table a = predictions_table(p), b = predictions_table(other);
    return evaluation_compare(e, &a, &b, (size_t)s->permutations, err);
}

static hct_status evaluate(const settings *s, size_t *ret_refused, hct_err *err) {
    predictions p = {0}, other = {0};
    evaluation e = {0};
    row_groups patients = {0};
    recipe of_run;
    const char *out = s->out ? s->out : s->run, *split = NULL;
    char *path = s->run ? path_join(s->data ? s->out : s->run, "predictions.csv") : strdup(s->predictions);
    hct_status status = path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (status == HCT_OK) status = choose_split(s, &of_run, &split, err);
    if (status == HCT_OK && s->data) status = predict_other(s, path, ret_refused, err);
    if (status == HCT_OK) status = read_all(s, path, split, &p, err);
    score_table a = predictions_table(&p);
    resampler draws = bootstrap_resampler((size_t)s->resamples, (uint64_t)s->seed);
    if (status == HCT_OK && s->by_patient) {
        status = predictions_patients(&p, &patients, err);
        draws = group_resampler((size_t)s->resamples, (uint64_t)s->seed, &patients);
    }
    if (status == HCT_OK)
        status =
            evaluation_run_by(&a, (const char *const *)p.task, &draws, s->by_patient ? "patient" : "scan", &e, err);
    if (status == HCT_OK && s->compare) status = compare(s, &p, &e, &other, err);
    if (status == HCT_OK) evaluation_print(&e, stdout);
    score_table b = predictions_table(&other);
    if (status == HCT_OK && out)
        status = evaluation_write(&e, &a, "model", s->compare ? &b : NULL, "compared with", out, err);
    evaluation_free(&e);
    row_groups_free(&patients);
    predictions_free(&p);
    predictions_free(&other);
    free(path);
    return status;
}

int command_evaluate(int argc, char **argv) {
    settings s = {.resamples = 100, .permutations = 1000};
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    hct_err err = {0};
    size_t refused = 0;
    int status = command_end(argv[0], evaluate(&s, &refused, &err), &err);
    return status == EXIT_OK && refused ? EXIT_PARTIAL : status;
}
