/* Labels by a layout: rows and masks of each scan, and what expressions make of them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dataset/index.h"
#include "dataset/labels.h"
#include "imaging/nifti.h"
#include "labelling/layout.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

enum { GROUPS = 10, NAME = 256, MASK_VALUES = 256 };

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory for the labels"); }

/* A row by its name. */
typedef struct named_row {
    char name[NAME];
    size_t row;
} named_row;

typedef struct labelling {
    const layout *l;
    csv *table;
    named_row *rows; /* in order of name */
    bool *used;
    const char *const *inputs;
    size_t n_inputs;
    dataset_index ix;
    /* of the scan at hand */
    size_t first, n; /* rows */
    char *mask;      /* its path; NULL: none */
    bool read, there, values[MASK_VALUES];
} labelling;

static int by_name(const void *a, const void *b) {
    const named_row *x = a, *y = b;
    int side = strcmp(x->name, y->name);
    return side ? side : x->row < y->row ? -1 : x->row > y->row;
}

/* A name as names are compared: where they are numbers, without zeros before them. */
static void plain_name(const layout *l, const char *text, size_t n, char ret[NAME]) {
    while (l->number && n > 1 && *text == '0') text++, n--;
    snprintf(ret, NAME, "%.*s", (int)n, text);
}

static hct_status read_table(labelling *w, const char *path, hct_err *err) {
    const layout *l = w->l;
    csv *t = w->table = csv_read(path, err);
    int column = t ? csv_need_column(t, l->name_column, err) : -1;
    if (column < 0) return err->code;
    w->rows = malloc((t->rows + 1) * sizeof *w->rows);
    w->used = calloc(t->rows + 1, sizeof *w->used);
    if (!w->rows || !w->used) return no_memory(err);
    for (size_t i = 0; i < t->rows; i++) {
        const char *cell = csv_cell(t, i, (size_t)column);
        regmatch_t m[2] = {{0, (regoff_t)strlen(cell)}, {0, (regoff_t)strlen(cell)}};
        if (l->has_match && regexec(&l->match, cell, 2, m, 0) != 0)
            return hct_fail(err, HCT_EFORMAT, "%s line %d: '%.60s' is no name as the layout's match has it", path,
                            t->lines[i], cell);
        w->rows[i].row = i;
        plain_name(l, cell + m[1].rm_so, (size_t)(m[1].rm_eo - m[1].rm_so), w->rows[i].name);
    }
    qsort(w->rows, t->rows, sizeof *w->rows, by_name);
    return HCT_OK;
}

static void find_rows(labelling *w, const char *name) {
    w->first = w->n = 0;
    if (!w->table) return;
    size_t low = 0, high = w->table->rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(w->rows[middle].name, name) < 0) low = middle + 1;
        else high = middle;
    }
    for (w->first = low; low < w->table->rows && !strcmp(w->rows[low].name, name); low++) {
        w->used[low] = true;
        w->n++;
    }
}

/* \0 to \9 of a text by what groups matched. */
static char *fill_in(const char *text, const char *path, const regmatch_t *m, hct_err *err) {
    text_buffer t = {0};
    for (; *text; text++) {
        int k = text[0] == '\\' && text[1] >= '0' && text[1] <= '9' ? text[1] - '0' : -1;
        if (k < 0) text_add(&t, text, 1);
        else if (m[k].rm_so >= 0) text_add(&t, path + m[k].rm_so, (size_t)(m[k].rm_eo - m[k].rm_so));
        text += k >= 0;
    }
    return text_take(&t, "a layout", err);
}

/* ---- values ---- */

/* Which values a mask has; a file that is not there tells nothing. */
static hct_status read_mask(labelling *w, hct_err *err) {
    char *path = NULL;
    volume v = {0};
    w->read = true;
    w->there = false;
    memset(w->values, 0, sizeof w->values);
    for (size_t i = 0; i < w->n_inputs && !w->there; i++) {
        free(path);
        if (!(path = path_join(w->inputs[i], w->mask))) return no_memory(err);
        w->there = path_is_file(path);
    }
    hct_status s = w->there ? nifti_read(path, &v, err) : HCT_OK;
    for (int64_t i = 0; s == HCT_OK && w->there && i < volume_count(&v); i++) {
        double value = v.dtype == HCT_I16 ? v.i16[i] : (double)v.f32[i];
        if (value < 0 || value >= MASK_VALUES || value != floor(value))
            s = hct_fail(err, HCT_EFORMAT, "%s: is no mask: a voxel is %g", path, value);
        else w->values[(int)value] = true;
    }
    volume_free(&v);
    free(path);
    return s;
}

static int mask_value(labelling *w, const char *compare, const char *word, hct_err *err) {
    int64_t wanted = 0;
    bool found = false;
    if (compare && (strcmp(compare, "==") != 0 || !text_int64(word, &wanted) || wanted < 0 || wanted >= MASK_VALUES)) {
        hct_fail(err, HCT_EFORMAT, "%s: mask %s %s: mask == N is known, N from 0 to 255", w->l->path, compare, word);
        return -2;
    }
    if (!w->mask) return -1;
    if (!w->read && read_mask(w, err) < 0) return -2;
    if (!w->there) return -1;
    for (int k = 1; !compare && k < MASK_VALUES; k++) found |= w->values[k];
    return compare ? w->values[wanted] : found;
}

static int cell_value(const csv *t, size_t row, int column, const char *compare, const char *word, hct_err *err) {
    const char *cell = csv_cell(t, row, (size_t)column);
    double number, other;
    bool yes;
    if (!*cell || !strcasecmp(cell, "na") || !strcasecmp(cell, "nan") || !strcasecmp(cell, "n/a")) return -1;
    if (!compare) {
        if (text_double(cell, &number) && (number == 0 || number == 1)) return (int)number;
        if (text_bool(cell, &yes)) return yes;
        hct_fail(err, HCT_EFORMAT,
                 "%s line %d: column '%s' holds '%.40s', which is no label: compare it, such as %s == %s", t->path,
                 t->lines[row], t->names[column], cell, t->names[column], cell);
        return -2;
    }
    bool numbers = text_double(cell, &number) && text_double(word, &other);
    double side = numbers ? number - other : strcasecmp(cell, word);
    if (!strcmp(compare, "==")) return side == 0;
    if (!strcmp(compare, "!=")) return side != 0;
    if (!numbers) {
        hct_fail(err, HCT_EFORMAT, "%s line %d: column '%s' holds '%.40s', which is no number to compare with %s",
                 t->path, t->lines[row], t->names[column], cell, word);
        return -2;
    }
    return !strcmp(compare, ">=")   ? side >= 0
           : !strcmp(compare, "<=") ? side <= 0
           : *compare == '>'        ? side > 0
                                    : side < 0;
}

/* Of several rows: positive where one is, negative where all are known and none is. */
static int value_of(void *context, const char *name, const char *compare, const char *word, hct_err *err) {
    labelling *w = context;
    int column = w->table ? csv_column(w->table, name) : -1, all = 0;
    if (column < 0 && !strcmp(name, "mask")) return mask_value(w, compare, word, err);
    if (!w->table) {
        hct_fail(err, HCT_EINVAL, "%s: column '%s' is of a table, and none was given (--labels)", w->l->path, name);
        return -2;
    }
    if (column < 0) return csv_need_column(w->table, name, err), -2;
    for (size_t i = w->first; i < w->first + w->n; i++) {
        int v = cell_value(w->table, w->rows[i].row, column, compare, word, err);
        if (v == -2 || v == 1) return v;
        if (v < 0) all = -1;
    }
    return w->n ? all : -1;
}

/* ---- scans ---- */

static hct_status put_tags(labelling *w, int64_t scan, hct_err *err) {
    const char *const columns[2] = {w->l->age, w->l->sex}, *const keys[2] = {"age", "sex"};
    const char *cells[2] = {"", ""};
    char age[16], sex[4];
    const char *const values[2] = {age, sex};
    for (int k = 0; k < 2 && w->table && w->n; k++) {
        int c = columns[k] ? csv_need_column(w->table, columns[k], err) : -1;
        if (columns[k] && c < 0) return err->code;
        if (c >= 0) cells[k] = csv_cell(w->table, w->rows[w->first].row, (size_t)c);
    }
    labels_person_cells(cells[0], cells[1], age, sex);
    hct_status s = HCT_OK;
    for (int k = 0; k < 2 && s == HCT_OK; k++)
        if (*values[k])
            s = index_run(&w->ix, err, "INSERT OR REPLACE INTO tags VALUES(?, ?, ?)", "iss", scan, keys[k], values[k]);
    return s;
}

static hct_status label_scan(labelling *w, int64_t scan, const char *path, const int64_t *ids, layout_result *ret,
                             hct_err *err) {
    const layout *l = w->l;
    regmatch_t m[GROUPS];
    char name[NAME];
    if (regexec(&l->scans, path, GROUPS, m, 0) != 0) return HCT_OK;
    plain_name(l, path + m[1].rm_so, (size_t)(m[1].rm_eo - m[1].rm_so), name);
    find_rows(w, name);
    free(w->mask);
    w->mask = l->mask ? fill_in(l->mask, path, m, err) : NULL;
    w->read = false;
    char *patient = l->patient ? fill_in(l->patient, path, m, err) : NULL;
    hct_status s = (l->mask && !w->mask) || (l->patient && !patient) ? HCT_ENOMEM : HCT_OK;
    if (s == HCT_OK && patient)
        s = index_run(&w->ix, err, "INSERT OR IGNORE INTO patients(name) VALUES(?)", "s", patient);
    if (s == HCT_OK && patient)
        s = index_run(&w->ix, err, "UPDATE scans SET patient=(SELECT id FROM patients WHERE name=?) WHERE n=?", "si",
                      patient, scan);
    if (s == HCT_OK) s = put_tags(w, scan, err);
    bool any = false;
    for (int k = 0; k < l->n && s == HCT_OK; k++) {
        int v = layout_evaluate(l->expressions[k], value_of, w, err);
        if (v == -2) s = err->code;
        if (v < 0) continue;
        any = true;
        ret->known[k]++;
        ret->positive[k] += v;
        s = index_run(&w->ix, err, "INSERT INTO labels VALUES(?, ?, ?)", "iii", scan, ids[k], (int64_t)v);
    }
    ret->scans++;
    if (any) ret->labelled++;
    else ret->without++;
    free(patient);
    return s;
}

/* A scan's first file speaks for it. */
static hct_status label_all(labelling *w, layout_result *ret, hct_err *err) {
    int64_t ids[LAYOUT_LABELS], last = -1;
    const char *names[LAYOUT_LABELS];
    for (int k = 0; k < w->l->n; k++) names[k] = w->l->names[k];
    hct_status s = index_renew_labels(&w->ix, names, (size_t)w->l->n, ids, err);
    sqlite3_stmt *q = s == HCT_OK ? index_query(&w->ix, err,
                                                "SELECT s.n, f.path FROM scans s JOIN items i ON i.id=s.id JOIN files f"
                                                " ON f.item=i.n ORDER BY s.n, f.path",
                                                "")
                                  : NULL;
    int step = q ? 1 : s < 0 ? s : HCT_EIO;
    while (step > 0 && (step = index_step(&w->ix, q, err)) > 0) {
        int64_t scan = sqlite3_column_int64(q, 0);
        const char *path = (const char *)sqlite3_column_text(q, 1);
        if (scan == last || !path) continue;
        last = scan;
        s = label_scan(w, scan, path[0] == '/' ? path + 1 : path, ids, ret, err);
        if (s < 0) step = s;
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

hct_status layout_label(const char *dataset, const layout *l, const char *table, const char *const *inputs,
                        size_t n_inputs, layout_result *ret, hct_err *err) {
    labelling w = {.l = l, .inputs = inputs, .n_inputs = n_inputs};
    *ret = (layout_result){0};
    hct_status s = HCT_OK;
    if (table && !l->has_table)
        s = hct_fail(err, HCT_EINVAL, "%s: says nothing of a table, and --labels names one", l->path);
    if (s == HCT_OK && table) s = read_table(&w, table, err);
    if (s == HCT_OK) s = index_open(&w.ix, dataset, 0, err);
    if (s == HCT_OK) {
        s = index_exec(&w.ix, "BEGIN IMMEDIATE", err);
        if (s == HCT_OK) s = label_all(&w, ret, err);
        if (s == HCT_OK) s = index_exec(&w.ix, "COMMIT", err);
        if (s < 0) index_exec(&w.ix, "ROLLBACK", NULL);
        index_close(&w.ix);
    }
    ret->rows = w.table ? (int64_t)w.table->rows : 0;
    for (int64_t i = 0; w.used && i < ret->rows; i++) ret->unused += !w.used[i];
    csv_free(w.table);
    free(w.rows);
    free(w.used);
    free(w.mask);
    return s;
}
