/* Checkpoints written beside the training: the state is copied to the host, then a thread writes it, while training
 * goes on with the next step. One is written at a time; whoever comes early with the next waits.
 *
 *   checkpoint_writer w;
 *   checkpoint_writer_open(&w, &c, keep, step, &err);           c.path: the last one's
 *   ... after a step: checkpoint_writer_begin(&w, &state, best, 1, &err);
 *   ... after each:   if (checkpoint_writer_ended(&w)) st = checkpoint_writer_wait(&w, &step, &err);
 *   checkpoint_writer_close(&w);
 */
#ifndef RUN_CHECKPOINT_WRITER_H
#define RUN_CHECKPOINT_WRITER_H

#include <pthread.h>
#include <stdatomic.h>

#include "run/checkpoint.h"

typedef struct checkpoint_writer {
    checkpoint of;         /* path: the last one's; NULL: none is written */
    checkpoint_copy *copy; /* made when the first is written, and kept */
    int64_t keep;          /* checkpoints that a run has at its end, the last one among them */
    int64_t have;          /* the step of what lies at of.path; -1: nothing, or nothing whole */
    int64_t step;          /* of the copy */
    const char *best;      /* written first, under this name; borrowed; NULL: not */
    int last;              /* whether it is written as the last one */
    int owed;              /* best could not be written: the copy still holds it, and no other goes before it */
    int running, threaded; /* running: begun, and not waited for */
    pthread_t thread;
    atomic_int done;
    hct_status status; /* of the one that is written, and why */
    hct_err why;
} checkpoint_writer;

/* have: the step of the whole checkpoint that lies at c->path, -1: none. */
void checkpoint_writer_open(checkpoint_writer *, const checkpoint *c, int64_t keep, int64_t have);
/* Copies the state, and begins to write it: under `best` (NULL: not) and, where last is set and that is done, as the
 * last one, so that the last one never speaks of a best one that is not there. An earlier one must have been waited
 * for. */
hct_status checkpoint_writer_begin(checkpoint_writer *, const run_state *s, const char *best, int last, hct_err *err);
/* Whether one was begun, and nothing more is to be waited for. */
int checkpoint_writer_ended(checkpoint_writer *);
/* Waits for the one that was begun; its status. *ret_step: which it was. HCT_OK where none was. */
hct_status checkpoint_writer_wait(checkpoint_writer *, int64_t *ret_step, hct_err *err);
/* The run has ended: older ones than it keeps are removed. */
void checkpoint_writer_finish(checkpoint_writer *);
/* Waits, and frees the copy. */
void checkpoint_writer_close(checkpoint_writer *);

#endif
