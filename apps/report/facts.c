/* Facts of a run out of recipe.yaml, metrics.json and the recipe beside the encoder's weights. */
#include "report/facts.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"
#include "support/paths.h"

/* FOLDER/name, told whether it is a file. */
static int has(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    int there = path && path_is_file(path);
    free(path);
    return there;
}

static int read_recipe(const char *folder, recipe *r) {
    hct_err ignored;
    char *path = path_join(folder, "recipe.yaml");
    int read = path && path_is_file(path) && recipe_load(path, r, &ignored) == HCT_OK;
    free(path);
    return read;
}

static double number(const cJSON *o, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static interval read_interval(const cJSON *o, const char *key) {
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, key);
    return (interval){.value = number(j, "value"), .low = number(j, "low"), .high = number(j, "high")};
}

static task_facts task_of(const cJSON *o, const char *name) {
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(o, "task");
    task_facts t = {.positives = number(o, "positives"),
                    .negatives = number(o, "negatives"),
                    .auc = read_interval(o, "roc_auc"),
                    .ap = read_interval(o, "average_precision")};
    snprintf(t.name, sizeof t.name, "%s", cJSON_IsString(own) ? own->valuestring : name);
    return t;
}

static void read_metrics(run_facts *f) {
    char *path = path_join(f->folder, "metrics.json"), *text = NULL;
    hct_err ignored;
    cJSON *json =
        path && path_is_file(path) && hct_read_file(path, &text, NULL, &ignored) == HCT_OK ? cJSON_Parse(text) : NULL;
    const cJSON *tasks = cJSON_GetObjectItem(json, "tasks"), *task;
    if (cJSON_IsArray(tasks)) {
        f->has_metrics = 1;
        f->scans = number(json, "scans");
        f->macro = task_of(cJSON_GetObjectItem(json, "macro"), "macro mean");
        cJSON_ArrayForEach(task, tasks) {
            if (f->n_tasks < FACTS_TASKS) f->task[f->n_tasks++] = task_of(task, "");
        }
    }
    cJSON_Delete(json);
    free(text);
    free(path);
}

static const char *approach_of(const recipe *r) {
    if (recipe_probes(r))
        return r->probe.features == FEATURES_HISTOGRAM    ? "histogram"
               : r->probe.features == FEATURES_EMBEDDINGS ? "embeddings, linear probe"
               : r->probe.features == FEATURES_RANDOM     ? "random encoder"
               : r->probe.kind == PROBE_ATTENTIVE         ? "attentive probe"
                                                          : "linear probe";
    if (!recipe_finetunes(r)) return "pre-training";
    if (r->finetune.init == START_RANDOM) return "from scratch";
    return r->finetune.backbone == BACKBONE_FULL   ? "fine-tuned"
           : r->finetune.backbone == BACKBONE_LORA ? "low-rank tuned"
           : r->finetune.head == PROBE_ATTENTIVE   ? "attentive head"
                                                   : "linear head";
}

static void upper(const char *from, char *to, size_t room) {
    snprintf(to, room, "%s", from);
    for (char *c = to; *c; c++) *c = (char)toupper((unsigned char)*c);
}

/* What is known of the encoder: its own recipe where this run pre-trained it, else that beside its weights. */
static void encoder_facts(run_facts *f) {
    const recipe *r = &f->own, *of = NULL;
    const char *weights = recipe_probes(r) ? r->probe.weights : recipe_finetunes(r) ? r->finetune.weights : "";
    int random =
        (recipe_finetunes(r) && r->finetune.init == START_RANDOM) ||
        (recipe_probes(r) && r->probe.features != FEATURES_ENCODER && r->probe.features != FEATURES_EMBEDDINGS);
    if (recipe_pretrains(r)) of = r;
    else if (*weights) {
        char *folder = path_folder(weights);
        if (folder && read_recipe(folder, &f->parent)) of = &f->parent;
        free(folder);
    }
    if (random) snprintf(f->pretraining, sizeof f->pretraining, "none");
    else if (of && recipe_pretrains(of)) {
        upper(of->method, f->pretraining, sizeof f->pretraining);
        f->scaled = of->data.fraction;
    }
    if (!of) of = r;
    snprintf(f->encoder, sizeof f->encoder, "%s", of->model.kind);
    f->patch = of->model.patch;
    f->windows = of->data.windows.n;
}

hct_status facts_read(const char *run, run_facts *ret, hct_err *err) {
    *ret = (run_facts){.scaled = NAN, .scans = NAN};
    if (!path_is_folder(run)) return hct_fail(err, HCT_ENOTFOUND, "%s: there is no such run folder", run);
    size_t n = (size_t)snprintf(ret->folder, sizeof ret->folder, "%s", run);
    while (n > 1 && n < sizeof ret->folder && ret->folder[n - 1] == '/') ret->folder[--n] = '\0';
    ret->own = recipe_default();
    ret->parent = recipe_default();
    ret->parent.method[0] = '\0';
    ret->has_recipe = read_recipe(run, &ret->own);
    ret->has_fewshot = has(run, "fewshot.csv");
    ret->has_sweep = has(run, "sweep.csv");
    read_metrics(ret);
    snprintf(ret->dataset, sizeof ret->dataset, "%s", path_base(ret->has_recipe ? ret->own.data.dataset : ret->folder));
    if (!ret->has_recipe) {
        snprintf(ret->approach, sizeof ret->approach, "external");
        return HCT_OK;
    }
    snprintf(ret->approach, sizeof ret->approach, "%s", approach_of(&ret->own));
    encoder_facts(ret);
    return HCT_OK;
}

const task_facts *facts_task(const run_facts *f, const char *name) {
    for (size_t k = 0; k < f->n_tasks; k++)
        if (!strcmp(f->task[k].name, name)) return &f->task[k];
    return NULL;
}
