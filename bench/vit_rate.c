/* bench/vit_rate BATCH FOLDER [f32|bf16|int8] [PATCH]: ViT-Base with patches of 12^3 (or PATCH^3), driven by
 * bench/vit.py. Writes FOLDER/vit.safetensors (weights, "input", "r"), says "ready FLOP" (of a forward pass) and
 * answers each line of stdin with one line "seconds value": f: forward; the class tokens go to FOLDER/cls.f32. t:
 * forward, backward and AdamW (lr 1e-4, decay 0.05) on loss = mean(class tokens * r); the value is the loss. p: the
 * product of the tokens with the first weights of an MLP; the value is its FLOP. m: nothing; the value is the most
 * memory that was resident, in MiB; u: the processor time so far, of all threads. With int8 t is f32's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "hct/half.h"
#include "hct/optim.h"
#include "inference/embedder.h"
#include "inference/precision.h"
#include "models/build.h"
#include "run/model.h"
#include "support/device.h"
#include "support/measure.h"
#include "training/optimizer.h"

static int fail(const hct_err *e) {
    fprintf(stderr, "vit_rate: %s\n", e->msg);
    return 1;
}

static hct_status save(const params *p, const model_info *info, const char *folder, hct_st_entry input, hct_st_entry r,
                       hct_err *err) {
    hct_st_entry *entries, *all;
    void *bytes;
    char path[4096];
    hct_status st = params_entries(p, &entries, &bytes, err);
    if (st < 0) return st;
    if (!(all = malloc((p->n + 2) * sizeof *all))) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) {
        memcpy(all, entries, p->n * sizeof *all);
        all[p->n] = input;
        all[p->n + 1] = r;
        snprintf(path, sizeof path, "%s/vit.safetensors", folder);
        st = weights_write(path, all, p->n + 2, info, NULL, 0, err);
    }
    free(all);
    free(entries);
    free(bytes);
    return st;
}

static hct_status forward(embedder *e, const char *folder, float *cls, double *ret_seconds, hct_err *err) {
    double start = measure_now();
    hct_status st = hct_run(e->tape, err);
    if (st == HCT_OK) st = hct_read(e->tape, e->cls, cls, err);
    *ret_seconds = measure_now() - start;
    if (st < 0) return st;
    if (hct_shape(e->tape, e->cls)->dtype == HCT_BF16)
        for (size_t i = e->row * (size_t)e->batch; i-- > 0;) cls[i] = hct_f32_from_bf16(((const uint16_t *)cls)[i]);
    char path[4096];
    snprintf(path, sizeof path, "%s/cls.f32", folder);
    FILE *f = fopen(path, "wb");
    int written = f && fwrite(cls, sizeof *cls, e->row * (size_t)e->batch, f) == e->row * (size_t)e->batch;
    if ((f && fclose(f)) || !written) return hct_fail(err, HCT_EIO, "%s: cannot be written", path);
    return HCT_OK;
}

/* x [rows, width] w^T */
static hct_tape *product_new(hct_dev *dev, hct_dtype dtype, int64_t rows, int64_t width, int64_t out,
                             hct_tensor **ret_x, hct_tensor **ret_w, hct_err *err) {
    *ret_x = hct_tensor_new(dev, dtype, 2, (int64_t[]){rows, width}, err);
    *ret_w = hct_tensor_new(dev, dtype, 2, (int64_t[]){out, width}, err);
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    if (*ret_x && *ret_w && t) {
        hct_keep_packed(t);
        hct_keep(t, hct_linear(t, hct_use(t, *ret_x), hct_use(t, *ret_w), 0));
    }
    if (*ret_x && *ret_w && t && hct_compile(t, err) == HCT_OK) return t;
    hct_tape_free(t);
    return NULL;
}

static double processor_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double peak_mib(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}

int main(int argc, char **argv) {
    hct_err err = {0, ""};
    int64_t batch = argc >= 3 && argc <= 5 ? atoll(argv[1]) : 0, patch = argc == 5 ? atoll(argv[4]) : 12;
    if (batch < 1 || patch < 1) {
        fprintf(stderr, "Usage: vit_rate BATCH FOLDER [f32|bf16|int8] [PATCH]\n");
        return 2;
    }
    recipe r = recipe_default();
    model_info info;
    r.model.patch = patch;
    if (argc > 3 && !strcmp(argv[3], "bf16")) r.train.precision = PRECISION_BF16;
    r.model.position = POSITION_TRAINED;
    if (model_of_recipe(&r, NULL, &info, &err) < 0) return fail(&err);
    info.role = MODEL_ENCODER;
    hct_dev *dev = device_open(NULL, &err);
    params *p = dev ? model_new(dev, &info, 1, &err) : NULL;
    embedder e = {0};
    const int int8 = argc > 3 && !strcmp(argv[3], "int8"); /* no training */
    if (!p || model_precision(p, &r, &err) < 0 || (int8 && precision_set(p, RUN_INT8, &err) < 0) ||
        embedder_new(&e, dev, p, &info, batch, INT64_MAX, &err) < 0)
        return fail(&err);

    const encoder *c = &info.encoder;
    int64_t n = batch * (int64_t)e.image_floats, width = encoder_width(c), m = batch * width, dim[3];
    float *cls = malloc((size_t)m * sizeof *cls), *factors = malloc((size_t)m * sizeof *factors);
    hct_tensor *rt = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){batch, width}, &err);
    if (!cls || !factors || !rt) return fail(&err);
    input_dims(&c->input, dim);
    for (int64_t i = 0; i < n; i++) e.host[i] = (float)(i * 2654435761u % 1009) / 1009;
    for (int64_t i = 0; i < m; i++) factors[i] = (float)(i * 7919 % 101) / 101 - 0.5f;
    hct_st_entry input = {.name = "input",
                          .dtype = HCT_F32,
                          .ndim = 5,
                          .dim = {batch, c->input.n_windows, dim[0], dim[1], dim[2]},
                          .data = e.host,
                          .bytes = (size_t)n * sizeof(float)};
    hct_st_entry entry_r = {.name = "r",
                            .dtype = HCT_F32,
                            .ndim = 2,
                            .dim = {batch, width},
                            .data = factors,
                            .bytes = (size_t)m * sizeof(float)};
    if (hct_tensor_write(e.input, e.host, &err) < 0 || hct_tensor_write(rt, factors, &err) < 0 ||
        save(p, &info, argv[2], input, entry_r, &err) < 0)
        return fail(&err);

    hct_optim *o =
        hct_optim_new(dev, &(hct_optim_options){.kind = HCT_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}, &err);
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    for (size_t i = 0; o && i < p->n; i++)
        if (optimizer_add(o, 0, &p->items[i], &err) < 0) return fail(&err);
    if (!o || !t) return fail(&err);
    p->int8 = 0;
    encoder_values v = {0};
    c->kind->forward(t, p, c, hct_use(t, e.input), &v);
    hct_id loss = hct_mean(t, hct_mul(t, hct_cast(t, v.embedding, HCT_F32), hct_use(t, rt)), HCT_AXES(2), 0);
    hct_backward(t, loss, 0);
    hct_keep(t, loss);
    hct_optim_record(o, t);
    if (hct_compile(t, &err) < 0) return fail(&err);

    hct_tensor *px, *pw;
    hct_dtype dtype = p->compute == HCT_BF16 ? HCT_BF16 : HCT_F32;
    hct_tape *product = product_new(dev, dtype, batch * c->kind->tokens(c), width, 4 * width, &px, &pw, &err);
    if (!product) return fail(&err);

    char line[16];
    printf("ready %.0f\n", hct_stats(e.tape).flops);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double seconds = 0, value = 0, start = measure_now();
        if (*line == 'f') {
            if (forward(&e, argv[2], cls, &seconds, &err) < 0) return fail(&err);
        } else if (*line == 'm') {
            value = peak_mib();
        } else if (*line == 'u') {
            value = processor_seconds();
        } else if (*line == 'p') {
            if (hct_run(product, &err) < 0) return fail(&err);
            seconds = measure_now() - start;
            value = hct_stats(product).flops;
        } else {
            float l;
            if (hct_optim_step(o, (hct_optim_rate[]){{1e-4, 0.05, 1}}, &err) < 0 || hct_run(t, &err) < 0 ||
                hct_read(t, loss, &l, &err) < 0)
                return fail(&err);
            seconds = measure_now() - start;
            value = (double)l;
        }
        printf("%.6f %.9g\n", seconds, value);
        fflush(stdout);
    }
    hct_tape_free(product);
    hct_tensor_free(px);
    hct_tensor_free(pw);
    hct_tape_free(t);
    hct_optim_free(o);
    hct_tensor_free(rt);
    embedder_free(&e);
    params_free(p);
    device_close(dev);
    free(cls);
    free(factors);
    return 0;
}
