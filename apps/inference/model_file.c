#include "inference/model_file.h"

#include <math.h>
#include <string.h>

#define FIRST_BLOCK "blocks.0."
#define WINDOWS_NEEDED "--recipe FILE must say its windows and crop"

static const hct_st_entry *need(const hct_st_file *f, const char *path, const char *name, int ndim, hct_err *err) {
    const hct_st_entry *e = hct_st_find(f, name);
    if (!e) {
        hct_fail(err, HCT_EFORMAT, "%s: holds no tensor '%s', so it is no vision transformer with the paper's keys", path, name);
        return NULL;
    }
    int ok = e->ndim == ndim;
    for (int i = 0; ok && i < ndim; i++) ok = e->dim[i] > 0;
    if (ok) return e;
    hct_fail(err, HCT_EFORMAT, "%s: '%s' must have %d axes, none of length 0", path, name, ndim);
    return NULL;
}

static int64_t count_blocks(const hct_st_file *f) {
    char name[64];
    int64_t n = 0;
    do snprintf(name, sizeof name, "blocks.%lld.att_norm.weight", (long long)n);
    while (hct_st_find(f, name) && ++n);
    return n;
}

hct_status model_file_sizes(const hct_st_file *f, const char *path, int64_t heads, double norm_eps, vit_config *ret, hct_err *err) {
    const hct_st_entry *patch = need(f, path, "patch_embedding.patch_embeddings.weight", 5, err);
    const hct_st_entry *table = patch ? need(f, path, "patch_embedding.position_embeddings", 3, err) : NULL;
    const hct_st_entry *mlp = table ? need(f, path, FIRST_BLOCK "mlp.linear1.weight", 2, err) : NULL;
    const hct_st_entry *registers = hct_st_find(f, "register_tokens");
    if (!mlp || (registers && !(registers = need(f, path, "register_tokens", 3, err)))) return HCT_EFORMAT;
    int64_t grid = (int64_t)llround(cbrt((double)table->dim[1]));
    if (grid * grid * grid != table->dim[1])
        return hct_fail(err, HCT_EFORMAT, "%s: its position table has %lld rows, which is no cube of whole numbers", path, (long long)table->dim[1]);
    if (patch->dim[2] != patch->dim[3] || patch->dim[2] != patch->dim[4])
        return hct_fail(err, HCT_EFORMAT, "%s: its patches of %lld x %lld x %lld voxels are no cubes", path, (long long)patch->dim[2], (long long)patch->dim[3],
                        (long long)patch->dim[4]);
    *ret = (vit_config){.image = grid * patch->dim[2], .patch = patch->dim[2], .channels = patch->dim[1], .width = patch->dim[0],
                        .depth = count_blocks(f), .heads = heads, .mlp = mlp->dim[0], .registers = registers ? registers->dim[1] : 0,
                        .qkv_bias = hct_st_find(f, FIRST_BLOCK "attn.qkv.bias") != NULL, .position_trained = 1, .norm_eps = norm_eps};
    hct_err why;
    hct_status st = vit_check(ret, &why);
    return st < 0 ? hct_fail(err, HCT_EFORMAT, "%s: %s", path, why.msg) : HCT_OK;
}

/* A plain file's description, as far as it and the options tell. */
static hct_status describe(const hct_st_file *f, const model_file_options *o, model_info *ret, hct_err *err) {
    const recipe *r = o->recipe;
    int64_t heads = o->heads ? o->heads : r ? r->model.heads : 0;
    *ret = (model_info){.kind = MODEL_VIT};
    if (!heads)
        return hct_fail(err, HCT_EINVAL, "%s: holds no headct description; give the number of attention heads with --heads N, or --recipe FILE", o->path);
    hct_status st = model_file_sizes(f, o->path, heads, o->norm_eps > 0 ? o->norm_eps : 1e-6, &ret->mae.encoder, err);
    if (st < 0 || !r) return st;
    if (r->data.windows.n != ret->mae.encoder.channels)
        return hct_fail(err, HCT_EINVAL, "%s: takes %lld channels, the recipe has %lld windows; " WINDOWS_NEEDED, o->path,
                        (long long)ret->mae.encoder.channels, (long long)r->data.windows.n);
    ret->crop = r->data.crop;
    ret->n_windows = (int)r->data.windows.n;
    for (int i = 0; i < ret->n_windows; i++) ret->window[i] = (hu_window){r->data.windows.at[i].center, r->data.windows.at[i].width};
    return recipe_hash(r, ret->recipe, err);
}

/* The encoder alone on another image size. */
static params *other_image(hct_dev *dev, const hct_st_file *f, const model_file_options *o, model_info *info, hct_err *err) {
    info->kind = MODEL_VIT;
    info->mae.encoder.image = o->image;
    return model_of_file(dev, f, o->path, info, 1, err);
}

params *model_file_open(hct_dev *dev, const model_file_options *o, model_info *ret, char ret_hash[MODEL_HASH], hct_err *err) {
    hct_st_file *f = hct_st_open(o->path, err);
    if (!f) return NULL;
    hct_status st = hct_st_meta(f, "headct") ? weights_info(f, o->path, ret, err) : describe(f, o, ret, err);
    if (st == HCT_OK && o->heads && o->heads != ret->mae.encoder.heads)
        st = hct_fail(err, HCT_EINVAL, "%s: describes %lld heads, --heads says %lld; leave it out", o->path, (long long)ret->mae.encoder.heads, (long long)o->heads);
    params *p = st == HCT_OK ? model_of_file(dev, f, o->path, ret, 0, err) : NULL;
    if (p && weights_hash(p, ret_hash, err) < 0) {
        params_free(p);
        p = NULL;
    }
    if (p && o->image && o->image != ret->mae.encoder.image) {
        params_free(p);
        p = other_image(dev, f, o, ret, err);
    }
    hct_st_close(f);
    return p;
}
