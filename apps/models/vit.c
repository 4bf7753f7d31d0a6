/* The vision transformer: tensors and forward pass. */
#include "models/vit.h"

#include "models/layers.h"

#include "hct/log.h"
#include "models/lora.h"
#include "models/position.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSITIONS "patch_embedding.position_embeddings"

hct_status vit_check(const vit_config *c, hct_err *err) {
    const struct {
        const char *name;
        int64_t v;
    } positive[] = {
        {"image", c->image}, {"patch", c->patch}, {"channels", c->channels}, {"width", c->width},
        {"depth", c->depth}, {"heads", c->heads}, {"mlp", c->mlp},
    };
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        if (positive[i].v < 1)
            return hct_fail(err, HCT_EINVAL, "model: %s is %lld, it must be 1 or more", positive[i].name,
                            (long long)positive[i].v);
    if (c->registers < 0)
        return hct_fail(err, HCT_EINVAL, "model: registers is %lld, it must be 0 or more", (long long)c->registers);
    if (c->image % c->patch)
        return hct_fail(err, HCT_EINVAL, "data.image: %lld is not divisible by model.patch %lld", (long long)c->image,
                        (long long)c->patch);
    if (c->width % c->heads)
        return hct_fail(err, HCT_EINVAL, "model.width: %lld is not divisible by model.heads %lld", (long long)c->width,
                        (long long)c->heads);
    return HCT_OK;
}

void vit_declare_blocks(params *p, const char *prefix, int64_t depth, int64_t width, int64_t mlp, int qkv_bias,
                        param_init matrices) {
    for (long long i = 0; i < depth; i++) {
        params_add(p, INIT_ONE, 1, PARAM_DIMS(width), "%s.%lld.att_norm.weight", prefix, i);
        params_add(p, INIT_ZERO, 1, PARAM_DIMS(width), "%s.%lld.att_norm.bias", prefix, i);
        params_add(p, matrices, 1, PARAM_DIMS(3 * width, width), "%s.%lld.attn.qkv.weight", prefix, i);
        if (qkv_bias) params_add(p, INIT_ZERO, 1, PARAM_DIMS(3 * width), "%s.%lld.attn.qkv.bias", prefix, i);
        params_add(p, matrices, 1, PARAM_DIMS(width, width), "%s.%lld.attn.proj.weight", prefix, i);
        params_add(p, INIT_ZERO, 1, PARAM_DIMS(width), "%s.%lld.attn.proj.bias", prefix, i);
        params_add(p, INIT_ONE, 1, PARAM_DIMS(width), "%s.%lld.ffn_norm.weight", prefix, i);
        params_add(p, INIT_ZERO, 1, PARAM_DIMS(width), "%s.%lld.ffn_norm.bias", prefix, i);
        params_add(p, matrices, 1, PARAM_DIMS(mlp, width), "%s.%lld.mlp.linear1.weight", prefix, i);
        params_add(p, INIT_ZERO, 1, PARAM_DIMS(mlp), "%s.%lld.mlp.linear1.bias", prefix, i);
        params_add(p, matrices, 1, PARAM_DIMS(width, mlp), "%s.%lld.mlp.linear2.weight", prefix, i);
        params_add(p, INIT_ZERO, 1, PARAM_DIMS(width), "%s.%lld.mlp.linear2.bias", prefix, i);
    }
}

static void write_positions(params *p, const vit_config *c) {
    float *table = malloc((size_t)(vit_patches(c) * c->width) * sizeof *table);
    if (!table) {
        hct_fail(&p->error, HCT_ENOMEM, "out of memory for the position table");
        return;
    }
    if (c->width % 6) memset(table, 0, (size_t)(vit_patches(c) * c->width) * sizeof *table); /* a file has its own */
    else position_sincos(vit_grid(c), c->width, table);
    params_set(p, POSITIONS, table, &p->error);
    free(table);
}

void vit_declare(params *p, const vit_config *c) {
    param_init matrices = c->init_normal ? INIT_NORMAL : INIT_XAVIER;
    params_add(p, INIT_NORMAL, 1, PARAM_DIMS(1, 1, c->width), "cls_token");
    if (c->registers) params_add(p, INIT_NORMAL, 1, PARAM_DIMS(1, c->registers, c->width), "register_tokens");
    params_add(p, INIT_GIVEN, c->position_trained, PARAM_DIMS(1, vit_patches(c), c->width), POSITIONS);
    params_add(p, matrices, 1, PARAM_DIMS(c->width, c->channels, c->patch, c->patch, c->patch),
               "patch_embedding.patch_embeddings.weight");
    params_add(p, INIT_ZERO, 1, PARAM_DIMS(c->width), "patch_embedding.patch_embeddings.bias");
    vit_declare_blocks(p, "blocks", c->depth, c->width, c->mlp, c->qkv_bias, matrices);
    params_add(p, INIT_ONE, 1, PARAM_DIMS(c->width), "norm.weight");
    params_add(p, INIT_ZERO, 1, PARAM_DIMS(c->width), "norm.bias");
    if (p->error.code == 0) write_positions(p, c);
}

hct_id vit_embed(hct_tape *t, params *p, const vit_config *c, hct_id x, hct_id keep) {
    int64_t voxels = c->channels * c->patch * c->patch * c->patch;
    hct_id w =
        hct_reshape(t, params_use(p, t, "patch_embedding.patch_embeddings.weight"), 2, (int64_t[]){c->width, voxels});
    int made = hct_shape(t, x)->ndim == 3;
    hct_id patches = made ? x : hct_unfold3d(t, hct_cast(t, x, (hct_dtype)hct_shape(t, w)->dtype), c->patch, 0),
           positions = params_use(p, t, POSITIONS);
    if (keep) {
        patches = hct_gather(t, patches, keep);
        positions =
            hct_gather(t, hct_expand(t, positions, 3, (int64_t[]){hct_shape(t, x)->dim[0], vit_patches(c), c->width}),
                       keep);
    }
    return hct_add(t, hct_linear(t, patches, w, params_use(p, t, "patch_embedding.patch_embeddings.bias")), positions);
}

static hct_id attend(hct_tape *t, params *p, const char *name, int64_t heads, hct_id x, vit_trace *trace,
                     int64_t layer) {
    char part[96];
    snprintf(part, sizeof part, "%s.qkv", name);
    hct_id qkv = layers_linear(t, p, part, x), each[3];
    const hct_view *v = hct_shape(t, x);
    int64_t b = v->dim[0], n = v->dim[1], c = v->dim[2], d = c / heads;
    hct_split(t, hct_reshape(t, qkv, 4, (int64_t[]){b, n, 3 * heads, d}), 2, 3, each);
    double scale = 1 / sqrt((double)d);
    hct_id o = trace && trace->want_attention
                   ? hct_attention_probs(t, each[0], each[1], each[2], scale, &trace->attention[layer])
                   : hct_attention(t, each[0], each[1], each[2], scale);
    snprintf(part, sizeof part, "%s.proj", name);
    return layers_linear(t, p, part, hct_reshape(t, o, 3, (int64_t[]){b, n, c}));
}

/* *x += h, with each scan's h times its factor of this branch where there are any; returns the norm `name` of that. */
static hct_id add_branch(hct_tape *t, params *p, hct_id *x, hct_id h, const vit_trace *trace, int64_t branch,
                         const char *name, double eps) {
    if (trace && trace->drop) {
        int64_t b = hct_shape(t, *x)->dim[0];
        h = hct_mul(t, h, hct_reshape(t, hct_slice(t, trace->drop, 0, branch, 1), 3, (int64_t[]){b, 1, 1}));
    }
    return hct_add_layer_norm(t, *x, h, params_use(p, t, "%s.weight", name), params_use(p, t, "%s.bias", name), eps, x);
}

hct_id vit_blocks(hct_tape *t, params *p, const char *prefix, int64_t depth, int64_t heads, hct_id x, const char *norm,
                  double norm_eps, double block_eps, vit_trace *trace) {
    char name[96];
    if (block_eps == 0) block_eps = 1e-5;
#define PART(text, i) (snprintf(name, sizeof name, "%s.%lld." text, prefix, (long long)(i)), name)
    hct_id h = layers_norm(t, p, depth ? PART("att_norm", 0) : norm, x, depth ? block_eps : norm_eps);
    for (int64_t i = 0; i < depth; i++) {
        int last = i + 1 == depth;
        if (p->recompute) hct_segment_begin(t);
        h = attend(t, p, PART("attn", i), heads, h, trace, i);
        h = add_branch(t, p, &x, h, trace, 2 * i, PART("ffn_norm", i), block_eps);
        h = layers_linear_gelu(t, p, PART("mlp.linear1", i), h);
        h = layers_linear(t, p, PART("mlp.linear2", i), h);
        h = add_branch(t, p, &x, h, trace, 2 * i + 1, last ? norm : PART("att_norm", i + 1),
                       last ? norm_eps : block_eps);
        if (p->recompute) hct_segment_end(t);
        if (trace && trace->block) trace->block[i] = x;
    }
#undef PART
    return h;
}

hct_id vit_prepend(hct_tape *t, params *p, const vit_config *c, hct_id patches) {
    int64_t b = hct_shape(t, patches)->dim[0];
    hct_id parts[3], cls = hct_expand(t, params_use(p, t, "cls_token"), 3, (int64_t[]){b, 1, c->width});
    uint32_t n = 0;
    parts[n++] = cls;
    if (c->registers)
        parts[n++] = hct_expand(t, params_use(p, t, "register_tokens"), 3, (int64_t[]){b, c->registers, c->width});
    parts[n++] = patches;
    return hct_concat(t, parts, n, 1);
}

hct_id vit_forward(hct_tape *t, params *p, const vit_config *c, hct_id x, vit_trace *trace) {
    hct_id tokens = vit_prepend(t, p, c, vit_embed(t, p, c, x, 0));
    return vit_blocks(t, p, "blocks", c->depth, c->heads, tokens, "norm", c->norm_eps, c->block_eps, trace);
}

hct_id vit_cls(hct_tape *t, hct_id tokens) {
    const hct_view *v = hct_shape(t, tokens);
    int64_t b = v->dim[0], c = v->dim[v->ndim > 2 ? 2 : 0];
    return hct_reshape(t, hct_slice(t, tokens, 1, 0, 1), 2, (int64_t[]){b, c});
}

hct_id vit_mean(hct_tape *t, const vit_config *c, hct_id tokens) {
    return hct_mean(t, hct_slice(t, tokens, 1, 1 + c->registers, vit_patches(c)), HCT_AXIS(1), 0);
}

/* ---- loading with another grid ---- */

static hct_status load_resampled(params *p, const vit_config *c, const hct_st_entry *e, const char *path,
                                 hct_err *err) {
    int64_t from = (int64_t)llround(cbrt((double)e->dim[1]));
    if (e->ndim != 3 || e->dim[2] != c->width || from * from * from != e->dim[1])
        return hct_fail(err, HCT_ESHAPE, "%s: " POSITIONS " is no table of a cubic grid with width %lld", path,
                        (long long)c->width);
    float *a = malloc((size_t)(e->dim[1] * c->width) * sizeof *a),
          *b = malloc((size_t)(vit_patches(c) * c->width) * sizeof *b);
    hct_status st =
        a && b ? hct_st_to_f32(e, a, err) : hct_fail(err, HCT_ENOMEM, "out of memory for the position table");
    if (st == HCT_OK) {
        position_resample(a, from, b, vit_grid(c), c->width);
        st = params_set(p, POSITIONS, b, err);
        hct_log(HCT_LOG_INFO, "%s: positions resampled from %lld^3 to %lld^3 patches", path, (long long)from,
                (long long)vit_grid(c));
    }
    free(a);
    free(b);
    return st;
}

hct_status vit_load(params *p, const vit_config *c, const hct_st_file *f, const char *path, const char *prefix,
                    load_report *r, hct_err *err) {
    char key[160];
    snprintf(key, sizeof key, "%s" POSITIONS, prefix);
    const hct_st_entry *e = hct_st_find(f, key);
    param *table = params_find(p, POSITIONS);
    if (!e || !table || (e->ndim == 3 && e->dim[1] == vit_patches(c))) return params_load(p, f, path, prefix, r, err);
    char *name = table->name; /* under another name it is skipped by the exact comparison */
    static char hidden[] = "(resampled)";
    table->name = hidden;
    hct_status st = params_load(p, f, path, prefix, r, err);
    table->name = name;
    if (st < 0) return st;
    r->missing--;
    r->unused--;
    r->matched++;
    return load_resampled(p, c, e, path, err);
}
