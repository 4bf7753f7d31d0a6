#include "run/recipe_encoder.h"

#include <stdlib.h>
#include <string.h>

#include "models/weights.h"
#include "recipe/recipe_keys.h"

static const char *const decided[] = {"data.windows",    "data.crop",      "data.image",     "model.patch",
                                      "model.width",     "model.depth",    "model.heads",    "model.mlp",
                                      "model.registers", "model.qkv_bias", "model.position", "model.init"};

static void fill(recipe *r, const model_info *info) {
    const vit_config *c = &info->mae.encoder;
    r->data.windows.n = info->n_windows;
    for (int i = 0; i < info->n_windows; i++)
        r->data.windows.at[i] = (recipe_window){info->window[i].centre, info->window[i].width};
    r->data.crop = info->crop;
    r->data.image = c->image;
    r->model.patch = c->patch;
    r->model.width = c->width;
    r->model.depth = c->depth;
    r->model.heads = c->heads;
    r->model.mlp = c->mlp;
    r->model.registers = c->registers;
    r->model.qkv_bias = c->qkv_bias;
    r->model.position = c->position_trained ? POSITION_TRAINED : POSITION_FIXED;
    r->model.init = c->init_normal ? FIRST_NORMAL : FIRST_XAVIER;
}

/* One key from `from` to r. */
static hct_status take(recipe *r, const recipe *from, const char *path, const char *weights, hct_err *err) {
    const recipe_key *k = recipe_key_find(path, strlen(path));
    text_buffer now = {0}, wanted = {0};
    recipe_key_text(k, r, &now);
    recipe_key_text(k, from, &wanted);
    const char *a = text_get(&now, path, err), *b = a ? text_get(&wanted, path, err) : NULL;
    hct_status st = b ? HCT_OK : HCT_ENOMEM;
    if (st == HCT_OK && strcmp(a, b) != 0)
        st = r->given[k - recipe_keys] ? hct_fail(err, HCT_EINVAL,
                                                  "%s: the recipe says %s, but the encoder of %s was made with %s; "
                                                  "leave the key out, or name other weights",
                                                  path, a, weights, b)
                                       : recipe_key_assign(k, b, r, err);
    text_free(&now);
    text_free(&wanted);
    return st;
}

hct_status recipe_take_encoder(recipe *r, hct_err *err) {
    const char *weights = r->method == METHOD_PROBE      ? r->probe.weights
                          : r->method == METHOD_FINETUNE ? r->finetune.weights
                                                         : "";
    if (!*weights) return HCT_OK;
    hct_st_file *f = hct_st_open(weights, err);
    if (!f) return err->code;
    model_info info;
    recipe own = *r, from = *r;
    hct_status st = weights_info(f, weights, &info, err);
    hct_st_close(f);
    if (st == HCT_OK && info.n_windows > RECIPE_WINDOWS)
        st = hct_fail(err, HCT_EINVAL, "%s: has %d windows, a recipe at most %d", weights, info.n_windows,
                      RECIPE_WINDOWS);
    if (st == HCT_OK) fill(&from, &info);
    for (size_t i = 0; st == HCT_OK && i < sizeof decided / sizeof *decided; i++)
        st = take(&own, &from, decided[i], weights, err);
    if (st == HCT_OK) *r = own;
    return st;
}
