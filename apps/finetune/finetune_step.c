/* One recorded step of fine-tuning, and filling its inputs. */
#include "finetune/finetune_step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/philox.h"
#include "models/probe.h"
#include "support/streams.h"

void finetune_drop(uint64_t seed, uint64_t step, int64_t first, int64_t batch, int64_t branches, double p, float *out) {
    int64_t layers = branches / 2;
    for (int64_t branch = 0; branch < branches; branch++) {
        double skip = layers > 1 ? p * (double)(branch / 2) / (double)(layers - 1) : p;
        for (int64_t b = 0; b < batch; b++) {
            hct_philox r = hct_philox4x32(seed ^ STREAM_DROP, step, (uint64_t)(first + b) << 16 | (uint64_t)branch);
            out[branch * batch + b] = hct_u01(r.v[0]) < skip ? 0.0f : (float)(1 / (1 - skip));
        }
    }
}

/* Row k of a tensor [tasks, ...] as a value of these dims. */
static hct_id row(hct_tape *t, hct_tensor *x, int k, int ndim, const int64_t *dim) {
    return hct_reshape(t, hct_slice(t, hct_use(t, x), 0, k, 1), ndim, dim);
}

static hct_id task_loss(hct_tape *t, const finetune_step *s, const finetune_micro *m, int k, hct_id logits) {
    hct_id target = row(t, m->target, k, 1, &s->batch);
    if (!m->known) return hct_cross_entropy(t, logits, target);
    logits = hct_mul(t, logits, row(t, m->known, k, 2, (int64_t[]){s->batch, 1}));
    hct_id count = row(t, m->count, k, 1, (int64_t[]){2}),
           one = hct_reshape(t, hct_cross_entropy(t, logits, target), 1, (int64_t[]){1});
    return hct_sub(t, hct_mul(t, one, hct_slice(t, count, 0, 0, 1)), hct_slice(t, count, 0, 1, 1));
}

/* [batch, C, D0, D1, D2] */
static void image_dims(const finetune_step *s, int64_t dim[5]) {
    const input_spec *input = &s->info->encoder.input;
    dim[0] = s->batch;
    dim[1] = input->n_windows;
    input_dims(input, dim + 2);
}

/* The images, or their views by plugins/ct_views. */
static hct_id augmented(finetune_step *s, const finetune_micro *m) {
    hct_id image = hct_use(s->tape, m->image), view = 0;
    int64_t dim[5];
    image_dims(s, dim);
    if (!m->views) return image;
    hct_emit(s->tape, "ct_views", (hct_id[]){image, hct_use(s->tape, m->views)}, 2, &HCT_INT("size", dim[2]), 1, &view,
             1);
    return hct_reshape(s->tape, view, 5, dim);
}

static void record(finetune_step *s, params *p, hct_optim *optim) {
    hct_tape *t = s->tape;
    const encoder *e = &s->info->encoder;
    for (int64_t i = 0; i < s->micro; i++) {
        finetune_micro *m = &s->in[i];
        encoder_values v = {.pool_mean = s->info->pool_mean, .training = 1, .drop = m->drop ? hct_use(t, m->drop) : 0};
        hct_id sum = 0;
        e->kind->forward(t, p, e, augmented(s, m), &v);
        for (int k = 0; k < s->info->n_tasks; k++) {
            char prefix[MODEL_NAME + 8];
            snprintf(prefix, sizeof prefix, "head.%s.", s->info->task[k]);
            hct_id logits = head_forward(t, p, prefix, s->info->probe_heads, v.embedding, v.tokens, 1),
                   loss = task_loss(t, s, m, k, logits);
            sum = k ? hct_add(t, sum, loss) : loss;
        }
        m->loss = s->info->n_tasks > 1 ? hct_scale(t, sum, 1.0 / s->info->n_tasks, 0) : sum;
        hct_keep(t, m->loss);
        const hct_view *one = hct_shape(t, m->loss);
        hct_backward(t, m->loss, hct_fill(t, HCT_F32, one->ndim, one->dim, 1.0 / (double)s->micro));
    }
    hct_optim_record(optim, t);
}

static hct_status open_micro(finetune_step *s, finetune_micro *m, hct_dev *dev, hct_err *err) {
    int64_t tasks = s->info->n_tasks, b = s->batch, dim[5];
    image_dims(s, dim);
    m->image = hct_tensor_new(dev, HCT_F32, 5, dim, err);
    m->target = hct_tensor_new(dev, HCT_I32, 2, (int64_t[]){tasks, b}, err);
    int ok = m->image && m->target;
    if (ok && tasks > 1) {
        m->known = hct_tensor_new(dev, HCT_F32, 3, (int64_t[]){tasks, b, 1}, err);
        m->count = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){tasks, 2}, err);
        ok = m->known && m->count;
    }
    if (ok && s->views)
        ok = (m->views = hct_tensor_new(dev, HCT_F32, 3, (int64_t[]){1, b, HCT_VIEW_FLOATS}, err)) != NULL;
    if (ok && s->drop_path > 0)
        ok = (m->drop = hct_tensor_new(dev, HCT_F32, 4, (int64_t[]){s->branches, b, 1, 1}, err)) != NULL;
    return ok ? HCT_OK : hct_fail_untold(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)b);
}

hct_status finetune_step_new(finetune_step *s, hct_dev *dev, params *p, const model_info *info, const recipe *r,
                             hct_optim *optim, int64_t batch, hct_err *err) {
    const encoder *e = &info->encoder;
    *s = (finetune_step){.info = info,
                         .micro = r->optim.accumulate,
                         .batch = batch,
                         .drop_path = r->finetune.drop_path,
                         .branches = encoder_branches(e)};
    hct_status st = micro_check(s->micro, err);
    if (st == HCT_OK && s->drop_path > 0 && !s->branches)
        st = hct_fail(err, HCT_EINVAL, "finetune.drop_path: a %s encoder has no branches to skip; set it to 0",
                      e->kind->name);
    int64_t dim[3];
    input_dims(&e->input, dim);
    if (st == HCT_OK && views_augments(&r->views) && (dim[0] != dim[1] || dim[0] != dim[2]))
        st = hct_fail(err, HCT_EINVAL,
                      "views: flips and shifts are of cubes, and a %s encoder takes %lld x %lld x %lld voxels; set "
                      "views.flip and views.shift_prob to 0",
                      e->kind->name, (long long)dim[0], (long long)dim[1], (long long)dim[2]);
    if (st < 0) return st;
    s->image_floats = input_floats(&e->input);
    s->image = malloc((size_t)batch * s->image_floats * sizeof *s->image);
    int augments = views_augments(&r->views);
    if (augments) s->views = calloc((size_t)batch * HCT_VIEW_FLOATS, sizeof *s->views);
    s->tape = hct_tape_new(dev, HCT_PROGRAM);
    st = s->image && s->tape && (s->views || !augments)
             ? HCT_OK
             : hct_fail(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)batch);
    for (int64_t m = 0; st == HCT_OK && m < s->micro; m++) st = open_micro(s, &s->in[m], dev, err);
    if (st == HCT_OK) {
        record(s, p, optim);
        st = hct_compile(s->tape, err);
    }
    if (st < 0) finetune_step_free(s);
    return st;
}

void finetune_step_free(finetune_step *s) {
    hct_tape_free(s->tape);
    for (int64_t i = 0; i < MICRO_MOST; i++) {
        finetune_micro *m = &s->in[i];
        hct_tensor *all[] = {m->image, m->target, m->known, m->count, m->views, m->drop};
        for (int k = 0; k < 6; k++) hct_tensor_free(all[k]);
    }
    free(s->image);
    free(s->views);
    memset(s, 0, sizeof *s);
}

/* Targets of all tasks; where there are several, which are known and how many. */
static hct_status fill_labels(finetune_step *s, const finetune_micro *m, const int8_t *label, hct_err *err) {
    int64_t tasks = s->info->n_tasks, n = tasks * s->batch;
    int32_t *target = malloc((size_t)n * sizeof *target);
    float *known = malloc((size_t)n * sizeof *known), count[2 * MODEL_TASKS];
    hct_status st = target && known ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (int64_t k = 0; st == HCT_OK && k < tasks; k++) {
        double labelled = 0, batch = (double)s->batch;
        for (int64_t b = 0; b < s->batch; b++) {
            int8_t l = label[b * tasks + k];
            target[k * s->batch + b] = l > 0;
            known[k * s->batch + b] = l >= 0;
            labelled += l >= 0;
        }
        count[2 * k] = labelled > 0 ? (float)(batch / labelled) : 0;
        count[2 * k + 1] = labelled > 0 ? (float)(log(2) * (batch - labelled) / labelled) : 0;
    }
    if (st == HCT_OK) st = hct_tensor_write(m->target, target, err);
    if (st == HCT_OK && m->known) st = hct_tensor_write(m->known, known, err);
    if (st == HCT_OK && m->count) st = hct_tensor_write(m->count, count, err);
    free(target);
    free(known);
    return st;
}

hct_status finetune_step_fill(finetune_step *s, int64_t i, uint64_t seed, uint64_t step, const int8_t *label,
                              hct_err *err) {
    finetune_micro *m = &s->in[i];
    hct_status st = hct_tensor_write(m->image, s->image, err);
    if (st == HCT_OK && m->views) st = hct_tensor_write(m->views, s->views, err);
    if (st == HCT_OK) st = fill_labels(s, m, label, err);
    if (st < 0 || !m->drop) return st;
    float *drop = malloc((size_t)(s->branches * s->batch) * sizeof *drop);
    if (!drop) return hct_fail(err, HCT_ENOMEM, "out of memory");
    finetune_drop(seed, step, i * s->batch, s->batch, s->branches, s->drop_path, drop);
    st = hct_tensor_write(m->drop, drop, err);
    free(drop);
    return st;
}

hct_status finetune_step_run(finetune_step *s, double *ret_loss, hct_err *err) {
    hct_id loss[MICRO_MOST];
    for (int64_t m = 0; m < s->micro; m++) loss[m] = s->in[m].loss;
    hct_status st = hct_start(s->tape, err);
    return st == HCT_OK ? micro_losses(s->tape, loss, s->micro, ret_loss, err) : st;
}
