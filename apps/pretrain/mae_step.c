/* One recorded MAE step, or one validation pass, and what is drawn for it: masks, flips and shifts. */
#include "pretrain/mae_step.h"

#include <stdlib.h>
#include <string.h>

#include "models/vit_mae.h"
#include "pretrain/reconstruction.h"
#include "support/paths.h"

typedef struct mae_step {
    mae_config config;
    int64_t patches;
    mae_inputs in[MICRO_MOST];
    hct_id pred;          /* the first micro-batch's, where there is no optimiser */
    float *noise, *views; /* of one micro-batch; views NULL: images as they are */
    float *inside;        /* which voxels count; NULL: all */
} mae_step;

static void record(method_step *s, params *p, hct_optim *optim) {
    mae_step *own = s->own;
    hct_tape *t = s->tape;
    for (int64_t m = 0; m < s->micro; m++) {
        mae_outputs out = mae_forward(t, p, &own->config, &own->in[m]);
        s->loss[m] = out.loss;
        hct_keep(t, out.loss);
        if (!optim) {
            hct_keep(t, out.pred);
            if (!m) own->pred = out.pred;
            continue;
        }
        if (m == s->micro - 1) hct_optim_reduce(optim, t, 0);
        hct_backward(t, out.loss, hct_fill(t, HCT_F32, 0, NULL, 1.0 / (double)s->micro));
    }
    if (optim) hct_optim_record(optim, t);
}

static hct_status open_step(method_step *s, const method_setup *o, hct_err *err) {
    mae_step *own = s->own = calloc(1, sizeof *own);
    size_t batch = (size_t)o->batch;
    if (!own) return hct_fail(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)o->batch);
    own->config = mae_of(&o->info->pretext, &o->info->encoder);
    own->patches = mae_patches(&own->config);
    /* validation sees images as they are */
    int augments = o->optim && views_augments(&o->r->views);
    size_t floats = (size_t)own->patches + (augments ? HCT_VIEW_FLOATS : 0);
    s->item = input_floats(&o->info->encoder.input) * sizeof(float);
    s->host_bytes = batch * (s->item * (own->config.inside ? 2 : 1) + floats * sizeof(float));
    s->host = malloc(batch * s->item);
    own->noise = malloc(batch * (size_t)own->patches * sizeof *own->noise);
    if (own->config.inside) own->inside = malloc(batch * s->item);
    if (augments) own->views = calloc(batch * HCT_VIEW_FLOATS, sizeof *own->views);
    s->tape = hct_tape_new(o->dev, HCT_PROGRAM);
    if (!s->host || !own->noise || (augments && !own->views) || (own->config.inside && !own->inside) || !s->tape)
        return hct_fail(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)o->batch);
    hct_status st = HCT_OK;
    for (int64_t m = 0; st == HCT_OK && m < s->micro; m++) {
        st = mae_inputs_new(&own->in[m], o->dev, &own->config, o->batch, err);
        if (st == HCT_OK && augments) st = mae_inputs_augment(&own->in[m], o->dev, &own->config, o->batch, err);
    }
    if (st == HCT_OK) record(s, o->p, o->optim);
    return st;
}

static void close_step(method_step *s) {
    mae_step *own = s->own;
    hct_tape_free(s->tape);
    for (int64_t m = 0; own && m < s->micro; m++) mae_inputs_free(&own->in[m]);
    if (own) free(own->noise), free(own->views), free(own->inside);
    free(own);
    free(s->host);
}

/* Masks of scan b are drawn from (seed, step, scan[b]), flips and shift from (seed, epoch, scan[b]). */
static hct_status fill_micro(method_step *s, int64_t m, const method_draw *d, hct_err *err) {
    mae_step *own = s->own;
    int64_t patches = own->patches;
    for (int64_t b = 0; b < s->batch; b++) {
        uint64_t scan = b < d->valid ? d->scan[b] : 0;
        mae_noise(d->seed, (uint64_t)d->step, scan, patches, own->noise + b * patches);
        if (own->views)
            views_draw_whole(&s->r->views, d->seed, (uint64_t)d->epoch, scan, own->config.encoder.image,
                             own->views + b * HCT_VIEW_FLOATS);
    }
    hct_status st = hct_tensor_write(own->in[m].image, s->host, err);
    if (st == HCT_OK && own->views) st = mae_set_views(&own->in[m], s->batch, own->views, err);
    if (st == HCT_OK && own->inside) {
        mae_inside(&own->config, s->batch, s->host, own->inside);
        st = hct_tensor_write(own->in[m].inside, own->inside, err);
    }
    if (st == HCT_OK) st = mae_set_mask(&own->in[m], &own->config, s->batch, own->noise, err);
    if (st < 0 || d->valid == s->batch) return st;
    float *mask = own->noise; /* reused: what fills up the batch is not counted */
    if ((st = hct_tensor_read(own->in[m].mask, mask, err)) < 0) return st;
    memset(mask + d->valid * patches, 0, (size_t)((s->batch - d->valid) * patches) * sizeof *mask);
    return hct_tensor_write(own->in[m].mask, mask, err);
}

static hct_status draw_figures(method_step *s, const char *folder, hct_err *err) {
    mae_step *own = s->own;
    char *path = path_join(folder, "reconstruction.png");
    const reconstruction_batch b = {.tape = s->tape,
                                    .channels = own->config.encoder.channels,
                                    .edge = own->config.encoder.image,
                                    .patch = own->config.encoder.patch,
                                    .normalize = own->config.normalize,
                                    .image = s->host,
                                    .mask = own->in[0].mask,
                                    .pred = own->pred,
                                    .batch = s->batch};
    hct_status st = path ? reconstruction_draw(&b, path, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    return st;
}

static void describe(const recipe *r, const model_info *info, text_buffer *out) {
    (void)r;
    const mae_config c = mae_of(&info->pretext, &info->encoder);
    text_printf(out, ", %lld visible", (long long)mae_kept(&c));
}

const method method_mae = {
    .name = "mae",
    .title = "MAE",
    .summary = "masked autoencoder: three quarters of the patches are hidden, and predicted from the others",
    .pretext = &pretext_mae,
    .chooses = 1,
    .open = open_step,
    .close = close_step,
    .fill = fill_micro,
    .draw = draw_figures,
    .describe = describe,
};
