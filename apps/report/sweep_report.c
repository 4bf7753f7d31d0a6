/* Points of a sweep, best first. */
#include "report/sweep_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "figures/forest.h"
#include "support/csv.h"
#include "support/paths.h"

enum { SHOWN = 40, AXES = 4 };

static int best_first(const void *a, const void *b) {
    double x = ((const forest_row *)a)->value, y = ((const forest_row *)b)->value;
    return (x < y) - (x > y);
}

static hct_status draw(const csv *t, const char *path, hct_err *err) {
    static const char *const names[AXES] = {"lr", "weight_decay", "epochs", "optimizer"};
    int axis[AXES], auc = csv_fixed_column(t, "validation_auc", err), point = csv_fixed_column(t, "point", err);
    for (int a = 0; a < AXES; a++)
        if ((axis[a] = csv_fixed_column(t, names[a], err)) < 0) return HCT_EFORMAT;
    if (auc < 0 || point < 0) return HCT_EFORMAT;
    forest_row *rows = calloc(t->rows + 1, sizeof *rows);
    char(*label)[120] = calloc(t->rows + 1, sizeof *label);
    size_t n = 0;
    hct_status st = rows && label ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    for (size_t r = 0; st == HCT_OK && r < t->rows; r++) {
        double v;
        if (!text_double(csv_cell(t, r, (size_t)auc), &v) || isnan(v)) continue;
        snprintf(label[n], sizeof *label, "%s: lr %s, decay %s, %s epochs, %s", csv_cell(t, r, (size_t)point),
                 csv_cell(t, r, (size_t)axis[0]), csv_cell(t, r, (size_t)axis[1]), csv_cell(t, r, (size_t)axis[2]),
                 csv_cell(t, r, (size_t)axis[3]));
        rows[n] = (forest_row){label[n], v, NAN, NAN};
        n++;
    }
    if (st == HCT_OK && n) {
        qsort(rows, n, sizeof *rows, best_first);
        const forest f = {.title = n > SHOWN ? "Sweep: the 40 best points" : "Sweep: all points",
                          .x_label = "macro ROC AUC on validation",
                          .rows = rows,
                          .n = n < SHOWN ? n : SHOWN,
                          .line = NAN};
        st = forest_write(&f, path, err);
    }
    free(rows);
    free(label);
    return st;
}

hct_status sweep_report_draw(const char *run, const char *folder, hct_err *err) {
    char *file = path_join(run, "sweep.csv"), *path = path_join(folder, "sweep.svg");
    hct_status st = file && path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
    if (st == HCT_OK && path_is_file(file)) {
        csv *t = csv_read(file, err);
        st = t ? draw(t, path, err) : err->code;
        if (t) csv_free(t);
    }
    free(file);
    free(path);
    return st;
}
