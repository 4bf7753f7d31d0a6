/* What gives a scan its probabilities: one weights file, or the models of a run that trained one a task, all over
 * the same input.
 *
 *   classifiers c;
 *   classifiers_open(dev, NULL, "runs/finetune", RUN_F32, &c, &err);
 *   classifiers_compile(&c, batch, scans, &err);
 *   ... c.encoder[0 .. c.n) ...
 *   classifiers_free(&c); */
#ifndef INFERENCE_CLASSIFIERS_H
#define INFERENCE_CLASSIFIERS_H

#include "inference/embedder.h"
#include "inference/precision.h"

typedef struct classifier {
    char *path;
    params *p;
    model_info info;
    char weights[MODEL_HASH];
} classifier;

typedef struct classifiers {
    hct_dev *dev;
    run_precision precision;
    classifier *item;   /* [n] */
    embedder *embedder; /* [n], after classifiers_compile */
    size_t n;
    int n_tasks;                   /* of all together, in the order of the items */
    const char *task[MODEL_TASKS]; /* borrowed from the items */
    const char *path[MODEL_TASKS]; /* the file that says it */
    /* of several: SHA-256 over the models' hashes one after the other; of RUN/recipe.yaml */
    char weights[MODEL_HASH], recipe[MODEL_HASH];
} classifiers;

/* weights: a file; else run: RUN/weights.safetensors, or where that is missing RUN/TASK/weights.safetensors of the
 * tasks in RUN/recipe.yaml (none there: RUN/predictions.csv's), in their order. HCT_ENOTFOUND: neither, or a task
 * that has no model yet. HCT_EINVAL: no classifier, models whose inputs differ. */
hct_status classifiers_open(hct_dev *dev, const char *weights, const char *run, run_precision precision,
                            classifiers *ret, hct_err *err);
hct_status classifiers_compile(classifiers *, int64_t batch, int64_t scans, hct_err *err); /* as embedder_new */
void classifiers_free(classifiers *);

#endif
