/* Groups of scans by a column's values; metrics inside each. */
#include "evaluation/subgroups.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/index.h"
#include "evaluation/evaluation.h"
#include "figures/forest.h"
#include "hct/nearest.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

enum { MOST = 64, EDGES = 32 };

typedef struct grouping {
    char column[128];
    double edge[EDGES];
    size_t edges;
    size_t n; /* groups */
    char name[MOST][96];
    double order[MOST]; /* groups are shown in this order, equals as they came */
    int32_t *of;        /* [scans] */
} grouping;

static hct_status read_by(const char *by, grouping *g, hct_err *err) {
    const char *colon = strrchr(by, ':');
    size_t n = colon ? (size_t)(colon - by) : strlen(by);
    if (n == 0 || n >= sizeof g->column)
        return hct_fail(err, HCT_EINVAL, "--by %s: a column is needed, such as sex or age:18-40-65-80", by);
    snprintf(g->column, sizeof g->column, "%.*s", (int)n, by);
    for (const char *c = colon ? colon + 1 : NULL; c; c = strchr(c, '-') ? strchr(c, '-') + 1 : NULL) {
        char one[40];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(c, "-"), c);
        double *e = &g->edge[g->edges];
        if (g->edges == EDGES || !text_double(one, e) || !isfinite(*e) || (g->edges && *e <= e[-1]))
            return hct_fail(err, HCT_EINVAL, "--by %s: after the colon stand rising numbers, such as 18-40-65-80", by);
        g->edges++;
    }
    if (colon && g->edges < 2) return hct_fail(err, HCT_EINVAL, "--by %s: two edges at least are needed", by);
    return HCT_OK;
}

/* The group of a value, which is made where it is new; -1 where there are too many. */
static int32_t group_named(grouping *g, const char *name, double order) {
    for (size_t i = 0; i < g->n; i++)
        if (!strcmp(g->name[i], name)) return (int32_t)i;
    if (g->n == MOST) return -1;
    snprintf(g->name[g->n], sizeof g->name[0], "%s", name);
    g->order[g->n] = order;
    return (int32_t)g->n++;
}

static hct_status put_value(grouping *g, const char *source, size_t scan, const char *id, const char *text,
                            hct_err *err) {
    char name[96];
    double v, order = 0;
    while (*text && isspace((unsigned char)*text)) text++;
    if (!*text) snprintf(name, sizeof name, "not known"), order = INFINITY;
    else if (!g->edges) snprintf(name, sizeof name, "%s", text);
    else if (!text_double(text, &v) || isnan(v))
        return hct_fail(err, HCT_EFORMAT, "%s: scan '%s': %s is '%s', which is no number to put between edges", source,
                        id, g->column, text);
    else {
        size_t last = g->edges - 1, k = 0;
        while (k < last - 1 && v >= g->edge[k + 1]) k++;
        order = v < g->edge[0] ? -1 : v > g->edge[last] ? (double)EDGES : (double)k;
        if (v < g->edge[0]) snprintf(name, sizeof name, "below %g", g->edge[0]);
        else if (v > g->edge[last]) snprintf(name, sizeof name, "above %g", g->edge[last]);
        else snprintf(name, sizeof name, "%g to %g", g->edge[k], g->edge[k + 1]);
    }
    g->of[scan] = group_named(g, name, order);
    if (g->of[scan] >= 0) return HCT_OK;
    return hct_fail(err, HCT_EINVAL, "%s: %s has more than %d values; cut numbers at edges: --by %s:A-B-C", source,
                    g->column, MOST, g->column);
}

static hct_status from_csv(grouping *g, const predictions *p, const char *source, hct_err *err) {
    csv *t = csv_read(source, err);
    if (!t) return err ? err->code : HCT_EFORMAT;
    int scan = csv_fixed_column(t, "scan", err), column = scan < 0 ? -1 : csv_need_column(t, g->column, err);
    hct_status st = column < 0 ? HCT_ENOTFOUND : HCT_OK;
    size_t known = 0;
    for (size_t i = 0; i < p->n && st == HCT_OK; i++) {
        const char *text = "";
        size_t times = 0;
        for (size_t r = 0; r < t->rows; r++)
            if (!strcmp(csv_cell(t, r, (size_t)scan), p->scan[i])) text = csv_cell(t, r, (size_t)column), times++;
        if (times > 1) st = hct_fail(err, HCT_EFORMAT, "%s: scan '%s' is there twice", source, p->scan[i]);
        known += times;
        if (st == HCT_OK) st = put_value(g, source, i, p->scan[i], text, err);
    }
    if (st == HCT_OK && !known)
        st = hct_fail(err, HCT_ENOTFOUND, "%s: has none of the scans of the predictions", source);
    csv_free(t);
    return st;
}

static hct_status no_tag(dataset_index *ix, const char *source, const char *tag, hct_err *err) {
    char *names[MOST] = {NULL};
    size_t n = 0;
    sqlite3_stmt *q = index_query(ix, err, "SELECT DISTINCT key FROM tags ORDER BY key", "");
    while (q && n < MOST && index_step(ix, q, err) == 1)
        if ((names[n] = strdup((const char *)sqlite3_column_text(q, 0)))) n++;
    sqlite3_finalize(q);
    const char *near = hct_name_nearest(tag, (const char *const *)names, n);
    hct_status st = hct_fail(err, HCT_ENOTFOUND, "%s: its index knows no '%s' of its scans; %s '%s'", source, tag,
                             near ? "did you mean" : "the first it knows is",
                             near ? near
                             : n  ? names[0]
                                  : "");
    for (size_t i = 0; i < n; i++) free(names[i]);
    return st;
}

static hct_status from_dataset(grouping *g, const predictions *p, const char *source, hct_err *err) {
    dataset_index ix = {0};
    hct_status st = index_open(&ix, source, 0, err);
    size_t known = 0;
    for (size_t i = 0; i < p->n && st == HCT_OK; i++) {
        sqlite3_stmt *q = index_query(&ix, err, "SELECT value FROM tags JOIN scans ON scan=n WHERE id=? AND key=?",
                                      "ss", p->scan[i], g->column);
        int found = q ? index_step(&ix, q, err) : -1;
        const char *text = found == 1 ? (const char *)sqlite3_column_text(q, 0) : "";
        if (found < 0) st = HCT_EIO;
        known += found == 1;
        if (st == HCT_OK) st = put_value(g, source, i, p->scan[i], text, err);
        sqlite3_finalize(q);
    }
    if (st == HCT_OK && !known) st = no_tag(&ix, source, g->column, err);
    index_close(&ix);
    return st;
}

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
    if (g) g->of = calloc(p->n + 1, sizeof *g->of);
    hct_status st = g && r && g->of ? read_by(by, g, err) : hct_fail(err, HCT_ENOMEM, "out of memory for subgroups");
    if (st == HCT_OK) st = path_is_folder(source) ? from_dataset(g, p, source, err) : from_csv(g, p, source, err);
    for (size_t k = 0; st == HCT_OK && k < p->n_tasks; k++) {
        size_t n = 0, shown[MOST];
        for (size_t i = 0; i < g->n; i++) { /* by order, equals as they came */
            size_t at = i;
            for (; at > 0 && g->order[shown[at - 1]] > g->order[i]; at--) shown[at] = shown[at - 1];
            shown[at] = i;
        }
        st = measure(p, g, k, -1, o, &r[n++], err);
        for (size_t i = 0; i < g->n && st == HCT_OK; i++) st = measure(p, g, k, (int32_t)shown[i], o, &r[n++], err);
        for (size_t i = 0; i < n && st == HCT_OK; i++) put_result(s, p->task[k], g, &r[i]);
        if (st == HCT_OK && o->folder) st = draw_forest(p, g, k, r, n, o->folder, err);
    }
    if (g) free(g->of);
    free(g);
    free(r);
    return st;
}
