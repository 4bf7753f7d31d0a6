/* Families vit_tiny (all tensors and gradients, interpolated positions) and vit_base (full size, weights by recipe). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "models/vit.h"
#include "tap.h"

static const golden_tol BASE = {1e-4, 0, -1};

static vit_config config_of(const golden_case *c) {
    const cJSON *j = c->json;
    return (vit_config){.image = (int64_t)golden_number(j, "config.img"),
                        .patch = (int64_t)golden_number(j, "config.patch"),
                        .channels = (int64_t)golden_number(j, "config.ch"),
                        .width = (int64_t)golden_number(j, "config.dim"),
                        .depth = (int64_t)golden_number(j, "config.depth"),
                        .heads = (int64_t)golden_number(j, "config.heads"),
                        .mlp = (int64_t)golden_number(j, "config.mlp"),
                        .registers = (int64_t)golden_number(j, "config.reg"),
                        .qkv_bias = golden_bool(j, "config.qkv_bias", false),
                        .position_trained = 1,
                        .norm_eps = 1e-6};
}

static void check_value(const golden_case *c, const hct_st_file *f, const char *name, hct_tape *t, hct_id id) {
    size_t n;
    float *x = model_read(t, id, &n);
    golden_check_tensor(c, f, name, x, n, GOLDEN_FORWARD);
    free(x);
}

/* loss = mean(out * r) */
static hct_id mean_with(hct_tape *t, hct_id out, hct_id r) { return hct_mean(t, hct_mul(t, out, r), HCT_AXES(3), 0); }

static void keep_gradients(hct_tape *t, params *p) {
    for (size_t i = 0; i < p->n; i++)
        if (p->items[i].trained) hct_keep(t, hct_grad(t, hct_use(t, p->items[i].tensor)));
}

static void check_tiny(const golden_case *c, hct_dev *dev, params *p, const vit_config *cfg, const hct_st_file *io) {
    hct_tensor *input = model_tensor(dev, io, "input"), *r = model_tensor(dev, io, "loss_r");
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    hct_id attention[64], block[64];
    vit_trace trace = {.want_attention = 1, .attention = attention, .block = block};
    hct_id x = hct_param(t, input), out = vit_forward(t, p, cfg, x, &trace), cls = vit_cls(t, out);
    hct_id loss = mean_with(t, out, hct_use(t, r)), block_cls[64];
    for (int64_t i = 0; i < cfg->depth; i++)
        hct_keep(t, attention[i]), hct_keep(t, block_cls[i] = vit_cls(t, block[i]));
    hct_backward(t, loss, 0);
    hct_keep(t, out), hct_keep(t, cls), hct_keep(t, loss), hct_keep(t, hct_grad(t, x));
    keep_gradients(t, p);
    if (model_run(c, t)) {
        float got;
        hct_read(t, loss, &got, NULL);
        golden_check_number(c, "loss", (double)got, golden_number(c->json, "loss"), (golden_tol){2e-5, 1e-4, -1});
        check_value(c, io, "out", t, out);
        check_value(c, io, "cls", t, cls);
        for (int64_t i = 0; i < cfg->depth; i++) {
            char name[32];
            snprintf(name, sizeof name, "block.%lld.cls", (long long)i);
            check_value(c, io, name, t, block_cls[i]);
            snprintf(name, sizeof name, "attn.%lld", (long long)i);
            check_value(c, io, name, t, attention[i]);
        }
        size_t n;
        float *g = model_read(t, hct_grad(t, x), &n);
        golden_check_tensor(c, io, "grad.input", g, n, GOLDEN_GRADIENT);
        free(g);
        model_check_gradients(c, io, t, p, "", NULL);
    }
    hct_tape_free(t);
    /* The fused attention op must give the same answer as the one that shows its probabilities. */
    t = hct_tape_new(dev, HCT_EAGER);
    out = vit_forward(t, p, cfg, hct_param(t, input), NULL);
    hct_backward(t, mean_with(t, out, hct_use(t, r)), 0);
    check_value(c, io, "out", t, out);
    model_check_gradients(c, io, t, p, "fused: ", NULL);
    hct_tape_free(t);
    hct_tensor_free(input);
    hct_tensor_free(r);
}

/* The same weights on another image size. */
static void check_resampled(const golden_case *c, hct_dev *dev, vit_config cfg, const hct_st_file *weights) {
    hct_st_file *f = golden_tensors(c, "_interp");
    if (!f) return;
    hct_tensor *input = model_tensor(dev, f, "input");
    params *p = params_new(dev);
    load_report report;
    hct_err err = {0, ""};
    cfg.image = hct_tensor_view(input)->dim[2];
    vit_declare(p, &cfg);
    if (!tap_ok(vit_load(p, &cfg, weights, c->name, "", &report, &err) == HCT_OK && !report.missing && !report.unused,
                "%s/%s: resampled positions load %s", c->family, c->name, err.msg))
        goto done;
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    check_value(c, f, "out", t, vit_forward(t, p, &cfg, hct_use(t, input), NULL));
    hct_tape_free(t);
done:
    params_free(p);
    hct_tensor_free(input);
    hct_st_close(f);
}

static void run_tiny(hct_dev *dev) {
    golden_case *c;
    for (size_t i = 0; (c = golden_open("vit_tiny", i)); golden_close(c), i++) {
        vit_config cfg = config_of(c);
        hct_st_file *weights = golden_tensors(c, "_weights"), *io = golden_tensors(c, "_io");
        params *p = params_new(dev);
        hct_err err = {0, ""};
        if (vit_check(&cfg, &err) < 0 || cfg.depth > 64) tap_ok(0, "%s/%s: %s", c->family, c->name, err.msg);
        else {
            vit_declare(p, &cfg);
            if (weights && io && model_load(c, p, weights)) {
                check_tiny(c, dev, p, &cfg, io);
                check_resampled(c, dev, cfg, weights);
            }
        }
        params_free(p);
        hct_st_close(weights);
        hct_st_close(io);
    }
}

/* ---- full size ---- */

static hct_tensor *recipe_tensor(hct_dev *dev, const char *prefix, const char *key, int ndim, const int64_t *dim,
                                 double shift) {
    hct_tensor *t = hct_tensor_new(dev, HCT_F32, ndim, dim, NULL);
    int64_t n = hct_numel(hct_tensor_view(t));
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(model_recipe_unit(prefix, key, i) + shift);
    hct_tensor_write(t, x, NULL);
    free(x);
    return t;
}

static void check_stats(const golden_case *c, const char *what, const cJSON *want, const float *x, size_t n) {
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i], square += (double)x[i] * (double)x[i];
    char label[96];
    double mean = sum / (double)n;
    snprintf(label, sizeof label, "%s mean", what);
    golden_check_number(c, label, mean, golden_number(want, "mean"), BASE);
    snprintf(label, sizeof label, "%s std", what);
    golden_check_number(c, label, sqrt(square / (double)n - mean * mean), golden_number(want, "std_pop"), BASE);
    snprintf(label, sizeof label, "%s L2", what);
    golden_check_number(c, label, sqrt(square), golden_number(want, "l2"), (golden_tol){0, 1e-5, -1});
}

static void check_sampled(const golden_case *c, const hct_st_file *f, const float *out) {
    size_t n, m;
    int64_t *at = golden_i64(f, "sample.idx", &n);
    float *want = golden_f32(f, "sample.val", &m), *got = calloc(n + 1, sizeof *got);
    for (size_t i = 0; at && i < n; i++) got[i] = out[at[i]];
    if (at && want) golden_check_f32(c, "sampled tokens", got, n, want, m, BASE);
    free(at);
    free(want);
    free(got);
}

static void check_base(const golden_case *c, hct_dev *dev, const hct_st_file *f, int gradients) {
    vit_config cfg = config_of(c);
    const char *prefix = cJSON_GetStringValue(golden_item(c->json, "config.prefix"));
    int64_t batch = (int64_t)golden_number(c->json, "config.batch"),
            in_dim[] = {batch, cfg.channels, cfg.image, cfg.image, cfg.image};
    int64_t out_dim[] = {batch, vit_tokens(&cfg), cfg.width};
    params *p = params_new(dev);
    vit_declare(p, &cfg);
    hct_tensor *input = recipe_tensor(dev, prefix ? prefix : "", "input", 5, in_dim, 0);
    hct_tensor *r = recipe_tensor(dev, prefix ? prefix : "", "loss_r", 3, out_dim, -0.5);
    static const char *const losses[] = {"mean_sq", "mean_r"};
    for (int pass = 0; pass < 2 && model_fill(c, p, prefix ? prefix : ""); pass++) {
        int backward = gradients && golden_item(c->json, losses[pass]) != NULL;
        if (pass && !backward) break;
        hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
        hct_id block[64], x = hct_use(t, input);
        vit_trace trace = {.block = block};
        hct_id out = vit_forward(t, p, &cfg, x, &trace), cls = vit_cls(t, out);
        hct_keep(t, out), hct_keep(t, cls);
        for (int64_t i = 0; i < cfg.depth; i++) hct_keep(t, block[i]);
        hct_id loss = 0;
        if (backward) {
            loss = pass ? mean_with(t, out, hct_use(t, r)) : mean_with(t, out, out);
            hct_keep(t, loss);
            hct_backward(t, loss, 0);
            keep_gradients(t, p);
        }
        if (model_run(c, t)) {
            size_t n;
            float *o = model_read(t, out, &n);
            if (!pass) {
                check_stats(c, "out", golden_item(c->json, "out"), o, n);
                check_sampled(c, f, o);
                size_t m;
                float *k = model_read(t, cls, &m);
                golden_check_tensor(c, f, "cls", k, m, BASE);
                free(k);
                for (int64_t i = 0; i < cfg.depth; i++) {
                    char path[32], label[32];
                    snprintf(path, sizeof path, "blocks.%lld", (long long)i);
                    snprintf(label, sizeof label, "block %lld", (long long)i);
                    float *b = model_read(t, block[i], &m);
                    check_stats(c, label, golden_item(c->json, path), b, m);
                    free(b);
                }
            }
            if (backward) {
                char label[32];
                float got;
                snprintf(label, sizeof label, "%s.loss", losses[pass]);
                hct_read(t, loss, &got, NULL);
                golden_check_number(c, label, (double)got, golden_number(c->json, label), BASE);
                snprintf(label, sizeof label, "%s: ", losses[pass]);
                model_check_gradient_norms(c, golden_item(golden_item(c->json, losses[pass]), "grad_l2"), t, p, label);
            }
            free(o);
        }
        hct_tape_free(t);
    }
    hct_tensor_free(input);
    hct_tensor_free(r);
    params_free(p);
}

/* The recipe's own numbers, in a case without tensors. */
static void check_vectors(const golden_case *c) {
    const cJSON *v, *vectors = golden_item(c->json, "vectors");
    const char *prefix = cJSON_GetStringValue(golden_item(c->json, "prefix"));
    cJSON_ArrayForEach(v, vectors) {
        double got[4], want[4], scale = golden_number(v, "scale"), base = golden_number(v, "base");
        int unit = isnan(scale);
        for (int k = 0; k < 4; k++) {
            double f = model_recipe_unit(prefix ? prefix : "", v->string, k);
            got[k] = unit ? (double)(float)f : (double)(float)(base + (f - 0.5) * scale);
            char path[32];
            snprintf(path, sizeof path, "float32_values.%d", k);
            want[k] = golden_number(v, path);
        }
        char label[160];
        snprintf(label, sizeof label, "recipe of %s", v->string);
        golden_check_f64(c, label, got, 4, want, 4, GOLDEN_FORMULA);
    }
}

/* Full-size gradients take long under sanitizers: HEADCT_GOLDEN_FULL=0 leaves them out, and says so. */
static void run_base(hct_dev *dev) {
    const char *full = getenv("HEADCT_GOLDEN_FULL");
    golden_case *c;
    for (size_t i = 0; (c = golden_open("vit_base", i)); golden_close(c), i++) {
        c->elsewhere = golden_item(c->json, "config.encoder") != NULL; /* MAE: mae.c */
        if (c->elsewhere) continue;
        check_vectors(c);
        hct_st_file *f = golden_tensors(c, "");
        if (full && !strcmp(full, "0")) golden_skip(c, "full size: HEADCT_GOLDEN_FULL=0");
        else if (f) check_base(c, dev, f, 1);
        hct_st_close(f);
    }
}

int main(void) {
    if (!golden_begin()) return golden_done();
    hct_dev *dev = model_device();
    run_tiny(dev);
    run_base(dev);
    model_device_close(dev);
    return golden_done();
}
