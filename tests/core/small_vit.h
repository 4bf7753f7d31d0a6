/* A small pre-norm transformer with everything a training step has, to hold the program executor to its promises. */
#ifndef TESTS_CORE_SMALL_VIT_H
#define TESTS_CORE_SMALL_VIT_H

#include "fixture.h"
#include "hct/optim.h"

enum { VIT_PARAMS = 64 };

typedef struct small_vit {
    int64_t batch, tokens, width, heads;
    int depth;
    hct_tensor *param[VIT_PARAMS], *x, *target, *rng;
    int n;
    hct_optim *optim;
} small_vit;

static inline hct_id vit_param(small_vit *v, fixture *f, hct_tape *t, int64_t rows, int64_t columns) {
    ck_assert_int_lt(v->n, VIT_PARAMS);
    hct_tensor *p = rows ? FILLED(f, v->n, rows, columns) : FILLED(f, v->n, columns);
    char name[16];
    snprintf(name, sizeof name, "p%d", v->n);
    ok(f, hct_optim_add(v->optim, v->n ? rows == 0 : 0, name, p, &f->err));
    v->param[v->n++] = p;
    return hct_param(t, p);
}

static inline hct_id layers_linear(small_vit *v, fixture *f, hct_tape *t, hct_id x, int64_t in, int64_t out) {
    hct_id w = vit_param(v, f, t, out, in);
    return hct_linear(t, x, w, vit_param(v, f, t, 0, out));
}

static inline hct_id layers_norm(small_vit *v, fixture *f, hct_tape *t, hct_id x) {
    hct_id w = vit_param(v, f, t, 0, v->width);
    return hct_layer_norm(t, x, w, vit_param(v, f, t, 0, v->width), 1e-6);
}

static inline hct_id vit_block(small_vit *v, fixture *f, hct_tape *t, hct_id x, hct_id rng) {
    int64_t c = v->width;
    hct_id part[3], head[3];
    hct_split(t, layers_linear(v, f, t, layers_norm(v, f, t, x), c, 3 * c), 2, 3, part);
    for (int i = 0; i < 3; i++)
        head[i] = hct_reshape(t, part[i], 4, (int64_t[]){v->batch, v->tokens, v->heads, c / v->heads});
    hct_id a = hct_reshape(t, hct_attention(t, head[0], head[1], head[2], 0.3), 3, (int64_t[]){v->batch, v->tokens, c});
    x = hct_add(t, x, hct_dropout(t, layers_linear(v, f, t, a, c, c), rng, 0.1));
    hct_id h = hct_gelu(t, layers_linear(v, f, t, layers_norm(v, f, t, x), c, 4 * c));
    return hct_add(t, x, layers_linear(v, f, t, h, 4 * c, c));
}

/* Records forward, loss, backward and AdamW; returns the loss, kept. */
static inline hct_id vit_record(small_vit *v, fixture *f, hct_tape *t) {
    v->optim = hct_optim_new(
        f->dev,
        &(hct_optim_options){
            .kind = HCT_ADAMW, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .clip_mode = HCT_CLIP_GLOBAL, .clip = 1},
        &f->err);
    v->x = FILLED(f, 90, v->batch, v->tokens, v->width);
    v->target = FILLED(f, 91, v->batch, v->tokens, v->width);
    v->rng = hct_tensor_new(f->dev, HCT_I32, 1, (int64_t[]){4}, &f->err);
    hct_id x = hct_use(t, v->x), rng = hct_use(t, v->rng);
    x = layers_linear(v, f, t, x, v->width, v->width); /* group 0 first */
    for (int i = 0; i < v->depth; i++) x = vit_block(v, f, t, x, rng);
    hct_id d = hct_sub(t, layers_norm(v, f, t, x), hct_use(t, v->target));
    hct_id loss = hct_mean(t, hct_mul(t, d, d), HCT_AXES(3), 0);
    hct_keep(t, loss);
    hct_backward(t, loss, 0);
    hct_optim_record(v->optim, t);
    ok(f, hct_tape_error(t, &f->err));
    return loss;
}

static inline hct_status vit_step(small_vit *v, int step, hct_err *err) {
    int32_t rng[] = {7, 0, step, 0};
    hct_status st = hct_tensor_write(v->rng, rng, err);
    return st == HCT_OK ? hct_optim_step(v->optim, (hct_optim_rate[]){{1e-3, 0.05, 1}, {1e-3, 0, 1}}, err) : st;
}

static inline void vit_free(small_vit *v) {
    hct_optim_free(v->optim);
    for (int i = 0; i < v->n; i++) hct_tensor_free(v->param[i]);
    hct_tensor_free(v->x);
    hct_tensor_free(v->target);
    hct_tensor_free(v->rng);
}

#endif
