/* Family probes: outputs of the linear and the attentive probe, gradients, clipping, running statistics and five
 * AdamW steps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/optim.h"
#include "model.h"
#include "models/probe.h"
#include "tap.h"

typedef struct bench {
    const golden_case *c;
    const hct_st_file *f;
    hct_dev *dev;
    params *p;
    hct_tensor *x, *y;
    int64_t heads; /* of an attentive probe; 0: linear */
} bench;

static hct_id forward(const bench *b, hct_tape *t, hct_id x, int training) {
    return head_forward(t, b->p, "", b->heads, x, x, training);
}

static bool load_weights(bench *b) {
    for (size_t i = 0; i < b->p->n; i++) {
        char key[128];
        size_t n;
        snprintf(key, sizeof key, "weight.%s", b->p->items[i].name);
        float *w = golden_f32(b->f, key, &n);
        bool ok = w && hct_tensor_write(b->p->items[i].tensor, w, NULL) == HCT_OK;
        free(w);
        if (!ok) return false;
    }
    return true;
}

static bool set_batch(bench *b, int which) {
    char key[16];
    size_t n, m;
    snprintf(key, sizeof key, "x.%d", which);
    float *x = golden_f32(b->f, key, &n);
    snprintf(key, sizeof key, "y.%d", which);
    int64_t *y = golden_i64(b->f, key, &m);
    int32_t *y32 = calloc(m + 1, sizeof *y32);
    for (size_t i = 0; y && i < m; i++) y32[i] = (int32_t)y[i];
    bool ok = x && y && hct_tensor_write(b->x, x, NULL) == HCT_OK && hct_tensor_write(b->y, y32, NULL) == HCT_OK;
    free(x);
    free(y);
    free(y32);
    return ok;
}

/* After a step of rate lr: weights as AdamW leaves them, running statistics to tol. */
static void check_params(const bench *b, const char *prefix, double lr, golden_tol tol) {
    for (size_t i = 0; i < b->p->n; i++) {
        const param *q = &b->p->items[i];
        char key[128];
        snprintf(key, sizeof key, "%s%s", prefix, q->name);
        if (q->trained) model_check_weight(b->c, b->f, key, q, lr);
        if (q->trained || !hct_st_find(b->f, key)) continue;
        size_t n = (size_t)hct_numel(hct_tensor_view(q->tensor));
        float *got = calloc(n + 1, sizeof *got);
        hct_tensor_read(q->tensor, got, NULL);
        golden_check_tensor(b->c, b->f, key, got, n, tol);
        free(got);
    }
}

static void check_eval(const bench *b, const char *name) {
    hct_tape *t = hct_tape_new(b->dev, HCT_EAGER);
    size_t n;
    float *out = model_read(t, forward(b, t, hct_use(t, b->x), 0), &n);
    golden_check_tensor(b->c, b->f, name, out, n, GOLDEN_FORWARD);
    free(out);
    hct_tape_free(t);
}

/* Training on x.0: outputs, loss, gradients, clipped gradients; the running statistics move. */
static void check_train(bench *b) {
    hct_tape *t = hct_tape_new(b->dev, HCT_EAGER);
    hct_id x = hct_param(t, b->x), out = forward(b, t, x, 1), loss = hct_cross_entropy(t, out, hct_use(t, b->y));
    hct_backward(t, loss, 0);
    size_t n;
    float *v = model_read(t, out, &n), *g, l = NAN;
    golden_check_tensor(b->c, b->f, "train_out", v, n, GOLDEN_FORWARD);
    hct_read(t, loss, &l, NULL);
    golden_check_number(b->c, "loss", (double)l, golden_number(b->c->json, "loss"), (golden_tol){2e-5, 1e-4, -1});
    g = model_read(t, hct_grad(t, x), &n);
    golden_check_tensor(b->c, b->f, "grad.input", g, n, GOLDEN_GRADIENT);
    free(g);
    free(v);
    model_check_gradients(b->c, b->f, t, b->p, "", NULL);
    hct_tape_free(t);
}

/* SGD with rate 1 and no momentum moves a weight by its clipped gradient. */
static void check_clip(bench *b) {
    hct_optim_options o = {.kind = HCT_SGD,
                           .clip_mode = HCT_CLIP_GLOBAL,
                           .clip = golden_number(b->c->json, "clip_global_max_norm")};
    hct_optim *optim = hct_optim_new(b->dev, &o, NULL);
    hct_tape *t = hct_tape_new(b->dev, HCT_EAGER);
    hct_backward(t, hct_cross_entropy(t, forward(b, t, hct_use(t, b->x), 1), hct_use(t, b->y)), 0);
    float *before[8] = {0};
    double norm = NAN;
    for (size_t i = 0; i < b->p->n; i++) {
        if (!b->p->items[i].trained) continue;
        before[i] = calloc((size_t)hct_numel(hct_tensor_view(b->p->items[i].tensor)), sizeof(float));
        hct_tensor_read(b->p->items[i].tensor, before[i], NULL);
        hct_optim_add(optim, 0, b->p->items[i].name, b->p->items[i].tensor, NULL);
    }
    hct_optim_step(optim, &(hct_optim_rate){1, 0, 1}, NULL);
    hct_optim_record(optim, t);
    hct_optim_norm(optim, t, &norm, NULL);
    golden_check_number(b->c, "gradient norm", norm, golden_number(b->c->json, "clip_total_norm"),
                        (golden_tol){0, 1e-4, -1});
    for (size_t i = 0; i < b->p->n; i++) {
        char key[128];
        snprintf(key, sizeof key, "clipped.%s", b->p->items[i].name);
        if (before[i] && hct_st_find(b->f, key)) {
            size_t n = (size_t)hct_numel(hct_tensor_view(b->p->items[i].tensor));
            float *after = calloc(n + 1, sizeof *after);
            hct_tensor_read(b->p->items[i].tensor, after, NULL);
            for (size_t k = 0; k < n; k++) after[k] = before[i][k] - after[k];
            golden_check_tensor(b->c, b->f, key, after, n, (golden_tol){2e-7, 1e-4, -1});
            free(after);
        }
        free(before[i]);
    }
    hct_tape_free(t);
    hct_optim_free(optim);
}

static void check_steps(bench *b) {
    const cJSON *j = b->c->json, *batches = golden_item(j, "adamw.batches"),
                *losses = golden_item(j, "adamw.losses_before_each_step");
    hct_optim_options o = {.kind = HCT_ADAMW,
                           .beta1 = golden_number(j, "adamw.betas.0"),
                           .beta2 = golden_number(j, "adamw.betas.1"),
                           .eps = golden_number(j, "adamw.eps")};
    hct_optim *optim = hct_optim_new(b->dev, &o, NULL);
    hct_tape *t = hct_tape_new(b->dev, HCT_PROGRAM);
    hct_id loss = hct_cross_entropy(t, forward(b, t, hct_use(t, b->x), 1), hct_use(t, b->y));
    hct_keep(t, loss);
    hct_backward(t, loss, 0);
    for (size_t i = 0; i < b->p->n; i++)
        if (b->p->items[i].trained) hct_optim_add(optim, 0, b->p->items[i].name, b->p->items[i].tensor, NULL);
    hct_optim_record(optim, t);
    hct_err err = {0, ""};
    if (tap_ok(hct_compile(t, &err) == HCT_OK, "%s/%s: compiles %s", b->c->family, b->c->name, err.msg))
        for (int s = 0; s < cJSON_GetArraySize(batches); s++) {
            char label[32];
            float l = NAN;
            set_batch(b, cJSON_GetArrayItem(batches, s)->valueint);
            hct_optim_step(optim,
                           &(hct_optim_rate){golden_number(j, "adamw.lr"), golden_number(j, "adamw.weight_decay"), 1},
                           &err);
            hct_run(t, &err);
            hct_read(t, loss, &l, &err);
            snprintf(label, sizeof label, "loss before step %d", s + 1);
            golden_check_number(b->c, label, (double)l, cJSON_GetArrayItem(losses, s)->valuedouble,
                                (golden_tol){0, 1e-4, -1});
        }
    check_params(b, "final.", golden_number(j, "adamw.lr"), (golden_tol){2e-5, 0, -1});
    hct_tape_free(t);
    hct_optim_free(optim);
}

static void check_probe(const golden_case *c, hct_dev *dev, int attentive) {
    bench b = {.c = c, .f = golden_tensors(c, ""), .dev = dev, .p = params_new(dev)};
    if (!b.f) return;
    int64_t dim = (int64_t)golden_number(c->json, "dim"), classes = (int64_t)golden_number(c->json, "classes");
    int64_t batch = (int64_t)golden_number(c->json, "batch");
    if (attentive) b.heads = (int64_t)golden_number(c->json, "heads");
    head_declare(b.p, "", dim, classes, b.heads);
    int64_t tokens = attentive ? (int64_t)golden_number(c->json, "tokens") : dim;
    b.x = hct_tensor_new(dev, HCT_F32, attentive ? 3 : 2, (int64_t[]){batch, tokens, dim}, NULL);
    b.y = hct_tensor_new(dev, HCT_I32, 1, &batch, NULL);
    if (load_weights(&b) && set_batch(&b, 0)) {
        check_eval(&b, "eval_out.fresh");
        check_clip(&b);
        load_weights(&b);
        check_train(&b);
        check_params(&b, "after1.", 0, GOLDEN_FORWARD);
        set_batch(&b, 1);
        hct_tape *t = hct_tape_new(dev, HCT_EAGER);
        forward(&b, t, hct_use(t, b.x), 1);
        hct_tape_free(t);
        check_params(&b, "after2.", 0, GOLDEN_FORWARD);
        set_batch(&b, 2);
        check_eval(&b, "eval_out.after2");
        load_weights(&b);
        check_steps(&b);
    }
    params_free(b.p);
    hct_tensor_free(b.x);
    hct_tensor_free(b.y);
    hct_st_close((hct_st_file *)b.f);
}

int main(void) {
    if (!golden_begin()) return golden_done();
    hct_dev *dev = model_device();
    golden_case *c;
    for (size_t i = 0; (c = golden_open("probes", i)); golden_close(c), i++) {
        const char *class = cJSON_GetStringValue(golden_item(c->json, "class"));
        check_probe(c, dev, class && strstr(class, "Attention"));
    }
    model_device_close(dev);
    return golden_done();
}
