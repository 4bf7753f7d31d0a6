/* t-SNE and attention distance of the golden folder. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "explain/attention.h"
#include "explain/tsne.h"
#include "golden.h"
#include "tap.h"

/* scikit-learn's bisection stops at an entropy within 1e-5, on distances in float32. */
static const golden_tol JOINT = {2e-9, 2e-4, 1e-4};

static void check_tsne(const golden_case *c, const hct_st_file *f) {
    size_t n_x, n_p, n_y, n_g, n_start, n = (size_t)golden_number(c->json, "n"),
                                        dim = (size_t)golden_number(c->json, "dim");
    float *x = golden_f32(f, "x", &n_x), *start = golden_f32(f, "y_init", &n_start);
    double *want = golden_f64(f, "p_joint", &n_p), *y = golden_f64(f, "y_probe", &n_y),
           *gradient = golden_f64(f, "grad_at_y_probe", &n_g), *p = calloc(n * n + 1, sizeof *p),
           *got = calloc(2 * n + 1, sizeof *got), kl = NAN;
    hct_err err = {0};
    if (tap_ok(n_x == n * dim && n_p == n * n && n_y == 2 * n && n_g == 2 * n && n_start == 2 * n && p && got,
               "%s: its tensors", c->name)) {
        tap_ok(tsne_joint(x, n, dim, golden_number(c->json, "perplexity"), 0, p, &err) == HCT_OK, "%s: P (%s)", c->name,
               err.msg);
        golden_check_f64(c, "p_joint", p, n * n, want, n * n, JOINT);
        /* cost and gradient of the P that is given */
        tsne_cost(want, y, n, 1, 0, &kl, got, &err);
        golden_check_number(c, "kl_at_y_probe", kl, golden_number(c->json, "kl_at_y_probe"), GOLDEN_FORMULA);
        golden_check_f64(c, "grad_at_y_probe", got, 2 * n, gradient, 2 * n, (golden_tol){1e-14, 1e-9, 1e-11});
        for (size_t i = 0; i < 2 * n; i++) got[i] = start[i];
        const tsne_options o = {.iterations = (int)golden_number(c->json, "sklearn.max_iter"),
                                .learning_rate = golden_number(c->json, "sklearn.learning_rate")};
        double final = golden_number(c->json, "sklearn.kl_final");
        tap_ok(tsne_run(p, n, &o, got, &kl, &err) == HCT_OK, "%s: runs (%s)", c->name, err.msg);
        /* the layout is chaotic: only how good it is can be compared */
        tap_ok(kl < 1.03 * final && kl > 0.9 * final, "%s: KL %.4f beside scikit-learn's %.4f", c->name, kl, final);
    }
    free(x), free(start), free(want), free(y), free(gradient), free(p), free(got);
}

/* The stored attention of the vit_tiny case that it was made from, [batch, heads, N, N] a layer. */
static float *stored_attention(const golden_case *c, attention_shape *s, int64_t *ret_batch) {
    char path[1024], name[32];
    const cJSON *from = golden_item(c->json, "vit_tiny_case");
    snprintf(path, sizeof path, "%s/vit_tiny/%s_io.safetensors", golden_folder(),
             cJSON_IsString(from) ? from->valuestring : "");
    hct_err err = {0};
    hct_st_file *f = hct_st_open(path, &err);
    if (!tap_ok(f != NULL, "%s: attention of %s (%s)", c->name, path, err.msg)) return NULL;
    const hct_st_entry *e = hct_st_find(f, "attn.0");
    float *all = NULL;
    s->layers = 0;
    if (tap_ok(e && e->ndim == 4, "%s: attn.0", c->name)) {
        *ret_batch = e->dim[0];
        s->heads = e->dim[1];
        s->tokens = e->dim[2];
        size_t each = (size_t)(e->dim[0] * s->heads * s->tokens * s->tokens), n;
        for (;; s->layers++) {
            snprintf(name, sizeof name, "attn.%lld", (long long)s->layers);
            if (!hct_st_find(f, name)) break;
            float *one = golden_f32(f, name, &n);
            all = realloc(all, (size_t)(s->layers + 1) * each * sizeof *all);
            for (size_t i = 0; i < each; i++) all[(size_t)s->layers * each + i] = one[i];
            free(one);
        }
    }
    hct_st_close(f);
    return all;
}

static void check_distance(const golden_case *c, const hct_st_file *f) {
    int64_t batch = 0, grid = (int64_t)golden_number(c->json, "grid");
    double step = golden_number(c->json, "mm_per_voxel") * golden_number(c->json, "patch_voxels");
    attention_shape s = {.lead = (int64_t)golden_number(c->json, "skipped_leading_tokens"),
                         .grid = {grid, grid, grid},
                         .step = {step, step, step}};
    float *all = stored_attention(c, &s, &batch);
    hct_err err = {0};
    if (!all || !tap_ok(attention_check(&s, &err) == HCT_OK, "%s: shape (%s)", c->name, err.msg)) {
        free(all);
        return;
    }
    size_t n = (size_t)(grid * grid * grid), heads = (size_t)(s.layers * s.heads),
           matrix = (size_t)(s.tokens * s.tokens);
    size_t total = (size_t)batch * heads * n;
    float *one = calloc(heads * matrix, sizeof *one);
    double *got = calloc(total, sizeof *got), *head = calloc((size_t)batch * heads, sizeof *head),
           *map = calloc((size_t)batch * n, sizeof *map), mean = 0;
    for (int again = 0; again < 2; again++) { /* as they are, then renormalised */
        mean = 0;
        for (size_t i = 0; i < (size_t)batch * heads; i++) head[i] = 0;
        for (size_t i = 0; i < (size_t)batch * n; i++) map[i] = 0;
        for (size_t b = 0; b < (size_t)batch; b++) {
            for (size_t l = 0; l < (size_t)s.layers; l++)
                for (size_t i = 0; i < (size_t)s.heads * matrix; i++)
                    one[l * (size_t)s.heads * matrix + i] = all[(l * (size_t)batch + b) * (size_t)s.heads * matrix + i];
            attention_distance(&s, one, again, got + b * heads * n);
        }
        for (size_t i = 0; i < total; i++) {
            head[i / n] += got[i] / (double)n;
            map[i / (heads * n) * n + i % n] += got[i] / (double)heads;
            mean += got[i] / (double)total;
        }
        size_t m;
        static const char *const heads_of[] = {"per_head", "per_head_renormalised"}, *const maps[] = {
                                                                                         "map", "map_renormalised"};
        double *want = again ? NULL : golden_f64(f, "per_patch", &m);
        if (want) golden_check_f64(c, "per_patch", got, total, want, m, GOLDEN_FORMULA);
        free(want);
        if (!again)
            golden_check_number(c, "mean_over_everything", mean, golden_number(c->json, "mean_over_everything"),
                                GOLDEN_FORMULA);
        if ((want = golden_f64(f, heads_of[again], &m)))
            golden_check_f64(c, heads_of[again], head, (size_t)batch * heads, want, m, GOLDEN_FORMULA);
        free(want);
        if ((want = golden_f64(f, maps[again], &m)))
            golden_check_f64(c, maps[again], map, (size_t)batch * n, want, m, GOLDEN_FORMULA);
        free(want);
    }
    free(all), free(one), free(got), free(head), free(map);
}

int main(void) {
    golden_case *c;
    golden_begin();
    for (size_t i = 0; (c = golden_open("tsne_attention", i)); golden_close(c), i++) {
        hct_st_file *f = golden_tensors(c, "");
        if (tap_ok(f != NULL, "%s/%s: tensors", c->family, c->name)) {
            if (golden_item(c->json, "vit_tiny_case")) check_distance(c, f);
            else check_tsne(c, f);
        }
        hct_st_close(f);
    }
    return golden_done();
}
