/* The vision transformer's row of the table of encoders. */
#include "models/vit_encoder.h"

#include <stdlib.h>
#include <string.h>

#include "models/geometry.h"
#include "models/lora.h"

#define AT(member) offsetof(vit_config, member)
static const model_field fields[] = {
    {"patch", "model.patch", AT(patch), FIELD_WHOLE, 1, 512, 0},
    {"width", "model.width", AT(width), FIELD_WHOLE, 6, 65536, 0},
    {"depth", "model.depth", AT(depth), FIELD_WHOLE, 1, 1000, 0},
    {"heads", "model.heads", AT(heads), FIELD_WHOLE, 1, 1024, 0},
    {"mlp", "model.mlp", AT(mlp), FIELD_WHOLE, 1, 262144, 0},
    {"registers", "model.registers", AT(registers), FIELD_WHOLE, 0, 1024, 0},
    {"qkv_bias", "model.qkv_bias", AT(qkv_bias), FIELD_FLAG, 0, 1, 0},
    {"position_trained", "model.position", AT(position_trained), FIELD_FLAG, 0, 1, 0},
    {"init_normal", "model.init", AT(init_normal), FIELD_FLAG, 0, 1, 1},
    {"norm_eps", NULL, AT(norm_eps), FIELD_REAL, 1e-12, 1, 0},
    {"block_eps", NULL, AT(block_eps), FIELD_REAL, 0, 1, 1},
    {0},
};
static const char *const untold[] = {"heads", "position_trained", "init_normal", "norm_eps", "block_eps", NULL};

static void set(encoder *e, vit_config c) {
    c.image = c.channels = 0; /* the input's */
    memcpy(e->own, &c, sizeof c);
}

vit_config vit_of(const encoder *e) {
    vit_config c;
    memcpy(&c, e->own, sizeof c);
    c.image = e->input.size[0];
    c.channels = e->input.n_windows;
    return c;
}

encoder encoder_of_vit(const vit_config *c, const hu_window *windows, int64_t crop) {
    encoder e = {.kind = &encoder_vit, .input = input_cube(windows, (int)c->channels, crop, c->image)};
    set(&e, *c);
    return e;
}

/* ViT-B/12 at 96^3, the paper's. */
static void defaults(encoder *e) {
    const vit_config c = {.image = 96,
                          .patch = 12,
                          .channels = PAPER_WINDOWS,
                          .width = 768,
                          .depth = 12,
                          .heads = 12,
                          .mlp = 3072,
                          .norm_eps = 1e-6};
    *e = encoder_of_vit(&c, paper_windows, 192);
}

static hct_status check(const encoder *e, hct_err *err) {
    const vit_config c = vit_of(e);
    if (e->input.size[1] != c.image || e->input.size[2] != c.image)
        return hct_fail(err, HCT_EINVAL, "model: a vit takes cubes, not %lld x %lld x %lld voxels", (long long)c.image,
                        (long long)e->input.size[1], (long long)e->input.size[2]);
    return vit_check(&c, err);
}

static void declare(params *p, const encoder *e) {
    const vit_config c = vit_of(e);
    vit_declare(p, &c);
}

static void forward(hct_tape *t, params *p, const encoder *e, hct_id x, encoder_values *v) {
    const vit_config c = vit_of(e);
    vit_trace trace = {.attention = v->attention, .block = v->activation, .drop = v->drop};
    trace.want_attention = v->attention != NULL;
    v->tokens = vit_forward(t, p, &c, x, &trace);
    v->embedding = v->pool_mean ? vit_mean(t, &c, v->tokens) : vit_cls(t, v->tokens);
}

static int64_t patch(const encoder *e) { return vit_of(e).patch; }
static int64_t width(const encoder *e) { return vit_of(e).width; }
static int64_t layers(const encoder *e) { return vit_of(e).depth; }
static int64_t branches(const encoder *e) { return 2 * vit_of(e).depth; }
static int has_attention(const encoder *e) { return vit_of(e).depth > 0; }
static int64_t tokens(const encoder *e) {
    const vit_config c = vit_of(e);
    return vit_tokens(&c);
}

static int64_t layer_of(const encoder *e, const char *tensor) {
    int64_t depth = vit_of(e).depth;
    if (!strncmp(tensor, "blocks.", 7)) return 1 + strtoll(tensor + 7, NULL, 10);
    return !strncmp(tensor, "norm.", 5) || !strncmp(tensor, "head.", 5) ? depth + 1 : 0;
}

static void adapt(params *p, const encoder *e, int64_t rank, double alpha) {
    const vit_config c = vit_of(e);
    lora_declare(p, &c, rank, alpha);
}

static hct_status sizes(const hct_st_entry *sorted, size_t n, const char *path, encoder *io, hct_err *err) {
    const vit_config old = vit_of(io);
    vit_config c;
    hct_status st = geometry_of_vit(sorted, n, path, old.heads, old.norm_eps, &c, err);
    if (st < 0) return st;
    if (c.channels > INPUT_WINDOWS)
        return hct_fail(err, HCT_EFORMAT, "%s: takes %lld channels; %d are the most", path, (long long)c.channels,
                        INPUT_WINDOWS);
    c.position_trained = old.position_trained;
    c.init_normal = old.init_normal;
    c.block_eps = old.block_eps;
    for (int a = 0; a < 3; a++) io->input.size[a] = c.image;
    io->input.n_windows = (int)c.channels;
    set(io, c);
    return HCT_OK;
}

static const hct_st_entry *patches_of(const hct_st_entry *sorted, size_t n) {
    return geometry_find(sorted, n, "patch_embedding.patch_embeddings.weight");
}

static int recognises(const hct_st_entry *sorted, size_t n) { return patches_of(sorted, n) != NULL; }

/* The position table of a file may have any width; the formula of a new one needs a multiple of 6. */
static hct_status beginnable(const encoder *e, hct_err *err) {
    const vit_config c = vit_of(e);
    if (c.width % 6 == 0) return HCT_OK;
    return hct_fail(err, HCT_EINVAL, "model.width: %lld is not divisible by 6, which 3D sine-cosine positions need",
                    (long long)c.width);
}

/* Heads of 64 channels. */
static hct_status presume(const hct_st_entry *sorted, size_t n, const char *path, encoder *io, hct_err *err) {
    const hct_st_entry *patch = patches_of(sorted, n);
    int64_t width = patch && patch->ndim > 0 ? patch->dim[0] : 64;
    if (width < 64 || width % 64)
        return hct_fail(err, HCT_EINVAL,
                        "%s: its width %lld is no multiple of 64, so its number of attention heads is not the paper's; "
                        "give it with --heads N",
                        path, (long long)width);
    vit_config c = vit_of(io);
    c.heads = width / 64;
    set(io, c);
    return HCT_OK;
}

static hct_status load(params *p, const encoder *e, const hct_st_file *f, const char *path, const char *prefix,
                       load_report *r, hct_err *err) {
    const vit_config c = vit_of(e);
    return vit_load(p, &c, f, path, prefix, r, err);
}

const encoder_kind encoder_vit = {
    .name = "vit",
    .summary = "3D vision transformer with a class token (FM-CT)",
    .fields = fields,
    .size = sizeof(vit_config),
    .defaults = defaults,
    .check = check,
    .declare = declare,
    .forward = forward,
    .patch = patch,
    .width = width,
    .tokens = tokens,
    .layers = layers,
    .branches = branches,
    .has_attention = has_attention,
    .layer_of = layer_of,
    .adapt = adapt,
    .sizes = sizes,
    .untold = untold,
    .key = "patch_embedding.patch_embeddings.weight",
    .recognises = recognises,
    .beginnable = beginnable,
    .presume = presume,
    .load = load,
};
