/* Labels from a CSV file into the index. */
#include "dataset/labels.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_age(const char *name) { return !strcasecmp(name, "age"); }
static bool is_sex(const char *name) { return !strcasecmp(name, "sex") || !strcasecmp(name, "gender"); }

/* Which columns are labels; scan and patient are not. */
static hct_status choose_columns(const csv *t, const char *const *wanted, size_t n_wanted, int scan, int patient,
                                 int *columns, size_t *ret_n, hct_err *err) {
    size_t n = 0;
    for (size_t k = 0; k < n_wanted; k++) {
        int c = csv_need_column(t, wanted[k], err);
        if (c < 0) return err->code;
        if (c == scan || c == patient)
            return hct_fail(err, HCT_EINVAL, "%s: column '%s' is not a label", t->path, wanted[k]);
        for (size_t j = 0; j < n; j++)
            if (columns[j] == c) return hct_fail(err, HCT_EINVAL, "label '%s' is asked for twice", wanted[k]);
        columns[n++] = c;
    }
    for (size_t c = 0; n_wanted == 0 && c < t->columns; c++)
        if ((int)c != scan && (int)c != patient && !is_age(t->names[c]) && !is_sex(t->names[c])) columns[n++] = (int)c;
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
    else if (!strcasecmp(cell, "none") || !strcasecmp(cell, "null")) *ret = -1; /* as R and pandas write it */
    else if (!strcasecmp(cell, "t") || !strcasecmp(cell, "y")) *ret = 1;
    else if (!strcasecmp(cell, "f") || !strcasecmp(cell, "n")) *ret = 0;
    else if (strcasecmp(cell, "on") != 0 && strcasecmp(cell, "off") != 0 && text_bool(cell, &yes)) *ret = yes;
    else return false;
    return true;
}

static hct_status read_row(label_table *t, label_uncertain uncertain, size_t row, int scan, int patient,
                           const int *columns, hct_err *err) {
    const csv *c = t->csv;
    const char *id = csv_cell(c, row, (size_t)scan), *who = patient < 0 ? "-" : csv_cell(c, row, (size_t)patient);
    t->line[row] = c->lines[row];
    t->patients[row] = patient < 0 ? NULL : text_plain(who);
    t->ids[row] = source_id(id);
    t->rows = row + 1;
    if (!t->ids[row] || (patient >= 0 && !t->patients[row])) return hct_fail(err, HCT_ENOMEM, "no memory for labels");
    if (!*id || (patient >= 0 && !*t->patients[row]))
        return hct_fail(err, HCT_EFORMAT, "%s line %d: column '%s' is empty: fill it in", c->path, c->lines[row],
                        c->names[*id ? patient : scan]);
    if (text_control(id) || text_control(who))
        return hct_fail(err, HCT_EFORMAT, "%s line %d: column '%s' holds a control character: remove it", c->path,
                        c->lines[row], c->names[text_control(who) ? patient : scan]);
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
            "%s line %d: column '%s' holds '%.40s', a label is 0, 1 or empty (also 1.0, True, yes, NaN): choose label "
            "columns with --label",
            c->path, c->lines[row], t->names[k], cell);
    }
    return HCT_OK;
}

static int by_id(const void *a, const void *b) {
    const struct label_name *x = a, *y = b;
    int side = strcmp(x->id, y->id);
    return side ? side : x->row < y->row ? -1 : x->row > y->row;
}

static hct_status sort_rows(label_table *t, hct_err *err) {
    if (t->n_order) qsort(t->order, t->n_order, sizeof *t->order, by_id);
    for (size_t i = 1; i < t->n_order; i++) {
        const struct label_name *a = &t->order[i - 1], *b = &t->order[i];
        if (strcmp(a->id, b->id) == 0)
            return hct_fail(err, HCT_EFORMAT, "%s: scan '%s' stands in line %d and in line %d: keep one", t->csv->path,
                            a->id, t->line[a->row], t->line[b->row]);
    }
    return HCT_OK;
}

/* Another name than the table has for one of its rows. */
static hct_status add_name(label_table *t, const char *id, size_t row, hct_err *err) {
    if (t->n_order == t->room) {
        size_t room = t->room ? 2 * t->room : 1024;
        struct label_name *more = realloc(t->order, room * sizeof *more);
        if (!more) return hct_fail(err, HCT_ENOMEM, "no memory for labels");
        t->order = more;
        t->room = room;
    }
    t->order[t->n_order] = (struct label_name){strdup(id), row};
    return t->order[t->n_order++].id ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory for labels");
}

static void drop_names(label_table *t) {
    for (size_t i = 0; i < t->n_order; i++) free(t->order[i].id);
    t->n_order = 0;
}

hct_status labels_match(label_table *t, const scan_names *names, const dataset_key *key, label_matches *ret,
                        hct_err *err) {
    *ret = (label_matches){.n_missing = 0};
    size_t column = (size_t)csv_column(t->csv, t->id_column), length = 0;
    hct_status s = HCT_OK;
    drop_names(t);
    for (size_t row = 0; s == HCT_OK && row < t->rows; row++) {
        const char *cell = csv_cell(t->csv, row, column);
        scan_name_match m;
        hct_err why;
        s = scan_names_find(names, cell, key, &m, &why);
        if (s < 0) return hct_fail(err, s, "%s line %d: %s", t->csv->path, t->line[row], why.msg);
        ret->by_id += m.kind == SCAN_NAMED_ID;
        ret->by_path += m.kind == SCAN_NAMED_PATH;
        ret->by_series += m.kind == SCAN_NAMED_SERIES;
        for (size_t k = 0; s == HCT_OK && k < m.n; k++) s = add_name(t, scan_names_id(names, &m, k), row, err);
        if (m.n || s < 0) continue;
        if (ret->n_missing++ == 0) ret->line = t->line[row];
        if (ret->n_missing <= 10 && length < sizeof ret->missing)
            length += (size_t)snprintf(ret->missing + length, sizeof ret->missing - length, "%s'%.60s'",
                                       ret->n_missing > 1 ? ", " : "", t->ids[row]);
    }
    if (ret->n_missing > 10) {
        char more[32];
        int n = snprintf(more, sizeof more, " and %zu more", ret->n_missing - 10);
        if (length > sizeof ret->missing - 1 - (size_t)n) length = sizeof ret->missing - 1 - (size_t)n;
        memcpy(ret->missing + length, more, (size_t)n + 1);
    }
    return s == HCT_OK ? sort_rows(t, err) : s;
}

void labels_person_cells(const char *age_cell, const char *sex_cell, char age[16], char sex[4]) {
    static const char *const words[] = {"M", "male", "F", "female", "O", "other"};
    double years;
    *age = *sex = 0;
    if (text_double(age_cell, &years) && years >= 0 && years < 150) snprintf(age, 16, "%.4g", years > 90 ? 90 : years);
    for (size_t k = 0; k < 6; k++)
        if (!strcasecmp(sex_cell, words[k])) snprintf(sex, 4, "%s", words[k / 2 * 2]);
}

void labels_person(const label_table *t, size_t row, char age[16], char sex[4]) {
    labels_person_cells(t->age < 0 ? "" : csv_cell(t->csv, row, (size_t)t->age),
                        t->sex < 0 ? "" : csv_cell(t->csv, row, (size_t)t->sex), age, sex);
}

/* The column of ids or patients: named by the user, or fixed. */
static int find_column(const csv *t, const char *wanted, const char *usual, const char *option, hct_err *err) {
    if (wanted) return csv_need_column(t, wanted, err);
    int c = csv_fixed_column(t, usual, err);
    if (c < 0 && err) {
        size_t n = strlen(err->msg);
        snprintf(err->msg + n, sizeof err->msg - n, " (%s names another)", option);
    }
    return c;
}

hct_status labels_read(const char *path, const label_form *f, label_table *ret, hct_err *err) {
    static const label_form usual = {.wanted = NULL};
    if (!f) f = &usual;
    memset(ret, 0, sizeof *ret);
    ret->age = ret->sex = -1;
    csv *t = ret->csv = csv_read(path, err);
    if (!t) return err->code;
    bool has_patient = !f->patient || strcmp(f->patient, "-") != 0;
    int scan = find_column(t, f->id, "scan", "--id-column", err), patient = -1;
    if (scan >= 0 && has_patient)
        patient = find_column(t, f->patient, "patient", "--patient-column; - where the scans tell themselves", err);
    hct_status s = scan < 0 || (has_patient && patient < 0) ? err->code : HCT_OK;
    if (s == HCT_OK && scan == patient)
        s = hct_fail(err, HCT_EINVAL, "%s: column '%s' cannot tell both scans and patients", path, t->names[scan]);
    size_t most = t->columns + f->n_wanted + 1;
    int *columns = malloc(most * sizeof *columns);
    ret->names = malloc(most * sizeof *ret->names);
    ret->ids = calloc(t->rows + 1, sizeof *ret->ids);
    ret->line = calloc(t->rows + 1, sizeof *ret->line);
    ret->patients = calloc(t->rows + 1, sizeof *ret->patients);
    ret->values = malloc(t->rows * most + 1);
    if (s == HCT_OK && (!columns || !ret->names || !ret->ids || !ret->line || !ret->patients || !ret->values))
        s = hct_fail(err, HCT_ENOMEM, "no memory for labels");
    if (s == HCT_OK) s = choose_columns(t, f->wanted, f->n_wanted, scan, patient, columns, &ret->n, err);
    for (size_t k = 0; s == HCT_OK && k < ret->n; k++) ret->names[k] = t->names[columns[k]];
    for (size_t c = 0; s == HCT_OK && c < t->columns; c++) {
        if ((int)c == scan || (int)c == patient) continue;
        if (is_age(t->names[c])) ret->age = (int)c;
        if (is_sex(t->names[c])) ret->sex = (int)c;
    }
    if (s == HCT_OK) ret->id_column = t->names[scan];
    for (size_t row = 0; s == HCT_OK && row < t->rows; row++)
        s = read_row(ret, f->uncertain, row, scan, patient, columns, err);
    for (size_t row = 0; s == HCT_OK && row < t->rows; row++) s = add_name(ret, ret->ids[row], row, err);
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
    drop_names(t);
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
    size_t low = 0, high = t->n_order;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int side = strcmp(t->order[middle].id, id);
        if (side == 0) return (int64_t)t->order[middle].row;
        if (side < 0) low = middle + 1;
        else high = middle;
    }
    return -1;
}
