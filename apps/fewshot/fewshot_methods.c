/* The few-shot methods: each gives the test scans of a draw their scores. */
#include "fewshot/fewshot_methods.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/probe.h"
#include "support/paths.h"
#include "probe/protocol.h"
#include "run/checkpoint_files.h"

static const char *task_name(const fewshot_methods *m) { return m->draw->t->said.task[m->draw->task]; }

static hct_status open_features(fewshot_methods *m, hct_err *err) {
    const trial *t = m->draw->t;
    if (m->r->probe.kind != PROBE_LINEAR)
        return hct_fail(err, HCT_EINVAL, "few-shot methods take one vector a scan: probe.kind must be linear");
    hct_status st = features_of(m->r, m->dev, t->data, m->given, t->scan, t->n, m->o->progress, &m->f, err);
    if (st < 0) return st;
    size_t n = t->n + 1, w = m->f.width;
    m->x = malloc(n * w * sizeof *m->x), m->q = malloc(n * w * sizeof *m->q), m->y = malloc(n * sizeof *m->y);
    m->all = malloc(n * sizeof *m->all), m->wide = malloc(2 * n * sizeof *m->wide);
    return m->x && m->q && m->y && m->all && m->wide ? HCT_OK
                                                     : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", t->n);
}

hct_status fewshot_methods_new(fewshot_methods *m, const recipe *r, const fewshot_options *o, hct_dev *dev,
                               fewshot_draw *draw, const embedded *given, runlog *log, hct_err *err) {
    *m = (fewshot_methods){.r = r, .o = o, .dev = dev, .draw = draw, .given = given, .log = log};
    int frozen = 0;
    for (int i = 0; i < FEWSHOT_METHODS; i++) frozen |= i != FEWSHOT_FINETUNE && o->use[i];
    hct_status st = (m->score = malloc((draw->t->n + 1) * sizeof *m->score))
                        ? HCT_OK
                        : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", draw->t->n);
    if (st == HCT_OK && o->use[FEWSHOT_FINETUNE]) st = trial_check_folders(draw->t, err);
    if (st == HCT_OK && frozen) st = open_features(m, err);
    if (st == HCT_OK && o->use[FEWSHOT_FINETUNE]) st = finetune_open(r, dev, draw->t->data, &m->base, err);
    return st;
}

void fewshot_methods_free(fewshot_methods *m) {
    features_free(&m->f);
    finetune_close(&m->base);
    free(m->x), free(m->q), free(m->y), free(m->all), free(m->wide), free(m->score);
    *m = (fewshot_methods){0};
}

static void gather(const fewshot_methods *m, const size_t *row, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * m->f.width, m->f.row + row[i] * m->f.width, m->f.width * sizeof *out);
}

void fewshot_methods_task(fewshot_methods *m) {
    if (m->f.row) gather(m, m->draw->test, m->draw->n_test, m->q);
}

/* ---- frozen features ---- */

static hct_status knn(fewshot_methods *m, const fewshot_set *train, const fewshot_set *test, hct_err *err) {
    fewshot_knn_options o = m->o->knn;
    if (o.k > train->n) o.k = train->n;
    hct_status st = fewshot_knn(train, test, m->f.width, 2, &o, m->wide, NULL, NULL, err);
    for (size_t i = 0; st == HCT_OK && i < test->n; i++) m->score[i] = m->wide[2 * i + 1];
    return st;
}

static hct_status simpleshot(fewshot_methods *m, const fewshot_set *train, const fewshot_set *test, hct_err *err) {
    hct_status st = fewshot_distances(train, test, m->f.width, 2, m->o->form, m->wide, NULL, err);
    for (size_t i = 0; st == HCT_OK && i < test->n; i++) m->score[i] = m->wide[2 * i] - m->wide[2 * i + 1];
    return st;
}

/* With episodes, support and test rows go through what these teach. */
static hct_status learn_map(fewshot_methods *m, const fewshot_set *train, uint64_t stream, hct_err *err) {
    size_t dim = m->f.width;
    if (!m->o->episodes.n) return HCT_OK;
    float *map = malloc(dim * dim * sizeof *map);
    hct_status st = map ? fewshot_map_train(m->dev, m->r, &m->o->episodes, train, dim, stream, map, err)
                        : hct_fail(err, HCT_ENOMEM, "out of memory for a map of the features");
    if (st == HCT_OK) st = fewshot_map_apply(m->dev, map, dim, m->x, train->n, err);
    if (st == HCT_OK) st = fewshot_map_apply(m->dev, map, dim, m->q, m->draw->n_test, err);
    free(map);
    return st;
}

static hct_status protonet(fewshot_methods *m, const fewshot_set *train, const fewshot_set *test, uint64_t stream,
                           hct_err *err) {
    hct_status st = learn_map(m, train, stream, err);
    if (st == HCT_OK) st = fewshot_distances(train, test, m->f.width, 2, FEWSHOT_UN, m->wide, NULL, err);
    if (st == HCT_OK) fewshot_log_softmax(m->wide, test->n, 2);
    for (size_t i = 0; st == HCT_OK && i < test->n; i++) m->score[i] = exp(m->wide[2 * i + 1]);
    if (m->o->episodes.n) gather(m, m->draw->test, m->draw->n_test, m->q); /* as they were */
    return st;
}

static hct_status linear(fewshot_methods *m, hct_err *err) {
    const fewshot_draw *w = m->draw;
    params *head = params_new(m->dev);
    if (head) probe_declare(head, "", (int64_t)m->f.width, 2);
    hct_status st = params_check(head, err);
    if (st == HCT_OK) st = params_init(head, (uint64_t)m->r->seed, err);
    probe_data d = {.row = m->f.row,
                    .n = w->t->n,
                    .width = m->f.width,
                    .tokens = 1,
                    .label = w->label,
                    .scan = w->t->said.scan,
                    .train = w->support,
                    .valid = w->valid,
                    .n_train = w->n_support,
                    .n_valid = w->n_valid};
    const probe_fit_options o = {.task = task_name(m), .log = m->log};
    char chosen[PROBE_CHOSEN];
    if (st == HCT_OK) st = probe_by_protocol(m->r, m->dev, &d, &o, head, m->all, chosen, err);
    for (size_t i = 0; st == HCT_OK && i < w->n_test; i++) m->score[i] = m->all[w->test[i]];
    params_free(head);
    return st;
}

/* ---- fine-tuning ---- */

static char *fit_folder(const fewshot_methods *m, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/finetune/%s/%s", m->o->out, task_name(m), name) < 0 ? NULL : path;
}

static size_t *scans_of(const trial *t, const size_t *row, size_t n, hct_err *err) {
    size_t *scan = malloc((n + 1) * sizeof *scan);
    if (!scan) hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", n);
    for (size_t i = 0; scan && i < n; i++) scan[i] = t->scan[row[i]];
    return scan;
}

static hct_status finetune(fewshot_methods *m, const char *name, hct_err *err) {
    const fewshot_draw *w = m->draw;
    const char *task = task_name(m);
    size_t *train = scans_of(w->t, w->support, w->n_support, err),
           *test = train ? scans_of(w->t, w->test, w->n_test, err) : NULL;
    char *folder = fit_folder(m, name);
    trial t = {0};
    finetune_result got = {0};
    hct_status st = train && test ? HCT_OK : HCT_ENOMEM;
    if (st == HCT_OK && !folder) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK)
        st = trial_of(w->t->data, (scan_list){train, w->n_support}, (scan_list){w->t->scan + w->t->n_train, w->n_valid},
                      (scan_list){test, w->n_test}, &task, 1, &t, err);
    if (st == HCT_OK) st = path_make_folders(folder, err);
    if (st == HCT_OK)
        st = finetune_fit(&m->base, m->r, &t,
                          &(finetune_options){.run = folder, .resume = m->o->resume, .progress = m->o->progress}, &got,
                          err);
    for (size_t i = 0; st == HCT_OK && i < w->n_test; i++) m->score[i] = t.said.score[t.n_train + t.n_valid + i];
    finetune_result_free(&got);
    trial_free(&t);
    free(folder);
    free(train);
    free(test);
    return st;
}

hct_status fewshot_methods_clean(const fewshot_methods *m, fewshot_method method, const char *name, hct_err *err) {
    static const char *const files[] = {"checkpoints/last.safetensors", "checkpoints/best.safetensors"};
    char *folder = method == FEWSHOT_FINETUNE ? fit_folder(m, name) : NULL;
    hct_status st = method != FEWSHOT_FINETUNE || folder ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && folder && i < 2; i++) {
        char *path = path_join(folder, files[i]);
        if (path && !i) checkpoint_prune(path, INT64_MAX, 0);
        if (!path) st = hct_fail(err, HCT_ENOMEM, "out of memory");
        else if (unlink(path) < 0 && errno != ENOENT)
            st = hct_fail(err, HCT_EIO, "%s: cannot be removed: %s", path, strerror(errno));
        free(path);
    }
    free(folder);
    return st;
}

hct_status fewshot_methods_apply(fewshot_methods *m, fewshot_method method, const char *name, uint64_t stream,
                                 hct_err *err) {
    const fewshot_draw *w = m->draw;
    const fewshot_set train = {m->x, m->y, w->n_support}, test = {m->q, NULL, w->n_test};
    if (method == FEWSHOT_FINETUNE) return finetune(m, name, err);
    if (method == FEWSHOT_LINEAR) return linear(m, err);
    for (size_t i = 0; i < w->n_support; i++) m->y[i] = w->label[w->support[i]];
    gather(m, w->support, w->n_support, m->x);
    if (method == FEWSHOT_KNN) return knn(m, &train, &test, err);
    return method == FEWSHOT_SIMPLESHOT ? simpleshot(m, &train, &test, err) : protonet(m, &train, &test, stream, err);
}
