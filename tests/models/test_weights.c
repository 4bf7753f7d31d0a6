/* models/weights.h: what is written is read back; a description that does not fit its tensors is refused before
 * memory is taken after it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "models/dino.h"
#include "models/vit_encoder.h"
#include "models/vit_mae.h"
#include "models/weights.h"
#include "scratch.h"
#include "models/build.h"
#include "recipe/recipe.h"
#include "support/device.h"

typedef enum what { ENCODER, CLASSIFIER, MAE, DINO, WHATS } what;

static model_info tiny(what kind) {
    const vit_config vit = {
        .image = 16, .patch = 8, .channels = 1, .width = 12, .depth = 2, .heads = 2, .mlp = 24, .norm_eps = 1e-6};
    const mae_config mae = {.width = 12, .depth = 1, .heads = 2, .mlp = 24, .mask_ratio = 0.75};
    const dino_head dino = {12, 6, 16, 0};
    model_info info = {.encoder = encoder_of_vit(&vit, &(hu_window){40, 80}, 192)};
    info.role = kind == CLASSIFIER ? MODEL_CLASSIFIER : kind == ENCODER ? MODEL_ENCODER : MODEL_PRETRAINING;
    if (kind == MAE) info.pretext = pretext_of_mae(&mae);
    if (kind == DINO) info.pretext = pretext_of_dino(&dino);
    if (kind == CLASSIFIER) {
        info.n_tasks = 2;
        snprintf(info.task[0], MODEL_NAME, "SAH");
        snprintf(info.task[1], MODEL_NAME, "a \"b\", <c>");
    }
    snprintf(info.recipe, MODEL_HASH, "%064d", 7);
    return info;
}

/* Tensors of `is`, described as `told`; its description as it is read back. */
static hct_status round_trip(const model_info *is, const model_info *told, model_info *ret, hct_err *err) {
    static hct_dev *dev;
    const char *path = scratch_path("w.safetensors");
    if (!dev) dev = device_open("cpu", err);
    ck_assert_msg(dev != NULL, "%s", err->msg);
    params *p = model_new(dev, is, 1, err);
    ck_assert_msg(p != NULL, "%s", err->msg);
    ck_assert_msg(weights_save(path, p, told, NULL, 0, err) == HCT_OK, "%s", err->msg);
    params_free(p);
    hct_st_file *f = hct_st_open(path, err);
    hct_status st = weights_info(f, path, ret, err);
    hct_st_close(f);
    return st;
}

START_TEST(descriptions_read_back) {
    for (int kind = 0; kind < WHATS; kind++) {
        model_info info = tiny((what)kind), back;
        hct_err err = {0};
        ck_assert_msg(round_trip(&info, &info, &back, &err) == HCT_OK, "%s", err.msg);
        char *a = weights_describe(&info, &err), *b = weights_describe(&back, &err);
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
    }
}
END_TEST

static const struct lie {
    what kind;
    const char *field; /* of the encoder, or else of the pretext task; "size": the input's */
    double value;
} lies[] = {
    {ENCODER, "depth", 1000000000},  {ENCODER, "depth", 1},       {ENCODER, "width", 60000000},
    {ENCODER, "mlp", 1000000000},    {ENCODER, "size", 8000},     {ENCODER, "patch", 2},
    {ENCODER, "registers", 1e8},     {MAE, "decoder_depth", 1e9}, {MAE, "decoder_width", 6000000},
    {MAE, "decoder_mlp", 1e9},       {DINO, "prototypes", 9e8},   {DINO, "hidden", 9e8},
    {DINO, "bottleneck", 900000000}, {CLASSIFIER, "depth", 1e9},
};

static void tell(model_info *info, const struct lie *l) {
    const model_field *f = field_find(info->encoder.kind->fields, l->field);
    if (!strcmp(l->field, "size"))
        for (int a = 0; a < 3; a++) info->encoder.input.size[a] = (int64_t)l->value;
    else if (f) field_set(f, info->encoder.own, l->value);
    else field_set(field_find(info->pretext.kind->fields, l->field), info->pretext.own, l->value);
}

START_TEST(lies_are_refused) {
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        model_info is = tiny(lies[i].kind), told = is, back;
        hct_err err = {0};
        tell(&told, &lies[i]);
        ck_assert_msg(round_trip(&is, &told, &back, &err) == HCT_EFORMAT, "%s = %g was read", lies[i].field,
                      lies[i].value);
        ck_assert_msg(strstr(err.msg, "w.safetensors: ") && strstr(err.msg, "description"), "%s", err.msg);
    }
}
END_TEST

CHECK_MAIN("weights", descriptions_read_back, lies_are_refused)
