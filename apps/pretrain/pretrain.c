#include "pretrain/pretrain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/log.h"
#include "models/build.h"
#include "run/model.h"
#include "support/device.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/stop.h"
#include "run/checkpoint.h"
#include "run/fraction.h"
#include "training/ranks.h"
#include "pretrain/reconstruction.h"
#include "run/run_folder.h"
#include "run/runlog.h"
#include "training/sampler.h"
#include "pretrain/step.h"

#define VALIDATION_DRAWS 0x76616cu /* "val": masks and views are not those of training */

/* The next step's input, on its way to the device while a step runs. */
typedef struct ahead {
    int filled;
    size_t *scans;
    hct_status status;
    hct_err why;
} ahead;

typedef struct run {
    const recipe *r;
    const pretrain_options *o;
    char *last, *best, *weights;
    hct_dev *dev;
    dataset *data;
    size_t *train, *valid, *order, *share, n_train, n_valid; /* share: what of an epoch's order this rank takes */
    model_info info;
    params *p;
    hct_optim *optim;
    ahead next;
    train_step step, check; /* check: validation, where there is a validation part */
    loader *load;
    runlog *log;
    run_state state;
    int lock;                                       /* of the folder, rank 0's */
    int64_t per_epoch, total, scans_per_step, mine; /* mine: of a step's scans, this rank's */
    lr_schedule lr;
} run;

static hct_status open_data(run *q, hct_err *err) {
    const recipe *r = q->r;
    if (!(q->data = dataset_open(r->data.dataset, err))) return err->code;
    hct_status st = training_part(q->data, r, &q->train, &q->n_train, err);
    if (st == HCT_OK) st = dataset_part(q->data, r->data.validation, &q->valid, &q->n_valid, err);
    if (st == HCT_OK) st = dataset_hash(q->data, q->train, q->n_train, q->info.data, err);
    if (st < 0) return st;
    q->scans_per_step = recipe_effective_batch(r, ranks_count());
    q->mine = recipe_effective_batch(r, 1);
    q->per_epoch = (int64_t)q->n_train / q->scans_per_step;
    if (!q->per_epoch)
        return hct_fail(err, HCT_EINVAL,
                        "%s: part '%s' has %zu scans, one step takes optim.batch x optim.accumulate x ranks = %lld; "
                        "lower optim.batch",
                        r->data.dataset, r->data.train, q->n_train, (long long)q->scans_per_step);
    q->total = q->per_epoch * r->optim.epochs;
    q->lr = recipe_schedule(r, q->per_epoch, ranks_count());
    q->order = malloc(q->n_train * sizeof *q->order);
    q->share = malloc(q->n_train * sizeof *q->share);
    if (!q->order || !q->share) return hct_fail(err, HCT_ENOMEM, "out of memory");
    loader_options lo = step_loader(r, &q->info);
    if ((st = hct_comm_agree("set of training scans", q->info.data, err)) < 0) return st;
    q->load = loader_new(q->data, &lo, err);
    return q->load ? HCT_OK : err->code;
}

/* Names the keys that help where the device's memory is short. */
static hct_status memory_hint(hct_status st, hct_err *err) {
    if (st != HCT_ENOMEM) return st;
    hct_err why = *err;
    return hct_fail(err, st,
                    "%.800s; lower optim.batch and raise optim.accumulate by as much (headct plan: what a step takes)",
                    why.msg);
}

static hct_status open_model(run *q, hct_err *err) {
    const recipe *r = q->r;
    hct_status st;
    if (!(q->dev = device_open(r->train.device, err)) ||
        !(q->p = model_new(q->dev, &q->info, (uint64_t)r->seed, err)) || model_precision(q->p, r, err) < 0 ||
        !(q->optim = step_optimizer(q->dev, r, q->p, err)))
        return err->code;
    st = step_new(&q->step, q->dev, q->p, r, &q->info, r->optim.batch, r->optim.accumulate, q->optim, 0, err);
    if (st == HCT_OK && q->n_valid) {
        int64_t batch = r->optim.batch < (int64_t)q->n_valid ? r->optim.batch : (int64_t)q->n_valid;
        st = step_new(&q->check, q->dev, q->p, r, &q->info, batch, 1, NULL, 0, err);
    }
    return memory_hint(st, err);
}

/* What must be the same on all ranks once all has been read. */
static hct_status same_start(const run *q, hct_err *err) {
    char step[32];
    snprintf(step, sizeof step, "step %lld", (long long)q->state.step);
    hct_status st = hct_comm_agree("step to start from", step, err);
    return st < 0 || ranks_count() == 1 ? st : ranks_same_params(q->p, err);
}

/* Names the run's files; refuses to start over an older run. */
static hct_status open_folder(run *q, hct_err *err) {
    q->last = path_join(q->o->run, "checkpoints/last.safetensors");
    q->best = path_join(q->o->run, "checkpoints/best.safetensors");
    q->weights = path_join(q->o->run, "weights.safetensors");
    if (!q->last || !q->best || !q->weights) return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_status st = ranks_mine() ? HCT_OK : run_folder_enter(q->o->run, q->r, q->o->resume, &q->lock, err);
    if (st < 0) return st;
    if (path_is_file(q->last) && !q->o->resume)
        return hct_fail(err, HCT_EINVAL,
                        "%s: there is a run already; continue it with --resume, or name another folder", q->o->run);
    if (path_is_file(q->last)) return HCT_OK; /* resumed: recipe.yaml is there, and stays as it is */
    return ranks_mine() ? HCT_OK : run_folder_open(q->o->run, "checkpoints", q->r, err);
}

/* Rank 0 writes for all: their tensors are the same. */
static hct_status write_checkpoint(run *q, const char *path, hct_err *err) {
    if (ranks_mine()) return HCT_OK;
    hct_status st = runlog_sync(q->log, err);
    return st < 0 ? st : checkpoint_save(path, q->p, &q->info, q->optim, &q->state, err);
}

/* ---- one step ---- */

static hct_status non_finite(run *q, double loss, const size_t *scans, hct_err *err) {
    char names[600] = "";
    for (int64_t i = 0; i < q->mine; i++) {
        size_t used = strlen(names);
        if (used + 80 > sizeof names) break;
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", q->data->scans[scans[i]].id);
    }
    return hct_fail(err, HCT_EINVAL, "step %lld: the loss is %g; scans: %s; last good checkpoint: %s (step %lld)",
                    (long long)q->state.step + 1, loss, names, path_is_file(q->last) ? q->last : "none",
                    (long long)q->state.step);
}

/* n scans of the loader into a micro-batch of s; their numbers into scans. */
static hct_status take(run *q, train_step *s, int64_t n, size_t *scans, hct_err *err) {
    for (int64_t b = 0; b < n; b++) {
        int got = loader_next(q->load, step_item(s, b), &scans[b], err);
        if (got <= 0) return got < 0 ? (hct_status)got : hct_fail(err, HCT_EINVAL, "the loader ended early");
    }
    return HCT_OK;
}

/* All micro-batches of an optimiser step; the scans' numbers into scans. */
static hct_status fill(run *q, int64_t epoch, int64_t step, size_t *scans, hct_err *err) {
    const recipe *r = q->r;
    hct_status st = HCT_OK;
    for (int64_t m = 0; st == HCT_OK && m < r->optim.accumulate; m++) {
        size_t *mine = scans + m * r->optim.batch;
        st = take(q, &q->step, r->optim.batch, mine, err);
        if (st == HCT_OK) st = step_fill(&q->step, m, (uint64_t)r->seed, epoch, step, mine, r->optim.batch, err);
    }
    return st;
}

/* Fills the next step while this one runs. What goes wrong is said when that step's turn comes. */
static void fill_ahead(run *q, int64_t epoch) {
    q->next.status = hct_ahead_begin(q->dev, &q->next.why);
    if (q->next.status == HCT_OK) q->next.status = fill(q, epoch, q->state.step + 1, q->next.scans, &q->next.why);
    hct_ahead_end(q->dev);
    q->next.filled = 1;
}

/* A step's input: what was sent ahead, or what the loader has now. */
static hct_status bring(run *q, int64_t epoch, size_t *scans, hct_err *err) {
    if (!q->next.filled) return fill(q, epoch, q->state.step, scans, err);
    q->next.filled = 0;
    memcpy(scans, q->next.scans, (size_t)q->mine * sizeof *scans);
    if (q->next.status == HCT_OK) return hct_ahead_take(q->dev, err);
    *err = q->next.why;
    return memory_hint(q->next.status, err); /* its second places are taken when the first step runs */
}

/* more: another step of this epoch follows. *ret_stop: in, the signal this rank was sent, or 0; out, whether any
 * rank was. */
static hct_status one_step(run *q, int64_t epoch, int more, size_t *scans, double *ret_loss, int *ret_stop,
                           hct_err *err) {
    const recipe *r = q->r;
    int64_t step = q->state.step;
    hct_status st = bring(q, epoch, scans, err);
    if (st == HCT_OK)
        st = step_rates(q->optim, r, schedule_lr(&q->lr, step), recipe_weight_decay(r, step, q->total), epoch, err);
    if (st == HCT_OK) st = step_set(&q->step, epoch, step, q->total, err);
    double mine = 0;
    if (st == HCT_OK) st = step_start(&q->step, err);
    if (st == HCT_OK && more && q->next.scans) fill_ahead(q, epoch);
    if (st == HCT_OK) st = step_finish(&q->step, &mine, err);
    *ret_loss = mine;
    if (st == HCT_OK) st = ranks_step(ret_loss, ret_stop, err);
    if (st == HCT_OK && !isfinite(mine)) st = non_finite(q, mine, scans, err);
    if (st == HCT_OK && !isfinite(*ret_loss))
        st = hct_fail(err, HCT_EINVAL, "step %lld: the loss of another rank is not finite", (long long)step + 1);
    return st;
}

/* ---- validation: masks and views are the same every time ---- */

#define VALIDATION_SEED(r) ((uint64_t)(r)->seed ^ VALIDATION_DRAWS)

/* The validation batches that this rank takes: every ranks-th; all, where batch statistics are those of all ranks,
 * who must then run alike. In share, *ret_n scans of the first n. */
static size_t *validation_share(const run *q, size_t n, size_t batch, size_t *ret_n) {
    int together = q->r->method == METHOD_DINO && q->r->dino.batch_norm;
    size_t *share = malloc((n + 1) * sizeof *share), count = 0, ranks = together ? 1 : (size_t)ranks_count(),
           mine = together ? 0 : (size_t)ranks_mine();
    for (size_t i = 0; share && i < n; i++)
        if (i / batch % ranks == mine) share[count++] = q->valid[i];
    *ret_n = count;
    return share;
}

/* Mean loss over the validation part. DINO takes whole batches; *ret_health (DINO) is their mean. */
static hct_status validate(run *q, int64_t epoch, double *ret, dino_health *ret_health, hct_err *err) {
    int dino = q->r->method == METHOD_DINO;
    int64_t batch = step_batch(&q->check), counted = 0;
    size_t *scans = calloc((size_t)batch, sizeof *scans), n_valid;
    size_t *share =
        validation_share(q, dino ? q->n_valid / (size_t)batch * (size_t)batch : q->n_valid, (size_t)batch, &n_valid);
    hct_status st =
        scans && share ? loader_start(q->load, share, n_valid, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(share);
    if (st == HCT_OK) st = step_set(&q->check, epoch, q->state.step, q->total, err);
    double sum = 0;
    *ret_health = (dino_health){0, 0};
    for (size_t at = 0; st == HCT_OK && at < n_valid;) {
        int64_t n = batch < (int64_t)(n_valid - at) ? batch : (int64_t)(n_valid - at);
        double loss = 0;
        dino_health health = {0, 0};
        st = take(q, &q->check, n, scans, err);
        if (st == HCT_OK) st = step_fill(&q->check, 0, VALIDATION_SEED(q->r), 0, 0, scans, n, err);
        if (st == HCT_OK) st = step_run(&q->check, &loss, err);
        if (st == HCT_OK && dino) st = dino_step_health(&q->check.dino, &health, err);
        sum += loss * (double)n;
        ret_health->entropy += health.entropy * (double)n;
        ret_health->feature_std += health.feature_std * (double)n;
        counted += n;
        at += (size_t)n;
    }
    double all[] = {sum, ret_health->entropy, ret_health->feature_std, (double)counted};
    if (st == HCT_OK) st = hct_comm_mean(all, 4, err);
    *ret = all[0] / all[3];
    *ret_health = (dino_health){all[1] / all[3], all[2] / all[3]};
    free(scans);
    return st;
}

/* A student whose features or teacher no longer tell scans apart learns nothing more: said as soon as it is seen. */
static void warn_of_collapse(const run *q, const dino_health *h) {
    double even = log((double)q->r->dino.prototypes);
    const char *how = h->feature_std < 0.01       ? "all scans get the same features"
                      : h->entropy > 0.999 * even ? "the teacher takes all prototypes alike"
                      : h->entropy < 1e-3 * even  ? "the teacher takes one prototype for every scan"
                                                  : NULL;
    if (how)
        hct_log(HCT_LOG_WARNING,
                "step %lld: collapse: %s (entropy %.4f of %.4f, feature std %.4f); lower optim.lr, or change "
                "dino.teacher_temp or dino.center_momentum",
                (long long)q->state.step, how, h->entropy, even, h->feature_std);
}

/* After an epoch: validation; best checkpoint by MAE's loss (DINO's says nothing of how good its features are).
 * *ret_stop: no improvement for train.early_stop validations. */
static hct_status end_of_epoch(run *q, int64_t epoch, int *ret_stop, hct_err *err) {
    *ret_stop = 0;
    if (!q->n_valid || q->r->train.validate_every <= 0 || (epoch + 1) % q->r->train.validate_every) return HCT_OK;
    double loss;
    dino_health h;
    hct_status st = validate(q, epoch, &loss, &h, err);
    if (st < 0) return st;
    int dino = q->r->method == METHOD_DINO;
    runlog_value v[] = {
        {"epoch", (double)epoch + 1},
        {"loss", loss},
        {"teacher_entropy", h.entropy},
        {"feature_std", h.feature_std},
    };
    if (q->log) runlog_write(q->log, q->state.step, "validation", v, dino ? 4 : 2);
    if (dino) {
        if (!ranks_mine()) warn_of_collapse(q, &h);
        return HCT_OK;
    }
    q->state.since_best++;
    if (!(loss >= q->state.best)) {
        q->state.best = loss;
        q->state.best_step = q->state.step;
        q->state.since_best = 0;
        if ((st = write_checkpoint(q, q->best, err)) < 0) return st;
    }
    *ret_stop = q->r->train.early_stop > 0 && q->state.since_best >= q->r->train.early_stop;
    return HCT_OK;
}

static hct_status log_step(run *q, int64_t step, double loss, progress *bar, hct_err *err) {
    if (q->r->train.log_every <= 0 || step % q->r->train.log_every) return HCT_OK;
    double norm = 0;
    hct_status st = hct_optim_norm(q->optim, step_tape(&q->step), &norm, err);
    dino_health h = {0, 0};
    int dino = q->r->method == METHOD_DINO;
    if (st == HCT_OK && dino) st = dino_step_health(&q->step.dino, &h, err);
    if (st == HCT_OK && dino) {
        double mean[] = {h.entropy, h.feature_std};
        st = hct_comm_mean(mean, 2, err);
        h = (dino_health){mean[0], mean[1]};
    }
    if (!q->log) return st;
    runlog_value v[] = {
        {"epoch", (double)((step - 1) / q->per_epoch + 1)},
        {"loss", loss},
        {"lr", schedule_lr(&q->lr, step - 1)},
        {"grad_norm", norm},
        {"teacher_entropy", h.entropy},
        {"feature_std", h.feature_std},
    };
    runlog_write(q->log, step, "train", v, dino ? 6 : 4);
    runlog_timing(q->log, step, "train/scans_per_second", progress_rate(bar));
    return st;
}

static hct_status train(run *q, hct_err *err) {
    const recipe *r = q->r;
    size_t *scans = malloc((size_t)q->mine * sizeof *scans);
    int sends_ahead = hct_ahead_possible(q->dev);
    if (sends_ahead) q->next.scans = malloc((size_t)q->mine * sizeof *scans);
    if (!scans || (sends_ahead && !q->next.scans)) {
        free(scans);
        return hct_fail(err, HCT_ENOMEM, "out of memory");
    }
    progress bar = progress_begin(ranks_mine() ? NULL : q->o->progress, "step", q->state.step, q->total, "scans",
                                  (double)q->scans_per_step);
    hct_status st = HCT_OK;
    int stop = q->r->train.early_stop > 0 && q->state.since_best >= q->r->train.early_stop;
    char note[64] = "";
    while (st == HCT_OK && q->state.step < q->total && !stop) {
        int64_t epoch = q->state.step / q->per_epoch, done = q->state.step % q->per_epoch;
        sampler_shuffle((uint64_t)q->r->seed, (uint64_t)epoch, q->train, q->n_train, q->order);
        ranks_share(q->order, (size_t)(q->per_epoch * q->scans_per_step), r->optim.batch, q->share);
        st = loader_start(q->load, q->share + done * q->mine, (size_t)((q->per_epoch - done) * q->mine), err);
        for (; st == HCT_OK && done < q->per_epoch; done++) {
            double loss = 0;
            int asked = stop_asked();
            if ((st = one_step(q, epoch, done + 1 < q->per_epoch, scans, &loss, &asked, err)) < 0) break;
            int64_t step = ++q->state.step;
            if ((st = log_step(q, step, loss, &bar, err)) < 0) break;
            snprintf(note, sizeof note, "loss %.5f", loss);
            progress_show(&bar, step, note);
            int last = done + 1 == q->per_epoch;
            if (last && (st = end_of_epoch(q, epoch, &stop, err)) < 0) break;
            int every = q->r->train.checkpoint_every > 0 && step % q->r->train.checkpoint_every == 0;
            if (ranks_count() == 1) asked = stop_asked();
            if ((every || last || asked) && (st = write_checkpoint(q, q->last, err)) < 0) break;
            if (asked && q->state.step < q->total) {
                st = hct_fail(err, HCT_EINTERRUPTED,
                              "signal %d: stopped after step %lld of %lld; continue with --resume", asked,
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

/* RUN/figures/reconstruction.png from the validation part's first scans, with the masks of every validation. MAE
 * only. */
static hct_status draw(run *q, hct_err *err) {
    double loss;
    if (!q->n_valid || q->r->method != METHOD_MAE || ranks_mine()) return HCT_OK;
    int64_t batch = step_batch(&q->check);
    size_t *scans = calloc((size_t)batch, sizeof *scans);
    hct_status st =
        scans ? loader_start(q->load, q->valid, (size_t)batch, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = take(q, &q->check, batch, scans, err);
    if (st == HCT_OK) st = step_fill(&q->check, 0, VALIDATION_SEED(q->r), 0, 0, scans, batch, err);
    if (st == HCT_OK) st = step_run(&q->check, &loss, err);
    char *folder = path_join(q->o->run, "figures"), *path = path_join(q->o->run, "figures/reconstruction.png");
    if (st == HCT_OK) st = folder && path ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = reconstruction_draw(&q->check.mae, &q->info.mae, path, err);
    free(scans);
    free(folder);
    free(path);
    return st;
}

/* What others use: MAE's encoder with its decoder, or the teacher's encoder. */
static hct_status save_weights(run *q, hct_err *err) {
    if (ranks_mine()) return HCT_OK;
    if (q->r->method == METHOD_DINO) return dino_save_teacher(q->weights, q->dev, q->p, &q->info, err);
    return weights_save(q->weights, q->p, &q->info, NULL, 0, NULL, 0, err);
}

static void close_run(run *q) {
    run_folder_leave(q->lock);
    loader_free(q->load);
    if (q->step.r) step_free(&q->step);
    if (q->check.r) step_free(&q->check);
    hct_optim_free(q->optim);
    params_free(q->p);
    device_close(q->dev);
    dataset_close(q->data);
    free(q->train);
    free(q->valid);
    free(q->order);
    free(q->share);
    free(q->next.scans);
    free(q->last);
    free(q->best);
    free(q->weights);
}

hct_status pretrain_run(const recipe *r, const pretrain_options *o, hct_err *err) {
    run q = {.r = r, .o = o, .state = {.best = NAN, .ranks = ranks_count()}};
    stop_listen();
    hct_status st = model_of_recipe(r, &q.info, err);
    if (st == HCT_OK) st = hct_comm_agree("recipe", q.info.recipe, err);
    if (st == HCT_OK) st = open_data(&q, err);
    if (st == HCT_OK) st = open_model(&q, err);
    if (st == HCT_OK) st = open_folder(&q, err);
    if (st == HCT_OK && o->resume && path_is_file(q.last))
        st = checkpoint_load(q.last, q.p, &q.info, q.optim, &q.state, err);
    if (st == HCT_OK) st = params_copy_masters(q.p, err);
    if (st == HCT_OK) st = same_start(&q, err);
    if (st == HCT_OK && !ranks_mine() && !(q.log = runlog_open(o->run, q.state.step ? q.state.step : -1, err)))
        st = err->code;
    if (st == HCT_OK) st = train(&q, err);
    if (q.dev) hct_ahead_release(q.dev);
    if (st == HCT_OK) st = save_weights(&q, err);
    if (st == HCT_OK) st = draw(&q, err);
    hct_err late;
    hct_status closed = runlog_close(q.log, &late);
    if (st == HCT_OK && closed < 0) st = hct_fail(err, closed, "%s", late.msg);
    close_run(&q);
    return st;
}
