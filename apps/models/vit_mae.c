/* Masked autoencoding: its tensors, masks, forward pass and loss, and its row of the table of pretext tasks. */
#include "models/vit_mae.h"

#include <stdlib.h>
#include <string.h>

#include "hct/philox.h"
#include "hct/view.h"
#include "models/geometry.h"
#include "models/layers.h"
#include "models/position.h"
#include "models/vit_encoder.h"
#include "support/streams.h"

#define TARGET_EPS 1e-6
#define DECODER_EPS 1e-5
#define INSIDE_LOW 0.03f
#define INSIDE_HIGH 0.97f

hct_status mae_check(const mae_config *c, hct_err *err) {
    hct_status st = vit_check(&c->encoder, err);
    if (st < 0) return st;
    if (c->width < 1 || c->depth < 1 || c->heads < 1 || c->mlp < 1)
        return hct_fail(err, HCT_EINVAL,
                        "model.decoder: width %lld, depth %lld, heads %lld and mlp %lld must all be 1 or more",
                        (long long)c->width, (long long)c->depth, (long long)c->heads, (long long)c->mlp);
    if (c->width % c->heads)
        return hct_fail(err, HCT_EINVAL, "model.decoder.width: %lld is not divisible by model.decoder.heads %lld",
                        (long long)c->width, (long long)c->heads);
    if (c->width % 6)
        return hct_fail(err, HCT_EINVAL,
                        "model.decoder.width: %lld is not divisible by 6, which 3D sine-cosine positions need",
                        (long long)c->width);
    if (c->encoder.registers) return hct_fail(err, HCT_EINVAL, "model.registers: MAE has none; set it to 0");
    if (!(c->mask_ratio > 0 && c->mask_ratio < 1) || mae_kept(c) < 1)
        return hct_fail(err, HCT_EINVAL, "model.mask_ratio: %g does not lie between 0 and 1 and leave a patch visible",
                        c->mask_ratio);
    return HCT_OK;
}

void mae_declare(params *p, const mae_config *c) {
    const vit_config *e = &c->encoder;
    int64_t voxels = e->channels * e->patch * e->patch * e->patch, patches = vit_patches(e);
    vit_declare(p, e);
    params_add(p, INIT_XAVIER, 1, PARAM_DIMS(c->width, e->width), "decoder_embed.weight");
    if (c->decoder_bias) params_add(p, INIT_ZERO, 1, PARAM_DIMS(c->width), "decoder_embed.bias");
    params_add(p, INIT_NORMAL, 1, PARAM_DIMS(1, 1, c->width), "mask_token");
    params_add(p, INIT_NORMAL, 1, PARAM_DIMS(1, 1, c->width), "decoder_cls_token");
    params_add(p, INIT_GIVEN, 0, PARAM_DIMS(1, patches, c->width), "decoder_pos_embed");
    vit_declare_blocks(p, "decoder_blocks", c->depth, c->width, c->mlp, c->decoder_bias, INIT_XAVIER);
    params_add(p, INIT_ONE, 1, PARAM_DIMS(c->width), "decoder_norm.weight");
    params_add(p, INIT_ZERO, 1, PARAM_DIMS(c->width), "decoder_norm.bias");
    params_add(p, INIT_XAVIER, 1, PARAM_DIMS(voxels, c->width), "decoder_pred.weight");
    if (c->decoder_bias) params_add(p, INIT_ZERO, 1, PARAM_DIMS(voxels), "decoder_pred.bias");
    float *table = malloc((size_t)(patches * c->width) * sizeof *table);
    if (!table) {
        hct_fail(&p->error, HCT_ENOMEM, "out of memory for the position table");
        return;
    }
    position_sincos(vit_grid(e), c->width, table);
    if (p->error.code == 0) params_set(p, "decoder_pos_embed", table, &p->error);
    free(table);
}

/* ---- inputs ---- */

hct_status mae_inputs_new(mae_inputs *in, hct_dev *dev, const mae_config *c, int64_t batch, hct_err *err) {
    const vit_config *e = &c->encoder;
    *in = (mae_inputs){
        .image = hct_tensor_new(dev, HCT_F32, PARAM_DIMS(batch, e->channels, e->image, e->image, e->image), err)};
    if (in->image) in->keep = hct_tensor_new(dev, HCT_I32, PARAM_DIMS(batch, mae_kept(c)), err);
    if (in->keep) in->restore = hct_tensor_new(dev, HCT_I32, PARAM_DIMS(batch, vit_patches(e)), err);
    if (in->restore) in->mask = hct_tensor_new(dev, HCT_F32, PARAM_DIMS(batch, vit_patches(e)), err);
    if (in->mask && c->inside)
        in->inside = hct_tensor_new(dev, HCT_F32, PARAM_DIMS(batch, e->channels, e->image, e->image, e->image), err);
    if (in->mask && (in->inside || !c->inside)) return HCT_OK;
    mae_inputs_free(in);
    return err ? err->code : HCT_ENOMEM;
}

hct_status mae_inputs_augment(mae_inputs *in, hct_dev *dev, const mae_config *c, int64_t batch, hct_err *err) {
    float *q = calloc((size_t)batch * HCT_VIEW_FLOATS, sizeof *q);
    in->views = hct_tensor_new(dev, HCT_F32, PARAM_DIMS(1, batch, HCT_VIEW_FLOATS), err);
    if (in->views && in->inside)
        in->inside_views = hct_tensor_new(dev, HCT_F32, PARAM_DIMS(1, batch, HCT_VIEW_FLOATS), err);
    hct_status st = q && in->views && (in->inside_views || !in->inside)
                        ? HCT_OK
                        : hct_fail(err, HCT_ENOMEM, "out of memory for the views");
    for (int64_t i = 0; st == HCT_OK && i < 3 * batch; i++)
        q[i / 3 * HCT_VIEW_FLOATS + HCT_VIEW_EXTENT + i % 3] = (float)c->encoder.image;
    if (st == HCT_OK) st = mae_set_views(in, batch, q, err);
    free(q);
    return st;
}

hct_status mae_set_views(const mae_inputs *in, int64_t batch, float *views, hct_err *err) {
    hct_status st = hct_tensor_write(in->views, views, err);
    for (int64_t b = 0; b < batch; b++) views[b * HCT_VIEW_FLOATS + HCT_VIEW_SHIFT] = 0;
    if (st == HCT_OK && in->inside_views) st = hct_tensor_write(in->inside_views, views, err);
    return st;
}

void mae_inputs_free(mae_inputs *in) {
    hct_tensor_free(in->views);
    hct_tensor_free(in->image);
    hct_tensor_free(in->keep);
    hct_tensor_free(in->restore);
    hct_tensor_free(in->mask);
    hct_tensor_free(in->inside);
    hct_tensor_free(in->inside_views);
    *in = (mae_inputs){0};
}

void mae_noise(uint64_t seed, uint64_t step, uint64_t scan, int64_t patches, float *noise) {
    for (int64_t i = 0; i < patches; i += 4) {
        hct_philox r = hct_philox4x32(seed ^ STREAM_MASK, step << 20 | (uint64_t)(i / 4), scan);
        for (int64_t k = 0; k < 4 && i + k < patches; k++) noise[i + k] = hct_u01f(r.v[k]);
    }
}

static inline int within(float v) { return (v > INSIDE_LOW) & (v < INSIDE_HIGH); }

void mae_inside(const mae_config *c, int64_t batch, const float *image, float *ret) {
    int64_t side = c->encoder.image, plane = side * side, volumes = batch * c->encoder.channels;
    memset(ret, 0, (size_t)(volumes * plane * side) * sizeof *ret);
    for (int64_t v = 0; v < volumes; v++)
        for (int64_t x = 1; x < side - 1; x++)
            for (int64_t y = 1; y < side - 1; y++) {
                int64_t row = v * plane * side + x * plane + y * side;
                const float *at = image + row;
                for (int64_t z = 1; z < side - 1; z++)
                    ret[row + z] =
                        (float)(within(at[z]) & within(at[z - 1]) & within(at[z + 1]) & within(at[z - side]) &
                                within(at[z + side]) & within(at[z - plane]) & within(at[z + plane]));
            }
}

typedef struct place {
    float noise;
    int32_t patch;
} place;

static int by_noise(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->noise != y->noise) return x->noise < y->noise ? -1 : 1;
    return x->patch < y->patch ? -1 : x->patch > y->patch;
}

hct_status mae_set_mask(const mae_inputs *in, const mae_config *c, int64_t batch, const float *noise, hct_err *err) {
    int64_t patches = vit_patches(&c->encoder), kept = mae_kept(c);
    place *order = malloc((size_t)patches * sizeof *order);
    int32_t *keep = malloc((size_t)(batch * kept) * sizeof *keep),
            *restore = malloc((size_t)(batch * patches) * sizeof *restore);
    float *mask = malloc((size_t)(batch * patches) * sizeof *mask);
    hct_status st =
        order && keep && restore && mask ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for the masks");
    for (int64_t b = 0; st == HCT_OK && b < batch; b++) {
        for (int64_t i = 0; i < patches; i++) order[i] = (place){noise[b * patches + i], (int32_t)i};
        qsort(order, (size_t)patches, sizeof *order, by_noise);
        for (int64_t i = 0; i < patches; i++) {
            if (i < kept) keep[b * kept + i] = order[i].patch;
            restore[b * patches + order[i].patch] = (int32_t)i;
            mask[b * patches + order[i].patch] = i >= kept;
        }
    }
    if (st == HCT_OK) st = hct_tensor_write(in->keep, keep, err);
    if (st == HCT_OK) st = hct_tensor_write(in->restore, restore, err);
    if (st == HCT_OK) st = hct_tensor_write(in->mask, mask, err);
    free(order);
    free(keep);
    free(restore);
    free(mask);
    return st;
}

/* ---- the model ---- */

static hct_id target(hct_tape *t, const mae_config *c, hct_id image) {
    hct_id x = hct_unfold3d(t, image, c->encoder.patch, 1);
    if (!c->normalize) return x;
    const hct_view *v = hct_shape(t, x);
    double n = (double)v->dim[2];
    hct_id centred = hct_sub(t, x, hct_mean(t, x, HCT_AXIS(2), 1));
    hct_id var = hct_scale(t, hct_sum(t, hct_mul(t, centred, centred), HCT_AXIS(2), 1), 1 / (n - 1), 0);
    return hct_mul(t, centred, hct_rsqrt(t, var, TARGET_EPS));
}

static hct_id decode(hct_tape *t, params *p, const mae_config *c, hct_id latent, hct_id restore) {
    hct_id x = layers_linear(t, p, "decoder_embed", latent);
    int64_t b = hct_shape(t, x)->dim[0], patches = vit_patches(&c->encoder), kept = mae_kept(c);
    hct_id hidden = hct_expand(t, params_use(p, t, "mask_token"), 3, (int64_t[]){b, patches - kept, c->width});
    hct_id all = hct_concat(t, (hct_id[]){hct_slice(t, x, 1, 1, kept), hidden}, 2, 1);
    all = hct_add(t, hct_gather(t, all, restore), params_use(p, t, "decoder_pos_embed"));
    hct_id cls = hct_add(t, hct_slice(t, x, 1, 0, 1), params_use(p, t, "decoder_cls_token"));
    x = vit_blocks(t, p, "decoder_blocks", c->depth, c->heads, hct_concat(t, (hct_id[]){cls, all}, 2, 1),
                   "decoder_norm", DECODER_EPS, 0, NULL);
    x = layers_linear(t, p, "decoder_pred", x);
    return hct_cast(t, hct_slice(t, x, 1, 1, patches), HCT_F32); /* targets and loss are F32 whatever is computed in */
}

/* Whole images [B, C, S, S, S], flipped and shifted; views NULL: as they are. */
static hct_id viewed(hct_tape *t, const vit_config *e, hct_tensor *image, hct_tensor *views) {
    hct_id x = hct_use(t, image), view = 0;
    if (!views) return x;
    hct_emit(t, "ct_views", (hct_id[]){x, hct_use(t, views)}, 2, &HCT_INT("size", e->image), 1, &view, 1);
    return view ? hct_reshape(t, view, 5, (int64_t[]){-1, e->channels, e->image, e->image, e->image}) : x;
}

mae_outputs mae_forward(hct_tape *t, params *p, const mae_config *c, const mae_inputs *in) {
    const vit_config *e = &c->encoder;
    mae_outputs out;
    hct_id image = viewed(t, e, in->image, in->views);
    hct_id visible = vit_embed(t, p, e, image, hct_use(t, in->keep));
    out.latent = vit_blocks(t, p, "blocks", e->depth, e->heads, vit_prepend(t, p, e, visible), "norm", e->norm_eps,
                            e->block_eps, NULL);
    out.pred = decode(t, p, c, out.latent, hct_use(t, in->restore));
    hct_id want = target(t, c, image), have = out.pred;
    if (in->inside) {
        hct_id counts = hct_unfold3d(t, viewed(t, e, in->inside, in->inside_views), e->patch, 1);
        want = hct_mul(t, want, counts);
        have = hct_mul(t, have, counts);
    }
    out.loss = hct_mse_masked(t, have, hct_detach(t, want), hct_use(t, in->mask));
    return out;
}

/* ---- as a pretext task ---- */

#define AT(member) offsetof(mae_config, member)
static const model_field fields[] = {
    {"decoder_width", "model.decoder.width", AT(width), FIELD_WHOLE, 6, 65536, 0},
    {"decoder_depth", "model.decoder.depth", AT(depth), FIELD_WHOLE, 1, 1000, 0},
    {"decoder_heads", "model.decoder.heads", AT(heads), FIELD_WHOLE, 1, 1024, 0},
    {"decoder_mlp", "model.decoder.mlp", AT(mlp), FIELD_WHOLE, 1, 262144, 0},
    {"decoder_bias", "model.decoder.bias", AT(decoder_bias), FIELD_FLAG, 0, 1, 0},
    {"mask_ratio", "model.mask_ratio", AT(mask_ratio), FIELD_REAL, 0, 1, 0},
    {"norm_pix", "model.norm_pix", AT(normalize), FIELD_FLAG, 0, 1, 0},
    {"loss_inside", "model.loss", AT(inside), FIELD_FLAG, 0, 1, 1},
    {0},
};
static const char *const untold[] = {"decoder_heads", "mask_ratio", "norm_pix", "loss_inside", NULL};

mae_config mae_of(const pretext *x, const encoder *e) {
    mae_config c;
    memcpy(&c, x->own, sizeof c);
    c.encoder = vit_of(e);
    return c;
}

pretext pretext_of_mae(const mae_config *c) {
    pretext x = {.kind = &pretext_mae};
    mae_config own = *c;
    memset(&own.encoder, 0, sizeof own.encoder);
    memcpy(x.own, &own, sizeof own);
    return x;
}

static hct_status check_pretext(const pretext *x, const encoder *e, hct_err *err) {
    if (e->kind != &encoder_vit)
        return hct_fail(err, HCT_EINVAL, "mae needs the tokens of a vit; model.kind is %s", e->kind->name);
    const mae_config c = mae_of(x, e);
    return mae_check(&c, err);
}

static void adjust(encoder *e) {
    if (e->kind != &encoder_vit) return; /* refused by the check */
    vit_config c = vit_of(e);
    c.norm_eps = MAE_NORM_EPS;
    encoder own = encoder_of_vit(&c, e->input.window, e->input.crop[0]);
    memcpy(e->own, own.own, sizeof e->own);
}

static void declare_pretext(params *p, const pretext *x, const encoder *e) {
    const mae_config c = mae_of(x, e);
    mae_declare(p, &c);
}

static hct_status sizes_of_pretext(const hct_st_entry *sorted, size_t n, const char *path, const encoder *e,
                                   pretext *io, hct_err *err) {
    mae_config c = mae_of(io, e);
    const mae_config old = c;
    hct_status st = geometry_of_decoder(sorted, n, path, c.heads, &c, err);
    if (st < 0) return st;
    c.mask_ratio = old.mask_ratio;
    *io = pretext_of_mae(&c);
    return HCT_OK;
}

/* Heads of 48 channels; three quarters of the patches are hidden. */
static hct_status presume(const hct_st_entry *sorted, size_t n, const char *path, pretext *io, hct_err *err) {
    const hct_st_entry *embed = geometry_find(sorted, n, "decoder_embed.weight");
    int64_t width = embed && embed->ndim > 0 ? embed->dim[0] : 48;
    mae_config own;
    memcpy(&own, io->own, sizeof own);
    own.mask_ratio = 0.75;
    if (!own.heads && (width < 48 || width % 48))
        return hct_fail(err, HCT_EINVAL,
                        "%s: its decoder's width is no multiple of 48, so its number of heads is not the paper's; "
                        "give it with --decoder-heads N, or leave the decoder out with --encoder-only",
                        path);
    if (!own.heads) own.heads = width / 48;
    memcpy(io->own, &own, sizeof own);
    return HCT_OK;
}

const pretext_kind pretext_mae = {
    .name = "mae",
    .fields = fields,
    .size = sizeof(mae_config),
    .check = check_pretext,
    .adjust = adjust,
    .declare = declare_pretext,
    .sizes = sizes_of_pretext,
    .untold = untold,
    .recognises = geometry_has_decoder,
    .presume = presume,
};
