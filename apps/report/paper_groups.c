/* Bars over subgroups. */
#include "report/paper_groups.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures/bars.h"
#include "support/csv.h"
#include "support/paths.h"

enum { MOST = 64 };

typedef struct table {
    const char *groups[MOST], *tasks[MOST];
    size_t n_groups, n_tasks;
    double auc[3][MOST][MOST]; /* value, low, high of [task][group] */
} table;

static size_t place(const char **names, size_t *n, const char *name) {
    size_t i = 0;
    while (i < *n && strcmp(names[i], name) != 0) i++;
    if (i == *n && *n < MOST) names[(*n)++] = name;
    return i;
}

/* Rows of one column; false where the table is not what headct evaluate writes. */
static int take(const csv *t, const char *column, table *ret) {
    static const char *const names[] = {"task", "by", "group", "roc_auc", "roc_auc_low", "roc_auc_high"};
    int c[6];
    for (int i = 0; i < 6; i++)
        if ((c[i] = csv_column(t, names[i])) < 0) return 0;
    for (int v = 0; v < 3; v++)
        for (int k = 0; k < MOST; k++)
            for (int g = 0; g < MOST; g++) ret->auc[v][k][g] = NAN;
    for (size_t r = 0; r < t->rows; r++) {
        if (strcmp(csv_cell(t, r, (size_t)c[1]), column) != 0) continue;
        size_t k = place(ret->tasks, &ret->n_tasks, csv_cell(t, r, (size_t)c[0]));
        size_t g = place(ret->groups, &ret->n_groups, csv_cell(t, r, (size_t)c[2]));
        for (int v = 0; v < 3 && k < MOST && g < MOST; v++)
            text_double(csv_cell(t, r, (size_t)c[3 + v]), &ret->auc[v][k][g]);
    }
    return ret->n_groups > 0;
}

static hct_status draw(report *r, const table *t, const char *folder, const char *name, const char *title, int mean,
                       hct_err *err) {
    static const char *const all[] = {"mean over tasks"};
    size_t series = mean ? 1 : t->n_tasks, n = t->n_groups;
    double *v = malloc(3 * series * n * sizeof *v + 1);
    char *path = NULL;
    hct_status st =
        v && asprintf(&path, "%s/%s.svg", folder, name) >= 0 ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t g = 0; st == HCT_OK && g < n; g++) {
        double sum = 0;
        for (size_t k = 0; k < t->n_tasks; k++) sum += t->auc[0][k][g] / (double)t->n_tasks;
        for (size_t k = 0; k < series; k++)
            for (size_t i = 0; i < 3; i++) v[(i * series + k) * n + g] = mean ? i ? NAN : sum : t->auc[i][k][g];
    }
    const bars b = {.title = title,
                    .y_label = "ROC AUC",
                    .groups = t->groups,
                    .series = mean ? all : t->tasks,
                    .n_groups = n,
                    .n_series = series,
                    .value = v,
                    .low = v ? v + series * n : NULL,
                    .high = v ? v + 2 * series * n : NULL,
                    .line = 0.5};
    if (st == HCT_OK) st = path_make_folders(folder, err);
    if (st == HCT_OK) st = bars_write(&b, path, err);
    if (st == HCT_OK) report_figure(r, path, title);
    free(path);
    free(v);
    return st;
}

/* path: a subgroups.csv */
static hct_status add_table(report *r, const char *path, const char *run, const char *folder, const char *name,
                            const char *column, int mean, int *ret_drawn, hct_err *err) {
    hct_err why = {0};
    char file[300], title[300];
    csv *t = path_is_file(path) && path_is_below(path, run) ? csv_read(path, &why) : NULL;
    table *found = t ? calloc(1, sizeof *found) : NULL;
    hct_status st = is_fault(why.code) ? hct_fail(err, why.code, "%s", why.msg)
                    : t && !found      ? hct_fail(err, HCT_ENOMEM, "%s: out of memory", path)
                                       : HCT_OK;
    if (found && take(t, column, found)) {
        snprintf(file, sizeof file, "%.80s_%.150s", name, path_base(run));
        snprintf(title, sizeof title, "%.150s by %.80s: ROC AUC%s", path_base(run), column,
                 mean ? "; undefined where a task is" : " with 95% intervals");
        st = draw(r, found, folder, file, title, mean, err);
        *ret_drawn |= st == HCT_OK;
    }
    free(found);
    if (t) csv_free(t);
    return st;
}

hct_status paper_groups(report *r, const run_facts *const *runs, size_t n, const char *folder, const char *name,
                        const char *column, int mean, int *ret_drawn, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        char **names = NULL, *own = path_join(runs[i]->folder, "subgroups.csv");
        size_t entries = 0;
        st = own ? add_table(r, own, runs[i]->folder, folder, name, column, mean, ret_drawn, err)
                 : hct_fail(err, HCT_ENOMEM, "out of memory");
        free(own);
        if (st == HCT_OK) st = path_list(runs[i]->folder, "", &names, &entries, err);
        for (size_t k = 0; k < entries; k++) {
            char *path = NULL;
            if (!strncmp(names[k], "evaluate-", 9) &&
                asprintf(&path, "%s/%s/subgroups.csv", runs[i]->folder, names[k]) >= 0 && st == HCT_OK)
                st = add_table(r, path, runs[i]->folder, folder, name, column, mean, ret_drawn, err);
            free(path);
            free(names[k]);
        }
        free(names);
    }
    return st;
}
