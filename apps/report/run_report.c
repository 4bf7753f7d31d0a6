/* A run's folder as a section of a report. */
#include "report/run_report.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evaluation/evaluation.h"
#include "figures/plot.h"
#include "hct/io.h"
#include "report/data_card.h"
#include "report/errors.h"
#include "report/fewshot_report.h"
#include "report/run_box.h"
#include "report/sweep_report.h"
#include "run/runlog.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

enum { CELL = 64 };

enum { CURVES = 12 }; /* more make a plot nobody can read */

/* Whether the values span more than a decade: on an even axis all but the first steps would be one flat line. */
static bool spans_decades(const plot_series *s, size_t n) {
    double low = INFINITY, high = -INFINITY;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < s[k].n; i++) {
            low = fmin(low, s[k].y[i]);
            high = fmax(high, s[k].y[i]);
        }
    return low > 0 && high > 10 * low;
}

/* Curves of a key of metrics.jsonl, one a phase. HCT_ENOTFOUND where the log holds none. */
static hct_status draw_curves(const char *run, const char *key, const char *title, const char *path, hct_err *err) {
    char **phases = NULL;
    size_t n = 0;
    hct_status status = runlog_phases(run, key, &phases, &n, err);
    plot_series s[CURVES];
    double *x[CURVES] = {NULL}, *y[CURVES] = {NULL};
    size_t curves = n < CURVES ? n : CURVES, all = 0;
    for (size_t k = 0; k < curves && status == HCT_OK; k++) {
        size_t points;
        status = runlog_read(run, phases[k], key, &x[k], &y[k], &points, err);
        if (status == HCT_OK) s[k] = (plot_series){.title = phases[k], .x = x[k], .y = y[k], .n = points};
        if (status == HCT_OK) all += points;
    }
    if (status == HCT_OK && all == 0) status = hct_fail(err, HCT_ENOTFOUND, "%s: metrics.jsonl holds no %s", run, key);
    plot figure = {.title = title, .x_label = "step", .y_label = title, .series = s, .n = curves};
    figure.rises = strcmp(key, "loss") != 0;
    if (status == HCT_OK) figure.log_y = !strcmp(key, "loss") && spans_decades(s, curves);
    if (status == HCT_OK) status = plot_write(&figure, path, err);
    for (size_t k = 0; k < curves; k++) {
        free(x[k]);
        free(y[k]);
    }
    for (size_t k = 0; k < n; k++) free(phases[k]);
    free(phases);
    return status;
}

/* The loss, and the AUC of validation (of each task where each has a model of its own). */
static hct_status add_curves(report *r, const char *run, const char *folder, hct_err *err) {
    static const char *const curves[][4] = {{"loss", "loss", "loss.svg", "Loss over optimiser steps."},
                                            {"auc", "AUC", "auc.svg", "AUC on validation over optimiser steps."},
                                            {"validation_auc", "AUC on validation", "validation_auc.svg",
                                             "AUC of each task on validation over optimiser steps of its model."}};
    hct_status first = HCT_OK;
    for (int i = 0; i < 3; i++) {
        hct_err why = {0};
        char *path = path_join(folder, curves[i][2]);
        hct_status st = path ? draw_curves(run, curves[i][0], curves[i][1], path, &why)
                             : hct_fail(&why, HCT_ENOMEM, "%s: out of memory", run);
        if (st == HCT_OK) report_figure(r, path, curves[i][3]);
        free(path);
        if (i == 0) first = st;
        if (st < 0 && (i == 0 || st != HCT_ENOTFOUND)) hct_fail(err, st, "%s", why.msg);
        if (st < 0 && st != HCT_ENOTFOUND) return st;
    }
    return first;
}

/* Where this report draws what it shows of a run: RUN/figures, or of a run that may only be read a folder of its own,
 * which is removed afterwards. */
typedef struct drawing_room {
    char *folder;
    bool is_own;
} drawing_room;

static hct_status room_open(const char *run, drawing_room *ret, hct_err *err) {
    hct_err ignored; /* that nothing can be made there is no fault */
    *ret = (drawing_room){.folder = path_join(run, "figures")};
    if (!ret->folder) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
    if (path_make_folders(ret->folder, &ignored) == HCT_OK && access(ret->folder, W_OK | X_OK) == 0) return HCT_OK;
    const char *tmp = getenv("TMPDIR");
    free(ret->folder);
    if (asprintf(&ret->folder, "%s/headct-report-XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0) ret->folder = NULL;
    if (!ret->folder || !mkdtemp(ret->folder)) {
        hct_status status =
            hct_fail(err, HCT_EIO, "%s: may only be read, and no temporary folder for its figures can be made: %s", run,
                     strerror(errno));
        free(ret->folder);
        ret->folder = NULL;
        return status;
    }
    ret->is_own = true;
    return HCT_OK;
}

static void room_close(drawing_room *room) {
    char **names = NULL;
    size_t n = 0;
    hct_err ignored;
    if (room->is_own && path_list(room->folder, "", &names, &n, &ignored) == HCT_OK) {
        for (size_t i = 0; i < n; i++) {
            char *path = path_join(room->folder, names[i]);
            if (path) unlink(path);
            free(path);
            free(names[i]);
        }
        free(names);
        rmdir(room->folder);
    }
    free(room->folder);
}

/* A report is shown to others: what a link in a run leads to elsewhere is not copied into it. */
static hct_status check_inside(const char *run, const char *path, hct_err *err) {
    return path_is_below(path, run)
               ? HCT_OK
               : hct_fail(err, HCT_EINVAL, "%s: is a link that leads out of the run; a report copies none: remove it",
                          path);
}

static double number(const cJSON *o, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static void interval_cell(const cJSON *o, const char *key, char cell[CELL]) {
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, key);
    interval i = {.value = number(j, "value"), .low = number(j, "low"), .high = number(j, "high")};
    interval_text(&i, cell);
}

static cJSON *read_metrics(const char *path, hct_err *err) {
    char *text = NULL;
    if (hct_read_file(path, &text, NULL, err) < 0) return NULL;
    cJSON *json = cJSON_Parse(text);
    free(text);
    if (cJSON_IsArray(cJSON_GetObjectItem(json, "tasks")) && cJSON_IsObject(cJSON_GetObjectItem(json, "macro")))
        return json;
    cJSON_Delete(json);
    hct_fail(err, HCT_EFORMAT, "%s: is not what headct evaluate writes", path);
    return NULL;
}

static cJSON *metrics_of(const char *run, hct_err *err) {
    char *path = path_join(run, "metrics.json");
    if (!path) hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
    cJSON *json = path ? read_metrics(path, err) : NULL;
    free(path);
    return json;
}

/* Cells of a table, kept until it is printed. */
typedef struct cells {
    char (*text)[CELL];
    const char **at;
} cells;

static bool cells_make(cells *c, size_t n) {
    c->text = calloc(n + 1, sizeof *c->text);
    c->at = calloc(n + 1, sizeof *c->at);
    for (size_t i = 0; c->text && c->at && i < n; i++) c->at[i] = c->text[i];
    return c->text && c->at;
}

static void cells_free(cells *c) {
    free(c->text);
    free(c->at);
}

/* The cells of one task, or of the macro mean: those of run_report_metrics's head. */
static void metrics_row(const cJSON *o, char (*cell)[CELL], bool compared) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(o, "task"),
                *versus = cJSON_GetObjectItemCaseSensitive(o, "versus");
    snprintf(cell[0], CELL, "%s", cJSON_IsString(name) ? name->valuestring : "macro mean");
    if (name) {
        snprintf(cell[1], CELL, "%.0f", number(o, "positives"));
        snprintf(cell[2], CELL, "%.0f", number(o, "negatives"));
    }
    interval_cell(o, "roc_auc", cell[3]);
    interval_cell(o, "average_precision", cell[4]);
    if (!compared || isnan(number(versus, "p"))) return;
    snprintf(cell[5], CELL, "%.3f", number(versus, "other_roc_auc"));
    snprintf(cell[6], CELL, "%.4f", number(versus, "p"));
}

hct_status run_report_metrics(report *r, const char *metrics_json, const char *caption, hct_err *err) {
    static const char *const head[] = {"task",      "positive", "negative", "ROC AUC", "average precision",
                                       "other AUC", "p"};
    cJSON *json = read_metrics(metrics_json, err);
    if (!json) return err ? err->code : HCT_EFORMAT;
    const cJSON *tasks = cJSON_GetObjectItem(json, "tasks"), *task;
    bool compared = cJSON_IsNumber(cJSON_GetObjectItem(json, "permutations"));
    size_t rows = (size_t)cJSON_GetArraySize(tasks) + 1, columns = compared ? 7 : 5, k = 0;
    cells c;
    hct_status status =
        cells_make(&c, rows * columns) ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", metrics_json);
    if (status == HCT_OK) {
        cJSON_ArrayForEach(task, tasks) metrics_row(task, &c.text[k++ * columns], compared);
        metrics_row(cJSON_GetObjectItem(json, "macro"), &c.text[k * columns], compared);
        report_table(r, head, c.at, rows, columns, caption);
        const cJSON *kind = cJSON_GetObjectItem(json, "interval"), *unit = cJSON_GetObjectItem(json, "resampled");
        report_paragraph(r, "%.0f scans; 95%% %s intervals of %.0f bootstrap resamples of %ss, seed %.0f.%s",
                         number(json, "scans"),
                         cJSON_IsString(kind) && !strcmp(kind->valuestring, "bca") ? "BCa" : "percentile",
                         number(json, "resamples"), cJSON_IsString(unit) ? unit->valuestring : "scan",
                         number(json, "seed"), compared ? " p: two-sided paired permutation test." : "");
    }
    cells_free(&c);
    cJSON_Delete(json);
    return status;
}

hct_status run_report_comparison(report *r, const char *const *runs, size_t n, hct_err *err) {
    static const char *const head[] = {"run", "macro AUC", "macro average precision"};
    cells c;
    size_t rows = 0;
    if (!cells_make(&c, n * 3)) {
        cells_free(&c);
        return hct_fail(err, HCT_ENOMEM, "out of memory for a table of %zu runs", n);
    }
    for (size_t i = 0; i < n; i++) {
        hct_err why = {0};
        cJSON *json = metrics_of(runs[i], &why);
        if (!json && why.code != HCT_ENOMEM) continue; /* not evaluated, or damaged, which its own section says */
        if (!json) {
            cells_free(&c);
            return hct_fail(err, why.code, "%s", why.msg);
        }
        const cJSON *macro = cJSON_GetObjectItem(json, "macro");
        snprintf(c.text[rows * 3], CELL, "%s", runs[i]);
        interval_cell(macro, "roc_auc", c.text[rows * 3 + 1]);
        interval_cell(macro, "average_precision", c.text[rows * 3 + 2]);
        cJSON_Delete(json);
        rows++;
    }
    if (rows) report_table(r, head, c.at, rows, 3, "Macro means with 95% intervals");
    cells_free(&c);
    return HCT_OK;
}

/* The same tasks of as many positives and negatives. */
static bool same_tasks(const cJSON *a, const cJSON *b) {
    const cJSON *x = cJSON_GetObjectItem(a, "tasks"), *y = cJSON_GetObjectItem(b, "tasks");
    bool same = cJSON_GetArraySize(x) == cJSON_GetArraySize(y);
    for (int i = 0; same && i < cJSON_GetArraySize(x); i++) {
        const cJSON *p = cJSON_GetArrayItem(x, i), *q = cJSON_GetArrayItem(y, i);
        same = cJSON_Compare(cJSON_GetObjectItem(p, "task"), cJSON_GetObjectItem(q, "task"), true) &&
               number(p, "positives") == number(q, "positives") && number(p, "negatives") == number(q, "negatives");
    }
    return same;
}

static interval macro_auc(const cJSON *json) {
    const cJSON *auc = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(json, "macro"), "roc_auc");
    return (interval){.value = number(auc, "value"), .low = number(auc, "low"), .high = number(auc, "high")};
}

hct_status run_report_better(report *r, const char *a, const char *b, int *ret_better, hct_err *err) {
    char tx[64], ty[64];
    cJSON *of_a = metrics_of(a, err), *of_b = of_a ? metrics_of(b, err) : NULL;
    interval x = macro_auc(of_a), y = macro_auc(of_b); /* of NULL: NaN */
    int same = of_b && same_tasks(of_a, of_b), read = of_b != NULL;
    cJSON_Delete(of_a);
    cJSON_Delete(of_b);
    if (!read) return err ? err->code : HCT_EFORMAT;
    if (!same)
        return hct_fail(err, HCT_EINVAL, "%s and %s cannot be compared: they have other tasks, or other test scans", a,
                        b);
    *ret_better = x.low > y.high;
    report_note(r, "%s: macro AUC %s; %s: %s. %s", a, interval_text(&x, tx), b, interval_text(&y, ty),
                *ret_better         ? "The first is better, and the 95% intervals do not overlap."
                : x.value > y.value ? "The first is higher, but the 95% intervals overlap."
                                    : "The first is not better.");
    return HCT_OK;
}

/* What stands under a figure: evaluation.h's plots are named roc_TASK and pr_TASK. */
static hct_status add_figure(report *r, const char *path, hct_err *err) {
    char *stem = path_stem(path), caption[300];
    if (!stem) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (strncmp(stem, "roc_", 4) == 0)
        snprintf(caption, sizeof caption, "ROC of %s; bands: 95%% of bootstrap resamples.", stem + 4);
    else if (strncmp(stem, "pr_", 3) == 0)
        snprintf(caption, sizeof caption,
                 "Precision and recall of %s; bands: 95%% of bootstrap resamples; dashed: the share of positives.",
                 stem + 3);
    else if (strncmp(stem, "reliability_", 12) == 0)
        snprintf(caption, sizeof caption,
                 "Reliability of %s: share of positives in ten bins of probability, Wilson's 95%% intervals; dashed: "
                 "perfect calibration.",
                 stem + 12);
    else if (strncmp(stem, "forest_", 7) == 0)
        snprintf(caption, sizeof caption, "Subgroups: %s; dashed: all scans.", stem + 7);
    else if (strncmp(stem, "fewshot_", 8) == 0)
        snprintf(caption, sizeof caption,
                 "Few-shot AUC of %s by examples of each class; bands: 95%% over draws; stars: all training scans.",
                 stem + 8);
    else if (strncmp(stem, "fewshotap_", 10) == 0)
        snprintf(
            caption, sizeof caption,
            "Few-shot average precision of %s by examples of each class; bands: 95%% over draws; stars: all training "
            "scans.",
            stem + 10);
    else if (!strcmp(stem, "sweep"))
        snprintf(caption, sizeof caption,
                 "Points of the sweep by their macro AUC on validation; the test split has no say.");
    else if (strncmp(stem, "models_", 7) == 0)
        snprintf(caption, sizeof caption, "AUC of each model, %s, with 95%% intervals.", stem + 7);
    else if (strcmp(stem, "reconstruction") == 0)
        snprintf(caption, sizeof caption,
                 "The validation scan with the most contrast of its batch, the patches that the encoder sees (blue: "
                 "hidden), and the decoder's answer; axial slice, first window.");
    else if (strstr(path, "/explain/"))
        snprintf(caption, sizeof caption, "%s (scan, task, method): three planes through the map's peak.", stem);
    else snprintf(caption, sizeof caption, "%s", stem);
    report_figure(r, path, caption);
    free(stem);
    return HCT_OK;
}

/* Every figure of a folder, which lies below `run`, but the curves of training and the worst errors, which have their
 * places. */
static hct_status add_figures(report *r, const char *run, const char *folder, size_t *ret_n, hct_err *err) {
    static const char *const endings[] = {".svg", ".png"};
    hct_status status = HCT_OK;
    for (int e = 0; e < 2 && status == HCT_OK && path_is_folder(folder); e++) {
        char **names = NULL;
        size_t n = 0;
        status = path_list(folder, endings[e], &names, &n, err);
        for (size_t i = 0; status == HCT_OK && i < n; i++) {
            if (!strcmp(names[i], "loss.svg") || !strcmp(names[i], "auc.svg") ||
                !strcmp(names[i], "validation_auc.svg") || !strncmp(names[i], "error_", 6))
                continue;
            char *path = path_join(folder, names[i]);
            status = path ? check_inside(run, path, err) : hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
            if (status == HCT_OK) status = add_figure(r, path, err);
            ++*ret_n;
            free(path);
        }
        for (size_t i = 0; i < n; i++) free(names[i]);
        free(names);
    }
    return status;
}

static hct_status add_figures_of(report *r, const char *run, size_t *ret_n, hct_err *err) {
    char *folder = path_join(run, "figures");
    hct_status status =
        folder ? add_figures(r, run, folder, ret_n, err) : hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
    free(folder);
    return status;
}

/* As a reader takes it: four decimals, "< 0.0001" of a p. */
static void shown(const char *column, const char *cell, char out[CELL]) {
    double v;
    if (!text_double(cell, &v) || isnan(v)) snprintf(out, CELL, "%s", cell);
    else if (column[0] == 'p' && (column[1] == '\0' || column[1] == '_') && v < 1e-4) snprintf(out, CELL, "< 0.0001");
    else if (v == floor(v) && fabs(v) < 1e15) snprintf(out, CELL, "%.0f", v);
    else snprintf(out, CELL, "%.4f", v);
}

/* A table that headct evaluate wrote. */
static hct_status add_csv(report *r, const char *path, const char *caption, hct_err *err) {
    csv *t = csv_read(path, err);
    if (!t) return err ? err->code : HCT_EFORMAT;
    cells c;
    size_t n = t->rows * t->columns;
    hct_status st = cells_make(&c, n) ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (st == HCT_OK) {
        for (size_t i = 0; i < n; i++) shown(t->names[i % t->columns], t->cells[i], c.text[i]);
        report_table(r, t->names, c.at, t->rows, t->columns, caption);
    }
    cells_free(&c);
    csv_free(t);
    return st;
}

static const struct {
    const char *file, *caption;
} sheets[] = {
    {"models.csv", "Models: AUC and average precision with 95% intervals"},
    {"comparisons.csv",
     "Pairs of models: AUCs, difference in points of AUC and relative to the second, p of the permutation test and of "
     "DeLong's, before and after Holm's correction"},
    {"p_matrix.csv", "p of the permutation test after Holm's correction, model by model"},
    {"subgroups.csv",
     "Subgroups: AUC inside, its difference to the rest of the scans, p of the permutation test of that"},
    {"operating_points.csv", "Operating points, chosen on validation, on test; low and high: Wilson's 95% intervals"},
    {"fewshot.csv", "Few-shot: AUC and average precision by examples of each class, with 95% intervals"},
    {"sweep.csv", "Sweep: the points that are done, by validation"},
    {"lesions.csv", "Lesions: the share of the top 1% of each map that lies in them, beside their share of the brain"},
    {"retrieval.csv", "Retrieval: mean average precision of each label, with 95% intervals and chance"},
    {"calibration.csv", "Calibration: Brier score, expected calibration error, logistic recalibration"},
};

/* The tables beside metrics.json. */
static hct_status add_sheets(report *r, const char *folder, size_t *ret_n, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; i < sizeof sheets / sizeof *sheets && st == HCT_OK; i++) {
        char *path = path_join(folder, sheets[i].file);
        if (!path) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", folder);
        if (path_is_file(path)) {
            st = check_inside(folder, path, err);
            if (st == HCT_OK) st = add_csv(r, path, sheets[i].caption, err);
            ++*ret_n;
        }
        free(path);
    }
    return st;
}

/* RUN/evaluate-NAME: evaluations after the run's own. */
static hct_status add_evaluations(report *r, const char *run, hct_err *err) {
    char **names = NULL;
    size_t n = 0, figures = 0, tables = 0;
    hct_status st = path_list(run, "", &names, &n, err);
    for (size_t i = 0; i < n; i++) {
        char *folder = strncmp(names[i], "evaluate-", 9) ? NULL : path_join(run, names[i]);
        char *metrics = folder ? path_join(folder, "metrics.json") : NULL;
        if (st == HCT_OK && metrics && path_is_file(metrics)) {
            report_subheading(r, names[i]);
            st = run_report_metrics(r, metrics, names[i], err);
            if (st == HCT_OK) st = add_sheets(r, folder, &tables, err);
            if (st == HCT_OK) st = add_figures_of(r, folder, &figures, err);
        }
        free(metrics);
        free(folder);
        free(names[i]);
    }
    free(names);
    return st;
}

/* Hashes of what made the run's predictions, so that a reader can tell whether two pages are of one model. */
static hct_status add_origin(report *r, const char *run, hct_err *err) {
    static const char *const keys[][2] = {{"weights_sha256", "weights, SHA-256"},
                                          {"recipe_sha256", "recipe, SHA-256"},
                                          {"preprocessing_sha256", "preparation of scans, SHA-256"},
                                          {"data_sha256", "training data, SHA-256"},
                                          {"parent_sha256", "weights it started from, SHA-256"}};
    enum { KEYS = sizeof keys / sizeof *keys };
    const char *cell[2 * KEYS];
    char *path = path_join(run, "predictions.csv.json"), *text = NULL;
    if (!path) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
    hct_status st = path_is_file(path) ? hct_read_file(path, &text, NULL, err) : HCT_OK;
    cJSON *json = text ? cJSON_Parse(text) : NULL;
    size_t rows = 0;
    for (size_t k = 0; k < KEYS; k++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, keys[k][0]);
        if (!cJSON_IsString(value) || !*value->valuestring) continue;
        cell[2 * rows] = keys[k][1];
        cell[2 * rows++ + 1] = value->valuestring;
    }
    if (st == HCT_OK && text && !json) st = hct_fail(err, HCT_EFORMAT, "%s: is no JSON", path);
    if (st == HCT_OK && rows) report_table(r, NULL, cell, rows, 2, "What made its predictions");
    cJSON_Delete(json);
    free(text);
    free(path);
    return st;
}

static hct_status add_box(report *r, const char *run, run_facts *f, hct_err *err) {
    hct_status st = f ? facts_read(run, f, err) : hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
    return st == HCT_OK ? run_box_add(r, f, err) : st;
}

/* RUN/explain, RUN/project, RUN/retrieve: what headct explain, project and retrieve wrote there. */
static hct_status add_galleries(report *r, const char *run, size_t *ret_n, hct_err *err) {
    static const char *const parts[][3] = {{"explain", "", "What the model looks at"},
                                           {"attention", "", "How far attention reaches"},
                                           {"project", "figures", "Embeddings on a plane"},
                                           {"retrieve", "figures", "Nearest scans"}};
    hct_status st = HCT_OK;
    for (int i = 0; i < 4 && st == HCT_OK; i++) {
        char *folder = path_join(run, parts[i][0]), *pictures = folder ? path_join(folder, parts[i][1]) : NULL;
        size_t tables = 0;
        if (!pictures) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
        else if (path_is_folder(folder)) {
            report_subheading(r, parts[i][2]);
            st = add_sheets(r, folder, &tables, err);
            if (st == HCT_OK) st = add_figures(r, run, pictures, ret_n, err);
        }
        free(folder);
        free(pictures);
    }
    return st;
}

/* A part that is missing is fine; anything else is not. */
static hct_status optional(hct_status status, size_t *parts) {
    *parts += status == HCT_OK;
    return status == HCT_ENOTFOUND ? HCT_OK : status;
}

hct_status run_report(report *r, const char *run, hct_err *err) {
    size_t parts = 0, figures = 0;
    if (!path_is_folder(run)) return hct_fail(err, HCT_ENOTFOUND, "%s: there is no such run folder", run);
    char *jsonl = path_join(run, "metrics.jsonl"), *metrics = path_join(run, "metrics.json");
    char *recipe = path_join(run, "recipe.yaml"), *scores = path_join(run, "predictions.csv");
    char *few = path_join(run, "fewshot.csv");
    hct_status status =
        jsonl && metrics && recipe && scores && few ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", run);
    drawing_room room = {NULL, false};
    report_heading(r, run);
    run_facts *facts = calloc(1, sizeof *facts);
    if (status == HCT_OK) status = add_box(r, run, facts, err);
    if (status == HCT_OK && (path_is_file(jsonl) || path_is_file(few) || path_is_file(scores) || facts->has_sweep))
        status = room_open(run, &room, err);
    if (status == HCT_OK && path_is_file(metrics))
        status = optional(run_report_metrics(r, metrics, "Held-out evaluation", err), &parts);
    else if (status == HCT_OK && path_is_file(scores))
        report_note(r, "Its predictions are not evaluated yet: headct evaluate --run %s", run);
    if (status == HCT_OK && path_is_file(jsonl)) status = optional(add_curves(r, run, room.folder, err), &parts);
    size_t tables = 0;
    if (status == HCT_OK && room.folder) status = fewshot_report_draw(run, room.folder, err);
    if (status == HCT_OK && room.folder) status = sweep_report_draw(run, room.folder, err);
    if (status == HCT_OK) status = add_sheets(r, run, &tables, err);
    parts += tables;
    if (status == HCT_OK) status = add_figures_of(r, run, &figures, err);
    if (status == HCT_OK && room.is_own) status = add_figures(r, room.folder, room.folder, &figures, err);
    if (status == HCT_OK) status = errors_add(r, facts, room.folder, err);
    free(facts);
    room_close(&room);
    if (status == HCT_OK) status = add_galleries(r, run, &figures, err);
    if (status == HCT_OK) status = add_evaluations(r, run, err);
    if (status == HCT_OK) status = add_origin(r, run, err);
    char *text = NULL;
    if (status == HCT_OK && path_is_file(recipe)) status = check_inside(run, recipe, err);
    if (status == HCT_OK && path_is_file(recipe) && (status = hct_read_file(recipe, &text, NULL, err)) == HCT_OK) {
        report_folded(r, "recipe.yaml", text);
        parts++;
    }
    free(text);
    free(jsonl);
    free(metrics);
    free(recipe);
    free(scores);
    free(few);
    if (status == HCT_OK && parts + figures == 0)
        return hct_fail(err, HCT_ENOTFOUND, "%s: holds no metrics.jsonl, metrics.json, figures or recipe.yaml", run);
    return status;
}
