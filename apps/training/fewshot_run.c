#include "training/fewshot_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/ranking.h"
#include "evaluation/statistics.h"
#include "models/probe.h"
#include "support/csv.h"
#include "support/paths.h"
#include "training/features.h"
#include "training/probe_fit.h"
#include "training/run_folder.h"
#include "training/sampler.h"
#include "training/trial.h"

enum { RESAMPLES = 100 };

const char *const fewshot_method_names[FEWSHOT_METHODS] = {"knn", "simpleshot", "protonet", "linear"};

typedef struct run {
    const recipe *r;
    const fewshot_options *o;
    hct_dev *dev;
    dataset *data;
    trial t;
    features f;
    runlog *log;
    hct_outfile *summary, *each;
    /* of the task at hand */
    size_t task;
    int8_t *label;                 /* [n] */
    size_t *positive, *negative;   /* rows of the training part, in the draw's order */
    size_t n_positive, n_negative;
    size_t *support, n_support;    /* rows, positives and negatives in turn */
    size_t *test, *valid, n_test;  /* rows with a label; of the test part */
    float *x, *q;                  /* support and test rows, gathered */
    int64_t *y;
    double *score, *all_scores, *wide; /* [n_test]; [n]; [n_test, 2] */
} run;

static hct_status make_room(run *q, hct_err *err) {
    size_t n = q->t.n + 1, w = q->f.width;
    q->label = malloc(n);
    q->positive = malloc(n * sizeof(size_t)), q->negative = malloc(n * sizeof(size_t)), q->support = malloc(n * sizeof(size_t));
    q->test = malloc(n * sizeof(size_t)), q->valid = malloc(n * sizeof(size_t));
    q->x = malloc(n * w * sizeof(float)), q->q = malloc(n * w * sizeof(float)), q->y = malloc(n * sizeof(int64_t));
    q->score = malloc(n * sizeof(double)), q->all_scores = malloc(n * sizeof(double)), q->wide = malloc(2 * n * sizeof(double));
    int ok = q->label && q->positive && q->negative && q->support && q->test && q->valid && q->x && q->q && q->y && q->score && q->all_scores && q->wide;
    return ok ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", q->t.n);
}

static void gather(const run *q, const size_t *row, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) memcpy(out + i * q->f.width, q->f.row + row[i] * q->f.width, q->f.width * sizeof *out);
}

static void open_task(run *q, size_t task) {
    size_t tasks = q->t.said.n_tasks;
    q->task = task;
    q->n_positive = q->n_negative = q->n_test = 0;
    for (size_t i = 0; i < q->t.n; i++) q->label[i] = q->t.said.label[i * tasks + task];
    for (size_t i = 0; i < q->t.n_train; i++) {
        if (q->label[i] == 1) q->positive[q->n_positive++] = i;
        if (q->label[i] == 0) q->negative[q->n_negative++] = i;
    }
    for (size_t i = 0; i < q->t.n_valid; i++) q->valid[i] = q->t.n_train + i;
    for (size_t i = q->t.n_train + q->t.n_valid; i < q->t.n; i++)
        if (q->label[i] >= 0) q->test[q->n_test++] = i;
    gather(q, q->test, q->n_test, q->q);
}

/* Each class in the order of this draw: a function of seed, task and draw. */
static void shuffle(run *q, int64_t draw) {
    uint64_t seed = (uint64_t)q->r->seed ^ 0x66657773686f74u /* "fewshot" */;
    for (const char *c = q->t.said.task[q->task]; *c; c++) seed = (seed ^ (unsigned char)*c) * 0x100000001b3u;
    size_t positives = 0, negatives = 0;
    for (size_t i = 0; i < q->t.n_train; i++) { /* from the part's own order again */
        if (q->label[i] == 1) q->positive[positives++] = i;
        if (q->label[i] == 0) q->negative[negatives++] = i;
    }
    sampler_shuffle(seed, (uint64_t)draw, q->positive, q->n_positive, q->positive);
    sampler_shuffle(~seed, (uint64_t)draw, q->negative, q->n_negative, q->negative);
}

static void choose(run *q, size_t positives, size_t negatives) {
    memcpy(q->support, q->positive, positives * sizeof *q->support);
    memcpy(q->support + positives, q->negative, negatives * sizeof *q->support);
    q->n_support = positives + negatives;
    for (size_t i = 0; i < q->n_support; i++) q->y[i] = i < positives;
    gather(q, q->support, q->n_support, q->x);
}

static hct_status linear(run *q, hct_err *err) {
    params *head = params_new(q->dev);
    if (head) probe_declare(head, "", (int64_t)q->f.width, 2);
    hct_status st = params_check(head, err);
    if (st == HCT_OK) st = params_init(head, (uint64_t)q->r->seed, err);
    recipe r = *q->r;
    r.train.balanced = 0; /* the examples are balanced already, and each is seen once an epoch */
    probe_data d = {.row = q->f.row, .n = q->t.n, .width = q->f.width, .tokens = 1, .label = q->label, .train = q->support, .valid = q->valid,
                    .n_train = q->n_support, .n_valid = q->t.n_valid};
    if (st == HCT_OK) st = probe_fit(&r, q->dev, &d, q->t.said.task[q->task], head, q->log, q->all_scores, err);
    for (size_t i = 0; st == HCT_OK && i < q->n_test; i++) q->score[i] = q->all_scores[q->test[i]];
    params_free(head);
    return st;
}

/* score of the test rows from the support at hand */
static hct_status apply(run *q, fewshot_method m, hct_err *err) {
    const fewshot_set train = {q->x, q->y, q->n_support}, test = {q->q, NULL, q->n_test};
    hct_status st;
    if (m == FEWSHOT_LINEAR) return linear(q, err);
    if (m == FEWSHOT_KNN) {
        fewshot_knn_options o = q->o->knn;
        if (o.k > q->n_support) o.k = q->n_support;
        st = fewshot_knn(&train, &test, q->f.width, 2, &o, q->wide, NULL, NULL, err);
        for (size_t i = 0; st == HCT_OK && i < q->n_test; i++) q->score[i] = q->wide[2 * i + 1];
        return st;
    }
    st = fewshot_distances(&train, &test, q->f.width, 2, m == FEWSHOT_PROTONET ? FEWSHOT_UN : q->o->form, q->wide, NULL, err);
    if (st == HCT_OK && m == FEWSHOT_PROTONET) fewshot_log_softmax(q->wide, q->n_test, 2);
    for (size_t i = 0; st == HCT_OK && i < q->n_test; i++)
        q->score[i] = m == FEWSHOT_PROTONET ? exp(q->wide[2 * i + 1]) : q->wide[2 * i] - q->wide[2 * i + 1];
    return st;
}

static hct_status metrics(run *q, int8_t *label, double *auc, double *ap, hct_err *err) {
    ranking rank = {0};
    for (size_t i = 0; i < q->n_test; i++) label[i] = q->label[q->test[i]];
    hct_status st = ranking_make(q->score, label, q->n_test, &rank, err);
    if (st == HCT_OK) *auc = ranking_auc(&rank, NULL), *ap = ranking_average_precision(&rank, NULL);
    ranking_free(&rank);
    return st;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Mean and percentiles, linear between neighbours, of n values. */
static interval summary_of(double *v, size_t n) {
    interval out = {0};
    qsort(v, n, sizeof *v, by_value);
    for (size_t i = 0; i < n; i++) out.mean += v[i] / (double)n;
    double low = 0.025 * (double)(n - 1), high = 0.975 * (double)(n - 1);
    size_t a = (size_t)low, b = (size_t)high;
    out.low = v[a] + (low - (double)a) * (v[a + 1 < n ? a + 1 : a] - v[a]);
    out.high = v[b] + (high - (double)b) * (v[b + 1 < n ? b + 1 : b] - v[b]);
    return out;
}

static void put_start(run *q, hct_outfile *f, fewshot_method m, const char *k) {
    csv_put(f, 0, q->t.said.task[q->task]);
    csv_put(f, 1, fewshot_method_names[m]);
    csv_put(f, 2, k);
}

static void put_summary(run *q, fewshot_method m, const char *k, size_t draws, size_t positives, size_t negatives, const interval *auc, const interval *ap) {
    const double v[] = {(double)draws, (double)positives, (double)negatives, auc->mean, auc->low, auc->high, ap->mean, ap->low, ap->high};
    put_start(q, q->summary, m, k);
    for (size_t i = 0; i < 9; i++) csv_put_double(q->summary, 3 + i, v[i]);
    csv_end_row(q->summary);
    if (q->o->table)
        fprintf(q->o->table, "%-16s %-11s %5s  AUC %.3f [%.3f, %.3f]  AP %.3f [%.3f, %.3f]\n", q->t.said.task[q->task], fewshot_method_names[m], k, auc->mean, auc->low, auc->high,
                ap->mean, ap->low, ap->high);
}

static hct_status run_k(run *q, fewshot_method m, int64_t k, hct_err *err) {
    size_t n = (size_t)q->o->draws;
    double *auc = malloc(2 * n * sizeof *auc), *ap = auc ? auc + n : NULL;
    int8_t *label = malloc(q->n_test + 1);
    hct_status st = auc && label ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)k);
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        shuffle(q, (int64_t)i);
        choose(q, (size_t)k, (size_t)k);
        if ((st = apply(q, m, err)) < 0 || (st = metrics(q, label, &auc[i], &ap[i], err)) < 0) break;
        put_start(q, q->each, m, text);
        csv_put_double(q->each, 3, (double)i + 1);
        csv_put_double(q->each, 4, auc[i]);
        csv_put_double(q->each, 5, ap[i]);
        csv_end_row(q->each);
    }
    if (st == HCT_OK) {
        interval a = summary_of(auc, n), p = summary_of(ap, n);
        put_summary(q, m, text, n, (size_t)k, (size_t)k, &a, &p);
    }
    free(auc);
    free(label);
    return st;
}

/* Every training scan; intervals over resamples of the test part. */
static hct_status run_all(run *q, fewshot_method m, hct_err *err) {
    int8_t *label = malloc(q->n_test + 1);
    double auc, ap;
    interval a, p, macro;
    shuffle(q, 0);
    choose(q, q->n_positive, q->n_negative);
    hct_status st = label ? apply(q, m, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = metrics(q, label, &auc, &ap, err);
    score_table t = {q->n_test, 1, q->score, label};
    resampler draws = bootstrap_resampler(RESAMPLES, (uint64_t)q->r->seed);
    if (st == HCT_OK) st = bootstrap(&t, METRIC_AUC, &draws, 0.95, &a, &macro, err);
    if (st == HCT_OK) st = bootstrap(&t, METRIC_AVERAGE_PRECISION, &draws, 0.95, &p, &macro, err);
    if (st == HCT_OK) {
        a.mean = auc, p.mean = ap;
        put_summary(q, m, "all", 1, q->n_positive, q->n_negative, &a, &p);
    }
    free(label);
    return st;
}

static hct_status run_task(run *q, size_t task, hct_err *err) {
    open_task(q, task);
    const char *name = q->t.said.task[task];
    size_t test_positives = 0;
    for (size_t i = 0; i < q->n_test; i++) test_positives += q->label[q->test[i]] == 1;
    if (!test_positives || test_positives == q->n_test || !q->n_positive || !q->n_negative) {
        fprintf(stderr, "few-shot: task '%s' is left out: a class is missing in training or test\n", name);
        return HCT_OK;
    }
    hct_status st = HCT_OK;
    for (int k = 0; k < q->o->n_k; k++)
        if ((size_t)q->o->k[k] > q->n_positive || (size_t)q->o->k[k] > q->n_negative)
            fprintf(stderr, "few-shot: task '%s': K = %lld is left out: the training part has %zu positives and %zu negatives\n", name, (long long)q->o->k[k], q->n_positive,
                    q->n_negative);
    for (int m = 0; st == HCT_OK && m < FEWSHOT_METHODS; m++) {
        if (!q->o->use[m]) continue;
        for (int k = 0; st == HCT_OK && k < q->o->n_k; k++)
            if ((size_t)q->o->k[k] <= q->n_positive && (size_t)q->o->k[k] <= q->n_negative) st = run_k(q, (fewshot_method)m, q->o->k[k], err);
        if (st == HCT_OK) st = run_all(q, (fewshot_method)m, err);
    }
    return st;
}

static hct_outfile *open_csv(const char *folder, const char *name, const char *header, hct_err *err) {
    char *path = path_join(folder, name);
    hct_outfile *f = path ? hct_outfile_open(path, err) : NULL;
    if (!path) hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_outfile_printf(f, "%s\n", header);
    free(path);
    return f;
}

static hct_status open_run(run *q, hct_err *err) {
    const recipe *r = q->r;
    if (!(q->data = dataset_open(r->data.dataset, err))) return err->code;
    hct_status st = trial_open(r, q->data, &q->t, err);
    if (st == HCT_OK && !q->t.n_test) st = hct_fail(err, HCT_EINVAL, "%s: part '%s' is empty; there is nothing to score", r->data.dataset, r->data.test);
    if (st == HCT_OK && !(q->dev = device_open(r->train.device, err))) st = err->code;
    if (st == HCT_OK) st = features_of(r, q->dev, q->data, q->t.scan, q->t.n, q->o->progress, &q->f, err);
    if (st == HCT_OK) st = make_room(q, err);
    if (st == HCT_OK) st = run_folder_open(q->o->out, NULL, r, err);
    if (st == HCT_OK && !(q->log = runlog_open(q->o->out, -1, err))) st = err->code;
    if (st == HCT_OK && !(q->summary = open_csv(q->o->out, "fewshot.csv", "task,method,k,draws,positives,negatives,auc,auc_low,auc_high,ap,ap_low,ap_high", err))) st = err->code;
    if (st == HCT_OK && !(q->each = open_csv(q->o->out, "fewshot_draws.csv", "task,method,k,draw,auc,ap", err))) st = err->code;
    return st;
}

hct_status fewshot_run(const recipe *r, const fewshot_options *o, hct_err *err) {
    run q = {.r = r, .o = o};
    hct_status st = r->probe.kind == PROBE_LINEAR ? open_run(&q, err) : hct_fail(err, HCT_EINVAL, "few-shot methods take one vector a scan: probe.kind must be linear");
    for (size_t k = 0; st == HCT_OK && k < q.t.said.n_tasks; k++) st = run_task(&q, k, err);
    hct_err late;
    if (st < 0) {
        hct_outfile_discard(q.summary), hct_outfile_discard(q.each);
    } else {
        st = hct_outfile_close(q.summary, err);
        if (st < 0) hct_outfile_discard(q.each);
        else st = hct_outfile_close(q.each, err);
    }
    hct_status closed = runlog_close(q.log, &late);
    if (st == HCT_OK && closed < 0) st = hct_fail(err, closed, "%s", late.msg);
    free(q.label), free(q.positive), free(q.negative), free(q.support), free(q.test), free(q.valid);
    free(q.x), free(q.q), free(q.y), free(q.score), free(q.all_scores), free(q.wide);
    features_free(&q.f);
    trial_free(&q.t);
    device_close(q.dev);
    dataset_close(q.data);
    return st;
}
