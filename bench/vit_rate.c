/* bench/vit_rate BATCH FOLDER: ViT-Base with patches of 12^3, driven by bench/vit.py. Writes FOLDER/vit.safetensors (weights, "input", "r") and
 * answers each line of stdin with one line "seconds value": f: forward; the value is 0 and the class tokens go to FOLDER/cls.f32.
 * t: forward, backward and AdamW (lr 1e-4, decay 0.05) on loss = mean(class tokens * r); the value is the loss. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/optim.h"
#include "training/encoder.h"
#include "training/measure.h"

static int fail(const hct_err *e) {
    fprintf(stderr, "vit_rate: %s\n", e->msg);
    return 1;
}

static hct_status save(const params *p, const char *folder, hct_st_entry input, hct_st_entry r, hct_err *err) {
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
        st = hct_st_write(path, all, p->n + 2, NULL, 0, err);
    }
    free(all);
    free(entries);
    free(bytes);
    return st;
}

static hct_status forward(encoder *e, const char *folder, float *cls, double *ret_seconds, hct_err *err) {
    double start = measure_now();
    hct_status st = hct_run(e->tape, err);
    if (st == HCT_OK) st = hct_read(e->tape, e->cls, cls, err);
    *ret_seconds = measure_now() - start;
    if (st < 0) return st;
    char path[4096];
    snprintf(path, sizeof path, "%s/cls.f32", folder);
    FILE *f = fopen(path, "wb");
    int written = f && fwrite(cls, sizeof *cls, e->row * (size_t)e->batch, f) == e->row * (size_t)e->batch;
    if ((f && fclose(f)) || !written) return hct_fail(err, HCT_EIO, "%s: cannot be written", path);
    return HCT_OK;
}

int main(int argc, char **argv) {
    hct_err err = {0, ""};
    int64_t batch = argc == 3 ? atoll(argv[1]) : 0;
    if (batch < 1) {
        fprintf(stderr, "Usage: vit_rate BATCH FOLDER\n");
        return 2;
    }
    recipe r = recipe_default();
    model_info info;
    if (model_of_recipe(&r, &info, &err) < 0) return fail(&err);
    info.kind = MODEL_VIT;
    info.mae.encoder.norm_eps = 1e-6;
    info.mae.encoder.position_trained = 1;
    hct_dev *dev = device_open(NULL, &err);
    params *p = dev ? model_new(dev, &info, 1, &err) : NULL;
    encoder e = {0};
    if (!p || encoder_new(&e, dev, p, &info, batch, &err) < 0) return fail(&err);

    const vit_config *c = &info.mae.encoder;
    int64_t n = batch * (int64_t)e.image_floats, m = batch * c->width;
    float *cls = malloc((size_t)m * sizeof *cls), *factors = malloc((size_t)m * sizeof *factors);
    hct_tensor *rt = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){batch, c->width}, &err);
    if (!cls || !factors || !rt) return fail(&err);
    for (int64_t i = 0; i < n; i++) e.host[i] = (float)(i * 2654435761u % 1009) / 1009;
    for (int64_t i = 0; i < m; i++) factors[i] = (float)(i * 7919 % 101) / 101 - 0.5f;
    hct_st_entry input = {.name = "input", .dtype = HCT_F32, .ndim = 5, .dim = {batch, c->channels, c->image, c->image, c->image}, .data = e.host,
                          .bytes = (size_t)n * sizeof(float)};
    hct_st_entry entry_r = {.name = "r", .dtype = HCT_F32, .ndim = 2, .dim = {batch, c->width}, .data = factors, .bytes = (size_t)m * sizeof(float)};
    if (hct_tensor_write(e.input, e.host, &err) < 0 || hct_tensor_write(rt, factors, &err) < 0 || save(p, argv[2], input, entry_r, &err) < 0)
        return fail(&err);

    hct_optim *o = hct_optim_new(dev, &(hct_optim_options){.kind = HCT_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}, &err);
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    for (size_t i = 0; o && i < p->n; i++)
        if (hct_optim_add(o, 0, p->items[i].name, p->items[i].tensor, &err) < 0) return fail(&err);
    if (!o || !t) return fail(&err);
    hct_id out = vit_cls(t, vit_forward(t, p, c, hct_use(t, e.input), NULL)), loss = hct_mean(t, hct_mul(t, out, hct_use(t, rt)), 3, 0);
    hct_backward(t, loss, 0);
    hct_keep(t, loss);
    hct_optim_record(o, t);
    if (hct_compile(t, &err) < 0) return fail(&err);

    char line[16];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double seconds;
        float value = 0;
        if (*line == 'f') {
            if (forward(&e, argv[2], cls, &seconds, &err) < 0) return fail(&err);
        } else {
            double start = measure_now();
            if (hct_optim_step(o, (hct_optim_rate[]){{1e-4, 0.05, 1}}, &err) < 0 || hct_run(t, &err) < 0 || hct_read(t, loss, &value, &err) < 0)
                return fail(&err);
            seconds = measure_now() - start;
        }
        printf("%.6f %.9g\n", seconds, (double)value);
        fflush(stdout);
    }
    hct_tape_free(t);
    hct_optim_free(o);
    hct_tensor_free(rt);
    encoder_free(&e);
    params_free(p);
    device_close(dev);
    free(cls);
    free(factors);
    return 0;
}
