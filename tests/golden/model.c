/* What golden tests of models share: weights read, values compared. */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

hct_dev *model_device(void) {
    hct_err err = {0, ""};
    hct_ctx *ctx = hct_open(NULL, &err);
    hct_dev *dev = ctx ? hct_device_open(ctx, NULL, &err) : NULL;
    if (!dev && err.code == HCT_ENOTFOUND && getenv("HEADCT_DEVICE")) { /* the suite for a device that is not here */
        printf("1..0 # SKIP %s\n", err.msg);
        exit(0);
    }
    if (!dev) {
        tap_ok(0, "device: %s", err.msg);
        exit(tap_done());
    }
    return dev;
}

void model_device_close(hct_dev *dev) {
    hct_ctx *ctx = hct_device_context(dev);
    hct_device_close(dev);
    hct_close(ctx);
}

bool model_load(const golden_case *c, params *p, const hct_st_file *f) {
    hct_err err = {0, ""};
    load_report r;
    if (!f) return false;
    bool ok = params_check(p, &err) == HCT_OK && params_load(p, f, c->name, "", &r, &err) == HCT_OK;
    if (ok && (r.missing || r.unused)) {
        ok = false;
        snprintf(err.msg, sizeof err.msg, "%zu missing (%s), %zu unused (%s)", r.missing, r.first_missing, r.unused,
                 r.first_unused);
    }
    if (!ok) tap_ok(0, "%s/%s: weights: %s", c->family, c->name, err.msg);
    return ok;
}

double model_recipe_unit(const char *prefix, const char *key, int64_t i) {
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *s = prefix; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    for (const char *s = key; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    uint64_t z = h + (uint64_t)i + 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) / 0x1p24;
}

bool model_fill(const golden_case *c, params *p, const char *prefix) {
    hct_err err = {0, ""};
    bool ok = params_check(p, &err) == HCT_OK;
    for (size_t k = 0; ok && k < p->n; k++) {
        const char *name = p->items[k].name;
        size_t len = strlen(name);
        if (p->items[k].init == INIT_GIVEN) continue;
        int norm = strstr(name, "norm") && len > 7 && !strcmp(name + len - 7, ".weight"),
            bias = len > 5 && !strcmp(name + len - 5, ".bias");
        int64_t n = hct_numel(hct_tensor_view(p->items[k].tensor));
        float *x = malloc((size_t)n * sizeof *x);
        for (int64_t i = 0; i < n; i++)
            x[i] = (float)((norm ? 1.0 : 0.0) +
                           (model_recipe_unit(prefix, name, i) - 0.5) * (bias && !norm ? 0.02 : 0.04));
        ok = hct_tensor_write(p->items[k].tensor, x, &err) == HCT_OK;
        free(x);
    }
    if (!ok) tap_ok(0, "%s/%s: weights: %s", c->family, c->name, err.msg);
    return ok;
}

hct_tensor *model_tensor(hct_dev *dev, const hct_st_file *f, const char *name) {
    const hct_st_entry *e = f ? hct_st_find(f, name) : NULL;
    size_t n;
    float *x = e ? golden_f32(f, name, &n) : NULL;
    hct_tensor *t = x ? hct_tensor_new(dev, HCT_F32, e->ndim, e->dim, NULL) : NULL;
    if (t) hct_tensor_write(t, x, NULL);
    free(x);
    return t;
}

float *model_read(hct_tape *t, hct_id id, size_t *ret_n) {
    hct_err err = {0, ""};
    *ret_n = (size_t)hct_numel(hct_shape(t, id));
    float *x = calloc(*ret_n + 1, sizeof *x);
    if (hct_read(t, id, x, &err) < 0) {
        tap_note("%s", err.msg);
        for (size_t i = 0; i < *ret_n; i++) x[i] = NAN;
    }
    return x;
}

bool model_run(const golden_case *c, hct_tape *t) {
    hct_err err = {0, ""};
    if (hct_tape_error(t, &err) == HCT_OK && hct_compile(t, &err) == HCT_OK && hct_run(t, &err) == HCT_OK) return true;
    tap_ok(0, "%s/%s: %s", c->family, c->name, err.msg);
    return false;
}

bool model_is_noise(const char *name, int64_t i, int64_t n) {
    const char *end = strstr(name, "attn.qkv.bias");
    return end && i >= n / 3 && i < 2 * n / 3;
}

static void key_of(char out[256], const char *prefix, const char *name, model_rename rename) {
    char key[200];
    snprintf(key, sizeof key, "%s", name);
    if (rename) rename(name, key, sizeof key);
    snprintf(out, 256, "%s%s", prefix, key);
}

void model_check_weight(const golden_case *c, const hct_st_file *f, const char *key, const param *q, double lr) {
    if (!hct_st_find(f, key)) return;
    size_t n = (size_t)hct_numel(hct_tensor_view(q->tensor)), m, strays = 0;
    float *want = golden_f32(f, key, &m), *got = calloc(n + 1, sizeof *got);
    hct_tensor_read(q->tensor, got, NULL);
    for (size_t i = 0; want && i < n && i < m; i++) {
        double gap = fabs((double)got[i] - (double)want[i]);
        if (model_is_noise(q->name, (int64_t)i, (int64_t)n)) got[i] = want[i];
        else if (gap > 2e-5 && gap <= lr) strays++, got[i] = want[i];
    }
    tap_ok(strays <= 1 + n / 1000, "%s/%s: %s: %zu stray elements of %zu", c->family, c->name, key, strays, n);
    if (want) golden_check_f32(c, key, got, n, want, m, (golden_tol){2e-5, 0, -1});
    free(want);
    free(got);
}

void model_check_weights(const golden_case *c, const hct_st_file *f, const char *prefix, const params *p, double lr,
                         model_rename rename) {
    for (size_t k = 0; k < p->n; k++) {
        char key[256];
        key_of(key, prefix, p->items[k].name, rename);
        model_check_weight(c, f, key, &p->items[k], lr);
    }
}

void model_check_gradients(const golden_case *c, const hct_st_file *f, hct_tape *t, params *p, const char *what,
                           model_rename rename) {
    for (size_t k = 0; k < p->n; k++) {
        char key[256], label[300];
        key_of(key, "grad.", p->items[k].name, rename);
        if (!p->items[k].trained || !hct_st_find(f, key)) continue;
        size_t n, m;
        float *got = model_read(t, hct_grad(t, hct_use(t, p->items[k].tensor)), &n), *want = golden_f32(f, key, &m);
        for (size_t i = 0; want && i < n && i < m; i++)
            if (model_is_noise(p->items[k].name, (int64_t)i, (int64_t)n)) got[i] = want[i] = 0;
        snprintf(label, sizeof label, "%s%s", what, key);
        if (want) golden_check_f32(c, label, got, n, want, m, GOLDEN_GRADIENT);
        free(got);
        free(want);
    }
}

void model_check_gradient_norms(const golden_case *c, const cJSON *norms, hct_tape *t, params *p, const char *what) {
    const cJSON *item;
    cJSON_ArrayForEach(item, norms) {
        const param *q = params_find(p, item->string);
        char label[260];
        snprintf(label, sizeof label, "%sgradient norm of %s", what, item->string);
        double want = cJSON_IsNumber(item) ? item->valuedouble : golden_number(item, "fp64"), square = 0;
        if (model_is_noise(item->string, 1, 3)) continue;
        size_t n = 0;
        float *g = q ? model_read(t, hct_grad(t, hct_use(t, q->tensor)), &n) : NULL;
        for (size_t i = 0; i < n; i++) square += (double)g[i] * (double)g[i];
        golden_check_number(c, label, q ? sqrt(square) : NAN, want, (golden_tol){0, 1e-3, -1});
        free(g);
    }
}
