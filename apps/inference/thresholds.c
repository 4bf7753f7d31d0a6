/* Reading operating_points.csv. */
#include "inference/thresholds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/csv.h"
#include "support/paths.h"

static hct_status find(const char *path, const char *run, char **ret, hct_err *err) {
    static const char *const places[] = {"operating_points.csv", "evaluate-test/operating_points.csv"};
    *ret = NULL;
    if (path && !(*ret = strdup(path))) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    for (size_t i = 0; run && !*ret && i < 2; i++) {
        char *there = path_join(run, places[i]);
        if (!there) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
        if (path_is_file(there)) *ret = there;
        else free(there);
    }
    return HCT_OK;
}

static hct_status read_rows(const csv *t, const classifiers *c, thresholds *ret, hct_err *err) {
    int task = csv_fixed_column(t, "task", err), at = csv_fixed_column(t, "threshold", err), found = 0;
    if (task < 0 || at < 0) return err ? err->code : HCT_ENOTFOUND;
    for (int k = 0; k < c->n_tasks; k++)
        for (size_t i = 0; i < t->rows; i++) {
            const char *cell = csv_cell(t, i, (size_t)at);
            if (strcmp(csv_cell(t, i, (size_t)task), c->task[k]) != 0) continue;
            if (*cell && strcmp(cell, "undefined") != 0 && !text_double(cell, &ret->at[k]))
                return hct_fail(err, HCT_EFORMAT, "%s:%d: threshold '%s' is no number", t->path, t->lines[i], cell);
            found++;
            break;
        }
    if (found) return HCT_OK;
    return hct_fail(err, HCT_ENOTFOUND, "%s: holds no threshold of '%s'", t->path, c->n_tasks ? c->task[0] : "");
}

hct_status thresholds_read(const char *path, const char *run, const classifiers *c, thresholds *ret, hct_err *err) {
    thresholds t = {NULL, {0}};
    for (int k = 0; k < MODEL_TASKS; k++) t.at[k] = NAN;
    hct_status s = find(path, run, &t.path, err);
    csv *table = s == HCT_OK && t.path ? csv_read(t.path, err) : NULL;
    if (s == HCT_OK && t.path && !table) s = err ? err->code : HCT_EFORMAT;
    if (table) s = read_rows(table, c, &t, err);
    csv_free(table);
    *ret = t;
    if (s < 0) thresholds_free(ret);
    return s;
}

void thresholds_free(thresholds *t) {
    free(t->path);
    t->path = NULL;
}
