/* CSV, read and written. */
#include "support/csv.h"

#include <iconv.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hct/nearest.h"
#include "support/text.h"

/* A growing list of cells while the file is read. */
typedef struct cell_list {
    const char **cells;
    size_t n, capacity;
} cell_list;

static bool append(cell_list *l, const char *cell) {
    if (l->n == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 256;
        const char **cells = realloc(l->cells, capacity * sizeof *cells);
        if (!cells) return false;
        l->cells = cells;
        l->capacity = capacity;
    }
    l->cells[l->n++] = cell;
    return true;
}

/* Reads one cell at *at, unquoting in place and ending it with NUL. Returns the character after it (comma, '\n', '\0'),
 * or 'q' for an open quote, 'x' for text after a closing quote. */
static char read_cell(char **at, char **ret, char comma, int *line) {
    char *in = *at, *out = in, end;
    if (comma != '\t' && in[strspn(in, " \t")] == '"') in += strspn(in, " \t");
    out = *ret = in;
    if (*in == '"') {
        for (in++;; in++) {
            if (*in == '\0') return 'q';
            if (*in == '"' && *++in != '"') break;
            *line += *in == '\n';
            *out++ = *in;
        }
        if (in[0] == '\r' && (in[1] == '\n' || in[1] == '\0')) in++;
        in += strspn(in, comma == '\t' ? " " : " \t");
        if (*in != comma && *in != '\n' && *in != '\0') return 'x';
        end = *in;
    } else {
        while (*in != comma && *in != '\n' && *in != '\0') in++;
        out = in;
        end = *in;
        if (end != comma && out > *ret && out[-1] == '\r') out--;
        while (out > *ret && (out[-1] == ' ' || out[-1] == '\t')) out--; /* blanks at both ends are no part of a cell */
        *ret += strspn(*ret, " \t") < (size_t)(out - *ret) ? strspn(*ret, " \t") : (size_t)(out - *ret);
    }
    *at = end ? in + 1 : in;
    *line += end == '\n';
    *out = '\0';
    return end;
}

/* Whether text, behind any number of ', begins as a formula does. */
static bool looks_like_formula(const char *text) {
    text += strspn(text, "'");
    return *text && strchr("=+-@\t\r", *text);
}

/* The cell as it was before put_cell. */
static const char *without_mark(const char *cell) {
    return *cell == '\'' && looks_like_formula(cell) ? cell + 1 : cell;
}

static hct_status check_header(const csv *t, hct_err *err) {
    if (t->columns == 0)
        return hct_fail(err, HCT_EFORMAT, "%s: is empty; a CSV table starts with a row of column names", t->path);
    for (size_t i = 0; i < t->columns; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(t->names[i], t->names[k]) == 0)
                return hct_fail(err, HCT_EFORMAT, "%s: two columns are named '%s'", t->path, t->names[i]);
    return HCT_OK;
}

/* Adds the row that `cells` holds to the table; the first one is the header. */
static hct_status take_row(csv *t, const cell_list *all, size_t first, int line, hct_err *err) {
    size_t n = all->n - first;
    if (t->columns == 0) {
        t->columns = n;
        return HCT_OK;
    }
    if (n != t->columns)
        return hct_fail(err, HCT_EFORMAT, "%s:%d: %zu cells, the header has %zu", t->path, line, n, t->columns);
    if (t->rows % 256 == 0) {
        int *lines = realloc(t->lines, (t->rows + 256) * sizeof *lines);
        if (!lines) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", t->path);
        t->lines = lines;
    }
    t->lines[t->rows++] = line;
    return HCT_OK;
}

/* What parts the cells: a comma, or where the header has none, semicolons (spreadsheets of many countries) or tabs. */
static char separator(const char *text) {
    bool quoted = false, semicolon = false, tab = false;
    for (const char *c = text; *c && (quoted || *c != '\n'); c++) {
        if (*c == '"') quoted = !quoted;
        if (quoted) continue;
        if (*c == ',') return ',';
        semicolon = semicolon || *c == ';';
        tab = tab || *c == '\t';
    }
    return semicolon ? ';' : tab ? '\t' : ',';
}

/* Lines that end in CR alone (old spreadsheets) to lines that end in LF. */
static void mend_line_ends(char *text) {
    if (strchr(text, '\n')) return;
    for (char *c = text; (c = strchr(c, '\r')); c++) *c = '\n';
}

/* UTF-16, which spreadsheets save as "Unicode text", told by its byte order mark, to UTF-8. */
static hct_status from_utf16(csv *t, size_t *size, hct_err *err) {
    const unsigned char *b = (const unsigned char *)t->text;
    if (*size < 2 || !((b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff))) return HCT_OK;
    iconv_t from = iconv_open("UTF-8", b[0] == 0xff ? "UTF-16LE" : "UTF-16BE");
    size_t left = *size, room = 2 * *size, start = room; /* no character takes more than twice its bytes */
    char *in = t->text, *text = malloc(room + 1), *out = text;
    bool fine = from != (iconv_t)-1 && text && iconv(from, &in, &left, &out, &room) != (size_t)-1 && left == 0;
    if (from != (iconv_t)-1) iconv_close(from);
    if (!text) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", t->path);
    if (!fine) {
        free(text);
        return hct_fail(err, HCT_EFORMAT, "%s: begins as UTF-16 and is not: save the table as UTF-8", t->path);
    }
    *size = start - room;
    text[*size] = 0;
    free(t->text);
    t->text = text;
    return HCT_OK;
}

static hct_status parse(csv *t, char *text, size_t size, cell_list *all, hct_err *err) {
    if (strlen(text) != size) return hct_fail(err, HCT_EFORMAT, "%s: holds a NUL byte; is it a CSV table?", t->path);
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0) text += 3;
    mend_line_ends(text);
    char comma = separator(text);
    int line = 1;
    const char *bad = text_not_utf8(text);
    for (const char *c = text; bad && c < bad; c++) line += *c == '\n';
    if (bad)
        return hct_fail(err, HCT_EFORMAT, "%s:%d: a character that is no UTF-8: save the table as UTF-8", t->path,
                        line);
    for (const char *c = text; (c = text_control(c)); c++) {
        if (strchr("\t\n\r", *c)) continue;
        for (line = 1; c-- > text;) line += *c == '\n';
        return hct_fail(err, HCT_EFORMAT, "%s:%d: a control character: remove it", t->path, line);
    }
    while (*text) {
        if (*text == '\n' || (*text == '\r' && text[1] == '\n')) { /* a line of nothing */
            text += *text == '\r' ? 2 : 1;
            line++;
            continue;
        }
        size_t first = all->n;
        int start = line;
        char end, *cell;
        do {
            end = read_cell(&text, &cell, comma, &line);
            if (end == 'q')
                return hct_fail(err, HCT_EFORMAT, "%s:%d: a quote is opened and never closed", t->path, start);
            if (end == 'x') return hct_fail(err, HCT_EFORMAT, "%s:%d: text follows a closing quote", t->path, start);
            if (!append(all, without_mark(cell))) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", t->path);
        } while (end == comma);
        hct_status status = take_row(t, all, first, start, err);
        if (status < 0) return status;
    }
    t->names = all->cells;
    t->cells = all->cells ? all->cells + t->columns : NULL;
    return check_header(t, err);
}

/* What people take for a table, and is none, by its first bytes. */
static hct_status refuse_others(const csv *t, size_t size, hct_err *err) {
    static const struct {
        const char *bytes;
        size_t n;
        const char *what, *todo;
    } others[] = {{"PK\x03\x04", 4, "an Excel workbook (.xlsx) or another zip file", "save the sheet as CSV (UTF-8)"},
                  {"\xd0\xcf\x11\xe0", 4, "an old Excel workbook (.xls)", "save the sheet as CSV (UTF-8)"},
                  {"PAR1", 4, "a Parquet file", "write it as CSV"},
                  {"\x1f\x8b", 2, "compressed (gzip)", "unpack it"},
                  {"SQLite format 3", 15, "an SQLite database", "write the table as CSV"},
                  {"%PDF-", 5, "a PDF file", "write the table as CSV"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (size >= others[i].n && memcmp(t->text, others[i].bytes, others[i].n) == 0)
            return hct_fail(err, HCT_EFORMAT, "%s: is %s, no CSV table: %s", t->path, others[i].what, others[i].todo);
    return HCT_OK;
}

csv *csv_read(const char *path, hct_err *err) {
    csv *t = calloc(1, sizeof *t);
    cell_list all = {0};
    size_t size = 0;
    if (!t || !(t->path = strdup(path))) {
        hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
        free(t);
        return NULL;
    }
    hct_status status = hct_read_file(path, &t->text, &size, err);
    if (status == HCT_OK) status = refuse_others(t, size, err);
    if (status == HCT_OK) status = from_utf16(t, &size, err);
    if (status == HCT_OK) status = parse(t, t->text, size, &all, err);
    t->names = all.cells;
    if (status == HCT_OK) return t;
    csv_free(t);
    return NULL;
}

void csv_free(csv *t) {
    if (!t) return;
    free(t->names);
    free(t->lines);
    free(t->text);
    free(t->path);
    free(t);
}

int csv_column(const csv *t, const char *name) {
    for (size_t i = 0; i < t->columns; i++)
        if (strcmp(t->names[i], name) == 0) return (int)i;
    return -1;
}

int csv_need_column(const csv *t, const char *name, hct_err *err) {
    int column = csv_column(t, name);
    if (column >= 0) return column;
    const char *near = hct_name_nearest(name, t->names, t->columns);
    hct_fail(err, HCT_ENOTFOUND, "%s: no column '%s'; %s '%s'", t->path, name,
             near ? "did you mean" : "the first one is", near ? near : t->names[0]);
    return -1;
}

int csv_fixed_column(const csv *t, const char *name, hct_err *err) {
    int column = csv_column(t, name);
    if (column >= 0) return column;
    text_buffer there = {0};
    for (size_t i = 0; i < t->columns; i++) text_printf(&there, "%s%s", i ? ", " : "", t->names[i]);
    hct_fail(err, HCT_ENOTFOUND, "%s: column '%s' is missing; it has: %.600s", t->path, name, text_so_far(&there));
    text_free(&there);
    return -1;
}

/* Hands the cell over piece by piece, quoted where needed. */
static void put_cell(size_t column, const char *cell, void (*put)(void *to, const char *bytes, size_t n), void *to) {
    double number;
    bool marked = looks_like_formula(cell) && (*cell == '\'' || !text_double(cell, &number));
    if (column) put(to, ",", 1);
    if (!strpbrk(cell, ",\"\r\n")) {
        if (marked) put(to, "'", 1);
        put(to, cell, strlen(cell));
        return;
    }
    put(to, marked ? "\"'" : "\"", marked ? 2 : 1);
    for (const char *c = cell; *c; c++) put(to, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    put(to, "\"", 1);
}

static void to_file(void *to, const char *bytes, size_t n) { hct_outfile_write(to, bytes, n); }

static void to_text(void *to, const char *bytes, size_t n) { text_add(to, bytes, n); }

void csv_put(hct_outfile *f, size_t column, const char *cell) { put_cell(column, cell, to_file, f); }

void csv_add(text_buffer *t, size_t column, const char *cell) { put_cell(column, cell, to_text, t); }

void csv_put_double(hct_outfile *f, size_t column, double v) {
    char buffer[32];
    csv_put(f, column, text_of_double(v, buffer));
}

void csv_end_row(hct_outfile *f) { hct_outfile_write(f, "\n", 1); }
