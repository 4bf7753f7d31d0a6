/* Opening weights, with or without a description. */
#include "inference/model_file.h"

#include <string.h>

#include "models/build.h"
#include "run/model.h"

#define WINDOWS_NEEDED "--recipe FILE must say its windows and crop"

static void set_field(encoder *e, const char *name, double value) {
    const model_field *f = field_find(e->kind->fields, name);
    if (f && value > 0) field_set(f, e->own, value);
}

/* A plain file's description, as far as it and the options tell. */
static hct_status describe(const hct_st_file *f, const model_file_options *o, model_info *ret, hct_err *err) {
    const recipe *r = o->recipe;
    const char *name = r ? r->model.kind : "vit";
    const encoder_kind *kind = encoder_find(name);
    int64_t heads = o->heads ? o->heads : r ? r->model.heads : 0;
    *ret = (model_info){.role = MODEL_ENCODER, .plain = !r};
    if (!kind || !kind->sizes)
        return hct_fail(err, HCT_EINVAL,
                        "%s: holds no headct description, and a plain file of a %s encoder cannot be "
                        "read; import it first (headct import)",
                        o->path, name);
    ret->encoder = encoder_default(kind);
    if (field_find(kind->fields, "heads") && !heads)
        return hct_fail(
            err, HCT_EINVAL,
            "%s: holds no headct description; give the number of attention heads with --heads N, or --recipe FILE",
            o->path);
    set_field(&ret->encoder, "heads", (double)heads);
    set_field(&ret->encoder, "norm_eps", o->norm_eps);
    size_t n = hct_st_count(f);
    hct_status st = kind->sizes(n ? hct_st_at(f, 0) : NULL, n, o->path, &ret->encoder, err);
    if (st < 0) return st;
    input_spec *input = &ret->encoder.input;
    if (!r) { /* any window will do: the tokens of a ready tensor are all that can be asked for */
        for (int i = 0; i < input->n_windows; i++) input->window[i] = (hu_window){0, 1};
        return HCT_OK;
    }
    const input_spec told = input_of_recipe(r);
    if (told.n_windows != input->n_windows)
        return hct_fail(err, HCT_EINVAL, "%s: takes %d channels, the recipe has %d windows; " WINDOWS_NEEDED, o->path,
                        input->n_windows, told.n_windows);
    int64_t dim[3];
    input_dims(input, dim);
    *input = told;
    input_set_dims(input, dim);
    return recipe_hash(r, ret->recipe, err);
}

static hct_status check_heads(const model_file_options *o, const model_info *info, hct_err *err) {
    const encoder *e = &info->encoder;
    const model_field *heads = field_find(e->kind->fields, "heads");
    if (!o->heads || !heads || field_get(heads, e->own) == (double)o->heads) return HCT_OK;
    return hct_fail(err, HCT_EINVAL, "%s: describes %g heads, --heads says %lld; leave it out", o->path,
                    field_get(heads, e->own), (long long)o->heads);
}

/* The encoder alone on another image size. */
static params *other_image(hct_dev *dev, const hct_st_file *f, const model_file_options *o, model_info *info,
                           hct_err *err) {
    info->role = MODEL_ENCODER;
    input_set_dims(&info->encoder.input, o->dim);
    return model_of_file(dev, f, o->path, info, 1, err);
}

/* Whether the encoder takes an input of the size that is asked for: said before anything is read. */
static hct_status check_dim(const model_file_options *o, const model_info *info, int *ret_other, hct_err *err) {
    encoder e = info->encoder;
    hct_err why;
    int64_t dim[3];
    input_dims(&e.input, dim);
    *ret_other = o->dim[0] && memcmp(dim, o->dim, sizeof dim) != 0;
    if (!*ret_other) return HCT_OK;
    input_set_dims(&e.input, o->dim);
    if (encoder_check(&e, &why) == HCT_OK) return HCT_OK;
    return hct_fail(err, HCT_ESHAPE, "%s: does not take an input of %lld x %lld x %lld voxels: %.800s", o->path,
                    (long long)o->dim[0], (long long)o->dim[1], (long long)o->dim[2], why.msg);
}

params *model_file_open(hct_dev *dev, const model_file_options *o, model_info *ret, char ret_hash[MODEL_HASH],
                        hct_err *err) {
    hct_st_file *f = hct_st_open(o->path, err);
    int other = 0;
    if (!f) return NULL;
    hct_status st = hct_st_meta(f, "headct") ? weights_info(f, o->path, ret, err) : describe(f, o, ret, err);
    if (st == HCT_OK) st = check_heads(o, ret, err);
    if (st == HCT_OK) st = check_dim(o, ret, &other, err);
    params *p = st == HCT_OK ? model_of_file(dev, f, o->path, ret, 0, err) : NULL;
    if (p && weights_hash(p, ret_hash, err) < 0) {
        params_free(p);
        p = NULL;
    }
    if (p && other) {
        params_free(p);
        p = other_image(dev, f, o, ret, err);
    }
    if (p && precision_set(p, o->precision, err) < 0) {
        params_free(p);
        p = NULL;
    }
    hct_st_close(f);
    return p;
}
