/* Files and folders as units that are loaded one at a time. */
#include "inference/cohort_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hct_status out_of_memory(hct_err *err) {
    return hct_fail(err, HCT_ENOMEM, "out of memory for the list of scans");
}

static hct_status list_files(cohort_files *f, const char *const *paths, size_t n, hct_err *err) {
    hct_status s = index_open_private(&f->list, err);
    if (s == HCT_OK)
        s = index_exec(&f->list,
                       "CREATE TABLE given(id TEXT PRIMARY KEY) WITHOUT ROWID;"
                       "CREATE TABLE strays(path TEXT PRIMARY KEY) WITHOUT ROWID",
                       err);
    if (s == HCT_OK) s = key_passing(&f->key, err);
    if (s == HCT_OK) s = found_begin(&f->list, &f->key, &f->found, err);
    f->found.clear = true;
    if (s == HCT_OK) s = found_walk(&f->found, paths, n, NULL, NULL, err);
    return s == HCT_OK ? found_units(&f->found, &f->units, &f->n, err) : s;
}

cohort_files *cohort_files_open(const char *const *paths, size_t n, const char *filters, hct_err *err) {
    cohort_files *f = calloc(1, sizeof *f);
    hct_status s = f ? filters_read(filters ? filters : "any-head-ct", &f->filters, err) : out_of_memory(err);
    if (s == HCT_OK) s = list_files(f, paths, n, err);
    if (s == HCT_OK) f->at = f->n;
    if (s == HCT_OK) return f;
    cohort_files_close(f);
    return NULL;
}

static void drop_unit(cohort_files *f) {
    candidates_free(&f->candidates);
    found_files_free(f->files, f->n_files);
    f->files = NULL;
    f->n_files = 0;
    f->at = f->n;
}

void cohort_files_close(cohort_files *f) {
    if (!f) return;
    drop_unit(f);
    found_units_free(f->units, f->n);
    found_end(&f->found);
    if (f->list.path) index_close(&f->list);
    key_free(&f->key);
    filters_free(&f->filters);
    free(f);
}

candidate_list *cohort_files_unit(cohort_files *f, size_t unit, hct_err *err) {
    if (f->at == unit) return &f->candidates;
    drop_unit(f);
    hct_status s = found_files(&f->found, &f->units[unit], &f->files, &f->n_files, err);
    if (s == HCT_OK) s = candidates_of(f->files, f->n_files, &f->filters, &f->candidates, err);
    if (s == HCT_OK) f->at = unit;
    else drop_unit(f);
    return s == HCT_OK ? &f->candidates : NULL;
}

candidate *cohort_files_find(cohort_files *f, cohort_source source, hct_err *err) {
    candidate_list *l = cohort_files_unit(f, source.unit, err);
    if (l && source.item < l->n) return &l->items[source.item];
    if (l) hct_fail(err, HCT_EFORMAT, "a series has changed while it was read: leave its files alone, and run again");
    return NULL;
}

char *cohort_files_new_id(cohort_files *f, const char *base, hct_err *err) {
    char *id = strdup(base);
    for (int k = 2; id; k++) {
        hct_status s = index_run(&f->list, err, "INSERT OR IGNORE INTO given VALUES(?)", "s", id);
        if (s == HCT_OK && sqlite3_changes(f->list.db)) return id;
        free(id);
        if (s < 0) return NULL;
        if (asprintf(&id, "%s-%d", base, k) < 0) id = NULL;
    }
    out_of_memory(err);
    return NULL;
}

hct_status cohort_files_forget_id(cohort_files *f, const char *id, hct_err *err) {
    return index_run(&f->list, err, "DELETE FROM given WHERE id=?", "s", id);
}

/* Strays are told of with the series that they lie beside. */
static hct_status note_strays(cohort_files *f, const candidate *one, hct_err *err) {
    hct_status s = HCT_OK;
    for (size_t k = 0; one->series && k < one->series->n_strays && s == HCT_OK; k++)
        s = index_run(&f->list, err, "INSERT OR IGNORE INTO strays VALUES(?)", "s",
                      f->files[one->series->strays[k]].path);
    return s;
}

char *cohort_files_id(cohort_files *f, const candidate *one, hct_err *err) {
    int64_t series = 1;
    hct_status s =
        one->series ? found_neighbours(&f->found, candidate_file(&f->candidates, one), &series, err) : HCT_OK;
    if (s == HCT_OK) s = note_strays(f, one, err);
    if (s < 0) return NULL;
    char *base = candidate_id(&f->candidates, one, series <= 1), *id = base ? cohort_files_new_id(f, base, err) : NULL;
    if (!base) out_of_memory(err);
    free(base);
    return id;
}

hct_status cohort_files_unread(cohort_files *f, text_buffer *lines, hct_err *err) {
    enum { SHOWN = 20 };
    size_t n = 0;
    sqlite3_stmt *q =
        index_query(&f->list, err, "SELECT root, path, why FROM files WHERE kind='unread' ORDER BY root, path", "");
    sqlite3_stmt *known = q ? index_query(&f->list, err, "SELECT 1 FROM strays WHERE path=?", "") : NULL;
    int step = known ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(&f->list, q, err)) > 0) {
        const char *real = "", *path = (const char *)sqlite3_column_text(q, 1),
                   *why = (const char *)sqlite3_column_text(q, 2);
        char *whole = NULL;
        for (size_t i = 0; i < f->found.n_roots; i++)
            if (f->found.roots[i].n == sqlite3_column_int64(q, 0)) real = f->found.roots[i].real;
        if (asprintf(&whole, "%s%s", real, path ? path : "") < 0) step = out_of_memory(err);
        if (step < 0) break;
        sqlite3_bind_text(known, 1, whole, -1, SQLITE_TRANSIENT);
        int stray = index_step(&f->list, known, err);
        sqlite3_reset(known);
        if (stray < 0) step = stray;
        else if (!stray && n++ < SHOWN) text_printf(lines, "not read: %s\n", why ? why : whole);
        free(whole);
    }
    sqlite3_finalize(known);
    sqlite3_finalize(q);
    if (step >= 0 && n > SHOWN) text_printf(lines, "not read: %zu more files\n", n - SHOWN);
    return step < 0 ? step : HCT_OK;
}
