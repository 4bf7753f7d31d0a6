/* The work of headct probe: features, a head a task, the run's files. */
#include "probe/probe_run.h"

#include <stdlib.h>
#include <string.h>

#include "models/build.h"
#include "models/probe.h"
#include "support/device.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/stop.h"
#include "probe/features.h"
#include "probe/protocol.h"
#include "run/run_folder.h"
#include "run/training_scans.h"
#include "training/trial.h"

typedef struct probing {
    const recipe *r;
    const probe_options *o;
    hct_dev *dev;
    dataset *data;
    trial t;
    embedded given; /* made elsewhere */
    size_t *row;    /* 0, 1, 2 ... */
    features f;
    runlog *log;
    text_buffer chosen;       /* what validation chose for each task, for people */
    int lock;                 /* of the folder */
    char weights[MODEL_HASH]; /* of the classifier; "" for histograms; of embeddings: their file */
} probing;

/* RUN/checkpoints/task-1-last.safetensors. */
static char *checkpoint_of(const probing *q, size_t k, const char *which) {
    char *path = NULL;
    return asprintf(&path, "%s/checkpoints/task-%zu-%s.safetensors", q->o->run, k + 1, which) < 0 ? NULL : path;
}

/* What a task's checkpoint belongs to: the run's recipe and encoder; and the scans, the task and its labels. */
static hct_status identify(const probing *q, size_t k, const int8_t *label, model_info *ret, hct_err *err) {
    char data[MODEL_HASH];
    *ret = q->f.info;
    hct_status st = dataset_hash(q->data, q->t.scan, q->t.n_train, data, err);
    if (st < 0) return st;
    sha256 *h = sha256_begin();
    sha256_add(h, data, strlen(data));
    sha256_add(h, q->t.said.task[k], strlen(q->t.said.task[k]) + 1);
    sha256_add(h, label, q->t.n);
    return sha256_end(h, ret->data, err);
}

static hct_status fit_task(probing *q, size_t k, params *head, hct_err *err) {
    size_t n = q->t.n, tasks = q->t.said.n_tasks;
    int8_t *label = malloc(n + 1);
    double *score = malloc((n + 1) * sizeof *score);
    char *last = checkpoint_of(q, k, "last"), *best = checkpoint_of(q, k, "best");
    model_info info;
    hct_status st = label && score && last && best ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < n; i++) label[i] = q->t.said.label[i * tasks + k];
    if (st == HCT_OK) st = identify(q, k, label, &info, err);
    const probe_data d = {.row = q->f.row,
                          .n = n,
                          .width = q->f.width,
                          .tokens = q->f.tokens,
                          .heads = q->f.info.probe_heads,
                          .label = label,
                          .scan = q->t.said.scan,
                          .train = q->row,
                          .valid = q->row + q->t.n_train,
                          .n_train = q->t.n_train,
                          .n_valid = q->t.n_valid};
    const probe_fit_options o = {.task = q->t.said.task[k],
                                 .log = q->log,
                                 .last = last,
                                 .best = best,
                                 .resume = q->o->resume,
                                 .info = &info,
                                 .progress = q->o->progress};
    char chosen[PROBE_CHOSEN] = "";
    if (st == HCT_OK) st = probe_by_protocol(q->r, q->dev, &d, &o, head, score, chosen, err);
    text_printf(&q->chosen, "%s%s %s", k ? "; " : "", o.task, chosen);
    for (size_t i = 0; st == HCT_OK && i < n; i++) q->t.said.score[i * tasks + k] = score[i];
    free(label);
    free(score);
    free(last);
    free(best);
    return st;
}

/* Encoder and heads as one classifier; the heads move from their own sets into it. */
static hct_status save_classifier(probing *q, params **heads, hct_err *err) {
    model_info info = q->f.info;
    info.role = MODEL_CLASSIFIER;
    info.n_tasks = (int)q->t.said.n_tasks;
    for (int k = 0; k < info.n_tasks; k++) memcpy(info.task[k], q->t.said.task[k], strlen(q->t.said.task[k]) + 1);
    params *all = model_new(q->dev, &info, 0, err);
    if (!all) return err->code;
    hct_status st = dataset_hash(q->data, q->t.scan, q->t.n_train, info.data, err);
    if (st == HCT_OK) st = trial_preparation(&q->t, &info.encoder.input, info.preprocessing, err);
    for (size_t i = 0; st == HCT_OK && i < all->n; i++) {
        const char *name = all->items[i].name;
        const param *from = NULL;
        for (int k = 0; !from && k < info.n_tasks; k++) {
            char prefix[MODEL_NAME + 8];
            size_t len = (size_t)snprintf(prefix, sizeof prefix, "head.%s.", info.task[k]);
            if (!strncmp(name, prefix, len)) from = params_find(heads[k], name + len);
        }
        if (!from) from = params_find(q->f.p, name); /* last: the file of weights may have heads of its own */
        st = param_copy(from, &all->items[i], err);
    }
    char *path = path_join(q->o->run, "weights.safetensors");
    if (st == HCT_OK) st = weights_hash(all, q->weights, err);
    if (st == HCT_OK)
        st = path ? weights_save(path, all, &info, NULL, 0, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    params_free(all);
    return st;
}

static hct_status fit_all(probing *q, hct_err *err) {
    size_t tasks = q->t.said.n_tasks;
    params **heads = calloc(tasks + 1, sizeof *heads);
    hct_status st = heads ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t k = 0; st == HCT_OK && k < tasks; k++) {
        heads[k] = params_new(q->dev);
        if (heads[k]) head_declare(heads[k], "", (int64_t)q->f.width, 2, q->f.info.probe_heads);
        st = params_check(heads[k], err);
        if (st == HCT_OK) st = params_init(heads[k], (uint64_t)q->r->seed, err);
        if (st == HCT_OK) st = fit_task(q, k, heads[k], err);
    }
    if (st == HCT_OK && q->f.p) st = save_classifier(q, heads, err);
    for (size_t k = 0; heads && k < tasks; k++) params_free(heads[k]);
    free(heads);
    return st;
}

/* Nothing is started over an older run. */
static hct_status open_folder(probing *q, hct_err *err) {
    const char *run = q->o->run;
    char *table = path_join(run, "predictions.csv"), *weights = path_join(run, "weights.safetensors"),
         *last = checkpoint_of(q, 0, "last");
    hct_status st = table && weights && last ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    int begun = st == HCT_OK && (path_is_file(table) || path_is_file(weights) || path_is_file(last));
    free(table);
    free(weights);
    free(last);
    if (st == HCT_OK) st = run_folder_enter(run, q->r, q->o->resume, &q->lock, err);
    if (st == HCT_OK && begun && !q->o->resume)
        st = hct_fail(err, HCT_EINVAL, "%s: there is a run already; continue it with --resume, or name another folder",
                      run);
    if (st == HCT_OK && !begun) st = run_folder_empty(run, err);
    if (st == HCT_OK) st = run_folder_open(run, "checkpoints", q->r, err);
    return st == HCT_OK ? training_scans_write(run, q->data, q->t.scan, q->t.n_train, q->o->resume, err) : st;
}

hct_status probe_run(const recipe *r, const probe_options *o, hct_err *err) {
    probing q = {.r = r, .o = o};
    stop_listen();
    hct_status st = HCT_OK;
    if (!(q.data = dataset_open(r->data.dataset, err))) st = err->code;
    if (st == HCT_OK) st = trial_open(r, q.data, &q.t, err);
    if (st == HCT_OK) st = embedded_open(r, q.data, &q.t, &q.given, err);
    if (st == HCT_OK) st = trial_leave_one_class(&q.t, r, err);
    if (st == HCT_OK && !(q.row = malloc((q.t.n + 1) * sizeof *q.row))) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < q.t.n; i++) q.row[i] = i;
    if (st == HCT_OK) st = open_folder(&q, err);
    if (st == HCT_OK) st = embedded_write(&q.given, q.data, o->run, err);
    if (st == HCT_OK && !(q.dev = device_open(r->train.device, err))) st = err->code;
    if (st == HCT_OK) st = features_of(r, q.dev, q.data, &q.given, q.t.scan, q.t.n, o->progress, &q.f, err);
    if (st == HCT_OK && q.given.table.n) memcpy(q.weights, q.given.table.sha256, sizeof q.given.table.sha256);
    if (st == HCT_OK && !(q.log = runlog_open(o->run, o->resume ? INT64_MAX - 1 : -1, err))) st = err->code;
    if (st == HCT_OK) st = fit_all(&q, err);
    if (st == HCT_OK) st = trial_evaluate(&q.t, *r->name ? r->name : "probe", (uint64_t)r->seed, o->run, o->table, err);
    if (st == HCT_OK && o->table)
        fprintf(o->table, "protocol %s\nchosen   %s\n", probe_protocol_sentence(r), text_so_far(&q.chosen));
    hct_err late;
    hct_status closed = runlog_close(q.log, &late);
    if (st == HCT_OK && closed < 0) st = hct_fail(err, closed, "%s", late.msg);
    /* last: a folder with predictions is a finished run */
    if (st == HCT_OK) st = trial_write(&q.t, 0, o->run, q.weights, &q.f.info, err);
    run_folder_leave(q.lock);
    features_free(&q.f);
    text_free(&q.chosen);
    embedded_free(&q.given);
    trial_free(&q.t);
    device_close(q.dev);
    dataset_close(q.data);
    free(q.row);
    return st;
}
