/* One model and its answers. */
#include "serve/served.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/form.h"
#include "inference/cohort.h"
#include "inference/model_file.h"
#include "serve/served_view.h"
#include "support/device.h"
#include "support/json_out.h"

enum { MANY = 1000 }; /* scans that it will see: weights are kept as products read them */

static hct_status open_encoder(served_model *m, hct_err *err) {
    model_info info;
    const model_file_options o = {.path = m->what.weights, .precision = m->what.precision};
    if (!(m->p = model_file_open(m->dev, &o, &info, m->weights, err))) return err->code;
    hct_status st = HCT_OK;
    if (info.encoder.kind->studies)
        st = hct_fail(err, HCT_EINVAL,
                      "%s: takes all series of a study at once, which headct serve does not; use "
                      "headct embed",
                      m->what.weights);
    m->width = encoder_width(&info.encoder);
    return st == HCT_OK ? embedder_new(&m->alone, m->dev, m->p, &info, 1, MANY, err) : st;
}

static hct_status open_classifiers(served_model *m, hct_err *err) {
    hct_status st = thresholds_read(NULL, m->what.run, &m->set, &m->chosen, err);
    if (st == HCT_OK) st = classifiers_compile(&m->set, 1, MANY, err);
    memcpy(m->weights, m->set.weights, sizeof m->weights);
    m->n_tasks = m->set.n_tasks;
    m->width = encoder_width(&m->set.item->info.encoder);
    return st;
}

/* Whether the file of weights is a classifier's; a run is. */
static int is_classifier(const served_what *what, hct_status *ret, hct_err *err) {
    model_info info;
    if (!what->weights) return 1;
    hct_st_file *f = hct_st_open(what->weights, err);
    *ret = f ? weights_info(f, what->weights, &info, err) : err->code;
    hct_st_close(f);
    return *ret == HCT_OK && info.role == MODEL_CLASSIFIER;
}

served_model *served_open(const served_what *what, hct_err *err) {
    served_model *m = calloc(1, sizeof *m);
    if (!m) {
        hct_fail(err, HCT_ENOMEM, "out of memory");
        return NULL;
    }
    m->what = *what;
    m->users = 1;
    hct_status st = HCT_OK;
    int classifies = is_classifier(what, &st, err);
    if (st == HCT_OK && !(m->dev = device_open(what->device, err))) st = err->code;
    if (st == HCT_OK && classifies) {
        st = classifiers_open(m->dev, what->weights, what->run, what->precision, &m->set, err);
        if (st == HCT_OK) st = open_classifiers(m, err);
    } else if (st == HCT_OK) st = open_encoder(m, err);
    if (st == HCT_OK) return m;
    served_close(m);
    return NULL;
}

void served_close(served_model *m) {
    if (!m) return;
    thresholds_free(&m->chosen);
    classifiers_free(&m->set);
    embedder_free(&m->alone);
    params_free(m->p);
    device_close(m->dev);
    free(m);
}

/* ---- answers ---- */

typedef struct answering {
    served_model *m;
    const served_ask *ask;
    cohort *c;
    served_answer *to;
} answering;

static hct_status add_object(text_buffer *list, size_t *n, json_out *j, hct_err *err) {
    char *text = json_take(j, "an answer", err);
    if (!text) return HCT_ENOMEM;
    text_printf(list, "%s%s", (*n)++ ? "," : "", text);
    free(text);
    return HCT_OK;
}

static hct_status add_probabilities(const answering *q, json_out *j, const double *p, hct_err *err) {
    json_object(j, "probabilities");
    for (int k = 0; k < q->m->n_tasks; k++) {
        if (!isfinite(p[k])) return hct_fail(err, HCT_EINVAL, "a probability is not finite; the weights are damaged");
        json_number(j, q->m->set.task[k], p[k]);
    }
    json_end(j);
    if (!q->m->chosen.path) return HCT_OK;
    json_array(j, "above");
    for (int k = 0; k < q->m->n_tasks; k++)
        if (p[k] >= q->m->chosen.at[k]) json_text(j, NULL, q->m->set.task[k]);
    json_end(j);
    return HCT_OK;
}

static hct_status add_embedding(const answering *q, json_out *j, const float *cls, hct_err *err) {
    json_array(j, "embedding");
    for (int64_t k = 0; k < q->m->width; k++) {
        if (!isfinite(cls[k])) return hct_fail(err, HCT_EINVAL, "an embedding is not finite; the weights are damaged");
        json_number(j, NULL, (double)cls[k]);
    }
    json_end(j);
    return HCT_OK;
}

static hct_status add_view(const answering *q, json_out *j, size_t scan, hct_err *err) {
    text_buffer html = {0};
    hct_err why;
    hct_status st = served_view(q->m, q->c, scan, q->ask->map, &html, &why, err);
    const char *text = st == HCT_OK ? text_get(&html, "an answer", err) : NULL;
    if (st == HCT_OK && !text) st = HCT_ENOMEM;
    if (text) json_text(j, "view", text);
    if (text && why.code < 0) json_text(j, "map_refused", why.msg);
    text_free(&html);
    return st;
}

static hct_status take(void *context, const size_t *scans, size_t n, const float *cls, const double *probability,
                       hct_err *err) {
    answering *q = context;
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        const cohort_scan *s = &q->c->scans[scans[i]];
        json_out j = {0};
        json_object(&j, NULL);
        json_text(&j, "scan", s->id);
        if (q->ask->kind == SERVED_PREDICT) st = add_probabilities(q, &j, probability + i * (size_t)q->m->n_tasks, err);
        else st = add_embedding(q, &j, cls + i * (size_t)q->m->width, err);
        json_text(&j, "input_sha256", s->input);
        if (st == HCT_OK && q->ask->view) st = add_view(q, &j, scans[i], err);
        json_end(&j);
        if (st == HCT_OK) st = add_object(&q->to->results, &q->to->n_results, &j, err);
        else json_free(&j);
    }
    return st;
}

/* A scan that is no result, its reason without the server's own folder in it. */
static hct_status add_refused(const answering *q, const char *id, const char *reason, const char *folder,
                              hct_err *err) {
    text_buffer plain = {0};
    size_t n = strlen(folder);
    for (const char *c = reason; *c;) {
        int here = n && !strncmp(c, folder, n);
        if (!here) text_add(&plain, c, 1);
        c += here ? n + (c[n] == '/') : 1;
    }
    json_out j = {0};
    json_object(&j, NULL);
    json_text(&j, "scan", id);
    json_text(&j, "reason", text_so_far(&plain));
    json_end(&j);
    text_free(&plain);
    return add_object(&q->to->refused, &q->to->n_refused, &j, err);
}

/* What the client sent, and not the server's own trouble. */
static int is_clients(hct_status st) { return st == HCT_EINVAL || st == HCT_ENOTFOUND || st == HCT_EFORMAT; }

hct_status served_run(served_model *m, const served_ask *ask, const char *const *paths, size_t n, const char *folder,
                      served_answer *ret, hct_err *err) {
    cohort c = {0};
    *ret = (served_answer){0};
    answering q = {m, ask, &c, ret};
    const model_info *info = m->set.n ? &m->set.item->info : &m->alone.info;
    size_t n_todo = 0;
    hct_status st = cohort_of_files(paths, n, NULL, &c, err);
    if (is_clients(st)) {
        hct_err why = *err;
        cohort_free(&c);
        return add_refused(&q, "", why.msg, folder, err);
    }
    size_t *todo = st == HCT_OK ? malloc((c.n + 1) * sizeof *todo) : NULL;
    if (st == HCT_OK && !todo) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = form_preparation(&info->encoder.input, c.preprocessing, err);
    for (size_t i = 0; st == HCT_OK && i < c.n; i++)
        if (!c.scans[i].reason) todo[n_todo++] = i;
    if (st == HCT_OK && n_todo)
        st = cohort_run(&c, m->set.n ? m->set.embedder : &m->alone, m->set.n ? m->set.n : 1, todo, n_todo,
                        &(cohort_sink){&q, take}, NULL, err);
    for (size_t i = 0; st == HCT_OK && i < c.n; i++)
        if (c.scans[i].reason) st = add_refused(&q, c.scans[i].id, c.scans[i].reason, folder, err);
    free(todo);
    cohort_free(&c);
    return st;
}

void served_answer_free(served_answer *a) {
    text_free(&a->results);
    text_free(&a->refused);
    *a = (served_answer){0};
}
