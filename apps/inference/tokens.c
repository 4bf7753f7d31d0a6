/* All tokens and attention of an encoder for a ready input. */
#include "inference/tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/device.h"
#include "support/sha256.h"

typedef struct telling {
    hct_dev *dev;
    params *p;
    model_info info;
    char weights[MODEL_HASH], input[SHA256_HEX];
    hct_tensor *image; /* [1, C, D0, D1, D2] */
    hct_tape *tape;
    hct_id *value; /* tokens, cls, attn.0, attn.1, ... */
    size_t n;
    hct_st_entry *out; /* [n]; data are ours */
} telling;

static const hct_st_entry *choose(const hct_st_file *f, const char *path, hct_err *err) {
    const hct_st_entry *e = hct_st_find(f, "input");
    if (!e && hct_st_count(f) == 1) e = hct_st_at(f, 0);
    if (!e)
        hct_fail(err, HCT_EFORMAT, "%s: holds %zu tensors, none of them named 'input'; name the one to embed so", path,
                 hct_st_count(f));
    return e;
}

/* What can be said without the weights. */
static hct_status check_shape(const hct_st_entry *e, const char *path, hct_err *err) {
    int fits = e->ndim == 5;
    for (int i = 0; fits && i < 5; i++) fits = e->dim[i] > 0;
    if (fits) return HCT_OK;
    return hct_fail(err, HCT_ESHAPE, "%s: tensor '%s' must be [batch, channels, D0, D1, D2]", path, e->name);
}

static hct_status record(telling *q, hct_err *err) {
    const encoder *c = &q->info.encoder;
    size_t layers = encoder_has_attention(c) ? (size_t)c->kind->layers(c) : 0;
    int64_t dim[5] = {1, c->input.n_windows};
    input_dims(&c->input, dim + 2);
    q->n = layers + 2;
    q->value = calloc(q->n, sizeof *q->value);
    q->image = hct_tensor_new(q->dev, HCT_F32, 5, dim, err);
    q->tape = hct_tape_new(q->dev, HCT_PROGRAM);
    if (!q->image) return err->code;
    if (!q->value || !q->tape) return hct_fail(err, HCT_ENOMEM, "out of memory for the model");
    encoder_values v = {.attention = layers ? q->value + 2 : NULL};
    c->kind->forward(q->tape, q->p, c, hct_use(q->tape, q->image), &v);
    q->value[0] = v.tokens;
    q->value[1] = v.embedding;
    for (size_t i = 0; i < q->n; i++) hct_keep(q->tape, q->value[i]);
    return hct_compile(q->tape, err);
}

/* Room for the results of `batch` images. */
static hct_status make_room(telling *q, int64_t batch, hct_err *err) {
    if (!(q->out = calloc(q->n, sizeof *q->out))) return hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; i < q->n; i++) {
        hct_st_entry *e = &q->out[i];
        const hct_view *v = hct_shape(q->tape, q->value[i]);
        char *name = NULL;
        if (i < 2) name = strdup(i ? "cls" : "tokens");
        else if (asprintf(&name, "attn.%zu", i - 2) < 0) name = NULL;
        *e = (hct_st_entry){
            .name = name, .dtype = HCT_F32, .ndim = v->ndim, .bytes = (size_t)(hct_numel(v) * batch) * sizeof(float)};
        memcpy(e->dim, v->dim, sizeof e->dim);
        e->dim[0] = batch;
        e->data = malloc(e->bytes);
        if (!name || !e->data)
            return hct_fail(err, HCT_ENOMEM, "out of memory for %zu bytes of '%s'", e->bytes, name ? name : "");
    }
    return HCT_OK;
}

static hct_status run_images(telling *q, const hct_st_entry *in, hct_err *err) {
    size_t floats = hct_st_elements(in), each = floats / (size_t)in->dim[0];
    float *x = malloc(floats * sizeof *x);
    hct_status st =
        x ? hct_st_to_f32(in, x, err) : hct_fail(err, HCT_ENOMEM, "out of memory for tensor '%s'", in->name);
    for (int64_t b = 0; st == HCT_OK && b < in->dim[0]; b++) {
        st = hct_tensor_write(q->image, x + (size_t)b * each, err);
        if (st == HCT_OK) st = hct_run(q->tape, err);
        for (size_t i = 0; st == HCT_OK && i < q->n; i++) {
            size_t bytes = q->out[i].bytes / (size_t)in->dim[0];
            st = hct_read(q->tape, q->value[i], (char *)(uintptr_t)q->out[i].data + (size_t)b * bytes, err);
        }
    }
    free(x);
    return st;
}

static hct_status write_all(const telling *q, const char *path, hct_err *err) {
    char *model = weights_describe(&q->info, err);
    if (!model) return HCT_ENOMEM;
    const hct_st_pair meta[] = {
        {"format", "headct-tokens/1"},     {"model", model},           {"weights_sha256", q->weights},
        {"recipe_sha256", q->info.recipe}, {"input_sha256", q->input},
    };
    hct_status st = hct_st_write(path, q->out, q->n, meta, sizeof meta / sizeof *meta, err);
    free(model);
    return st;
}

static void close_run(telling *q) {
    for (size_t i = 0; q->out && i < q->n; i++) {
        free((void *)(uintptr_t)q->out[i].name);
        free((void *)(uintptr_t)q->out[i].data);
    }
    free(q->out);
    free(q->value);
    hct_tape_free(q->tape);
    hct_tensor_free(q->image);
    params_free(q->p);
    device_close(q->dev);
}

static hct_status open_model(telling *q, const model_file_options *model, const hct_st_entry *e, const char *in,
                             hct_err *err) {
    model_file_options own = *model;
    memcpy(own.dim, e->dim + 2, sizeof own.dim);
    if (!(q->p = model_file_open(q->dev, &own, &q->info, q->weights, err))) return err->code;
    if (e->dim[1] == q->info.encoder.input.n_windows) return HCT_OK;
    return hct_fail(err, HCT_ESHAPE, "%s: tensor '%s' has %lld channels, the weights take %d", in, e->name,
                    (long long)e->dim[1], q->info.encoder.input.n_windows);
}

hct_status tokens_run(const model_file_options *model, const char *device, const char *in, const char *out,
                      hct_err *err) {
    telling q = {.dev = device_open(device, err)};
    hct_st_file *f = q.dev ? hct_st_open(in, err) : NULL;
    const hct_st_entry *e = f ? choose(f, in, err) : NULL;
    hct_status st = e ? check_shape(e, in, err) : err->code;
    if (st == HCT_OK) st = sha256_file(in, q.input, err);
    if (st == HCT_OK) st = open_model(&q, model, e, in, err);
    if (st == HCT_OK) st = record(&q, err);
    if (st == HCT_OK) st = make_room(&q, e->dim[0], err);
    if (st == HCT_OK) st = run_images(&q, e, err);
    if (st == HCT_OK) st = write_all(&q, out, err);
    close_run(&q);
    hct_st_close(f);
    return st;
}
