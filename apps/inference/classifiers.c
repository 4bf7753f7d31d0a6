/* Classifiers of a weights file or of a run, over one input. */
#include "inference/classifiers.h"

#include <stdlib.h>
#include <string.h>

#include "evaluation/predictions.h"
#include "inference/model_file.h"
#include "support/paths.h"
#include "support/sha256.h"

static hct_status add(classifiers *c, const char *path, hct_err *err) {
    classifier *m = &c->item[c->n];
    if (!(m->path = strdup(path))) return hct_fail(err, HCT_ENOMEM, "out of memory");
    c->n++;
    if (!(m->p = model_file_open(c->dev, &(model_file_options){.path = path, .precision = c->precision}, &m->info,
                                 m->weights, err)))
        return err ? err->code : HCT_EFORMAT;
    if (m->info.role != MODEL_CLASSIFIER || !m->info.n_tasks)
        return hct_fail(
            err, HCT_EINVAL,
            "%s: holds an encoder without heads; name the run of headct probe or finetune, or take headct embed", path);
    const model_info *a = &c->item->info, *b = &m->info;
    if (!input_same(&a->encoder.input, &b->encoder.input))
        return hct_fail(err, HCT_EINVAL,
                        "%s and %s take different inputs (windows, crop or size); run them one by one with --weights",
                        c->item->path, path);
    for (int k = 0; k < b->n_tasks; k++) {
        if (c->n_tasks == MODEL_TASKS) return hct_fail(err, HCT_EINVAL, "%s: more than %d tasks", path, MODEL_TASKS);
        for (int i = 0; i < c->n_tasks; i++)
            if (!strcmp(c->task[i], b->task[k]))
                return hct_fail(err, HCT_EINVAL, "%s and %s both have task '%s'", c->path[i], path, b->task[k]);
        c->path[c->n_tasks] = m->path;
        c->task[c->n_tasks++] = b->task[k];
    }
    return HCT_OK;
}

static hct_status add_task(classifiers *c, const char *run, const char *task, hct_err *err) {
    char *path = NULL;
    if (asprintf(&path, "%s/%s/weights.safetensors", run, task) < 0) return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_status st = path_is_file(path) ? add(c, path, err)
                                       : hct_fail(err, HCT_ENOTFOUND,
                                                  "%s: is missing: there is no model of task '%s' yet; finish the run "
                                                  "with headct finetune --run %s --resume",
                                                  path, task, run);
    free(path);
    return st;
}

/* A model a task: those that the recipe names, else those of the predictions. */
static hct_status add_tasks(classifiers *c, const char *run, hct_err *err) {
    char *file = path_join(run, "recipe.yaml"), *table = path_join(run, "predictions.csv");
    recipe r = recipe_default();
    predictions p = {0};
    hct_status st = file && table ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && !path_is_file(file))
        st = hct_fail(err, HCT_ENOTFOUND,
                      "%s: holds neither weights.safetensors nor recipe.yaml; name the folder of a run of headct probe "
                      "or finetune",
                      run);
    if (st == HCT_OK) st = recipe_load(file, &r, err);
    if (st == HCT_OK && !recipe_finetunes(&r))
        st = hct_fail(
            err, HCT_ENOTFOUND, "%s: holds no weights.safetensors: %s", run,
            !recipe_probes(&r)
                ? "its pre-training has not ended; continue it with headct pretrain --resume, then train a probe"
            : r.probe.features == FEATURES_HISTOGRAM
                ? "a probe of histograms has no encoder; name one of an encoder's features"
            : r.probe.features == FEATURES_EMBEDDINGS
                ? "a probe of embeddings made elsewhere has no encoder that could run on scans; its predictions are in "
                  "predictions.csv"
                : "its probe has not ended; finish it with headct probe --run DIR --resume");
    if (st == HCT_OK) st = recipe_hash(&r, c->recipe, err);
    if (st == HCT_OK && !r.data.tasks.n) {
        if (path_is_file(table)) st = predictions_read(table, NULL, &p, err);
        else
            st = hct_fail(
                err, HCT_ENOTFOUND,
                "%s: holds neither weights.safetensors nor predictions.csv; it is no finished run of a classifier",
                run);
    }
    size_t n = r.data.tasks.n ? (size_t)r.data.tasks.n : p.n_tasks;
    if (st == HCT_OK && !(c->item = calloc(n + 1, sizeof *c->item))) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < n; i++)
        st = add_task(c, run, r.data.tasks.n ? r.data.tasks.item[i] : p.task[i], err);
    sha256 *all = st == HCT_OK ? sha256_begin() : NULL;
    for (size_t i = 0; st == HCT_OK && i < n; i++) sha256_add(all, c->item[i].weights, strlen(c->item[i].weights));
    if (st == HCT_OK) st = sha256_end(all, c->weights, err);
    predictions_free(&p);
    free(file);
    free(table);
    return st;
}

hct_status classifiers_open(hct_dev *dev, const char *weights, const char *run, run_precision precision,
                            classifiers *ret, hct_err *err) {
    *ret = (classifiers){.dev = dev, .precision = precision};
    char *path = weights ? strdup(weights) : path_join(run, "weights.safetensors");
    hct_status st = path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && !weights && !path_is_file(path)) {
        st = add_tasks(ret, run, err);
    } else if (st == HCT_OK) {
        st = (ret->item = calloc(1, sizeof *ret->item)) ? add(ret, path, err)
                                                        : hct_fail(err, HCT_ENOMEM, "out of memory");
        if (st == HCT_OK)
            memcpy(ret->weights, ret->item->weights, MODEL_HASH),
                memcpy(ret->recipe, ret->item->info.recipe, MODEL_HASH);
    }
    free(path);
    if (st < 0) classifiers_free(ret);
    return st;
}

hct_status classifiers_compile(classifiers *c, int64_t batch, int64_t scans, hct_err *err) {
    hct_status st =
        (c->embedder = calloc(c->n + 1, sizeof *c->embedder)) ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < c->n; i++)
        st = embedder_new(&c->embedder[i], c->dev, c->item[i].p, &c->item[i].info, batch, scans, err);
    return st;
}

void classifiers_free(classifiers *c) {
    for (size_t i = 0; c->embedder && i < c->n; i++) embedder_free(&c->embedder[i]);
    for (size_t i = 0; i < c->n; i++) params_free(c->item[i].p), free(c->item[i].path);
    free(c->embedder);
    free(c->item);
    *c = (classifiers){0};
}
