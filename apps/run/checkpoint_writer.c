/* The thread that writes a checkpoint while training goes on. */
#include "run/checkpoint_writer.h"

#include <signal.h>

#include "run/checkpoint_files.h"

void checkpoint_writer_open(checkpoint_writer *w, const checkpoint *c, int64_t keep, int64_t have) {
    *w = (checkpoint_writer){.of = *c, .keep = keep, .have = have};
}

/* While a run goes there is always one before the last, to fall back to. */
static int64_t older_kept(const checkpoint_writer *w) { return w->keep > 2 ? w->keep - 1 : 1; }

static hct_status write_last(checkpoint_writer *w, hct_err *err) {
    if (w->have >= 0 && w->have != w->step) checkpoint_keep(w->of.path, w->have);
    hct_status st = checkpoint_write(w->copy, w->of.path, err);
    if (st < 0) return st;
    w->have = w->step;
    checkpoint_prune(w->of.path, w->step, older_kept(w));
    return HCT_OK;
}

static void *write_files(void *own) {
    checkpoint_writer *w = own;
    w->status = w->best ? checkpoint_write(w->copy, w->best, &w->why) : HCT_OK;
    w->owed = w->status < 0;
    if (w->status == HCT_OK && w->last) w->status = write_last(w, &w->why);
    atomic_store(&w->done, 1);
    return NULL;
}

/* Signals are the training's: none ends up here. Where no thread can be had, the caller writes. */
static void begin_writing(checkpoint_writer *w) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->threaded = pthread_create(&w->thread, NULL, write_files, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!w->threaded) write_files(w);
}

hct_status checkpoint_writer_begin(checkpoint_writer *w, const run_state *s, const char *best, int last, hct_err *err) {
    if (!w->copy && !(w->copy = checkpoint_copy_new(&w->of, err))) return HCT_ENOMEM;
    hct_status st = w->owed && !best ? checkpoint_write(w->copy, w->best, err) : HCT_OK;
    if (st < 0) return st;
    w->owed = 0;
    if ((st = checkpoint_take(w->copy, s, err)) < 0) return st;
    w->step = s->step;
    w->best = best;
    w->last = last;
    w->status = HCT_OK;
    w->why = (hct_err){0};
    atomic_store(&w->done, 0);
    w->running = 1;
    begin_writing(w);
    return HCT_OK;
}

int checkpoint_writer_ended(checkpoint_writer *w) { return w->running && atomic_load(&w->done); }

hct_status checkpoint_writer_wait(checkpoint_writer *w, int64_t *ret_step, hct_err *err) {
    if (!w->running) return HCT_OK;
    if (w->threaded) pthread_join(w->thread, NULL);
    w->running = 0;
    *ret_step = w->step;
    return w->status < 0 ? hct_fail(err, w->status, "%s", w->why.msg) : HCT_OK;
}

void checkpoint_writer_finish(checkpoint_writer *w) {
    if (w->of.path && w->have >= 0) checkpoint_prune(w->of.path, w->have, w->keep - 1);
}

void checkpoint_writer_close(checkpoint_writer *w) {
    int64_t step;
    (void)checkpoint_writer_wait(w, &step, NULL);
    checkpoint_copy_free(w->copy);
    w->copy = NULL;
}
