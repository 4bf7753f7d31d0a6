/* The curves of an evaluation: ROC and precision-recall of each task. */
#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "evaluation/order.h"
#include "figures/plot.h"
#include "support/paths.h"

enum { BAND_POINTS = 101 };

const char *figure_file(const char *kind, const char *task, char buffer[200]) {
    enum { LONGEST = 120 };
    char plain[LONGEST + 1];
    uint32_t hash = 2166136261u; /* FNV-1a */
    snprintf(plain, sizeof plain, "%s", task);
    for (char *c = plain; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-' && *c != '_') *c = '_';
    for (const char *c = task; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
    if (!strcmp(plain, task)) snprintf(buffer, 200, "%s_%s.svg", kind, plain);
    else snprintf(buffer, 200, "%s_%s-%08x.svg", kind, plain, (unsigned)hash); /* "a b" is not "a_b" */
    return buffer;
}

typedef struct band {
    double x[BAND_POINTS], y[BAND_POINTS], low[BAND_POINTS], high[BAND_POINTS];
    char title[160];
} band;

static hct_status band_of(const evaluation *e, const score_table *t, size_t k, curve_kind kind, const char *name,
                          band *out, hct_err *err) {
    ranking r;
    hct_status status = ranking_of_task(t, k, &r, err);
    if (status < 0) return status;
    const bootstrap_options o = {.draws = &e->draws, .level = e->level, .threads = e->threads};
    status = curve_band(&r, kind, &o, BAND_POINTS, out->y, out->low, out->high, err);
    for (int i = 0; i < BAND_POINTS; i++) out->x[i] = (double)i / (BAND_POINTS - 1);
    if (kind == CURVE_ROC) snprintf(out->title, sizeof out->title, "%s, AUC %.3f", name, ranking_auc(&r, NULL));
    else snprintf(out->title, sizeof out->title, "%s, AP %.3f", name, ranking_average_precision(&r, NULL));
    ranking_free(&r);
    return status;
}

/* names, tables: of one model or two. */
static hct_status draw_task(const evaluation *e, size_t k, curve_kind kind, const score_table *const tables[2],
                            const char *const names[2], const char *folder, hct_err *err) {
    const task_result *task = &e->tasks[k];
    char file[200], title[200];
    size_t n = tables[1] ? 2 : 1, all = task->positives + task->negatives;
    band *b = malloc(2 * sizeof *b);
    if (!b) return hct_fail(err, HCT_ENOMEM, "out of memory for a curve");
    hct_status status = HCT_OK;
    plot_series s[2];
    for (size_t m = 0; m < n && status == HCT_OK; m++) {
        status = band_of(e, tables[m], k, kind, names[m], &b[m], err);
        s[m] = (plot_series){.title = b[m].title, .x = b[m].x, .y = b[m].y, .n = BAND_POINTS};
        if (e->draws.count) s[m].low = b[m].low, s[m].high = b[m].high;
    }
    snprintf(title, sizeof title, "%s: %zu of %zu scans", task->name, task->positives, all);
    plot figure = {.title = title,
                   .x_label = kind == CURVE_ROC ? "false positive rate" : "recall",
                   .y_label = kind == CURVE_ROC ? "true positive rate" : "precision",
                   .series = s,
                   .n = n,
                   .square = kind == CURVE_ROC ? SQUARE_DIAGONAL : SQUARE_LEVEL,
                   .level = (double)task->positives / (double)all};
    char *path = path_join(folder, figure_file(kind == CURVE_ROC ? "roc" : "pr", task->name, file));
    if (status == HCT_OK) status = path ? plot_write(&figure, path, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    free(b);
    return status;
}

hct_status evaluation_draw(const evaluation *e, const score_table *t, const char *name, const score_table *other,
                           const char *other_name, const char *folder, hct_err *err) {
    const score_table *const tables[2] = {t, other};
    const char *const names[2] = {name, other_name};
    hct_status status = path_make_folders(folder, err);
    for (size_t k = 0; k < e->n_tasks && status == HCT_OK; k++)
        for (int kind = CURVE_ROC; kind <= CURVE_PR && status == HCT_OK; kind++)
            if (!isnan(e->tasks[k].auc.value)) status = draw_task(e, k, (curve_kind)kind, tables, names, folder, err);
    return status;
}
