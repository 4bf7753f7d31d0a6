/* Tables as people have them: what they call scans, columns of their own names, and files that are no tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/dataset.h"
#include "dataset/scan_names.h"
#include "make_dicom.h"
#include "prepare_runs.h"

#define SITES "prepare --in in --out data --filters small.yaml --key a.key --quiet "

static void person(maker *m, int k, void *context) {
    (void)k;
    maker_text(m, 0x00100020, "LO", context);
}

/* Series in in/one/ct, in/two/ct and in/two/other. */
static void sites(void) {
    static const char *const folders[] = {"in/one/ct", "in/two/ct", "in/two/other"};
    for (int i = 0; i < 3; i++) {
        char who[8];
        snprintf(who, sizeof who, "P%d", i);
        shell("mkdir -p in/one in/two");
        head_series_write(&(head_series){.folder = folders[i],
                                         .name = "IM%03d",
                                         .n = 3,
                                         .columns = 16,
                                         .rows = 16,
                                         .series = 2 + i,
                                         .edit = person,
                                         .context = who});
    }
    shell("printf 'least_slices: 2\nleast_matrix: 8\nleast_extent: 0\n' > small.yaml");
}

/* "one_ct=1 two_ct=0 ...": the first label of each scan. */
static const char *first_label(const char *folder) {
    static char text[400];
    hct_err err = {0};
    dataset *d = dataset_open(folder, &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    size_t at = 0;
    for (size_t i = 0; i < d->n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s=%d", i ? " " : "", d->scans[i].id,
                               d->labels[i * d->n_labels]);
    dataset_close(d);
    return text;
}

START_TEST(scans_by_their_names) {
    enter("names");
    sites();
    /* an ID, an ending of a path, and a SeriesInstanceUID */
    shell("uid=$(python3 -c 'import sys; d = open(\"in/two/other/IM001\", \"rb\").read(); i = "
          "d.index(b\"\\x20\\x00\\x0e\\x00\"); "
          "n = d[i + 6]; print(d[i + 8:i + 8 + n].strip(b\"\\0 \").decode())'); printf "
          "'scan,patient,ICH\none_ct,-,1\nin/two/ct,-,0\n%%s,-,1\n' $uid > t.csv");
    runs(OK, SITES "--labels t.csv --patient-column patient");
    says("labels: 1 rows told by ID, 1 by path, 1 by SeriesInstanceUID; 0 have no scan");
    ck_assert_str_eq(first_label("data"), "one_ct=1 two_ct=0 two_other=1");
    /* the whole path */
    shell("printf \"file,ICH\n$PWD/in/one/ct,0\nin/two/ct/,1\n\" > p.csv");
    runs(OK, SITES "--labels p.csv --id-column file --patient-column -");
    says("2 by path");
    ck_assert_str_eq(first_label("data"), "one_ct=0 two_ct=1 two_other=1");
    /* an ending that two have is nobody's, and the path of something else that ends alike neither */
    shell("printf 'scan,patient,ICH\nct,p,1\n' > a.csv; printf "
          "'scan,patient,ICH\n/elsewhere/in/one/ct,p,1\none_ct,p,1\n' "
          "> e.csv");
    runs(ERROR, SITES "--labels a.csv");
    says("a.csv line 2: 'ct' may be scan 'one_ct' or scan 'two_ct': write more of its path");
    runs(OK, SITES "--labels e.csv");
    says("1 rows have no scan, neither among the inputs nor in the dataset: '_elsewhere_in_one_ct'");
    runs(ERROR, SITES "--labels e.csv --strict");
    says("e.csv line 2: labels of scan '_elsewhere_in_one_ct'");
    /* two rows of one scan, under two of its names */
    shell("printf 'scan,patient,ICH\none_ct,p,1\none/ct,p,0\n' > d.csv");
    runs(ERROR, SITES "--labels d.csv");
    says("d.csv: scan 'one_ct' stands in line 2 and in line 3");
    ck_assert_str_eq(first_label("data"), "one_ct=1 two_ct=1 two_other=1"); /* of e.csv: what was written stays */
}
END_TEST

START_TEST(columns_of_any_name) {
    enter("columns");
    sites();
    shell("printf 'mrn;file;Age;Gender;ICH;SDH;ward\nA;one/ct;93;female;yes;No;7\nB;two/ct;40.5;M;NA;1.0;8\n' > t.csv");
    runs(ERROR, SITES "--labels t.csv --id-column fil --patient-column mrn");
    says("t.csv: no column 'fil'; did you mean 'file'");
    runs(ERROR, SITES "--labels t.csv --id-column file --patient-column file --label ICH");
    says("cannot tell both scans and patients");
    runs(ERROR, SITES "--labels t.csv --id-column file --patient-column mrn");
    says("column 'ward' holds '7'");
    runs(ERROR, SITES "--labels t.csv --id-column file --patient-column mrn --label ICH,mrn");
    says("column 'mrn' is not a label");
    runs(USAGE, SITES "--labels t.csv --label ICH,,SDH");
    runs(OK, SITES "--labels t.csv --id-column file --patient-column mrn --label ICH,SDH");
    hct_err err = {0};
    dataset *d = dataset_open("data", &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    static const int8_t want[] = {1, 0, -1, 1, -1, -1};
    ck_assert_uint_eq(d->n_labels, 2);
    ck_assert_mem_eq(d->labels, want, 6);
    ck_assert_str_eq(d->scans[0].patient, "A");
    ck_assert_int_eq(d->scans[2].patient[0], 'p'); /* the header's, keyed */
    dataset_close(d);
    runs(OK, "dataset why data one_ct");
    says("age: 90"); /* and older */
    says("sex: F");
    runs(OK, "dataset why data two_ct");
    says("age: 40.5");
    says("sex: M");
}
END_TEST

START_TEST(sources_that_are_gone) {
    enter("gone");
    sites();
    runs(OK, SITES);
    ck_assert_ptr_null(strstr(headct_said, "are gone"));
    shell("mv in/two/ct away");
    runs(OK, SITES);
    says("the sources of 1 scans are gone, which stay in the dataset and are trained on: 'two_ct'");
    runs(OK, "dataset info data");
    says("scans whose source is gone   1\n");
    shell("mv away in/two/ct");
    runs(OK, SITES);
    ck_assert_ptr_null(strstr(headct_said, "are gone"));
}
END_TEST

START_TEST(no_tables) {
    enter("none");
    sites();
    static const struct {
        const char *bytes, *says;
        size_t n;
    } files[] = {{"PK\x03\x04\x14\x00", "x.csv: is an Excel workbook (.xlsx) or another zip file, no CSV table", 6},
                 {"\xd0\xcf\x11\xe0\xa1\xb1", "is an old Excel workbook (.xls)", 6},
                 {"PAR1\x15\x04", "is a Parquet file", 6},
                 {"\x1f\x8b\x08\x00", "is compressed (gzip), no CSV table: unpack it", 4}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        scratch_file("none/x.csv", files[i].bytes, files[i].n);
        runs(ERROR, SITES "--labels x.csv");
        says(files[i].says);
        shell("test ! -e data");
    }
}
END_TEST

CHECK_MAIN("tables", scans_by_their_names, columns_of_any_name, sources_that_are_gone, no_tables)
