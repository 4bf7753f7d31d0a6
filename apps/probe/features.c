/* Features of scans: embeddings, tokens or histograms, computed here; or embeddings made elsewhere. */
#include "probe/features.h"

#include <stdlib.h>
#include <string.h>

#include "dataset/loader.h"
#include "inference/embedder.h"
#include "models/build.h"
#include "run/model.h"

enum { BINS = 32, BATCH = 16 };

/* The share of a window's voxels in each of 32 equal bins of [0, 1]: what can be told without seeing shapes. */
static void histogram(const float *x, int windows, size_t voxels, float *out) {
    for (int w = 0; w < windows; w++) {
        size_t count[BINS] = {0};
        for (size_t i = 0; i < voxels; i++) {
            int bin = (int)(x[(size_t)w * voxels + i] * BINS);
            count[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin]++;
        }
        for (int b = 0; b < BINS; b++) out[w * BINS + b] = (float)count[b] / (float)voxels;
    }
}

static hct_status histograms(const recipe *r, const dataset *d, const size_t *scans, features *f, hct_err *err) {
    const input_spec *input = &f->info.encoder.input;
    size_t windows = (size_t)input->n_windows, voxels = input_floats(input) / windows;
    f->width = windows * BINS;
    f->tokens = 1;
    f->row = calloc(f->n * f->width + 1, sizeof *f->row);
    float *x = malloc(voxels * windows * sizeof *x);
    const loader_options lo = {.input = *input, .threads = (int)r->train.workers, .disk_cache = r->train.disk_cache};
    loader *l = loader_new(d, &lo, err);
    hct_status st = !f->row || !x ? hct_fail(err, HCT_ENOMEM, "out of memory")
                    : l           ? loader_start(l, scans, f->n, err)
                                  : err->code;
    for (size_t i = 0; st == HCT_OK && i < f->n; i++) {
        int got = loader_next(l, x, NULL, err);
        if (got <= 0) st = got < 0 ? (hct_status)got : hct_fail(err, HCT_EINVAL, "the loader ended early");
        else histogram(x, input->n_windows, voxels, f->row + i * f->width);
    }
    loader_free(l);
    free(x);
    return st;
}

static hct_status open_encoder(const recipe *r, features *f, hct_err *err) {
    const char *path = r->probe.weights;
    model_info own = f->info;
    if (*path) {
        if (!(f->p = model_open(f->dev, path, &f->info, err))) return err->code;
        if (r->probe.features == FEATURES_RANDOM) { /* its sizes, other values */
            params_free(f->p);
            if (!(f->p = model_new(f->dev, &f->info, (uint64_t)r->seed, err))) return err->code;
        }
        memcpy(f->info.recipe, own.recipe, sizeof own.recipe);
        f->info.pool_mean = own.pool_mean;
        f->info.probe_heads = own.probe_heads;
        return weights_hash(f->p, f->info.parent, err);
    }
    if (r->probe.features == FEATURES_ENCODER)
        return hct_fail(
            err, HCT_EINVAL,
            "probe.weights is not set; name a weights file, or set probe.features=random for a random encoder");
    f->p = model_new(f->dev, &f->info, (uint64_t)r->seed, err);
    return f->p ? HCT_OK : err->code;
}

static hct_status take_given(const embedded *given, const size_t *scans, features *f, hct_err *err) {
    const embedding_table *t = &given->table;
    size_t each = t->vectors * t->width;
    f->width = t->width;
    f->tokens = t->vectors;
    if (f->info.probe_heads > 0 && (int64_t)f->width % f->info.probe_heads)
        return hct_fail(err, HCT_EINVAL, "probe.heads: %lld does not divide the embeddings' width %zu",
                        (long long)f->info.probe_heads, f->width);
    if (!(f->row = calloc(f->n * each + 1, sizeof *f->row)))
        return hct_fail(err, HCT_ENOMEM, "out of memory for %zu embeddings", f->n);
    for (size_t i = 0; i < f->n; i++)
        memcpy(f->row + i * each, t->x + (size_t)given->row[scans[i]] * each, each * sizeof *f->row);
    memcpy(f->info.parent, t->sha256, sizeof t->sha256);
    return HCT_OK;
}

hct_status features_of(const recipe *r, hct_dev *dev, const dataset *d, const embedded *given, const size_t *scans,
                       size_t n, FILE *progress, features *ret, hct_err *err) {
    *ret = (features){.n = n, .dev = dev};
    hct_status st = model_of_recipe(r, NULL, &ret->info, err);
    if (st == HCT_OK && r->probe.features == FEATURES_HISTOGRAM && ret->info.probe_heads)
        return hct_fail(err, HCT_EINVAL,
                        "probe.kind attentive and mil need several vectors a scan; a histogram is one");
    if (st == HCT_OK && r->probe.features == FEATURES_HISTOGRAM) return histograms(r, d, scans, ret, err);
    if (st == HCT_OK && r->probe.features == FEATURES_EMBEDDINGS) return take_given(given, scans, ret, err);
    if (st == HCT_OK) st = open_encoder(r, ret, err);
    char scans_hash[MODEL_HASH];
    if (st == HCT_OK) st = dataset_preparation(d, scans, n, scans_hash, err);
    if (st == HCT_OK) st = form_preparation(&ret->info.encoder.input, scans_hash, err);
    if (st == HCT_OK && r->probe.features == FEATURES_ENCODER)
        weights_warn_preparation(r->probe.weights, &ret->info, scans_hash);
    embedder e = {0};
    if (st == HCT_OK) {
        const encoder *c = &ret->info.encoder;
        int64_t width = encoder_width(c);
        model_info encoder_alone = ret->info;
        encoder_alone.role = MODEL_ENCODER;
        ret->width = (size_t)width;
        ret->tokens = ret->info.probe_heads ? (size_t)c->kind->tokens(c) : 1;
        if (ret->info.probe_heads && width % ret->info.probe_heads)
            st = hct_fail(err, HCT_EINVAL, "probe.heads: %lld does not divide the encoder's width %lld",
                          (long long)ret->info.probe_heads, (long long)width);
        else if (!(ret->row = calloc(n * ret->width * ret->tokens + 1, sizeof *ret->row)))
            st = hct_fail(err, HCT_ENOMEM,
                          "out of memory for %zu tokens of %zu scans; an attentive probe keeps them all", ret->tokens,
                          n);
        else st = embedder_new(&e, dev, ret->p, &encoder_alone, n < BATCH ? (int64_t)n : BATCH, (int64_t)n, err);
    }
    if (st == HCT_OK)
        st = embedder_dataset(&e, d, scans, n, (int)r->train.workers, r->train.disk_cache, progress, ret->row, err);
    embedder_free(&e);
    return st;
}

void features_free(features *f) {
    params_free(f->p);
    free(f->row);
    *f = (features){0};
}
