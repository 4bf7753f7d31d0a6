#include "training/pretrain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/loader.h"
#include "support/paths.h"
#include "support/progress.h"
#include "training/checkpoint.h"
#include "training/mae_step.h"
#include "training/reconstruction.h"
#include "training/run_folder.h"
#include "training/runlog.h"
#include "training/sampler.h"
#include "training/stop.h"

#define VALIDATION_MASKS 0x76616cu /* "val": their masks are not those of training */

typedef struct run {
    const recipe *r;
    const pretrain_options *o;
    char *last, *best, *weights;
    hct_dev *dev;
    dataset *data;
    size_t *train, *valid, *order, n_train, n_valid;
    model_info info;
    params *p;
    hct_optim *optim;
    mae_step step, check; /* check: validation, where there is a validation part */
    loader *load;
    runlog *log;
    run_state state;
    int64_t per_epoch, total, scans_per_step;
    lr_schedule lr;
} run;

static hct_status open_data(run *q, hct_err *err) {
    const recipe *r = q->r;
    if (!(q->data = dataset_open(r->data.dataset, err))) return err->code;
    hct_status st = dataset_part(q->data, r->data.train, &q->train, &q->n_train, err);
    if (st == HCT_OK) st = dataset_part(q->data, r->data.validation, &q->valid, &q->n_valid, err);
    if (st == HCT_OK) st = dataset_hash(q->data, q->train, q->n_train, q->info.data, err);
    if (st < 0) return st;
    q->scans_per_step = recipe_effective_batch(r, 1);
    q->per_epoch = (int64_t)q->n_train / q->scans_per_step;
    if (!q->per_epoch)
        return hct_fail(err, HCT_EINVAL, "%s: part '%s' has %zu scans, one step takes optim.batch x optim.accumulate = %lld; lower optim.batch", r->data.dataset,
                        r->data.train, q->n_train, (long long)q->scans_per_step);
    q->total = q->per_epoch * r->optim.epochs;
    q->lr = recipe_schedule(r, q->per_epoch, 1);
    if (!(q->order = malloc(q->n_train * sizeof *q->order))) return hct_fail(err, HCT_ENOMEM, "out of memory");
    loader_options lo = {.windows = q->info.window, .n_windows = q->info.n_windows, .crop = r->data.crop, .size = r->data.image,
                         .threads = (int)r->train.workers, .disk_cache = r->train.disk_cache, .cache_bytes = (size_t)r->train.cache_mb << 20};
    q->load = loader_new(q->data, &lo, err);
    return q->load ? HCT_OK : err->code;
}

static hct_status open_model(run *q, hct_err *err) {
    const recipe *r = q->r;
    hct_status st;
    if (!(q->dev = device_open(r->train.device, err)) || !(q->p = model_new(q->dev, &q->info, (uint64_t)r->seed, err)) ||
        !(q->optim = optimizer_of_recipe(q->dev, r, q->p, err)))
        return err->code;
    st = mae_step_new(&q->step, q->dev, q->p, &q->info.mae, r->optim.batch, r->optim.accumulate, q->optim, 0, err);
    if (st == HCT_OK && q->n_valid) {
        int64_t batch = r->optim.batch < (int64_t)q->n_valid ? r->optim.batch : (int64_t)q->n_valid;
        st = mae_step_new(&q->check, q->dev, q->p, &q->info.mae, batch, 1, NULL, 0, err);
    }
    return st;
}

/* Names the run's files; refuses to start over an older run. */
static hct_status open_folder(run *q, hct_err *err) {
    q->last = path_join(q->o->run, "checkpoints/last.safetensors");
    q->best = path_join(q->o->run, "checkpoints/best.safetensors");
    q->weights = path_join(q->o->run, "weights.safetensors");
    if (!q->last || !q->best || !q->weights) return hct_fail(err, HCT_ENOMEM, "out of memory");
    if (path_is_file(q->last) && !q->o->resume)
        return hct_fail(err, HCT_EINVAL, "%s: there is a run already; continue it with --resume, or name another folder", q->o->run);
    if (path_is_file(q->last)) return HCT_OK; /* resumed: recipe.yaml is there, and stays as it is */
    return run_folder_open(q->o->run, "checkpoints", q->r, err);
}

static hct_status write_checkpoint(run *q, hct_err *err) {
    hct_status st = runlog_sync(q->log, err);
    return st < 0 ? st : checkpoint_save(q->last, q->p, &q->info, q->optim, &q->state, err);
}

/* ---- one step ---- */

static hct_status non_finite(run *q, double loss, const size_t *scans, hct_err *err) {
    char names[600] = "";
    for (int64_t i = 0; i < q->scans_per_step; i++) {
        size_t used = strlen(names);
        if (used + 80 > sizeof names) break;
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", q->data->scans[scans[i]].id);
    }
    return hct_fail(err, HCT_EINVAL, "step %lld: the loss is %g; scans: %s; last good checkpoint: %s (step %lld)", (long long)q->state.step + 1, loss, names,
                    path_is_file(q->last) ? q->last : "none", (long long)q->state.step);
}

static hct_status train_step(run *q, size_t *scans, double *ret_loss, hct_err *err) {
    hct_status st = HCT_OK;
    for (int64_t m = 0; st == HCT_OK && m < q->step.micro; m++) {
        size_t *mine = scans + m * q->step.batch;
        for (int64_t b = 0; st == HCT_OK && b < q->step.batch; b++) {
            int got = loader_next(q->load, q->step.image + (size_t)b * q->step.image_floats, &mine[b], err);
            if (got <= 0) st = got < 0 ? (hct_status)got : hct_fail(err, HCT_EINVAL, "the loader ended early");
        }
        if (st == HCT_OK) st = mae_step_fill(&q->step, &q->info.mae, m, (uint64_t)q->r->seed, (uint64_t)q->state.step, mine, q->step.batch, err);
    }
    double decay = recipe_weight_decay(q->r, q->state.step, q->total);
    if (st == HCT_OK) st = optimizer_set_rates(q->optim, schedule_lr(&q->lr, q->state.step), decay, err);
    if (st == HCT_OK) st = mae_step_run(&q->step, ret_loss, err);
    if (st == HCT_OK && !isfinite(*ret_loss)) st = non_finite(q, *ret_loss, scans, err);
    return st;
}

/* Mean loss over the validation part, with masks that are the same every time. */
static hct_status validate(run *q, double *ret, hct_err *err) {
    double sum = 0;
    hct_status st = loader_start(q->load, q->valid, q->n_valid, err);
    for (size_t at = 0; st == HCT_OK && at < q->n_valid;) {
        int64_t n = 0;
        for (; st == HCT_OK && n < q->check.batch && at + (size_t)n < q->n_valid; n++) {
            int got = loader_next(q->load, q->check.image + (size_t)n * q->check.image_floats, NULL, err);
            if (got <= 0) st = got < 0 ? (hct_status)got : hct_fail(err, HCT_EINVAL, "the loader ended early");
        }
        double loss = 0;
        if (st == HCT_OK) st = mae_step_fill(&q->check, &q->info.mae, 0, (uint64_t)q->r->seed ^ VALIDATION_MASKS, 0, q->valid + at, n, err);
        if (st == HCT_OK) st = mae_step_run(&q->check, &loss, err);
        sum += loss * (double)n;
        at += (size_t)n;
    }
    *ret = sum / (double)q->n_valid;
    return st;
}

/* After an epoch: validation, best checkpoint. *ret_stop: no improvement for train.early_stop validations. */
static hct_status end_of_epoch(run *q, int64_t epoch, int *ret_stop, hct_err *err) {
    *ret_stop = 0;
    if (!q->n_valid || q->r->train.validate_every <= 0 || (epoch + 1) % q->r->train.validate_every) return HCT_OK;
    double loss;
    hct_status st = validate(q, &loss, err);
    if (st < 0) return st;
    runlog_write(q->log, q->state.step, "validation", (runlog_value[]){{"epoch", (double)epoch + 1}, {"loss", loss}}, 2);
    q->state.since_best++;
    if (!(loss >= q->state.best)) {
        q->state.best = loss;
        q->state.best_step = q->state.step;
        q->state.since_best = 0;
        if ((st = runlog_sync(q->log, err)) < 0 || (st = checkpoint_save(q->best, q->p, &q->info, q->optim, &q->state, err)) < 0) return st;
    }
    *ret_stop = q->r->train.early_stop > 0 && q->state.since_best >= q->r->train.early_stop;
    return HCT_OK;
}

static hct_status log_step(run *q, int64_t step, double loss, progress *bar, hct_err *err) {
    if (q->r->train.log_every <= 0 || step % q->r->train.log_every) return HCT_OK;
    double norm = 0;
    hct_status st = hct_optim_norm(q->optim, q->step.tape, &norm, err);
    runlog_value v[] = {{"epoch", (double)((step - 1) / q->per_epoch + 1)}, {"loss", loss}, {"lr", schedule_lr(&q->lr, step - 1)}, {"grad_norm", norm}};
    runlog_write(q->log, step, "train", v, 4);
    runlog_timing(q->log, step, "train/scans_per_second", progress_rate(bar));
    return st;
}

static hct_status train(run *q, hct_err *err) {
    size_t *scans = malloc((size_t)q->scans_per_step * sizeof *scans);
    if (!scans) return hct_fail(err, HCT_ENOMEM, "out of memory");
    progress bar = progress_begin(q->o->progress, "step", q->state.step, q->total, "scans", (double)q->scans_per_step);
    hct_status st = HCT_OK;
    int stop = q->r->train.early_stop > 0 && q->state.since_best >= q->r->train.early_stop;
    char note[64] = "";
    while (st == HCT_OK && q->state.step < q->total && !stop) {
        int64_t epoch = q->state.step / q->per_epoch, done = q->state.step % q->per_epoch;
        sampler_shuffle((uint64_t)q->r->seed, (uint64_t)epoch, q->train, q->n_train, q->order);
        st = loader_start(q->load, q->order + done * q->scans_per_step, (size_t)((q->per_epoch - done) * q->scans_per_step), err);
        for (; st == HCT_OK && done < q->per_epoch; done++) {
            double loss = 0;
            if ((st = train_step(q, scans, &loss, err)) < 0) break;
            int64_t step = ++q->state.step;
            if ((st = log_step(q, step, loss, &bar, err)) < 0) break;
            snprintf(note, sizeof note, "loss %.5f", loss);
            progress_show(&bar, step, note);
            int last = done + 1 == q->per_epoch;
            if (last && (st = end_of_epoch(q, epoch, &stop, err)) < 0) break;
            int every = q->r->train.checkpoint_every > 0 && step % q->r->train.checkpoint_every == 0;
            if ((every || last || stop_asked()) && (st = write_checkpoint(q, err)) < 0) break;
            if (stop_asked() && q->state.step < q->total) {
                st = hct_fail(err, HCT_EINTERRUPTED, "signal %d: stopped after step %lld of %lld; continue with --resume", stop_asked(),
                              (long long)step, (long long)q->total);
                break;
            }
        }
    }
    if (st == HCT_OK) progress_end(&bar, note);
    else progress_break(&bar);
    free(scans);
    return st;
}

/* RUN/figures/reconstruction.png from the validation part's first scans, with the masks of every validation. */
static hct_status draw(run *q, hct_err *err) {
    double loss;
    if (!q->n_valid) return HCT_OK;
    hct_status st = loader_start(q->load, q->valid, (size_t)q->check.batch, err);
    for (int64_t b = 0; st == HCT_OK && b < q->check.batch; b++) {
        int got = loader_next(q->load, q->check.image + (size_t)b * q->check.image_floats, NULL, err);
        if (got <= 0) st = got < 0 ? (hct_status)got : hct_fail(err, HCT_EINVAL, "the loader ended early");
    }
    if (st == HCT_OK) st = mae_step_fill(&q->check, &q->info.mae, 0, (uint64_t)q->r->seed ^ VALIDATION_MASKS, 0, q->valid, q->check.batch, err);
    if (st == HCT_OK) st = mae_step_run(&q->check, &loss, err);
    char *folder = path_join(q->o->run, "figures"), *path = path_join(q->o->run, "figures/reconstruction.png");
    if (st == HCT_OK) st = folder && path ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = reconstruction_draw(&q->check, &q->info.mae, 0, path, err);
    free(folder);
    free(path);
    return st;
}

static void close_run(run *q) {
    loader_free(q->load);
    mae_step_free(&q->step);
    mae_step_free(&q->check);
    hct_optim_free(q->optim);
    params_free(q->p);
    device_close(q->dev);
    dataset_close(q->data);
    free(q->train);
    free(q->valid);
    free(q->order);
    free(q->last);
    free(q->best);
    free(q->weights);
}

hct_status pretrain_run(const recipe *r, const pretrain_options *o, hct_err *err) {
    run q = {.r = r, .o = o, .state = {.best = NAN}};
    stop_listen();
    hct_status st = model_of_recipe(r, &q.info, err);
    if (st == HCT_OK) st = open_data(&q, err);
    if (st == HCT_OK) st = open_model(&q, err);
    if (st == HCT_OK) st = open_folder(&q, err);
    if (st == HCT_OK && o->resume && path_is_file(q.last)) st = checkpoint_load(q.last, q.p, &q.info, q.optim, &q.state, err);
    if (st == HCT_OK && !(q.log = runlog_open(o->run, q.state.step ? q.state.step : -1, err))) st = err->code;
    if (st == HCT_OK) st = train(&q, err);
    if (st == HCT_OK) st = weights_save(q.weights, q.p, &q.info, NULL, 0, NULL, 0, err);
    if (st == HCT_OK) st = draw(&q, err);
    hct_err late;
    hct_status closed = runlog_close(q.log, &late);
    if (st == HCT_OK && closed < 0) st = hct_fail(err, closed, "%s", late.msg);
    close_run(&q);
    return st;
}
