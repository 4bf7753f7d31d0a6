/* A dataset's counts. */
#include "report/data_card.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "dataset/index.h"
#include "evaluation/sheet.h"
#include "figures/bars.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

enum { SPLITS = 12, CELL = 100 };

typedef struct scan_row {
    int8_t sex; /* 0 male, 1 female, -1 not known */
    double age; /* NaN: not known */
} scan_row;

typedef struct card {
    dataset *d;
    scan_row *row;
    const char *split[SPLITS];
    size_t n_splits;
    sheet *prevalence, *people, *tags;
} card;

/* Sex and age out of the tags. */
static hct_status read_tags(card *c, dataset_index *ix, hct_err *err) {
    sqlite3_stmt *q = index_query(ix, err,
                                  "SELECT s.id, t.key, t.value FROM tags t JOIN scans s ON s.n=t.scan WHERE t.key IN "
                                  "('sex','age') ORDER BY s.id",
                                  "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(ix, q, err)) > 0) {
        hct_err ignored;
        const char *id = (const char *)sqlite3_column_text(q, 0), *key = (const char *)sqlite3_column_text(q, 1),
                   *value = (const char *)sqlite3_column_text(q, 2);
        int64_t i = id && key && value ? dataset_find(c->d, id, &ignored) : -1;
        if (i < 0) continue;
        if (!strcmp(key, "age")) text_double(value, &c->row[i].age);
        else c->row[i].sex = *value == 'M' || *value == 'm' ? 0 : *value == 'F' || *value == 'f' ? 1 : -1;
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

/* Values of the tags that tell where a scan is from, most frequent first. */
static hct_status count_tags(card *c, dataset_index *ix, hct_err *err) {
    sqlite3_stmt *q = index_query(ix, err,
                                  "SELECT key, value, count(*) FROM tags WHERE key IN ('manufacturer','site','thickness"
                                  " mm','kernel','kVp','source kind') GROUP BY key, value ORDER BY key, count(*) DESC, "
                                  "value",
                                  "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(ix, q, err)) > 0) {
        const char *key = (const char *)sqlite3_column_text(q, 0), *value = (const char *)sqlite3_column_text(q, 1);
        sheet_text(c->tags, key ? key : "");
        sheet_text(c->tags, value ? value : "");
        sheet_count(c->tags, (size_t)sqlite3_column_int64(q, 2));
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

static void find_splits(card *c) {
    for (size_t i = 0; i < c->d->n; i++) {
        const char *split = c->d->scans[i].split;
        size_t k = 0;
        if (!split) continue;
        while (k < c->n_splits && strcmp(c->split[k], split) != 0) k++;
        if (k == c->n_splits && k < SPLITS) c->split[c->n_splits++] = split;
    }
}

/* How many scans of a split (NULL: all) have this value of a label. */
static size_t count(const card *c, size_t label, const char *split, int value) {
    size_t n = 0;
    for (size_t i = 0; i < c->d->n; i++)
        n += c->d->labels[i * c->d->n_labels + label] == value &&
             (!split || (c->d->scans[i].split && !strcmp(c->d->scans[i].split, split)));
    return n;
}

static void put_prevalence(card *c, size_t label, const char *split, const char *name) {
    size_t positive = count(c, label, split, 1), negative = count(c, label, split, 0);
    sheet_text(c->prevalence, c->d->label_names[label]);
    sheet_text(c->prevalence, name);
    sheet_count(c->prevalence, positive);
    sheet_count(c->prevalence, negative);
    sheet_count(c->prevalence, count(c, label, split, -1));
    sheet_number(c->prevalence, positive + negative ? (double)positive / (double)(positive + negative) : NAN, 4);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* One row of demographics: scans whose label is `value`; label below 0: all. */
static hct_status put_people(card *c, int label, int value, const char *name, hct_err *err) {
    const char **patients = malloc((c->d->n + 1) * sizeof *patients);
    size_t n = 0, sexes[2] = {0, 0}, ages = 0, different = 0;
    double sum = 0, squares = 0;
    if (!patients) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", c->d->n);
    for (size_t i = 0; i < c->d->n; i++) {
        if (label >= 0 && c->d->labels[i * c->d->n_labels + (size_t)label] != value) continue;
        patients[n++] = c->d->scans[i].patient;
        if (c->row[i].sex >= 0) sexes[c->row[i].sex]++;
        if (isnan(c->row[i].age)) continue;
        ages++;
        sum += c->row[i].age;
        squares += c->row[i].age * c->row[i].age;
    }
    qsort(patients, n, sizeof *patients, by_text);
    for (size_t i = 0; i < n; i++) different += !i || strcmp(patients[i], patients[i - 1]) != 0;
    double known = (double)(sexes[0] + sexes[1]), mean = sum / (double)ages;
    sheet_text(c->people, name);
    sheet_count(c->people, n);
    sheet_count(c->people, different);
    sheet_number(c->people, known > 0 ? 100 * (double)sexes[0] / known : NAN, 1);
    sheet_number(c->people, known > 0 ? 100 * (double)sexes[1] / known : NAN, 1);
    sheet_number(c->people, ages ? mean : NAN, 1);
    sheet_number(c->people, ages > 1 ? sqrt(fmax(0, squares - (double)ages * mean * mean) / (double)(ages - 1)) : NAN,
                 1);
    free(patients);
    return HCT_OK;
}

static hct_status fill(card *c, hct_err *err) {
    char name[300];
    hct_status st = put_people(c, -1, 0, "all", err);
    for (size_t l = 0; l < c->d->n_labels; l++) {
        put_prevalence(c, l, NULL, "all");
        for (size_t k = 0; k < c->n_splits; k++) put_prevalence(c, l, c->split[k], c->split[k]);
        for (int value = 1; value >= 0 && st == HCT_OK; value--) {
            snprintf(name, sizeof name, "%.200s %s", c->d->label_names[l], value ? "positive" : "negative");
            st = put_people(c, (int)l, value, name, err);
        }
    }
    return st;
}

static hct_status draw(const card *c, const char *folder, report *r, hct_err *err) {
    size_t labels = c->d->n_labels, series = c->n_splits ? c->n_splits : 1;
    static const char *const all[] = {"all scans"};
    double *v = malloc(labels * series * sizeof *v + 1);
    char *path = path_join(folder, "prevalence.svg");
    hct_status st = v && path ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t s = 0; st == HCT_OK && s < series; s++)
        for (size_t l = 0; l < labels; l++) {
            const char *split = c->n_splits ? c->split[s] : NULL;
            double positive = (double)count(c, l, split, 1), negative = (double)count(c, l, split, 0);
            v[s * labels + l] = positive + negative > 0 ? positive / (positive + negative) : NAN;
        }
    const bars b = {.title = "Prevalence",
                    .y_label = "share of scans with a known label",
                    .groups = (const char *const *)c->d->label_names,
                    .series = c->n_splits ? c->split : all,
                    .n_groups = labels,
                    .n_series = series,
                    .value = v,
                    .line = NAN};
    if (st == HCT_OK && labels) st = bars_write(&b, path, err);
    if (st == HCT_OK && labels && r) report_figure(r, path, "Prevalence of each label in each split.");
    free(path);
    free(v);
    return st;
}

/* A sheet on the page, through its file. */
static hct_status show(report *r, const char *out, const char *file, const char *caption, hct_err *err) {
    char *path = path_join(out, file);
    csv *t = path ? csv_read(path, err) : NULL;
    char(*text)[CELL] = t ? calloc(t->rows * t->columns + 1, sizeof *text) : NULL;
    const char **at = t ? calloc(t->rows * t->columns + 1, sizeof *at) : NULL;
    hct_status st = t && text && at ? HCT_OK : path && !t ? err->code : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < t->rows * t->columns; i++) {
        double v;
        int whole = !text_double(t->cells[i], &v) || isnan(v) || v == floor(v);
        if (whole) snprintf(text[i], CELL, "%s", t->cells[i]);
        else snprintf(text[i], CELL, "%.3g", v);
        at[i] = text[i];
    }
    if (st == HCT_OK) report_table(r, t->names, at, t->rows, t->columns, caption);
    free(text);
    free(at);
    if (t) csv_free(t);
    free(path);
    return st;
}

/* Positives of known labels, a column a split. */
static hct_status show_prevalence(const card *c, report *r, hct_err *err) {
    size_t columns = c->n_splits + 2, rows = c->d->n_labels;
    const char *head[SPLITS + 2] = {"label", "all"};
    char(*text)[CELL] = calloc(rows * columns + 1, sizeof *text);
    const char **at = calloc(rows * columns + 1, sizeof *at);
    hct_status st = text && at ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t k = 0; k < c->n_splits; k++) head[k + 2] = c->split[k];
    for (size_t l = 0; st == HCT_OK && l < rows; l++)
        for (size_t k = 0; k < columns; k++) {
            char *cell = text[l * columns + k];
            const char *split = k > 1 ? c->split[k - 2] : NULL;
            size_t positive = count(c, l, split, 1), known = positive + count(c, l, split, 0);
            at[l * columns + k] = cell;
            if (k == 0) snprintf(cell, CELL, "%s", c->d->label_names[l]);
            else if (!known) snprintf(cell, CELL, "not known");
            else snprintf(cell, CELL, "%zu of %zu (%.1f%%)", positive, known, 100 * (double)positive / (double)known);
        }
    if (st == HCT_OK && rows)
        report_table(r, head, at, rows, columns, "Positive scans of those with a known label, by split");
    free(text);
    free(at);
    return st;
}

static hct_status write_all(const card *c, const char *out, report *r, hct_err *err) {
    char *figures = path_join(out, "figures");
    hct_status st = figures ? sheet_write(c->prevalence, out, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = sheet_write(c->people, out, err);
    if (st == HCT_OK) st = sheet_write(c->tags, out, err);
    if (st == HCT_OK && r) st = show_prevalence(c, r, err);
    if (st == HCT_OK) st = draw(c, figures, r, err);
    if (st == HCT_OK && r)
        st = show(r, out, "demographics.csv",
                  "Demographics: share of men and women, mean age and its deviation, where known", err);
    if (st == HCT_OK && r && sheet_rows(c->tags)) st = show(r, out, "tags.csv", "Where scans are from", err);
    free(figures);
    return st;
}

hct_status data_card_make(const char *dataset, const char *out, report *r, hct_err *err) {
    card c = {.d = dataset_open(dataset, err)};
    dataset_index ix = {0};
    if (!c.d) return err ? err->code : HCT_ENOTFOUND;
    c.row = calloc(c.d->n + 1, sizeof *c.row);
    c.prevalence = sheet_new("prevalence", "Labels by split", "label,split,positive,negative,unknown,prevalence");
    c.people =
        sheet_new("demographics", "Demographics", "group,scans,patients,male_percent,female_percent,age_mean,age_sd");
    c.tags = sheet_new("tags", "Where scans are from", "tag,value,scans");
    hct_status st = c.row ? index_open(&ix, dataset, 0, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; c.row && i < c.d->n; i++) c.row[i] = (scan_row){-1, NAN};
    if (st == HCT_OK) st = read_tags(&c, &ix, err);
    if (st == HCT_OK) st = count_tags(&c, &ix, err);
    find_splits(&c);
    if (st == HCT_OK) st = fill(&c, err);
    if (st == HCT_OK) st = write_all(&c, out, r, err);
    index_close(&ix);
    sheet_free(c.prevalence);
    sheet_free(c.people);
    sheet_free(c.tags);
    free(c.row);
    dataset_close(c.d);
    return st;
}
