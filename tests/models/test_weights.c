/* models/weights.h: what is written is read back; a description that does not fit its tensors is refused before
 * memory is taken after it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "models/weights.h"
#include "scratch.h"
#include "models/build.h"
#include "recipe/recipe.h"
#include "support/device.h"

static model_info tiny(model_kind kind) {
    model_info info = {.kind = kind, .n_windows = 1, .crop = 192, .dino = {12, 6, 16, 0}};
    info.window[0] = (hu_window){40, 80};
    info.mae = (mae_config){
        .encoder =
            {.image = 16, .patch = 8, .channels = 1, .width = 12, .depth = 2, .heads = 2, .mlp = 24, .norm_eps = 1e-6},
        .width = 12,
        .depth = 1,
        .heads = 2,
        .mlp = 24,
        .mask_ratio = 0.75};
    if (kind == MODEL_CLASSIFIER) {
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
    ck_assert_msg(weights_save(path, p, told, NULL, 0, NULL, 0, err) == HCT_OK, "%s", err->msg);
    params_free(p);
    hct_st_file *f = hct_st_open(path, err);
    hct_status st = weights_info(f, path, ret, err);
    hct_st_close(f);
    return st;
}

START_TEST(descriptions_read_back) {
    for (int kind = MODEL_MAE; kind <= MODEL_DINO; kind++) {
        model_info info = tiny((model_kind)kind), back;
        hct_err err = {0};
        ck_assert_msg(round_trip(&info, &info, &back, &err) == HCT_OK, "%s", err.msg);
        char *a = weights_describe(&info, &err), *b = weights_describe(&back, &err);
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
    }
}
END_TEST

#define LIE(kind, member, value)                                                                                       \
    { kind, #member, offsetof(model_info, member), value }
static const struct lie {
    model_kind kind;
    const char *name;
    size_t at;
    int64_t value;
} lies[] = {
    LIE(MODEL_VIT, mae.encoder.depth, 1000000000),
    LIE(MODEL_VIT, mae.encoder.depth, 1),
    LIE(MODEL_VIT, mae.encoder.width, 60000000),
    LIE(MODEL_VIT, mae.encoder.mlp, 1000000000),
    LIE(MODEL_VIT, mae.encoder.image, 8000),
    LIE(MODEL_VIT, mae.encoder.patch, 2),
    LIE(MODEL_VIT, mae.encoder.registers, 100000000),
    LIE(MODEL_MAE, mae.depth, 1000000000),
    LIE(MODEL_MAE, mae.width, 6000000),
    LIE(MODEL_MAE, mae.mlp, 1000000000),
    LIE(MODEL_DINO, dino.prototypes, 900000000),
    LIE(MODEL_DINO, dino.hidden, 900000000),
    LIE(MODEL_DINO, dino.bottleneck, 900000000),
    LIE(MODEL_CLASSIFIER, mae.encoder.depth, 1000000000),
};

START_TEST(lies_are_refused) {
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        model_info is = tiny(lies[i].kind), told = is, back;
        hct_err err = {0};
        memcpy((char *)&told + lies[i].at, &lies[i].value, sizeof lies[i].value);
        ck_assert_msg(round_trip(&is, &told, &back, &err) == HCT_EFORMAT, "%s = %lld was read", lies[i].name,
                      (long long)lies[i].value);
        ck_assert_msg(strstr(err.msg, "w.safetensors: ") && strstr(err.msg, "description"), "%s", err.msg);
    }
}
END_TEST

CHECK_MAIN("weights", descriptions_read_back, lies_are_refused)
