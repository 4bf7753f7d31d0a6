/* `model.loss: inside` against numbers that make_inside.py made in NumPy: loss and gradients in f32 and bf16, images as
 * they are and flipped and shifted.
 *
 *   test_mae_inside FILE     on HEADCT_DEVICE, else the CPU */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "encoder_cases.h"
#include "hct/view.h"
#include "models/vit_mae.h"
#include "support/device.h"

enum { BATCH = 3, CHANNELS = 2, SIDE = 8, IMAGES = BATCH * CHANNELS * SIDE * SIDE * SIDE, PATCHES = 8 };

static const char *file;
static hct_dev *dev;

static mae_config config_of(int inside) {
    return (mae_config){.encoder = {.image = SIDE,
                                    .patch = 4,
                                    .channels = CHANNELS,
                                    .width = 12,
                                    .depth = 1,
                                    .heads = 2,
                                    .mlp = 24,
                                    .qkv_bias = 1,
                                    .position_trained = 1,
                                    .norm_eps = MAE_NORM_EPS},
                        .width = 12,
                        .depth = 1,
                        .heads = 2,
                        .mlp = 24,
                        .decoder_bias = 1,
                        .mask_ratio = 0.5,
                        .inside = inside};
}

static float *images(void) {
    double *u = malloc(IMAGES * sizeof *u);
    float *x = malloc(IMAGES * sizeof *x);
    case_unit("input", IMAGES, u);
    for (int i = 0; i < IMAGES; i++) x[i] = (float)fmin(fmax(u[i] * 1.06 - 0.03, 0), 1);
    free(u);
    return x;
}

static cJSON *numbers(void) {
    char folder[1024];
    snprintf(folder, sizeof folder, "%.*s", (int)(strlen(file) - strlen("/mae-inside.json")), file);
    return case_read(folder, "mae-inside");
}

typedef struct recorded {
    params *p;
    mae_inputs in;
    hct_tape *t;
    mae_outputs out;
} recorded;

/* A forward and backward pass over the images, run. */
static recorded run_of(const mae_config *c, hct_dtype compute, int viewed, const float *image) {
    recorded r = {.p = params_new(dev)};
    hct_err err = {0};
    double u[BATCH * PATCHES];
    float noise[BATCH * PATCHES], views[BATCH * HCT_VIEW_FLOATS] = {0}, *counts = malloc(IMAGES * sizeof *counts);
    mae_declare(r.p, c);
    case_fill(r.p);
    ck_assert_msg(mae_check(c, &err) == HCT_OK && params_compute(r.p, compute, &err) == HCT_OK &&
                      mae_inputs_new(&r.in, dev, c, BATCH, &err) == HCT_OK,
                  "%s", err.msg);
    if (viewed) {
        ck_assert_msg(mae_inputs_augment(&r.in, dev, c, BATCH, &err) == HCT_OK, "%s", err.msg);
        for (int i = 0; i < 3 * BATCH; i++) views[i / 3 * HCT_VIEW_FLOATS + HCT_VIEW_EXTENT + i % 3] = SIDE;
        views[HCT_VIEW_FLIP] = 1;
        views[HCT_VIEW_FLOATS + HCT_VIEW_FLIP + 1] = views[HCT_VIEW_FLOATS + HCT_VIEW_FLIP + 2] = 1;
        views[HCT_VIEW_FLOATS + HCT_VIEW_SHIFT] = 0.07f;
        views[2 * HCT_VIEW_FLOATS + HCT_VIEW_SHIFT] = -0.05f;
        ck_assert_int_eq(mae_set_views(&r.in, BATCH, views, &err), HCT_OK);
    }
    case_unit("noise", BATCH * PATCHES, u);
    for (int i = 0; i < BATCH * PATCHES; i++) noise[i] = (float)u[i];
    ck_assert_int_eq(hct_tensor_write(r.in.image, image, &err), HCT_OK);
    ck_assert_int_eq(mae_set_mask(&r.in, c, BATCH, noise, &err), HCT_OK);
    if (c->inside) {
        mae_inside(c, BATCH, image, counts);
        ck_assert_int_eq(hct_tensor_write(r.in.inside, counts, &err), HCT_OK);
    }
    r.t = hct_tape_new(dev, HCT_PROGRAM);
    r.out = mae_forward(r.t, r.p, c, &r.in);
    hct_keep(r.t, r.out.loss);
    hct_backward(r.t, r.out.loss, 0);
    for (size_t i = 0; i < r.p->n; i++)
        if (r.p->items[i].trained) hct_keep(r.t, hct_grad(r.t, hct_param(r.t, r.p->items[i].tensor)));
    ck_assert_msg(hct_tape_error(r.t, &err) == HCT_OK && hct_compile(r.t, &err) == HCT_OK &&
                      hct_run(r.t, &err) == HCT_OK,
                  "%s", err.msg);
    free(counts);
    return r;
}

static void close_run(recorded *r) {
    hct_tape_free(r->t);
    mae_inputs_free(&r->in);
    params_free(r->p);
}

static double loss_of(const recorded *r) {
    float loss = NAN;
    ck_assert_int_eq(hct_read(r->t, r->out.loss, &loss, NULL), HCT_OK);
    return (double)loss;
}

static float *gradient_of(const recorded *r, const char *name, size_t *ret_n) {
    hct_err err = {0};
    hct_id g = hct_grad(r->t, hct_param(r->t, params_find(r->p, name)->tensor));
    *ret_n = (size_t)hct_numel(hct_shape(r->t, g));
    float *x = malloc((*ret_n + 1) * sizeof *x);
    ck_assert_int_eq((int)hct_shape(r->t, g)->dtype, HCT_F32);
    ck_assert_msg(hct_read(r->t, g, x, &err) == HCT_OK, "%s: %s", name, err.msg);
    return x;
}

/* near: of losses, relatively; near_gradient: relative to a gradient's largest value. */
static void check_case(const char *name, int viewed, hct_dtype compute, double near, double near_gradient) {
    cJSON *all = numbers(), *want = cJSON_GetObjectItem(all, name), *g;
    float *image = images();
    const mae_config every = config_of(0), inside = config_of(1);
    recorded plain = run_of(&every, compute, viewed, image), r = run_of(&inside, compute, viewed, image);
    double loss_all = cJSON_GetObjectItem(want, "all")->valuedouble,
           loss_inside = cJSON_GetObjectItem(want, "inside")->valuedouble;
    ck_assert_msg(fabs(loss_of(&plain) - loss_all) <= near * loss_all, "%s: the loss of all voxels is %.8g, not %.8g",
                  name, loss_of(&plain), loss_all);
    ck_assert_msg(fabs(loss_of(&r) - loss_inside) <= near * loss_inside, "%s: the loss is %.8g, not %.8g", name,
                  loss_of(&r), loss_inside);
    cJSON_ArrayForEach(g, cJSON_GetObjectItem(want, "gradients")) {
        size_t n;
        double most = 0, worst = 0;
        float *got = gradient_of(&r, g->string, &n);
        ck_assert_uint_eq(n, (size_t)cJSON_GetArraySize(g));
        const cJSON *v;
        size_t i = 0;
        cJSON_ArrayForEach(v, g) {
            most = fmax(most, fabs(v->valuedouble));
            worst = fmax(worst, fabs((double)got[i++] - v->valuedouble));
        }
        ck_assert_msg(worst <= near_gradient * most, "%s: the gradient of %s is off by %.3g of %.3g", name, g->string,
                      worst, most);
        free(got);
    }
    close_run(&plain);
    close_run(&r);
    free(image);
    cJSON_Delete(all);
}

START_TEST(voxels_count_as_numpy_says) {
    cJSON *all = numbers();
    float *image = images(), *counts = malloc(IMAGES * sizeof *counts);
    const mae_config c = config_of(1);
    double n = 0;
    mae_inside(&c, BATCH, image, counts);
    for (int i = 0; i < IMAGES; i++) n += (double)counts[i];
    ck_assert_double_eq(n, cJSON_GetObjectItem(all, "count")->valuedouble);
    ck_assert_double_eq(IMAGES, cJSON_GetObjectItem(all, "voxels")->valuedouble);
    free(image);
    free(counts);
    cJSON_Delete(all);
}
END_TEST

START_TEST(equals_numpy_in_f32) {
    check_case("plain", 0, HCT_F32, 2e-5, 1e-4);
    check_case("viewed", 1, HCT_F32, 2e-5, 1e-4);
}
END_TEST

/* Eight bits of each activation: small gradients, as the class token's, are off by a tenth. Those of the loss of all
 * voxels are off by more than their size. */
START_TEST(follows_numpy_in_bf16) {
    check_case("plain", 0, HCT_BF16, 0.02, 0.15);
    check_case("viewed", 1, HCT_BF16, 0.02, 0.15);
}
END_TEST

/* A batch of air teaches nothing, and breaks nothing. */
START_TEST(nothing_counts_and_all_is_zero) {
    float *image = calloc(IMAGES, sizeof *image);
    const mae_config c = config_of(1);
    recorded r = run_of(&c, HCT_F32, 0, image);
    ck_assert_double_eq(loss_of(&r), 0);
    size_t n;
    float *g = gradient_of(&r, "decoder_pred.weight", &n);
    for (size_t i = 0; i < n; i++) ck_assert_float_eq(g[i], 0);
    free(g);
    free(image);
    close_run(&r);
}
END_TEST

int main(int argc, char **argv) {
    hct_err err = {0};
    if (argc < 2) return 2;
    file = argv[1];
    const char *device = getenv("HEADCT_DEVICE") ? getenv("HEADCT_DEVICE") : "cpu";
    if (!(dev = device_open(device, &err))) {
        if (err.code == HCT_ENOTFOUND && strcmp(device, "cpu") != 0) return printf("1..0 # SKIP %s\n", err.msg), 0;
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    int failed = CHECK_RUN("mae_inside", voxels_count_as_numpy_says, equals_numpy_in_f32, follows_numpy_in_bf16,
                           nothing_counts_and_all_is_zero);
    device_close(dev);
    return failed;
}
