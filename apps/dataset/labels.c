/* Labels from a CSV file into the index. */
#include "dataset/labels.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Which columns are labels. */
static hct_status choose_columns(const csv *t, const char *const *wanted, size_t n_wanted, int *columns, size_t *ret_n,
                                 hct_err *err) {
    size_t n = 0;
    for (size_t k = 0; k < n_wanted; k++) {
        int c = csv_need_column(t, wanted[k], err);
        if (c < 0) return err->code;
        if (strcmp(wanted[k], "scan") == 0 || strcmp(wanted[k], "patient") == 0)
            return hct_fail(err, HCT_EINVAL, "%s: column '%s' is not a label", t->path, wanted[k]);
        for (size_t j = 0; j < n; j++)
            if (columns[j] == c) return hct_fail(err, HCT_EINVAL, "label '%s' is asked for twice", wanted[k]);
        columns[n++] = c;
    }
    for (size_t c = 0; n_wanted == 0 && c < t->columns; c++)
        if (strcmp(t->names[c], "scan") != 0 && strcmp(t->names[c], "patient") != 0) columns[n++] = (int)c;
    for (size_t k = 0; k < n; k++)
        if (!*t->names[columns[k]])
            return hct_fail(err, HCT_EFORMAT,
                            "%s: column %d has no name: name it, or choose label columns with --label", t->path,
                            columns[k] + 1);
        else if (text_control(t->names[columns[k]]))
            return hct_fail(err, HCT_EFORMAT, "%s: the name of column %d holds a control character: rename it", t->path,
                            columns[k] + 1);
    *ret_n = n;
    return HCT_OK;
}

/* 1, 0, or -1 where it is not known; false: no label. */
static bool label_of(const char *cell, label_uncertain uncertain, int8_t *ret) {
    double number;
    bool yes;
    if (!*cell || !strcasecmp(cell, "nan") || !strcasecmp(cell, "na") || !strcasecmp(cell, "n/a")) *ret = -1;
    else if (text_double(cell, &number) && (number == 0 || number == 1)) *ret = (int8_t)number;
    else if (text_double(cell, &number) && number == -1 && uncertain != UNCERTAIN_REFUSED)
        *ret = uncertain == UNCERTAIN_ABSENT ? 0 : uncertain == UNCERTAIN_PRESENT ? 1 : -1;
    else if ((!strcasecmp(cell, "true") || !strcasecmp(cell, "false")) && text_bool(cell, &yes)) *ret = yes;
    else return false;
    return true;
}

static hct_status read_row(label_table *t, label_uncertain uncertain, size_t row, size_t scan, size_t patient,
                           const int *columns, hct_err *err) {
    const csv *c = t->csv;
    const char *id = csv_cell(c, row, scan), *who = csv_cell(c, row, patient);
    t->line[row] = c->lines[row];
    t->patients[row] = text_plain(who);
    t->ids[row] = source_id(id);
    t->rows = row + 1;
    if (!t->ids[row] || !t->patients[row]) return hct_fail(err, HCT_ENOMEM, "no memory for labels");
    if (!*id || !*t->patients[row])
        return hct_fail(err, HCT_EFORMAT, "%s line %d: column '%s' is empty: fill it in", c->path, c->lines[row],
                        *id ? "patient" : "scan");
    if (text_control(id) || text_control(who))
        return hct_fail(err, HCT_EFORMAT, "%s line %d: column '%s' holds a control character: remove it", c->path,
                        c->lines[row], text_control(who) ? "patient" : "scan");
    for (size_t k = 0; k < t->n; k++) {
        const char *cell = csv_cell(c, row, (size_t)columns[k]);
        double number;
        if (label_of(cell, uncertain, &t->values[row * t->n + k])) continue;
        if (text_double(cell, &number) && number == -1)
            return hct_fail(
                err, HCT_EFORMAT,
                "%s line %d: column '%s' holds -1, which often means uncertain: whether that is 0, 1 or empty "
                "is yours to decide (--uncertain 0|1|empty)",
                c->path, c->lines[row], t->names[k]);
        return hct_fail(
            err, HCT_EFORMAT,
            "%s line %d: column '%s' holds '%.40s', a label is 0, 1 or empty (also 1.0, True, NaN): choose label "
            "columns with --label",
            c->path, c->lines[row], t->names[k], cell);
    }
    return HCT_OK;
}

static int by_id(const void *a, const void *b, void *table) {
    const label_table *t = table;
    return strcmp(t->ids[*(const size_t *)a], t->ids[*(const size_t *)b]);
}

static hct_status sort_rows(label_table *t, hct_err *err) {
    for (size_t i = 0; i < t->rows; i++) t->order[i] = i;
    qsort_r(t->order, t->rows, sizeof *t->order, by_id, t);
    for (size_t i = 1; i < t->rows; i++) {
        size_t a = t->order[i - 1], b = t->order[i];
        if (strcmp(t->ids[a], t->ids[b]) == 0)
            return hct_fail(err, HCT_EFORMAT, "%s: scan '%s' stands in line %d and in line %d: keep one", t->csv->path,
                            t->ids[a], t->line[a], t->line[b]);
    }
    return HCT_OK;
}

hct_status labels_read(const char *path, const char *const *wanted, size_t n_wanted, label_uncertain uncertain,
                       label_table *ret, hct_err *err) {
    memset(ret, 0, sizeof *ret);
    csv *t = ret->csv = csv_read(path, err);
    if (!t) return err->code;
    int scan = csv_fixed_column(t, "scan", err), patient = scan < 0 ? -1 : csv_fixed_column(t, "patient", err);
    size_t most = t->columns + n_wanted + 1;
    int *columns = malloc(most * sizeof *columns);
    ret->names = malloc(most * sizeof *ret->names);
    ret->ids = calloc(t->rows + 1, sizeof *ret->ids);
    ret->line = calloc(t->rows + 1, sizeof *ret->line);
    ret->patients = calloc(t->rows + 1, sizeof *ret->patients);
    ret->order = calloc(t->rows + 1, sizeof *ret->order);
    ret->values = malloc(t->rows * most + 1);
    hct_status s = patient < 0 ? err->code : HCT_OK;
    if (s == HCT_OK &&
        (!columns || !ret->names || !ret->ids || !ret->line || !ret->patients || !ret->order || !ret->values))
        s = hct_fail(err, HCT_ENOMEM, "no memory for labels");
    if (s == HCT_OK) s = choose_columns(t, wanted, n_wanted, columns, &ret->n, err);
    for (size_t k = 0; s == HCT_OK && k < ret->n; k++) ret->names[k] = t->names[columns[k]];
    for (size_t row = 0; s == HCT_OK && row < t->rows; row++)
        s = read_row(ret, uncertain, row, (size_t)scan, (size_t)patient, columns, err);
    if (s == HCT_OK) s = sort_rows(ret, err);
    free(columns);
    if (s < 0) labels_free(ret);
    return s;
}

void labels_free(label_table *t) {
    for (size_t i = 0; i < t->rows; i++) {
        free(t->ids[i]);
        free(t->patients[i]);
    }
    free(t->ids);
    free(t->line);
    free(t->order);
    free(t->patients);
    free(t->values);
    free(t->names);
    csv_free(t->csv);
    memset(t, 0, sizeof *t);
}

int64_t labels_row(const label_table *t, const char *id) {
    size_t low = 0, high = t->rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int side = strcmp(t->ids[t->order[middle]], id);
        if (side == 0) return (int64_t)t->order[middle];
        if (side < 0) low = middle + 1;
        else high = middle;
    }
    return -1;
}
