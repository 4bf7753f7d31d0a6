/* headct dataset check: planted leaks of four kinds among phantoms, all found and nothing else. With an argument: that
 * many phantoms and a fifth of it as leaks, made, prepared, fingerprinted and deleted in turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/leaks.h"
#include "imaging/nifti.h"
#include "leak_phantoms.h"
#include "make_dicom.h"
#include "prepare_runs.h"
#include "support/csv.h"

enum { TURN = 40 };

static int patients = 0; /* argument */

/* What is done to the copy of patient i. */
static int planted_kind(int i) {
    static const int written_anew[] = {PLANT_TURNED, PLANT_CROPPED, PLANT_NOISY};
    static const int kinds[] = {PLANT_BYTES, PLANT_RESAVED, -1, PLANT_SERIES};
    return i % 4 == 2 ? written_anew[i / 4 % 3] : kinds[i % 4];
}

static void write_scan(const phantom_set *set, int patient, int kind, const char *name) {
    volume v = {0};
    hct_err err = {0};
    hct_status s = kind < 0 ? leak_original(set, (uint64_t)patient, &v, &err)
                            : leak_again(set, (uint64_t)patient, (plant_kind)kind, &v, &err);
    if (s == HCT_OK) s = nifti_write(name, &v, 1, &err);
    ck_assert_msg(s == HCT_OK, "%s", err.msg);
    volume_free(&v);
}

/* Originals o0000 ..., copies c0000 ...: all prepared; inputs and volumes go after each turn. */
static void make(const phantom_set *set, int n, int n_planted, bool keep) {
    shell("echo scan,split > parts.csv");
    FILE *parts = fopen("parts.csv", "a");
    ck_assert(parts != NULL);
    for (int at = 0; at < n + n_planted; at += TURN) {
        int last = at + TURN < n + n_planted ? at + TURN : n + n_planted;
        shell("rm -rf in%d && mkdir in%d", at, at);
        for (int i = at; i < last; i++) {
            char name[64];
            bool copy = i >= n;
            snprintf(name, sizeof name, "in%d/%c%04d.nii.gz", at, copy ? 'c' : 'o', copy ? i - n : i);
            write_scan(set, copy ? i - n : i, copy ? planted_kind(i - n) : -1, name);
            fprintf(parts, "%c%04d,%s\n", copy ? 'c' : 'o', copy ? i - n : i, copy ? "test" : "train");
        }
        runs(OK, "prepare --in in%d --out data --quiet", at);
        shell("rm -rf in%d", at);
        if (!keep) shell("rm -f data/scans/*");
    }
    fclose(parts);
}

START_TEST(planted_leaks_are_found_and_nothing_else) {
    enter("leaks");
    phantom_set set = phantom_usual;
    set.plain = 1;
    int n = patients ? patients : 10, n_planted = patients ? patients / 5 : 8;
    set.seed = 19;
    make(&set, n, n_planted, false);
    runs(ERROR, "split data --from parts.csv"); /* the same bytes under two patients */
    runs(OK, "split data --from parts.csv --allow-copies");
    runs(PARTIAL, "dataset check data --out leaks.csv --quiet");
    hct_err err = {0};
    csv *t = csv_read("leaks.csv", &err);
    ck_assert_msg(t != NULL, "%s", err.msg);
    int leaks = 0, others = 0, alarms = 0;
    char text[2000] = "";
    size_t length = 0;
    for (size_t r = 0; r < t->rows; r++) {
        const char *a = csv_cell(t, r, 1), *b = csv_cell(t, r, 2);
        bool planted = *a == 'c' && *b == 'o' && !strcmp(a + 1, b + 1);
        if (strcmp(csv_cell(t, r, 7), "yes") != 0) {
            others++;
            continue;
        }
        if (!planted && length + 100 < sizeof text)
            length += (size_t)snprintf(text + length, sizeof text - length, " %s and %s (%s, %s)", a, b,
                                       csv_cell(t, r, 8), csv_cell(t, r, 9));
        alarms += !planted;
        if (!planted) continue;
        ck_assert_str_eq(csv_cell(t, r, 0), planted_kind(atoi(a + 1)) == PLANT_BYTES ? "source" : "scan");
        leaks++;
    }
    csv_free(t);
    ck_assert_msg(leaks == n_planted && !alarms, "%d of %d found, %d false alarms:%s", leaks, n_planted, alarms, text);
    ck_assert_int_eq(others, 0);
}
END_TEST

static void person(maker *m, int k, void *context) {
    (void)k;
    maker_text(m, 0x00100020, "LO", context);
}

/* Two series of one study (the maker's), under two patients; another study under a third. */
START_TEST(one_study_under_two_patients) {
    enter("study");
    static const char *const who[] = {"A", "B"};
    for (int i = 0; i < 2; i++) {
        char folder[16];
        snprintf(folder, sizeof folder, "in/s%d", i);
        shell("mkdir -p in");
        head_series_write(&(head_series){.folder = folder,
                                         .name = "IM%03d",
                                         .n = 3 + i,
                                         .columns = 16,
                                         .rows = 16,
                                         .series = 2 + i,
                                         .edit = person,
                                         .context = (void *)(uintptr_t)who[i]});
    }
    shell("printf 'least_slices: 2\nleast_matrix: 8\nleast_extent: 0\n' > small.yaml");
    runs(OK, "prepare --in in --out data --filters small.yaml --key a.key --quiet");
    runs(PARTIAL, "dataset check data --quiet");
    says("of the same study                       1 pairs in two patients");
    says("2 scans compared; the dataset is not split");
    shell("printf 'scan,split\ns0,train\ns1,train\n' > one.csv; printf 'scan,split\ns0,train\ns1,val\n' > two.csv");
    runs(OK, "split data --from one.csv");
    runs(OK, "dataset check data --quiet");
    says("0 pairs in two parts, 1 of two patients in one");
    runs(OK, "split data --from two.csv");
    runs(PARTIAL, "dataset check data --quiet");
    says("1 pairs in two parts, 0 of two patients in one");
}
END_TEST

/* Fingerprints that an older index lacks are made of the volumes; where these are gone that is said. */
START_TEST(fingerprints_are_made_where_they_are_missing) {
    enter("missing");
    phantom_set set = phantom_usual;
    set.plain = 1;
    set.size = PHANTOM_TINY;
    make(&set, 3, 2, true);
    runs(PARTIAL, "dataset check data --out before.csv --quiet");
    shell("python3 -c 'import sqlite3; d = sqlite3.connect(\"data/index.sqlite\"); d.execute(\"drop table prints\"); "
          "d.execute(\"pragma user_version=3\"); d.commit()'");
    runs(PARTIAL, "dataset check data --out after.csv --quiet");
    shell("cmp before.csv after.csv && grep -q '^source,c0000,o0000,' after.csv && grep -q '^scan,c0001,o0001,' "
          "after.csv && "
          "test $(wc -l < after.csv) = 3");
    shell("python3 -c 'import sqlite3; d = sqlite3.connect(\"data/index.sqlite\"); d.execute(\"delete from prints\"); "
          "d.commit()'; rm data/scans/o0002.nii.gz");
    runs(ERROR, "dataset check data --quiet");
    says("o0002.nii.gz");
}
END_TEST

int main(int argc, char **argv) {
    if (argc > 1) {
        patients = atoi(argv[1]);
        return CHECK_RUN("leaks", planted_leaks_are_found_and_nothing_else);
    }
    return CHECK_RUN("leaks", planted_leaks_are_found_and_nothing_else, one_study_under_two_patients,
                     fingerprints_are_made_where_they_are_missing);
}
