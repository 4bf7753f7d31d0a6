/* From a recipe to the description of its model. */
#include "run/model.h"

#include <string.h>

#include "imaging/scan.h"
#include "support/sha256.h"

hct_status model_of_recipe(const recipe *r, model_info *ret, hct_err *err) {
    int mae = r->method == METHOD_MAE;
    *ret = (model_info){.kind = mae                        ? MODEL_MAE
                                : r->method == METHOD_DINO ? MODEL_DINO
                                                           : MODEL_CLASSIFIER,
                        .dino = {r->dino.hidden, r->dino.bottleneck, r->dino.prototypes, r->dino.batch_norm},
                        .n_windows = (int)r->data.windows.n,
                        .crop = r->data.crop};
    ret->mae = (mae_config){.encoder = {.image = r->data.image,
                                        .patch = r->model.patch,
                                        .channels = r->data.windows.n,
                                        .width = r->model.width,
                                        .depth = r->model.depth,
                                        .heads = r->model.heads,
                                        .mlp = r->model.mlp,
                                        .registers = r->model.registers,
                                        .qkv_bias = r->model.qkv_bias,
                                        .position_trained = r->model.position == POSITION_TRAINED,
                                        .init_normal = r->model.init == FIRST_NORMAL,
                                        .norm_eps = mae ? 1e-5 : 1e-6},
                            .width = r->model.decoder.width,
                            .depth = r->model.decoder.depth,
                            .heads = r->model.decoder.heads,
                            .mlp = r->model.decoder.mlp,
                            .decoder_bias = r->model.decoder.bias,
                            .mask_ratio = r->model.mask_ratio,
                            .normalize = r->model.norm_pix};
    ret->pool_mean = (r->method == METHOD_FINETUNE ? r->finetune.pool : r->probe.pool) == POOL_MEAN;
    if (r->method == METHOD_PROBE && r->probe.kind == PROBE_ATTENTIVE) ret->probe_heads = r->probe.heads;
    for (int i = 0; i < ret->n_windows; i++)
        ret->window[i] = (hu_window){r->data.windows.at[i].center, r->data.windows.at[i].width};
    hct_status st = recipe_hash(r, ret->recipe, err);
    const char *steps = scan_preprocessing(0);
    return st < 0 ? st : sha256_bytes(steps, strlen(steps), ret->preprocessing, err);
}

hct_status model_precision(params *p, const recipe *r, hct_err *err) {
    p->recompute = r->train.recompute;
    return params_compute(p, r->train.precision == PRECISION_BF16 ? HCT_BF16 : HCT_F32, err);
}
