/* An index that has been damaged is refused with one line; labels stand with the scans that they belong to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/dataset.h"
#include "dataset/index.h"
#include "dataset/split.h"
#include "scratch.h"

enum { SCANS = 11 };
static const char hash[] = "0123456789012345678901234567890123456789012345678901234567890123";

/* DATASET with scans s00 .. s10, each of a patient of its own, put in backwards; label "odd" is that of its number. */
static const char *make(const char *name) {
    static char folder[512];
    static int made;
    hct_err err = {0};
    dataset_index ix;
    int64_t label;
    snprintf(folder, sizeof folder, "%s-%d", scratch_path(name), made++);
    ck_assert_msg(index_open(&ix, folder, 1, &err) == HCT_OK, "%s", err.msg);
    ck_assert_int_eq(index_label_ids(&ix, (const char *const[]){"odd"}, 1, &label, &err), HCT_OK);
    for (int i = SCANS - 1; i >= 0; i--) {
        char id[16], file[40], patient[16];
        snprintf(id, sizeof id, "s%02d", i);
        snprintf(file, sizeof file, "scans/s%02d.nii.gz", i);
        snprintf(patient, sizeof patient, "p%02d", i);
        int8_t value = (int8_t)(i % 2);
        index_scan s = {.id = id, .file = file, .source = id, .patient = patient, .preprocessing = hash};
        s.provenance = hash;
        s.labels = &value;
        s.label_ids = &label;
        s.n_labels = 1;
        snprintf(s.state.sha256, sizeof s.state.sha256, "%s", hash);
        ck_assert_msg(index_put_scan(&ix, &s, &err) == HCT_OK, "%s", err.msg);
    }
    index_close(&ix);
    return folder;
}

static void run_sql(const char *folder, const char *sql) {
    char path[600], *why = NULL;
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/index.sqlite", folder);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_exec(db, "PRAGMA foreign_keys=OFF; PRAGMA ignore_check_constraints=ON", NULL, NULL, NULL);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK, "%s: %s", sql, why);
    sqlite3_close(db);
}

START_TEST(labels_stand_with_their_scans) {
    hct_err err = {0};
    dataset *d = dataset_open(make("whole"), &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    ck_assert_uint_eq(d->n, SCANS);
    for (size_t i = 0; i < d->n; i++) {
        int number = atoi(d->scans[i].id + 1);
        ck_assert_int_eq(number, (int)i);
        ck_assert_int_eq(d->labels[i], number % 2);
        ck_assert_int_eq(atoi(d->scans[i].patient + 1), number);
    }
    dataset_close(d);
}
END_TEST

/* Without its tables' constraints, as a file that another program wrote may be. */
#define WITHOUT_CONSTRAINTS                                                                                            \
    "CREATE TABLE other AS SELECT * FROM scans; DROP TABLE scans; ALTER TABLE other RENAME TO scans;"
static const struct damage {
    const char *sql, *says;
} damages[] = {
    {"DELETE FROM patients WHERE name='p03'", "the patient of scan 's03' is missing"},
    {"UPDATE scans SET patient=999 WHERE id='s00'", "the patient of scan 's00' is missing"},
    {"DELETE FROM scans WHERE id='s05'", "points at a row of 'scans' that is not there"},
    {"DELETE FROM label_names", "points at a row of 'label_names' that is not there"},
    {"INSERT INTO splits VALUES(77, 'train')", "points at a row of 'patients' that is not there"},
    {"UPDATE labels SET value=7 WHERE scan=(SELECT n FROM scans WHERE id='s02')", "neither 0 nor 1"},
    {"UPDATE scans SET file='/etc/passwd' WHERE id='s04'",
     "scan 's04' has its volume outside the dataset: /etc/passwd"},
    {"UPDATE scans SET file='scans/../../other/x.nii.gz' WHERE id='s04'", "outside the dataset"},
    {"UPDATE scans SET file='' WHERE id='s04'", "outside the dataset"},
    {WITHOUT_CONSTRAINTS "UPDATE scans SET file=NULL WHERE id='s01'", "a scan's file is missing"},
    {WITHOUT_CONSTRAINTS "UPDATE scans SET id=NULL WHERE id='s01'", "a scan's id is missing"},
    {WITHOUT_CONSTRAINTS "UPDATE scans SET provenance=NULL", "a scan's provenance is missing"},
    {WITHOUT_CONSTRAINTS "UPDATE scans SET n=5 WHERE id='s01'", "its tables are not those of headct prepare"},
};

START_TEST(damage_is_refused) {
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const struct damage *t = &damages[i];
        const char *folder = make("damaged");
        hct_err err = {0};
        run_sql(folder, t->sql);
        dataset *d = dataset_open(folder, &err);
        ck_assert_msg(d == NULL, "opened after: %s", t->sql);
        ck_assert_int_eq(err.code, HCT_EFORMAT);
        ck_assert_msg(strstr(err.msg, t->says), "says '%s', not '%s'", err.msg, t->says);
        ck_assert_msg(strstr(err.msg, "index.sqlite: is damaged: ") && strstr(err.msg, "headct prepare"), "%s",
                      err.msg);
        dataset_close(d);
    }
}
END_TEST

START_TEST(split_refuses_damage) {
    const char *folder = make("split");
    hct_err err = {0};
    run_sql(folder, "DELETE FROM patients WHERE name='p03'");
    split_result said;
    ck_assert_int_eq(split_dataset(folder, &(split_rule){.ratios = {8, 1, 1}}, &said, &err), HCT_EFORMAT);
    ck_assert_msg(strstr(err.msg, "is damaged"), "%s", err.msg);
}
END_TEST

/* As version 1 had it: the split's column was named part, and there were no forms. */
static void make_older(const char *folder, int version) {
    run_sql(folder, "DROP TABLE prints; DROP TABLE findings; DROP TABLE files; DROP TABLE items; DROP TABLE roots");
    if (version == 1) run_sql(folder, "ALTER TABLE splits RENAME COLUMN split TO part; DROP TABLE forms");
    run_sql(folder, version == 1 ? "PRAGMA user_version=1" : "PRAGMA user_version=2");
}

static int64_t version_of(const char *folder) {
    dataset_index ix;
    hct_err err = {0};
    ck_assert_msg(index_open(&ix, folder, 0, &err) == HCT_OK, "%s", err.msg);
    int64_t version = ix.version;
    index_close(&ix);
    return version;
}

/* Run by a user who may only read, its write-ahead log cannot be taken in: refused, not read without its last rows. */
START_TEST(rows_in_a_log_are_not_left_out) {
    char copy[600], said[1100] = "";
    int ends[2], status = 0;
    if (geteuid() != 0) return; /* only root can become another user */
    const char *folder = make("logged");
    dataset_index ix;
    hct_err err = {0};
    ck_assert_int_eq(index_open(&ix, folder, 1, &err), HCT_OK);
    ck_assert_int_eq(index_exec(&ix, "INSERT INTO patients(name) VALUES('late')", &err), HCT_OK);
    snprintf(copy, sizeof copy, "%s-copy", folder);
    char command[2000];
    snprintf(
        command, sizeof command,
        "mkdir '%s' && cp '%s'/index.sqlite '%s'/index.sqlite-wal '%s' && chmod -R a+rX '%s' && chmod a+rx '%s' && "
        "test -s '%s/index.sqlite-wal'",
        copy, folder, folder, copy, copy, scratch_folder(), copy);
    ck_assert_int_eq(system(command), 0);
    index_close(&ix);
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dataset_index other;
        hct_err why = {0};
        if (setgid(65534) < 0 || setuid(65534) < 0) _exit(9);
        hct_status s = index_open(&other, copy, 0, &why);
        ssize_t n = write(ends[1], why.msg, strlen(why.msg) + 1);
        _exit(n > 0 ? s == HCT_EINVAL : 9);
    }
    close(ends[1]);
    ck_assert_int_ge(read(ends[0], said, sizeof said - 1), 0);
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1 &&
                      strstr(said, "its last rows are in index.sqlite-wal"),
                  "status %d: %s", status, said);
}
END_TEST

START_TEST(older_files_are_read_and_brought_up_to_date) {
    const char *folder = make("older");
    hct_err err = {0};
    split_result said;
    ck_assert_msg(split_dataset(folder, &(split_rule){.ratios = {5, 3, 3}, .seed = 1, .allow_copies = true}, &said,
                                &err) == HCT_OK,
                  "%s", err.msg);
    size_t *before, *list, n, n_before;
    dataset *d = dataset_open(folder, &err);
    ck_assert_int_eq(dataset_split(d, "test", &before, &n_before, &err), HCT_OK);
    dataset_close(d);
    for (int round = 0; round < 4; round++) { /* read as it is; then after headct prepare has opened it */
        if (round % 2 == 0) make_older(folder, 1 + round / 2);
        d = dataset_open(folder, &err);
        ck_assert_msg(d != NULL, "%s", err.msg);
        ck_assert_int_eq(dataset_split(d, "test", &list, &n, &err), HCT_OK);
        ck_assert(n == n_before && !memcmp(list, before, n * sizeof *list));
        free(list);
        dataset_close(d);
        ck_assert_int_eq(version_of(folder), round % 2 ? INDEX_VERSION : 1 + round / 2);
        dataset_index ix;
        ck_assert_msg(index_open(&ix, folder, 1, &err) == HCT_OK, "%s", err.msg);
        index_close(&ix);
    }
    free(before);
    run_sql(folder, "PRAGMA user_version=99");
    dataset_index ix;
    ck_assert_int_eq(index_open(&ix, folder, 0, &err), HCT_EVERSION);
    index_close(&ix);
}
END_TEST

CHECK_MAIN("index", rows_in_a_log_are_not_left_out, older_files_are_read_and_brought_up_to_date,
           labels_stand_with_their_scans, damage_is_refused, split_refuses_damage)
