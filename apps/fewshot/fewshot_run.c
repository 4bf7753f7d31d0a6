/* The work of headct fewshot: draws, methods, rows. */
#include "fewshot/fewshot_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/log.h"
#include "support/device.h"
#include "support/json_out.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/stop.h"
#include "fewshot/fewshot_methods.h"
#include "fewshot/fewshot_table.h"
#include "run/run_folder.h"

enum { RESAMPLES = 100 };

const char *const fewshot_method_names[FEWSHOT_METHODS] = {"knn", "simpleshot", "protonet", "linear", "finetune"};

typedef struct evaluating {
    const recipe *r;
    const fewshot_options *o;
    hct_dev *dev;
    dataset *data;
    trial t;
    embedded given; /* made elsewhere */
    fewshot_draw draw;
    fewshot_methods m;
    runlog *log;
    fewshot_table *table;
    int lock; /* of the folder */
} evaluating;

static hct_status metrics(const evaluating *q, fewshot_row *row, hct_err *err) {
    ranking rank = {0};
    hct_status st = ranking_make(q->m.score, q->draw.test_label, q->draw.n_test, &rank, err);
    row->auc = row->ap = (interval){.low = NAN, .high = NAN};
    if (st == HCT_OK) row->auc.mean = ranking_auc(&rank, NULL), row->ap.mean = ranking_average_precision(&rank, NULL);
    ranking_free(&rank);
    return st;
}

/* Of one row there are no percentiles over draws: those over resamples of the test split. */
static hct_status add_intervals(const evaluating *q, fewshot_row *row, hct_err *err) {
    score_table t = {q->draw.n_test, 1, q->m.score, q->draw.test_label};
    resampler draws = bootstrap_resampler(RESAMPLES, (uint64_t)q->r->seed);
    metric_intervals task, macro;
    hct_status st = bootstrap(&t, &(bootstrap_options){.draws = &draws, .level = 0.95}, &task, &macro, err);
    if (st < 0) return st;
    row->auc.low = task.auc.low, row->auc.high = task.auc.high;
    row->ap.low = task.average_precision.low, row->ap.high = task.average_precision.high;
    return HCT_OK;
}

/* One draw of one method, unless its row is there. draw: from 1; k 0: every training scan. */
static hct_status run_draw(evaluating *q, int method, int64_t k, int64_t draw, hct_err *err) {
    fewshot_row row = {.task = q->draw.task,
                       .method = method,
                       .k = k,
                       .draw = draw,
                       .positives = k ? (size_t)k : q->draw.n_positive,
                       .negatives = k ? (size_t)k : q->draw.n_negative};
    char text[24], name[64];
    if (fewshot_table_has(q->table, row.task, method, k, draw)) return HCT_OK;
    if (stop_asked())
        return hct_fail(err, HCT_EINTERRUPTED, "signal %d: stopped; continue with --resume", stop_asked());
    snprintf(name, sizeof name, "%s-%lld", fewshot_k_text(k, text), (long long)draw);
    if (method == FEWSHOT_FINETUNE && q->o->progress)
        fprintf(q->o->progress, "%s, K %s, draw %lld\n", q->t.said.task[row.task], fewshot_k_text(k, text),
                (long long)draw);
    fewshot_draw_choose(&q->draw, draw - 1, row.positives, row.negatives);
    hct_status st = fewshot_methods_apply(&q->m, (fewshot_method)method, name, (uint64_t)draw - 1, err);
    if (st == HCT_OK) st = metrics(q, &row, err);
    if (st == HCT_OK && !k) st = add_intervals(q, &row, err);
    if (st == HCT_OK) st = fewshot_table_add(q->table, &row, err);
    return st == HCT_OK ? fewshot_methods_clean(&q->m, (fewshot_method)method, name, err) : st;
}

static hct_status run_k(evaluating *q, int method, int64_t k, hct_err *err) {
    hct_status st = HCT_OK;
    for (int64_t draw = 1; st == HCT_OK && draw <= (k ? q->o->draws : 1); draw++)
        st = run_draw(q, method, k, draw, err);
    fewshot_row s;
    char text[24];
    if (st == HCT_OK && q->o->table && fewshot_table_summary(q->table, q->draw.task, method, k, &s))
        fprintf(q->o->table, "%-16s %-11s %5s  AUC %.3f [%.3f, %.3f]  AP %.3f [%.3f, %.3f]\n", q->t.said.task[s.task],
                fewshot_method_names[method], fewshot_k_text(k, text), s.auc.mean, s.auc.low, s.auc.high, s.ap.mean,
                s.ap.low, s.ap.high);
    return st;
}

static int has_examples(const evaluating *q, int64_t k) {
    return (size_t)k <= q->draw.n_positive && (size_t)k <= q->draw.n_negative;
}

static hct_status run_task(evaluating *q, size_t task, hct_err *err) {
    fewshot_draw_task(&q->draw, task);
    fewshot_methods_task(&q->m);
    const char *name = q->t.said.task[task];
    if (!fewshot_draw_has_classes(&q->draw)) {
        hct_log(HCT_LOG_WARNING, "few-shot: task '%s' is left out: a class is missing in training or test", name);
        return HCT_OK;
    }
    hct_status st = HCT_OK;
    for (int k = 0; k < q->o->n_k; k++)
        if (!has_examples(q, q->o->k[k]))
            hct_log(HCT_LOG_WARNING,
                    "few-shot: task '%s': K = %lld is left out: the training split has %zu positives and %zu negatives",
                    name, (long long)q->o->k[k], q->draw.n_positive, q->draw.n_negative);
    for (int m = 0; st == HCT_OK && m < FEWSHOT_METHODS; m++) {
        if (!q->o->use[m]) continue;
        for (int k = 0; st == HCT_OK && k < q->o->n_k; k++)
            if (has_examples(q, q->o->k[k])) st = run_k(q, m, q->o->k[k], err);
        if (st == HCT_OK) st = run_k(q, m, 0, err);
    }
    return st;
}

/* What must be the same for rows to stand in one table, whichever methods are asked for. */
static char *origin(const evaluating *q, hct_err *err) {
    static const char *const forms[] = {"UN", "L2N", "CL2N"};
    const fewshot_options *o = q->o;
    const char *frozen = q->r->probe.weights, *tuned = q->r->finetune.weights;
    char recipe[MODEL_HASH], data[MODEL_HASH], number[32], text[64], frozen_hash[SHA256_HEX] = "",
                                                                     tuned_hash[SHA256_HEX] = "";
    hct_status st = recipe_hash(q->r, recipe, err);
    if (st == HCT_OK) st = dataset_hash(q->data, q->t.scan, q->t.n, data, err);
    if (st == HCT_OK && *frozen) st = sha256_file(frozen, frozen_hash, err);
    if (st == HCT_OK && q->given.table.n) memcpy(frozen_hash, q->given.table.sha256, sizeof frozen_hash);
    if (st == HCT_OK && *tuned)
        st = strcmp(frozen, tuned) ? sha256_file(tuned, tuned_hash, err)
                                   : (memcpy(tuned_hash, frozen_hash, sizeof tuned_hash), HCT_OK);
    if (st < 0) return NULL;
    json_out j = {.pretty = true};
    json_object(&j, NULL);
    json_text(&j, "format", "headct-fewshot/1");
    json_text(&j, "recipe_sha256", recipe);
    json_text(&j, "data_sha256", data);
    json_text(&j, "probe_weights_file_sha256", frozen_hash);
    json_text(&j, "finetune_weights_file_sha256", tuned_hash);
    snprintf(text, sizeof text, "%zu", o->knn.k);
    json_text(&j, "neighbours", text);
    json_text(&j, "knn_temperature", text_of_double(o->knn.temperature, number));
    json_text(&j, "simpleshot", forms[o->form]);
    snprintf(text, sizeof text, "%lld of %lld+%lld", (long long)o->episodes.n, (long long)o->episodes.shots,
             (long long)o->episodes.queries);
    json_text(&j, "episodes", text);
    json_end(&j);
    return json_take(&j, o->out, err);
}

static hct_status open_folder(evaluating *q, hct_err *err) {
    char *rows = path_join(q->o->out, "fewshot_draws.csv");
    hct_status st = rows ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && !q->o->resume && path_is_file(rows))
        st = hct_fail(err, HCT_EINVAL, "%s: there is a run already; continue it with --resume, or name another folder",
                      q->o->out);
    if (st == HCT_OK) st = run_folder_enter(q->o->out, q->r, q->o->resume, &q->lock, err);
    if (st == HCT_OK && !q->o->resume) st = run_folder_open(q->o->out, NULL, q->r, err);
    if (st == HCT_OK && !(q->log = runlog_open(q->o->out, q->o->resume ? INT64_MAX - 1 : -1, err))) st = err->code;
    free(rows);
    return st;
}

static hct_status open_run(evaluating *q, hct_err *err) {
    const recipe *r = q->r;
    if (!(q->data = dataset_open(r->data.dataset, err))) return err->code;
    hct_status st = trial_open(r, q->data, &q->t, err);
    if (st == HCT_OK) st = embedded_open(r, q->data, &q->t, &q->given, err);
    if (st == HCT_OK && !q->t.n_test)
        st = hct_fail(err, HCT_EINVAL, "%s: split '%s' is empty; there is nothing to score", r->data.dataset,
                      r->data.test);
    if (st == HCT_OK) st = fewshot_draw_new(&q->draw, &q->t, (uint64_t)r->seed, err);
    if (st == HCT_OK && !(q->dev = device_open(r->train.device, err))) st = err->code;
    if (st == HCT_OK) st = open_folder(q, err);
    if (st == HCT_OK) st = embedded_write(&q->given, q->data, q->o->out, err);
    if (st == HCT_OK) st = fewshot_methods_new(&q->m, r, q->o, q->dev, &q->draw, &q->given, q->log, err);
    char *made_by = st == HCT_OK ? origin(q, err) : NULL;
    if (st == HCT_OK && !made_by) st = err->code;
    if (st == HCT_OK)
        st = fewshot_table_open(q->o->out, made_by, (const char *const *)q->t.said.task, q->t.said.n_tasks,
                                fewshot_method_names, FEWSHOT_METHODS, &q->table, err);
    free(made_by);
    return st;
}

hct_status fewshot_run(const recipe *r, const fewshot_options *o, hct_err *err) {
    evaluating q = {.r = r, .o = o};
    stop_listen();
    hct_status st = open_run(&q, err);
    for (size_t k = 0; st == HCT_OK && k < q.t.said.n_tasks; k++) st = run_task(&q, k, err);
    if (st == HCT_OK) st = fewshot_table_write(q.table, err);
    hct_err late;
    hct_status closed = runlog_close(q.log, &late);
    if (st == HCT_OK && closed < 0) st = hct_fail(err, closed, "%s", late.msg);
    run_folder_leave(q.lock);
    fewshot_table_free(q.table);
    fewshot_methods_free(&q.m);
    fewshot_draw_free(&q.draw);
    embedded_free(&q.given);
    trial_free(&q.t);
    device_close(q.dev);
    dataset_close(q.data);
    return st;
}
