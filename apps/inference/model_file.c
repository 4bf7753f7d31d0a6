#include "inference/model_file.h"

#include <string.h>

#include "models/build.h"
#include "models/geometry.h"

#define WINDOWS_NEEDED "--recipe FILE must say its windows and crop"

hct_status model_file_sizes(const hct_st_file *f, const char *path, int64_t heads, double norm_eps, vit_config *ret,
                            hct_err *err) {
    return geometry_of_vit(hct_st_count(f) ? hct_st_at(f, 0) : NULL, hct_st_count(f), path, heads, norm_eps, ret, err);
}

/* A plain file's description, as far as it and the options tell. */
static hct_status describe(const hct_st_file *f, const model_file_options *o, model_info *ret, hct_err *err) {
    const recipe *r = o->recipe;
    int64_t heads = o->heads ? o->heads : r ? r->model.heads : 0;
    *ret = (model_info){.kind = MODEL_VIT};
    if (!heads)
        return hct_fail(
            err, HCT_EINVAL,
            "%s: holds no headct description; give the number of attention heads with --heads N, or --recipe FILE",
            o->path);
    hct_status st = model_file_sizes(f, o->path, heads, o->norm_eps > 0 ? o->norm_eps : 1e-6, &ret->mae.encoder, err);
    if (st < 0 || !r) return st;
    if (r->data.windows.n != ret->mae.encoder.channels)
        return hct_fail(err, HCT_EINVAL, "%s: takes %lld channels, the recipe has %lld windows; " WINDOWS_NEEDED,
                        o->path, (long long)ret->mae.encoder.channels, (long long)r->data.windows.n);
    ret->crop = r->data.crop;
    ret->n_windows = (int)r->data.windows.n;
    for (int i = 0; i < ret->n_windows; i++)
        ret->window[i] = (hu_window){r->data.windows.at[i].center, r->data.windows.at[i].width};
    return recipe_hash(r, ret->recipe, err);
}

/* The encoder alone on another image size. */
static params *other_image(hct_dev *dev, const hct_st_file *f, const model_file_options *o, model_info *info,
                           hct_err *err) {
    info->kind = MODEL_VIT;
    info->mae.encoder.image = o->image;
    return model_of_file(dev, f, o->path, info, 1, err);
}

params *model_file_open(hct_dev *dev, const model_file_options *o, model_info *ret, char ret_hash[MODEL_HASH],
                        hct_err *err) {
    hct_st_file *f = hct_st_open(o->path, err);
    if (!f) return NULL;
    hct_status st = hct_st_meta(f, "headct") ? weights_info(f, o->path, ret, err) : describe(f, o, ret, err);
    if (st == HCT_OK && o->heads && o->heads != ret->mae.encoder.heads)
        st = hct_fail(err, HCT_EINVAL, "%s: describes %lld heads, --heads says %lld; leave it out", o->path,
                      (long long)ret->mae.encoder.heads, (long long)o->heads);
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
