/* How good predictions are: labels and splits brought to them, metrics, comparisons; a run on another dataset. */
#include "validation/validation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "evaluation/pairs.h"
#include "evaluation/subgroups.h"
#include "figures/forest.h"
#include "hct/log.h"
#include "hct/nearest.h"
#include "recipe/recipe.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/text.h"
#include "validation/other.h"

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

/* Labels, tasks and kind of scores of the first model. */
static hct_status complete(const validation_options *s, const char *path, predictions *p, hct_err *err) {
    hct_status status = HCT_OK;
    if (s->data) status = take_other_labels(s, p, err);
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

/* Says that scans of several splits are taken together, which nobody asked for by name. */
static void tell_pooled(const validation_options *s, const predictions *p) {
    const char *names[8];
    size_t counts[8], n = 0;
    for (size_t i = 0; i < p->n; i++) {
        size_t k = 0;
        while (k < n && strcmp(names[k], p->split[i]) != 0) k++;
        if (k == 8) continue;
        if (k == n) names[n] = p->split[i], counts[n++] = 0;
        counts[k]++;
    }
    if (n < 2 || s->split) return;
    text_buffer t = {0};
    for (size_t k = 0; k < n; k++)
        text_printf(&t, "%s%s %zu", k ? ", " : "", *names[k] ? names[k] : "without a split", counts[k]);
    hct_log(HCT_LOG_WARNING, "%zu splits are pooled (%s): --split takes one", n, text_so_far(&t));
    text_free(&t);
}

/* Tables and a run's own predictions, all models in the first one's order. */
static hct_status read_models(const validation_options *s, const other_cohort *other, const char *run_path,
                              const char *split, model_set *m, size_t *ret_before, hct_err *err) {
    static const models_format plain = {false, NULL, NULL};
    hct_status st = run_path ? models_add(m, run_path, &plain, split, err) : HCT_OK;
    if (st == HCT_OK && s->data) st = other_keep(other, &m->of[0], err);
    const char *first = run_path ? run_path : s->files[0];
    for (int i = 0; i < s->n_files && st == HCT_OK; i++) {
        /* the first table says which scans; whatever else the others hold does not matter */
        st = models_add(m, s->files[i], &s->format, m->n ? NULL : split, err);
    }
    if (st == HCT_OK) st = complete(s, first, &m->of[0], err);
    if (st == HCT_OK && !split) tell_pooled(s, &m->of[0]);
    for (size_t k = 0; k < m->n && st == HCT_OK; k++) {
        if (s->logits) predictions_from_logits(&m->of[k]);
        else if (!s->scores) st = predictions_check_probabilities(&m->of[k], m->n > 1 ? m->name[k] : first, err);
    }
    *ret_before = st == HCT_OK ? m->of[0].n : 0;
    if (st == HCT_OK && m->n > 1) st = models_align(m, ret_before, err);
    return st;
}

/* *ret_test: the split that a run keeps for testing: what its recipe says, or where it has none "test"; NULL: every
 * scan. *ret_validation: the one that was for choosing; NULL: none is known. */
static hct_status choose_split(const validation_options *s, recipe *r, const char **ret_test,
                               const char **ret_validation, hct_err *err) {
    *ret_test = NULL;
    *ret_validation = s->validation;
    if (s->split && strcmp(s->split, "all") != 0 && !s->data) *ret_test = s->split;
    if (!s->run || (s->split && s->validation)) return HCT_OK;
    char *path = path_join(s->run, "recipe.yaml");
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory");
    *r = recipe_default();
    hct_err why;
    hct_status st = path_is_file(path) ? recipe_load(path, r, &why) : HCT_OK;
    free(path);
    if (st < 0 && s->split) return HCT_OK; /* what was asked for is known without it */
    if (st < 0) return hct_fail(err, st, "%.900s; mend it, or say with --split which scans to take", why.msg);
    if (!s->split && !s->data) *ret_test = r->data.test; /* with data its split was chosen before the scans were run */
    if (!s->validation) *ret_validation = r->data.validation;
    return HCT_OK;
}

/* Where results go: a run's own metrics are never overwritten. NULL: nowhere. The caller's. */
static hct_status choose_out(const validation_options *s, const char *split, char **ret, hct_err *err) {
    *ret = NULL;
    if (!s->out && !s->run) return HCT_OK;
    char name[128], *there = s->run && !s->out ? path_join(s->run, "metrics.json") : NULL;
    bool taken = there && path_is_file(there);
    snprintf(name, sizeof name, "evaluate-%s", split ? split : "all");
    *ret = s->out ? strdup(s->out) : taken ? path_join(s->run, name) : strdup(s->run);
    free(there);
    return *ret ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
}

/* What a run of the command holds. */
typedef struct state {
    const validation_options *o;
    model_set models, validation; /* validation: the first model's scans that choices are made on; n 0: none */
    row_groups patients;
    resampler draws;
    evaluation first;
    char *out, *figures; /* NULL: nothing is written */
    FILE *table;
    progress line;
} state;

static void tell(void *context, int64_t done) {
    state *v = context;
    progress_show(&v->line, done, "");
}

static void begin_progress(state *v, const char *what, int64_t total) {
    v->line = progress_begin(v->o->quiet ? NULL : stderr, what, 0, total, what, 1);
}

/* Prints, writes, frees. */
static hct_status finish_sheet(state *v, sheet *s, hct_status st, hct_err *err) {
    if (st == HCT_OK && v->table) sheet_print(s, v->table);
    if (st == HCT_OK && v->out && sheet_rows(s)) st = sheet_write(s, v->out, err);
    sheet_free(s);
    return st;
}

static hct_status evaluate_model(state *v, size_t m, evaluation *ret, hct_err *err) {
    const predictions *p = &v->models.of[m];
    score_table t = predictions_table(p);
    const bootstrap_options b = {.draws = &v->draws,
                                 .level = 0.95,
                                 .kind = v->o->interval,
                                 .threads = (int)v->o->threads,
                                 .tell = tell,
                                 .tell_context = v};
    begin_progress(v, "resample", (int64_t)v->draws.count);
    hct_status st =
        evaluation_run_by(&t, (const char *const *)p->task, &b, v->o->by_patient ? "patient" : "scan", ret, err);
    progress_break(&v->line);
    return st;
}

static void put_interval(sheet *s, const interval *i) {
    sheet_number(s, i->value, 4);
    sheet_number(s, i->low, 4);
    sheet_number(s, i->high, 4);
}

/* Every model's metrics, and a forest of their AUCs for each task. */
static hct_status tabulate_models(state *v, hct_err *err) {
    size_t n = v->models.n, tasks = v->first.n_tasks;
    sheet *s = sheet_new("models", "Models: AUC and average precision with intervals",
                         "model,task,scans,positives,roc_auc,roc_auc_low,roc_auc_high,average_precision,"
                         "average_precision_low,average_precision_high");
    forest_row *rows = calloc(n * (tasks + 1) + 1, sizeof *rows);
    hct_status st = rows ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu models", n);
    for (size_t m = 0; m < n && st == HCT_OK; m++) {
        evaluation e = {0};
        st = evaluate_model(v, m, &e, err);
        for (size_t k = 0; st == HCT_OK && k <= tasks; k++) {
            const task_result *r = k < tasks ? &e.tasks[k] : &e.macro;
            rows[k * n + m] = (forest_row){v->models.name[m], r->auc.value, r->auc.low, r->auc.high};
            if (k == tasks && tasks == 1) continue;
            sheet_text(s, v->models.name[m]);
            sheet_text(s, r->name);
            sheet_count(s, e.n);
            sheet_count(s, r->positives);
            put_interval(s, &r->auc);
            put_interval(s, &r->average_precision);
        }
        evaluation_free(&e);
    }
    for (size_t k = 0; st == HCT_OK && v->figures && k <= tasks; k++) {
        const char *name = k < tasks ? v->first.tasks[k].name : "macro";
        char file[200], title[200];
        if (isnan(rows[k * n].value) || (k == tasks && tasks == 1)) continue;
        snprintf(title, sizeof title, "%s: AUC of %zu models with 95%% intervals", name, n);
        char *path = path_join(v->figures, figure_file("models", name, file));
        const forest f = {.title = title, .x_label = "ROC AUC", .rows = rows + k * n, .n = n, .line = 0.5};
        st = path ? path_make_folders(v->figures, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
        if (st == HCT_OK) st = forest_write(&f, path, err);
        free(path);
    }
    free(rows);
    return finish_sheet(v, s, st, err);
}

static hct_status compare_models(state *v, hct_err *err) {
    sheet *pairs = NULL, *matrix = NULL;
    size_t n = v->models.n;
    const pairs_options p = {(size_t)v->o->permutations, (uint64_t)v->o->seed, (int)v->o->threads, tell, v};
    hct_status st = HCT_OK;
    if (n == 2) {
        score_table a = predictions_table(&v->models.of[0]), b = predictions_table(&v->models.of[1]);
        st = evaluation_compare(&v->first, &a, &b, (size_t)v->o->permutations, err);
    }
    if (st == HCT_OK && v->table) evaluation_print(&v->first, v->table);
    if (st == HCT_OK) st = tabulate_models(v, err);
    begin_progress(v, "pair", (int64_t)(n * (n - 1) / 2));
    if (st == HCT_OK) st = pairs_test(&v->models, &p, &pairs, &matrix, err);
    progress_break(&v->line);
    st = finish_sheet(v, pairs, st, err);
    size_t tests = v->first.n_tasks * n * (n - 1) / 2;
    if (v->table) fflush(v->table);
    if (st == HCT_OK && tests > 1 && 20 * tests > (size_t)v->o->permutations + 1)
        hct_log(HCT_LOG_WARNING,
                "of %lld permutations the smallest p is %.2g, which after Holm over %zu tests is above 0.05; "
                "--permutations %zu would tell more",
                (long long)v->o->permutations, 1.0 / (double)(v->o->permutations + 1), tests, 100 * tests);
    if (st == HCT_OK && matrix && v->out) st = sheet_write(matrix, v->out, err);
    sheet_free(matrix);
    return st;
}

static hct_status choose_on_validation(state *v, hct_err *err) {
    const validation_options *o = v->o;
    predictions *test = &v->models.of[0];
    sheet *s = NULL;
    hct_status st = HCT_OK;
    if ((o->n_rules || o->calibrate) && !v->validation.n)
        return hct_fail(
            err, HCT_EINVAL,
            "thresholds and calibrations are chosen on scans that are not tested: say with --validation SPLIT "
            "which of the table's splits these are");
    if (o->n_rules) {
        st = operate_points(&v->validation.of[0], test, o->rules, (size_t)o->n_rules, 0.95, &s, err);
        st = finish_sheet(v, s, st, err);
    }
    if (st == HCT_OK && (o->calibrate || o->reliability)) {
        s = NULL;
        st = operate_calibrate(v->validation.n ? &v->validation.of[0] : NULL, test, o->calibrate, v->figures, &s, err);
        st = finish_sheet(v, s, st, err);
    }
    return st;
}

static hct_status split_into_groups(state *v, hct_err *err) {
    const validation_options *o = v->o;
    if (!o->n_by) return HCT_OK;
    const subgroups_options g = {
        (size_t)o->resamples, (size_t)o->permutations, (uint64_t)o->seed, (int)o->threads, 0.95, v->figures};
    sheet *s = subgroups_sheet();
    hct_status st = HCT_OK;
    for (int i = 0; i < o->n_by && st == HCT_OK; i++)
        st = subgroups_add(s, &v->models.of[0], o->groups ? o->groups : o->data, o->by[i], &g, err);
    return finish_sheet(v, s, st, err);
}

/* The scans that choices are made on: the first model's of the validation split. */
static hct_status read_validation(state *v, const char *path, const char *split, const char *test, hct_err *err) {
    if (!split || !(v->o->n_rules || v->o->calibrate)) return HCT_OK;
    if (!test || !strcmp(split, test))
        return hct_fail(err, HCT_EINVAL,
                        "--validation %s: the scans that are tested must be others; say with --split which ones",
                        split);
    static const models_format plain = {false, NULL, NULL};
    hct_status st = models_add(&v->validation, path, v->o->run ? &plain : &v->o->format, split, err);
    predictions *p = v->validation.of;
    if (st == HCT_OK) st = complete(v->o, path, p, err);
    if (st == HCT_OK && v->o->logits) predictions_from_logits(p);
    else if (st == HCT_OK && !v->o->scores) st = predictions_check_probabilities(p, path, err);
    return st;
}

static hct_status evaluate(state *v, size_t before, hct_err *err) {
    const validation_options *o = v->o;
    predictions *p = &v->models.of[0];
    bool several = v->models.n > 1;
    v->draws = bootstrap_resampler((size_t)o->resamples, (uint64_t)o->seed);
    hct_status st = HCT_OK;
    if (o->by_patient) {
        st = predictions_patients(p, &v->patients, err);
        v->draws = group_resampler((size_t)o->resamples, (uint64_t)o->seed, &v->patients);
    }
    if (st == HCT_OK && v->table && several)
        fprintf(v->table, "%zu models; %zu of the first one's %zu scans are in all of them; first: %s\n\n", v->models.n,
                p->n, before, v->models.name[0]);
    if (st == HCT_OK) st = evaluate_model(v, 0, &v->first, err);
    if (st == HCT_OK && !several && v->table) evaluation_print(&v->first, v->table);
    if (st == HCT_OK && several) st = compare_models(v, err);
    score_table a = predictions_table(p), b = several ? predictions_table(&v->models.of[1]) : a;
    if (st == HCT_OK && v->out)
        st = evaluation_write(&v->first, &a, v->models.name[0], v->models.n == 2 ? &b : NULL,
                              several ? v->models.name[1] : NULL, v->out, err);
    if (st == HCT_OK) st = split_into_groups(v, err);
    if (st == HCT_OK) st = choose_on_validation(v, err);
    return st;
}

hct_status validation_run(const validation_options *s, FILE *table, size_t *ret_refused, hct_err *err) {
    *ret_refused = 0;
    state v = {.o = s, .table = table};
    recipe of_run;
    const char *test = NULL, *validation = NULL;
    size_t before = 0;
    other_cohort other = {0};
    char *path = s->run ? path_join(s->data ? s->out : s->run, "predictions.csv") : NULL;
    hct_status st = s->run && !path ? hct_fail(err, HCT_ENOMEM, "out of memory") : HCT_OK;
    if (st == HCT_OK) st = choose_split(s, &of_run, &test, &validation, err);
    if (st == HCT_OK && s->data) st = other_predict(s, path, table, &other, err);
    *ret_refused = other.refused;
    if (st == HCT_OK) st = read_models(s, &other, path, test, &v.models, &before, err);
    if (st == HCT_OK && !s->data) st = read_validation(&v, path ? path : s->files[0], validation, test, err);
    if (st == HCT_OK) st = choose_out(s, test, &v.out, err);
    if (st == HCT_OK && v.out && !(v.figures = path_join(v.out, "figures")))
        st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = evaluate(&v, before, err);
    if (st == HCT_OK && table && v.out && !s->out && strcmp(v.out, s->run) != 0)
        fprintf(table, "\nwritten to %s; the run's own metrics are as they were\n", v.out);
    evaluation_free(&v.first);
    row_groups_free(&v.patients);
    models_free(&v.models);
    models_free(&v.validation);
    other_free(&other);
    free(v.out);
    free(v.figures);
    free(path);
    return st;
}
