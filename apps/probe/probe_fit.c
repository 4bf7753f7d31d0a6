/* One probe: rows and step of a fit, and what the training loop asks of them. */
#include "probe/probe_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/ranking.h"
#include "models/probe.h"
#include "training/optimizer.h"
#include "training/sampler.h"
#include "training/trainer.h"

enum { SCORED = 64 }; /* scans scored at once by an attentive probe */

typedef struct scorer {
    hct_dev *dev;
    const probe_data *d;
    params *head;
    hct_tensor *some; /* `chunk` rows */
    int64_t chunk;
} scorer;

typedef struct fit {
    const recipe *r;
    const probe_data *d;
    const probe_fit_options *o;
    hct_dev *dev;
    params *head;
    double *score; /* [n] */
    hct_optim *optim;
    hct_tape *step;
    hct_id loss;
    hct_tensor *x, *y; /* one batch */
    float *x_host;
    int32_t *y_host;
    int64_t batch, per_epoch, at; /* at: the step at hand takes order[at ...] */
    size_t *rows, n_rows, *order; /* labelled training rows */
    int8_t *row_label;
    scorer scorer;
} fit;

static hct_tensor *new_rows(hct_dev *dev, const probe_data *d, int64_t n, hct_err *err) {
    return hct_tensor_new(dev, HCT_F32, d->heads ? 3 : 2,
                          (int64_t[]){n, d->heads ? (int64_t)d->tokens : (int64_t)d->width, (int64_t)d->width}, err);
}

static hct_id forward(hct_tape *t, const probe_data *d, params *head, hct_tensor *x, int training) {
    hct_id v = hct_use(t, x);
    return head_forward(t, head, "", d->heads, v, v, training);
}

static hct_status open_scorer(scorer *s, hct_err *err) {
    s->chunk = s->d->heads ? SCORED : (int64_t)s->d->n; /* all tokens of all scans are too much at once */
    s->some = new_rows(s->dev, s->d, s->chunk, err);
    return s->some ? HCT_OK : hct_fail_untold(err, HCT_ENOMEM, "out of memory");
}

static hct_status open_fit(fit *f, hct_err *err) {
    hct_dev *dev = f->dev;
    const char *task = f->o->task;
    const recipe *r = f->r;
    const probe_data *d = f->d;
    size_t count, have[2] = {0, 0};
    f->rows = malloc((d->n_train + 1) * sizeof *f->rows);
    f->row_label = malloc(d->n_train + 1);
    if (!f->rows || !f->row_label) return hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; i < d->n_train; i++) {
        int8_t l = d->label[d->train[i]];
        if (l < 0) continue;
        f->row_label[f->n_rows] = l;
        f->rows[f->n_rows++] = d->train[i];
        have[l]++;
    }
    if (!have[0] || !have[1])
        return hct_fail(err, HCT_EINVAL,
                        "task '%s': the training split has %zu positives and %zu negatives; both are needed", task,
                        have[1], have[0]);
    count = r->train.balanced > 0 ? (size_t)r->train.balanced : f->n_rows;
    f->batch = r->optim.batch < (int64_t)count ? r->optim.batch : (int64_t)count;
    if (f->batch < 2) return hct_fail(err, HCT_EINVAL, "task '%s': batch norm needs batches of 2 scans or more", task);
    f->per_epoch = (int64_t)count / f->batch;
    f->order = malloc((count + 1) * sizeof *f->order);
    f->x_host = malloc((size_t)f->batch * d->width * d->tokens * sizeof *f->x_host);
    f->y_host = malloc((size_t)f->batch * sizeof *f->y_host);
    f->x = new_rows(dev, d, f->batch, err);
    f->y = hct_tensor_new(dev, HCT_I32, 1, &f->batch, err);
    f->optim = optimizer_of_recipe(dev, r, f->head, err);
    f->step = hct_tape_new(dev, HCT_PROGRAM);
    if (!f->order || !f->x_host || !f->y_host || !f->x || !f->y || !f->optim || !f->step)
        return hct_fail_untold(err, HCT_ENOMEM, "out of memory");
    f->loss = hct_cross_entropy(f->step, forward(f->step, d, f->head, f->x, 1), hct_use(f->step, f->y));
    hct_keep(f->step, f->loss);
    hct_backward(f->step, f->loss, 0);
    hct_optim_record(f->optim, f->step);
    hct_status st = hct_compile(f->step, err);
    return st < 0 ? st : open_scorer(&f->scorer, err);
}

static void close_fit(fit *f) {
    hct_tape_free(f->step);
    hct_optim_free(f->optim);
    hct_tensor_free(f->x);
    hct_tensor_free(f->y);
    hct_tensor_free(f->scorer.some);
    free(f->rows);
    free(f->row_label);
    free(f->order);
    free(f->x_host);
    free(f->y_host);
}

/* The probability of rows [from, from + n), n at most chunk; what a shorter chunk leaves over is not read. */
static hct_status score_some(const scorer *s, size_t from, size_t n, float *p, double *score, hct_err *err) {
    size_t floats = s->d->width * s->d->tokens;
    hct_tape *t = hct_tape_new(s->dev, HCT_EAGER);
    float *rows = n < (size_t)s->chunk ? calloc((size_t)s->chunk * floats, sizeof *rows) : NULL;
    hct_status st = t && (rows || n == (size_t)s->chunk) ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (rows) memcpy(rows, s->d->row + from * floats, n * floats * sizeof *rows);
    if (st == HCT_OK) st = hct_tensor_write(s->some, rows ? rows : s->d->row + from * floats, err);
    if (st == HCT_OK) st = hct_read(t, hct_softmax(t, forward(t, s->d, s->head, s->some, 0)), p, err);
    for (size_t i = 0; st == HCT_OK && i < n; i++) score[from + i] = (double)p[2 * i + 1];
    free(rows);
    hct_tape_free(t);
    return st;
}

static hct_status score_all(const scorer *s, double *score, hct_err *err) {
    float *p = malloc(((size_t)s->chunk * 2 + 1) * sizeof *p);
    hct_status st = p ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t at = 0; st == HCT_OK && at < s->d->n; at += (size_t)s->chunk) {
        size_t left = s->d->n - at;
        st = score_some(s, at, left < (size_t)s->chunk ? left : (size_t)s->chunk, p, score, err);
    }
    free(p);
    return st;
}

hct_status probe_score(hct_dev *dev, const probe_data *d, params *head, double *score, hct_err *err) {
    scorer s = {.dev = dev, .d = d, .head = head};
    hct_status st = open_scorer(&s, err);
    if (st == HCT_OK) st = score_all(&s, score, err);
    hct_tensor_free(s.some);
    return st;
}

/* The AUC of the validation rows: NaN where they lack a class. */
static hct_status validate(void *own, const trainer_at *at, trainer_findings *io, hct_err *err) {
    fit *f = own;
    const probe_data *d = f->d;
    double *s = malloc((d->n_valid + 1) * sizeof *s);
    int8_t *l = malloc(d->n_valid + 1);
    ranking rank = {0};
    (void)at;
    hct_status st = s && l ? score_all(&f->scorer, f->score, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < d->n_valid; i++) s[i] = f->score[d->valid[i]], l[i] = d->label[d->valid[i]];
    if (st == HCT_OK) st = ranking_make(s, l, d->n_valid, &rank, err);
    if (st == HCT_OK) io->score = ranking_auc(&rank, NULL);
    trainer_found(io, "validation_auc", io->score);
    ranking_free(&rank);
    free(s);
    free(l);
    return st;
}

static hct_status choose_epoch(void *own, int64_t epoch, int64_t done, hct_err *err) {
    fit *f = own;
    size_t count = (size_t)(f->per_epoch * f->batch);
    uint64_t seed = (uint64_t)f->r->seed;
    (void)done; /* stops and checkpoints lie between epochs */
    if (f->r->train.balanced > 0) {
        if (!sampler_balanced(seed, (uint64_t)epoch, f->rows, f->row_label, f->n_rows, count, f->order))
            return hct_fail(err, HCT_ENOMEM, "out of memory for an epoch's draws");
    } else {
        sampler_shuffle(seed, (uint64_t)epoch, f->rows, f->n_rows, f->order);
    }
    return HCT_OK;
}

static hct_status one_step(void *own, const trainer_at *at, double *ret_loss, hct_err *err) {
    fit *f = own;
    size_t floats = f->d->width * f->d->tokens;
    float loss = 0;
    f->at = at->done * f->batch;
    for (int64_t b = 0; b < f->batch; b++) {
        size_t row = f->order[f->at + b];
        memcpy(f->x_host + (size_t)b * floats, f->d->row + row * floats, floats * sizeof *f->x_host);
        f->y_host[b] = f->d->label[row];
    }
    hct_status st = hct_tensor_write(f->x, f->x_host, err);
    if (st == HCT_OK) st = hct_tensor_write(f->y, f->y_host, err);
    if (st == HCT_OK) st = optimizer_set_rates(f->optim, at->lr, at->decay, err);
    if (st == HCT_OK) st = hct_run(f->step, err);
    if (st == HCT_OK) st = hct_read(f->step, f->loss, &loss, err);
    *ret_loss = (double)loss;
    return st;
}

static const char *scan_of_step(const void *own, int64_t i) {
    const fit *f = own;
    return i < f->batch && f->d->scan ? f->d->scan[f->order[f->at + i]] : NULL;
}

enum { SPARE = 5 }; /* seconds between checkpoints: an epoch of a small head takes less than writing it */

hct_status probe_fit(const recipe *r, hct_dev *dev, const probe_data *d, const probe_fit_options *o, params *head,
                     double *score, char chosen[PROBE_CHOSEN], hct_err *err) {
    fit f = {.r = r, .d = d, .o = o, .dev = dev, .head = head, .score = score, .scorer = {dev, d, head, NULL, 0}};
    hct_status st = open_fit(&f, err);
    if (st == HCT_OK) {
        const trainer_job job = {.r = r,
                                 .name = o->task,
                                 .per_epoch = f.per_epoch,
                                 .epochs = r->optim.epochs,
                                 .scans = (double)f.batch,
                                 .lr = recipe_schedule(r, f.per_epoch, 1),
                                 .validate_every = 1,
                                 .score = TRAINER_AUC,
                                 .p = head,
                                 .optim = f.optim,
                                 .info = o->info,
                                 .tape = f.step,
                                 .parts = 1,
                                 .last = o->last,
                                 .best = o->best,
                                 .keep = 1,
                                 .resume = o->resume,
                                 .spare = SPARE,
                                 .log = o->log,
                                 .phase = o->task,
                                 .progress = o->progress};
        const trainer_work work = {
            .own = &f, .epoch = choose_epoch, .step = one_step, .scan = scan_of_step, .validate = validate};
        run_state state;
        st = trainer_run(&job, &work, &state, err);
        if (st == HCT_OK && f.per_epoch)
            snprintf(chosen, PROBE_CHOSEN, "epoch %lld",
                     (long long)((state.best_step ? state.best_step : state.step) / f.per_epoch));
    }
    if (st == HCT_OK) st = score_all(&f.scorer, score, err);
    close_fit(&f);
    return st;
}
