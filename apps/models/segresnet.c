/* CT-FM's encoder. */
#include "models/segresnet.h"

#include <stdio.h>
#include <string.h>

#include "models/geometry.h"
#include "models/layers.h"

enum { LEVELS = 5 };
#define BN_EPS 1e-5
#define BN_MOMENTUM 0.1

typedef struct segresnet_config {
    int64_t blocks[LEVELS]; /* of each level; the first level without any ends the network */
    int64_t width;          /* channels of the first level */
} segresnet_config;

#define BLOCKS(i) (offsetof(segresnet_config, blocks) + (i) * sizeof(int64_t))
static const model_field fields[] = {
    {"blocks1", NULL, BLOCKS(0), FIELD_WHOLE, 1, 1000, 0},
    {"blocks2", NULL, BLOCKS(1), FIELD_WHOLE, 0, 1000, 0},
    {"blocks3", NULL, BLOCKS(2), FIELD_WHOLE, 0, 1000, 0},
    {"blocks4", NULL, BLOCKS(3), FIELD_WHOLE, 0, 1000, 0},
    {"blocks5", NULL, BLOCKS(4), FIELD_WHOLE, 0, 1000, 0},
    {"width", NULL, offsetof(segresnet_config, width), FIELD_WHOLE, 1, 4096, 0},
    {0},
};

static segresnet_config config_of(const encoder *e) {
    segresnet_config c;
    memcpy(&c, e->own, sizeof c);
    return c;
}

/* The published head-CT recipe: 48 x 128 x 128 voxels of 5 x 2 x 2 mm, four windows, axes S, P, L. */
static void defaults(encoder *e) {
    const segresnet_config c = {.blocks = {1, 2, 2, 4, 4}, .width = 32};
    e->input = (input_spec){.form = "ct-fm",
                            .spacing = {2, 2, 5},
                            .axes = "LPS",
                            .crop = {128, 128, 48},
                            .size = {128, 128, 48},
                            .order = "zyx",
                            .n_windows = 4,
                            .window = {{40, 80}, {25, 300}, {32, 8}, {600, 3000}}};
    for (int i = 0; i < INPUT_WINDOWS; i++) e->input.deviation[i] = 1;
    memcpy(e->own, &c, sizeof c);
}

static int64_t levels_of(const segresnet_config *c) {
    int64_t n = 0;
    while (n < LEVELS && c->blocks[n]) n++;
    return n;
}

static hct_status check(const encoder *e, hct_err *err) {
    const segresnet_config c = config_of(e);
    for (int64_t l = levels_of(&c); l < LEVELS; l++)
        if (c.blocks[l])
            return hct_fail(err, HCT_EINVAL, "model: level %lld has blocks behind one that has none", (long long)l + 1);
    return HCT_OK;
}

static void declare_conv(params *p, int64_t out, int64_t in, const char *name) {
    params_add(p, INIT_KAIMING, 1, PARAM_DIMS(out, in, 3, 3, 3), "%s.weight", name);
}

#define PART(text) (snprintf(name, sizeof name, "layers.%lld.blocks.%lld." text, (long long)l, (long long)b), name)

static void declare(params *p, const encoder *e) {
    const segresnet_config c = config_of(e);
    int64_t levels = levels_of(&c);
    char name[64];
    declare_conv(p, c.width, 1, "conv_init");
    for (int64_t l = 0; l < levels; l++) {
        int64_t w = c.width << l;
        for (int64_t b = 0; b < c.blocks[l]; b++) {
            layers_declare_batch_norm(p, PART("norm1"), w);
            declare_conv(p, w, w, PART("conv1"));
            layers_declare_batch_norm(p, PART("norm2"), w);
            declare_conv(p, w, w, PART("conv2"));
        }
        snprintf(name, sizeof name, "layers.%lld.downsample", (long long)l);
        if (l + 1 < levels) declare_conv(p, 2 * w, w, name);
    }
}

static hct_id conv(hct_tape *t, params *p, const char *name, hct_id x, int64_t stride) {
    static const int64_t one[3] = {1, 1, 1};
    return hct_conv3d(t, x, params_use(p, t, "%s.weight", name), 0, (int64_t[]){stride, stride, stride}, one, one, 1);
}

static hct_id norm_relu(hct_tape *t, params *p, const char *name, hct_id x, int training) {
    return hct_relu(t, layers_batch_norm(t, p, name, x, BN_MOMENTUM, BN_EPS, training));
}

static hct_id as_tokens(hct_tape *t, hct_id x) {
    const hct_view v = *hct_shape(t, x);
    const int64_t flat[3] = {v.dim[0], v.dim[1], v.dim[2] * v.dim[3] * v.dim[4]};
    return hct_copy(t, hct_permute(t, hct_reshape(t, x, 3, flat), (int[]){0, 2, 1}));
}

static void forward(hct_tape *t, params *p, const encoder *e, hct_id x, encoder_values *v) {
    const segresnet_config c = config_of(e);
    int64_t levels = levels_of(&c);
    const hct_view in = *hct_shape(t, x);
    hct_id *activation = v->activation;
    char name[64];
    x = hct_reshape(t, hct_cast(t, x, p->compute), 5,
                    (int64_t[]){in.dim[0], 1, in.dim[1] * in.dim[2], in.dim[3], in.dim[4]});
    x = conv(t, p, "conv_init", x, 1);
    for (int64_t l = 0; l < levels; l++) {
        for (int64_t b = 0; b < c.blocks[l]; b++) {
            static const int64_t one[3] = {1, 1, 1};
            hct_id h = norm_relu(t, p, PART("norm1"), x, v->training);
            hct_id w = params_use(p, t, "%s.weight", PART("conv1"));
            h = layers_conv_norm(t, p, PART("norm2"), h, w, one, one, one, BN_MOMENTUM, BN_EPS, v->training);
            h = conv(t, p, PART("conv2"), hct_relu(t, h), 1);
            x = hct_add(t, x, h);
            if (activation) *activation++ = as_tokens(t, x);
        }
        snprintf(name, sizeof name, "layers.%lld.downsample", (long long)l);
        if (l + 1 < levels) x = conv(t, p, name, x, 2);
    }
    v->tokens = as_tokens(t, x);
    v->embedding = hct_mean(t, x, HCT_AXIS(2) | HCT_AXIS(3) | HCT_AXIS(4), 0);
}

/* ---- what others ask ---- */

static int64_t width(const encoder *e) {
    const segresnet_config c = config_of(e);
    return c.width << (levels_of(&c) - 1);
}
static int64_t tokens(const encoder *e) {
    const segresnet_config c = config_of(e);
    int64_t n[3];
    input_dims(&e->input, n);
    n[0] *= e->input.n_windows;
    for (int64_t l = 1; l < levels_of(&c); l++)
        for (int d = 0; d < 3; d++) n[d] = (n[d] - 1) / 2 + 1;
    return n[0] * n[1] * n[2];
}
static int64_t layers(const encoder *e) {
    const segresnet_config c = config_of(e);
    int64_t n = 0;
    for (int64_t l = 0; l < levels_of(&c); l++) n += c.blocks[l];
    return n;
}
static int64_t layer_of(const encoder *e, const char *tensor) {
    const segresnet_config c = config_of(e);
    long long l = 0, b = 0;
    int64_t before = 0;
    int found = sscanf(tensor, "layers.%lld.blocks.%lld.", &l, &b);
    if (found < 1 || l < 0 || l >= LEVELS) return strncmp(tensor, "conv_init.", 10) ? layers(e) + 1 : 0;
    for (int64_t k = 0; k < l; k++) before += c.blocks[k];
    return found == 2 ? before + b + 1 : before + c.blocks[l];
}

/* ---- files without a description ---- */

static hct_status sizes(const hct_st_entry *sorted, size_t n, const char *path, encoder *io, hct_err *err) {
    const hct_st_entry *first = geometry_find(sorted, n, "conv_init.weight");
    segresnet_config c = config_of(io);
    if (!first)
        return hct_fail(err, HCT_EFORMAT, "%s: holds no tensor 'conv_init.weight', so it is no encoder of CT-FM", path);
    if (first->ndim != 5 || first->dim[0] < 1 || first->dim[0] > 4096 || first->dim[1] != 1)
        return hct_fail(err, HCT_EFORMAT, "%s: conv_init.weight must be [channels, 1, 3, 3, 3]", path);
    c.width = first->dim[0];
    for (int64_t l = 0; l < LEVELS; l++) {
        char before[32];
        snprintf(before, sizeof before, "layers.%lld.blocks.", (long long)l);
        c.blocks[l] = geometry_count(sorted, n, before, ".conv2.weight");
    }
    if (!c.blocks[0])
        return hct_fail(err, HCT_EFORMAT,
                        "%s: holds no tensor 'layers.0.blocks.0.conv2.weight', so it is no encoder of CT-FM", path);
    memcpy(io->own, &c, sizeof c);
    return HCT_OK;
}

static int recognises(const hct_st_entry *sorted, size_t n) {
    return geometry_find(sorted, n, "conv_init.weight") != NULL;
}

const encoder_kind encoder_ct_fm = {
    .name = "ct-fm",
    .summary = "CT-FM's SegResNet encoder",
    .fields = fields,
    .size = sizeof(segresnet_config),
    .defaults = defaults,
    .check = check,
    .declare = declare,
    .forward = forward,
    .width = width,
    .tokens = tokens,
    .layers = layers,
    .layer_of = layer_of,
    .sizes = sizes,
    .key = "conv_init.weight",
    .recognises = recognises,
    .own_input = 1,
    .batch_norms = 1,
};
