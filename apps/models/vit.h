/* The 3D vision transformer: patches of a volume as tokens, a class token, optional registers (Dosovitskiy et al. 2021;
 * registers: Darcet et al. 2024), pre-norm blocks.
 *
 *   block: x += proj(attention(norm(x))); x += linear2(gelu(linear1(norm(x))))
 *
 * Tokens: class, registers, patches; patch (i, j, k) is token (i G + j) G + k. Norms inside blocks have eps 1e-5
 * (timm's 1e-6), the last one 1e-6 (1e-5 in MAE). Names: docs/data-formats.md. */
#ifndef MODELS_VIT_H
#define MODELS_VIT_H

#include "models/params.h"

typedef struct vit_config {
    int64_t image, patch, channels; /* voxels an edge; channels */
    int64_t width, depth, heads, mlp, registers;
    int qkv_bias;
    int position_trained; /* 0: the table is fixed (the paper); 1: trained (the published code) */
    /* first values of matrices: 0 Glorot's uniform (MAE's authors), 1 normal, deviation 0.02 (DINO's) */
    int init_normal;
    double norm_eps;  /* of the last norm */
    double block_eps; /* of those in blocks; 0: 1e-5 */
} vit_config;

/* Values that a caller may want besides the result, or give; 0 or NULL where not. */
typedef struct vit_trace {
    int want_attention; /* softmax of every block; slower, keeps tokens x tokens */
    hct_id *attention;  /* [depth], each [B, heads, N, N] */
    hct_id *block;      /* [depth], each block's result [B, N, width] */
    /* [2 depth, B, 1, 1]: what the residual branches (attention and MLP of each block) are multiplied by */
    hct_id drop;
} vit_trace;

static inline int64_t vit_grid(const vit_config *c) { return c->image / c->patch; }
static inline int64_t vit_patches(const vit_config *c) { return vit_grid(c) * vit_grid(c) * vit_grid(c); }
static inline int64_t vit_tokens(const vit_config *c) { return 1 + c->registers + vit_patches(c); }

/* HCT_EINVAL names the field and the rule it breaks. */
hct_status vit_check(const vit_config *, hct_err *);
/* Declares all tensors and writes the position table. */
void vit_declare(params *, const vit_config *);
/* x [B, channels, image, image, image] -> patches with their positions [B, L, width]; keep [B, K]: only these of
 * each scan, or 0: all. */
hct_id vit_embed(hct_tape *, params *, const vit_config *, hct_id x, hct_id keep);
/* x [B, N, width] -> the same shape, after the layer norm `norm`; blocks are named prefix.0, prefix.1, ... */
hct_id vit_blocks(hct_tape *, params *, const char *prefix, int64_t depth, int64_t heads, hct_id x, const char *norm,
                  double norm_eps, double block_eps, vit_trace *);
/* x [B, channels, image^3] -> tokens after the last norm [B, N, width]. */
hct_id vit_forward(hct_tape *, params *, const vit_config *, hct_id x, vit_trace *);
/* Puts class token (and registers) in front of patches. */
hct_id vit_prepend(hct_tape *, params *, const vit_config *, hct_id patches);
/* tokens [B, N, width] -> class token [B, width]. */
hct_id vit_cls(hct_tape *, hct_id tokens);
/* tokens [B, N, width] -> mean of the patch tokens [B, width]. */
hct_id vit_mean(hct_tape *, const vit_config *, hct_id tokens);
/* Declares blocks prefix.0 .. (shared with MAE's decoder). */
void vit_declare_blocks(params *, const char *prefix, int64_t depth, int64_t width, int64_t mlp, int qkv_bias,
                        param_init matrices);
/* Loads weights; a position table of another grid is resampled. */
hct_status vit_load(params *, const vit_config *, const hct_st_file *, const char *path, const char *prefix,
                    load_report *, hct_err *);

#endif
