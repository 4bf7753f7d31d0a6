#include "training/probe_run.h"

#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "evaluation/predictions.h"
#include "models/probe.h"
#include "hct/io.h"
#include "support/paths.h"
#include "training/features.h"
#include "training/probe_fit.h"
#include "training/run_folder.h"

enum { RESAMPLES = 100 }; /* as the paper */

typedef struct run {
    const recipe *r;
    const probe_options *o;
    hct_dev *dev;
    dataset *data;
    size_t *scan, n;           /* train, validation and test scans, one after the other */
    size_t *row, n_train, n_valid, n_test; /* 0, 1, 2 ... */
    features f;
    predictions said;          /* [n, tasks] */
    runlog *log;
    char weights[MODEL_HASH]; /* of the classifier; "" for histograms */
} run;

static hct_status add_part(run *q, const char *name, size_t *ret_n, hct_err *err) {
    size_t *part = NULL;
    hct_status st = dataset_part(q->data, name, &part, ret_n, err);
    if (st == HCT_OK) {
        size_t *more = realloc(q->scan, (q->n + *ret_n + 1) * sizeof *more);
        if (more) {
            q->scan = more;
            if (*ret_n) memcpy(q->scan + q->n, part, *ret_n * sizeof *part);
            q->n += *ret_n;
        } else {
            st = hct_fail(err, HCT_ENOMEM, "out of memory");
        }
    }
    free(part);
    return st;
}

/* The tasks: recipe's list, or every label of the dataset. */
static hct_status open_tasks(run *q, hct_err *err) {
    const recipe_list *want = &q->r->data.tasks;
    size_t tasks = want->n ? (size_t)want->n : q->data->n_labels;
    if (!tasks) return hct_fail(err, HCT_EINVAL, "%s: has no labels; run headct prepare with --labels", q->r->data.dataset);
    if (tasks > MODEL_TASKS) return hct_fail(err, HCT_EINVAL, "%zu tasks; one run takes at most %d (data.tasks)", tasks, MODEL_TASKS);
    hct_status st = predictions_alloc(q->n, tasks, &q->said, err);
    for (size_t k = 0; st == HCT_OK && k < tasks; k++) {
        const char *name = want->n ? want->item[k] : q->data->label_names[k];
        int64_t column = dataset_label(q->data, name, err);
        if (column < 0) return err->code;
        if (strlen(name) >= MODEL_NAME) return hct_fail(err, HCT_EINVAL, "label '%s' is longer than %d characters", name, MODEL_NAME - 1);
        st = predictions_text(&q->said.task[k], name, err);
        for (size_t i = 0; i < q->n; i++) q->said.label[i * tasks + k] = q->data->labels[q->scan[i] * q->data->n_labels + (size_t)column];
    }
    for (size_t i = 0; st == HCT_OK && i < q->n; i++) {
        const dataset_scan *s = &q->data->scans[q->scan[i]];
        st = predictions_text(&q->said.scan[i], s->id, err);
        if (st == HCT_OK) st = predictions_text(&q->said.patient[i], s->patient, err);
        if (st == HCT_OK) st = predictions_text(&q->said.split[i], s->part ? s->part : "", err);
    }
    return st;
}

static hct_status fit_task(run *q, size_t k, params *head, hct_err *err) {
    size_t n = q->n, tasks = q->said.n_tasks;
    int8_t *label = malloc(n + 1);
    double *score = malloc((n + 1) * sizeof *score);
    hct_status st = label && score ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < n; i++) label[i] = q->said.label[i * tasks + k];
    probe_data d = {.row = q->f.row, .n = n, .width = q->f.width, .label = label, .train = q->row, .valid = q->row + q->n_train,
                    .n_train = q->n_train, .n_valid = q->n_valid};
    if (st == HCT_OK) st = probe_fit(q->r, q->dev, &d, q->said.task[k], head, q->log, score, err);
    for (size_t i = 0; st == HCT_OK && i < n; i++) q->said.score[i * tasks + k] = score[i];
    free(label);
    free(score);
    return st;
}

/* Encoder and heads as one classifier; the heads move from their own sets into it. */
static hct_status save_classifier(run *q, params **heads, hct_err *err) {
    model_info info = q->f.info;
    info.kind = MODEL_CLASSIFIER;
    info.n_tasks = (int)q->said.n_tasks;
    for (int k = 0; k < info.n_tasks; k++) memcpy(info.task[k], q->said.task[k], strlen(q->said.task[k]) + 1);
    params *all = model_new(q->dev, &info, 0, err);
    if (!all) return err->code;
    hct_status st = dataset_hash(q->data, q->scan, q->n_train, info.data, err);
    for (size_t i = 0; st == HCT_OK && i < all->n; i++) {
        const char *name = all->items[i].name;
        const param *from = params_find(q->f.p, name);
        for (int k = 0; !from && k < info.n_tasks; k++) {
            char prefix[MODEL_NAME + 8];
            size_t len = (size_t)snprintf(prefix, sizeof prefix, "head.%s.", info.task[k]);
            if (!strncmp(name, prefix, len)) from = params_find(heads[k], name + len);
        }
        float *x = malloc(hct_tensor_bytes(all->items[i].tensor) + 1);
        st = from && x ? hct_tensor_read(from->tensor, x, err) : hct_fail(err, HCT_ENOMEM, "out of memory for '%s'", name);
        if (st == HCT_OK) st = hct_tensor_write(all->items[i].tensor, x, err);
        free(x);
    }
    char *path = path_join(q->o->run, "weights.safetensors");
    if (st == HCT_OK) st = weights_hash(all, q->weights, err);
    if (st == HCT_OK) st = path ? weights_save(path, all, &info, NULL, 0, NULL, 0, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    params_free(all);
    return st;
}

/* predictions.csv.json: what made the table, as headct predict writes it, and the training data. */
static hct_status write_origin(const run *q, hct_err *err) {
    char data[MODEL_HASH], *path = path_join(q->o->run, "predictions.csv.json");
    hct_status st = path ? dataset_hash(q->data, q->scan, q->n_train, data, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_outfile *f = st == HCT_OK ? hct_outfile_open(path, err) : NULL;
    if (f)
        hct_outfile_printf(f, "{\"format\":\"headct-predictions/1\",\"weights_sha256\":\"%s\",\"recipe_sha256\":\"%s\",\"preprocessing_sha256\":\"%s\",\"data_sha256\":\"%s\"}\n",
                           q->weights, q->f.info.recipe, q->f.info.preprocessing, data);
    if (st == HCT_OK) st = hct_outfile_close(f, err);
    free(path);
    return st;
}

/* metrics.json, metrics.csv, figures of the test part. */
static hct_status evaluate(run *q, hct_err *err) {
    size_t first = q->n_train + q->n_valid, tasks = q->said.n_tasks;
    score_table t = {q->n_test, tasks, q->said.score + first * tasks, q->said.label + first * tasks};
    evaluation e;
    hct_status st = evaluation_run(&t, (const char *const *)q->said.task, RESAMPLES, (uint64_t)q->r->seed, &e, err);
    if (st < 0) return st;
    char *json = path_join(q->o->run, "metrics.json"), *csv = path_join(q->o->run, "metrics.csv"), *figures = path_join(q->o->run, "figures");
    if (!json || !csv || !figures) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (q->o->table) evaluation_print(&e, q->o->table);
    if (st == HCT_OK) st = evaluation_write_json(&e, json, err);
    if (st == HCT_OK) st = evaluation_write_csv(&e, csv, err);
    if (st == HCT_OK) st = evaluation_draw(&e, &t, *q->r->name ? q->r->name : "probe", NULL, NULL, figures, err);
    free(json);
    free(csv);
    free(figures);
    evaluation_free(&e);
    return st;
}

static hct_status fit_all(run *q, hct_err *err) {
    size_t tasks = q->said.n_tasks;
    params **heads = calloc(tasks + 1, sizeof *heads);
    hct_status st = heads ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t k = 0; st == HCT_OK && k < tasks; k++) {
        heads[k] = params_new(q->dev);
        if (heads[k]) probe_declare(heads[k], "", (int64_t)q->f.width, 2);
        st = params_check(heads[k], err);
        if (st == HCT_OK) st = params_init(heads[k], (uint64_t)q->r->seed, err);
        if (st == HCT_OK) st = fit_task(q, k, heads[k], err);
    }
    char *path = path_join(q->o->run, "predictions.csv");
    if (st == HCT_OK) st = path ? predictions_write(&q->said, true, path, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && q->f.p) st = save_classifier(q, heads, err);
    if (st == HCT_OK) st = write_origin(q, err);
    for (size_t k = 0; heads && k < tasks; k++) params_free(heads[k]);
    free(heads);
    free(path);
    return st;
}

hct_status probe_run(const recipe *r, const probe_options *o, hct_err *err) {
    run q = {.r = r, .o = o};
    hct_status st = HCT_OK;
    if (!(q.data = dataset_open(r->data.dataset, err))) st = err->code;
    if (st == HCT_OK) st = add_part(&q, r->data.train, &q.n_train, err);
    if (st == HCT_OK) st = add_part(&q, r->data.validation, &q.n_valid, err);
    if (st == HCT_OK) st = add_part(&q, r->data.test, &q.n_test, err);
    if (st == HCT_OK) st = open_tasks(&q, err);
    if (st == HCT_OK && !(q.row = malloc((q.n + 1) * sizeof *q.row))) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < q.n; i++) q.row[i] = i;
    if (st == HCT_OK && !(q.dev = device_open(r->train.device, err))) st = err->code;
    if (st == HCT_OK) st = features_of(r, q.dev, q.data, q.scan, q.n, o->progress, &q.f, err);
    if (st == HCT_OK) st = run_folder_open(o->run, NULL, r, err);
    if (st == HCT_OK && !(q.log = runlog_open(o->run, -1, err))) st = err->code;
    if (st == HCT_OK) st = fit_all(&q, err);
    if (st == HCT_OK && q.n_test) st = evaluate(&q, err);
    hct_err late;
    hct_status closed = runlog_close(q.log, &late);
    if (st == HCT_OK && closed < 0) st = hct_fail(err, closed, "%s", late.msg);
    features_free(&q.f);
    predictions_free(&q.said);
    device_close(q.dev);
    dataset_close(q.data);
    free(q.scan);
    free(q.row);
    return st;
}
