/* Scans put into groups by a column's values. */
#include "evaluation/grouping.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/index.h"
#include "hct/nearest.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

enum { MOST = GROUPING_MOST, EDGES = GROUPING_EDGES };

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

static hct_status from_csv(grouping *g, char *const *scan_ids, size_t n, const char *source, hct_err *err) {
    csv *t = csv_read(source, err);
    if (!t) return err ? err->code : HCT_EFORMAT;
    int scan = csv_fixed_column(t, "scan", err), column = scan < 0 ? -1 : csv_need_column(t, g->column, err);
    hct_status st = column < 0 ? HCT_ENOTFOUND : HCT_OK;
    size_t known = 0;
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        const char *text = "";
        size_t times = 0;
        for (size_t r = 0; r < t->rows; r++)
            if (!strcmp(csv_cell(t, r, (size_t)scan), scan_ids[i])) text = csv_cell(t, r, (size_t)column), times++;
        if (times > 1) st = hct_fail(err, HCT_EFORMAT, "%s: scan '%s' is there twice", source, scan_ids[i]);
        known += times;
        if (st == HCT_OK) st = put_value(g, source, i, scan_ids[i], text, err);
    }
    if (st == HCT_OK && !known) st = hct_fail(err, HCT_ENOTFOUND, "%s: has none of these scans", source);
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

static hct_status from_dataset(grouping *g, char *const *scan_ids, size_t n, const char *source, hct_err *err) {
    dataset_index ix = {0};
    hct_status st = index_open(&ix, source, 0, err);
    size_t known = 0;
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        sqlite3_stmt *q = index_query(&ix, err, "SELECT value FROM tags JOIN scans ON scan=n WHERE id=? AND key=?",
                                      "ss", scan_ids[i], g->column);
        int found = q ? index_step(&ix, q, err) : -1;
        const char *text = found == 1 ? (const char *)sqlite3_column_text(q, 0) : "";
        if (found < 0) st = HCT_EIO;
        known += found == 1;
        if (st == HCT_OK) st = put_value(g, source, i, scan_ids[i], text, err);
        sqlite3_finalize(q);
    }
    if (st == HCT_OK && !known) st = no_tag(&ix, source, g->column, err);
    index_close(&ix);
    return st;
}

hct_status grouping_make(const char *by, const char *source, char *const *scans, size_t n, grouping *ret,
                         hct_err *err) {
    *ret = (grouping){.of = calloc(n + 1, sizeof *ret->of)};
    hct_status st = ret->of ? read_by(by, ret, err) : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", n);
    if (st == HCT_OK)
        st = path_is_folder(source) ? from_dataset(ret, scans, n, source, err) : from_csv(ret, scans, n, source, err);
    for (size_t i = 0; st == HCT_OK && i < ret->n; i++) { /* by order, equals as they came */
        size_t at = i;
        for (; at > 0 && ret->order[ret->shown[at - 1]] > ret->order[i]; at--) ret->shown[at] = ret->shown[at - 1];
        ret->shown[at] = (int32_t)i;
    }
    if (st < 0) grouping_free(ret);
    return st;
}

void grouping_free(grouping *g) {
    free(g->of);
    g->of = NULL;
}
