/* Groups of scans by a column's values; metrics inside each. */
#include "evaluation/subgroups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "evaluation/grouping.h"
#include "figures/forest.h"
#include "support/paths.h"

enum { MOST = GROUPING_MOST };

/* One group of one task, or all of its scans (group -1). */
typedef struct result {
    const char *name;
    size_t scans, positives, negatives;
    interval auc;
    comparison rest;
} result;

static hct_status measure(const predictions *p, const grouping *g, size_t task, int32_t group,
                          const subgroups_options *o, result *ret, hct_err *err) {
    double *score = malloc(p->n * sizeof *score + 1);
    int8_t *label = malloc(p->n + 1);
    uint8_t *inside = calloc(p->n + 1, 1);
    hct_status st = score && label && inside ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a subgroup");
    size_t n = 0;
    *ret = (result){.name = group < 0 ? "all" : g->name[group], .rest = {NAN, NAN, 0}};
    for (size_t i = 0; st == HCT_OK && i < p->n; i++) {
        int8_t y = p->label[i * p->n_tasks + task];
        if ((group >= 0 && g->of[i] != group) || y < 0) continue;
        inside[i] = 1;
        score[n] = p->score[i * p->n_tasks + task];
        label[n++] = y;
        *(y ? &ret->positives : &ret->negatives) += 1;
    }
    ret->scans = n;
    score_table own = {n, 1, score, label}, all = predictions_table(p);
    resampler draws = bootstrap_resampler(o->resamples, o->seed);
    const bootstrap_options b = {.draws = &draws, .level = o->level, .threads = o->threads};
    metric_intervals metrics = {.auc = {NAN, NAN, NAN, NAN, 0}}, macro;
    if (st == HCT_OK && n) st = bootstrap(&own, &b, &metrics, &macro, err);
    ret->auc = metrics.auc;
    if (st == HCT_OK && group >= 0)
        st = group_permutation(&all, task, inside, o->permutations, o->seed, o->threads, &ret->rest, err);
    free(score);
    free(label);
    free(inside);
    return st;
}

static void put_result(sheet *s, const char *task, const grouping *g, const result *r) {
    sheet_text(s, task);
    sheet_text(s, g->column);
    sheet_text(s, r->name);
    sheet_count(s, r->scans);
    sheet_count(s, r->positives);
    sheet_number(s, r->scans ? (double)r->positives / (double)r->scans : NAN, 3);
    sheet_number(s, r->auc.value, 3);
    sheet_number(s, r->auc.low, 3);
    sheet_number(s, r->auc.high, 3);
    sheet_number(s, r->rest.difference, 3);
    sheet_p(s, r->rest.p);
    sheet_text(s, isnan(r->auc.value)            ? "undefined: one class"
                  : r->positives < SUBGROUPS_FEW ? "fewer than 10 positives"
                                                 : "");
}

static hct_status draw_forest(const predictions *p, const grouping *g, size_t task, const result *r, size_t n,
                              const char *folder, hct_err *err) {
    forest_row rows[MOST + 1];
    char labels[MOST + 1][160], title[200], kind[160], file[200];
    size_t shown = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(r[i].auc.value)) continue;
        snprintf(labels[shown], sizeof labels[0], "%s (%zu of %zu)", r[i].name, r[i].positives, r[i].scans);
        rows[shown] = (forest_row){labels[shown], r[i].auc.value, r[i].auc.low, r[i].auc.high};
        shown++;
    }
    if (!shown) return HCT_OK;
    snprintf(title, sizeof title, "%s by %s: AUC with 95%% interval (positives of scans)", p->task[task], g->column);
    snprintf(kind, sizeof kind, "forest_%s", g->column);
    char *path = path_join(folder, figure_file(kind, p->task[task], file));
    hct_status st = path ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK)
        st = forest_write(
            &(forest){.title = title, .x_label = "ROC AUC", .rows = rows, .n = shown, .line = r[0].auc.value}, path,
            err);
    free(path);
    return st;
}

sheet *subgroups_sheet(void) {
    return sheet_new("subgroups",
                     "Subgroups: AUC inside, its difference to the rest, p of the permutation test of that",
                     "task,by,group,scans,positives,prevalence,roc_auc,roc_auc_low,roc_auc_high,difference,p,note");
}

hct_status subgroups_add(sheet *s, const predictions *p, const char *source, const char *by, const subgroups_options *o,
                         hct_err *err) {
    grouping *g = calloc(1, sizeof *g);
    result *r = calloc(MOST + 1, sizeof *r);
    hct_status st = g && r ? grouping_make(by, source, p->scan, p->n, g, err)
                           : hct_fail(err, HCT_ENOMEM, "out of memory for subgroups");
    for (size_t k = 0; st == HCT_OK && k < p->n_tasks; k++) {
        size_t n = 0;
        st = measure(p, g, k, -1, o, &r[n++], err);
        for (size_t i = 0; i < g->n && st == HCT_OK; i++) st = measure(p, g, k, g->shown[i], o, &r[n++], err);
        for (size_t i = 0; i < n && st == HCT_OK; i++) put_result(s, p->task[k], g, &r[i]);
        if (st == HCT_OK && o->folder) st = draw_forest(p, g, k, r, n, o->folder, err);
    }
    if (g) grouping_free(g);
    free(g);
    free(r);
    return st;
}
