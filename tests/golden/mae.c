/* Families mae_tiny (outputs, gradients, five AdamW steps with the encoder's table trained and fixed) and the
 * full-size MAE of vit_base. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/optim.h"
#include "model.h"
#include "models/vit_mae.h"
#include "tap.h"

static const golden_tol BASE = {1e-4, 0, -1}, STEP_LOSS = {0, 1e-4, -1};

static mae_config tiny_config(const cJSON *j) {
#define N(key) (int64_t) golden_number(j, "config." key)
    int bias = golden_bool(j, "config.bias", true);
    return (mae_config){.encoder = {.image = N("img"),
                                    .patch = N("patch"),
                                    .channels = N("ch"),
                                    .width = N("edim"),
                                    .depth = N("ed"),
                                    .heads = N("eh"),
                                    .mlp = N("emlp"),
                                    .qkv_bias = bias,
                                    .position_trained = 1,
                                    .norm_eps = 1e-5},
                        .width = N("ddim"),
                        .depth = N("dd"),
                        .heads = N("dh"),
                        .mlp = N("dmlp"),
                        .decoder_bias = bias,
                        .mask_ratio = golden_number(j, "config.ratio"),
                        .normalize = golden_bool(j, "config.norm_pix", false)};
}

static mae_config base_config(const cJSON *j) {
    int bias = golden_bool(j, "config.use_bias", true);
    return (mae_config){.encoder = {.image = N("img"),
                                    .patch = N("patch"),
                                    .channels = N("ch"),
                                    .width = N("encoder.0"),
                                    .depth = N("encoder.1"),
                                    .heads = N("encoder.2"),
                                    .mlp = N("encoder.3"),
                                    .qkv_bias = bias,
                                    .position_trained = 1,
                                    .norm_eps = 1e-5},
                        .width = N("decoder.0"),
                        .depth = N("decoder.1"),
                        .heads = N("decoder.2"),
                        .mlp = N("decoder.3"),
                        .decoder_bias = bias,
                        .mask_ratio = golden_number(j, "config.ratio"),
                        .normalize = golden_bool(j, "config.norm_pix", false)};
#undef N
}

typedef struct run { /* one recorded training step */
    params *p;
    mae_inputs in;
    hct_tape *t;
    mae_outputs out;
    hct_optim *optim;
} run;

static hct_status write_image(run *r, const golden_case *c, const hct_st_file *io) {
    size_t n;
    (void)c;
    float *x = golden_f32(io, "input", &n);
    hct_status st = x ? hct_tensor_write(r->in.image, x, NULL) : HCT_ENOTFOUND;
    free(x);
    return st;
}

static void close_run(run *r) {
    hct_tape_free(r->t);
    hct_optim_free(r->optim);
    mae_inputs_free(&r->in);
    params_free(r->p);
}

/* Records forward, backward and, with rates, the update. */
static bool open_run(run *r, const golden_case *c, hct_dev *dev, const mae_config *cfg, int64_t batch,
                     const hct_optim_options *options) {
    hct_err err = {0, ""};
    *r = (run){.p = params_new(dev)};
    if (mae_check(cfg, &err) < 0 || (mae_declare(r->p, cfg), params_check(r->p, &err)) < 0 ||
        mae_inputs_new(&r->in, dev, cfg, batch, &err) < 0)
        return tap_ok(0, "%s/%s: %s", c->family, c->name, err.msg);
    r->t = hct_tape_new(dev, HCT_PROGRAM);
    return options == NULL || (r->optim = hct_optim_new(dev, options, &err)) != NULL;
}

static void record(run *r, const mae_config *cfg) {
    r->out = mae_forward(r->t, r->p, cfg, &r->in);
    hct_backward(r->t, r->out.loss, 0);
    hct_keep(r->t, r->out.loss), hct_keep(r->t, r->out.pred), hct_keep(r->t, r->out.latent);
    for (size_t i = 0; i < r->p->n; i++) {
        param *q = &r->p->items[i];
        if (!q->trained) continue;
        hct_keep(r->t, hct_grad(r->t, hct_use(r->t, q->tensor)));
        if (r->optim) hct_optim_add(r->optim, 0, q->name, q->tensor, NULL);
    }
    if (r->optim) hct_optim_record(r->optim, r->t);
}

static void check_value(const golden_case *c, const hct_st_file *f, const char *name, hct_tape *t, hct_id id) {
    size_t n;
    float *x = model_read(t, id, &n);
    golden_check_tensor(c, f, name, x, n, GOLDEN_FORWARD);
    free(x);
}

static void check_indices(const golden_case *c, const hct_st_file *f, const char *name, hct_tensor *have, bool real) {
    size_t n = (size_t)hct_numel(hct_tensor_view(have)), m;
    double *want = golden_f64(f, name, &m), *got = calloc(n + 1, sizeof *got);
    int32_t *raw = calloc(n + 1, sizeof *raw);
    hct_tensor_read(have, raw, NULL);
    for (size_t i = 0; i < n; i++) got[i] = real ? (double)((float *)raw)[i] : raw[i];
    if (want) golden_check_f64(c, name, got, n, want, m, (golden_tol){0, 0, -1});
    free(want);
    free(got);
    free(raw);
}

/* losses[s] before update s + 1, with noise[s]; weights after each update where the file has them. */
static void check_steps(const golden_case *c, hct_dev *dev, mae_config cfg, const hct_st_file *weights,
                        const hct_st_file *io, const hct_st_file *steps, int fixed) {
    run r;
    double lr = golden_number(c->json, "optimizer.lr"), decay = golden_number(c->json, "optimizer.weight_decay");
    int64_t batch = (int64_t)golden_number(c->json, "config.batch"), patches = vit_patches(&cfg.encoder);
    hct_optim_options o = {.kind = HCT_ADAMW,
                           .beta1 = golden_number(c->json, "optimizer.betas.0"),
                           .beta2 = golden_number(c->json, "optimizer.betas.1"),
                           .eps = golden_number(c->json, "optimizer.eps")};
    const cJSON *losses = golden_item(c->json, fixed ? "losses_posfixed" : "losses");
    cfg.encoder.position_trained = !fixed;
    size_t n;
    float *noise = golden_f32(io, "noise", &n);
    hct_err err = {0, ""};
    if (open_run(&r, c, dev, &cfg, batch, &o) && model_load(c, r.p, weights) && noise &&
        write_image(&r, c, io) == HCT_OK) {
        record(&r, &cfg);
        int count = cJSON_GetArraySize(losses);
        if (hct_tape_error(r.t, &err) < 0 || hct_compile(r.t, &err) < 0)
            tap_ok(0, "%s/%s: %s", c->family, c->name, err.msg);
        for (int s = 0; s < count && err.code == 0; s++) {
            float loss;
            char label[64], prefix[64];
            size_t which = (size_t)s < n / (size_t)(batch * patches) ? (size_t)s : n / (size_t)(batch * patches) - 1;
            mae_set_mask(&r.in, &cfg, batch, noise + which * (size_t)(batch * patches), &err);
            hct_optim_step(r.optim, &(hct_optim_rate){lr, decay, 1}, &err);
            if (hct_run(r.t, &err) < 0) break;
            hct_read(r.t, r.out.loss, &loss, &err);
            snprintf(label, sizeof label, "loss %d%s", s, fixed ? ", positions fixed" : "");
            golden_check_number(c, label, (double)loss, cJSON_GetArrayItem(losses, s)->valuedouble, STEP_LOSS);
            snprintf(prefix, sizeof prefix, "%sstep%d.", fixed ? "posfixed." : "", s + 1);
            if (steps && s + 1 < count) model_check_weights(c, steps, prefix, r.p, lr, NULL);
        }
        if (err.code < 0) tap_ok(0, "%s/%s: %s", c->family, c->name, err.msg);
    }
    free(noise);
    close_run(&r);
}

static void check_tiny(const golden_case *c, hct_dev *dev) {
    mae_config cfg = tiny_config(c->json);
    hct_st_file *weights = golden_tensors(c, "_weights"), *io = golden_tensors(c, "_io"),
                *steps = golden_tensors(c, "_steps");
    run r;
    size_t n;
    hct_err err = {0, ""};
    float *noise = io ? golden_f32(io, "noise", &n) : NULL;
    int64_t batch = (int64_t)golden_number(c->json, "config.batch");
    if (open_run(&r, c, dev, &cfg, batch, NULL) && model_load(c, r.p, weights) && noise &&
        write_image(&r, c, io) == HCT_OK && mae_set_mask(&r.in, &cfg, batch, noise, &err) == HCT_OK) {
        record(&r, &cfg);
        if (model_run(c, r.t)) {
            float loss;
            hct_read(r.t, r.out.loss, &loss, &err);
            golden_check_number(c, "loss", (double)loss, golden_number(c->json, "loss_step0"),
                                (golden_tol){2e-5, 1e-4, -1});
            check_value(c, io, "pred", r.t, r.out.pred);
            check_value(c, io, "latent", r.t, r.out.latent);
            check_indices(c, io, "mask", r.in.mask, true);
            check_indices(c, io, "ids_restore", r.in.restore, false);
            model_check_gradients(c, io, r.t, r.p, "", NULL);
        }
    }
    close_run(&r);
    free(noise);
    if (weights && io) {
        check_steps(c, dev, cfg, weights, io, steps, 0);
        check_steps(c, dev, cfg, weights, io, steps, 1);
    }
    hct_st_close(weights);
    hct_st_close(io);
    hct_st_close(steps);
}

static void check_base(const golden_case *c, hct_dev *dev) {
    mae_config cfg = base_config(c->json);
    const char *p0 = cJSON_GetStringValue(golden_item(c->json, "config.prefix")), *prefix = p0 ? p0 : "";
    int64_t batch = (int64_t)golden_number(c->json, "config.batch");
    hct_st_file *f = golden_tensors(c, "");
    run r;
    if (f && open_run(&r, c, dev, &cfg, batch, NULL) && model_fill(c, r.p, prefix)) {
        int64_t voxels = hct_numel(hct_tensor_view(r.in.image)), patches = vit_patches(&cfg.encoder) * batch;
        float *x = malloc((size_t)voxels * sizeof *x), *noise = malloc((size_t)patches * sizeof *noise);
        for (int64_t i = 0; i < voxels; i++) x[i] = (float)model_recipe_unit(prefix, "input", i);
        for (int64_t i = 0; i < patches; i++) noise[i] = (float)model_recipe_unit(prefix, "noise", i);
        hct_tensor_write(r.in.image, x, NULL);
        mae_set_mask(&r.in, &cfg, batch, noise, NULL);
        free(x);
        free(noise);
        record(&r, &cfg);
        hct_id cls = vit_cls(r.t, r.out.latent);
        hct_keep(r.t, cls);
        if (model_run(c, r.t)) {
            float loss;
            size_t n, m;
            hct_read(r.t, r.out.loss, &loss, NULL);
            golden_check_number(c, "loss", (double)loss, golden_number(c->json, "loss"), BASE);
            check_indices(c, f, "mask", r.in.mask, true);
            check_indices(c, f, "ids_restore", r.in.restore, false);
            float *k = model_read(r.t, cls, &n), *pred = model_read(r.t, r.out.pred, &m);
            golden_check_tensor(c, f, "latent_cls", k, n, BASE);
            int64_t *at = golden_i64(f, "pred.idx", &n);
            float *got = calloc(n + 1, sizeof *got);
            for (size_t i = 0; at && i < n; i++) got[i] = pred[at[i]];
            golden_check_tensor(c, f, "pred.val", got, n, BASE);
            model_check_gradient_norms(c, golden_item(c->json, "grad_l2"), r.t, r.p, "");
            free(k);
            free(pred);
            free(at);
            free(got);
        }
        close_run(&r);
    }
    hct_st_close(f);
}

int main(void) {
    if (!golden_begin()) return golden_done();
    hct_dev *dev = model_device();
    const char *full = getenv("HEADCT_GOLDEN_FULL");
    golden_case *c;
    for (size_t i = 0; (c = golden_open("mae_tiny", i)); golden_close(c), i++) check_tiny(c, dev);
    for (size_t i = 0; (c = golden_open("vit_base", i)); golden_close(c), i++) {
        c->elsewhere = !golden_item(c->json, "config.encoder"); /* vit.c */
        if (c->elsewhere) continue;
        if (full && !strcmp(full, "0")) golden_skip(c, "full size: HEADCT_GOLDEN_FULL=0");
        else check_base(c, dev);
    }
    model_device_close(dev);
    return golden_done();
}
