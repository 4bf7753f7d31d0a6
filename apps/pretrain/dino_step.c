/* One recorded DINO step (micro-batches, gradients, update, averages), or one validation pass, and the views that are
 * drawn for it. */
#include "pretrain/dino_step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/build.h"
#include "models/dino.h"
#include "training/optimizer.h"

typedef struct dino_step {
    dino_config config;
    hct_tensor *volume[MICRO_MOST]; /* I16 [batch, E, E, E]: the cubes that views are cut from */
    hct_tensor *views[MICRO_MOST];  /* F32 [views, batch, 16] */
    hct_tensor *windows;
    dino_inputs in;
    dino_outputs out[MICRO_MOST];
    float *params; /* one micro-batch's views */
} dino_step;

static void record(method_step *s, params *p, hct_optim *optim) {
    dino_step *own = s->own;
    hct_tape *t = s->tape;
    const encoder *e = &own->config.encoder;
    /* patches in the dtype that the encoder computes with, where it takes them */
    int64_t patch = e->kind->patch ? e->kind->patch(e) : 0;
    const views_config *c = &s->r->views;
    int told = c->placement == VIEWS_ALL;
    const hct_attr attr[] = {HCT_INT("size", e->input.size[0]), HCT_INT("patch", patch),
                             HCT_INT("bf16", patch && p->compute == HCT_BF16),
                             HCT_REAL("smoothed", told ? c->smooth_prob : 1),
                             HCT_REAL("gamma", told ? c->gamma_prob : 1)};
    for (int64_t m = 0; m < s->micro; m++) {
        hct_id views = 0;
        hct_emit(t, "ct_views",
                 (hct_id[]){hct_use(t, own->volume[m]), hct_use(t, own->views[m]), hct_use(t, own->windows)}, 3, attr,
                 5, &views, 1);
        if (!views) return;
        own->out[m] = dino_forward(t, p, &own->config, views, &own->in);
        s->loss[m] = own->out[m].loss;
        hct_keep(t, s->loss[m]);
        if (m == 0) hct_keep(t, own->out[m].entropy), hct_keep(t, own->out[m].features);
        if (optim && m == s->micro - 1) hct_optim_reduce(optim, t, 0);
        if (optim) hct_backward(t, s->loss[m], hct_fill(t, HCT_F32, 0, NULL, 1.0 / (double)s->micro));
    }
    if (!optim) return;
    hct_optim_record(optim, t);
    dino_record_averages(t, p, own->out, s->micro, &own->in);
}

static hct_status make_tensors(method_step *s, hct_dev *dev, hct_err *err) {
    dino_step *own = s->own;
    const input_spec *input = &s->info->encoder.input;
    int64_t e = views_source(&s->r->views), c = input->n_windows;
    float window[2 * INPUT_WINDOWS];
    for (int64_t m = 0; m < s->micro; m++) {
        own->volume[m] = hct_tensor_new(dev, HCT_I16, 4, (int64_t[]){s->batch, e, e, e}, err);
        own->views[m] = hct_tensor_new(dev, HCT_F32, 3, (int64_t[]){own->config.views, s->batch, HCT_VIEW_FLOATS}, err);
        if (!own->volume[m] || !own->views[m]) return err->code;
    }
    for (int64_t i = 0; i < c; i++)
        window[2 * i] = (float)input->window[i].centre, window[2 * i + 1] = (float)input->window[i].width;
    own->windows = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){c, 2}, err);
    hct_status st = own->windows ? hct_tensor_write(own->windows, window, err) : err->code;
    return st < 0 ? st : dino_inputs_new(&own->in, dev, err);
}

static dino_config config_of(const recipe *r, const model_info *info) {
    return (dino_config){.encoder = info->encoder,
                         .head = dino_head_of(&info->pretext),
                         .views = r->views.global + r->views.local,
                         .global = r->views.global};
}

static hct_status check(const recipe *r, const model_info *info, hct_err *err) {
    const dino_config c = config_of(r, info);
    return dino_check(&c, err);
}

static hct_status open_step(method_step *s, const method_setup *o, hct_err *err) {
    dino_step *own = s->own = calloc(1, sizeof *own);
    if (!own) return hct_fail(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)o->batch);
    own->config = config_of(o->r, o->info);
    size_t e = (size_t)views_source(&o->r->views), floats = (size_t)own->config.views * HCT_VIEW_FLOATS;
    hct_status st = dino_check(&own->config, err);
    if (st < 0) return st;
    s->item = e * e * e * sizeof(int16_t);
    s->host_bytes = (uint64_t)o->batch * (s->item + floats * sizeof *own->params);
    s->host = calloc((size_t)o->batch, s->item);
    own->params = calloc((size_t)o->batch * floats, sizeof *own->params);
    s->tape = hct_tape_new(o->dev, HCT_PROGRAM);
    st = s->host && own->params && s->tape
             ? make_tensors(s, o->dev, err)
             : hct_fail(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)o->batch);
    if (st == HCT_OK) record(s, o->p, o->optim);
    return st;
}

static void close_step(method_step *s) {
    dino_step *own = s->own;
    hct_tape_free(s->tape);
    for (int64_t m = 0; own && m < s->micro; m++) {
        hct_tensor_free(own->volume[m]);
        hct_tensor_free(own->views[m]);
    }
    if (own) {
        hct_tensor_free(own->windows);
        dino_inputs_free(&own->in);
        free(own->params);
    }
    free(own);
    free(s->host);
}

/* Views are drawn from (seed, epoch, scan). */
static hct_status fill_micro(method_step *s, int64_t m, const method_draw *d, hct_err *err) {
    dino_step *own = s->own;
    for (int64_t v = 0; v < own->config.views; v++)
        for (int64_t b = 0; b < s->batch; b++)
            views_draw_crop(&s->r->views, d->seed, (uint64_t)d->epoch, d->scan[b], v,
                            own->params + (v * s->batch + b) * HCT_VIEW_FLOATS);
    hct_status st = hct_tensor_write(own->volume[m], s->host, err);
    return st < 0 ? st : hct_tensor_write(own->views[m], own->params, err);
}

/* Temperatures and momenta of an optimiser step. */
static hct_status set_step(method_step *s, int64_t epoch, int64_t step, int64_t total, hct_err *err) {
    const recipe *r = s->r;
    dino_step *own = s->own;
    return dino_set(&own->in, r->dino.student_temp,
                    schedule_temperature(r->dino.teacher_temp_start, r->dino.teacher_temp, r->dino.teacher_temp_epochs,
                                         epoch),
                    schedule_cosine(r->dino.momentum, r->dino.momentum_end, step, total), r->dino.center_momentum, err);
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

static hct_status health(method_step *s, double *ret, hct_err *err) {
    dino_step *own = s->own;
    const hct_view *v = hct_shape(s->tape, own->out[0].features);
    float entropy = 0, *x = malloc((size_t)hct_numel(v) * sizeof *x);
    hct_status st =
        x ? hct_read(s->tape, own->out[0].entropy, &entropy, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = hct_read(s->tape, own->out[0].features, x, err);
    ret[DINO_ENTROPY] = (double)entropy;
    if (st == HCT_OK) ret[DINO_FEATURE_STD] = spread(x, v->dim[0], v->dim[1]);
    free(x);
    return st;
}

/* A student whose features or teacher no longer tell scans apart learns nothing more. */
static int collapse(const recipe *r, const double *health, char *why, size_t size) {
    double even = log((double)r->dino.prototypes), entropy = health[DINO_ENTROPY], spread = health[DINO_FEATURE_STD];
    const char *how = spread < 0.01            ? "all scans get the same features"
                      : entropy > 0.999 * even ? "the teacher takes all prototypes alike"
                      : entropy < 1e-3 * even  ? "the teacher takes one prototype for every scan"
                                               : NULL;
    if (how)
        snprintf(why, size,
                 "%s (entropy %.4f of %.4f, feature std %.4f); lower optim.lr, or change dino.teacher_temp or "
                 "dino.center_momentum",
                 how, entropy, even, spread);
    return how != NULL;
}

static int together(const recipe *r) { return r->dino.batch_norm; }

/* The student's optimiser: group 0 decays, group 1 is the last layer, group 2 does not decay. */
static hct_optim *optimizer(hct_dev *dev, const recipe *r, const params *p, hct_err *err) {
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

/* The last layer is left alone in the first dino.freeze_last_layer epochs. */
static hct_status rates(hct_optim *o, const recipe *r, double lr, double decay, int64_t epoch, hct_err *err) {
    return hct_optim_step(o,
                          (hct_optim_rate[]){
                              {lr, decay, 1},
                              {lr, decay, epoch >= r->dino.freeze_last_layer},
                              {lr, 0, 1},
                          },
                          err);
}

static void input(const recipe *r, loader_options *io) {
    io->input.n_windows = 0;
    io->cube.region = r->views.region;
    io->cube.edge = views_source(&r->views);
}

/* The teacher's encoder alone, under its plain names. */
static hct_status save_teacher(const char *path, hct_dev *dev, const params *p, const model_info *info, hct_err *err) {
    model_info alone = *info;
    alone.role = MODEL_ENCODER;
    params *encoder = model_new(dev, &alone, 0, err);
    hct_status st = encoder ? HCT_OK : err->code;
    for (size_t i = 0; st == HCT_OK && i < encoder->n; i++) {
        char name[200];
        snprintf(name, sizeof name, DINO_TEACHER "%s", encoder->items[i].name);
        st = param_copy(params_find(p, name), &encoder->items[i], err);
    }
    if (st == HCT_OK) st = weights_save(path, encoder, &alone, NULL, 0, err);
    params_free(encoder);
    return st;
}

static void describe(const recipe *r, const model_info *info, text_buffer *out) {
    text_printf(out, "; %lld + %lld views a scan, %lld prototypes", (long long)r->views.global,
                (long long)r->views.local, (long long)dino_head_of(&info->pretext).prototypes);
}

static const char *const health_names[] = {
    [DINO_ENTROPY] = "teacher_entropy", [DINO_FEATURE_STD] = "feature_std", [DINO_HEALTH] = NULL};

const method method_dino = {
    .name = "dino",
    .title = "DINO",
    .summary = "self-distillation: a student gives for each view of a scan what its moving average gives for others",
    .pretext = &pretext_dino,
    .whole_batches = 1,
    .check = check,
    .input = input,
    .optimizer = optimizer,
    .rates = rates,
    .open = open_step,
    .close = close_step,
    .fill = fill_micro,
    .set = set_step,
    .health_names = health_names,
    .health = health,
    .collapse = collapse,
    .together = together,
    .save = save_teacher,
    .describe = describe,
};
