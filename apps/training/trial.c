/* Trials: rows and labels of training, validation and test scans, and the files of what a classifier says of them. */
#include "training/trial.h"

#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "hct/io.h"
#include "hct/log.h"
#include "support/paths.h"
#include "run/fraction.h"

enum { RESAMPLES = 100 }; /* as the paper */

static hct_status fill_task(trial *t, size_t k, const char *name, hct_err *err) {
    size_t tasks = t->said.n_tasks;
    int64_t column = dataset_label(t->data, name, err);
    if (column < 0) return err->code;
    if (strlen(name) >= MODEL_NAME)
        return hct_fail(err, HCT_EINVAL, "label '%s' is longer than %d characters", name, MODEL_NAME - 1);
    for (size_t i = 0; i < t->n; i++)
        t->said.label[i * tasks + k] = t->data->labels[t->scan[i] * t->data->n_labels + (size_t)column];
    return predictions_text(&t->said.task[k], name, err);
}

static hct_status fill(trial *t, const char *const *tasks, size_t n_tasks, hct_err *err) {
    hct_status st = predictions_alloc(t->n, n_tasks, &t->said, err);
    for (size_t k = 0; st == HCT_OK && k < n_tasks; k++) st = fill_task(t, k, tasks[k], err);
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) {
        const dataset_scan *s = &t->data->scans[t->scan[i]];
        st = predictions_text(&t->said.scan[i], s->id, err);
        if (st == HCT_OK) st = predictions_text(&t->said.patient[i], s->patient, err);
        if (st == HCT_OK) st = predictions_text(&t->said.split[i], s->split ? s->split : "", err);
    }
    return st;
}

hct_status trial_of(const dataset *d, scan_list train, scan_list valid, scan_list test, const char *const *tasks,
                    size_t n_tasks, trial *ret, hct_err *err) {
    *ret =
        (trial){.data = d, .n = train.n + valid.n + test.n, .n_train = train.n, .n_valid = valid.n, .n_test = test.n};
    if (!n_tasks) return hct_fail(err, HCT_EINVAL, "%s: has no labels; run headct prepare with --labels", d->folder);
    if (n_tasks > MODEL_TASKS)
        return hct_fail(err, HCT_EINVAL, "%zu tasks; one run takes at most %d (data.tasks)", n_tasks, MODEL_TASKS);
    if (!(ret->scan = malloc((ret->n + 1) * sizeof *ret->scan))) return hct_fail(err, HCT_ENOMEM, "out of memory");
    const scan_list parts[] = {train, valid, test};
    for (size_t p = 0, at = 0; p < 3; at += parts[p++].n)
        if (parts[p].n) memcpy(ret->scan + at, parts[p].scan, parts[p].n * sizeof *ret->scan);
    hct_status st = dataset_preparation(d, ret->scan, ret->n, ret->preparation, err);
    if (st == HCT_OK) st = fill(ret, tasks, n_tasks, err);
    if (st < 0) trial_free(ret);
    return st;
}

hct_status trial_open(const recipe *r, const dataset *d, trial *ret, hct_err *err) {
    const char *tasks[RECIPE_ITEMS];
    size_t *part[3] = {NULL}, n[3] = {0};
    *ret = (trial){0};
    hct_status st = training_split(d, r, &part[0], &n[0], err);
    if (st == HCT_OK) st = dataset_split(d, r->data.validation, &part[1], &n[1], err);
    if (st == HCT_OK) st = dataset_split(d, r->data.test, &part[2], &n[2], err);
    for (int64_t k = 0; k < r->data.tasks.n; k++) tasks[k] = r->data.tasks.item[k];
    if (st == HCT_OK)
        st = trial_of(d, (scan_list){part[0], n[0]}, (scan_list){part[1], n[1]}, (scan_list){part[2], n[2]},
                      r->data.tasks.n ? tasks : (const char *const *)d->label_names,
                      r->data.tasks.n ? (size_t)r->data.tasks.n : d->n_labels, ret, err);
    for (int p = 0; p < 3; p++) free(part[p]);
    return st;
}

hct_status trial_preparation(const trial *t, const input_spec *spec, char ret[MODEL_HASH], hct_err *err) {
    memcpy(ret, t->preparation, MODEL_HASH);
    return form_preparation(spec, ret, err);
}

void trial_free(trial *t) {
    predictions_free(&t->said);
    free(t->scan);
    *t = (trial){0};
}

static int has_both(const trial *t, size_t k, size_t have[2]) {
    have[0] = have[1] = 0;
    for (size_t i = 0; i < t->n_train; i++) {
        int8_t l = t->said.label[i * t->said.n_tasks + k];
        if (l >= 0) have[l != 0]++;
    }
    return have[0] && have[1];
}

hct_status trial_need_classes(const trial *t, hct_err *err) {
    size_t have[2];
    for (size_t k = 0; k < t->said.n_tasks; k++)
        if (!has_both(t, k, have))
            return hct_fail(err, HCT_EINVAL,
                            "task '%s': the training split has %zu positives and %zu negatives; both are needed",
                            t->said.task[k], have[1], have[0]);
    return HCT_OK;
}

hct_status trial_leave_one_class(trial *t, const recipe *r, hct_err *err) {
    const char *kept[MODEL_TASKS];
    size_t n = 0, have[2];
    if (r->data.tasks.n) return trial_need_classes(t, err);
    for (size_t k = 0; k < t->said.n_tasks; k++) {
        if (has_both(t, k, have)) kept[n++] = t->said.task[k];
        else
            hct_log(HCT_LOG_WARNING, "task '%s' is left out: the training split has %zu positives and %zu negatives",
                    t->said.task[k], have[1], have[0]);
    }
    if (n == t->said.n_tasks) return HCT_OK;
    if (!n)
        return hct_fail(err, HCT_EINVAL, "%s: no label has positives and negatives in the training split",
                        t->data->folder);
    const scan_list train = {t->scan, t->n_train}, valid = {t->scan + t->n_train, t->n_valid},
                    test = {t->scan + t->n_train + t->n_valid, t->n_test};
    trial less;
    hct_status st = trial_of(t->data, train, valid, test, kept, n, &less, err);
    if (st < 0) return st;
    trial_free(t);
    *t = less;
    return HCT_OK;
}

int trial_scores_alike(const trial *t, size_t first, size_t n) {
    size_t tasks = t->said.n_tasks;
    for (size_t k = 0; n > 1 && k < tasks; k++) {
        const double *score = t->said.score + first * tasks + k;
        int alike = 1;
        for (size_t i = 1; alike && i < n; i++) alike = score[i * tasks] == score[0];
        if (alike) return 1;
    }
    return 0;
}

hct_status trial_check_folders(const trial *t, hct_err *err) {
    for (size_t k = 0; k < t->said.n_tasks; k++) {
        const char *task = t->said.task[k];
        if (*task == '.' || strchr(task, '/'))
            return hct_fail(err, HCT_EINVAL, "task '%s' cannot name a folder; rename the label", task);
    }
    return HCT_OK;
}

/* predictions.csv.json: what made the table, as headct predict writes it, and the training data. */
static hct_status write_origin(const trial *t, const char *run, const char *weights, const model_info *info,
                               hct_err *err) {
    char data[MODEL_HASH], preparation[MODEL_HASH], *path = path_join(run, "predictions.csv.json");
    hct_status st =
        path ? dataset_hash(t->data, t->scan, t->n_train, data, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = trial_preparation(t, &info->encoder.input, preparation, err);
    hct_outfile *f = st == HCT_OK ? hct_outfile_open(path, err) : NULL;
    if (f)
        hct_outfile_printf(f,
                           "{\"format\":\"headct-predictions/"
                           "1\",\"weights_sha256\":\"%s\",\"recipe_sha256\":\"%s\",\"preprocessing_sha256\":\"%s\","
                           "\"data_sha256\":\"%s\"}\n",
                           weights, info->recipe, preparation, data);
    if (st == HCT_OK) st = hct_outfile_close(f, err);
    free(path);
    return st;
}

hct_status trial_write(const trial *t, size_t first, const char *run, const char *weights, const model_info *info,
                       hct_err *err) {
    const predictions *all = &t->said;
    predictions rows = {.n = all->n - first,
                        .n_tasks = all->n_tasks,
                        .scan = all->scan + first,
                        .patient = all->patient + first,
                        .split = all->split + first,
                        .task = all->task,
                        .score = all->score + first * all->n_tasks,
                        .label = all->label + first * all->n_tasks};
    char *path = path_join(run, "predictions.csv");
    hct_status st = path ? write_origin(t, run, weights, info, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = predictions_write(&rows, true, path, err);
    free(path);
    return st;
}

hct_status trial_evaluate(const trial *t, const char *name, uint64_t seed, const char *run, FILE *table, hct_err *err) {
    size_t first = t->n_train + t->n_valid, tasks = t->said.n_tasks;
    if (!t->n_test) return HCT_OK;
    score_table test = {t->n_test, tasks, t->said.score + first * tasks, t->said.label + first * tasks};
    evaluation e;
    hct_status st = evaluation_run(&test, (const char *const *)t->said.task, RESAMPLES, seed, &e, err);
    if (st < 0) return st;
    if (table) evaluation_print(&e, table);
    st = evaluation_write(&e, &test, name, NULL, NULL, run, err);
    evaluation_free(&e);
    return st;
}
