/* Tables of predictions: read, written, checked. */
#include "evaluation/predictions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "dataset/labels.h"
#include "dataset/sources.h"
#include "dataset/split.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

static void free_texts(char **texts, size_t n) {
    for (size_t i = 0; texts && i < n; i++) free(texts[i]);
    free(texts);
}

void predictions_free(predictions *p) {
    free_texts(p->scan, p->n);
    free_texts(p->patient, p->n);
    free_texts(p->split, p->n);
    free_texts(p->task, p->n_tasks);
    free(p->score);
    free(p->label);
    *p = (predictions){0};
}

static char **empty_texts(size_t n) {
    char **texts = calloc(n + 1, sizeof *texts);
    for (size_t i = 0; texts && i < n; i++)
        if (!(texts[i] = calloc(1, 1))) {
            free_texts(texts, n);
            return NULL;
        }
    return texts;
}

hct_status predictions_alloc(size_t n, size_t n_tasks, predictions *ret, hct_err *err) {
    predictions p = {.n = n, .n_tasks = n_tasks};
    p.scan = empty_texts(n);
    p.patient = empty_texts(n);
    p.split = empty_texts(n);
    p.task = empty_texts(n_tasks);
    p.score = calloc(n * n_tasks + 1, sizeof *p.score);
    p.label = malloc(n * n_tasks + 1);
    *ret = p;
    if (p.scan && p.patient && p.split && p.task && p.score && p.label) {
        memset(p.label, -1, n * n_tasks);
        return HCT_OK;
    }
    predictions_free(ret);
    return hct_fail(err, HCT_ENOMEM, "out of memory for predictions of %zu scans", n);
}

hct_status predictions_text(char **slot, const char *text, hct_err *err) {
    char *copy = strdup(text);
    if (!copy) return hct_fail(err, HCT_ENOMEM, "out of memory for a name");
    free(*slot);
    *slot = copy;
    return HCT_OK;
}

const char *const predictions_names[] = {"path", "study_uid", "series_uid", "accession_number", NULL};

bool predictions_of_split(const char *part, const char *split) {
    return !split || strcmp(part, split) == 0 || split_is_of(part, split);
}

/* A task's columns; label -1 absent. */
typedef struct task_columns {
    int score, label;
} task_columns;

/* Columns of the file; patient and split -1 where absent. */
typedef struct columns {
    int scan, patient, split;
    task_columns *task;
    size_t n_tasks;
} columns;

static bool is_task(const csv *t, const char *name) {
    static const char *const added[] = {PREDICTIONS_INPUT, PREDICTIONS_REFUSED, PREDICTIONS_TIME, PREDICTIONS_VERSION,
                                        PREDICTIONS_ABOVE};
    const size_t threshold = strlen(PREDICTIONS_THRESHOLD);
    char with_label[256];
    snprintf(with_label, sizeof with_label, "y_%s", name);
    for (size_t i = 0; i < sizeof added / sizeof *added; i++)
        if (!strcmp(name, added[i])) return false;
    if (!strncmp(name, PREDICTIONS_THRESHOLD, threshold) && csv_column(t, name + threshold) >= 0) return false;
    for (const char *const *known = predictions_names; *known; known++)
        if (!strcmp(name, *known)) return false;
    if (!strcmp(name, "scan") || !strcmp(name, "patient") || !strcmp(name, "split")) return false;
    return strncmp(name, "y_", 2) != 0 || csv_column(t, with_label) >= 0;
}

/* ret->task is the caller's to free, also after a failure. */
static hct_status find_columns(const csv *t, columns *ret, hct_err *err) {
    columns c = {.scan = csv_fixed_column(t, "scan", err),
                 .patient = csv_column(t, "patient"),
                 .split = csv_column(t, "split")};
    if (c.scan < 0) return HCT_ENOTFOUND;
    c.task = calloc(t->columns + 1, sizeof *c.task);
    if (!c.task) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", t->path);
    for (size_t i = 0; i < t->columns; i++) {
        if (!is_task(t, t->names[i])) continue;
        char with_label[256];
        snprintf(with_label, sizeof with_label, "y_%s", t->names[i]);
        c.task[c.n_tasks].score = (int)i;
        c.task[c.n_tasks++].label = csv_column(t, with_label);
    }
    *ret = c;
    if (c.n_tasks) return HCT_OK;
    return hct_fail(err, HCT_EFORMAT, "%s: no column holds a task's probabilities beside scan, patient and split",
                    t->path);
}

static hct_status read_row(const csv *t, const columns *c, size_t row, predictions *p, size_t i, hct_err *err) {
    /* as labels name scans: without .nii or .nii.gz */
    char *id = source_id(csv_cell(t, row, (size_t)c->scan));
    hct_status status =
        id ? predictions_text(&p->scan[i], id, err) : hct_fail(err, HCT_ENOMEM, "out of memory for a name");
    free(id);
    if (status == HCT_OK && c->patient >= 0)
        status = predictions_text(&p->patient[i], csv_cell(t, row, (size_t)c->patient), err);
    if (status == HCT_OK && c->split >= 0)
        status = predictions_text(&p->split[i], csv_cell(t, row, (size_t)c->split), err);
    if (status == HCT_OK && !*p->scan[i])
        return hct_fail(err, HCT_EFORMAT, "%s:%d: the scan has no name", t->path, t->lines[row]);
    for (size_t k = 0; k < c->n_tasks && status == HCT_OK; k++) {
        const char *name = t->names[c->task[k].score], *cell = csv_cell(t, row, (size_t)c->task[k].score);
        double *score = &p->score[i * c->n_tasks + k], y;
        if (!text_double(cell, score) || !isfinite(*score))
            return hct_fail(err, HCT_EFORMAT, "%s:%d: column '%s': '%s' is not a finite number", t->path, t->lines[row],
                            name, cell);
        if (c->task[k].label < 0) continue;
        cell = csv_cell(t, row, (size_t)c->task[k].label);
        if (*cell && (!text_double(cell, &y) || (y != 0 && y != 1)))
            return hct_fail(err, HCT_EFORMAT, "%s:%d: column 'y_%s': '%s' is not 1, 0 or empty", t->path, t->lines[row],
                            name, cell);
        p->label[i * c->n_tasks + k] = (int8_t)(*cell ? y : -1);
    }
    return status;
}

/* A scan's row, to be found by its name. */
typedef struct place {
    const char *name;
    size_t row;
} place;

static int by_name(const void *a, const void *b) { return strcmp(((const place *)a)->name, ((const place *)b)->name); }

/* All rows in order of name; NULL without memory. */
static place *sorted_scans(const predictions *p) {
    place *order = malloc((p->n + 1) * sizeof *order);
    for (size_t i = 0; order && i < p->n; i++) order[i] = (place){p->scan[i], i};
    if (order && p->n) qsort(order, p->n, sizeof *order, by_name);
    return order;
}

hct_status predictions_refuse_twins(const char *path, const predictions *p, hct_err *err) {
    place *order = sorted_scans(p);
    if (!order) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    hct_status status = HCT_OK;
    for (size_t i = 1; i < p->n && status == HCT_OK; i++)
        if (by_name(&order[i - 1], &order[i]) == 0)
            status = hct_fail(err, HCT_EFORMAT, "%s: scan '%s' is there twice", path, order[i].name);
    free(order);
    return status;
}

hct_status predictions_read(const char *path, const char *split, predictions *ret, hct_err *err) {
    csv *t = csv_read(path, err);
    if (!t) return err ? err->code : HCT_EFORMAT;
    columns c = {0};
    predictions p = {0};
    size_t n = 0, n_refused = 0;
    const int refused = csv_column(t, PREDICTIONS_REFUSED);
    hct_status status = find_columns(t, &c, err);
    if (status == HCT_OK && split && c.split < 0)
        status = hct_fail(err, HCT_ENOTFOUND, "%s: has no column 'split' to choose '%s' by", path, split);
    bool *taken = status == HCT_OK ? calloc(t->rows + 1, sizeof *taken) : NULL;
    if (status == HCT_OK && !taken) status = hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    for (size_t i = 0; status == HCT_OK && i < t->rows; i++) {
        taken[i] = predictions_of_split(split ? csv_cell(t, i, (size_t)c.split) : "", split);
        if (taken[i] && refused >= 0 && *csv_cell(t, i, (size_t)refused)) {
            taken[i] = false;
            n_refused++;
        }
        n += taken[i];
    }
    if (status == HCT_OK && n == 0)
        status =
            hct_fail(err, HCT_ENOTFOUND, "%s: holds no scan%s%s", path, split ? " of split " : "", split ? split : "");
    if (status == HCT_OK) status = predictions_alloc(n, c.n_tasks, &p, err);
    for (size_t k = 0; k < c.n_tasks && status == HCT_OK; k++)
        status = predictions_text(&p.task[k], t->names[c.task[k].score], err);
    for (size_t i = 0, to = 0; status == HCT_OK && i < t->rows; i++)
        if (taken[i]) status = read_row(t, &c, i, &p, to++, err);
    if (status == HCT_OK) status = predictions_refuse_twins(path, &p, err);
    free(taken);
    free(c.task);
    csv_free(t);
    p.n_refused = n_refused;
    if (status == HCT_OK) *ret = p;
    else predictions_free(&p);
    return status;
}

hct_status predictions_write(const predictions *p, bool labels, const char *path, hct_err *err) {
    hct_outfile *f = hct_outfile_open(path, err);
    char name[256];
    csv_put(f, 0, "scan");
    csv_put(f, 1, "patient");
    csv_put(f, 2, "split");
    for (size_t k = 0; k < p->n_tasks; k++) csv_put(f, 3, p->task[k]);
    for (size_t k = 0; labels && k < p->n_tasks; k++) {
        snprintf(name, sizeof name, "y_%s", p->task[k]);
        csv_put(f, 3, name);
    }
    csv_end_row(f);
    for (size_t i = 0; i < p->n; i++) {
        csv_put(f, 0, p->scan[i]);
        csv_put(f, 1, p->patient[i]);
        csv_put(f, 2, p->split[i]);
        for (size_t k = 0; k < p->n_tasks; k++) csv_put_double(f, 3, p->score[i * p->n_tasks + k]);
        for (size_t k = 0; labels && k < p->n_tasks; k++) {
            int8_t y = p->label[i * p->n_tasks + k];
            csv_put(f, 3, y < 0 ? "" : y ? "1" : "0");
        }
        csv_end_row(f);
    }
    return hct_outfile_close(f, err);
}

/* Where labels come from: a table of names by scan. */
typedef struct label_source {
    dataset *data; /* or */
    label_table table;
    bool is_table;
} label_source;

static size_t source_labels(const label_source *s) { return s->is_table ? s->table.n : s->data->n_labels; }

static const char *source_name(const label_source *s, size_t k) {
    return s->is_table ? s->table.names[k] : s->data->label_names[k];
}

static const int8_t *source_row(const label_source *s, const char *scan) {
    int64_t row = s->is_table ? labels_row(&s->table, scan) : dataset_find(s->data, scan, NULL);
    if (row < 0) return NULL;
    return (s->is_table ? s->table.values : s->data->labels) + (size_t)row * source_labels(s);
}

hct_status predictions_take_labels(predictions *p, const char *path, size_t *ret_scans, size_t *ret_tasks,
                                   hct_err *err) {
    label_source s = {0};
    *ret_scans = *ret_tasks = 0;
    if (path_is_folder(path)) {
        s.data = dataset_open(path, err);
        if (!s.data) return err ? err->code : HCT_ENOTFOUND;
    } else {
        hct_status status = labels_read(path, NULL, &s.table, err);
        if (status < 0) return status;
        s.is_table = true;
    }
    int64_t *column = malloc((p->n_tasks + 1) * sizeof *column); /* of each task in the source; -1 none */
    for (size_t k = 0; column && k < p->n_tasks; k++) {
        column[k] = -1;
        for (size_t l = 0; l < source_labels(&s); l++)
            if (strcmp(source_name(&s, l), p->task[k]) == 0) column[k] = (int64_t)l;
        *ret_tasks += column[k] >= 0;
    }
    for (size_t i = 0; column && i < p->n; i++) {
        const int8_t *row = source_row(&s, p->scan[i]);
        *ret_scans += row != NULL;
        for (size_t k = 0; row && k < p->n_tasks; k++)
            if (column[k] >= 0) p->label[i * p->n_tasks + k] = row[column[k]];
    }
    hct_status status = column ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    free(column);
    if (s.is_table) labels_free(&s.table);
    else dataset_close(s.data);
    return status;
}

size_t predictions_drop_unlabelled(predictions *p) {
    size_t kept = 0, tasks = p->n_tasks;
    for (size_t k = 0; k < tasks; k++) {
        bool known = false;
        for (size_t i = 0; i < p->n; i++) known |= p->label[i * tasks + k] >= 0;
        if (!known) continue;
        char *name = p->task[kept]; /* names change places, so that all are freed once */
        p->task[kept] = p->task[k];
        p->task[k] = name;
        for (size_t i = 0; i < p->n; i++) { /* columns move left inside their rows */
            p->score[i * tasks + kept] = p->score[i * tasks + k];
            p->label[i * tasks + kept] = p->label[i * tasks + k];
        }
        kept++;
    }
    for (size_t i = 0; i < p->n; i++) { /* then the rows close up */
        memmove(p->score + i * kept, p->score + i * tasks, kept * sizeof *p->score);
        memmove(p->label + i * kept, p->label + i * tasks, kept);
    }
    for (size_t k = kept; k < tasks; k++) free(p->task[k]);
    p->n_tasks = kept;
    return tasks - kept;
}

hct_status predictions_shared(const predictions *a, const predictions *b, bool *keep, hct_err *err) {
    place *order = sorted_scans(b);
    if (!order) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", b->n);
    for (size_t i = 0; i < a->n; i++) {
        const place key = {a->scan[i], 0};
        if (!b->n || !bsearch(&key, order, b->n, sizeof *order, by_name)) keep[i] = false;
    }
    free(order);
    return HCT_OK;
}

void predictions_keep(predictions *p, const bool *keep) {
    size_t kept = 0, tasks = p->n_tasks;
    for (size_t i = 0; i < p->n; i++) {
        if (!keep[i]) {
            free(p->scan[i]);
            free(p->patient[i]);
            free(p->split[i]);
            continue;
        }
        p->scan[kept] = p->scan[i];
        p->patient[kept] = p->patient[i];
        p->split[kept] = p->split[i];
        memmove(p->score + kept * tasks, p->score + i * tasks, tasks * sizeof *p->score);
        memmove(p->label + kept++ * tasks, p->label + i * tasks, tasks);
    }
    p->n = kept;
}

hct_status predictions_align(const predictions *a, predictions *b, hct_err *err) {
    predictions out = {0};
    place *order = sorted_scans(b);
    hct_status status =
        order ? predictions_alloc(a->n, a->n_tasks, &out, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t k = 0; k < a->n_tasks && status == HCT_OK; k++) {
        size_t from = 0;
        while (from < b->n_tasks && strcmp(b->task[from], a->task[k]) != 0) from++;
        if (from == b->n_tasks)
            status = hct_fail(err, HCT_ENOTFOUND, "task '%s' is not in the predictions to compare with", a->task[k]);
        else status = predictions_text(&out.task[k], a->task[k], err);
        for (size_t i = 0; i < a->n && status == HCT_OK; i++) {
            const place key = {a->scan[i], 0},
                        *found = b->n ? bsearch(&key, order, b->n, sizeof *order, by_name) : NULL;
            if (!found)
                status =
                    hct_fail(err, HCT_ENOTFOUND, "scan '%s' is not in the predictions to compare with", a->scan[i]);
            else out.score[i * a->n_tasks + k] = b->score[found->row * b->n_tasks + from];
        }
    }
    for (size_t i = 0; i < a->n && status == HCT_OK; i++) {
        status = predictions_text(&out.scan[i], a->scan[i], err);
        if (status == HCT_OK) status = predictions_text(&out.patient[i], a->patient[i], err);
        if (status == HCT_OK) status = predictions_text(&out.split[i], a->split[i], err);
    }
    free(order);
    if (status < 0) {
        predictions_free(&out);
        return status;
    }
    memcpy(out.label, a->label, a->n * a->n_tasks);
    predictions_free(b);
    *b = out;
    return HCT_OK;
}

hct_status predictions_patients(const predictions *p, row_groups *ret, hct_err *err) {
    place *order = malloc((p->n + 1) * sizeof *order);
    uint32_t *first = calloc(p->n + 2, sizeof *first), *row = calloc(p->n + 1, sizeof *row);
    if (!order || !first || !row) {
        free(order);
        free(first);
        free(row);
        return hct_fail(err, HCT_ENOMEM, "out of memory for the patients of %zu scans", p->n);
    }
    for (size_t i = 0; i < p->n; i++) order[i] = (place){p->patient[i], i};
    qsort(order, p->n, sizeof *order, by_name);
    size_t groups = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (i == 0 || !*order[i].name || by_name(&order[i - 1], &order[i]) != 0) first[groups++] = (uint32_t)i;
        row[i] = (uint32_t)order[i].row;
    }
    first[groups] = (uint32_t)p->n;
    free(order);
    *ret = (row_groups){groups, first, row};
    return HCT_OK;
}

void row_groups_free(row_groups *g) {
    free((uint32_t *)(uintptr_t)g->first);
    free((uint32_t *)(uintptr_t)g->row);
    *g = (row_groups){0};
}
