/* The training loop: epochs, steps, log, validation, best epoch, early stop, checkpoints, stop by a signal, resume.
 * Whoever trains gives it the work of one step and of one validation, and the loop does the rest alike for all.
 *
 *   trainer_job job = {.r = r, .p = p, .optim = optim, .info = &info, .tape = tape, .last = path, ...};
 *   trainer_work work = {.own = &mine, .epoch = choose_scans, .step = one_step, .validate = validate};
 *   trainer_run(&job, &work, &state, &err);
 *
 * A run that is killed and resumed writes the same metrics.jsonl and the same weights, bit for bit: all random
 * numbers are functions of seed, epoch and step, and lines of a step are on the disk before the checkpoint of that
 * step. Checkpoints are written beside the training (run/checkpoint_writer.h); what a full disk or one that fails does
 * not take is told of, and training goes on: only the last one must be whole. */
#ifndef TRAINING_TRAINER_H
#define TRAINING_TRAINER_H

#include <stdio.h>

#include "recipe/recipe.h"
#include "run/checkpoint.h"
#include "run/runlog.h"

enum { TRAINER_VALUES = 16 };

/* One optimiser step, before it is done. */
typedef struct trainer_at {
    int64_t step, total; /* from 0; of the run */
    int64_t epoch;       /* from 0 */
    int64_t done;        /* steps of this epoch that are done */
    int more;            /* another of this epoch follows */
    double lr, decay;    /* the schedule's */
} trainer_at;

/* What a validation found. */
typedef struct trainer_findings {
    runlog_value value[TRAINER_VALUES]; /* logged in this order */
    size_t n;
    double score;       /* which epoch is best: trainer_job.score says of what kind */
    char collapse[512]; /* how training has collapsed, and what to change; "": it has not */
} trainer_findings;

void trainer_found(trainer_findings *f, const char *key, double value);

typedef struct trainer_work {
    void *own;
    /* After resuming, before the first step; NULL: nothing. */
    hct_status (*ready)(void *own, const run_state *, hct_err *);
    /* Chooses an epoch's scans. Its first `done` steps are done already (resumed). */
    hct_status (*epoch)(void *own, int64_t epoch, int64_t done, hct_err *);
    hct_status (*step)(void *own, const trainer_at *, double *ret_loss, hct_err *);
    /* The i-th scan of the last step, by id; NULL behind the last. Said where a loss is not finite. May be NULL. */
    const char *(*scan)(const void *own, int64_t i);
    /* Adds values to a step's line; NULL: none. */
    hct_status (*observe)(void *own, trainer_findings *io, hct_err *);
    /* After an epoch; NULL: there is nothing to validate on. */
    hct_status (*validate)(void *own, const trainer_at *, trainer_findings *io, hct_err *);
} trainer_work;

typedef enum trainer_score {
    TRAINER_UNRANKED, /* validation says nothing of which epoch is best: the last one is the result */
    TRAINER_LOSS,     /* lower is better */
    TRAINER_AUC       /* higher is better; where undefined (NaN), the last epoch */
} trainer_score;

typedef struct trainer_job {
    const recipe *r;  /* log_every, checkpoint_every, keep, early_stop, weight decay */
    const char *name; /* of what is trained, for people; NULL: no need to say */
    int64_t per_epoch, epochs;
    double scans; /* of a step, for the rate */
    lr_schedule lr;
    int64_t validate_every; /* epochs; the last is validated in any case */
    trainer_score score;

    params *p;
    hct_optim *optim;
    const model_info *info;
    hct_tape *tape; /* of the step: for the gradients' norm */
    int parts;      /* checkpoint.h */

    const char *last, *best; /* checkpoints; NULL: none are written */
    int keep;     /* the best epoch's values are kept in memory, and in p at the end; best then holds them alone */
    int resume;   /* continue from last where it is */
    double spare; /* seconds that lie between two checkpoints at the ends of epochs, at least; 0: each is written */
    const char *from,
        *from_recipe; /* NULL, or where there is no last yet: a checkpoint of another run, by this recipe's
                                       hash (--fork) */

    const char *folder; /* where metrics.jsonl is, in phases "train" and "validation"; NULL: */
    runlog *log;        /* one that is open (NULL: no log): one line an epoch, under this phase */
    const char *phase;
    FILE *progress; /* NULL: quiet */
    int together;   /* all ranks of the job train this one model */
    int64_t began;  /* ranks that the run began with, where they train it together; 0: those of this job */
} trainer_job;

/* Whether the steps of a run are told apart by epoch alone: stops and checkpoints lie between epochs, one line each. */
static inline int trainer_by_epoch(const trainer_job *j) { return !j->folder; }

/* HCT_EINTERRUPTED: a signal asked to stop, and the checkpoint is written. HCT_EINVAL: a loss that is not finite; step,
 * scans and last good checkpoint are named. */
hct_status trainer_run(const trainer_job *job, const trainer_work *work, run_state *ret, hct_err *err);
/* Fails because a loss of step `step` (from 1; what: "loss", "validation loss") is not finite. scan: as
 * trainer_work's. */
hct_status trainer_not_finite(int64_t step, const char *what, double loss, const char *(*scan)(const void *, int64_t),
                              const void *own, const char *last, hct_err *err);
/* "runs/a/checkpoints/last.safetensors", or "none". */
const char *trainer_last_good(const char *last);

#endif
