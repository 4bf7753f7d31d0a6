/* The toy method: what an author of another method writes, and nothing else. It adds no tensors to the encoder's. */
#include "toy_method.h"

#include <stdlib.h>

typedef struct toy_step {
    hct_tensor *image[MICRO_MOST]; /* F32 [batch, C, D0, D1, D2] */
} toy_step;

/* mean((embedding[:, 0] - mean of the image)^2) */
static void record(method_step *s, params *p, hct_optim *optim) {
    toy_step *own = s->own;
    hct_tape *t = s->tape;
    const encoder *e = &s->info->encoder;
    for (int64_t m = 0; m < s->micro; m++) {
        encoder_values v = {0};
        hct_id x = hct_use(t, own->image[m]);
        e->kind->forward(t, p, e, x, &v);
        hct_id first = hct_reshape(t, hct_slice(t, v.embedding, 1, 0, 1), 1, (int64_t[]){s->batch}),
               off = hct_sub(t, first, hct_mean(t, x, HCT_AXES(5) & ~HCT_AXIS(0), 0));
        s->loss[m] = hct_mean(t, hct_mul(t, off, off), HCT_AXIS(0), 0);
        hct_keep(t, s->loss[m]);
        if (optim) hct_backward(t, s->loss[m], hct_fill(t, HCT_F32, 0, NULL, 1.0 / (double)s->micro));
    }
    if (optim) hct_optim_record(optim, t);
}

static hct_status open_step(method_step *s, const method_setup *o, hct_err *err) {
    const input_spec *input = &s->info->encoder.input;
    toy_step *own = s->own = calloc(1, sizeof *own);
    int64_t dim[5] = {s->batch, input->n_windows};
    input_dims(input, dim + 2);
    s->item = input_floats(input) * sizeof(float);
    s->host_bytes = (uint64_t)s->batch * s->item;
    s->host = malloc((size_t)s->batch * s->item);
    s->tape = hct_tape_new(o->dev, HCT_PROGRAM);
    if (!own || !s->host || !s->tape) return hct_fail(err, HCT_ENOMEM, "out of memory");
    for (int64_t m = 0; m < s->micro; m++)
        if (!(own->image[m] = hct_tensor_new(o->dev, HCT_F32, 5, dim, err))) return err->code;
    record(s, o->p, o->optim);
    return HCT_OK;
}

static void close_step(method_step *s) {
    toy_step *own = s->own;
    hct_tape_free(s->tape);
    for (int64_t m = 0; own && m < s->micro; m++) hct_tensor_free(own->image[m]);
    free(own);
    free(s->host);
}

static hct_status fill_micro(method_step *s, int64_t m, const method_draw *d, hct_err *err) {
    toy_step *own = s->own;
    (void)d;
    return hct_tensor_write(own->image[m], s->host, err);
}

const method method_toy = {
    .name = "toy",
    .title = "toy",
    .summary = "the embedding's first value learns the image's mean (a test)",
    .chooses = 1,
    .whole_batches = 1,
    .open = open_step,
    .close = close_step,
    .fill = fill_micro,
};
