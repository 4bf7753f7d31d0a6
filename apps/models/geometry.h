/* A model's sizes from the shapes of its tensors, where no description says them. Entries stand in order of name (as
 * hct_st_at gives them). No shape tells the number of heads. HCT_EFORMAT names the tensor that is missing or of an
 * impossible shape. */
#ifndef MODELS_GEOMETRY_H
#define MODELS_GEOMETRY_H

#include "models/vit_mae.h"

/* NULL where absent. */
const hct_st_entry *geometry_find(const hct_st_entry *sorted, size_t n, const char *name);
/* How many tensors BEFORE0BEHIND, BEFORE1BEHIND, ... there are: blocks, by one tensor of each. */
int64_t geometry_count(const hct_st_entry *sorted, size_t n, const char *before, const char *behind);
/* channels, patch, width, depth, mlp, registers, qkv_bias, and image from the position table's grid; heads and
 * norm_eps as given. */
hct_status geometry_of_vit(const hct_st_entry *sorted, size_t n, const char *path, int64_t heads, double norm_eps,
                           vit_config *ret, hct_err *err);
/* Whether there is a decoder. */
int geometry_has_decoder(const hct_st_entry *sorted, size_t n);
/* width, depth, mlp and bias of the decoder into *ret, whose encoder is filled in; heads as given. mask_ratio 0.75,
 * plain targets. */
hct_status geometry_of_decoder(const hct_st_entry *sorted, size_t n, const char *path, int64_t heads, mae_config *ret,
                               hct_err *err);

#endif
