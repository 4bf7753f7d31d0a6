/* Pre-training: data, model and step of a run, and what the training loop asks of them. */
#include "pretrain/pretrain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"
#include "models/build.h"
#include "pretrain/method.h"
#include "run/fraction.h"
#include "run/model.h"
#include "run/run_folder.h"
#include "run/training_scans.h"
#include "support/device.h"
#include "support/paths.h"
#include "support/stop.h"
#include "support/streams.h"
#include "training/ranks.h"
#include "training/sampler.h"
#include "training/trainer.h"

/* The next step's input, on its way to the device while a step runs. */
typedef struct ahead {
    int filled;
    size_t *scans;
    hct_status status;
    hct_err why;
} ahead;

typedef struct pretraining {
    const recipe *r;
    const pretrain_options *o;
    const method *kind;
    char *last, *best, *weights;
    char *from, from_recipe[MODEL_HASH]; /* of a fork: the other run's checkpoint, and its recipe */
    char *goes_on;                       /* the checkpoint that is gone on from; NULL: it begins */
    int64_t began;                       /* ranks that the run began with: they make a step, whoever goes on with it */
    int64_t batch, micro;                /* of a step: micro-batches of this rank, of so many scans */
    hct_dev *dev;
    dataset *data;
    size_t *train, *valid, *order, *share, n_train, n_valid; /* share: what of an epoch's order this rank takes */
    size_t *scans;                                           /* of the step at hand, this rank's */
    model_info info;
    params *p;
    hct_optim *optim;
    ahead next;
    method_step step, check; /* check: validation, where there is a validation split */
    loader *load;
    int lock;                                /* of the folder, rank 0's */
    int64_t per_epoch, scans_per_step, mine; /* mine: of a step's scans, this rank's */
} pretraining;

/* ---- opening a run ---- */

/* The ranks that the run began with. */
static hct_status find_beginning(pretraining *q, hct_err *err) {
    const char *last = q->from ? q->from : q->o->resume && path_is_file(q->last) ? q->last : NULL;
    char text[32];
    q->began = ranks_count();
    hct_status st = last ? checkpoint_find(last, &q->goes_on, &q->began, err) : HCT_OK;
    snprintf(text, sizeof text, "%lld", (long long)q->began);
    return st == HCT_OK ? hct_comm_agree("number of ranks that the run began with", text, err) : st;
}

/* This rank's part of a step: as many scans as before, in micro-batches of at most optim.batch. Where statistics are
 * over all ranks' micro-batches, those stay as large as they were. */
static hct_status divide_step(pretraining *q, hct_err *err) {
    const recipe *r = q->r;
    int64_t ranks = ranks_count(), all = recipe_effective_batch(r, q->began), mine = all / ranks;
    int whole = q->kind->together && q->kind->together(r);
    q->batch = r->optim.batch;
    q->micro = r->optim.accumulate;
    if (q->began == ranks) return HCT_OK;
    if (whole) q->batch = r->optim.batch * q->began / ranks;
    else
        while (mine > 0 && mine % q->batch) q->batch--;
    if (!whole) q->micro = q->batch ? mine / q->batch : 0;
    if (q->batch * q->micro * ranks != all)
        return hct_fail(err, HCT_EINVAL,
                        "%s: a step takes %lld scans (optim.batch x optim.accumulate x the %lld rank%s that the run "
                        "began with), which %lld ranks cannot share evenly%s; start another number of them",
                        q->o->run, (long long)all, (long long)q->began, q->began == 1 ? "" : "s", (long long)ranks,
                        whole ? " with batch statistics as they were" : "");
    if (q->micro > MICRO_MOST)
        return hct_fail(
            err, HCT_EINVAL,
            "%s: a step takes %lld scans, for each of %lld ranks %lld batches of %lld; %d are possible: start "
            "more ranks",
            q->o->run, (long long)all, (long long)ranks, (long long)q->micro, (long long)q->batch, MICRO_MOST);
    return HCT_OK;
}

static hct_status open_data(pretraining *q, hct_err *err) {
    const recipe *r = q->r;
    if (!(q->data = dataset_open(r->data.dataset, err))) return err->code;
    hct_status st = training_split(q->data, r, &q->train, &q->n_train, err);
    if (st == HCT_OK) st = dataset_split(q->data, r->data.validation, &q->valid, &q->n_valid, err);
    if (st == HCT_OK) st = dataset_hash(q->data, q->train, q->n_train, q->info.data, err);
    if (st == HCT_OK) st = dataset_preparation(q->data, q->train, q->n_train, q->info.preprocessing, err);
    if (st < 0) return st;
    if ((st = divide_step(q, err)) < 0) return st;
    q->scans_per_step = recipe_effective_batch(r, q->began);
    q->mine = q->batch * q->micro;
    q->per_epoch = (int64_t)q->n_train / q->scans_per_step;
    if (!q->per_epoch)
        return hct_fail(err, HCT_EINVAL,
                        "%s: split '%s' has %zu scans, one step takes optim.batch x optim.accumulate x ranks = %lld; "
                        "lower optim.batch",
                        r->data.dataset, r->data.train, q->n_train, (long long)q->scans_per_step);
    q->order = malloc(q->n_train * sizeof *q->order);
    q->share = malloc(q->n_train * sizeof *q->share);
    q->scans = calloc((size_t)q->mine, sizeof *q->scans);
    if (!q->order || !q->share || !q->scans) return hct_fail(err, HCT_ENOMEM, "out of memory");
    loader_options lo = method_input(q->kind, r, &q->info);
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

/* The encoder of model.weights, under its plain names, in place of the values that were drawn. Where a checkpoint will
 * give them anyway, only what it says of its parent. */
static hct_status take_weights(pretraining *q, hct_err *err) {
    int resumes = q->goes_on != NULL;
    const char *path = resumes ? q->goes_on : q->r->model.weights;
    model_info info;
    if (!*q->r->model.weights) return HCT_OK;
    hct_st_file *f = hct_st_open(path, err);
    hct_status st = f ? weights_info(f, path, &info, err) : err->code;
    if (st < 0 || resumes) {
        if (st == HCT_OK) memcpy(q->info.parent, info.parent, sizeof info.parent);
        hct_st_close(f);
        return st;
    }
    info.role = MODEL_ENCODER; /* heads, a decoder, a teacher stay behind */
    params *encoder = st == HCT_OK ? model_of_file(q->dev, f, path, &info, 0, err) : NULL;
    if (st == HCT_OK && !encoder) st = err->code;
    if (st == HCT_OK) st = weights_hash(encoder, q->info.parent, err);
    for (size_t i = 0; st == HCT_OK && i < encoder->n; i++)
        st = param_copy(&encoder->items[i], params_find(q->p, encoder->items[i].name), err);
    const pretext_kind *pretext = q->info.pretext.kind;
    if (st == HCT_OK && pretext && pretext->begin) st = pretext->begin(q->p, err);
    params_free(encoder);
    hct_st_close(f);
    return st;
}

static hct_status open_model(pretraining *q, hct_err *err) {
    const recipe *r = q->r;
    if (!(q->dev = device_open(r->train.device, err)) ||
        !(q->p = model_new(q->dev, &q->info, (uint64_t)r->seed, err)) || take_weights(q, err) < 0 ||
        model_precision(q->p, r, err) < 0 || !(q->optim = method_optimizer(q->kind, q->dev, r, q->p, err)))
        return err->code;
    method_setup o = {
        .dev = q->dev, .p = q->p, .r = r, .info = &q->info, .batch = q->batch, .micro = q->micro, .optim = q->optim};
    hct_status st = method_open(&q->step, q->kind, &o, err);
    if (st == HCT_OK && q->n_valid) {
        o.batch = r->optim.batch > (int64_t)q->n_valid ? (int64_t)q->n_valid : r->optim.batch;
        o.micro = 1;
        o.optim = NULL;
        st = method_open(&q->check, q->kind, &o, err);
    }
    if (st == HCT_OK && hct_ahead_possible(q->dev) && !(q->next.scans = calloc((size_t)q->mine, sizeof(size_t))))
        st = hct_fail(err, HCT_ENOMEM, "out of memory");
    return memory_hint(st, err);
}

static hct_status name_files(pretraining *q, hct_err *err) {
    q->last = path_join(q->o->run, "checkpoints/last.safetensors");
    q->best = path_join(q->o->run, "checkpoints/best.safetensors");
    q->weights = path_join(q->o->run, "weights.safetensors");
    if (q->o->fork_of) q->from = path_join(q->o->fork_of, "checkpoints/last.safetensors");
    if (!q->last || !q->best || !q->weights || (q->o->fork_of && !q->from))
        return hct_fail(err, HCT_ENOMEM, "out of memory");
    if (q->from && !path_is_file(q->from))
        return hct_fail(err, HCT_ENOTFOUND, "%s: is missing: the run has no checkpoint to go on from", q->from);
    return HCT_OK;
}

/* Refuses to start over an older run. */
static hct_status open_folder(pretraining *q, hct_err *err) {
    hct_status st = ranks_mine() ? HCT_OK : run_folder_enter(q->o->run, q->r, q->o->resume, &q->lock, err);
    if (st < 0) return st;
    if (path_is_file(q->last) && !q->o->resume)
        return hct_fail(err, HCT_EINVAL,
                        "%s: there is a run already; continue it with --resume, or name another folder", q->o->run);
    if (path_is_file(q->last)) return HCT_OK; /* resumed: recipe.yaml is there, and stays as it is */
    if (ranks_mine()) return HCT_OK;
    st = run_folder_open(q->o->run, "checkpoints", q->r, err);
    return st == HCT_OK ? training_scans_write(q->o->run, q->data, q->train, q->n_train, q->o->resume, err) : st;
}

/* A fork begins with another run's checkpoint, and the lines that its log had then. */
static hct_status open_fork(pretraining *q, hct_err *err) {
    const char *other = q->o->fork_of;
    if (!other) return HCT_OK;
    char *file = path_join(other, "recipe.yaml"), *log = path_join(other, "metrics.jsonl"),
         *own = path_join(q->o->run, "metrics.jsonl"), *text = NULL;
    size_t n = 0;
    recipe then = recipe_default();
    hct_status st = file && log && own ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = recipe_load(file, &then, err);
    if (st == HCT_OK) st = recipe_hash(&then, q->from_recipe, err);
    if (st == HCT_OK && !ranks_mine()) { /* what lies behind the checkpoint is cut off when the log is opened */
        st = hct_read_file(log, &text, &n, err);
        hct_outfile *out = st == HCT_OK ? hct_outfile_open(own, err) : NULL;
        if (st == HCT_OK && !out) st = err->code;
        if (out) hct_outfile_write(out, text, n);
        if (out) st = hct_outfile_close(out, err);
    }
    free(file);
    free(log);
    free(own);
    free(text);
    return st;
}

/* Copies follow the masters that a checkpoint gave; what must be the same on all ranks is, once all has been read. */
static hct_status ready(void *own, const run_state *s, hct_err *err) {
    pretraining *q = own;
    char step[32];
    snprintf(step, sizeof step, "step %lld", (long long)s->step);
    hct_status st = params_copy_masters(q->p, err);
    if (st == HCT_OK) st = hct_comm_agree("step to start from", step, err);
    return st < 0 || ranks_count() == 1 ? st : ranks_same_params(q->p, err);
}

/* ---- one step ---- */

static hct_status choose_epoch(void *own, int64_t epoch, int64_t done, hct_err *err) {
    pretraining *q = own;
    sampler_shuffle((uint64_t)q->r->seed, (uint64_t)epoch, q->train, q->n_train, q->order);
    ranks_share(q->order, (size_t)(q->per_epoch * q->scans_per_step), q->batch, q->share);
    q->next.filled = 0;
    return loader_start(q->load, q->share + done * q->mine, (size_t)((q->per_epoch - done) * q->mine), err);
}

/* n scans of the loader into a micro-batch of s; their numbers into scans. */
static hct_status take(pretraining *q, method_step *s, int64_t n, size_t *scans, hct_err *err) {
    for (int64_t b = 0; b < n; b++) {
        int got = loader_next(q->load, method_item(s, b), &scans[b], err);
        if (got <= 0) return got < 0 ? (hct_status)got : hct_fail(err, HCT_EINVAL, "the loader ended early");
    }
    return HCT_OK;
}

/* All micro-batches of an optimiser step; the scans' numbers into scans. */
static hct_status fill(pretraining *q, int64_t epoch, int64_t step, size_t *scans, hct_err *err) {
    const recipe *r = q->r;
    hct_status st = HCT_OK;
    for (int64_t m = 0; st == HCT_OK && m < q->micro; m++) {
        size_t *mine = scans + m * q->batch;
        const method_draw d = {
            .seed = (uint64_t)r->seed, .epoch = epoch, .step = step, .scan = mine, .valid = q->batch};
        st = take(q, &q->step, q->batch, mine, err);
        if (st == HCT_OK) st = method_fill(&q->step, m, &d, err);
    }
    return st;
}

/* Fills the next step while this one runs. What goes wrong is said when that step's turn comes. */
static void fill_ahead(pretraining *q, const trainer_at *at) {
    q->next.status = hct_ahead_begin(q->dev, &q->next.why);
    if (q->next.status == HCT_OK) q->next.status = fill(q, at->epoch, at->step + 1, q->next.scans, &q->next.why);
    hct_ahead_end(q->dev);
    q->next.filled = 1;
}

/* A step's input: what was sent ahead, or what the loader has now. */
static hct_status bring(pretraining *q, const trainer_at *at, hct_err *err) {
    if (!q->next.filled) return fill(q, at->epoch, at->step, q->scans, err);
    q->next.filled = 0;
    memcpy(q->scans, q->next.scans, (size_t)q->mine * sizeof *q->scans);
    if (q->next.status == HCT_OK) return hct_ahead_take(q->dev, err);
    *err = q->next.why;
    return memory_hint(q->next.status, err); /* its second places are taken when the first step runs */
}

static hct_status one_step(void *own, const trainer_at *at, double *ret_loss, hct_err *err) {
    pretraining *q = own;
    hct_status st = bring(q, at, err);
    if (st == HCT_OK) st = method_rates(q->kind, q->optim, q->r, at->lr, at->decay, at->epoch, err);
    if (st == HCT_OK) st = method_set(&q->step, at->epoch, at->step, at->total, err);
    if (st == HCT_OK) st = hct_start(q->step.tape, err);
    if (st == HCT_OK && at->more && q->next.scans) fill_ahead(q, at);
    return st == HCT_OK ? method_finish(&q->step, ret_loss, err) : st;
}

static const char *scan_of_step(const void *own, int64_t i) {
    const pretraining *q = own;
    return i < q->mine ? q->data->scans[q->scans[i]].id : NULL;
}

/* Adds the method's values, as the mean over ranks. */
static hct_status observe(void *own, trainer_findings *io, hct_err *err) {
    pretraining *q = own;
    size_t n = method_health_count(q->kind);
    double value[METHOD_HEALTH] = {0};
    if (!n) return HCT_OK;
    hct_status st = q->kind->health(&q->step, value, err);
    if (st == HCT_OK) st = hct_comm_mean(value, n, err);
    for (size_t i = 0; i < n; i++) trainer_found(io, q->kind->health_names[i], value[i]);
    return st;
}

/* ---- validation: masks and views are the same every time ---- */

/* The validation batches that this rank takes: every ranks-th; all, where they must be the same on all ranks. In share,
 * *ret_n scans of the first n. */
static size_t *validation_share(const pretraining *q, size_t n, size_t batch, size_t *ret_n) {
    int together = q->kind->together && q->kind->together(q->r);
    size_t *share = malloc((n + 1) * sizeof *share), count = 0, ranks = together ? 1 : (size_t)ranks_count(),
           mine = together ? 0 : (size_t)ranks_mine();
    for (size_t i = 0; share && i < n; i++)
        if (i / batch % ranks == mine) share[count++] = q->valid[i];
    *ret_n = count;
    return share;
}

/* Fills and runs one validation batch of n scans from the loader. */
static hct_status check_batch(pretraining *q, int64_t n, size_t *scans, double *ret_loss, hct_err *err) {
    const method_draw d = {.seed = (uint64_t)q->r->seed ^ STREAM_VALIDATION, .scan = scans, .valid = n};
    hct_status st = take(q, &q->check, n, scans, err);
    if (st == HCT_OK) st = method_fill(&q->check, 0, &d, err);
    return st == HCT_OK ? method_run(&q->check, ret_loss, err) : st;
}

/* A validation batch, for an error's message. */
typedef struct checked {
    const pretraining *q;
    const size_t *scans;
    int64_t n;
} checked;

static const char *scan_of_batch(const void *own, int64_t i) {
    const checked *c = own;
    return i < c->n ? c->q->data->scans[c->scans[i]].id : NULL;
}

/* Sums over this rank's validation scans: the loss, the method's values, and the number of scans. */
static hct_status check_all(pretraining *q, int64_t step, const size_t *share, size_t n, double *sum, hct_err *err) {
    int64_t batch = q->check.batch;
    size_t health = method_health_count(q->kind), *scans = calloc((size_t)batch, sizeof *scans);
    hct_status st = scans ? loader_start(q->load, share, n, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t at = 0; st == HCT_OK && at < n;) {
        int64_t now = batch < (int64_t)(n - at) ? batch : (int64_t)(n - at);
        double value[1 + METHOD_HEALTH] = {0};
        st = check_batch(q, now, scans, value, err);
        const checked batch_of = {q, scans, now};
        if (st == HCT_OK && !isfinite(*value))
            st = trainer_not_finite(step, "validation loss", *value, scan_of_batch, &batch_of, q->last, err);
        if (st == HCT_OK && health) st = q->kind->health(&q->check, value + 1, err);
        for (size_t i = 0; i <= health; i++) sum[i] += value[i] * (double)now;
        sum[1 + health] += (double)now;
        at += (size_t)now;
    }
    free(scans);
    return st;
}

/* The mean loss over the validation split, and the method's values. */
static hct_status validate(void *own, const trainer_at *at, trainer_findings *io, hct_err *err) {
    pretraining *q = own;
    size_t batch = (size_t)q->check.batch, n, health = method_health_count(q->kind);
    double all[2 + METHOD_HEALTH] = {0};
    size_t *share = validation_share(q, q->kind->whole_batches ? q->n_valid / batch * batch : q->n_valid, batch, &n);
    hct_status st = share ? method_set(&q->check, at->epoch, at->step + 1, at->total, err)
                          : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = check_all(q, at->step + 1, share, n, all, err);
    free(share);
    if (st == HCT_OK) st = hct_comm_mean(all, health + 2, err);
    for (size_t i = 0; i <= health; i++) all[i] /= all[1 + health];
    trainer_found(io, "loss", all[0]);
    for (size_t i = 0; i < health; i++) trainer_found(io, q->kind->health_names[i], all[1 + i]);
    io->score = all[0];
    if (q->kind->collapse) q->kind->collapse(q->r, all + 1, io->collapse, sizeof io->collapse);
    return st;
}

/* ---- the run ---- */

static hct_status train(pretraining *q, hct_err *err) {
    const recipe *r = q->r;
    int validates = q->n_valid && r->train.validate_every > 0;
    const trainer_job job = {.r = r,
                             .per_epoch = q->per_epoch,
                             .epochs = r->optim.epochs,
                             .scans = (double)q->scans_per_step,
                             .lr = recipe_schedule(r, q->per_epoch, q->began),
                             .validate_every = r->train.validate_every,
                             .score = q->kind->chooses ? TRAINER_LOSS : TRAINER_UNRANKED,
                             .p = q->p,
                             .optim = q->optim,
                             .info = &q->info,
                             .tape = q->step.tape,
                             .last = q->last,
                             .best = q->best,
                             .resume = q->o->resume,
                             .from = q->from,
                             .from_recipe = q->from_recipe,
                             .folder = q->o->run,
                             .progress = q->o->progress,
                             .together = 1,
                             .began = q->began};
    const trainer_work work = {.own = q,
                               .ready = ready,
                               .epoch = choose_epoch,
                               .step = one_step,
                               .scan = scan_of_step,
                               .observe = observe,
                               .validate = validates ? validate : NULL};
    run_state state;
    return trainer_run(&job, &work, &state, err);
}

/* RUN/figures/: what the method shows of the validation split's first scans, with the draws of every validation. */
static hct_status draw_figures(pretraining *q, hct_err *err) {
    double loss;
    if (!q->n_valid || !q->kind->draw || ranks_mine()) return HCT_OK;
    int64_t batch = q->check.batch;
    size_t *scans = calloc((size_t)batch, sizeof *scans);
    hct_status st =
        scans ? loader_start(q->load, q->valid, (size_t)batch, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = check_batch(q, batch, scans, &loss, err);
    char *folder = path_join(q->o->run, "figures");
    if (st == HCT_OK) st = folder ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = q->kind->draw(&q->check, folder, err);
    free(scans);
    free(folder);
    return st;
}

static void close_run(pretraining *q) {
    run_folder_leave(q->lock);
    loader_free(q->load);
    method_close(&q->step);
    method_close(&q->check);
    hct_optim_free(q->optim);
    params_free(q->p);
    device_close(q->dev);
    dataset_close(q->data);
    free(q->train);
    free(q->valid);
    free(q->order);
    free(q->share);
    free(q->scans);
    free(q->next.scans);
    free(q->last);
    free(q->best);
    free(q->weights);
    free(q->from);
    free(q->goes_on);
}

hct_status pretrain_run(const recipe *r, const pretrain_options *o, hct_err *err) {
    pretraining q = {.r = r, .o = o};
    stop_listen();
    hct_status st = name_files(&q, err);
    if (st == HCT_OK) st = method_of_recipe(r, &q.kind, err);
    if (st == HCT_OK) st = method_model(q.kind, r, &q.info, err);
    if (st == HCT_OK) st = hct_comm_agree("recipe", q.info.recipe, err);
    if (st == HCT_OK) st = find_beginning(&q, err);
    if (st == HCT_OK) st = open_data(&q, err);
    if (st == HCT_OK) st = open_model(&q, err);
    if (st == HCT_OK) st = open_folder(&q, err);
    if (st == HCT_OK) st = open_fork(&q, err);
    if (st == HCT_OK) st = train(&q, err);
    if (q.dev) hct_ahead_release(q.dev);
    if (st == HCT_OK && !ranks_mine()) st = method_save(q.kind, q.weights, q.dev, q.p, &q.info, err);
    if (st == HCT_OK) st = draw_figures(&q, err);
    close_run(&q);
    return st;
}
