/* How good predictions are: labels and splits brought to them, metrics, comparisons; a run on another dataset. */
#include "validation/validation.h"

#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "evaluation/predictions.h"
#include "hct/log.h"
#include "hct/nearest.h"
#include "inference/predict.h"
#include "recipe/recipe.h"
#include "support/paths.h"
#include "support/stop.h"

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
static hct_status take_other_labels(const validation_options *s, predictions *p, hct_err *err) {
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
static hct_status predict_other(const validation_options *s, const char *path, size_t *ret_refused, hct_err *err) {
    cohort c = {0};
    size_t kept;
    stop_listen();
    hct_status st = path_make_folders(s->out, err);
    if (st == HCT_OK) st = cohort_of_dataset(s->data, s->split ? s->split : "all", &c, err);
    if (st == HCT_OK) st = predict_run(&(predict_options){.run = s->run, .out = path}, &c, &kept, err);
    *ret_refused = cohort_tell_refused(&c);
    cohort_free(&c);
    return st;
}

static hct_status read_all(const validation_options *s, const char *path, const char *split, predictions *p,
                           hct_err *err) {
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
            hct_log(HCT_LOG_WARNING, "%s: %zu of %zu scans have no labels there", s->labels[i], p->n - scans, p->n);
    }
    if (status == HCT_OK && s->tasks) status = choose_tasks(p, s->tasks, err);
    if (status < 0) return status;
    size_t dropped = predictions_drop_unlabelled(p);
    if (dropped && !s->tasks) hct_log(HCT_LOG_WARNING, "%s: %zu tasks have no labels and are left out", path, dropped);
    if (p->n_tasks == 0)
        return hct_fail(err, HCT_ENOTFOUND, "%s: no task has labels; give columns y_TASK, or --labels", path);
    return HCT_OK;
}

/* *ret: the split that a run keeps for testing: what its recipe says, or where it has none "test"; NULL: every scan. */
static hct_status choose_split(const validation_options *s, recipe *r, const char **ret, hct_err *err) {
    *ret = NULL;
    if (s->data) return HCT_OK; /* its split was chosen before the scans were run */
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
static hct_status compare(const validation_options *s, const predictions *p, evaluation *e, predictions *other,
                          hct_err *err) {
    hct_err here = {0};
    hct_status status = predictions_read(s->compare, NULL, other, err);
    if (status < 0) return status;
    if ((status = predictions_align(p, other, &here)) < 0) return hct_fail(err, status, "%s: %s", s->compare, here.msg);
    score_table a = predictions_table(p), b = predictions_table(other);
    return evaluation_compare(e, &a, &b, (size_t)s->permutations, err);
}

hct_status validation_run(const validation_options *s, FILE *table, size_t *ret_refused, hct_err *err) {
    *ret_refused = 0;
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
            evaluation_run_by(&a, (const char *const *)p.task, &(bootstrap_options){.draws = &draws, .level = 0.95},
                              s->by_patient ? "patient" : "scan", &e, err);
    if (status == HCT_OK && s->compare) status = compare(s, &p, &e, &other, err);
    if (status == HCT_OK && table) evaluation_print(&e, table);
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
