/* Weights files: safetensors whose metadata hold everything needed to use them, so that nobody has to guess.
 *
 * __metadata__: "format" = "headct-weights/1", "headct" = one JSON object: kind, model (sizes), input (windows,
 * crop, image), tasks, provenance (SHA-256 of recipe, preprocessing and data). docs/data-formats.md lists the keys. */
#ifndef MODELS_WEIGHTS_H
#define MODELS_WEIGHTS_H

#include "imaging/model_input.h"
#include "models/dino.h"
#include "models/mae.h"

enum { MODEL_WINDOWS = 8, MODEL_TASKS = 32, MODEL_NAME = 64, MODEL_HASH = 65 };

typedef enum model_kind {
    MODEL_MAE,        /* encoder and decoder */
    MODEL_VIT,        /* encoder alone, last norm with eps 1e-6 */
    MODEL_CLASSIFIER, /* encoder and a head a task, "head.TASK." */
    MODEL_DINO        /* student and teacher with their heads, the centre: what pre-training continues from */
} model_kind;

typedef struct model_info {
    model_kind kind;
    mae_config mae; /* its encoder describes every kind */
    dino_head dino; /* MODEL_DINO's */
    int n_windows;
    hu_window window[MODEL_WINDOWS]; /* one input channel each */
    int64_t crop;                    /* voxels of 1 mm */
    int pool_mean;                   /* an embedding is the mean of patch tokens instead of the class token */
    int64_t probe_heads;             /* of attentive heads, which take all tokens; 0: linear heads on the embedding */
    int n_tasks;
    char task[MODEL_TASKS][MODEL_NAME];
    char recipe[MODEL_HASH], preprocessing[MODEL_HASH], data[MODEL_HASH], parent[MODEL_HASH]; /* SHA-256, "" unknown */
} model_info;

/* Writes p with info in its metadata; extra (may be NULL) are further entries, e.g. optimiser state, extra_meta
 * further pairs. */
hct_status weights_save(const char *path, const params *p, const model_info *info, const hct_st_entry *extra,
                        size_t n_extra, const hct_st_pair *extra_meta, size_t n_meta, hct_err *err);
/* Reads the description. HCT_EFORMAT where the file has none: it names what to do. */
hct_status weights_info(const hct_st_file *f, const char *path, model_info *ret, hct_err *err);
/* SHA-256 over names, shapes and bytes of all tensors: equal for equal weights, whatever the metadata. */
hct_status weights_hash(const params *p, char ret[MODEL_HASH], hct_err *err);
/* The description as the JSON text that goes into metadata; free it. NULL and err where memory ran out. */
char *weights_describe(const model_info *info, hct_err *err);

#endif
