/* support/row_file.h: rows survive kills; what another program wrote is neither cut nor emptied. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "scratch.h"
#include "support/row_file.h"

#define HEADER "scan,IPH\n"
#define ROWS HEADER "a,0.25\n\"b \"\"c\"\"\",0.5\n"
static const char origin[] = "{\"weights\": \"w\"}";

static char *text_of(const char *path) {
    char *text;
    size_t n;
    ck_assert_int_eq(hct_read_file(path, &text, &n, NULL), HCT_OK);
    return text;
}

/* A file that holds `before` (NULL: there is none), with its origin beside it. */
static const char *make(const char *before, const char *beside) {
    const char *path = scratch_path("t.csv");
    remove(path);
    remove(scratch_path("t.csv.json"));
    if (before) scratch_file("t.csv", before, strlen(before));
    if (beside) scratch_file("t.csv.json", beside, strlen(beside));
    return path;
}

/* Whole rows stay, a cut one goes, and one more is added. */
static const struct taken {
    const char *before, *after;
} taken[] = {
    {NULL, HEADER},   {"", HEADER}, {"scan", HEADER},    {"scan,IPH", HEADER},
    {HEADER, HEADER}, {ROWS, ROWS}, {ROWS "c,0.", ROWS}, {ROWS "\"c,0.", ROWS},
};

START_TEST(takes_what_it_left) {
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        const char *path = make(taken[i].before, origin);
        hct_err err = {0};
        csv *old = NULL;
        row_file *f = row_file_open(path, HEADER, origin, &old, &err);
        ck_assert_msg(f != NULL, "%zu: %s", i, err.msg);
        text_buffer row = {0};
        text_printf(&row, "d,1\n");
        ck_assert_int_eq(row_file_add(f, &row, &err), HCT_OK);
        text_free(&row);
        row_file_close(f);
        csv_free(old);
        char *now = text_of(path), want[200];
        snprintf(want, sizeof want, "%sd,1\n", taken[i].after);
        ck_assert_str_eq(now, want);
        free(now);
    }
}
END_TEST

static const struct foreign {
    const char *before, *beside, *says;
} foreign[] = {
    {"my only notes, without a line end", origin, "its first line is not 'scan,IPH'"},
    {"scan,IPH,SDH", origin, "its first line is not 'scan,IPH'"},
    {"\"scan,IPH\na,1\nb,2\n", origin, "its first line is not"},
    {"scan,SDH\na,1\n", origin, "its first line is not"},
    {HEADER "a,1\n\"b,1\nc,1\nd,1\n", origin, "a quote is opened and never closed"},
    {ROWS, "{\"weights\": \"other\"}", "another weights"},
    {ROWS, NULL, "is missing"},
};

START_TEST(leaves_what_others_wrote) {
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        const char *path = make(foreign[i].before, foreign[i].beside);
        hct_err err = {0};
        csv *old = NULL;
        ck_assert_msg(row_file_open(path, HEADER, origin, &old, &err) == NULL, "%zu was taken", i);
        ck_assert_msg(strstr(err.msg, foreign[i].says) && strstr(err.msg, path), "%zu: %s", i, err.msg);
        char *now = text_of(path);
        ck_assert_str_eq(now, foreign[i].before);
        free(now);
    }
}
END_TEST

CHECK_MAIN("row_file", takes_what_it_left, leaves_what_others_wrote)
