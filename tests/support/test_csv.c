/* support/csv.h: quotes, line ends, and every refusal with file and line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "scratch.h"
#include "support/csv.h"

static csv *table(const char *text, hct_err *err) { return csv_read(scratch_file("t.csv", text, strlen(text)), err); }

START_TEST(reads_quotes_and_line_ends) {
    csv *t = table("\xef\xbb\xbfname,\"a,b\",c\r\n\r\n1,\"x \"\"y\"\"\nz\",\r\n\n\"\",2,\" 3\"", NULL);
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(t->columns, 3);
    ck_assert_uint_eq(t->rows, 2);
    ck_assert_str_eq(t->names[0], "name");
    ck_assert_str_eq(t->names[1], "a,b");
    ck_assert_str_eq(csv_cell(t, 0, 1), "x \"y\"\nz");
    ck_assert_str_eq(csv_cell(t, 0, 2), "");
    ck_assert_str_eq(csv_cell(t, 1, 0), "");
    ck_assert_str_eq(csv_cell(t, 1, 2), " 3");
    ck_assert_int_eq(t->lines[0], 3);
    ck_assert_int_eq(t->lines[1], 6);
    ck_assert_int_eq(csv_column(t, "c"), 2);
    ck_assert_int_eq(csv_column(t, "C"), -1);
    csv_free(t);
}
END_TEST

START_TEST(header_only_and_last_line_without_end) {
    csv *t = table("a,b", NULL);
    ck_assert_uint_eq(t->rows, 0);
    csv_free(t);
    t = table("a,b\n1,", NULL);
    ck_assert_uint_eq(t->rows, 1);
    ck_assert_str_eq(csv_cell(t, 0, 1), "");
    csv_free(t);
}
END_TEST

/* As spreadsheets of several countries and ages save one table. */
START_TEST(reads_what_spreadsheets_write) {
    static const struct {
        const char *bytes;
        size_t n;
    } forms[] = {
        {"scan,patient\na,p 1\n", 18},
        {"scan,patient\ra,p 1\r", 18},         /* CR alone */
        {"scan;patient\r\na;p 1\r\n", 20},     /* semicolons */
        {"scan\tpatient\na\tp 1\n", 18},       /* tabs */
        {"scan, patient\na , \"p 1\" \n", 24}, /* blanks about cells */
        {"\xff\xfe"
         "s\0c\0a\0n\0,\0p\0a\0t\0i\0e\0n\0t\0\n\0a\0,\0p\0 \0"
         "1\0\n\0",
         38}, /* UTF-16 */
        {"\xfe\xff"
         "\0s\0c\0a\0n\0,\0p\0a\0t\0i\0e\0n\0t\0\n\0a\0,\0p\0 \0"
         "1\0\n",
         38},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        hct_err err = {0};
        csv *t = csv_read(scratch_file("t.csv", forms[i].bytes, forms[i].n), &err);
        ck_assert_msg(t && t->columns == 2 && t->rows == 1, "form %zu: %s", i, err.msg);
        ck_assert_str_eq(t->names[1], "patient");
        ck_assert_str_eq(csv_cell(t, 0, 0), "a");
        ck_assert_str_eq(csv_cell(t, 0, 1), "p 1");
        csv_free(t);
    }
}
END_TEST

START_TEST(refuses) {
    const struct {
        const char *text, *says;
    } bad[] = {
        {"", "is empty"},
        {"\n\n", "is empty"},
        {"a,a\n", "two columns are named 'a'"},
        {"a,b\n1,2\n1\n", ":3: 1 cells, the header has 2"},
        {"a,b\n1,2,3\n", ":2: 3 cells"},
        {"a,b\n1,\"x\n\n", ":2: a quote is opened"},
        {"a,b\n\"1\"x,2\n", ":2: text follows"},
        {"a,b\nM\xc3\xbcller,2\nM\xfcller,3\n", ":3: a character that is no UTF-8: save"},
        {"a,b\xff", ":1: a character that is no UTF-8"},
        {"a,b\n1,2\nx\x1b[31m,3\n", ":3: a control character"},
        {"a,b\n1,\xc2\x9b\n", ":2: a control character"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hct_err err = {0};
        ck_assert_ptr_null(table(bad[i].text, &err));
        ck_assert_int_eq(err.code, HCT_EFORMAT);
        ck_assert_msg(strstr(err.msg, bad[i].says) && strstr(err.msg, "t.csv"), "%s", err.msg);
    }
    hct_err err = {0};
    ck_assert_ptr_null(csv_read(scratch_file("t.csv", "a\0b", 3), &err));
    ck_assert_ptr_nonnull(strstr(err.msg, "NUL"));
    ck_assert_ptr_null(csv_read(scratch_path("none.csv"), &err));
    ck_assert_int_eq(err.code, HCT_ENOTFOUND);
}
END_TEST

START_TEST(names_the_nearest_column) {
    hct_err err = {0};
    csv *t = table("scan,patient,label\n", NULL);
    ck_assert_int_eq(csv_need_column(t, "patient", &err), 1);
    ck_assert_int_eq(csv_fixed_column(t, "patient", &err), 1);
    ck_assert_int_eq(csv_fixed_column(t, "scna", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.msg, "column 'scna' is missing; it has: scan, patient, label"));
    ck_assert_int_eq(csv_need_column(t, "pateint", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.msg, "did you mean 'patient'"));
    csv_free(t);
}
END_TEST

START_TEST(writes_what_it_reads) {
    const char *cells[] = {"plain", "with,comma", "with \"quotes\"", "two\nlines", ""};
    const char *path = scratch_path("out.csv");
    hct_outfile *f = hct_outfile_open(path, NULL);
    for (size_t i = 0; i < 5; i++) csv_put(f, i, (const char *[]){"a", "b", "c", "d", "e"}[i]);
    csv_end_row(f);
    for (size_t i = 0; i < 5; i++) csv_put(f, i, cells[i]);
    csv_end_row(f);
    for (size_t i = 0; i < 5; i++) csv_put_double(f, i, (const double[]){0.1, 1e300, -3, 1.0 / 3, 5e-324}[i]);
    csv_end_row(f);
    ck_assert_int_eq(hct_outfile_close(f, NULL), HCT_OK);
    csv *t = csv_read(path, NULL);
    ck_assert_uint_eq(t->rows, 2);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_str_eq(csv_cell(t, 0, i), cells[i]);
        ck_assert_double_eq(strtod(csv_cell(t, 1, i), NULL), ((const double[]){0.1, 1e300, -3, 1.0 / 3, 5e-324}[i]));
    }
    csv_free(t);
}
END_TEST

/* What a spreadsheet would take for a formula is marked, and reads back as it was. */
START_TEST(formulas_are_marked) {
    static const char *const cells[] = {"=1+1",    "@SUM(A1)", "+cmd|' /C calc'!A0", "-x",   "-1.5", "+2e3",
                                        "'=x",     "''@x",     "'quoted'",           "it's", "a=b",  "\tx",
                                        "=a,\"b\""};
    enum { N = sizeof cells / sizeof *cells };
    text_buffer text = {0};
    for (size_t i = 0; i < N; i++) csv_add(&text, 0, cells[i]), text_add(&text, "\n", 1);
    const char *all = text_get(&text, "", NULL);
    for (const char *line = all; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *c = line + (*line == '"');
        double number;
        ck_assert_msg(!*c || !strchr("=@\t", *c), "a formula: %.20s", line);
        char one[64] = "";
        sscanf(c, "%63[^\n]", one);
        ck_assert_msg(!*c || !strchr("+-", *c) || text_double(one, &number), "a formula: %s", one);
    }
    char header[200];
    snprintf(header, sizeof header, "column\n%s", all);
    csv *t = table(header, NULL);
    ck_assert_uint_eq(t->rows, N);
    for (size_t i = 0; i < N; i++) ck_assert_str_eq(csv_cell(t, i, 0), cells[i]);
    csv_free(t);
    text_free(&text);
}
END_TEST

CHECK_MAIN("csv", reads_what_spreadsheets_write, formulas_are_marked, reads_quotes_and_line_ends,
           header_only_and_last_line_without_end, refuses, names_the_nearest_column, writes_what_it_reads)
