/* The training loop. */
#include "training/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/log.h"
#include "run/checkpoint_writer.h"
#include "support/measure.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/stop.h"
#include "training/ranks.h"

enum { NOTE = 128 };

typedef struct loop {
    const trainer_job *job;
    const trainer_work *work;
    run_state state;
    int64_t total;
    runlog *log;  /* the job's, or our own */
    float **kept; /* [p->n]: values of the best epoch */
    int best_due; /* they, or the state of the best epoch, are to be written */
    int64_t have; /* the step of the whole checkpoint that lies there; -1: none */
    checkpoint_writer writer;
    progress bar;
    double sum;     /* of the epoch's losses */
    double written; /* when the last checkpoint was */
    double shown;   /* the last validation's score; NaN before the first */
    char note[NOTE];
} loop;

void trainer_found(trainer_findings *f, const char *key, double value) {
    if (f->n < TRAINER_VALUES) f->value[f->n++] = (runlog_value){key, value};
}

const char *trainer_last_good(const char *last) { return last && path_is_file(last) ? last : "none"; }

static int is_first_rank(const trainer_job *j) { return !j->together || !ranks_mine(); }
/* That the run began with: what a step is does not change with the number that goes on with it. */
static int64_t ranks_of(const trainer_job *j) { return !j->together ? 1 : j->began ? j->began : ranks_count(); }
static const char *score_name(const trainer_job *j) { return j->score == TRAINER_AUC ? "AUC" : "loss"; }

/* ---- the best epoch's values ---- */

static hct_status open_kept(loop *l, hct_err *err) {
    const params *p = l->job->p;
    if (!l->job->keep) return HCT_OK;
    l->kept = calloc(p->n + 1, sizeof *l->kept);
    hct_status st = l->kept ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for the best epoch");
    for (size_t i = 0; st == HCT_OK && i < p->n; i++)
        if (!(l->kept[i] = malloc(hct_tensor_bytes(p->items[i].tensor) + 1)))
            st = hct_fail(err, HCT_ENOMEM, "out of memory for the best epoch");
    return st;
}

static hct_status keep_values(loop *l, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && l->kept && i < l->job->p->n; i++)
        st = hct_tensor_read(l->job->p->items[i].tensor, l->kept[i], err);
    return st;
}

static hct_status restore_values(loop *l, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && l->kept && l->state.best_step && i < l->job->p->n; i++)
        st = hct_tensor_write(l->job->p->items[i].tensor, l->kept[i], err);
    return st;
}

/* ---- files ---- */

static checkpoint checkpoint_at(const trainer_job *j, const char *path) {
    return (checkpoint){.path = path, .p = j->p, .optim = j->optim, .info = j->info, .parts = j->parts};
}

/* A full disk, or one that fails, is told of, and training goes on: the checkpoint that is there stays, the next one is
 * tried when it is due. */
static hct_status go_on(const loop *l, int64_t step, hct_status st, const hct_err *why, hct_err *err) {
    if (st != HCT_EIO) return st < 0 ? hct_fail(err, st, "%s", why->msg) : HCT_OK;
    hct_log(HCT_LOG_WARNING, "step %lld: no checkpoint: %s; training goes on, last good checkpoint: %s",
            (long long)step, why->msg, trainer_last_good(l->job->last));
    return HCT_OK;
}

/* Waits for the checkpoint that is written beside the training. */
static hct_status settle(loop *l, hct_err *err) {
    hct_err why = {0};
    int64_t step = 0;
    hct_status st = checkpoint_writer_wait(&l->writer, &step, &why);
    return go_on(l, step, st, &why, err);
}

/* The values of the best epoch that are kept in memory, as a file of themselves. */
static hct_status write_kept(loop *l, hct_err *err) {
    const trainer_job *j = l->job;
    hct_st_entry *e = calloc(j->p->n + 1, sizeof *e);
    if (!e) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", j->best);
    for (size_t i = 0; i < j->p->n; i++) {
        const hct_view *v = hct_tensor_view(j->p->items[i].tensor);
        e[i] = (hct_st_entry){.name = j->p->items[i].name,
                              .dtype = v->dtype,
                              .ndim = v->ndim,
                              .data = l->kept[i],
                              .bytes = hct_tensor_bytes(j->p->items[i].tensor)};
        memcpy(e[i].dim, v->dim, sizeof e[i].dim);
    }
    hct_status st = weights_write(j->best, e, j->p->n, j->parts ? NULL : j->info, NULL, 0, err);
    if (st == HCT_OK) l->best_due = 0;
    free(e);
    return st;
}

/* Begins a checkpoint: of the best epoch where that is due, and, where asked for, the last one. What it says of the
 * best epoch must be on the disk before it is. Rank 0 writes for all: their tensors are the same. */
static hct_status begin_checkpoint(loop *l, int last, hct_err *err) {
    const trainer_job *j = l->job;
    last = last && j->last;
    if ((!last && !l->best_due) || !is_first_rank(j)) return HCT_OK;
    hct_status st = settle(l, err);
    if (st == HCT_OK && l->log) st = runlog_sync(l->log, err);
    if (last) l->written = measure_now();
    if (st == HCT_OK && l->best_due && j->keep) st = write_kept(l, err);
    const char *best = l->best_due ? j->best : NULL;
    if (st < 0 || (!last && !best)) return st;
    l->best_due = 0;
    return checkpoint_writer_begin(&l->writer, &l->state, best, last, err);
}

static hct_status write_or_go_on(loop *l, int last, hct_err *err) {
    hct_err why = {0};
    hct_status st = begin_checkpoint(l, last, &why);
    return go_on(l, l->state.step, st, &why, err);
}

/* The last one of this process: it is waited for, and must be whole. */
static hct_status write_and_wait(loop *l, hct_err *err) {
    int64_t step;
    hct_status st = begin_checkpoint(l, 1, err);
    return st < 0 ? st : checkpoint_writer_wait(&l->writer, &step, err);
}

static hct_status write_best(loop *l, hct_err *err) {
    l->best_due = l->job->best != NULL;
    return keep_values(l, err);
}

/* The best epoch's values go through p into those kept. */
static hct_status read_best(loop *l, hct_err *err) {
    const trainer_job *j = l->job;
    if (!j->keep || !path_is_file(j->best)) return HCT_OK;
    load_report report;
    hct_st_file *f = hct_st_open(j->best, err);
    hct_status st = f ? weights_check_bytes(f, j->best, err) : err->code;
    if (st == HCT_OK) st = params_load(j->p, f, j->best, "", &report, err);
    if (st == HCT_OK && report.missing)
        st = hct_fail(err, HCT_EFORMAT, "%s: %zu tensors are missing (first: %s)", j->best, report.missing,
                      report.first_missing);
    if (st == HCT_OK) st = keep_values(l, err);
    hct_st_close(f);
    return st;
}

static hct_status take_checkpoint(loop *l, hct_err *err) {
    const trainer_job *j = l->job;
    int older = 0;
    if (j->resume && j->last && path_is_file(j->last)) {
        const checkpoint c = checkpoint_at(j, j->last);
        hct_status st = read_best(l, err);
        if (st == HCT_OK) st = checkpoint_load(&c, &l->state, &older, err);
        if (st == HCT_OK && !older) l->have = l->state.step;
        if (st == HCT_OK && j->keep && l->state.best_step && !path_is_file(j->best))
            st = hct_fail(err, HCT_ENOTFOUND, "%s: is missing, and the best epoch with it; start a new run", j->best);
        return st;
    }
    if (!j->from) return HCT_OK;
    model_info then = *j->info;
    snprintf(then.recipe, sizeof then.recipe, "%s", j->from_recipe);
    checkpoint c = checkpoint_at(j, j->from);
    c.info = &then;
    return checkpoint_load(&c, &l->state, &older, err);
}

static hct_status open_log(loop *l, hct_err *err) {
    const trainer_job *j = l->job;
    int64_t step = l->state.step;
    if (j->log) {
        l->log = j->log;
        return j->last ? runlog_cut(j->log, j->phase, step, err) : HCT_OK;
    }
    if (!j->folder || !is_first_rank(j)) return HCT_OK;
    l->log = runlog_open(j->folder, step ? step : -1, err);
    return l->log ? HCT_OK : err->code;
}

/* ---- one step ---- */

static trainer_at place_of(const loop *l) {
    const trainer_job *j = l->job;
    int64_t step = l->state.step, done = step % j->per_epoch;
    return (trainer_at){.step = step,
                        .total = l->total,
                        .epoch = step / j->per_epoch,
                        .done = done,
                        .more = done + 1 < j->per_epoch,
                        .lr = schedule_lr(&j->lr, step),
                        .decay = recipe_weight_decay(j->r, step, l->total)};
}

hct_status trainer_not_finite(int64_t step, const char *what, double loss, const char *(*scan)(const void *, int64_t),
                              const void *own, const char *last, hct_err *err) {
    char names[600] = "";
    const char *id;
    for (int64_t i = 0; scan && (id = scan(own, i)); i++) {
        size_t used = strlen(names);
        if (used + 80 > sizeof names) break;
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", id);
    }
    return hct_fail(err, HCT_EINVAL, "step %lld: the %s is %g%s%s; last good checkpoint: %s", (long long)step, what,
                    loss, *names ? "; scans: " : "; lower optim.lr", names, trainer_last_good(last));
}

/* *ret_asked: the signal that any rank was sent, or 0. */
static hct_status one_step(loop *l, const trainer_at *at, double *ret_loss, int *ret_asked, hct_err *err) {
    double mine = 0;
    *ret_asked = stop_asked();
    hct_status st = l->work->step(l->work->own, at, &mine, err);
    *ret_loss = mine;
    if (st == HCT_OK && l->job->together) st = ranks_step(ret_loss, ret_asked, err);
    if (st == HCT_OK && (!isfinite(mine) || !isfinite(*ret_loss))) st = settle(l, err);
    if (st == HCT_OK && !isfinite(mine))
        st = trainer_not_finite(at->step + 1, "loss", mine, l->work->scan, l->work->own, l->job->last, err);
    if (st == HCT_OK && !isfinite(*ret_loss))
        st = hct_fail(err, HCT_EINVAL, "step %lld: the loss of another rank is not finite", (long long)at->step + 1);
    return st;
}

static hct_status log_step(loop *l, const trainer_at *at, double loss, hct_err *err) {
    const trainer_job *j = l->job;
    int64_t step = l->state.step;
    double norm = 0;
    if (trainer_by_epoch(j) || j->r->train.log_every <= 0 || step % j->r->train.log_every) return HCT_OK;
    hct_status st = hct_optim_norm(j->optim, j->tape, &norm, err);
    trainer_findings f = {0};
    trainer_found(&f, "epoch", (double)at->epoch + 1);
    trainer_found(&f, "loss", loss);
    trainer_found(&f, "lr", at->lr);
    trainer_found(&f, "grad_norm", norm);
    if (st == HCT_OK && l->work->observe) st = l->work->observe(l->work->own, &f, err);
    if (!l->log) return st;
    runlog_write(l->log, step, "train", f.value, f.n);
    runlog_timing(l->log, step, "train/scans_per_second", progress_rate(&l->bar));
    return st;
}

/* ---- the end of an epoch ---- */

static int is_better(const loop *l, double score) {
    if (l->job->score == TRAINER_LOSS) return !(score >= l->state.best);
    return isnan(score) || !(score <= l->state.best);
}

static hct_status judge(loop *l, double score, hct_err *err) {
    const trainer_job *j = l->job;
    if (j->score == TRAINER_LOSS && !isfinite(score))
        return trainer_not_finite(l->state.step, "validation loss", score, NULL, NULL, j->last, err);
    l->shown = score;
    if (j->score == TRAINER_UNRANKED) return HCT_OK;
    l->state.since_best++;
    if (!is_better(l, score)) return HCT_OK;
    if (!isnan(score)) l->state.best = score;
    l->state.best_step = l->state.step;
    l->state.since_best = 0;
    return write_best(l, err);
}

/* One line of an epoch that is logged as a whole. */
static hct_status log_epoch(loop *l, const trainer_at *at, const trainer_findings *found, hct_err *err) {
    const trainer_job *j = l->job;
    double norm = 0;
    if (!l->log) return HCT_OK;
    hct_status st = hct_optim_norm(j->optim, j->tape, &norm, err);
    trainer_findings f = {0};
    trainer_found(&f, "epoch", (double)at->epoch + 1);
    trainer_found(&f, "loss", l->sum / (double)j->per_epoch);
    for (size_t i = 0; i < found->n; i++) trainer_found(&f, found->value[i].key, found->value[i].value);
    trainer_found(&f, "lr", at->lr);
    trainer_found(&f, "grad_norm", norm);
    runlog_write(l->log, l->state.step, j->phase, f.value, f.n);
    return st;
}

static hct_status end_epoch(loop *l, const trainer_at *at, hct_err *err) {
    const trainer_job *j = l->job;
    trainer_findings found = {0};
    int last = at->epoch + 1 == j->epochs,
        due = l->work->validate && (last || (j->validate_every > 0 && (at->epoch + 1) % j->validate_every == 0));
    int whole = trainer_by_epoch(j);
    if (!whole) trainer_found(&found, "epoch", (double)at->epoch + 1);
    /* where it finds a loss that is not finite, it names the last good checkpoint: the first one is waited for */
    hct_status st = due && j->last && !path_is_file(j->last) ? settle(l, err) : HCT_OK;
    if (st == HCT_OK && due) st = l->work->validate(l->work->own, at, &found, err);
    if (st < 0) return st;
    if (whole) st = log_epoch(l, at, &found, err);
    else if (due && l->log) runlog_write(l->log, l->state.step, "validation", found.value, found.n);
    if (*found.collapse && is_first_rank(j))
        hct_log(HCT_LOG_WARNING, "%s%sstep %lld: collapse: %s", j->name ? j->name : "", j->name ? ": " : "",
                (long long)l->state.step, found.collapse);
    return st == HCT_OK && due ? judge(l, found.score, err) : st;
}

static int has_stalled(const loop *l) {
    return l->job->r->train.early_stop > 0 && l->state.since_best >= l->job->r->train.early_stop;
}

/* ---- the loop ---- */

static void show(loop *l, double loss) {
    int n = snprintf(l->note, sizeof l->note, "loss %.5f", loss);
    if (!isnan(l->shown))
        snprintf(l->note + n, sizeof l->note - (size_t)n, "  validation %s %.4f", score_name(l->job), l->shown);
    progress_show(&l->bar, trainer_by_epoch(l->job) ? l->state.step / l->job->per_epoch : l->state.step, l->note);
}

static hct_status stopped(const loop *l, int asked, hct_err *err) {
    return hct_fail(err, HCT_EINTERRUPTED, "signal %d: stopped after step %lld of %lld%s", asked,
                    (long long)l->state.step, (long long)l->total, l->job->last ? "; continue with --resume" : "");
}

/* What follows a step: its line, at the end of an epoch validation and best, the checkpoint, the stop. */
static hct_status after_step(loop *l, const trainer_at *at, double loss, int asked, hct_err *err) {
    const trainer_job *j = l->job;
    int whole = trainer_by_epoch(j);
    int64_t step = ++l->state.step;
    l->sum += loss;
    hct_status st = log_step(l, at, loss, err);
    if (st == HCT_OK && !at->more) st = end_epoch(l, at, err);
    if (st < 0) return st;
    show(l, loss);
    int every = !whole && j->r->train.checkpoint_every > 0 && step % j->r->train.checkpoint_every == 0;
    if (!j->together || ranks_count() == 1) asked = stop_asked();
    if (st == HCT_OK && checkpoint_writer_ended(&l->writer)) st = settle(l, err);
    if (st < 0) return st;
    if (whole && at->more) return HCT_OK;
    int finished = step == l->total || has_stalled(l);
    int due = every || (!at->more && (finished || measure_now() - l->written >= j->spare));
    st = finished || asked ? write_and_wait(l, err) : write_or_go_on(l, due, err);
    if (st == HCT_OK && finished && is_first_rank(j)) checkpoint_writer_finish(&l->writer);
    return st == HCT_OK && asked && !finished ? stopped(l, asked, err) : st;
}

static hct_status train(loop *l, hct_err *err) {
    hct_status st = HCT_OK;
    while (st == HCT_OK && l->state.step < l->total && !has_stalled(l)) {
        trainer_at at = place_of(l);
        l->sum = 0;
        st = l->work->epoch(l->work->own, at.epoch, at.done, err);
        for (int more = 1; st == HCT_OK && more; more = at.more) {
            double loss = 0;
            int asked = 0;
            at = place_of(l);
            if ((st = one_step(l, &at, &loss, &asked, err)) == HCT_OK) st = after_step(l, &at, loss, asked, err);
        }
    }
    return st;
}

/* The rate that the scaling rule makes of the recipe's. */
static void say_rate(const loop *l) {
    const trainer_job *j = l->job;
    const recipe *r = j->r;
    FILE *f = is_first_rank(j) ? j->progress : NULL;
    if (f && r->optim.scale_lr_by_batch && l->state.step < l->total)
        fprintf(f, "learning rate %g x %lld/256 = %g (optim.scale_lr_by_batch)\n", r->optim.lr,
                (long long)recipe_effective_batch(r, ranks_of(j)), j->lr.base);
}

static void say_result(const loop *l) {
    const trainer_job *j = l->job;
    FILE *f = is_first_rank(j) ? j->progress : NULL;
    const char *name = j->name ? j->name : "", *colon = j->name ? ": " : "";
    if (f && j->score != TRAINER_UNRANKED && l->state.best_step)
        fprintf(f, "%s%sbest validation %s %.4f after step %lld of %lld\n", name, colon, score_name(j), l->state.best,
                (long long)l->state.best_step, (long long)l->state.step);
    else if (f && !isnan(l->shown))
        fprintf(f, "%s%svalidation %s %.4f after step %lld\n", name, colon, score_name(j), l->shown,
                (long long)l->state.step);
}

static void open_bar(loop *l) {
    const trainer_job *j = l->job;
    int whole = trainer_by_epoch(j);
    FILE *f = is_first_rank(j) ? j->progress : NULL;
    if (whole)
        l->bar = progress_begin(f, "epoch", l->state.step / j->per_epoch, j->epochs, "scans",
                                j->scans * (double)j->per_epoch);
    else l->bar = progress_begin(f, "step", l->state.step, l->total, "scans", j->scans);
}

hct_status trainer_run(const trainer_job *job, const trainer_work *work, run_state *ret, hct_err *err) {
    loop l = {.job = job, .work = work, .total = job->per_epoch * job->epochs, .shown = NAN, .have = -1};
    hct_err late = {0, ""};
    l.state = (run_state){.best = NAN, .ranks = ranks_of(job)};
    hct_status st = open_kept(&l, err);
    if (st == HCT_OK) st = take_checkpoint(&l, err);
    if (st == HCT_OK && work->ready) st = work->ready(work->own, &l.state, err);
    if (st == HCT_OK) st = open_log(&l, err);
    const checkpoint c = checkpoint_at(job, job->last);
    checkpoint_writer_open(&l.writer, &c, job->r->train.keep, l.have);
    if (st == HCT_OK) {
        say_rate(&l);
        open_bar(&l);
        l.written = measure_now();
        st = train(&l, err);
        if (st == HCT_OK) progress_end(&l.bar, l.note);
        else progress_break(&l.bar);
    }
    hct_status settled = settle(&l, &late); /* what a failure has left */
    if (st == HCT_OK && settled < 0) st = hct_fail(err, settled, "%s", late.msg);
    checkpoint_writer_close(&l.writer);
    if (st == HCT_OK) say_result(&l);
    if (st == HCT_OK) st = restore_values(&l, err);
    hct_status closed = job->log ? HCT_OK : runlog_close(l.log, &late);
    if (st == HCT_OK && closed < 0) st = hct_fail(err, closed, "%s", late.msg);
    for (size_t i = 0; l.kept && i < job->p->n; i++) free(l.kept[i]);
    free(l.kept);
    *ret = l.state;
    return st;
}
