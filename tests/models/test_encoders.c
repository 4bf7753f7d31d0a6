/* Encoders against PyTorch: outputs, gradients, running statistics and numbers of parameters of the cases that
 * make_encoders.py made.
 *
 *   test_encoders FOLDER [CASE...]     cases of a folder; without names all of the small ones
 *   test_encoders FOLDER counts        numbers of parameters of the published networks, whole */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "encoder_cases.h"
#include "models/build.h"
#include "support/device.h"

static const char *folder;
static const char *const stored[] = {"resnet3d", "resnet3d-dilated", "merlin", "ct-fm", "hlip-v1", "hlip-2026", NULL};
static const char *const *names = stored;
static hct_dev *dev;

/* Relative to the largest of what is wanted: outputs, and gradients. */
#define FORWARD 1e-4
#define GRADIENT 1e-3

static double number(const cJSON *c, int i) { return cJSON_GetArrayItem(c, i)->valuedouble; }

static float *read_value(hct_tape *t, hct_id id, size_t *ret_n) {
    hct_err err = {0};
    *ret_n = (size_t)hct_numel(hct_shape(t, id));
    float *x = malloc((*ret_n + 1) * sizeof *x);
    ck_assert_msg(hct_read(t, id, x, &err) == HCT_OK, "%s", err.msg);
    return x;
}

static void check_all(const char *name, const char *what, const float *got, size_t n, const cJSON *want,
                      double tolerance) {
    double most = 0;
    ck_assert_msg((size_t)cJSON_GetArraySize(want) == n, "%s: %s has %zu values, %d are wanted", name, what, n,
                  cJSON_GetArraySize(want));
    const cJSON *w;
    cJSON_ArrayForEach(w, want) most = fmax(most, fabs(w->valuedouble));
    size_t i = 0;
    cJSON_ArrayForEach(w, want) {
        ck_assert_msg(fabs((double)got[i] - w->valuedouble) <= tolerance * most, "%s: %s[%zu] is %.8g, not %.8g", name,
                      what, i, (double)got[i], w->valuedouble);
        i++;
    }
}

/* A tensor by its norm, and its product with a vector of its name; relative to the norm, or to `least` where that is
 * more. */
static void check_summary(const char *name, const char *what, const float *got, size_t n, const cJSON *want,
                          double least, double tolerance) {
    char key[256];
    double *r = malloc((n + 1) * sizeof *r), square = 0, product = 0, length = 0;
    snprintf(key, sizeof key, "project %s", what);
    case_unit(key, n, r);
    for (size_t i = 0; i < n; i++) {
        square += (double)got[i] * (double)got[i];
        product += (double)got[i] * (r[i] - 0.5);
        length += (r[i] - 0.5) * (r[i] - 0.5);
    }
    free(r);
    double norm = number(want, 0), unit = fmax(norm, least);
    ck_assert_msg(fabs(sqrt(square) - norm) <= tolerance * unit, "%s: %s has norm %.8g, not %.8g", name, what,
                  sqrt(square), norm);
    ck_assert_msg(fabs(product - number(want, 1)) <= tolerance * unit * sqrt(length),
                  "%s: %s times its vector is %.8g, not %.8g", name, what, product, number(want, 1));
}

static params *model_of(encoder *e) {
    hct_err err = {0};
    const model_info info = {.role = MODEL_ENCODER, .encoder = *e};
    params *p = model_new(dev, &info, 1, &err);
    ck_assert_msg(p != NULL, "%s", err.msg);
    case_fill(p);
    return p;
}

static void finish(const char *name, hct_tape *t) {
    hct_err err = {0};
    ck_assert_msg(hct_tape_error(t, &err) == HCT_OK && hct_compile(t, &err) == HCT_OK && hct_run(t, &err) == HCT_OK,
                  "%s: %s", name, err.msg);
}

/* Every output in inference. */
static void check_inference(const char *name, const cJSON *c, encoder e, params *p, hct_tensor *x) {
    const cJSON *want;
    cJSON_ArrayForEach(want, cJSON_GetObjectItem(c, "eval")) {
        size_t n, m;
        e.output = 0;
        for (int i = 0; e.kind->outputs && e.kind->outputs[i]; i++)
            if (!strcmp(e.kind->outputs[i], want->string)) e.output = i;
        int all = !strcmp(want->string, "tokens");
        hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
        encoder_values v = {0};
        e.kind->forward(t, p, &e, hct_use(t, x), &v);
        hct_id id = all ? v.tokens : v.embedding;
        hct_keep(t, id);
        finish(name, t);
        float *got = read_value(t, id, &n);
        m = (size_t)hct_shape(t, id)->dim[0] * (size_t)(all ? e.kind->tokens(&e) : 1) * (size_t)encoder_width(&e);
        if (all && !strcmp(e.kind->name, "hlip")) m = n; /* tokens have the trunk's width */
        ck_assert_msg(n == m, "%s: %s has %zu values, its kind says %zu", name, want->string, n, m);
        if (all) check_summary(name, want->string, got, n, want, 0, FORWARD);
        else check_all(name, want->string, got, n, want, FORWARD);
        free(got);
        hct_tape_free(t);
    }
}

/* GRADIENT, or the farthest that PyTorch's own float32 gradients lie from those of float64 (of full sizes), where that
 * is more. */
static double gradient_tolerance(const cJSON *training, double least) {
    const cJSON *all = cJSON_GetObjectItem(training, "gradients_f32"), *theirs;
    double most = GRADIENT;
    cJSON_ArrayForEach(theirs, all) {
        double norm = number(cJSON_GetObjectItem(cJSON_GetObjectItem(training, "gradients"), theirs->string), 0);
        if (norm > least) most = fmax(most, fabs(number(theirs, 0) - norm) / norm);
    }
    return most;
}

/* A training step's forward and backward pass. */
static void check_training(const char *name, const cJSON *c, encoder e, params *p, hct_tensor *x) {
    const cJSON *want = cJSON_GetObjectItem(c, "training"), *one;
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    encoder_values v = {.training = 1};
    e.output = 0;
    e.kind->forward(t, p, &e, hct_use(t, x), &v);
    const hct_view shape = *hct_shape(t, v.embedding);
    size_t n = (size_t)hct_numel(&shape);
    double *u = malloc(n * sizeof *u);
    float *r = malloc(n * sizeof *r);
    case_unit("loss", n, u);
    for (size_t i = 0; i < n; i++) r[i] = (float)(u[i] - 0.5);
    hct_tensor *weights = hct_tensor_new(dev, HCT_F32, shape.ndim, shape.dim, NULL);
    ck_assert(weights && hct_tensor_write(weights, r, NULL) == HCT_OK);
    hct_id loss = hct_sum(t, hct_mul(t, v.embedding, hct_use(t, weights)), HCT_AXES(2), 0);
    hct_backward(t, loss, 0);
    hct_keep(t, v.embedding);
    const cJSON *gradients = cJSON_GetObjectItem(want, "gradients");
    double least = 0; /* a norm behind another one makes some gradients 0 but for rounding */
    cJSON_ArrayForEach(one, gradients) least = fmax(least, 1e-4 * number(one, 0));
    cJSON_ArrayForEach(one, gradients) {
        const param *q = params_find(p, one->string);
        ck_assert_msg(q != NULL, "%s: no tensor '%s'", name, one->string);
        hct_keep(t, hct_grad(t, hct_use(t, q->tensor)));
    }
    finish(name, t);
    float *got = read_value(t, v.embedding, &n);
    check_all(name, "embedding in training", got, n, cJSON_GetObjectItem(want, "embedding"), FORWARD);
    free(got);
    cJSON_ArrayForEach(one, gradients) {
        got = read_value(t, hct_grad(t, hct_use(t, params_find(p, one->string)->tensor)), &n);
        check_summary(name, one->string, got, n, one, least, gradient_tolerance(want, least));
        free(got);
    }
    cJSON_ArrayForEach(one, cJSON_GetObjectItem(want, "running")) {
        const param *q = params_find(p, one->string);
        ck_assert_msg(q != NULL, "%s: no tensor '%s'", name, one->string);
        n = (size_t)hct_numel(hct_tensor_view(q->tensor));
        got = malloc(n * sizeof *got);
        ck_assert(hct_tensor_read(q->tensor, got, NULL) == HCT_OK);
        check_summary(name, one->string, got, n, one, 0, FORWARD);
        free(got);
    }
    hct_tensor_free(weights);
    hct_tape_free(t);
    free(u);
    free(r);
}

START_TEST(equal_pytorch) {
    for (const char *const *name = names; *name; name++) {
        cJSON *c = case_read(folder, *name);
        int64_t dim[5];
        encoder e = case_encoder(c, dim);
        params *p = model_of(&e);
        double parameters = cJSON_GetObjectItem(c, "parameters")->valuedouble;
        ck_assert_msg((double)params_count(p) == parameters, "%s: %lld parameters, not %.0f", *name,
                      (long long)params_count(p), parameters);
        float *x = case_input(dim);
        hct_tensor *in = hct_tensor_new(dev, HCT_F32, 5, dim, NULL);
        ck_assert(in && hct_tensor_write(in, x, NULL) == HCT_OK);
        check_inference(*name, c, e, p, in);
        if (cJSON_GetArraySize(cJSON_GetObjectItem(c, "training"))) check_training(*name, c, e, p, in);
        hct_tensor_free(in);
        free(x);
        params_free(p);
        cJSON_Delete(c);
    }
}
END_TEST

/* Sizes read from names and shapes are those that the tensors were made by. */
START_TEST(sizes_are_told_by_shapes) {
    for (const char *const *name = names; *name; name++) {
        cJSON *c = case_read(folder, *name);
        int64_t dim[5];
        encoder e = case_encoder(c, dim), held = e;
        params *p = model_of(&e);
        hct_st_entry *entries;
        void *bytes;
        hct_err err = {0};
        ck_assert(params_entries(p, &entries, &bytes, &err) == HCT_OK);
        for (size_t i = 0; i < p->n; i++) /* by name */
            for (size_t k = i + 1; k < p->n; k++)
                if (strcmp(entries[i].name, entries[k].name) > 0) {
                    hct_st_entry swap = entries[i];
                    entries[i] = entries[k], entries[k] = swap;
                }
        const encoder_kind *found = NULL;
        for (const encoder_kind *const *k = encoder_kinds; *k && !found; k++)
            if ((*k)->recognises && (*k)->recognises(entries, p->n)) found = *k;
        ck_assert_msg(found == e.kind, "%s is taken for a %s", *name, found ? found->name : "nothing");
        for (const model_field *f = e.kind->fields; f->name; f++) {
            int untold = 0;
            for (const char *const *u = e.kind->untold; u && *u; u++) untold |= !strcmp(*u, f->name);
            if (!untold) field_set(f, held.own, f->low);
        }
        ck_assert_msg(e.kind->sizes(entries, p->n, *name, &held, &err) == HCT_OK, "%s", err.msg);
        ck_assert_msg(fields_compare(e.kind->fields, e.own, held.own, NULL, &err) == HCT_OK, "%s: %s", *name, err.msg);
        free(entries);
        free(bytes);
        params_free(p);
        cJSON_Delete(c);
    }
}
END_TEST

/* The published networks, whole. */
static const struct count {
    const char *kind, *field;
    double value;
    int channels;
    int64_t parameters;
} counts[] = {
    {"resnet3d", "dilated", 0, 3, 46203074 - (2048 * 2 + 2)}, /* less its last layer, of 2 classes */
    {"resnet3d", "dilated", 1, 1, 46155072},
    {"merlin", "phecodes", 0, 1, 117366208},
    {"ct-fm", "width", 32, 4, 77760992},
    {"hlip", "sequence", 40, 3, 87564288 + 393216},
};
START_TEST(parameters_are_counted) {
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const struct count *k = &counts[i];
        encoder e = encoder_default(encoder_find(k->kind));
        field_set(field_find(e.kind->fields, k->field), e.own, k->value);
        e.input.n_windows = k->channels;
        params *p = params_new(dev);
        hct_err err = {0};
        ck_assert_msg(encoder_check(&e, &err) == HCT_OK, "%s: %s", k->kind, err.msg);
        e.kind->declare(p, &e);
        ck_assert_msg(params_check(p, &err) == HCT_OK, "%s: %s", k->kind, err.msg);
        ck_assert_msg(params_count(p) == k->parameters, "%s: %lld parameters, not %lld", k->kind,
                      (long long)params_count(p), (long long)k->parameters);
        params_free(p);
    }
}
END_TEST

/* Merlin with both heads; HLIP's models of 2026. */
START_TEST(parameters_of_variants) {
    encoder e = encoder_default(encoder_find("merlin"));
    field_set(field_find(e.kind->fields, "phecodes"), e.own, 1692);
    field_set(field_find(e.kind->fields, "contrastive"), e.own, 512);
    params *p = params_new(dev);
    e.kind->declare(p, &e);
    ck_assert_int_eq(params_count(p), 121882204);
    params_free(p);
    static const struct {
        double depth, width, heads, mlp, out;
        int64_t parameters;
    } hlip[] = {{12, 768, 12, 3072, 512, 87442176 + 786432}, {24, 1024, 16, 4096, 768, 305492992 + 1572864}};
    for (int i = 0; i < 2; i++) {
        e = encoder_default(encoder_find("hlip"));
        const struct {
            const char *name;
            double value;
        } set[] = {{"depth", hlip[i].depth},
                   {"width", hlip[i].width},
                   {"heads", hlip[i].heads},
                   {"mlp", hlip[i].mlp},
                   {"out", hlip[i].out},
                   {"registers", 1},
                   {"sequence", 0},
                   {"grid0", 8},
                   {"patch0", 6}};
        for (size_t k = 0; k < sizeof set / sizeof *set; k++)
            field_set(field_find(e.kind->fields, set[k].name), e.own, set[k].value);
        hct_err err = {0};
        ck_assert_msg(encoder_check(&e, &err) == HCT_OK, "%s", err.msg);
        p = params_new(dev);
        e.kind->declare(p, &e);
        ck_assert_int_eq(params_count(p), hlip[i].parameters);
        params_free(p);
    }
}
END_TEST

int main(int argc, char **argv) {
    hct_err err = {0};
    if (argc < 2) return 2;
    folder = argv[1];
    if (argc > 2) names = (const char *const *)argv + 2;
    if (!(dev = device_open(getenv("HEADCT_DEVICE") ? getenv("HEADCT_DEVICE") : "cpu", &err))) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    int counts = argc > 2 && !strcmp(argv[2], "counts");
    int failed = counts     ? CHECK_RUN("encoders", parameters_are_counted, parameters_of_variants)
                 : argc > 2 ? CHECK_RUN("encoders", equal_pytorch)
                            : CHECK_RUN("encoders", equal_pytorch, sizes_are_told_by_shapes);
    device_close(dev);
    return failed;
}
