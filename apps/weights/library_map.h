/* Vision transformers of MONAI and timm under the paper's names.
 *
 *   MONAI (ViT, 3D)                        timm (VisionTransformer with 3D patches)   headct
 *   patch_embedding.patch_embeddings.*     patch_embed.proj.*
 *     patch_embedding.patch_embeddings.*
 *   patch_embedding.patch_embeddings.1.*   -                                          the same, voxels in another order
 *   patch_embedding.position_embeddings    pos_embed
 *     patch_embedding.position_embeddings
 *   cls_token                              cls_token                                  cls_token
 *   -                                      reg_token                                  register_tokens
 *   blocks.N.norm1.*, norm2.*              the same                                   blocks.N.att_norm.*, ffn_norm.*
 *   blocks.N.attn.qkv.*                    the same                                   blocks.N.attn.qkv.*
 *   blocks.N.attn.out_proj.*               blocks.N.attn.proj.*                       blocks.N.attn.proj.*
 *   blocks.N.mlp.linear1.*, linear2.*      blocks.N.mlp.fc1.*, fc2.*                  blocks.N.mlp.linear1.*, linear2.*
 *   norm.*                                 norm.*                                     norm.*
 *
 * timm's position table has rows for the class token and registers too: they are added to these. MONAI's "perceptron"
 * patches (a linear layer on voxels in the order d0, d1, d2, channel) are put into the order of a convolution. Norms
 * have eps 1e-5 in MONAI, 1e-6 in timm. */
#ifndef WEIGHTS_LIBRARY_MAP_H
#define WEIGHTS_LIBRARY_MAP_H

#include "weights/state_dict.h"

typedef enum library_map { LIBRARY_NONE, LIBRARY_MONAI, LIBRARY_TIMM } library_map;

/* A key that each such file has, by which prefixes are found. */
const char *library_map_key(library_map);
/* Renames and reorders s. channels: of the input, which a perceptron's shape does not tell. HCT_EFORMAT, HCT_ESHAPE: a
 * tensor that the map needs is not there, or of an impossible shape. */
hct_status library_map_apply(library_map, state_dict *s, const char *path, int64_t channels, hct_err *err);

#endif
