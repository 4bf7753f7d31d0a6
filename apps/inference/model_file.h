/* Weights to run: a headct weights file, which describes itself, or a plain safetensors file with the paper's keys,
 * whose sizes are read from the tensors' shapes. */
#ifndef INFERENCE_MODEL_FILE_H
#define INFERENCE_MODEL_FILE_H

#include "models/weights.h"
#include "recipe/recipe.h"

typedef struct model_file_options {
    const char *path;
    const recipe *recipe; /* of a plain file: heads, windows and crop; NULL: none */
    int64_t heads;        /* of a plain file, which no shape tells; 0: the recipe's */
    double norm_eps;      /* of a plain file's last norm; 0: 1e-6 */
    int64_t image;        /* voxels an edge; 0: the file's own. Another one resamples the position table. */
} model_file_options;

/* Sizes of a plain file: channels, patch, width, depth, mlp, registers, qkv_bias and image (from the table's grid).
 * heads and norm_eps as given. HCT_EFORMAT names the tensor that is missing or of an impossible shape. */
hct_status model_file_sizes(const hct_st_file *f, const char *path, int64_t heads, double norm_eps, vit_config *ret,
                            hct_err *err);
/* Opens, prints one line about the keys, and hashes (weights_hash, of the file's own image size). NULL and err on
 * failure. */
params *model_file_open(hct_dev *dev, const model_file_options *o, model_info *ret, char ret_hash[MODEL_HASH],
                        hct_err *err);

#endif
