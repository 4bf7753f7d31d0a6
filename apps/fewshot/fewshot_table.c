/* The rows of a few-shot evaluation, and their summary. */
#include "fewshot/fewshot_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/paths.h"
#include "support/row_file.h"

#define HEADER "task,method,k,draw,positives,negatives,auc,auc_low,auc_high,ap,ap_low,ap_high\n"

struct fewshot_table {
    const char *folder;
    const char *const *task, *const *method;
    size_t n_tasks, n_methods;
    row_file *file;
    fewshot_row *row;
    size_t n, room;
};

const char *fewshot_k_text(int64_t k, char buffer[24]) {
    if (!k) return "all";
    snprintf(buffer, 24, "%lld", (long long)k);
    return buffer;
}

static size_t number_of(const char *name, const char *const *names, size_t n) {
    size_t i = 0;
    while (i < n && strcmp(names[i], name) != 0) i++;
    return i;
}

static hct_status keep(fewshot_table *t, const fewshot_row *r, hct_err *err) {
    if (t->n == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        fewshot_row *more = realloc(t->row, room * sizeof *more);
        if (!more) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu rows", room);
        t->row = more;
        t->room = room;
    }
    t->row[t->n++] = *r;
    return HCT_OK;
}

static double real_of(const csv *c, size_t i, size_t column) {
    double v = NAN; /* of an empty cell too */
    text_double(csv_cell(c, i, column), &v);
    return v;
}

static hct_status read_rows(fewshot_table *t, const csv *c, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < c->rows; i++) {
        fewshot_row r = {.task = number_of(csv_cell(c, i, 0), t->task, t->n_tasks),
                         .method = (int)number_of(csv_cell(c, i, 1), t->method, t->n_methods)};
        int64_t positives = -1, negatives = -1;
        int good = strcmp(csv_cell(c, i, 2), "all") == 0 || (text_int64(csv_cell(c, i, 2), &r.k) && r.k > 0);
        good = good && text_int64(csv_cell(c, i, 3), &r.draw) && text_int64(csv_cell(c, i, 4), &positives) &&
               text_int64(csv_cell(c, i, 5), &negatives);
        r.positives = (size_t)positives;
        r.negatives = (size_t)negatives;
        r.auc = (interval){.mean = real_of(c, i, 6), .low = real_of(c, i, 7), .high = real_of(c, i, 8)};
        r.ap = (interval){.mean = real_of(c, i, 9), .low = real_of(c, i, 10), .high = real_of(c, i, 11)};
        if (!good || isnan(r.auc.mean) || isnan(r.ap.mean) || (size_t)r.method == t->n_methods)
            return hct_fail(err, HCT_EFORMAT, "%s: line %d is no row of headct fewshot; name another folder", c->path,
                            c->lines[i]);
        if (r.task < t->n_tasks) st = keep(t, &r, err);
    }
    return st;
}

hct_status fewshot_table_open(const char *folder, const char *origin, const char *const *tasks, size_t n_tasks,
                              const char *const *methods, size_t n_methods, fewshot_table **ret, hct_err *err) {
    fewshot_table *t = calloc(1, sizeof *t);
    char *path = path_join(folder, "fewshot_draws.csv");
    csv *old = NULL;
    hct_status st = t && path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) {
        *t = (fewshot_table){
            .folder = folder, .task = tasks, .method = methods, .n_tasks = n_tasks, .n_methods = n_methods};
        if (!(t->file = row_file_open(path, HEADER, origin, &old, err))) st = err ? err->code : HCT_EIO;
    }
    if (st == HCT_OK) st = read_rows(t, old, err);
    csv_free(old);
    free(path);
    if (st == HCT_OK) *ret = t;
    else fewshot_table_free(t);
    return st;
}

void fewshot_table_free(fewshot_table *t) {
    if (!t) return;
    row_file_close(t->file);
    free(t->row);
    free(t);
}

int fewshot_table_has(const fewshot_table *t, size_t task, int method, int64_t k, int64_t draw) {
    for (size_t i = 0; i < t->n; i++)
        if (t->row[i].task == task && t->row[i].method == method && t->row[i].k == k && t->row[i].draw == draw)
            return 1;
    return 0;
}

hct_status fewshot_table_add(fewshot_table *t, const fewshot_row *r, hct_err *err) {
    const double v[] = {r->auc.mean, r->auc.low, r->auc.high, r->ap.mean, r->ap.low, r->ap.high};
    text_buffer line = {0};
    char number[32], k[24];
    csv_add(&line, 0, t->task[r->task]);
    csv_add(&line, 1, t->method[r->method]);
    csv_add(&line, 2, fewshot_k_text(r->k, k));
    text_printf(&line, ",%lld,%zu,%zu", (long long)r->draw, r->positives, r->negatives);
    for (size_t i = 0; i < 6; i++) csv_add(&line, 6 + i, isnan(v[i]) ? "" : text_of_double(v[i], number));
    text_add(&line, "\n", 1);
    hct_status st = row_file_add(t->file, &line, err);
    text_free(&line);
    return st == HCT_OK ? keep(t, r, err) : st;
}

/* Mean and percentiles of one metric over the rows chosen. */
static interval over_draws(double *v, size_t n) {
    interval out = {0};
    for (size_t i = 0; i < n; i++) out.mean += v[i] / (double)n;
    out.low = percentile(v, n, 0.025);
    out.high = percentile(v, n, 0.975);
    return out;
}

static int by_draw(const void *a, const void *b) {
    const fewshot_row *x = a, *y = b;
    return (x->draw > y->draw) - (x->draw < y->draw);
}

size_t fewshot_table_summary(const fewshot_table *t, size_t task, int method, int64_t k, fewshot_row *ret) {
    fewshot_row *mine = malloc((t->n + 1) * sizeof *mine);
    double *v = malloc((2 * t->n + 1) * sizeof *v);
    size_t n = 0;
    for (size_t i = 0; mine && v && i < t->n; i++)
        if (t->row[i].task == task && t->row[i].method == method && t->row[i].k == k) mine[n++] = t->row[i];
    if (n) qsort(mine, n, sizeof *mine, by_draw); /* sums do not depend on which draw came first */
    if (n) *ret = *mine;
    for (size_t i = 0; i < n; i++) v[i] = mine[i].auc.mean, v[t->n + i] = mine[i].ap.mean;
    if (n && k) ret->auc = over_draws(v, n), ret->ap = over_draws(v + t->n, n);
    free(mine);
    free(v);
    return n;
}

static int by_k(const void *a, const void *b) {
    /* 0, "all", comes last */
    uint64_t x = (uint64_t) * (const int64_t *)a - 1, y = (uint64_t) * (const int64_t *)b - 1;
    return (x > y) - (x < y);
}

static void put_summary(const fewshot_table *t, hct_outfile *f, const fewshot_row *r, size_t draws) {
    const double v[] = {(double)draws, (double)r->positives, (double)r->negatives, r->auc.mean,
                        r->auc.low,    r->auc.high,          r->ap.mean,           r->ap.low,
                        r->ap.high};
    char k[24];
    csv_put(f, 0, t->task[r->task]);
    csv_put(f, 1, t->method[r->method]);
    csv_put(f, 2, fewshot_k_text(r->k, k));
    for (size_t i = 0; i < 9; i++) csv_put_double(f, 3 + i, v[i]);
    csv_end_row(f);
}

hct_status fewshot_table_write(const fewshot_table *t, hct_err *err) {
    char *path = path_join(t->folder, "fewshot.csv");
    int64_t *k = malloc((t->n + 1) * sizeof *k);
    hct_outfile *f = path && k ? hct_outfile_open(path, err) : NULL;
    hct_status st = f ? HCT_OK : path && k ? err->code : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) k[i] = t->row[i].k;
    if (st == HCT_OK && t->n) qsort(k, t->n, sizeof *k, by_k);
    hct_outfile_printf(f, "task,method,k,draws,positives,negatives,auc,auc_low,auc_high,ap,ap_low,ap_high\n");
    for (size_t task = 0; st == HCT_OK && task < t->n_tasks; task++)
        for (size_t m = 0; m < t->n_methods; m++)
            for (size_t i = 0; i < t->n; i++) {
                fewshot_row r;
                size_t n = i && k[i] == k[i - 1] ? 0 : fewshot_table_summary(t, task, (int)m, k[i], &r);
                if (n) put_summary(t, f, &r, n);
            }
    if (st == HCT_OK) st = hct_outfile_close(f, err);
    free(path);
    free(k);
    return st;
}
