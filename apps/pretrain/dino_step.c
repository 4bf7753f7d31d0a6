#include "pretrain/dino_step.h"
#include "models/build.h"
#include "training/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void record(dino_step *s, params *p, hct_optim *optim) {
    hct_tape *t = s->tape;
    for (int64_t m = 0; m < s->micro; m++) {
        hct_id views = 0;
        hct_emit(t, "ct_views", (hct_id[]){hct_use(t, s->volume[m]), hct_use(t, s->views[m]), hct_use(t, s->windows)},
                 3, &HCT_INT("size", s->config.encoder.image), 1, &views, 1);
        if (!views) return;
        s->out[m] = dino_forward(t, p, &s->config, views, &s->in);
        hct_keep(t, s->out[m].loss);
        if (m == 0) hct_keep(t, s->out[m].entropy), hct_keep(t, s->out[m].features);
        if (optim && m == s->micro - 1) hct_optim_reduce(optim, t, 0);
        if (optim) hct_backward(t, s->out[m].loss, hct_fill(t, HCT_F32, 0, NULL, 1.0 / (double)s->micro));
    }
    if (!optim) return;
    hct_optim_record(optim, t);
    dino_record_averages(t, p, s->out, s->micro, &s->in);
}

static hct_status make_tensors(dino_step *s, hct_dev *dev, const model_info *info, hct_err *err) {
    int64_t e = views_source(&s->draw), c = info->n_windows;
    float window[2 * MODEL_WINDOWS];
    for (int64_t m = 0; m < s->micro; m++) {
        s->volume[m] = hct_tensor_new(dev, HCT_I16, 4, (int64_t[]){s->batch, e, e, e}, err);
        s->views[m] = hct_tensor_new(dev, HCT_F32, 3, (int64_t[]){s->config.views, s->batch, VIEW_FLOATS}, err);
        if (!s->volume[m] || !s->views[m]) return err->code;
    }
    for (int64_t i = 0; i < c; i++)
        window[2 * i] = (float)info->window[i].centre, window[2 * i + 1] = (float)info->window[i].width;
    s->windows = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){c, 2}, err);
    hct_status st = s->windows ? hct_tensor_write(s->windows, window, err) : err->code;
    return st < 0 ? st : dino_inputs_new(&s->in, dev, err);
}

hct_status dino_step_new(dino_step *s, hct_dev *dev, params *p, const recipe *r, const model_info *info, int64_t batch,
                         int64_t micro, hct_optim *optim, int plan_only, hct_err *err) {
    memset(s, 0, sizeof *s);
    hct_status st = micro_check(micro, err);
    if (st < 0) return st;
    s->batch = batch;
    s->micro = micro;
    s->draw = r->views;
    s->config = (dino_config){.encoder = info->mae.encoder,
                              .head = info->dino,
                              .views = r->views.global + r->views.local,
                              .global = r->views.global};
    int64_t e = views_source(&r->views);
    s->cube = (size_t)(e * e * e);
    st = dino_check(&s->config, err);
    if (st < 0) return st;
    s->host = calloc((size_t)batch * s->cube, sizeof *s->host);
    s->params = calloc((size_t)(s->config.views * batch * VIEW_FLOATS), sizeof *s->params);
    s->tape = hct_tape_new(dev, HCT_PROGRAM);
    st = s->host && s->params && s->tape
             ? make_tensors(s, dev, info, err)
             : hct_fail(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)batch);
    if (st == HCT_OK) {
        record(s, p, optim);
        st = plan_only ? hct_plan_only(s->tape, err) : hct_compile(s->tape, err);
    }
    if (st < 0) dino_step_free(s);
    return st;
}

void dino_step_free(dino_step *s) {
    hct_tape_free(s->tape);
    for (int64_t m = 0; m < s->micro; m++) {
        hct_tensor_free(s->volume[m]);
        hct_tensor_free(s->views[m]);
    }
    hct_tensor_free(s->windows);
    dino_inputs_free(&s->in);
    free(s->host);
    free(s->params);
    memset(s, 0, sizeof *s);
}

uint64_t dino_step_host_bytes(const dino_step *s) {
    return (uint64_t)s->batch * (s->cube * sizeof *s->host + (size_t)s->config.views * VIEW_FLOATS * sizeof *s->params);
}

hct_status dino_step_fill(dino_step *s, int64_t m, uint64_t seed, uint64_t epoch, const size_t *scan, hct_err *err) {
    for (int64_t v = 0; v < s->config.views; v++)
        for (int64_t b = 0; b < s->batch; b++)
            views_draw_crop(&s->draw, seed, epoch, scan[b], v, s->params + (v * s->batch + b) * VIEW_FLOATS);
    hct_status st = hct_tensor_write(s->volume[m], s->host, err);
    return st < 0 ? st : hct_tensor_write(s->views[m], s->params, err);
}

hct_status dino_step_set(dino_step *s, const recipe *r, int64_t epoch, int64_t step, int64_t total, hct_err *err) {
    return dino_set(&s->in, r->dino.student_temp,
                    schedule_temperature(r->dino.teacher_temp_start, r->dino.teacher_temp, r->dino.teacher_temp_epochs,
                                         epoch),
                    schedule_cosine(r->dino.momentum, r->dino.momentum_end, step, total), r->dino.center_momentum, err);
}

hct_status dino_step_loss(dino_step *s, double *ret_loss, hct_err *err) {
    hct_id loss[MICRO_MOST];
    for (int64_t m = 0; m < s->micro; m++) loss[m] = s->out[m].loss;
    return micro_losses(s->tape, loss, s->micro, ret_loss, err);
}

/* x [n, width], each row brought to length 1; the mean over columns of their standard deviation, times sqrt(width). */
static double spread(float *x, int64_t n, int64_t width) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double square = 0;
        for (int64_t j = 0; j < width; j++) square += (double)x[i * width + j] * (double)x[i * width + j];
        for (int64_t j = 0; j < width; j++) x[i * width + j] /= (float)fmax(sqrt(square), 1e-12);
    }
    for (int64_t j = 0; j < width; j++) {
        double mean = 0, square = 0;
        for (int64_t i = 0; i < n; i++) mean += (double)x[i * width + j] / (double)n;
        for (int64_t i = 0; i < n; i++) square += ((double)x[i * width + j] - mean) * ((double)x[i * width + j] - mean);
        sum += sqrt(square / (double)n);
    }
    return sum / sqrt((double)width);
}

hct_status dino_step_health(dino_step *s, dino_health *ret, hct_err *err) {
    const hct_view *v = hct_shape(s->tape, s->out[0].features);
    float entropy = 0, *x = malloc((size_t)hct_numel(v) * sizeof *x);
    hct_status st =
        x ? hct_read(s->tape, s->out[0].entropy, &entropy, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = hct_read(s->tape, s->out[0].features, x, err);
    if (st == HCT_OK) *ret = (dino_health){(double)entropy, spread(x, v->dim[0], v->dim[1])};
    free(x);
    return st;
}

hct_optim *dino_optimizer(hct_dev *dev, const recipe *r, const params *p, hct_err *err) {
    hct_optim *o = optimizer_new(dev, r, err);
    for (int group = 0; o && group < 3; group++)
        for (size_t i = 0; i < p->n; i++) {
            const param *q = &p->items[i];
            int own = dino_is_last_layer(q->name) ? 1 : optimizer_decays(r, q) ? 0 : 2;
            if (!q->trained || own != group || optimizer_add(o, group, q, err) == HCT_OK) continue;
            hct_optim_free(o);
            return NULL;
        }
    return o;
}

hct_status dino_set_rates(hct_optim *o, const recipe *r, double lr, double decay, int64_t epoch, hct_err *err) {
    return hct_optim_step(o,
                          (hct_optim_rate[]){
                              {lr, decay, 1},
                              {lr, decay, epoch >= r->dino.freeze_last_layer},
                              {lr, 0, 1},
                          },
                          err);
}

hct_status dino_save_teacher(const char *path, hct_dev *dev, const params *p, const model_info *info, hct_err *err) {
    model_info vit = *info;
    vit.kind = MODEL_VIT;
    params *encoder = model_new(dev, &vit, 0, err);
    hct_status st = encoder ? HCT_OK : err->code;
    for (size_t i = 0; st == HCT_OK && i < encoder->n; i++) {
        char name[200];
        snprintf(name, sizeof name, DINO_TEACHER "%s", encoder->items[i].name);
        st = param_copy(params_find(p, name), &encoder->items[i], err);
    }
    if (st == HCT_OK) st = weights_save(path, encoder, &vit, NULL, 0, NULL, 0, err);
    params_free(encoder);
    return st;
}
