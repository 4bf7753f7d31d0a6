/* Metrics of a table of scores with intervals, and the files that hold them. */
#include "evaluation/evaluation.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "figures/plot.h"
#include "hct/io.h"
#include "support/csv.h"
#include "support/json_out.h"
#include "support/paths.h"

enum { BAND_POINTS = 101 };

static const double LEVEL = 0.95;

hct_status evaluation_run(const score_table *t, const char *const *names, size_t resamples, uint64_t seed,
                          evaluation *ret, hct_err *err) {
    resampler r = bootstrap_resampler(resamples, seed);
    return evaluation_run_by(t, names, &r, "scan", ret, err);
}

hct_status evaluation_run_by(const score_table *t, const char *const *names, const resampler *draws, const char *unit,
                             evaluation *ret, hct_err *err) {
    size_t n = t->n_tasks;
    evaluation e = {.n = t->n,
                    .n_tasks = n,
                    .level = LEVEL,
                    .draws = *draws,
                    .unit = unit,
                    .tasks = calloc(n + 1, sizeof *e.tasks),
                    .macro = {.name = "macro"}};
    interval *each = calloc(n + 1, sizeof *each);
    hct_status status = e.tasks && each ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for an evaluation");
    if (status == HCT_OK) status = bootstrap(t, METRIC_AUC, draws, LEVEL, each, &e.macro.auc, err);
    for (size_t k = 0; status == HCT_OK && k < n; k++) e.tasks[k].auc = each[k];
    if (status == HCT_OK)
        status = bootstrap(t, METRIC_AVERAGE_PRECISION, draws, LEVEL, each, &e.macro.average_precision, err);
    for (size_t k = 0; status == HCT_OK && k < n; k++) {
        e.tasks[k].average_precision = each[k];
        e.tasks[k].name = names[k];
        for (size_t i = 0; i < t->n; i++) {
            e.tasks[k].positives += t->label[i * n + k] == 1;
            e.tasks[k].negatives += t->label[i * n + k] == 0;
        }
        e.macro.positives += e.tasks[k].positives;
        e.macro.negatives += e.tasks[k].negatives;
    }
    free(each);
    if (status < 0) {
        free(e.tasks);
        return status;
    }
    *ret = e;
    return HCT_OK;
}

void evaluation_free(evaluation *e) {
    free(e->tasks);
    *e = (evaluation){0};
}

hct_status evaluation_compare(evaluation *e, const score_table *t, const score_table *other, size_t permutations,
                              hct_err *err) {
    size_t n = e->n_tasks;
    comparison *each = calloc(n + 1, sizeof *each);
    resampler r = permutation_resampler(permutations, e->draws.seed);
    hct_status status = each ? paired_permutation(t, other, &r, each, &e->macro.versus, err)
                             : hct_fail(err, HCT_ENOMEM, "out of memory for a comparison");
    for (size_t k = 0; status == HCT_OK && k < n; k++) {
        e->tasks[k].versus = each[k];
        e->tasks[k].other_auc = e->tasks[k].auc.value - each[k].difference;
    }
    if (status == HCT_OK) {
        e->macro.other_auc = e->macro.auc.value - e->macro.versus.difference;
        e->permutations = permutations;
    }
    free(each);
    return status;
}

const char *interval_text(const interval *i, char buffer[64]) {
    if (isnan(i->value)) snprintf(buffer, 64, "undefined");
    else if (isnan(i->low)) snprintf(buffer, 64, "%.3f", i->value);
    else snprintf(buffer, 64, "%.3f (%.3f to %.3f)", i->value, i->low, i->high);
    return buffer;
}

/* Row k of a table; the macro mean comes last. */
static const task_result *row(const evaluation *e, size_t k) { return k < e->n_tasks ? &e->tasks[k] : &e->macro; }

static void print_comparison(const evaluation *e, FILE *f) {
    fprintf(f, "\n%-16s %9s %9s %12s %10s %8s\n", "paired test", "AUC", "other", "difference", "relative", "p");
    for (size_t k = 0; k <= e->n_tasks; k++) {
        const task_result *r = row(e, k);
        if (isnan(r->versus.difference)) fprintf(f, "%-16s %9s\n", r->name, "undefined");
        else
            fprintf(f, "%-16s %9.3f %9.3f %+12.3f %+9.2f%% %8.4f\n", r->name, r->auc.value, r->other_auc,
                    r->versus.difference, 100 * r->versus.difference / r->other_auc, r->versus.p);
    }
    fprintf(f, "two-sided paired permutation test, %zu permutations\n", e->permutations);
}

void evaluation_print(const evaluation *e, FILE *f) {
    char a[64], b[64];
    fprintf(f, "%-16s %9s %9s   %-25s %-25s\n", "task", "positive", "negative", "ROC AUC", "average precision");
    for (size_t k = 0; k <= e->n_tasks; k++) {
        const task_result *r = row(e, k);
        fprintf(f, "%-16s ", r->name);
        if (k < e->n_tasks) fprintf(f, "%9zu %9zu   ", r->positives, r->negatives);
        else fprintf(f, "%9s %9s   ", "", "");
        fprintf(f, "%-25s %-25s", interval_text(&r->auc, a), interval_text(&r->average_precision, b));
        if (k < e->n_tasks && r->auc.skipped && !isnan(r->auc.value))
            fprintf(f, " %zu resamples had one class", r->auc.skipped);
        fputc('\n', f);
    }
    fprintf(f, "%zu scans; %.0f%% percentile intervals of %zu bootstrap resamples of %ss, seed %llu\n", e->n,
            100 * e->level, e->draws.count, e->unit, (unsigned long long)e->draws.seed);
    if (e->permutations) print_comparison(e, f);
}

static void add_interval(json_out *j, const char *key, const interval *i) {
    json_object(j, key);
    json_number(j, "value", i->value);
    json_number(j, "mean", i->mean);
    json_number(j, "low", i->low);
    json_number(j, "high", i->high);
    json_whole(j, "skipped", (int64_t)i->skipped);
    json_end(j);
}

static void add_result(json_out *j, const evaluation *e, const task_result *r) {
    add_interval(j, "roc_auc", &r->auc);
    add_interval(j, "average_precision", &r->average_precision);
    if (!e->permutations) return;
    json_object(j, "versus");
    json_number(j, "other_roc_auc", r->other_auc);
    json_number(j, "difference", r->versus.difference);
    json_number(j, "p", r->versus.p);
    json_end(j);
}

hct_status evaluation_write_json(const evaluation *e, const char *path, hct_err *err) {
    json_out j = {.pretty = true};
    json_object(&j, NULL);
    json_array(&j, "tasks");
    for (size_t k = 0; k < e->n_tasks; k++) {
        const task_result *r = row(e, k);
        json_object(&j, NULL);
        json_text(&j, "task", r->name);
        json_whole(&j, "positives", (int64_t)r->positives);
        json_whole(&j, "negatives", (int64_t)r->negatives);
        add_result(&j, e, r);
        json_end(&j);
    }
    json_end(&j);
    json_whole(&j, "scans", (int64_t)e->n);
    json_whole(&j, "resamples", (int64_t)e->draws.count);
    json_text(&j, "resampled", e->unit);
    json_number(&j, "level", e->level);
    json_whole(&j, "seed", (int64_t)e->draws.seed);
    if (e->permutations) json_whole(&j, "permutations", (int64_t)e->permutations);
    json_object(&j, "macro");
    add_result(&j, e, row(e, e->n_tasks));
    json_end(&j);
    json_end(&j);
    return json_save(&j, path, err);
}

static void put_number(hct_outfile *f, double v) {
    if (isnan(v)) csv_put(f, 1, "undefined");
    else csv_put_double(f, 1, v);
}

hct_status evaluation_write_csv(const evaluation *e, const char *path, hct_err *err) {
    static const char *const head[] = {"task",
                                       "positives",
                                       "negatives",
                                       "roc_auc",
                                       "roc_auc_low",
                                       "roc_auc_high",
                                       "average_precision",
                                       "average_precision_low",
                                       "average_precision_high"};
    hct_outfile *f = hct_outfile_open(path, err);
    for (size_t c = 0; c < sizeof head / sizeof *head; c++) csv_put(f, c, head[c]);
    if (e->permutations) hct_outfile_printf(f, ",other_roc_auc,difference,p");
    csv_end_row(f);
    for (size_t k = 0; k <= e->n_tasks; k++) {
        const task_result *r = row(e, k);
        csv_put(f, 0, r->name);
        put_number(f, (double)r->positives);
        put_number(f, (double)r->negatives);
        for (int m = 0; m < 2; m++) {
            const interval *i = m ? &r->average_precision : &r->auc;
            put_number(f, i->value);
            put_number(f, i->low);
            put_number(f, i->high);
        }
        if (e->permutations) {
            put_number(f, r->other_auc);
            put_number(f, r->versus.difference);
            put_number(f, r->versus.p);
        }
        csv_end_row(f);
    }
    return hct_outfile_close(f, err);
}

/* One task's column as a ranking. */
static hct_status rank_column(const score_table *t, size_t k, ranking *ret, hct_err *err) {
    double *score = malloc(t->n * sizeof *score + 1);
    int8_t *label = malloc(t->n + 1);
    hct_status status = score && label ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scores", t->n);
    for (size_t i = 0; status == HCT_OK && i < t->n; i++) {
        score[i] = t->score[i * t->n_tasks + k];
        label[i] = t->label[i * t->n_tasks + k];
    }
    if (status == HCT_OK) status = ranking_make(score, label, t->n, ret, err);
    free(score);
    free(label);
    return status;
}

typedef struct roc_points {
    double x[BAND_POINTS], y[BAND_POINTS], low[BAND_POINTS], high[BAND_POINTS];
    char title[160];
} roc_points;

static hct_status roc_of(const evaluation *e, const score_table *t, size_t k, const char *name, double auc,
                         roc_points *out, hct_err *err) {
    ranking r;
    hct_status status = rank_column(t, k, &r, err);
    if (status < 0) return status;
    status = roc_band(&r, &e->draws, e->level, BAND_POINTS, out->y, out->low, out->high, err);
    for (int i = 0; i < BAND_POINTS; i++) out->x[i] = (double)i / (BAND_POINTS - 1);
    snprintf(out->title, sizeof out->title, "%s, AUC %.3f", name, auc);
    ranking_free(&r);
    return status;
}

static hct_status draw_task(const evaluation *e, size_t k, const score_table *t, const char *name,
                            const score_table *other, const char *other_name, const char *folder, hct_err *err) {
    const task_result *task = &e->tasks[k];
    roc_points *p = malloc(2 * sizeof *p);
    char file[160], title[160];
    if (!p) return hct_fail(err, HCT_ENOMEM, "out of memory for a ROC curve");
    hct_status status = roc_of(e, t, k, name, task->auc.value, &p[0], err);
    if (status == HCT_OK && other) status = roc_of(e, other, k, other_name, task->other_auc, &p[1], err);
    snprintf(file, sizeof file, "roc_%s.svg", task->name);
    for (char *c = file; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-' && *c != '_') *c = '_';
    snprintf(title, sizeof title, "%s: %zu of %zu scans", task->name, task->positives,
             task->positives + task->negatives);
    bool band = e->draws.count > 0;
    plot_series s[2] = {
        {p[0].title, p[0].x, p[0].y, band ? p[0].low : NULL, p[0].high, BAND_POINTS},
        {p[1].title, p[1].x, p[1].y, band ? p[1].low : NULL, p[1].high, BAND_POINTS},
    };
    plot figure = {.title = title,
                   .x_label = "false positive rate",
                   .y_label = "true positive rate",
                   .series = s,
                   .n = other ? 2 : 1,
                   .unit_square = true};
    char *path = path_join(folder, file);
    if (status == HCT_OK) status = path ? plot_write(&figure, path, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    free(p);
    return status;
}

hct_status evaluation_draw(const evaluation *e, const score_table *t, const char *name, const score_table *other,
                           const char *other_name, const char *folder, hct_err *err) {
    hct_status status = path_make_folders(folder, err);
    for (size_t k = 0; k < e->n_tasks && status == HCT_OK; k++)
        if (!isnan(e->tasks[k].auc.value)) status = draw_task(e, k, t, name, other, other_name, folder, err);
    return status;
}

hct_status evaluation_write(const evaluation *e, const score_table *t, const char *name, const score_table *other,
                            const char *other_name, const char *folder, hct_err *err) {
    char *json = path_join(folder, "metrics.json"), *table = path_join(folder, "metrics.csv");
    char *figures = path_join(folder, "figures");
    hct_status status =
        json && table && figures ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (status == HCT_OK) status = evaluation_write_json(e, json, err);
    if (status == HCT_OK) status = evaluation_write_csv(e, table, err);
    if (status == HCT_OK) status = evaluation_draw(e, t, name, other, other_name, figures, err);
    free(json);
    free(table);
    free(figures);
    return status;
}
