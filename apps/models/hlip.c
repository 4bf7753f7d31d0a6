/* HLIP's image encoder. */
#include "models/hlip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/geometry.h"
#include "models/layers.h"

#define NORM_EPS 1e-6

typedef struct hlip_config {
    int64_t depth, width, heads, mlp;
    int64_t grid[3], patch[3];   /* patches of a scan, and voxels of one, along D0, D1, D2 */
    int64_t registers, sequence; /* register tokens; rows of the sequence table, 0: there is none */
    int64_t slices, period;      /* of attention: see the header */
    int64_t out;                 /* width of the projection */
} hlip_config;

#define AT(member) offsetof(hlip_config, member)
static const model_field fields[] = {
    {"depth", NULL, AT(depth), FIELD_WHOLE, 1, 1000, 0},
    {"width", NULL, AT(width), FIELD_WHOLE, 1, 65536, 0},
    {"heads", NULL, AT(heads), FIELD_WHOLE, 1, 1024, 0},
    {"mlp", NULL, AT(mlp), FIELD_WHOLE, 1, 262144, 0},
    {"grid0", NULL, AT(grid[0]), FIELD_WHOLE, 1, 512, 0},
    {"grid1", NULL, AT(grid[1]), FIELD_WHOLE, 1, 512, 0},
    {"grid2", NULL, AT(grid[2]), FIELD_WHOLE, 1, 512, 0},
    {"patch0", NULL, AT(patch[0]), FIELD_WHOLE, 1, 512, 0},
    {"patch1", NULL, AT(patch[1]), FIELD_WHOLE, 1, 512, 0},
    {"patch2", NULL, AT(patch[2]), FIELD_WHOLE, 1, 512, 0},
    {"registers", NULL, AT(registers), FIELD_WHOLE, 0, 64, 0},
    {"sequence", NULL, AT(sequence), FIELD_WHOLE, 0, 4096, 0},
    {"slices", NULL, AT(slices), FIELD_WHOLE, 0, 1, 0},
    {"period", NULL, AT(period), FIELD_WHOLE, 1, 1000, 0},
    {"out", NULL, AT(out), FIELD_WHOLE, 1, 65536, 0},
    {0},
};
static const char *const untold[] = {"heads", "slices", "period", NULL};

static hlip_config config_of(const encoder *e) {
    hlip_config c;
    memcpy(&c, e->own, sizeof c);
    return c;
}

static int64_t patches(const hlip_config *c) { return c->grid[0] * c->grid[1] * c->grid[2]; }

static void set(encoder *e, const hlip_config *c) {
    const int64_t dim[3] = {c->grid[0] * c->patch[0], c->grid[1] * c->patch[1], c->grid[2] * c->patch[2]};
    input_set_dims(&e->input, dim);
    memcpy(e->own, c, sizeof *c);
}

/* v1. Windows as those of the same laboratory's NeuroVFM: HLIP's own are in no published file. */
static void defaults(encoder *e) {
    const hlip_config c = {.depth = 12,
                           .width = 768,
                           .heads = 12,
                           .mlp = 3072,
                           .grid = {6, 14, 14},
                           .patch = {8, 16, 16},
                           .sequence = 40,
                           .period = 3,
                           .out = 512};
    e->input = (input_spec){.form = "hlip",
                            .spacing = {1, 1, 1},
                            .axes = "LPS",
                            .crop = {256, 256, 48},
                            .size = {224, 224, 48},
                            .order = "zyx",
                            .n_windows = PAPER_WINDOWS};
    for (int i = 0; i < INPUT_WINDOWS; i++) e->input.mean[i] = 0.449, e->input.deviation[i] = 0.226;
    for (int i = 0; i < PAPER_WINDOWS; i++) e->input.window[i] = paper_windows[i];
    set(e, &c);
}

static hct_status check(const encoder *e, hct_err *err) {
    const hlip_config c = config_of(e);
    int64_t dim[3];
    input_dims(&e->input, dim);
    if (c.width % c.heads)
        return hct_fail(err, HCT_EINVAL, "model: %lld heads do not divide the width %lld", (long long)c.heads,
                        (long long)c.width);
    for (int d = 0; d < 3; d++)
        if (dim[d] != c.grid[d] * c.patch[d])
            return hct_fail(err, HCT_EINVAL,
                            "model: hlip's stored position table is for %lld x %lld x %lld voxels, the input has %lld "
                            "x %lld x %lld",
                            (long long)(c.grid[0] * c.patch[0]), (long long)(c.grid[1] * c.patch[1]),
                            (long long)(c.grid[2] * c.patch[2]), (long long)dim[0], (long long)dim[1],
                            (long long)dim[2]);
    if (c.slices && c.period < 3)
        return hct_fail(err, HCT_EINVAL,
                        "model: attention over slices, scans and studies takes a period of 3 or more blocks");
    return HCT_OK;
}

static void declare(params *p, const encoder *e) {
    const hlip_config c = config_of(e);
    params_add(p, INIT_XAVIER, 1, PARAM_DIMS(c.width, 1, c.patch[0], c.patch[1], c.patch[2]),
               "patch_embed.proj.weight");
    params_add(p, INIT_ZERO, 1, PARAM_DIMS(c.width), "patch_embed.proj.bias");
    params_add(p, INIT_NORMAL, 1, PARAM_DIMS(1, 1, c.width), "cls_token");
    if (c.registers) params_add(p, INIT_NORMAL, 1, PARAM_DIMS(1, c.registers, c.width), "reg_token");
    params_add(p, INIT_NORMAL, 1, PARAM_DIMS(1, c.grid[0], c.grid[1], c.grid[2], c.width), "spatial_posemb");
    if (c.sequence) params_add(p, INIT_NORMAL, 1, PARAM_DIMS(1, c.sequence, c.width), "sequential_posemb");
    for (int64_t i = 0; i < c.depth; i++) {
        const struct {
            const char *name;
            int64_t out, in; /* in 0: a norm */
        } part[] = {{"norm1", c.width, 0}, {"attn.qkv", 3 * c.width, c.width}, {"attn.proj", c.width, c.width},
                    {"norm2", c.width, 0}, {"mlp.fc1", c.mlp, c.width},        {"mlp.fc2", c.width, c.mlp}};
        for (int k = 0; k < 6; k++) {
            if (part[k].in)
                params_add(p, INIT_XAVIER, 1, PARAM_DIMS(part[k].out, part[k].in), "blocks.%lld.%s.weight",
                           (long long)i, part[k].name);
            else
                params_add(p, INIT_ONE, 1, PARAM_DIMS(part[k].out), "blocks.%lld.%s.weight", (long long)i,
                           part[k].name);
            params_add(p, INIT_ZERO, 1, PARAM_DIMS(part[k].out), "blocks.%lld.%s.bias", (long long)i, part[k].name);
        }
    }
    params_add(p, INIT_ONE, 1, PARAM_DIMS(c.width), "norm.weight");
    params_add(p, INIT_ZERO, 1, PARAM_DIMS(c.width), "norm.bias");
    params_add(p, INIT_XAVIER, 1, PARAM_DIMS(c.out, c.registers ? 2 * c.width : c.width), "projection.weight");
}

/* ---- forward ---- */

/* A study's tokens at one level: groups of prefix and patch tokens. */
typedef struct grouped {
    hct_tape *t;
    int64_t studies, prefix, patches, width; /* patches: of a whole study */
    int64_t groups;                          /* of a study */
    hct_id x;                                /* [studies groups, prefix + patches / groups, width] */
} grouped;

/* [studies, groups, prefix, width], and all patches [studies, patches, width] */
static void take_apart(const grouped *g, hct_id *ret_prefix, hct_id *ret_patches) {
    int64_t n = g->patches / g->groups;
    *ret_prefix = hct_reshape(g->t, hct_slice(g->t, g->x, 1, 0, g->prefix), 4,
                              (int64_t[]){g->studies, g->groups, g->prefix, g->width});
    *ret_patches =
        hct_reshape(g->t, hct_slice(g->t, g->x, 1, g->prefix, n), 3, (int64_t[]){g->studies, g->patches, g->width});
}

static void put_together(grouped *g, int64_t groups, hct_id prefix, hct_id all) {
    int64_t n = g->patches / groups;
    hct_id parts[2] = {hct_reshape(g->t, prefix, 3, (int64_t[]){g->studies * groups, g->prefix, g->width}),
                       hct_reshape(g->t, all, 3, (int64_t[]){g->studies * groups, n, g->width})};
    g->groups = groups;
    g->x = hct_concat(g->t, parts, 2, 1);
}

/* To another number of groups, of which one divides the other: prefix tokens are copied, or averaged. */
static void regroup(grouped *g, int64_t groups) {
    if (groups == g->groups) return;
    hct_id prefix, all;
    int64_t was = g->groups;
    take_apart(g, &prefix, &all);
    if (groups > was) {
        prefix = hct_reshape(g->t, prefix, 5, (int64_t[]){g->studies, was, 1, g->prefix, g->width});
        prefix = hct_expand(g->t, prefix, 5, (int64_t[]){g->studies, was, groups / was, g->prefix, g->width});
    } else {
        prefix = hct_reshape(g->t, prefix, 5, (int64_t[]){g->studies, groups, was / groups, g->prefix, g->width});
        prefix = hct_mean(g->t, prefix, HCT_AXIS(2), 0);
    }
    put_together(g, groups, prefix, all);
}

static hct_id attend(hct_tape *t, params *p, const hlip_config *c, int64_t i, hct_id x) {
    char name[64];
    const hct_view v = *hct_shape(t, x);
    int64_t b = v.dim[0], n = v.dim[1], d = c->width / c->heads;
    hct_id each[3];
    snprintf(name, sizeof name, "blocks.%lld.attn.qkv", (long long)i);
    hct_split(t, hct_reshape(t, layers_linear(t, p, name, x), 4, (int64_t[]){b, n, 3 * c->heads, d}), 2, 3, each);
    hct_id o = hct_attention(t, each[0], each[1], each[2], 1 / sqrt((double)d));
    snprintf(name, sizeof name, "blocks.%lld.attn.proj", (long long)i);
    return layers_linear(t, p, name, hct_reshape(t, o, 3, (int64_t[]){b, n, c->width}));
}

static hct_id block(hct_tape *t, params *p, const hlip_config *c, int64_t i, hct_id x) {
    char name[64];
#define PART(text) (snprintf(name, sizeof name, "blocks.%lld." text, (long long)i), name)
    hct_id h = attend(t, p, c, i, layers_norm(t, p, PART("norm1"), x, NORM_EPS));
    h = hct_add_layer_norm(t, x, h, params_use(p, t, "blocks.%lld.norm2.weight", (long long)i),
                           params_use(p, t, "blocks.%lld.norm2.bias", (long long)i), NORM_EPS, &x);
    h = layers_linear(t, p, PART("mlp.fc2"), layers_linear_gelu(t, p, PART("mlp.fc1"), h));
#undef PART
    return hct_add(t, x, h);
}

/* x [B, scans, D0, D1, D2] -> [B, scans patches, width]: patches as rows, times the weights. */
static hct_id embed(hct_tape *t, params *p, const hlip_config *c, hct_id x) {
    const hct_view v = *hct_shape(t, x);
    int64_t n = v.dim[0] * v.dim[1], voxels = c->patch[0] * c->patch[1] * c->patch[2];
    const int64_t cut[7] = {n, c->grid[0], c->patch[0], c->grid[1], c->patch[1], c->grid[2], c->patch[2]};
    hct_id w = hct_reshape(t, params_use(p, t, "patch_embed.proj.weight"), 2, (int64_t[]){c->width, voxels});
    x = hct_permute(t, hct_reshape(t, hct_cast(t, x, p->compute), 7, cut), (int[]){0, 1, 3, 5, 2, 4, 6});
    x = hct_linear(t, hct_reshape(t, hct_copy(t, x), 3, (int64_t[]){n, patches(c), voxels}), w,
                   params_use(p, t, "patch_embed.proj.bias"));
    x = hct_add(t, x, hct_reshape(t, params_use(p, t, "spatial_posemb"), 3, (int64_t[]){1, patches(c), c->width}));
    if (c->sequence) {
        hct_id rows = hct_slice(t, params_use(p, t, "sequential_posemb"), 1, 0, v.dim[1]);
        x = hct_add(t, hct_reshape(t, x, 4, (int64_t[]){v.dim[0], v.dim[1], patches(c), c->width}),
                    hct_reshape(t, rows, 4, (int64_t[]){1, v.dim[1], 1, c->width}));
    }
    return hct_reshape(t, x, 3, (int64_t[]){v.dim[0], v.dim[1] * patches(c), c->width});
}

static int64_t groups_of(const hlip_config *c, int64_t i, int64_t scans) {
    int64_t place = i % c->period;
    if (place == c->period - 1) return 1;
    return c->slices && place < c->period - 2 ? scans * c->grid[0] : scans;
}

static void forward(hct_tape *t, params *p, const encoder *e, hct_id x, encoder_values *v) {
    const hlip_config c = config_of(e);
    const hct_view in = *hct_shape(t, x);
    int64_t b = in.dim[0], scans = in.dim[1];
    if (c.sequence && scans > c.sequence) {
        hct_tape_fail(
            t, HCT_ESHAPE,
            "hlip: a study of %lld scans (each window of each series is one); its sequence table has rows for %lld",
            (long long)scans, (long long)c.sequence);
        return;
    }
    grouped g = {.t = t, .studies = b, .prefix = 1 + c.registers, .patches = scans * patches(&c), .width = c.width};
    hct_id prefix[2] = {params_use(p, t, "cls_token"), 0};
    if (c.registers) prefix[1] = params_use(p, t, "reg_token");
    hct_id tokens = c.registers ? hct_concat(t, prefix, 2, 1) : prefix[0];
    int64_t groups = groups_of(&c, 0, scans);
    hct_id all = hct_expand(t, hct_reshape(t, tokens, 4, (int64_t[]){1, 1, g.prefix, c.width}), 4,
                            (int64_t[]){b, groups, g.prefix, c.width});
    put_together(&g, groups, all, embed(t, p, &c, x));
    for (int64_t i = 0; i < c.depth; i++) {
        regroup(&g, groups_of(&c, i, scans));
        if (p->recompute) hct_segment_begin(t);
        g.x = block(t, p, &c, i, g.x);
        if (p->recompute) hct_segment_end(t);
        if (v->activation) v->activation[i] = g.x;
    }
    regroup(&g, 1);
    v->tokens = layers_norm(t, p, "norm", g.x, NORM_EPS);
    hct_id first = hct_reshape(t, hct_slice(t, v->tokens, 1, 0, 1), 2, (int64_t[]){b, c.width});
    if (c.registers) {
        hct_id mean = hct_mean(t, hct_slice(t, v->tokens, 1, g.prefix, g.patches), HCT_AXIS(1), 0);
        first = hct_concat(t, (hct_id[]){first, mean}, 2, 1);
    }
    v->embedding = e->output ? first : hct_linear(t, first, params_use(p, t, "projection.weight"), 0);
}

/* ---- what others ask ---- */

static int64_t width(const encoder *e) {
    const hlip_config c = config_of(e);
    return e->output ? (c.registers ? 2 * c.width : c.width) : c.out;
}
static int64_t tokens(const encoder *e) {
    const hlip_config c = config_of(e);
    return 1 + c.registers + e->input.n_windows * patches(&c);
}
static int64_t layers(const encoder *e) { return config_of(e).depth; }
static int64_t layer_of(const encoder *e, const char *tensor) {
    if (!strncmp(tensor, "blocks.", 7)) return 1 + strtoll(tensor + 7, NULL, 10);
    return !strncmp(tensor, "norm.", 5) || !strncmp(tensor, "projection.", 11) ? layers(e) + 1 : 0;
}

static const char *const outputs[] = {"embedding", "trunk", NULL};

/* ---- files without a description ---- */

static const hct_st_entry *need(const hct_st_entry *sorted, size_t n, const char *path, const char *name, int ndim,
                                hct_err *err) {
    const hct_st_entry *e = geometry_find(sorted, n, name);
    int ok = e && e->ndim == ndim;
    for (int d = 0; ok && d < ndim; d++) ok = e->dim[d] > 0 && e->dim[d] <= 1 << 20;
    if (ok) return e;
    if (e) hct_fail(err, HCT_EFORMAT, "%s: '%s' must have %d axes, none of length 0", path, name, ndim);
    else hct_fail(err, HCT_EFORMAT, "%s: holds no tensor '%s', so it is no image encoder of HLIP", path, name);
    return NULL;
}

static int64_t depth_of(const hct_st_entry *sorted, size_t n) {
    return geometry_count(sorted, n, "blocks.", ".norm1.weight");
}

static hct_status sizes(const hct_st_entry *sorted, size_t n, const char *path, encoder *io, hct_err *err) {
    hlip_config c = config_of(io);
    const hct_st_entry *patch = need(sorted, n, path, "patch_embed.proj.weight", 5, err),
                       *table = patch ? need(sorted, n, path, "spatial_posemb", 5, err) : NULL,
                       *mlp = table ? need(sorted, n, path, "blocks.0.mlp.fc1.weight", 2, err) : NULL,
                       *out = mlp ? need(sorted, n, path, "projection.weight", 2, err) : NULL,
                       *reg = geometry_find(sorted, n, "reg_token"),
                       *sequence = geometry_find(sorted, n, "sequential_posemb");
    if (!out) return HCT_EFORMAT;
    if (patch->dim[1] != 1 || table->dim[0] != 1 || table->dim[4] != patch->dim[0])
        return hct_fail(err, HCT_EFORMAT, "%s: its patches and its position table do not fit each other", path);
    c.width = patch->dim[0];
    c.mlp = mlp->dim[0];
    c.out = out->dim[0];
    c.registers = reg && reg->ndim == 3 ? reg->dim[1] : 0;
    c.sequence = sequence && sequence->ndim == 3 ? sequence->dim[1] : 0;
    for (int d = 0; d < 3; d++) c.patch[d] = patch->dim[2 + d], c.grid[d] = table->dim[1 + d];
    c.depth = depth_of(sorted, n);
    set(io, &c);
    return HCT_OK;
}

static int recognises(const hct_st_entry *sorted, size_t n) {
    return geometry_find(sorted, n, "spatial_posemb") != NULL;
}

/* Heads of 64 channels, study attention four times; which of the two patterns the models of 2026 have no tensor
 * tells. */
static hct_status presume(const hct_st_entry *sorted, size_t n, const char *path, encoder *io, hct_err *err) {
    hlip_config c = config_of(io);
    const hct_st_entry *patch = geometry_find(sorted, n, "patch_embed.proj.weight");
    int64_t depth = depth_of(sorted, n);
    if (!patch) return HCT_OK; /* sizes() says so */
    int fits = patch->ndim == 5 && patch->dim[0] >= 64 && patch->dim[0] % 64 == 0 && depth && depth % 4 == 0;
    c.heads = fits ? patch->dim[0] / 64 : 0;
    c.period = fits ? depth / 4 : 0;
    memcpy(io->own, &c, sizeof c);
    return fits ? HCT_OK
                : hct_fail(err, HCT_EINVAL,
                           "%s: its sizes are none of a published HLIP model; give --set heads=N and --set period=N",
                           path);
}

/* v1 has one pattern of attention, the models of 2026 (with a register token) two. */
static const char *must_tell(const hct_st_entry *sorted, size_t n) {
    return geometry_find(sorted, n, "reg_token") ? "slices" : NULL;
}

/* The published names of what lies outside of the trunk. */
static const char *plain_name(const char *name) {
    static const char *const heads[] = {"visual.head.proj.weight", "head.proj.weight", NULL};
    for (const char *const *h = heads; *h; h++)
        if (!strcmp(name, *h)) return "projection.weight";
    return !strcmp(name, "series_posemb") ? "sequential_posemb" : name;
}

/* No attention to give: its groups differ from block to block, and there is no one table. */
const encoder_kind encoder_hlip = {
    .name = "hlip",
    .summary = "HLIP's transformer over all scans of a study",
    .fields = fields,
    .size = sizeof(hlip_config),
    .defaults = defaults,
    .check = check,
    .declare = declare,
    .forward = forward,
    .width = width,
    .tokens = tokens,
    .layers = layers,
    .layer_of = layer_of,
    .outputs = outputs,
    .own_input = 1,
    .studies = 1,
    .sizes = sizes,
    .untold = untold,
    .key = "spatial_posemb",
    .recognises = recognises,
    .presume = presume,
    .must_tell = must_tell,
    .plain_name = plain_name,
};
