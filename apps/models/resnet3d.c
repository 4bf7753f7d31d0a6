/* 3D residual networks: tensors, forward pass, and the two kinds of encoder made of them. */
#include "models/resnet3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/geometry.h"
#include "models/layers.h"

enum { EXPANSION = 4, STAGES = 4 };
#define BN_EPS 1e-5
#define BN_MOMENTUM 0.1

#define AT(member) offsetof(resnet_config, member)
#define BLOCKS(i) (offsetof(resnet_config, blocks) + (i) * sizeof(int64_t))
static const model_field resnet_fields[] = {
    {"blocks1", "model.resnet.blocks1", BLOCKS(0), FIELD_WHOLE, 1, 1000, 0},
    {"blocks2", "model.resnet.blocks2", BLOCKS(1), FIELD_WHOLE, 1, 1000, 0},
    {"blocks3", "model.resnet.blocks3", BLOCKS(2), FIELD_WHOLE, 1, 1000, 0},
    {"blocks4", "model.resnet.blocks4", BLOCKS(3), FIELD_WHOLE, 1, 1000, 0},
    {"width", "model.resnet.width", AT(width), FIELD_WHOLE, 1, 4096, 0},
    {"dilated", "model.resnet.form", AT(dilated), FIELD_WHOLE, 0, 1, 0},
    {0},
};
static const model_field merlin_fields[] = {
    {"blocks1", NULL, BLOCKS(0), FIELD_WHOLE, 1, 1000, 0},
    {"blocks2", NULL, BLOCKS(1), FIELD_WHOLE, 1, 1000, 0},
    {"blocks3", NULL, BLOCKS(2), FIELD_WHOLE, 1, 1000, 0},
    {"blocks4", NULL, BLOCKS(3), FIELD_WHOLE, 1, 1000, 0},
    {"width", NULL, AT(width), FIELD_WHOLE, 1, 4096, 0},
    {"channels", NULL, AT(channels), FIELD_WHOLE, 1, 8, 0},
    {"phecodes", NULL, AT(phecodes), FIELD_WHOLE, 0, 1 << 20, 0},
    {"contrastive", NULL, AT(contrastive), FIELD_WHOLE, 0, 1 << 20, 0},
    {0},
};
static const char *const untold[] = {"dilated", NULL};

resnet_config resnet_of(const encoder *e) {
    resnet_config c;
    memcpy(&c, e->own, sizeof c);
    c.stem = e->kind == &encoder_merlin ? 3 : 7; /* the kind's, and the input's */
    if (e->kind == &encoder_resnet3d) c.channels = e->input.n_windows;
    return c;
}

static void set(encoder *e, resnet_config c) {
    c.stem = 0;
    if (e->kind == &encoder_resnet3d) c.channels = 0;
    memcpy(e->own, &c, sizeof c);
}

static void resnet_defaults(encoder *e) {
    e->input = input_cube(paper_windows, PAPER_WINDOWS, 192, 96);
    set(e, (resnet_config){.blocks = {3, 4, 6, 3}, .width = 64});
}

/* HU -1000..1000 to 0..1 of 224 x 224 x 160 voxels of 1.5 x 1.5 x 3 mm, as [1, S, R, A]. */
static void merlin_defaults(encoder *e) {
    e->input = (input_spec){.form = "merlin",
                            .spacing = {1.5, 1.5, 3},
                            .axes = "RAS",
                            .crop = {224, 224, 160},
                            .size = {224, 224, 160},
                            .order = "zxy",
                            .n_windows = 1,
                            .window = {{0, 2000}}};
    for (int i = 0; i < INPUT_WINDOWS; i++) e->input.deviation[i] = 1;
    set(e, (resnet_config){.blocks = {3, 8, 36, 3}, .width = 64, .channels = 3});
}

static hct_status check(const encoder *e, hct_err *err) {
    const resnet_config c = resnet_of(e);
    if (e->input.n_windows != 1 && e->input.n_windows != c.channels)
        return hct_fail(err, HCT_EINVAL, "model: conv1 takes %lld channels, the input has %d", (long long)c.channels,
                        e->input.n_windows);
    return HCT_OK;
}

/* ---- geometry ---- */

typedef struct stage {
    int64_t width, stride, dilation;
} stage;

static stage stage_of(const resnet_config *c, int s) {
    stage g = {c->width << s, s ? 2 : 1, 1};
    if (c->dilated && s >= 2) g.stride = 1, g.dilation = s == 2 ? 2 : 4;
    return g;
}

/* D0, D1, D2 of the last feature map. */
static void places(const encoder *e, int64_t ret[3]) {
    const resnet_config c = resnet_of(e);
    input_dims(&e->input, ret);
    for (int d = 0; d < 3; d++) {
        if (d || c.dilated) ret[d] = (ret[d] - 1) / 2 + 1; /* conv1 */
        ret[d] = (ret[d] - 1) / 2 + 1;                     /* pool */
        for (int s = 0; s < STAGES; s++)
            if (stage_of(&c, s).stride == 2) ret[d] = (ret[d] - 1) / 2 + 1;
    }
}

/* ---- tensors ---- */

static void declare_conv(params *p, int64_t out, int64_t in, int64_t depth, int64_t edge, const char *name) {
    params_add(p, INIT_KAIMING, 1, PARAM_DIMS(out, in, depth, edge, edge), "%s.weight", name);
}

static void declare(params *p, const encoder *e) {
    const resnet_config c = resnet_of(e);
    char name[64];
    declare_conv(p, c.width, c.channels, c.stem, 7, "conv1");
    layers_declare_batch_norm(p, "bn1", c.width);
    int64_t in = c.width;
    for (int s = 0; s < STAGES; s++) {
        int64_t w = stage_of(&c, s).width;
        for (int64_t b = 0; b < c.blocks[s]; b++) {
#define PART(text) (snprintf(name, sizeof name, "layer%d.%lld." text, s + 1, (long long)b), name)
            declare_conv(p, w, in, 1, 1, PART("conv1"));
            layers_declare_batch_norm(p, PART("bn1"), w);
            declare_conv(p, w, w, 3, 3, PART("conv2"));
            layers_declare_batch_norm(p, PART("bn2"), w);
            declare_conv(p, EXPANSION * w, w, 1, 1, PART("conv3"));
            layers_declare_batch_norm(p, PART("bn3"), EXPANSION * w);
            if (!b) {
                declare_conv(p, EXPANSION * w, in, 1, 1, PART("downsample.0"));
                layers_declare_batch_norm(p, PART("downsample.1"), EXPANSION * w);
            }
            in = EXPANSION * w;
        }
    }
#undef PART
    const struct {
        const char *name;
        int64_t n;
    } heads[] = {{"classifier", c.phecodes}, {"contrastive_head", c.contrastive}};
    for (int i = 0; i < 2; i++)
        if (heads[i].n) {
            params_add(p, INIT_KAIMING, 1, PARAM_DIMS(heads[i].n, in, 1, 1, 1), "%s.weight", heads[i].name);
            params_add(p, INIT_ZERO, 1, PARAM_DIMS(heads[i].n), "%s.bias", heads[i].name);
        }
}

/* ---- forward ---- */

/* Batch norm of a convolution of equal stride, padding and dilation along all axes. */
static hct_id conv_norm(hct_tape *t, params *p, const char *conv, const char *norm, hct_id x, int64_t stride,
                        int64_t padding, int64_t dilation, int training) {
    return layers_conv_norm(t, p, norm, x, params_use(p, t, "%s.weight", conv), (int64_t[]){stride, stride, stride},
                            (int64_t[]){padding, padding, padding}, (int64_t[]){dilation, dilation, dilation},
                            BN_MOMENTUM, BN_EPS, training);
}

static hct_id block(hct_tape *t, params *p, int s, int64_t b, const stage *g, hct_id x, int training) {
    char conv[64], norm[64];
    int64_t stride = b ? 1 : g->stride;
#define NAMES(conv_, norm_)                                                                                            \
    (snprintf(conv, sizeof conv, "layer%d.%lld." conv_, s + 1, (long long)b),                                          \
     snprintf(norm, sizeof norm, "layer%d.%lld." norm_, s + 1, (long long)b), conv),                                   \
        norm
    hct_id h = hct_relu(t, conv_norm(t, p, NAMES("conv1", "bn1"), x, 1, 0, 1, training));
    h = hct_relu(t, conv_norm(t, p, NAMES("conv2", "bn2"), h, stride, g->dilation, g->dilation, training));
    h = conv_norm(t, p, NAMES("conv3", "bn3"), h, 1, 0, 1, training);
    if (!b) x = conv_norm(t, p, NAMES("downsample.0", "downsample.1"), x, stride, 0, 1, training);
    return hct_relu(t, hct_add(t, h, x));
#undef NAMES
}

/* [B, C, ...] as [B, P, C] */
static hct_id as_tokens(hct_tape *t, hct_id x) {
    const hct_view v = *hct_shape(t, x);
    const int64_t flat[3] = {v.dim[0], v.dim[1], v.dim[2] * v.dim[3] * v.dim[4]};
    return hct_copy(t, hct_permute(t, hct_reshape(t, x, 3, flat), (int[]){0, 2, 1}));
}

/* One of Merlin's heads on the pooled vector [B, width]. */
static hct_id head(hct_tape *t, params *p, const char *name, hct_id pooled) {
    hct_id w = params_use(p, t, "%s.weight", name);
    const hct_view v = *hct_shape(t, w);
    return hct_linear(t, pooled, hct_reshape(t, w, 2, (int64_t[]){v.dim[0], v.dim[1]}),
                      params_use(p, t, "%s.bias", name));
}

static void forward(hct_tape *t, params *p, const encoder *e, hct_id x, encoder_values *v) {
    const resnet_config c = resnet_of(e);
    static const int64_t three[3] = {3, 3, 3}, two[3] = {2, 2, 2}, one[3] = {1, 1, 1};
    hct_id w = params_use(p, t, "conv1.weight"), *activation = v->activation;
    if (c.channels > 1 && e->input.n_windows == 1) w = hct_sum(t, w, HCT_AXIS(1), 1); /* the same image in each */
    x = hct_cast(t, x, (hct_dtype)hct_shape(t, w)->dtype);
    const int64_t stride[3] = {c.dilated ? 2 : 1, 2, 2}, padding[3] = {c.stem / 2, 3, 3};
    x = hct_relu(t, layers_conv_norm(t, p, "bn1", x, w, stride, padding, one, BN_MOMENTUM, BN_EPS, v->training));
    x = hct_max_pool3d(t, x, three, two, one);
    for (int s = 0; s < STAGES; s++) {
        const stage g = stage_of(&c, s);
        for (int64_t b = 0; b < c.blocks[s]; b++) {
            x = block(t, p, s, b, &g, x, v->training);
            if (activation) *activation++ = as_tokens(t, x);
        }
    }
    v->tokens = as_tokens(t, x);
    hct_id pooled = hct_mean(t, x, HCT_AXIS(2) | HCT_AXIS(3) | HCT_AXIS(4), 0);
    v->embedding = e->output == 1   ? head(t, p, "classifier", pooled)
                   : e->output == 2 ? head(t, p, "contrastive_head", pooled)
                                    : pooled;
}

/* ---- what others ask ---- */

static int64_t width(const encoder *e) {
    const resnet_config c = resnet_of(e);
    return e->output == 1 ? c.phecodes : e->output == 2 ? c.contrastive : c.width * 8 * EXPANSION;
}
static int64_t tokens(const encoder *e) {
    int64_t n[3];
    places(e, n);
    return n[0] * n[1] * n[2];
}
static int64_t layers(const encoder *e) {
    const resnet_config c = resnet_of(e);
    return c.blocks[0] + c.blocks[1] + c.blocks[2] + c.blocks[3];
}
static int64_t layer_of(const encoder *e, const char *tensor) {
    const resnet_config c = resnet_of(e);
    int stage = 0;
    long long b = 0, before = 0;
    if (sscanf(tensor, "layer%d.%lld.", &stage, &b) == 2 && stage >= 1 && stage <= STAGES) {
        for (int s = 0; s + 1 < stage; s++) before += c.blocks[s];
        return before + b + 1;
    }
    return !strncmp(tensor, "conv1.", 6) || !strncmp(tensor, "bn1.", 4) ? 0 : layers(e) + 1;
}

static const char *const merlin_outputs[] = {"embedding", "phecodes", "contrastive", NULL};
static int has_output(const encoder *e, int output) {
    const resnet_config c = resnet_of(e);
    return output == 1 ? c.phecodes > 0 : output == 2 ? c.contrastive > 0 : 1;
}

/* ---- files without a description ---- */

#define KEY "layer4.0.downsample.0.weight"

static int64_t count_blocks(const hct_st_entry *sorted, size_t n, int s) {
    char before[32];
    snprintf(before, sizeof before, "layer%d.", s + 1);
    return geometry_count(sorted, n, before, ".conv3.weight");
}

static hct_status sizes(const hct_st_entry *sorted, size_t n, const char *path, encoder *io, hct_err *err) {
    resnet_config c = resnet_of(io);
    const hct_st_entry *conv1 = geometry_find(sorted, n, "conv1.weight");
    const char *name = io->kind->name;
    int64_t stem = io->kind == &encoder_merlin ? 3 : 7;
    if (!conv1) return hct_fail(err, HCT_EFORMAT, "%s: holds no tensor 'conv1.weight', so it is no %s", path, name);
    if (conv1->ndim != 5 || conv1->dim[2] != stem || conv1->dim[3] != 7 || conv1->dim[4] != 7)
        return hct_fail(err, HCT_EFORMAT, "%s: conv1.weight must be [channels, inputs, %lld, 7, 7] in a %s", path,
                        (long long)stem, name);
    if (conv1->dim[0] < 1 || conv1->dim[0] > 4096 || conv1->dim[1] < 1 || conv1->dim[1] > INPUT_WINDOWS)
        return hct_fail(err, HCT_EFORMAT,
                        "%s: conv1.weight makes %lld channels of %lld; 1 to 4096 and 1 to %d are "
                        "possible",
                        path, (long long)conv1->dim[0], (long long)conv1->dim[1], INPUT_WINDOWS);
    c.width = conv1->dim[0];
    for (int s = 0; s < STAGES; s++)
        if (!(c.blocks[s] = count_blocks(sorted, n, s)))
            return hct_fail(err, HCT_EFORMAT,
                            "%s: holds no tensor 'layer%d.0.conv3.weight', so it is no %s of "
                            "bottleneck blocks",
                            path, s + 1, name);
    if (io->kind == &encoder_merlin) {
        const hct_st_entry *a = geometry_find(sorted, n, "classifier.weight"),
                           *b = geometry_find(sorted, n, "contrastive_head.weight");
        c.channels = conv1->dim[1];
        c.phecodes = a && a->ndim == 5 ? a->dim[0] : 0;
        c.contrastive = b && b->ndim == 5 ? b->dim[0] : 0;
    } else {
        io->input.n_windows = (int)conv1->dim[1];
    }
    set(io, c);
    return HCT_OK;
}

static int is_stem(const hct_st_entry *sorted, size_t n, int64_t depth) {
    const hct_st_entry *conv1 = geometry_find(sorted, n, "conv1.weight");
    return geometry_find(sorted, n, KEY) && conv1 && conv1->ndim == 5 && conv1->dim[2] == depth;
}
static int recognises_resnet(const hct_st_entry *sorted, size_t n) { return is_stem(sorted, n, 7); }
static int recognises_merlin(const hct_st_entry *sorted, size_t n) { return is_stem(sorted, n, 3); }

/* MedicalNet's networks see one channel, the published 3D-ResNets three. */
static hct_status presume_resnet(const hct_st_entry *sorted, size_t n, const char *path, encoder *io, hct_err *err) {
    (void)path, (void)err;
    const hct_st_entry *conv1 = geometry_find(sorted, n, "conv1.weight");
    resnet_config c = resnet_of(io);
    c.dilated = conv1 && conv1->ndim == 5 && conv1->dim[1] == 1;
    set(io, c);
    return HCT_OK;
}

#define COMMON                                                                                                         \
    .size = sizeof(resnet_config), .check = check, .declare = declare, .forward = forward, .width = width,             \
    .tokens = tokens, .layers = layers, .layer_of = layer_of, .sizes = sizes, .key = KEY, .batch_norms = 1

const encoder_kind encoder_resnet3d = {
    .name = "resnet3d",
    .summary = "3D ResNet of bottleneck blocks (3D-ResNets; MedicalNet with model.resnet.form dilated)",
    .fields = resnet_fields,
    .untold = untold,
    .defaults = resnet_defaults,
    .recognises = recognises_resnet,
    .presume = presume_resnet,
    COMMON,
};

const encoder_kind encoder_merlin = {
    .name = "merlin",
    .summary = "Merlin's image encoder, an inflated ResNet-152 (abdominal CT)",
    .fields = merlin_fields,
    .defaults = merlin_defaults,
    .recognises = recognises_merlin,
    .outputs = merlin_outputs,
    .has_output = has_output,
    .own_input = 1,
    COMMON,
};
