/* Tables of results, printed and written. */
#include "evaluation/sheet.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/csv.h"
#include "support/paths.h"

enum { COLUMNS = 32 }; /* more are cut off */

typedef struct cell {
    char *shown;
    double number;
    bool is_number;
} cell;

struct sheet {
    char *name, *title, *names, *column[COLUMNS];
    size_t columns, n, room;
    cell *cells;
    bool failed; /* memory ran out */
};

sheet *sheet_new(const char *name, const char *title, const char *columns) {
    sheet *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->name = strdup(name);
    s->title = strdup(title);
    s->names = strdup(columns);
    s->failed = !s->name || !s->title || !s->names;
    if (s->names)
        for (char *save = NULL, *c = strtok_r(s->names, ",", &save); c && s->columns < COLUMNS;
             c = strtok_r(NULL, ",", &save))
            s->column[s->columns++] = c;
    return s;
}

void sheet_free(sheet *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) free(s->cells[i].shown);
    free(s->cells);
    free(s->name);
    free(s->title);
    free(s->names);
    free(s);
}

static void add(sheet *s, const char *shown, double number, bool is_number) {
    if (!s || s->failed) return;
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        cell *grown = realloc(s->cells, room * sizeof *grown);
        s->failed = !grown;
        if (!grown) return;
        s->cells = grown;
        s->room = room;
    }
    char *copy = strdup(shown);
    s->failed = !copy;
    if (copy) s->cells[s->n++] = (cell){copy, number, is_number};
}

void sheet_text(sheet *s, const char *text) { add(s, text, 0, false); }

void sheet_count(sheet *s, size_t n) {
    char shown[32];
    snprintf(shown, sizeof shown, "%zu", n);
    add(s, shown, (double)n, true);
}

void sheet_number(sheet *s, double v, int decimals) {
    char shown[64];
    if (isnan(v)) snprintf(shown, sizeof shown, "undefined");
    else snprintf(shown, sizeof shown, "%.*f", decimals, v);
    add(s, shown, v, true);
}

void sheet_p(sheet *s, double p) {
    if (p < 1e-4) add(s, "< 0.0001", p, true);
    else sheet_number(s, p, 4);
}

size_t sheet_rows(const sheet *s) { return s && s->columns ? s->n / s->columns : 0; }

static void put_padded(FILE *f, const char *text, int width, bool last, bool right) {
    if (right) fprintf(f, "%*s%s", width, text, last ? "\n" : "  ");
    else if (last) fprintf(f, "%s\n", text);
    else fprintf(f, "%-*s  ", width, text);
}

void sheet_print(const sheet *s, FILE *f) {
    size_t rows = sheet_rows(s);
    int width[COLUMNS];
    if (!rows) return;
    for (size_t c = 0; c < s->columns; c++) {
        width[c] = (int)strlen(s->column[c]);
        for (size_t r = 0; r < rows; r++) {
            int w = (int)strlen(s->cells[r * s->columns + c].shown);
            if (w > width[c]) width[c] = w;
        }
    }
    fprintf(f, "\n%s\n", s->title);
    for (size_t c = 0; c < s->columns; c++)
        put_padded(f, s->column[c], width[c], c + 1 == s->columns, s->cells[c].is_number);
    for (size_t i = 0; i < rows * s->columns; i++)
        put_padded(f, s->cells[i].shown, width[i % s->columns], (i + 1) % s->columns == 0, s->cells[i].is_number);
}

hct_status sheet_write(const sheet *s, const char *folder, hct_err *err) {
    char file[160];
    if (!s || s->failed) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for a table", folder);
    snprintf(file, sizeof file, "%s.csv", s->name);
    char *path = path_join(folder, file);
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_status st = path_make_folders(folder, err);
    if (st == HCT_OK) {
        hct_outfile *f = hct_outfile_open(path, err);
        for (size_t c = 0; c < s->columns; c++) csv_put(f, c, s->column[c]);
        csv_end_row(f);
        for (size_t i = 0; i < sheet_rows(s) * s->columns; i++) {
            const cell *x = &s->cells[i];
            if (x->is_number && !isnan(x->number)) csv_put_double(f, i % s->columns, x->number);
            else csv_put(f, i % s->columns, x->shown);
            if ((i + 1) % s->columns == 0) csv_end_row(f);
        }
        st = hct_outfile_close(f, err);
    }
    free(path);
    return st;
}
