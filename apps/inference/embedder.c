/* Batches of scans through one compiled program. */
#include "inference/embedder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/loader.h"
#include "models/probe.h"
#include "support/progress.h"

enum { MANY_BATCHES = 4 };

static hct_status make(embedder *e, hct_dev *dev, params *p, const model_info *info, int64_t batch, int64_t series,
                       int64_t scans, hct_err *err) {
    const encoder *c = &info->encoder;
    int64_t dim[5] = {batch, series * c->input.n_windows};
    *e = (embedder){.dev = dev, .p = p, .info = *info, .batch = batch};
    input_dims(&c->input, dim + 2);
    e->image_floats = input_floats(&c->input);
    e->host = calloc((size_t)(batch * series) * e->image_floats, sizeof *e->host);
    e->input = hct_tensor_new(dev, HCT_F32, 5, dim, err);
    e->tape = hct_tape_new(dev, HCT_PROGRAM);
    hct_status st = e->host && e->input && e->tape
                        ? HCT_OK
                        : hct_fail_untold(err, HCT_ENOMEM, "out of memory for a batch of %lld scans", (long long)batch);
    if (st == HCT_OK) {
        int classifies = info->role == MODEL_CLASSIFIER, whole = info->probe_heads && !classifies;
        encoder_values v = {.pool_mean = info->pool_mean};
        size_t layers = p->int8_layers;
        c->kind->forward(e->tape, p, c, hct_use(e->tape, e->input), &v);
        v.embedding = hct_cast(e->tape, v.embedding, HCT_F32);
        if (v.tokens) v.tokens = hct_cast(e->tape, v.tokens, HCT_F32);
        e->row = (size_t)encoder_width(c) * (whole ? (size_t)c->kind->tokens(c) : 1);
        e->cls = whole ? v.tokens : v.embedding;
        hct_keep(e->tape, e->cls);
        hct_dtype compute = p->compute;
        p->compute = HCT_F32; /* heads take little time */
        for (int i = 0; classifies && i < info->n_tasks; i++) {
            char prefix[MODEL_NAME + 8];
            snprintf(prefix, sizeof prefix, "head.%s.", info->task[i]);
            e->logits[i] = head_forward(e->tape, p, prefix, info->probe_heads, e->cls, v.tokens, 0);
            hct_keep(e->tape, e->logits[i]);
        }
        p->compute = compute;
        if (p->int8 && layers == p->int8_layers && hct_tape_error(e->tape, NULL) == HCT_OK)
            st = hct_fail(err, HCT_EINVAL,
                          "--precision int8: a %s encoder has no linear layers in blocks; leave it out", c->kind->name);
        if (p->int8 || scans > MANY_BATCHES * batch) hct_keep_packed(e->tape); /* in 8 bits: a quarter of the weights */
        if (st == HCT_OK) st = hct_compile(e->tape, err);
    }
    if (st < 0) embedder_free(e);
    return st;
}

hct_status embedder_new(embedder *e, hct_dev *dev, params *p, const model_info *info, int64_t batch, int64_t scans,
                        hct_err *err) {
    if (info->encoder.kind->own_input) batch = 1; /* their inputs are large enough for all cores */
    return make(e, dev, p, info, batch, 1, scans, err);
}

hct_status embedder_new_study(embedder *e, hct_dev *dev, params *p, const model_info *info, int64_t series,
                              hct_err *err) {
    return make(e, dev, p, info, 1, series, 1, err);
}

void embedder_free(embedder *e) {
    hct_tape_free(e->tape);
    hct_tensor_free(e->input);
    free(e->host);
    *e = (embedder){0};
}

/* P(class 1) = 1 / (1 + exp(l0 - l1)) */
static hct_status read_probabilities(embedder *e, int64_t n, double *out, hct_err *err) {
    float *logits = malloc((size_t)e->batch * 2 * sizeof *logits);
    hct_status st = logits ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (int k = 0; st == HCT_OK && k < e->info.n_tasks; k++) {
        st = hct_read(e->tape, e->logits[k], logits, err);
        for (int64_t i = 0; st == HCT_OK && i < n; i++)
            out[i * e->info.n_tasks + k] = 1 / (1 + exp((double)logits[2 * i] - (double)logits[2 * i + 1]));
    }
    free(logits);
    return st;
}

hct_status embedder_run(embedder *e, int64_t n, float *cls, double *probability, hct_err *err) {
    hct_status st = hct_tensor_write(e->input, e->host, err);
    if (st == HCT_OK) st = hct_run(e->tape, err);
    if (st == HCT_OK && cls) {
        float *all = malloc((size_t)e->batch * e->row * sizeof *all);
        st = all ? hct_read(e->tape, e->cls, all, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
        if (st == HCT_OK) memcpy(cls, all, (size_t)n * e->row * sizeof *all);
        free(all);
    }
    return st == HCT_OK && probability ? read_probabilities(e, n, probability, err) : st;
}

hct_status embedder_dataset(embedder *e, const dataset *d, const size_t *scans, size_t n, int threads, int disk_cache,
                            FILE *out, float *ret, hct_err *err) {
    const loader_options lo = {.input = e->info.encoder.input, .threads = threads, .disk_cache = disk_cache};
    loader *l = loader_new(d, &lo, err);
    hct_status st = l ? loader_start(l, scans, n, err) : err->code;
    progress bar = progress_begin(out, "scan", 0, (int64_t)n, "scans", 1);
    for (size_t at = 0; st == HCT_OK && at < n;) {
        int64_t k = 0;
        for (; k < e->batch && at + (size_t)k < n && st == HCT_OK; k++) {
            int got = loader_next(l, e->host + (size_t)k * e->image_floats, NULL, err);
            if (got <= 0) st = got < 0 ? (hct_status)got : hct_fail(err, HCT_EINVAL, "the loader ended early");
        }
        if (st == HCT_OK) st = embedder_run(e, k, ret + at * e->row, NULL, err);
        at += (size_t)k;
        progress_show(&bar, (int64_t)at, "");
    }
    if (st == HCT_OK) progress_end(&bar, "");
    loader_free(l);
    return st;
}
