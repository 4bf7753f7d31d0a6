/* Few-shot curves. */
#include "report/fewshot_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "figures/plot.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

enum { METHODS = 12 };

typedef struct columns {
    int task, method, k, auc, low, high;
    int precision; /* of average precision, not of AUC */
} columns;

static hct_status find_columns(const csv *t, int precision, columns *c, hct_err *err) {
    static const char *const both[2][6] = {{"task", "method", "k", "auc", "auc_low", "auc_high"},
                                           {"task", "method", "k", "ap", "ap_low", "ap_high"}};
    const char *const *names = both[precision];
    c->precision = precision;
    int *const to[] = {&c->task, &c->method, &c->k, &c->auc, &c->low, &c->high};
    for (int i = 0; i < 6; i++)
        if ((*to[i] = csv_fixed_column(t, names[i], err)) < 0) return HCT_EFORMAT;
    return HCT_OK;
}

static hct_status number(const csv *t, size_t row, int column, double *ret, hct_err *err) {
    const char *cell = csv_cell(t, row, (size_t)column);
    *ret = NAN;
    if (!*cell || text_double(cell, ret)) return HCT_OK;
    return hct_fail(err, HCT_EFORMAT, "%s:%d: column '%s': '%s' is no number", t->path, t->lines[row], t->names[column],
                    cell);
}

/* One method's rows of one task: its curve by k, then its star. */
typedef struct curve {
    const char *method;
    double *x, *y, *low, *high, star;
    size_t n;
} curve;

static hct_status add_row(const csv *t, const columns *c, size_t row, curve *to, hct_err *err) {
    double auc, low, high, k;
    hct_status st = number(t, row, c->auc, &auc, err);
    if (st == HCT_OK) st = number(t, row, c->low, &low, err);
    if (st == HCT_OK) st = number(t, row, c->high, &high, err);
    if (st < 0) return st;
    if (!strcmp(csv_cell(t, row, (size_t)c->k), "all")) {
        to->star = auc;
        return HCT_OK;
    }
    if ((st = number(t, row, c->k, &k, err)) < 0 || isnan(k) || isnan(auc)) return st;
    size_t at = to->n++;
    for (; at > 0 && to->x[at - 1] > k; at--) { /* in order of k */
        to->x[at] = to->x[at - 1];
        to->y[at] = to->y[at - 1];
        to->low[at] = to->low[at - 1];
        to->high[at] = to->high[at - 1];
    }
    to->x[at] = k;
    to->y[at] = auc;
    to->low[at] = isnan(low) ? auc : low;
    to->high[at] = isnan(high) ? auc : high;
    return HCT_OK;
}

static hct_status draw_curves(const char *folder, const char *task, int precision, const curve *curves, size_t n,
                              hct_err *err) {
    plot_series s[2 * METHODS] = {{0}};
    double most = 1;
    size_t used = n;
    for (size_t m = 0; m < n; m++)
        if (curves[m].n) most = fmax(most, curves[m].x[curves[m].n - 1]);
    most *= 2;
    for (size_t m = 0; m < n; m++) {
        const curve *c = &curves[m];
        s[m] = (plot_series){.title = c->method, .x = c->x, .y = c->y, .low = c->low, .high = c->high, .n = c->n};
        if (isnan(c->star)) continue;
        s[used++] = (plot_series){.x = &most, .y = &c->star, .n = 1, .stars = true, .colour = m + 1};
        if (!c->n) s[used - 1].title = c->method; /* a star alone */
    }
    char file[200];
    const plot figure = {.title = task,
                         .x_label = "examples of each class (star: all training scans)",
                         .y_label = precision ? "average precision" : "ROC AUC",
                         .series = s,
                         .n = used,
                         .log_x = true};
    char *path = path_join(folder, figure_file(precision ? "fewshotap" : "fewshot", task, file));
    hct_status st = path ? plot_write(&figure, path, err) : hct_fail(err, HCT_ENOMEM, "%s: out of memory", folder);
    free(path);
    return st;
}

static hct_status draw_task(const csv *t, const columns *c, const char *folder, const char *task, hct_err *err) {
    curve curves[METHODS];
    size_t n = 0, points = 0;
    hct_status st = HCT_OK;
    for (size_t r = 0; r < t->rows && st == HCT_OK; r++) {
        const char *method = csv_cell(t, r, (size_t)c->method);
        size_t m = 0;
        if (strcmp(csv_cell(t, r, (size_t)c->task), task) != 0) continue;
        while (m < n && strcmp(curves[m].method, method) != 0) m++;
        if (m == METHODS) continue; /* more make a plot nobody can read */
        if (m == n) {
            double *v = malloc((4 * t->rows + 1) * sizeof *v);
            if (!v) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", folder);
            curves[n++] =
                (curve){method, v, v ? v + t->rows : NULL, v ? v + 2 * t->rows : NULL, v ? v + 3 * t->rows : NULL,
                        NAN,    0};
        }
        if (st == HCT_OK) st = add_row(t, c, r, &curves[m], err);
    }
    for (size_t m = 0; m < n; m++) points += curves[m].n + !isnan(curves[m].star);
    if (st == HCT_OK && points) st = draw_curves(folder, task, c->precision, curves, n, err);
    for (size_t m = 0; m < n; m++) free(curves[m].x);
    return st;
}

hct_status fewshot_report_draw(const char *run, const char *folder, hct_err *err) {
    char *path = path_join(run, "fewshot.csv");
    if (!path) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
    csv *t = path_is_file(path) ? csv_read(path, err) : NULL;
    hct_status st = !t && path_is_file(path) ? err->code : HCT_OK;
    for (int precision = 0; t && st == HCT_OK && precision < 2; precision++) {
        columns c;
        if (precision && csv_column(t, "ap") < 0) break; /* of an earlier headct */
        st = find_columns(t, precision, &c, err);
        for (size_t r = 0; st == HCT_OK && r < t->rows; r++) {
            const char *task = csv_cell(t, r, (size_t)c.task);
            size_t first = 0;
            while (strcmp(csv_cell(t, first, (size_t)c.task), task) != 0) first++;
            if (first == r) st = draw_task(t, &c, folder, task, err);
        }
    }
    if (t) csv_free(t);
    free(path);
    return st;
}
