/* Family dino_tiny: logits, loss, gradients and centre of one DINO step, and optimiser steps with per-tensor
 * clipping (two sizes of it) and with the position table fixed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/optim.h"
#include "model.h"
#include "models/dino.h"
#include "models/vit_encoder.h"
#include "tap.h"

static const golden_tol STEP_LOSS = {0, 1e-4, -1}, STEP_MOMENT = {2e-5, 1e-4, -1};

static dino_config config_of(const cJSON *j, int position_trained) {
#define N(key) (int64_t) golden_number(j, "config." key)
    int64_t local = N("local");
    const vit_config vit = {.image = N("img"),
                            .patch = N("patch"),
                            .channels = N("ch"),
                            .width = N("dim"),
                            .depth = N("depth"),
                            .heads = N("heads"),
                            .mlp = N("mlp"),
                            .registers = N("reg"),
                            .qkv_bias = golden_bool(j, "config.qkv_bias", true),
                            .position_trained = position_trained,
                            .norm_eps = 1e-6};
    static const hu_window windows[INPUT_WINDOWS] = {{0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}};
    return (dino_config){.encoder = encoder_of_vit(&vit, windows, 192),
                         .head = {.hidden = N("hidden"), .bottleneck = N("bottleneck"), .prototypes = N("out")},
                         .views = (int64_t)golden_number(j, "crops_total"),
                         .global = (int64_t)golden_number(j, "crops_total") - local};
#undef N
}

/* The files' names: the encoder's below "backbone.". */
static void renamed(const char *name, char *out, size_t n) {
    size_t teacher = strlen(DINO_TEACHER) * !strncmp(name, DINO_TEACHER, strlen(DINO_TEACHER));
    snprintf(out, n, "%s%s", strncmp(name + teacher, "head.", 5) ? "backbone." : "", name + teacher);
}

/* The same for one of the two; the other's names are none. */
static void student_name(const char *name, char *out, size_t n) {
    if (strncmp(name, DINO_TEACHER, strlen(DINO_TEACHER))) renamed(name, out, n);
    else snprintf(out, n, "-");
}
static void teacher_name(const char *name, char *out, size_t n) {
    if (!strncmp(name, DINO_TEACHER, strlen(DINO_TEACHER))) renamed(name, out, n);
    else snprintf(out, n, "-");
}

typedef struct run {
    params *p;
    dino_inputs in;
    hct_tensor *views;
    hct_tape *t;
    dino_outputs out;
    hct_optim *optim;
    dino_config cfg;
} run;

static void close_run(run *r) {
    hct_tape_free(r->t);
    hct_optim_free(r->optim);
    dino_inputs_free(&r->in);
    hct_tensor_free(r->views);
    params_free(r->p);
}

static bool load(const golden_case *c, run *r, const hct_st_file *f, bool teacher) {
    size_t found = 0;
    for (size_t i = 0; f && i < r->p->n; i++) {
        const char *name = r->p->items[i].name;
        char key[256];
        size_t n;
        if (!strcmp(name, "center") || !strncmp(name, DINO_TEACHER, strlen(DINO_TEACHER)) != teacher) continue;
        renamed(name, key, sizeof key);
        float *x = golden_f32(f, key, &n);
        if (x && n == (size_t)hct_numel(hct_tensor_view(r->p->items[i].tensor)) &&
            hct_tensor_write(r->p->items[i].tensor, x, NULL) == HCT_OK)
            found++;
        free(x);
    }
    return tap_ok(f && found == hct_st_count(f), "%s/%s: %zu %s tensors", c->family, c->name, found,
                  teacher ? "teacher" : "student");
}

/* All crops, one after the other: [views, batch, ...]. */
static bool load_views(const golden_case *c, run *r, hct_dev *dev, const hct_st_file *io) {
    const vit_config vit = vit_of(&r->cfg.encoder), *e = &vit;
    int64_t batch = (int64_t)golden_number(c->json, "config.batch"),
            one = batch * e->channels * e->image * e->image * e->image;
    r->views = hct_tensor_new(dev, HCT_F32, 6,
                              (int64_t[]){r->cfg.views, batch, e->channels, e->image, e->image, e->image}, NULL);
    float *x = malloc((size_t)(r->cfg.views * one) * sizeof *x);
    bool ok = r->views && x;
    for (int64_t v = 0; ok && v < r->cfg.views; v++) {
        char key[32];
        size_t n = 0;
        snprintf(key, sizeof key, "crop.%lld", (long long)v);
        float *crop = golden_f32(io, key, &n);
        ok = crop && n == (size_t)one;
        if (ok) memcpy(x + v * one, crop, n * sizeof *x);
        free(crop);
    }
    ok = ok && hct_tensor_write(r->views, x, NULL) == HCT_OK;
    free(x);
    return ok || tap_ok(0, "%s/%s: the crops cannot be read", c->family, c->name);
}

static void keep_gradients(run *r) {
    for (size_t i = 0; i < r->p->n; i++)
        if (r->p->items[i].trained) hct_keep(r->t, hct_grad(r->t, hct_use(r->t, r->p->items[i].tensor)));
}

/* Model, weights, views, and a recorded step with its averages; if `train`, the optimiser too, which clips where
 * clip > 0. */
static bool open_run(run *r, const golden_case *c, hct_dev *dev, int position_trained, bool train, double clip) {
    hct_err err = {0, ""};
    hct_st_file *student = golden_tensors(c, "_student"), *teacher = golden_tensors(c, "_teacher"),
                *io = golden_tensors(c, "_io");
    *r = (run){.p = params_new(dev), .cfg = config_of(c->json, position_trained)};
    size_t n;
    float *centre = io ? golden_f32(io, "center.before", &n) : NULL;
    bool ok = centre && dino_check(&r->cfg, &err) == HCT_OK &&
              (dino_declare(r->p, &r->cfg), params_check(r->p, &err)) == HCT_OK &&
              dino_inputs_new(&r->in, dev, &err) == HCT_OK && params_set(r->p, "center", centre, &err) == HCT_OK;
    if (!ok) tap_ok(0, "%s/%s: %s", c->family, c->name, err.msg);
    ok = ok && load(c, r, student, false) && load(c, r, teacher, true) && load_views(c, r, dev, io);
    if (ok) {
        r->t = hct_tape_new(dev, HCT_PROGRAM);
        r->out = dino_forward(r->t, r->p, &r->cfg, hct_use(r->t, r->views), &r->in);
        hct_keep(r->t, r->out.loss), hct_keep(r->t, r->out.student), hct_keep(r->t, r->out.teacher);
        hct_backward(r->t, r->out.loss, 0);
        keep_gradients(r);
        if (train) {
            hct_optim_options o = {.kind = HCT_ADAMW,
                                   .beta1 = golden_number(c->json, "config.betas.0"),
                                   .beta2 = golden_number(c->json, "config.betas.1"),
                                   .eps = 1e-8,
                                   .clip_mode = clip > 0 ? HCT_CLIP_TENSOR : HCT_CLIP_NONE,
                                   .clip = clip > 0 ? clip : 0};
            r->optim = hct_optim_new(dev, &o, &err);
            for (int group = 0; group < 2; group++)
                for (size_t i = 0; i < r->p->n; i++)
                    if (r->p->items[i].trained && dino_is_last_layer(r->p->items[i].name) == group)
                        hct_optim_add(r->optim, group, r->p->items[i].name, r->p->items[i].tensor, NULL);
            hct_optim_record(r->optim, r->t);
        }
        dino_record_averages(r->t, r->p, &r->out, 1, &r->in);
        ok = (hct_tape_error(r->t, &err) == HCT_OK && hct_compile(r->t, &err) == HCT_OK) ||
             tap_ok(0, "%s/%s: %s", c->family, c->name, err.msg);
    }
    free(centre);
    hct_st_close(student);
    hct_st_close(teacher);
    hct_st_close(io);
    return ok;
}

static void check_value(const golden_case *c, const hct_st_file *f, const char *name, hct_tape *t, hct_id id) {
    size_t n;
    float *x = model_read(t, id, &n);
    golden_check_tensor(c, f, name, x, n, GOLDEN_FORWARD);
    free(x);
}

static float *centre_of(const run *r, size_t *ret_n) {
    const param *centre = params_find(r->p, "center");
    *ret_n = (size_t)r->cfg.head.prototypes;
    float *x = calloc(*ret_n, sizeof *x);
    hct_tensor_read(centre->tensor, x, NULL);
    return x;
}

static void check_once(const golden_case *c, hct_dev *dev) {
    hct_st_file *io = golden_tensors(c, "_io");
    hct_err err = {0, ""};
    run r;
    double temp = golden_number(c->json, "config.ttemp.0");
    if (io && open_run(&r, c, dev, 1, false, 0)) {
        dino_set(&r.in, 0.1, temp, 1, 0.9, &err);
        float loss = 0;
        if (hct_run(r.t, &err) < 0 || hct_read(r.t, r.out.loss, &loss, &err) < 0)
            tap_ok(0, "%s/%s: %s", c->family, c->name, err.msg);
        golden_check_number(c, "loss", (double)loss, golden_number(c->json, "steps.0.loss"),
                            (golden_tol){2e-5, 1e-4, -1});
        check_value(c, io, "student_out", r.t, r.out.student);
        check_value(c, io, "teacher_out", r.t, r.out.teacher);
        model_check_gradients(c, io, r.t, r.p, "", student_name);
        size_t n;
        float *centre = centre_of(&r, &n);
        golden_check_tensor(c, io, "center.after", centre, n, GOLDEN_FORWARD);
        free(centre);
    }
    close_run(&r);
    hct_st_close(io);
}

/* Mean and L2 norm of every tensor that the JSON lists below step.WHO; what rounding noise makes of a qkv bias is
 * left out. */
static void check_moments(const golden_case *c, const run *r, const cJSON *of, const char *who, int step,
                          bool teacher) {
    for (size_t i = 0; i < r->p->n; i++) {
        const param *q = &r->p->items[i];
        char key[256], label[400];
        if (!strncmp(q->name, DINO_TEACHER, strlen(DINO_TEACHER)) != teacher || strstr(q->name, "qkv.bias")) continue;
        renamed(q->name, key, sizeof key);
        const cJSON *want = of ? cJSON_GetObjectItemCaseSensitive(of, key) : NULL;
        if (!want) continue;
        size_t n = (size_t)hct_numel(hct_tensor_view(q->tensor));
        float *x = malloc((n + 1) * sizeof *x);
        double sum = 0, square = 0;
        hct_tensor_read(q->tensor, x, NULL);
        for (size_t k = 0; k < n; k++) sum += (double)x[k], square += (double)x[k] * (double)x[k];
        free(x);
        snprintf(label, sizeof label, "step %d, %s %s: mean", step, who, key);
        golden_check_number(c, label, sum / (double)n, golden_number(want, "mean"), STEP_MOMENT);
        snprintf(label, sizeof label, "step %d, %s %s: norm", step, who, key);
        golden_check_number(c, label, sqrt(square), golden_number(want, "l2"), STEP_MOMENT);
    }
}

static void check_step(const golden_case *c, const run *r, const hct_st_file *steps, const cJSON *want,
                       const char *prefix, int step) {
    char key[64], label[96];
    double lr = golden_number(want, "lr");
    snprintf(key, sizeof key, "%sstep%d.student.", prefix, step);
    model_check_weights(c, steps, key, r->p, lr, student_name);
    snprintf(key, sizeof key, "%sstep%d.teacher.", prefix, step);
    model_check_weights(c, steps, key, r->p, lr, teacher_name);
    snprintf(key, sizeof key, "%sstep%d.center", prefix, step);
    size_t n;
    float *centre = centre_of(r, &n);
    if (hct_st_find(steps, key)) golden_check_tensor(c, steps, key, centre, n, GOLDEN_FORWARD);
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) sum += (double)centre[i], square += (double)centre[i] * (double)centre[i];
    free(centre);
    snprintf(label, sizeof label, "%sstep %d: centre's norm", prefix, step);
    golden_check_number(c, label, sqrt(square), golden_number(want, "center.l2"), STEP_MOMENT);
    snprintf(label, sizeof label, "%sstep %d: centre's mean", prefix, step);
    golden_check_number(c, label, sum / (double)n, golden_number(want, "center.mean"), STEP_MOMENT);
    check_moments(c, r, golden_item(want, "student"), "student", step, false);
    check_moments(c, r, golden_item(want, "teacher"), "teacher", step, true);
}

static void check_steps(const golden_case *c, hct_dev *dev, const char *list, const char *prefix, int position_trained,
                        double clip) {
    const cJSON *all = golden_item(c->json, list);
    hct_st_file *steps = golden_tensors(c, "_steps");
    hct_err err = {0, ""};
    run r;
    if (all && steps && open_run(&r, c, dev, position_trained, true, clip)) {
        for (int s = 0; s < cJSON_GetArraySize(all) && err.code == 0; s++) {
            const cJSON *want = cJSON_GetArrayItem(all, s);
            double lr = golden_number(want, "lr"), decay = golden_number(want, "wd");
            float loss = 0;
            char label[96];
            dino_set(&r.in, 0.1, golden_number(want, "teacher_temp"), golden_number(want, "ema_m"), 0.9, &err);
            hct_optim_step(r.optim,
                           (hct_optim_rate[]){
                               {lr, decay, 1},
                               {lr, decay, golden_bool(want, "last_layer_updated", true)},
                           },
                           &err);
            if (hct_run(r.t, &err) < 0 || hct_read(r.t, r.out.loss, &loss, &err) < 0) break;
            snprintf(label, sizeof label, "%sloss %d", prefix, s + 1);
            golden_check_number(c, label, (double)loss, golden_number(want, "loss"), STEP_LOSS);
            check_step(c, &r, steps, want, prefix, s + 1);
        }
        if (err.code < 0) tap_ok(0, "%s/%s: %s: %s", c->family, c->name, list, err.msg);
    }
    if (all && steps) close_run(&r);
    hct_st_close(steps);
}

int main(void) {
    if (!golden_begin()) return golden_done();
    hct_dev *dev = model_device();
    golden_case *c;
    for (size_t i = 0; (c = golden_open("dino_tiny", i)); golden_close(c), i++) {
        double clip = golden_number(c->json, "config.clip"), small = golden_number(c->json, "config.clip_small");
        check_once(c, dev);
        check_steps(c, dev, "steps", "", 1, clip);
        if (small > 0) check_steps(c, dev, "steps_clip_small", "clipsmall.", 1, small);
        check_steps(c, dev, "steps_position_table_fixed", "posfixed.", 0, clip);
    }
    model_device_close(dev);
    return golden_done();
}
