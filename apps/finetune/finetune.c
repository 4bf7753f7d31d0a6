/* One fine-tuning: rows, model and step of a fit, and what the training loop asks of them. */
#include "finetune/finetune.h"
#include "models/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/ranking.h"
#include "finetune/finetune_step.h"
#include "inference/embedder.h"
#include "models/build.h"
#include "models/lora.h"
#include "support/paths.h"
#include "training/sampler.h"
#include "training/trainer.h"

enum { SCORED_AT_ONCE = 16 };

typedef struct fit {
    const finetune_base *base;
    const recipe *r;
    trial *t;
    const finetune_options *o;
    char *last, *best; /* checkpoints; NULL without a run folder */
    model_info info;
    params *p; /* encoder, additions and heads */
    tuning tune;
    finetune_step step;
    embedder score;               /* the same parameters, without gradients */
    size_t *rows, n_rows, *order; /* training rows with a known label; an epoch's draws of them */
    int8_t *row_label;            /* [n_rows, tasks] */
    int8_t *batch_label;          /* [batch, tasks] */
    size_t *scans;                /* of an epoch's draws, as the loader takes them */
    uint32_t *again, *seen;       /* how often each draw's scan was drawn before in the epoch; [n_train] counts of it */
    int64_t per_epoch, per_step, at; /* at: the draws of the step at hand begin there */
    run_state state;
} fit;

/* ---- opening a fit ---- */

static hct_status open_rows(fit *f, hct_err *err) {
    const recipe *r = f->r;
    size_t tasks = f->t->said.n_tasks;
    f->rows = malloc((f->t->n_train + 1) * sizeof *f->rows);
    f->row_label = malloc(f->t->n_train * tasks + 1);
    if (!f->rows || !f->row_label) return hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; i < f->t->n_train; i++) {
        const int8_t *label = f->t->said.label + i * tasks;
        int known = 0;
        for (size_t k = 0; k < tasks; k++) known |= label[k] >= 0;
        if (!known) continue;
        memcpy(f->row_label + f->n_rows * tasks, label, tasks);
        f->rows[f->n_rows++] = i;
    }
    int64_t count = r->train.balanced > 0 ? r->train.balanced : (int64_t)f->n_rows,
            batch = r->optim.batch < count ? r->optim.batch : count;
    f->per_step = batch * r->optim.accumulate;
    f->per_epoch = count / f->per_step;
    if (batch < 2)
        return hct_fail(err, HCT_EINVAL, "batch norm needs batches of 2 scans or more; there are %lld",
                        (long long)batch);
    if (!f->per_epoch)
        return hct_fail(
            err, HCT_EINVAL,
            "an epoch has %lld scans, one step takes optim.batch x optim.accumulate = %lld; lower one of them",
            (long long)count, (long long)f->per_step);
    f->order = malloc(((size_t)count + f->n_rows) * sizeof *f->order);
    f->scans = malloc((size_t)count * sizeof *f->scans);
    f->again = malloc((size_t)count * sizeof *f->again);
    f->seen = malloc(f->t->n_train * sizeof *f->seen);
    f->batch_label = malloc((size_t)batch * tasks);
    return f->order && f->scans && f->again && f->seen && f->batch_label ? HCT_OK
                                                                         : hct_fail(err, HCT_ENOMEM, "out of memory");
}

static hct_status copy_params(const params *from, params *to, hct_err *err) {
    for (size_t i = 0; i < to->n; i++) {
        const param *src = params_find(from, to->items[i].name);
        uint64_t bytes = hct_tensor_bytes(to->items[i].tensor);
        /* heads and additions start anew */
        int own = !strncmp(to->items[i].name, "head.", 5) || strstr(to->items[i].name, "lora") != NULL;
        if (own && (!src || hct_tensor_bytes(src->tensor) != bytes)) continue;
        if (!src || hct_tensor_bytes(src->tensor) != bytes)
            return hct_fail(err, HCT_EFORMAT,
                            "the weights hold no encoder tensor '%s' of the right size; name weights of an encoder",
                            to->items[i].name);
        void *x = malloc(bytes + 1);
        hct_status st =
            x ? hct_tensor_read(src->tensor, x, err) : hct_fail(err, HCT_ENOMEM, "out of memory for '%s'", src->name);
        if (st == HCT_OK) st = hct_tensor_write(to->items[i].tensor, x, err);
        free(x);
        if (st < 0) return st;
    }
    return HCT_OK;
}

static hct_status open_model(fit *f, hct_err *err) {
    const recipe *r = f->r;
    f->info = f->base->info;
    f->info.role = MODEL_CLASSIFIER;
    f->info.pool_mean = r->finetune.pool == POOL_MEAN;
    f->info.probe_heads = r->finetune.head == PROBE_ATTENTIVE ? r->finetune.heads
                          : r->finetune.head == PROBE_MIL     ? HEAD_MIL
                                                              : HEAD_LINEAR;
    f->info.n_tasks = (int)f->t->said.n_tasks;
    const encoder *e = &f->info.encoder;
    if (f->info.probe_heads && encoder_width(e) % f->info.probe_heads)
        return hct_fail(err, HCT_EINVAL, "finetune.heads: %lld does not divide the encoder's width %lld",
                        (long long)f->info.probe_heads, (long long)encoder_width(e));
    for (int k = 0; k < f->info.n_tasks; k++) snprintf(f->info.task[k], MODEL_NAME, "%s", f->t->said.task[k]);
    hct_status st = recipe_hash(r, f->info.recipe, err);
    if (st == HCT_OK) st = dataset_hash(f->t->data, f->t->scan, f->t->n_train, f->info.data, err);
    if (st == HCT_OK) st = trial_preparation(f->t, &e->input, f->info.preprocessing, err);
    if (st == HCT_OK && !(f->p = model_new(f->base->dev, &f->info, (uint64_t)r->seed, err)))
        st = err ? err->code : HCT_ENOMEM;
    if (st == HCT_OK && r->finetune.backbone == BACKBONE_LORA) {
        if (!e->kind->adapt)
            return hct_fail(err, HCT_EINVAL,
                            "finetune.backbone: lora is not possible with a %s encoder; set it to full "
                            "or frozen",
                            e->kind->name);
        e->kind->adapt(f->p, e, r->finetune.lora_rank, r->finetune.lora_alpha);
        st = params_check(f->p, err);
        if (st == HCT_OK) st = params_init(f->p, (uint64_t)r->seed, err);
    }
    if (st == HCT_OK && f->base->encoder) st = copy_params(f->base->encoder, f->p, err);
    if (st < 0) return st;
    tuning_freeze(r, f->p);
    st = tuning_open(&f->tune, f->base->dev, r, f->p, e, err);
    if (st == HCT_OK)
        st = finetune_step_new(&f->step, f->base->dev, f->p, &f->info, r, f->tune.optim,
                               f->per_step / r->optim.accumulate, err);
    return st == HCT_OK ? embedder_new(&f->score, f->base->dev, f->p, &f->info, SCORED_AT_ONCE, 0, err) : st;
}

static hct_status open_files(fit *f, hct_err *err) {
    if (!f->o->run) return HCT_OK;
    char *folder = path_join(f->o->run, "checkpoints");
    f->last = path_join(f->o->run, "checkpoints/last.safetensors");
    f->best = path_join(f->o->run, "checkpoints/best.safetensors");
    hct_status st =
        folder && f->last && f->best ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(folder);
    return st;
}

static void close_fit(fit *f) {
    embedder_free(&f->score);
    finetune_step_free(&f->step);
    tuning_close(&f->tune);
    params_free(f->p);
    free(f->rows);
    free(f->row_label);
    free(f->batch_label);
    free(f->order);
    free(f->scans);
    free(f->again);
    free(f->seen);
    free(f->last);
    free(f->best);
}

/* ---- scoring ---- */

/* Scores rows [first, first + n) of the trial. */
static hct_status score(fit *f, size_t first, size_t n, hct_err *err) {
    size_t tasks = f->t->said.n_tasks;
    hct_status st = n ? loader_start(f->base->load, f->t->scan + first, n, err) : HCT_OK;
    for (size_t at = 0; st == HCT_OK && at < n;) {
        int64_t k = 0;
        for (; st == HCT_OK && k < f->score.batch && at + (size_t)k < n; k++) {
            int got = loader_next(f->base->load, f->score.host + (size_t)k * f->score.image_floats, NULL, err);
            if (got <= 0) st = got < 0 ? (hct_status)got : hct_fail(err, HCT_EINVAL, "the loader ended early");
        }
        if (st == HCT_OK) st = embedder_run(&f->score, k, NULL, f->t->said.score + (first + at) * tasks, err);
        at += (size_t)k;
    }
    return st;
}

/* Mean over tasks of the validation AUC and of the cross-entropy, where they are defined; NaN where nowhere. */
static hct_status figures_of_validation(const fit *f, int64_t step, double *ret_auc, double *ret_loss, hct_err *err) {
    size_t n = f->t->n_valid, tasks = f->t->said.n_tasks, defined = 0, known = 0;
    double *s = malloc((n + 1) * sizeof *s), sum = 0, loss = 0;
    int8_t *l = malloc(n + 1);
    hct_status st = s && l ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t k = 0; st == HCT_OK && k < tasks; k++) {
        ranking rank = {0};
        for (size_t i = 0; i < n; i++) {
            size_t at = (f->t->n_train + i) * tasks + k;
            s[i] = f->t->said.score[at];
            l[i] = f->t->said.label[at];
            if (st == HCT_OK && !isfinite(s[i]))
                st = hct_fail(
                    err, HCT_EINVAL,
                    "step %lld: validation scan %s scores %g; lower the learning rate; last good checkpoint: %s",
                    (long long)step, f->t->said.scan[f->t->n_train + i], s[i], trainer_last_good(f->last));
            if (l[i] < 0) continue;
            loss -= log(fmax(l[i] ? s[i] : 1 - s[i], 1e-12));
            known++;
        }
        if (st < 0 || (st = ranking_make(s, l, n, &rank, err)) < 0) break;
        double auc = ranking_auc(&rank, NULL);
        if (!isnan(auc)) sum += auc, defined++;
        ranking_free(&rank);
    }
    *ret_auc = defined ? sum / (double)defined : NAN;
    *ret_loss = known ? loss / (double)known : NAN;
    free(s);
    free(l);
    return st;
}

static hct_status validate(void *own, const trainer_at *at, trainer_findings *io, hct_err *err) {
    fit *f = own;
    double loss = NAN;
    hct_status st = score(f, f->t->n_train, f->t->n_valid, err);
    if (st == HCT_OK) st = figures_of_validation(f, at->step + 1, &io->score, &loss, err);
    trainer_found(io, "loss", loss);
    trainer_found(io, "auc", io->score);
    if (st == HCT_OK && trial_scores_alike(f->t, f->t->n_train, f->t->n_valid))
        snprintf(io->collapse, sizeof io->collapse,
                 "all validation scans score alike; lower optim.lr, or raise its "
                 "warm-up");
    return st;
}

/* ---- training ---- */

static const char *scan_of_step(const void *own, int64_t i) {
    const fit *f = own;
    return i < f->per_step ? f->base->data->scans[f->scans[f->at + i]].id : NULL;
}

/* The next micro-batch's images, one after the other as the loader was told. */
static hct_status next_images(fit *f, hct_err *err) {
    for (int64_t b = 0; b < f->step.batch; b++) {
        int got = loader_next(f->base->load, f->step.image + (size_t)b * f->step.image_floats, NULL, err);
        if (got <= 0) return got < 0 ? (hct_status)got : hct_fail(err, HCT_EINVAL, "the loader ended early");
    }
    return HCT_OK;
}

/* Flips and shift of the draws [at, at + batch): a scan that is drawn again in an epoch is seen in another way. */
static void draw_views(fit *f, int64_t epoch, int64_t at) {
    for (int64_t b = 0; f->step.views && b < f->step.batch; b++)
        views_draw_whole(&f->r->views, (uint64_t)f->r->seed, (uint64_t)epoch | (uint64_t)f->again[at + b] << 20,
                         f->scans[at + b], f->info.encoder.input.size[0], f->step.views + b * HCT_VIEW_FLOATS);
}

/* One optimiser step on the next draws of the epoch's order. */
static hct_status one_step(void *own, const trainer_at *at, double *ret_loss, hct_err *err) {
    fit *f = own;
    size_t tasks = f->t->said.n_tasks;
    hct_status st = HCT_OK;
    f->at = at->done * f->per_step;
    for (int64_t m = 0; st == HCT_OK && m < f->step.micro; m++) {
        int64_t first = f->at + m * f->step.batch;
        for (int64_t b = 0; b < f->step.batch; b++)
            memcpy(f->batch_label + (size_t)b * tasks, f->t->said.label + f->order[first + b] * tasks, tasks);
        draw_views(f, at->epoch, first);
        st = next_images(f, err);
        if (st == HCT_OK)
            st = finetune_step_fill(&f->step, m, (uint64_t)f->r->seed, (uint64_t)at->step, f->batch_label, err);
    }
    if (st == HCT_OK) st = tuning_set_rates(&f->tune, at->lr, at->decay, err);
    return st == HCT_OK ? finetune_step_run(&f->step, ret_loss, err) : st;
}

static hct_status choose_epoch(void *own, int64_t epoch, int64_t done, hct_err *err) {
    fit *f = own;
    size_t count = (size_t)(f->per_epoch * f->per_step), tasks = f->t->said.n_tasks;
    if (f->r->train.balanced > 0) {
        if (sampler_balanced_tasks((uint64_t)f->r->seed, (uint64_t)epoch, f->rows, f->row_label, f->n_rows, tasks,
                                   count, f->order) != tasks)
            return hct_fail(err, HCT_ENOMEM, "out of memory for an epoch's draws");
    } else {
        sampler_shuffle((uint64_t)f->r->seed, (uint64_t)epoch, f->rows, f->n_rows, f->order);
    }
    memset(f->seen, 0, f->t->n_train * sizeof *f->seen);
    for (size_t i = 0; i < count; i++) {
        f->scans[i] = f->t->scan[f->order[i]];
        f->again[i] = f->seen[f->order[i]]++;
    }
    return loader_start(f->base->load, f->scans + done * f->per_step, (size_t)((f->per_epoch - done) * f->per_step),
                        err);
}

static hct_status train(fit *f, hct_err *err) {
    const recipe *r = f->r;
    const trainer_job job = {.r = r,
                             .per_epoch = f->per_epoch,
                             .epochs = r->optim.epochs,
                             .scans = (double)f->per_step,
                             .lr = recipe_schedule(r, f->per_epoch, 1),
                             .validate_every = r->train.validate_every,
                             .score = TRAINER_AUC,
                             .p = f->p,
                             .optim = f->tune.optim,
                             .info = &f->info,
                             .tape = f->step.tape,
                             .last = f->last,
                             .best = f->best,
                             .keep = 1,
                             .resume = f->o->resume,
                             .folder = f->o->run,
                             .progress = f->o->progress};
    const trainer_work work = {
        .own = f, .epoch = choose_epoch, .step = one_step, .scan = scan_of_step, .validate = validate};
    return trainer_run(&job, &work, &f->state, err);
}

/* ---- the result ---- */

static hct_status take_result(fit *f, finetune_result *ret, hct_err *err) {
    *ret = (finetune_result){
        .info = f->info, .best = f->state.best, .steps = f->state.step, .best_step = f->state.best_step};
    hct_status st = score(f, f->t->n_train, f->t->n_valid + f->t->n_test, err);
    if (st == HCT_OK && !(ret->p = model_new(f->base->dev, &f->info, 0, err))) st = err ? err->code : HCT_ENOMEM;
    if (st == HCT_OK) st = lora_merge(f->p, ret->p, err);
    if (st == HCT_OK) st = weights_hash(ret->p, ret->weights, err);
    return st;
}

void finetune_result_free(finetune_result *r) {
    params_free(r->p);
    *r = (finetune_result){0};
}

hct_status finetune_fit(const finetune_base *base, const recipe *r, trial *t, const finetune_options *o,
                        finetune_result *ret, hct_err *err) {
    fit f = {.base = base, .r = r, .t = t, .o = o};
    *ret = (finetune_result){0};
    hct_status st = trial_need_classes(t, err);
    if (st == HCT_OK) st = open_rows(&f, err);
    if (st == HCT_OK) st = open_model(&f, err);
    if (st == HCT_OK) st = open_files(&f, err);
    if (st == HCT_OK) st = train(&f, err);
    if (st == HCT_OK) st = take_result(&f, ret, err);
    if (st < 0) finetune_result_free(ret);
    close_fit(&f);
    return st;
}
