/* Weights to run: a headct weights file, which describes itself, or a plain safetensors file with an encoder's keys,
 * whose sizes are read from the tensors' shapes. */
#ifndef INFERENCE_MODEL_FILE_H
#define INFERENCE_MODEL_FILE_H

#include "inference/precision.h"
#include "models/weights.h"
#include "recipe/recipe.h"

typedef struct model_file_options {
    const char *path;
    const recipe *recipe; /* of a plain file: kind of encoder, heads, windows and crop; NULL: none, a vit */
    int64_t heads;        /* of a plain file, which no shape tells; 0: the recipe's */
    double norm_eps;      /* of a plain file's last norm; 0: the kind's own */
    run_precision precision;
    int64_t dim[3]; /* D0, D1, D2 of the input; 0: the file's own. Others resample the position table. */
} model_file_options;

/* Opens, prints one line about the keys, and hashes (weights_hash, of the file's own image size). NULL and err on
 * failure; HCT_EFORMAT names a tensor that is missing or of an impossible shape, HCT_ESHAPE a size of the input that
 * the encoder cannot take. */
params *model_file_open(hct_dev *dev, const model_file_options *o, model_info *ret, char ret_hash[MODEL_HASH],
                        hct_err *err);

#endif
