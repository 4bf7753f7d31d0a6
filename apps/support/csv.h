/* CSV tables with a header row (RFC 4180): comma, or where the header has none semicolon or tab; double quotes,
 * quoted line breaks; CRLF, LF, or CR alone; UTF-8 with or without the byte order mark, or UTF-16 with it. Blanks at
 * both ends of a cell that is not quoted are cut. Lines of nothing are skipped; every row must have as many cells as
 * the header.
 *
 * A cell that a spreadsheet would take for a formula (its text begins with = + - @, a tab or CR, and is no number) is
 * written with ' before it, and read without; OWASP, "CSV injection". */
#ifndef SUPPORT_CSV_H
#define SUPPORT_CSV_H

#include "hct/io.h"
#include "support/text.h"

typedef struct csv {
    char *path;
    const char **names; /* columns of them */
    const char **cells; /* rows * columns, row-major */
    int *lines;         /* the line of the file where each row starts, counted from 1 */
    size_t columns, rows;
    char *text; /* owns names and cells */
} csv;

/* NULL and err: cannot be read, no header, two columns of one name, a row of another length, an open quote. */
csv *csv_read(const char *path, hct_err *err);
void csv_free(csv *t);
/* Number of the column, -1 where absent. */
int csv_column(const csv *t, const char *name);
/* Column that must be there: -1 and err that lists the nearest name. */
int csv_need_column(const csv *t, const char *name, hct_err *err);
/* The same of a name that no user chose, such as scan: err lists the columns that there are. A near name would
 * mislead: SAH is near it. */
int csv_fixed_column(const csv *t, const char *name, hct_err *err);
static inline const char *csv_cell(const csv *t, size_t row, size_t column) {
    return t->cells[row * t->columns + column];
}

/* Writing: cells of a row one by one, then csv_end_row. Quotes where needed. */
void csv_put(hct_outfile *f, size_t column, const char *cell);
void csv_put_double(hct_outfile *f, size_t column, double v);
void csv_end_row(hct_outfile *f);
/* csv_put into a text, for files that rows are appended to. */
void csv_add(text_buffer *t, size_t column, const char *cell);

#endif
