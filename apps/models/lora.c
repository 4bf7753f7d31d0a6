/* Low-rank additions to the attention of a vision transformer: declared, merged. */
#include "models/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void declare(params *p, const char *name, int64_t rank, int64_t in, int64_t out) {
    params_add(p, INIT_NORMAL, 1, 2, (int64_t[]){rank, in}, "%s.lora_a", name);
    params_add(p, INIT_ZERO, 1, 2, (int64_t[]){out, rank}, "%s.lora_b", name);
}

void lora_declare(params *p, const vit_config *c, int64_t rank, double alpha) {
    char name[96];
    for (int64_t i = 0; i < c->depth; i++) {
        snprintf(name, sizeof name, "blocks.%lld.attn.qkv", (long long)i);
        declare(p, name, rank, c->width, 3 * c->width);
        snprintf(name, sizeof name, "blocks.%lld.attn.proj", (long long)i);
        declare(p, name, rank, c->width, c->width);
    }
    float scale = (float)(alpha / (double)rank);
    if (params_add(p, INIT_GIVEN, 0, 1, (int64_t[]){1}, LORA_SCALE)) params_set(p, LORA_SCALE, &scale, &p->error);
}

hct_id lora_branch(hct_tape *t, params *p, const char *name, hct_id x) {
    if (!params_has(p, "%s.lora_a", name)) return 0;
    hct_id low = hct_linear(t, x, params_use(p, t, "%s.lora_a", name), 0); /* [..., rank] */
    return hct_linear(t, hct_mul(t, low, params_use(p, t, LORA_SCALE)), params_use(p, t, "%s.lora_b", name), 0);
}

void lora_add(float *w, const float *b, const float *a, double scale, int64_t out, int64_t in, int64_t rank) {
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++) {
            double sum = 0;
            for (int64_t k = 0; k < rank; k++) sum += (double)b[o * rank + k] * (double)a[k * in + i];
            w[o * in + i] = (float)((double)w[o * in + i] + scale * sum);
        }
}

static float *read_all(const param *from, hct_err *err) {
    float *x = malloc(hct_tensor_bytes(from->tensor) + 1);
    hct_status st =
        x ? hct_tensor_read(from->tensor, x, err) : hct_fail(err, HCT_ENOMEM, "out of memory for '%s'", from->name);
    if (st == HCT_OK) return x;
    free(x);
    return NULL;
}

/* Adds B A to the weights w of the layer called weight ("NAME.weight"), where it has them. */
static hct_status merge_one(const params *p, const char *weight, float *w, hct_err *err) {
    char name[192];
    size_t n = strlen(weight);
    if (n < 7 || n + 8 > sizeof name || strcmp(weight + n - 7, ".weight") != 0) return HCT_OK;
    snprintf(name, sizeof name, "%.*s.lora_a", (int)(n - 7), weight);
    const param *a = params_find(p, name);
    snprintf(name, sizeof name, "%.*s.lora_b", (int)(n - 7), weight);
    const param *b = params_find(p, name), *s = params_find(p, LORA_SCALE);
    if (!a || !b || !s) return HCT_OK;
    const hct_view *va = hct_tensor_view(a->tensor), *vb = hct_tensor_view(b->tensor);
    float *xa = read_all(a, err), *xb = read_all(b, err), scale = 0;
    hct_status st = xa && xb ? hct_tensor_read(s->tensor, &scale, err) : err ? err->code : HCT_ENOMEM;
    if (st == HCT_OK) lora_add(w, xb, xa, (double)scale, vb->dim[0], va->dim[1], va->dim[0]);
    free(xa);
    free(xb);
    return st;
}

hct_status lora_merge(const params *p, params *into, hct_err *err) {
    for (size_t i = 0; i < into->n; i++) {
        const param *from = params_find(p, into->items[i].name);
        if (!from) return hct_fail(err, HCT_ENOTFOUND, "the model has no tensor '%s'", into->items[i].name);
        float *w = read_all(from, err);
        hct_status st = w ? merge_one(p, from->name, w, err) : err ? err->code : HCT_ENOMEM;
        if (st == HCT_OK) st = hct_tensor_write(into->items[i].tensor, w, err);
        free(w);
        if (st < 0) return st;
    }
    return HCT_OK;
}
