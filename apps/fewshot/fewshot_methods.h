/* The methods of few-shot evaluation: from the examples of a draw to scores of the test rows. */
#ifndef FEWSHOT_FEWSHOT_METHODS_H
#define FEWSHOT_FEWSHOT_METHODS_H

#include "probe/features.h"
#include "fewshot/fewshot_draw.h"
#include "fewshot/fewshot_run.h"
#include "finetune/finetune.h"
#include "run/runlog.h"

typedef struct fewshot_methods {
    const recipe *r;
    const fewshot_options *o;
    hct_dev *dev;
    fewshot_draw *draw;
    const embedded *given; /* embeddings made elsewhere */
    runlog *log;           /* of linear probes */
    features f;            /* of every row of the trial; empty where only fine-tuning is asked for */
    finetune_base base;    /* open where fine-tuning is asked for */
    float *x, *q;          /* support and test rows */
    int64_t *y;            /* of the support */
    double *all, *wide;    /* [t->n]; [n_test, 2] */
    double *score;         /* [n_test]: the higher, the likelier positive */
} fewshot_methods;

/* Reads the features, opens the fine-tuning's base, as o->use needs them. dev, draw, given and log are
 * borrowed. */
hct_status fewshot_methods_new(fewshot_methods *, const recipe *, const fewshot_options *, hct_dev *, fewshot_draw *,
                               const embedded *given, runlog *, hct_err *);
void fewshot_methods_free(fewshot_methods *);
/* Gathers the test rows of the draw's task. */
void fewshot_methods_task(fewshot_methods *);
/* Fills score from the draw's support. name: of this draw, "K-DRAW", for what is written of it; stream: its number,
 * for random draws. */
hct_status fewshot_methods_apply(fewshot_methods *, fewshot_method, const char *name, uint64_t stream, hct_err *);
/* What a finished draw needs no longer: a fine-tuning's checkpoints. */
hct_status fewshot_methods_clean(const fewshot_methods *, fewshot_method, const char *name, hct_err *);

#endif
