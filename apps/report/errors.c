/* Scans that a model is surest of and wrong about. */
#include "report/errors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "evaluation/evaluation.h"
#include "evaluation/predictions.h"
#include "figures/picture.h"
#include "hct/log.h"
#include "support/paths.h"

enum { ROWS = 2 * ERRORS_SHOWN, CELL = 160, TALL = 220, TASKS = 12 };

/* Rows of the table of one task: the worst positives, then the worst negatives. */
static size_t worst_of(const predictions *p, size_t task, size_t ret[ROWS]) {
    size_t n = 0;
    for (int label = 1; label >= 0; label--) {
        size_t first = n;
        for (size_t i = 0; i < p->n; i++) {
            double s = p->score[i * p->n_tasks + task];
            if (p->label[i * p->n_tasks + task] != label || (label ? s >= 0.5 : s < 0.5)) continue;
            size_t at = n;
            while (at > first) { /* the worst first */
                double other = p->score[ret[at - 1] * p->n_tasks + task];
                if (label ? other <= s : other >= s) break;
                at--;
            }
            if (at - first >= ERRORS_SHOWN) continue;
            if (n - first < ERRORS_SHOWN) n++;
            memmove(ret + at + 1, ret + at, (n - at - 1) * sizeof *ret);
            ret[at] = i;
        }
    }
    return n;
}

/* Row-major; the caller's; *ret NULL: the dataset has no such scan. */
static hct_status volume_of(const dataset *d, const char *scan, int64_t dim[3], float **ret, hct_err *err) {
    hct_err why = {0};
    volume v = {0};
    int64_t i = dataset_find(d, scan, &why);
    hct_status st = i < 0 ? (hct_status)i : dataset_volume(d, (size_t)i, &v, &why);
    *ret = NULL;
    if (is_fault(st)) return hct_fail(err, st, "%s", why.msg);
    if (st < 0) {
        hct_log(HCT_LOG_WARNING, "%s; its picture is left out", why.msg);
        return HCT_OK;
    }
    memcpy(dim, v.dim, sizeof v.dim);
    *ret = volume_row_major(&v, err);
    volume_free(&v);
    return *ret ? HCT_OK : HCT_ENOMEM;
}

static hct_status draw(report *r, const dataset *d, const predictions *p, size_t task, const size_t *rows, size_t n,
                       const char *folder, hct_err *err) {
    picture_tile tiles[ROWS];
    float *scan[ROWS];
    char name[200], file[200], caption[900];
    size_t shown = 0;
    hct_status st = HCT_OK;
    int at = snprintf(caption, sizeof caption,
                      "Worst errors in %.100s, middle axial slices, 0 to 80 HU, from the left: ", p->task[task]);
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        picture_tile *t = &tiles[shown]; /* no text in it: fontconfig ends the process where memory runs out */
        *t = (picture_tile){.plane = SLICE_AXIAL, .at = -1, .low = 0, .high = 80};
        st = volume_of(d, p->scan[rows[i]], t->dim, &scan[shown], err);
        if (st < 0 || !scan[shown]) continue;
        t->volume = scan[shown];
        at += snprintf(caption + at, sizeof caption - (size_t)at, "%s%.60s %s, %.2f", shown++ ? "; " : "",
                       p->scan[rows[i]], p->label[rows[i] * p->n_tasks + task] ? "positive" : "negative",
                       p->score[rows[i] * p->n_tasks + task]);
    }
    figure_file("error", p->task[task], name);
    snprintf(file, sizeof file, "%.*s.png", (int)(strlen(name) - 4), name); /* instead of .svg */
    char *path = shown ? path_join(folder, file) : NULL;
    if (st == HCT_OK && shown)
        st = path ? picture_write(tiles, shown, TALL, path, err)
                  : hct_fail(err, HCT_ENOMEM, "%s: out of memory", folder);
    if (path && st == HCT_OK) report_figure(r, path, caption);
    free(path);
    for (size_t i = 0; i < shown; i++) free(scan[i]);
    return st;
}

/* Cells of a table, and what they point to. */
typedef struct table {
    char text[TASKS * ROWS * 5][CELL];
    const char *at[TASKS * ROWS * 5];
    size_t rows;
} table;

static void put(table *t, const predictions *p, size_t task, size_t row) {
    int label = p->label[row * p->n_tasks + task];
    char(*cell)[CELL] = &t->text[5 * t->rows];
    snprintf(cell[0], CELL, "%s", p->task[task]);
    snprintf(cell[1], CELL, "%s", p->scan[row]);
    snprintf(cell[2], CELL, "%s", p->patient[row]);
    snprintf(cell[3], CELL, "%s", label ? "positive" : "negative");
    snprintf(cell[4], CELL, "%.3f", p->score[row * p->n_tasks + task]);
    for (int c = 0; c < 5; c++) t->at[5 * t->rows + (size_t)c] = cell[c];
    t->rows++;
}

hct_status errors_add(report *r, const run_facts *f, const char *folder, hct_err *err) {
    static const char *const head[] = {"task", "scan", "patient", "label", "probability"};
    char *path = path_join(f->folder, "predictions.csv");
    predictions p = {0};
    hct_err why = {0};
    hct_status st = path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", f->folder);
    int there = path && path_is_file(path) && path_is_below(path, f->folder);
    hct_status read = there ? predictions_read(path, f->has_recipe ? f->own.data.test : NULL, &p, &why) : HCT_ENOTFOUND;
    free(path);
    if (is_fault(read)) return hct_fail(err, read, "%s", why.msg);
    if (there && read < 0) hct_log(HCT_LOG_WARNING, "%s; the worst errors are left out", why.msg);
    if (st < 0 || read < 0) return st;
    const char *folder_of_data = f->has_recipe ? f->own.data.dataset : "";
    int at_hand = *folder_of_data && path_is_folder(folder_of_data);
    dataset *d = at_hand ? dataset_open(folder_of_data, &why) : NULL;
    if (at_hand && !d && is_fault(why.code)) st = hct_fail(err, why.code, "%s", why.msg);
    else if (at_hand && !d) hct_log(HCT_LOG_WARNING, "%s; pictures of errors are left out", why.msg);
    table *t = calloc(1, sizeof *t);
    if (st == HCT_OK && !t) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", f->folder);
    for (size_t k = 0; k < p.n_tasks && k < TASKS && st == HCT_OK; k++) {
        size_t rows[ROWS + 1], n = worst_of(&p, k, rows);
        for (size_t i = 0; i < n; i++) put(t, &p, k, rows[i]);
        if (d && folder) st = draw(r, d, &p, k, rows, n, folder, err);
    }
    if (st == HCT_OK && t->rows)
        report_table(r, head, t->at, t->rows, 5, "Worst errors: the surest of those on the wrong side of 0.5");
    free(t);
    if (d) dataset_close(d);
    predictions_free(&p);
    return st;
}
