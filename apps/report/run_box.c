/* The box of facts, and the sentence. */
#include "report/run_box.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "evaluation/evaluation.h"
#include "hct/log.h"
#include "hct/safetensors.h"
#include "support/paths.h"

enum { FEW = 10, ROWS = 16, WIDE = 700 };

void run_box_sentence(const run_facts *f, char *ret, size_t room) {
    char auc[64];
    size_t few = 0, undefined = 0;
    const interval *m = &f->macro.auc;
    for (size_t k = 0; k < f->n_tasks; k++) {
        const task_facts *t = &f->task[k];
        if (isnan(t->auc.value)) undefined++;
        else few += fmin(t->positives, t->negatives) < FEW;
    }
    int n = snprintf(ret, room, "Macro AUC %s on %.0f held-out scans: %s", interval_text(m, auc), f->scans,
                     isnan(m->value) ? "no task has scans of both classes, so nothing can be said."
                     : isnan(m->low) ? "without an interval, so nothing can be said of chance."
                     : m->low > 0.5  ? "better than chance (0.5)."
                     : m->high < 0.5 ? "worse than chance (0.5): something is the wrong way round."
                                     : "the interval holds 0.5, so nothing shows that it is better than chance.");
    if (few && n > 0 && (size_t)n < room)
        n += snprintf(ret + n, room - (size_t)n,
                      " %zu of %zu tasks have fewer than %d scans of one class: their "
                      "intervals are wide, and too narrow still.",
                      few, f->n_tasks, FEW);
    if (undefined && !isnan(m->value) && n > 0 && (size_t)n < room)
        snprintf(ret + n, room - (size_t)n, " %zu of %zu tasks are undefined and stay out of the mean.", undefined,
                 f->n_tasks);
}

typedef struct box {
    const char *cell[2 * ROWS];
    char text[ROWS][WIDE];
    size_t n;
} box;

static char *row(box *b, const char *name) {
    if (b->n == ROWS) return b->text[ROWS - 1];
    b->cell[2 * b->n] = name;
    b->cell[2 * b->n + 1] = b->text[b->n];
    return b->text[b->n++];
}

static void put_trained(box *b, const run_facts *f) {
    const recipe *r = &f->own;
    const char *weights = recipe_probes(r)      ? r->probe.weights
                          : recipe_finetunes(r) ? r->finetune.weights
                                                : r->model.weights;
    char *to = row(b, "trained");
    int n = snprintf(to, WIDE, "%s%s%s on %s, split %s", f->approach, recipe_pretrains(r) ? " by " : "",
                     recipe_pretrains(r) ? f->pretraining : "", *r->data.dataset ? r->data.dataset : "a dataset",
                     r->data.train);
    if (r->data.fraction < 1 && n < WIDE)
        snprintf(to + n, (size_t)(WIDE - n), ", %g%% of its patients", 100 * r->data.fraction);
    if (r->data.patients && n < WIDE)
        snprintf(to + n, (size_t)(WIDE - n), ", %lld of its patients", (long long)r->data.patients);
    if (!*weights) return;
    to = row(b, "began from");
    n = snprintf(to, WIDE, "%s", weights);
    if (*f->parent.method && n < WIDE)
        snprintf(to + n, (size_t)(WIDE - n), ": %s on %s, %lld epochs", f->pretraining, f->parent.data.dataset,
                 (long long)f->parent.optim.epochs);
}

static void put_scans(box *b, const run_facts *f) {
    double low = INFINITY, high = -INFINITY;
    for (size_t k = 0; k < f->n_tasks; k++) {
        double share = f->task[k].positives / (f->task[k].positives + f->task[k].negatives);
        if (isnan(share)) continue;
        low = fmin(low, share);
        high = fmax(high, share);
    }
    char *to = row(b, "tested");
    int n = snprintf(to, WIDE, "%.0f scans, %zu tasks", f->scans, f->n_tasks);
    if (low <= high && n < WIDE)
        snprintf(to + n, (size_t)(WIDE - n), low < high ? "; positive %.1f%% to %.1f%%" : "; positive %.1f%%",
                 100 * low, 100 * high);
}

/* Of weights.safetensors, or of the first model of a run with a model a task. */
static hct_status put_parameters(box *b, const run_facts *f, hct_err *err) {
    char *path = path_join(f->folder, "weights.safetensors"), *folder = NULL;
    hct_err why = {0};
    int each = 0;
    if (path && !path_is_file(path) && f->n_tasks) {
        free(path);
        folder = path_join(f->folder, f->task[0].name);
        path = folder ? path_join(folder, "weights.safetensors") : NULL;
        each = 1;
    }
    hct_status status = path ? HCT_OK : hct_fail(&why, HCT_ENOMEM, "%s: out of memory", f->folder);
    hct_st_file *st = path && path_is_file(path) ? hct_st_open(path, &why) : NULL;
    if (path && path_is_file(path) && !st) status = why.code;
    size_t count = 0;
    for (size_t i = 0; st && i < hct_st_count(st); i++) count += hct_st_elements(hct_st_at(st, i));
    if (st) snprintf(row(b, "parameters"), WIDE, "%zu%s", count, each ? " of each task's model" : "");
    hct_st_close(st);
    free(path);
    free(folder);
    if (is_fault(status)) return hct_fail(err, status, "%s", why.msg);
    if (status < 0) hct_log(HCT_LOG_WARNING, "%s; the number of parameters is left out", why.msg);
    return HCT_OK;
}

static hct_status put_date(box *b, const run_facts *f, hct_err *err) {
    static const char *const files[] = {"metrics.json", "predictions.csv", "metrics.jsonl", "recipe.yaml"};
    for (int i = 0; i < 4; i++) {
        struct stat s;
        struct tm tm;
        char *path = path_join(f->folder, files[i]);
        if (!path) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", f->folder);
        int there = stat(path, &s) == 0;
        free(path);
        if (!there || !gmtime_r(&s.st_mtime, &tm)) continue;
        strftime(row(b, "finished"), WIDE, "%Y-%m-%d %H:%M UTC", &tm);
        break;
    }
    return HCT_OK;
}

static void put_training(box *b, const run_facts *f) {
    const recipe *r = &f->own;
    static const char *const names[] = {"AdamW", "Adam", "SGD"};
    snprintf(row(b, "optimiser"), WIDE, "%s, rate %g, weight decay %g, batch %lld, %lld epochs, seed %lld",
             names[r->optim.name], r->optim.lr, r->optim.weight_decay, (long long)recipe_effective_batch(r, 1),
             (long long)r->optim.epochs, (long long)r->seed);
    snprintf(row(b, "input"), WIDE, "%lld HU window%s, %lld mm resized to %lld^3 voxels", (long long)r->data.windows.n,
             r->data.windows.n == 1 ? "" : "s", (long long)r->data.crop, (long long)r->data.image);
    snprintf(row(b, "command"), WIDE, "headct %s --recipe %s/recipe.yaml --run RUN",
             recipe_pretrains(r) ? "pretrain" : r->method, f->folder);
}

hct_status run_box_add(report *r, const run_facts *f, hct_err *err) {
    box *b = calloc(1, sizeof *b);
    char sentence[600];
    if (!b) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", f->folder);
    if (f->has_metrics) {
        run_box_sentence(f, sentence, sizeof sentence);
        report_result(r, "%s", sentence);
    }
    if (f->has_recipe) put_trained(b, f);
    if (f->has_metrics) put_scans(b, f);
    if (f->has_recipe) put_training(b, f);
    hct_status st = put_parameters(b, f, err);
    if (st == HCT_OK) st = put_date(b, f, err);
    if (b->n) report_table(r, NULL, b->cell, b->n, 2, "The run");
    free(b);
    return st;
}
