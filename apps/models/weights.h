/* Weights files: safetensors whose metadata hold everything needed to use them, so that nobody has to guess.
 *
 * __metadata__: "format" = "headct-weights/2", "headct" = one JSON object: kind, encoder (its kind and sizes), input
 * (windows, crop, size, ...), tasks, provenance (SHA-256 of recipe, preprocessing and data). docs/data-formats.md
 * lists the keys. Files of "headct-weights/1", which know vision transformers alone, are read too. */
#ifndef MODELS_WEIGHTS_H
#define MODELS_WEIGHTS_H

#include "models/pretext.h"

enum { MODEL_TASKS = 32, MODEL_NAME = 64, MODEL_HASH = 65 };

typedef enum model_role {
    MODEL_ENCODER,     /* an encoder alone */
    MODEL_CLASSIFIER,  /* an encoder and a head a task, "head.TASK." */
    MODEL_PRETRAINING, /* an encoder and what its pretext task adds: what pre-training continues from */
} model_role;

typedef struct model_info {
    model_role role;
    encoder encoder;
    pretext pretext;     /* MODEL_PRETRAINING's */
    int plain;           /* read from tensors alone: windows and crop are not known */
    int pool_mean;       /* an embedding is the mean of patch tokens instead of the class token */
    int64_t probe_heads; /* of attentive heads, which take all tokens; HEAD_MIL; 0: linear heads on the embedding */
    int n_tasks;
    char task[MODEL_TASKS][MODEL_NAME];
    char recipe[MODEL_HASH], preprocessing[MODEL_HASH], data[MODEL_HASH], parent[MODEL_HASH]; /* SHA-256, "" unknown */
} model_info;

/* Writes p with info in its metadata (NULL: tensors that are no whole model, without a description); extra_meta (may be
 * NULL) are further pairs. */
hct_status weights_save(const char *path, const params *p, const model_info *info, const hct_st_pair *extra_meta,
                        size_t n_meta, hct_err *err);
/* The same of entries on the host: a model's tensors, and what else goes with them (optimiser state). */
hct_status weights_write(const char *path, const hct_st_entry *entries, size_t n, const model_info *info,
                         const hct_st_pair *extra_meta, size_t n_meta, hct_err *err);
/* Reads the description, and holds it to the tensors. HCT_EFORMAT where the file has none, or one that does not fit: it
 * names what to do. A pretext task that this headct does not know is left out: the file is then its encoder. */
hct_status weights_info(const hct_st_file *f, const char *path, model_info *ret, hct_err *err);
/* Reads a description's text; held to nothing. format: as it stands beside it. */
hct_status weights_read_description(const char *text, const char *format, model_info *ret, hct_err *err);
/* HCT_EFORMAT where the bytes of the tensors are not those that weights_save wrote; HCT_OK where the file does not tell
 * (written by an earlier headct). Reads all of it. */
hct_status weights_check_bytes(const hct_st_file *f, const char *path, hct_err *err);
/* SHA-256 over names, shapes and bytes of all tensors: equal for equal weights, whatever the metadata. */
hct_status weights_hash(const params *p, char ret[MODEL_HASH], hct_err *err);
/* The description as the JSON text that goes into metadata; free it. NULL and err where memory ran out. */
char *weights_describe(const model_info *info, hct_err *err);
/* Logs a warning where these weights, and scans with this hash of their preparation (hex; "": not known), are known to
 * have been prepared in different ways: a model is then shown what it was not trained on. */
void weights_warn_preparation(const char *path, const model_info *info, const char *scans);
/* The format that weights_describe writes. */
#define WEIGHTS_FORMAT "headct-weights/2"

#endif
