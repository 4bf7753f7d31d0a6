/* The toy encoder: what an author of another encoder writes, and nothing else. */
#include "toy_encoder.h"

#include <string.h>

#include "models/layers.h"

typedef struct toy_config {
    int64_t patch, width;
} toy_config;

static const model_field fields[] = {
    {"patch", "model.patch", offsetof(toy_config, patch), FIELD_WHOLE, 1, 512, 0},
    {"width", "model.width", offsetof(toy_config, width), FIELD_WHOLE, 6, 65536, 0},
    {0},
};

static toy_config toy_of(const encoder *e) {
    toy_config c;
    memcpy(&c, e->own, sizeof c);
    return c;
}

static void defaults(encoder *e) {
    const toy_config c = {.patch = 12, .width = 48};
    e->input = input_cube(paper_windows, PAPER_WINDOWS, 192, 96);
    memcpy(e->own, &c, sizeof c);
}

static hct_status check(const encoder *e, hct_err *err) {
    const toy_config c = toy_of(e);
    for (int a = 0; a < 3; a++)
        if (e->input.size[a] % c.patch)
            return hct_fail(err, HCT_EINVAL, "data.image: %lld is not divisible by model.patch %lld",
                            (long long)e->input.size[a], (long long)c.patch);
    return HCT_OK;
}

static void declare(params *p, const encoder *e) {
    const toy_config c = toy_of(e);
    params_add(p, INIT_XAVIER, 1, PARAM_DIMS(c.width, e->input.n_windows * c.patch * c.patch * c.patch),
               "patch.weight");
    params_add(p, INIT_ZERO, 1, PARAM_DIMS(c.width), "patch.bias");
}

static void forward(hct_tape *t, params *p, const encoder *e, hct_id x, encoder_values *v) {
    const toy_config c = toy_of(e);
    v->tokens = layers_linear(t, p, "patch", hct_unfold3d(t, x, c.patch, 0));
    if (v->activation) *v->activation = v->tokens;
    v->embedding = hct_mean(t, v->tokens, HCT_AXIS(1), 0);
}

static int64_t width(const encoder *e) { return toy_of(e).width; }
static int64_t tokens(const encoder *e) {
    int64_t p = toy_of(e).patch;
    return e->input.size[0] / p * (e->input.size[1] / p) * (e->input.size[2] / p);
}
static int64_t layers(const encoder *e) {
    (void)e;
    return 1;
}
static int64_t layer_of(const encoder *e, const char *tensor) {
    (void)e;
    return !strncmp(tensor, "patch.", 6) ? 1 : 2;
}

const encoder_kind encoder_toy = {
    .name = "toy",
    .summary = "one linear layer on each patch, and their mean (a test)",
    .fields = fields,
    .size = sizeof(toy_config),
    .defaults = defaults,
    .check = check,
    .declare = declare,
    .forward = forward,
    .width = width,
    .tokens = tokens,
    .layers = layers,
    .layer_of = layer_of,
};
