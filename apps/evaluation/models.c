/* Several models' predictions: read, put into one order. */
#include "evaluation/models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hct/log.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

void models_free(model_set *s) {
    for (size_t m = 0; m < s->n; m++) {
        free(s->name[m]);
        predictions_free(&s->of[m]);
    }
    free(s->name);
    free(s->of);
    *s = (model_set){0};
}

/* Takes p over, or frees it. */
static hct_status add_model(model_set *s, const char *path, const char *name, predictions *p, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t m = 0; m < s->n; m++)
        if (!strcmp(s->name[m], name))
            st = hct_fail(err, HCT_EINVAL, "%s: there is a model '%s' already; give one of the files another name",
                          path, name);
    char **names = st == HCT_OK ? realloc(s->name, (s->n + 1) * sizeof *names) : NULL;
    if (names) s->name = names;
    predictions *of = names ? realloc(s->of, (s->n + 1) * sizeof *of) : NULL;
    if (of) s->of = of;
    char *copy = of ? strdup(name) : NULL;
    if (st == HCT_OK && !copy) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (st < 0) {
        predictions_free(p);
        return st;
    }
    s->name[s->n] = copy;
    s->of[s->n++] = *p;
    *p = (predictions){0};
    return HCT_OK;
}

/* "probe" of runs/probe/predictions.csv, "ours" of ours.csv. */
static char *model_name(const char *path) {
    char *stem = path_stem(path);
    if (!stem || strcmp(stem, "predictions") != 0) return stem;
    char *folder = path_folder(path), *name = folder ? strdup(path_base(folder)) : NULL;
    free(folder);
    if (name && strcmp(name, ".") != 0) {
        free(stem);
        return name;
    }
    free(name);
    return stem;
}

static hct_status score_of(const csv *t, size_t row, int column, double *ret, hct_err *err) {
    const char *cell = csv_cell(t, row, (size_t)column);
    if (text_double(cell, ret) && isfinite(*ret)) return HCT_OK;
    return hct_fail(err, HCT_EFORMAT, "%s:%d: column '%s': '%s' is not a finite number", t->path, t->lines[row],
                    t->names[column], cell);
}

static hct_status label_of(const csv *t, size_t row, int column, int8_t *ret, hct_err *err) {
    const char *cell = csv_cell(t, row, (size_t)column);
    double y = -1;
    if (*cell && (!text_double(cell, &y) || (y != 0 && y != 1)))
        return hct_fail(err, HCT_EFORMAT, "%s:%d: column '%s': '%s' is not 1, 0 or empty", t->path, t->lines[row],
                        t->names[column], cell);
    *ret = (int8_t)y;
    return HCT_OK;
}

/* Columns beside scores that any table may have; -1 where absent. */
typedef struct common {
    int scan, patient, split;
} common;

static hct_status take_texts(const csv *t, size_t row, const common *c, predictions *p, size_t i, hct_err *err) {
    hct_status st = predictions_text(&p->scan[i], csv_cell(t, row, (size_t)c->scan), err);
    if (st == HCT_OK && !*p->scan[i])
        st = hct_fail(err, HCT_EFORMAT, "%s:%d: the scan has no name", t->path, t->lines[row]);
    if (st == HCT_OK && c->patient >= 0)
        st = predictions_text(&p->patient[i], csv_cell(t, row, (size_t)c->patient), err);
    if (st == HCT_OK && c->split >= 0) st = predictions_text(&p->split[i], csv_cell(t, row, (size_t)c->split), err);
    return st;
}

static bool wanted(const csv *t, size_t row, const common *c, const char *split) {
    return predictions_of_split(split ? csv_cell(t, row, (size_t)c->split) : "", split);
}

static hct_status check_split(const csv *t, const common *c, const char *split, hct_err *err) {
    if (!split || c->split >= 0) return HCT_OK;
    return hct_fail(err, HCT_ENOTFOUND, "%s: has no column 'split' to choose '%s' by", t->path, split);
}

static hct_status add_column(model_set *s, const csv *t, const common *c, int label, int column, const char *split,
                             hct_err *err) {
    predictions p = {0};
    size_t n = 0, i = 0;
    for (size_t r = 0; r < t->rows; r++) n += wanted(t, r, c, split);
    if (n == 0)
        return hct_fail(err, HCT_ENOTFOUND, "%s: holds no scan%s%s", t->path, split ? " of split " : "",
                        split ? split : "");
    hct_status st = predictions_alloc(n, 1, &p, err);
    if (st == HCT_OK) st = predictions_text(&p.task[0], t->names[label], err);
    for (size_t r = 0; st == HCT_OK && r < t->rows; r++) {
        if (!wanted(t, r, c, split)) continue;
        st = take_texts(t, r, c, &p, i, err);
        if (st == HCT_OK) st = score_of(t, r, column, &p.score[i], err);
        if (st == HCT_OK) st = label_of(t, r, label, &p.label[i], err);
        i++;
    }
    if (st == HCT_OK) st = predictions_refuse_twins(t->path, &p, err);
    if (st == HCT_OK) return add_model(s, t->path, t->names[column], &p, err);
    predictions_free(&p);
    return st;
}

static hct_status add_wide(model_set *s, const csv *t, const models_format *f, const char *split, hct_err *err) {
    common c = {csv_need_column(t, f->scan ? f->scan : "scan", err), csv_column(t, "patient"), csv_column(t, "split")};
    int label = c.scan < 0 ? -1 : csv_need_column(t, f->label ? f->label : "label", err);
    if (label < 0) return HCT_ENOTFOUND;
    size_t before = s->n;
    hct_status st = check_split(t, &c, split, err);
    for (size_t k = 0; st == HCT_OK && k < t->columns; k++)
        if ((int)k != c.scan && (int)k != c.patient && (int)k != c.split && (int)k != label)
            st = add_column(s, t, &c, label, (int)k, split, err);
    if (st == HCT_OK && s->n == before)
        st = hct_fail(err, HCT_EFORMAT, "%s: has no column of a model beside '%s' and '%s'", t->path, t->names[c.scan],
                      t->names[label]);
    return st;
}

/* Distinct texts of a column, in order of appearance: their numbers by row. */
static size_t number_texts(const csv *t, int column, const bool *take, uint32_t *of_row, const char **names) {
    size_t n = 0;
    for (size_t r = 0; r < t->rows; r++) {
        if (!take[r]) continue;
        const char *text = csv_cell(t, r, (size_t)column);
        size_t k = 0;
        while (k < n && strcmp(names[k], text) != 0) k++;
        if (k == n) names[n++] = text;
        of_row[r] = (uint32_t)k;
    }
    return n;
}

typedef struct named_row {
    const char *name;
    size_t row, scan; /* scan: its number, in the order of first rows */
} named_row;

static int by_name(const void *a, const void *b) {
    const named_row *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : (x->row > y->row) - (x->row < y->row);
}

static int by_row(const void *a, const void *b) {
    const named_row *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

/* Numbers the scans of rows in order of their first rows; returns how many there are. */
static size_t number_scans(named_row *rows, size_t n) {
    size_t scans = 0;
    qsort(rows, n, sizeof *rows, by_name);
    for (size_t i = 0, first = 0; i < n; i++) { /* each row points at the first row of its scan, for now */
        if (i == 0 || strcmp(rows[i].name, rows[i - 1].name) != 0) first = rows[i].row;
        rows[i].scan = first;
    }
    qsort(rows, n, sizeof *rows, by_row);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].scan == rows[i].row) {
            rows[i].scan = scans++;
            continue;
        }
        const named_row key = {NULL, rows[i].scan, 0}, *first = bsearch(&key, rows, i, sizeof *rows, by_row);
        rows[i].scan = first->scan;
    }
    return scans;
}

/* The rows of one model of a long table, grouped by scan; a cell filled twice is refused. */
static hct_status add_long_model(model_set *s, const csv *t, const common *c, int prob, int label, named_row *rows,
                                 size_t n, const uint32_t *task, const char **tasks, size_t n_tasks, const char *model,
                                 hct_err *err) {
    predictions p = {0};
    size_t scans = number_scans(rows, n);
    hct_status st = predictions_alloc(scans, n_tasks, &p, err);
    for (size_t k = 0; st == HCT_OK && k < n_tasks; k++) st = predictions_text(&p.task[k], tasks[k], err);
    for (size_t i = 0; st == HCT_OK && i < scans * n_tasks; i++) p.score[i] = NAN;
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        size_t r = rows[i].row, at = rows[i].scan, cell;
        st = take_texts(t, r, c, &p, at, err);
        cell = at * n_tasks + task[r];
        if (st == HCT_OK && !isnan(p.score[cell]))
            st = hct_fail(err, HCT_EFORMAT, "%s:%d: model '%s', task '%s': scan '%s' is there twice", t->path,
                          t->lines[r], model, tasks[task[r]], rows[i].name);
        if (st == HCT_OK) st = score_of(t, r, prob, &p.score[cell], err);
        if (st == HCT_OK && label >= 0) st = label_of(t, r, label, &p.label[cell], err);
    }
    for (size_t i = 0; st == HCT_OK && i < scans * n_tasks; i++)
        if (isnan(p.score[i]))
            st = hct_fail(err, HCT_EFORMAT, "%s: model '%s' has no row of scan '%s' for task '%s'", t->path, model,
                          p.scan[i / n_tasks], tasks[i % n_tasks]);
    if (st == HCT_OK) return add_model(s, t->path, model, &p, err);
    predictions_free(&p);
    return st;
}

static hct_status add_long(model_set *s, const csv *t, const char *split, hct_err *err) {
    common c = {csv_fixed_column(t, "scan", err), csv_column(t, "patient"), csv_column(t, "split")};
    int model = csv_column(t, "model"), task = csv_column(t, "task"), prob = csv_column(t, "prob"),
        label = csv_column(t, "label");
    if (c.scan < 0) return HCT_ENOTFOUND;
    hct_status st = check_split(t, &c, split, err);
    bool *take = calloc(t->rows + 1, sizeof *take);
    uint32_t *of_model = calloc(2 * t->rows + 1, sizeof *of_model), *of_task = of_model ? of_model + t->rows : NULL;
    const char **names = calloc(2 * t->rows + 1, sizeof *names), **tasks = names ? names + t->rows : NULL;
    named_row *rows = calloc(t->rows + 1, sizeof *rows);
    if (st == HCT_OK && (!take || !of_model || !names || !rows))
        st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", t->path);
    if (st == HCT_OK) {
        for (size_t r = 0; r < t->rows; r++) take[r] = wanted(t, r, &c, split);
        size_t n_models = number_texts(t, model, take, of_model, names),
               n_tasks = number_texts(t, task, take, of_task, tasks);
        if (n_models == 0)
            st = hct_fail(err, HCT_ENOTFOUND, "%s: holds no scan%s%s", t->path, split ? " of split " : "",
                          split ? split : "");
        for (size_t m = 0; st == HCT_OK && m < n_models; m++) {
            size_t n = 0;
            for (size_t r = 0; r < t->rows; r++)
                if (take[r] && of_model[r] == m) rows[n++] = (named_row){csv_cell(t, r, (size_t)c.scan), r, 0};
            st = add_long_model(s, t, &c, prob, label, rows, n, of_task, tasks, n_tasks, names[m], err);
        }
    }
    free(take);
    free(of_model);
    free(names);
    free(rows);
    return st;
}

hct_status models_add(model_set *s, const char *path, const models_format *format, const char *split, hct_err *err) {
    csv *t = csv_read(path, err);
    if (!t) return err ? err->code : HCT_EFORMAT;
    hct_status st;
    if (format->in_columns) st = add_wide(s, t, format, split, err);
    else if (csv_column(t, "model") >= 0 && csv_column(t, "task") >= 0 && csv_column(t, "prob") >= 0)
        st = add_long(s, t, split, err);
    else {
        predictions p = {0};
        char *name = model_name(path);
        st = name ? predictions_read(path, split, &p, err) : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
        if (st == HCT_OK && p.n_refused)
            hct_log(HCT_LOG_WARNING, "%s: %zu scans were left out when it was made, and are not evaluated", path,
                    p.n_refused);
        if (st == HCT_OK) st = add_model(s, path, name, &p, err);
        free(name);
    }
    csv_free(t);
    return st;
}

hct_status models_align(model_set *s, size_t *ret_before, hct_err *err) {
    predictions *a = &s->of[0];
    *ret_before = a->n;
    bool *keep = malloc(a->n + 1);
    if (!keep) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", a->n);
    memset(keep, 1, a->n);
    hct_status st = HCT_OK;
    for (size_t m = 1; m < s->n && st == HCT_OK; m++) st = predictions_shared(a, &s->of[m], keep, err);
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++) n += keep[i];
    if (st == HCT_OK && n == 0)
        st = hct_fail(err, HCT_ENOTFOUND, "no scan of '%s' is in the predictions of all the other models", s->name[0]);
    if (st == HCT_OK) predictions_keep(a, keep);
    free(keep);
    for (size_t m = 1; m < s->n && st == HCT_OK; m++) {
        hct_err here = {0};
        if ((st = predictions_align(a, &s->of[m], &here)) < 0)
            hct_fail(err, st, "model '%s': %s", s->name[m], here.msg);
    }
    return st;
}

void predictions_from_logits(predictions *p) {
    for (size_t i = 0; i < p->n * p->n_tasks; i++) p->score[i] = 1 / (1 + exp(-p->score[i]));
}

hct_status predictions_check_probabilities(const predictions *p, const char *path, hct_err *err) {
    for (size_t i = 0; i < p->n * p->n_tasks; i++)
        if (!(p->score[i] >= 0 && p->score[i] <= 1))
            return hct_fail(
                err, HCT_EINVAL,
                "%s: scan '%s', task '%s' has %g, which is no probability from 0 to 1; say --logits where the "
                "scores are logits, --scores where they are only to be ranked",
                path, p->scan[i / p->n_tasks], p->task[i % p->n_tasks], p->score[i]);
    return HCT_OK;
}
