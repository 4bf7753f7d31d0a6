#include "finetune/finetune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/ranking.h"
#include "models/build.h"
#include "models/lora.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/stop.h"
#include "run/checkpoint.h"
#include "inference/embedder.h"
#include "finetune/finetune_step.h"
#include "run/runlog.h"
#include "training/sampler.h"

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
    float **kept;                 /* [p->n]: values of the best epoch */
    size_t *rows, n_rows, *order; /* training rows with a known label; an epoch's draws of them */
    int8_t *row_label;            /* [n_rows, tasks] */
    int8_t *batch_label;          /* [batch, tasks] */
    size_t *scans;                /* of an epoch's draws, as the loader takes them */
    uint32_t *again, *seen;       /* how often each draw's scan was drawn before in the epoch; [n_train] counts of it */
    int64_t per_epoch, total, per_step;
    lr_schedule lr;
    runlog *log;
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
    f->total = f->per_epoch * r->optim.epochs;
    f->lr = recipe_schedule(r, f->per_epoch, 1);
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
    f->info.kind = MODEL_CLASSIFIER;
    f->info.pool_mean = r->finetune.pool == POOL_MEAN;
    f->info.probe_heads = r->finetune.head == PROBE_ATTENTIVE ? r->finetune.heads : 0;
    f->info.n_tasks = (int)f->t->said.n_tasks;
    if (f->info.probe_heads && f->info.mae.encoder.width % f->info.probe_heads)
        return hct_fail(err, HCT_EINVAL, "finetune.heads: %lld does not divide the encoder's width %lld",
                        (long long)f->info.probe_heads, (long long)f->info.mae.encoder.width);
    for (int k = 0; k < f->info.n_tasks; k++) snprintf(f->info.task[k], MODEL_NAME, "%s", f->t->said.task[k]);
    hct_status st = recipe_hash(r, f->info.recipe, err);
    if (st == HCT_OK) st = dataset_hash(f->t->data, f->t->scan, f->t->n_train, f->info.data, err);
    if (st == HCT_OK && !(f->p = model_new(f->base->dev, &f->info, (uint64_t)r->seed, err)))
        st = err ? err->code : HCT_ENOMEM;
    if (st == HCT_OK && r->finetune.backbone == BACKBONE_LORA) {
        lora_declare(f->p, &f->info.mae.encoder, r->finetune.lora_rank, r->finetune.lora_alpha);
        st = params_check(f->p, err);
        if (st == HCT_OK) st = params_init(f->p, (uint64_t)r->seed, err);
    }
    if (st == HCT_OK && f->base->encoder) st = copy_params(f->base->encoder, f->p, err);
    if (st < 0) return st;
    tuning_freeze(r, f->p);
    st = tuning_open(&f->tune, f->base->dev, r, f->p, f->info.mae.encoder.depth, err);
    if (st == HCT_OK)
        st = finetune_step_new(&f->step, f->base->dev, f->p, &f->info, r, f->tune.optim,
                               f->per_step / r->optim.accumulate, err);
    if (st == HCT_OK) st = embedder_new(&f->score, f->base->dev, f->p, &f->info, SCORED_AT_ONCE, 0, err);
    if (st == HCT_OK && !(f->kept = calloc(f->p->n + 1, sizeof *f->kept)))
        st = hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < f->p->n; i++)
        if (!(f->kept[i] = malloc(hct_tensor_bytes(f->p->items[i].tensor) + 1)))
            st = hct_fail(err, HCT_ENOMEM, "out of memory for the best epoch");
    return st;
}

/* The values of p to (back 0) or from (back 1) those kept. */
static hct_status keep(fit *f, int back, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < f->p->n; i++)
        st = back ? hct_tensor_write(f->p->items[i].tensor, f->kept[i], err)
                  : hct_tensor_read(f->p->items[i].tensor, f->kept[i], err);
    return st;
}

/* The best epoch's values go through p into those kept; then the checkpoint's into p. */
static hct_status resume(fit *f, hct_err *err) {
    if (!f->o->resume || !path_is_file(f->last)) return HCT_OK;
    hct_status st = HCT_OK;
    if (path_is_file(f->best)) {
        load_report report;
        hct_st_file *file = hct_st_open(f->best, err);
        st = file ? params_load(f->p, file, f->best, "", &report, err) : err ? err->code : HCT_EIO;
        if (st == HCT_OK && report.missing)
            st = hct_fail(err, HCT_EFORMAT, "%s: %zu tensors are missing (first: %s)", f->best, report.missing,
                          report.first_missing);
        if (st == HCT_OK) st = keep(f, 0, err);
        hct_st_close(file);
    }
    if (st == HCT_OK) st = checkpoint_load(f->last, f->p, &f->info, f->tune.optim, &f->state, err);
    if (st == HCT_OK && f->state.best_step && !path_is_file(f->best))
        st = hct_fail(err, HCT_ENOTFOUND, "%s: is missing, and the best epoch with it; start a new run", f->best);
    return st;
}

static hct_status open_files(fit *f, hct_err *err) {
    if (!f->o->run) return HCT_OK;
    char *folder = path_join(f->o->run, "checkpoints");
    f->last = path_join(f->o->run, "checkpoints/last.safetensors");
    f->best = path_join(f->o->run, "checkpoints/best.safetensors");
    hct_status st =
        folder && f->last && f->best ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = resume(f, err);
    if (st == HCT_OK && !(f->log = runlog_open(f->o->run, f->state.step ? f->state.step : -1, err)))
        st = err ? err->code : HCT_EIO;
    free(folder);
    return st;
}

static void close_fit(fit *f) {
    for (size_t i = 0; f->kept && f->p && i < f->p->n; i++) free(f->kept[i]);
    free(f->kept);
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
static hct_status validation(const fit *f, double *ret_auc, double *ret_loss, hct_err *err) {
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
                    (long long)f->state.step, f->t->said.scan[f->t->n_train + i], s[i],
                    f->last && path_is_file(f->last) ? f->last : "none");
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

/* ---- training ---- */

static hct_status non_finite(const fit *f, double loss, const size_t *scans, hct_err *err) {
    char names[600] = "";
    for (int64_t i = 0; i < f->per_step; i++) {
        size_t used = strlen(names);
        if (used + 80 > sizeof names) break;
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", f->base->data->scans[scans[i]].id);
    }
    return hct_fail(err, HCT_EINVAL, "step %lld: the loss is %g; scans: %s; last good checkpoint: %s (step %lld)",
                    (long long)f->state.step + 1, loss, names, f->last && path_is_file(f->last) ? f->last : "none",
                    (long long)f->state.step);
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
static void draw_views(fit *f, int64_t at) {
    uint64_t epoch = (uint64_t)(f->state.step / f->per_epoch);
    for (int64_t b = 0; f->step.views && b < f->step.batch; b++)
        views_draw_whole(&f->r->views, (uint64_t)f->r->seed, epoch | (uint64_t)f->again[at + b] << 20, f->scans[at + b],
                         f->info.mae.encoder.image, f->step.views + b * VIEW_FLOATS);
}

/* One optimiser step on draws [at, at + per_step) of the epoch's order. */
static hct_status train_step(fit *f, int64_t at, double *ret_loss, hct_err *err) {
    size_t tasks = f->t->said.n_tasks;
    hct_status st = HCT_OK;
    for (int64_t m = 0; st == HCT_OK && m < f->step.micro; m++) {
        const size_t *mine = f->order + at + m * f->step.batch;
        for (int64_t b = 0; b < f->step.batch; b++)
            memcpy(f->batch_label + (size_t)b * tasks, f->t->said.label + mine[b] * tasks, tasks);
        draw_views(f, at + m * f->step.batch);
        st = next_images(f, err);
        if (st == HCT_OK)
            st = finetune_step_fill(&f->step, m, (uint64_t)f->r->seed, (uint64_t)f->state.step, f->batch_label, err);
    }
    double decay = recipe_weight_decay(f->r, f->state.step, f->total);
    if (st == HCT_OK) st = tuning_set_rates(&f->tune, schedule_lr(&f->lr, f->state.step), decay, err);
    if (st == HCT_OK) st = finetune_step_run(&f->step, ret_loss, err);
    if (st == HCT_OK && !isfinite(*ret_loss)) st = non_finite(f, *ret_loss, f->scans + at, err);
    return st;
}

static hct_status draw_epoch(fit *f, int64_t epoch, hct_err *err) {
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
    return HCT_OK;
}

/* After an epoch: validation, best epoch. *ret_stop: no improvement for train.early_stop validations. */
static hct_status end_of_epoch(fit *f, int64_t epoch, double *ret_auc, int *ret_stop, hct_err *err) {
    int last = epoch + 1 == f->r->optim.epochs;
    if (!last && (f->r->train.validate_every <= 0 || (epoch + 1) % f->r->train.validate_every)) return HCT_OK;
    double loss = NAN;
    hct_status st = score(f, f->t->n_train, f->t->n_valid, err);
    if (st == HCT_OK) st = validation(f, ret_auc, &loss, err);
    if (st < 0) return st;
    if (f->log)
        runlog_write(f->log, f->state.step, "validation",
                     (runlog_value[]){
                         {"epoch", (double)epoch + 1},
                         {"loss", loss},
                         {"auc", *ret_auc},
                     },
                     3);
    f->state.since_best++;
    if (isnan(*ret_auc) || !(*ret_auc <= f->state.best)) { /* undefined: the last epoch is kept */
        if (!isnan(*ret_auc)) f->state.best = *ret_auc;
        f->state.best_step = f->state.step;
        f->state.since_best = 0;
        st = keep(f, 0, err);
        if (st == HCT_OK && f->log) st = runlog_sync(f->log, err);
        if (st == HCT_OK && f->best) st = weights_save(f->best, f->p, &f->info, NULL, 0, NULL, 0, err);
    }
    *ret_stop = f->r->train.early_stop > 0 && f->state.since_best >= f->r->train.early_stop;
    return st;
}

static hct_status log_step(fit *f, double loss, const progress *bar, hct_err *err) {
    int64_t step = f->state.step;
    if (!f->log || step % f->r->train.log_every) return HCT_OK;
    double norm = 0;
    hct_status st = hct_optim_norm(f->tune.optim, f->step.tape, &norm, err);
    runlog_value v[] = {
        {"epoch", (double)((step - 1) / f->per_epoch + 1)},
        {"loss", loss},
        {"lr", schedule_lr(&f->lr, step - 1)},
        {"grad_norm", norm},
    };
    runlog_write(f->log, step, "train", v, 4);
    runlog_timing(f->log, step, "train/scans_per_second", progress_rate(bar));
    return st;
}

static hct_status write_checkpoint(fit *f, hct_err *err) {
    if (!f->last) return HCT_OK;
    hct_status st = runlog_sync(f->log, err);
    return st < 0 ? st : checkpoint_save(f->last, f->p, &f->info, f->tune.optim, &f->state, err);
}

static hct_status stopped(const fit *f, hct_err *err) {
    if (!stop_asked() || f->state.step >= f->total) return HCT_OK;
    return hct_fail(err, HCT_EINTERRUPTED, "signal %d: stopped after step %lld of %lld%s", stop_asked(),
                    (long long)f->state.step, (long long)f->total, f->last ? "; continue with --resume" : "");
}

static hct_status train(fit *f, hct_err *err) {
    progress bar = progress_begin(f->o->progress, "step", f->state.step, f->total, "scans", (double)f->per_step);
    hct_status st = HCT_OK;
    int stop = f->r->train.early_stop > 0 && f->state.since_best >= f->r->train.early_stop;
    double auc = NAN;
    char note[80] = "";
    while (st == HCT_OK && f->state.step < f->total && !stop) {
        int64_t epoch = f->state.step / f->per_epoch, done = f->state.step % f->per_epoch;
        st = draw_epoch(f, epoch, err);
        if (st == HCT_OK)
            st = loader_start(f->base->load, f->scans + done * f->per_step,
                              (size_t)((f->per_epoch - done) * f->per_step), err);
        for (; st == HCT_OK && done < f->per_epoch; done++) {
            double loss = 0;
            if ((st = train_step(f, done * f->per_step, &loss, err)) < 0) break;
            f->state.step++;
            if ((st = log_step(f, loss, &bar, err)) < 0) break;
            snprintf(note, sizeof note, isnan(auc) ? "loss %.4f" : "loss %.4f  validation AUC %.3f", loss, auc);
            progress_show(&bar, f->state.step, note);
            int last = done + 1 == f->per_epoch,
                every = f->r->train.checkpoint_every > 0 && f->state.step % f->r->train.checkpoint_every == 0;
            if (last && (st = end_of_epoch(f, epoch, &auc, &stop, err)) < 0) break;
            if ((every || last || stop_asked()) && (st = write_checkpoint(f, err)) < 0) break;
            if (!stop && (st = stopped(f, err)) < 0) break;
        }
    }
    if (st == HCT_OK) progress_end(&bar, note);
    else progress_break(&bar);
    return st;
}

/* ---- the result ---- */

static hct_status take_result(fit *f, finetune_result *ret, hct_err *err) {
    *ret = (finetune_result){
        .info = f->info, .best = f->state.best, .steps = f->state.step, .best_step = f->state.best_step};
    hct_status st = keep(f, 1, err);
    if (st == HCT_OK) st = score(f, f->t->n_train, f->t->n_valid + f->t->n_test, err);
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
    fit f = {.base = base, .r = r, .t = t, .o = o, .state = {.best = NAN}};
    *ret = (finetune_result){0};
    hct_status st = trial_need_classes(t, err);
    if (st == HCT_OK) st = open_rows(&f, err);
    if (st == HCT_OK) st = open_model(&f, err);
    if (st == HCT_OK) st = open_files(&f, err);
    if (st == HCT_OK) st = train(&f, err);
    if (st == HCT_OK) st = take_result(&f, ret, err);
    hct_err late;
    hct_status closed = f.log ? runlog_close(f.log, &late) : HCT_OK;
    if (st == HCT_OK && closed < 0) st = hct_fail(err, closed, "%s", late.msg);
    if (st < 0) finetune_result_free(ret);
    close_fit(&f);
    return st;
}
