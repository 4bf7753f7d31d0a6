/* Embeddings (class tokens) of a cohort in one safetensors file.
 *
 * Tensor `embeddings` F32 [n, width]; metadata: format "headct-embeddings/1", scans, patients, splits and
 * input_sha256 (JSON lists of n texts), weights_sha256, recipe_sha256, preprocessing_sha256, model (the weights'
 * description). docs/data-formats.md has the whole list. */
#ifndef INFERENCE_EMBED_H
#define INFERENCE_EMBED_H

#include "inference/cohort.h"
#include "inference/model_file.h"

typedef struct embed_options {
    model_file_options model;
    const char *device, *out;
    const char *output; /* of the encoder's (encoder_kind.outputs); NULL: its embedding */
    double every;       /* seconds between saves of what is there so far */
    FILE *progress;     /* NULL: quiet */
} embed_options;

/* Scans that out holds already are not run again (*ret_kept); HCT_EINVAL where they were made otherwise, or are not
 * of this cohort. Any stop but kill -9 saves what is there. HCT_EINTERRUPTED: see cohort_run. */
hct_status embed_run(const embed_options *o, cohort *c, size_t *ret_kept, hct_err *err);

#endif
