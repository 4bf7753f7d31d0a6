/* A frozen encoder over many scans: images in, embeddings (class tokens, or means of patch tokens) out, in batches
 * of one size through one compiled program. */
#ifndef INFERENCE_EMBEDDER_H
#define INFERENCE_EMBEDDER_H

#include "dataset/dataset.h"
#include "models/weights.h"

typedef struct embedder {
    hct_dev *dev;
    params *p; /* borrowed */
    model_info info;
    int64_t batch;
    size_t image_floats; /* of one scan */
    hct_tape *tape;
    hct_tensor *input; /* F32 [batch, C, D0, D1, D2] */
    /* [batch, width]; where info.probe_heads is set and info is no classifier: all tokens [batch, N, width] */
    hct_id cls;
    size_t row;                 /* floats of a scan in cls */
    hct_id logits[MODEL_TASKS]; /* classifier: [batch, 2] of each task */
    float *host;                /* [batch, image_floats]: write images here before embedder_run */
} embedder;

/* batch: at most; encoders with inputs of their own (large ones) get 1. scans: how many it will see in all. Where they
 * make many batches, the weights are also kept as products read them (hct_keep_packed). */
hct_status embedder_new(embedder *, hct_dev *, params *, const model_info *, int64_t batch, int64_t scans, hct_err *);
/* The same for one study of `series` series at a time (encoder_kind.studies): host is [series, image_floats]. */
hct_status embedder_new_study(embedder *, hct_dev *, params *, const model_info *, int64_t series, hct_err *);
void embedder_free(embedder *);
/* Runs the first n images of host. cls: [n, row] or NULL; probability: [n, n_tasks] or NULL (classifiers). */
hct_status embedder_run(embedder *, int64_t n, float *cls, double *probability, hct_err *);

/* Class tokens of scans[0..n) of a dataset -> [n, row]. threads, disk_cache: as loader_options; progress may be
 * NULL. */
hct_status embedder_dataset(embedder *, const dataset *, const size_t *scans, size_t n, int threads, int disk_cache,
                            FILE *progress, float *ret, hct_err *);

#endif
