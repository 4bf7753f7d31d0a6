/* Facts of a run out of recipe.yaml, metrics.json and the recipe beside the encoder's weights. */
#include "report/facts.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"
#include "hct/log.h"
#include "support/paths.h"

/* Whether FOLDER/name is a file. */
static hct_status has(const char *folder, const char *name, int *ret, hct_err *err) {
    char *path = path_join(folder, name);
    *ret = path && path_is_file(path);
    free(path);
    return path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", folder);
}

static hct_status read_recipe(const char *folder, recipe *r, int *ret_read, hct_err *err) {
    hct_err why = {0};
    char *path = path_join(folder, "recipe.yaml");
    hct_status st = !path                ? hct_fail(&why, HCT_ENOMEM, "%s: out of memory", folder)
                    : path_is_file(path) ? recipe_load(path, r, &why)
                                         : HCT_ENOTFOUND;
    free(path);
    *ret_read = st == HCT_OK;
    if (st < 0 && st != HCT_ENOTFOUND && !is_fault(st)) hct_log(HCT_LOG_WARNING, "%s; it is left out", why.msg);
    return is_fault(st) ? hct_fail(err, st, "%s", why.msg) : HCT_OK;
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

static hct_status read_metrics(run_facts *f, hct_err *err) {
    char *path = path_join(f->folder, "metrics.json"), *text = NULL;
    hct_status st = path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", f->folder);
    if (st == HCT_OK && path_is_file(path)) st = hct_read_file(path, &text, NULL, err);
    cJSON *json = text ? cJSON_Parse(text) : NULL;
    const cJSON *tasks = cJSON_GetObjectItem(json, "tasks"), *task;
    if (st == HCT_OK && text && !cJSON_IsArray(tasks))
        st = hct_fail(err, HCT_EFORMAT, "%s: is not what headct evaluate writes", path);
    if (st == HCT_OK && text) {
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
    return st;
}

static void upper(const char *from, char *to, size_t room) {
    snprintf(to, room, "%s", from);
    for (char *c = to; *c; c++) *c = (char)toupper((unsigned char)*c);
}

/* What is known of the encoder: its own recipe where this run pre-trained it, else that beside its weights. */
static hct_status encoder_facts(run_facts *f, hct_err *err) {
    hct_status st = HCT_OK;
    const recipe *r = &f->own, *of = NULL;
    const char *weights = recipe_probes(r) ? r->probe.weights : recipe_finetunes(r) ? r->finetune.weights : "";
    int random =
        (recipe_finetunes(r) && r->finetune.init == START_RANDOM) ||
        (recipe_probes(r) && r->probe.features != FEATURES_ENCODER && r->probe.features != FEATURES_EMBEDDINGS);
    if (recipe_pretrains(r)) of = r;
    else if (*weights) {
        char *folder = path_folder(weights);
        int read = 0;
        st = folder ? read_recipe(folder, &f->parent, &read, err)
                    : hct_fail(err, HCT_ENOMEM, "%s: out of memory", f->folder);
        if (read) of = &f->parent;
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
    return st;
}

hct_status facts_read(const char *run, run_facts *ret, hct_err *err) {
    *ret = (run_facts){.scaled = NAN, .scans = NAN};
    if (!path_is_folder(run)) return hct_fail(err, HCT_ENOTFOUND, "%s: there is no such run folder", run);
    size_t n = (size_t)snprintf(ret->folder, sizeof ret->folder, "%s", run);
    while (n > 1 && n < sizeof ret->folder && ret->folder[n - 1] == '/') ret->folder[--n] = '\0';
    ret->own = recipe_default();
    ret->parent = recipe_default();
    ret->parent.method[0] = '\0';
    hct_status st = read_recipe(run, &ret->own, &ret->has_recipe, err);
    if (st == HCT_OK) st = has(run, "fewshot.csv", &ret->has_fewshot, err);
    if (st == HCT_OK) st = has(run, "sweep.csv", &ret->has_sweep, err);
    if (st == HCT_OK) st = read_metrics(ret, err);
    if (st < 0) return st;
    snprintf(ret->dataset, sizeof ret->dataset, "%s", path_base(ret->has_recipe ? ret->own.data.dataset : ret->folder));
    if (!ret->has_recipe) {
        snprintf(ret->approach, sizeof ret->approach, "external");
        return HCT_OK;
    }
    snprintf(ret->approach, sizeof ret->approach, "%s", recipe_approach(&ret->own));
    return encoder_facts(ret, err);
}

const task_facts *facts_task(const run_facts *f, const char *name) {
    for (size_t k = 0; k < f->n_tasks; k++)
        if (!strcmp(f->task[k].name, name)) return &f->task[k];
    return NULL;
}
