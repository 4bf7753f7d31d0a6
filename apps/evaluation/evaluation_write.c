/* An evaluation as text: the printed table, metrics.json, metrics.csv. */
#include <math.h>
#include <stdlib.h>

#include "evaluation/evaluation.h"
#include "hct/io.h"
#include "support/csv.h"
#include "support/json_out.h"
#include "support/paths.h"

enum {
    FEW = 15
}; /* cases of a class below which resampled intervals do not hold what they promise (docs/results.md) */

const char *interval_text(const interval *i, char buffer[64]) {
    if (isnan(i->value)) snprintf(buffer, 64, "undefined");
    else if (isnan(i->low)) snprintf(buffer, 64, "%.3f", i->value);
    else snprintf(buffer, 64, "%.3f (%.3f to %.3f)", i->value, i->low, i->high);
    return buffer;
}

const char *interval_words(interval_kind kind, double level, char buffer[32]) {
    snprintf(buffer, 32, "%.0f%% %s", 100 * level, kind == INTERVAL_BCA ? "BCa" : "percentile");
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
    fprintf(f, "%zu scans; %s intervals of %zu bootstrap resamples of %ss, seed %llu\n", e->n,
            interval_words(e->kind, e->level, a), e->draws.count, e->unit, (unsigned long long)e->draws.seed);
    for (size_t k = 0; k < e->n_tasks; k++) {
        const task_result *r = row(e, k);
        size_t fewer = r->positives < r->negatives ? r->positives : r->negatives;
        if (fewer < FEW && !isnan(r->newcombe.low))
            fprintf(
                f,
                "%s: with %zu of one class resampling gives intervals that are too narrow; Newcombe's: %.3f to %.3f\n",
                r->name, fewer, r->newcombe.low, r->newcombe.high);
    }
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
    const interval *const other[] = {&r->delong, &r->newcombe};
    static const char *const names[] = {"delong", "newcombe"};
    for (int i = 0; i < 2; i++) {
        if (isnan(other[i]->low)) continue;
        json_object(j, names[i]);
        json_number(j, "low", other[i]->low);
        json_number(j, "high", other[i]->high);
        json_end(j);
    }
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
    json_text(&j, "interval", e->kind == INTERVAL_BCA ? "bca" : "percentile");
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
                                       "average_precision_high",
                                       "delong_low",
                                       "delong_high",
                                       "newcombe_low",
                                       "newcombe_high"};
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
        put_number(f, r->delong.low);
        put_number(f, r->delong.high);
        put_number(f, r->newcombe.low);
        put_number(f, r->newcombe.high);
        if (e->permutations) {
            put_number(f, r->other_auc);
            put_number(f, r->versus.difference);
            put_number(f, r->versus.p);
        }
        csv_end_row(f);
    }
    return hct_outfile_close(f, err);
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
