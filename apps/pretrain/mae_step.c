#include "pretrain/mae_step.h"

#include <stdlib.h>
#include <string.h>

static void record(mae_step *s, params *p, const mae_config *c, hct_optim *optim) {
    hct_tape *t = s->tape;
    for (int64_t m = 0; m < s->micro; m++) {
        s->out[m] = mae_forward(t, p, c, &s->in[m]);
        hct_keep(t, s->out[m].loss);
        if (!optim) {
            hct_keep(t, s->out[m].pred);
            continue;
        }
        if (m == s->micro - 1) hct_optim_reduce(optim, t, 0);
        hct_backward(t, s->out[m].loss, hct_fill(t, HCT_F32, 0, NULL, 1.0 / (double)s->micro));
    }
    if (optim) hct_optim_record(optim, t);
}

hct_status mae_step_new(mae_step *s, hct_dev *dev, params *p, const mae_config *c, int64_t batch, int64_t micro,
                        const views_config *augment, hct_optim *optim, int plan_only, hct_err *err) {
    memset(s, 0, sizeof *s);
    hct_status st = micro_check(micro, err);
    if (st < 0) return st;
    const vit_config *e = &c->encoder;
    s->batch = batch;
    s->micro = micro;
    s->image_floats = (size_t)(e->channels * e->image * e->image * e->image);
    s->image = malloc((size_t)batch * s->image_floats * sizeof *s->image);
    s->noise = malloc((size_t)(batch * vit_patches(e)) * sizeof *s->noise);
    s->tape = hct_tape_new(dev, HCT_PROGRAM);
    st = s->image && s->noise && s->tape
             ? HCT_OK
             : hct_fail(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)batch);
    for (int64_t m = 0; st == HCT_OK && m < micro; m++) st = mae_inputs_new(&s->in[m], dev, c, batch, err);
    if (st == HCT_OK && augment && views_augments(augment)) {
        s->augment = *augment;
        s->views = calloc((size_t)batch * VIEW_FLOATS, sizeof *s->views);
        if (!s->views) st = hct_fail(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)batch);
        for (int64_t m = 0; st == HCT_OK && m < micro; m++) st = mae_inputs_augment(&s->in[m], dev, c, batch, err);
    }
    if (st == HCT_OK) {
        record(s, p, c, optim);
        st = plan_only ? hct_plan_only(s->tape, err) : hct_compile(s->tape, err);
    }
    if (st < 0) mae_step_free(s);
    return st;
}

void mae_step_free(mae_step *s) {
    hct_tape_free(s->tape);
    for (int64_t m = 0; m < s->micro; m++) mae_inputs_free(&s->in[m]);
    free(s->image);
    free(s->noise);
    free(s->views);
    memset(s, 0, sizeof *s);
}

uint64_t mae_step_host_bytes(const mae_step *s, const mae_config *c) {
    return (uint64_t)s->batch * (s->image_floats + (size_t)vit_patches(&c->encoder) + (s->views ? VIEW_FLOATS : 0)) *
           sizeof(float);
}

hct_status mae_step_fill(mae_step *s, const mae_config *c, int64_t m, uint64_t seed, uint64_t epoch, uint64_t step,
                         const size_t *scan, int64_t valid, hct_err *err) {
    int64_t patches = vit_patches(&c->encoder);
    for (int64_t b = 0; b < s->batch; b++)
        mae_noise(seed, step, b < valid ? scan[b] : 0, patches, s->noise + b * patches);
    for (int64_t b = 0; s->views && b < s->batch; b++)
        views_draw_whole(&s->augment, seed, epoch, b < valid ? scan[b] : 0, c->encoder.image,
                         s->views + b * VIEW_FLOATS);
    hct_status st = hct_tensor_write(s->in[m].image, s->image, err);
    if (st == HCT_OK && s->views) st = hct_tensor_write(s->in[m].views, s->views, err);
    if (st == HCT_OK) st = mae_set_mask(&s->in[m], c, s->batch, s->noise, err);
    if (st < 0 || valid == s->batch) return st;
    float *mask = s->noise; /* reused: what fills up the batch is not counted */
    if ((st = hct_tensor_read(s->in[m].mask, mask, err)) < 0) return st;
    memset(mask + valid * patches, 0, (size_t)((s->batch - valid) * patches) * sizeof *mask);
    return hct_tensor_write(s->in[m].mask, mask, err);
}

hct_status mae_step_loss(mae_step *s, double *ret_loss, hct_err *err) {
    hct_id loss[MICRO_MOST];
    for (int64_t m = 0; m < s->micro; m++) loss[m] = s->out[m].loss;
    return micro_losses(s->tape, loss, s->micro, ret_loss, err);
}
