/* headct split: proportions, folds, even labels, splits from tables and other datasets, patients who came later. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/dataset.h"
#include "dataset/split.h"
#include "dataset/split_deal.h"
#include "fake_dataset.h"
#include "prepare_runs.h"

/* A: every 30th patient (10 of 300); B: every 75th (4); C: half; D: none. Every third patient has two scans. */
static void cohort(int i, fake_scan *ret) {
    int patient = i < 300 ? i : 3 * (i - 300);
    snprintf(ret->id, sizeof ret->id, "s%03d", i);
    snprintf(ret->patient, sizeof ret->patient, "q%03d", patient);
    snprintf(ret->source, sizeof ret->source, "site/CQ500CT%d CQ500CT%d/CT Plain/s%d", patient, patient, i);
    ret->labels[0] = patient % 30 == 0;
    ret->labels[1] = patient % 75 == 1;
    ret->labels[2] = patient % 2 == 0;
}

/* counts[part][label], patients[part] of train, val, test or fold1 ...; checks that no patient is in two parts. */
static void count(const char *folder, const char *const *parts, size_t n_parts, int counts[][4], int *scans) {
    hct_err err = {0};
    dataset *d = dataset_open(folder, &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    const char *of[2000] = {NULL};
    for (size_t p = 0; p < n_parts; p++) {
        memset(counts[p], 0, sizeof counts[p]);
        scans[p] = 0;
    }
    for (size_t i = 0; i < d->n; i++) {
        int patient = atoi(d->scans[i].patient + 1);
        if (!d->scans[i].split) continue;
        ck_assert(!of[patient] || !strcmp(of[patient], d->scans[i].split));
        bool first = !of[patient];
        of[patient] = d->scans[i].split;
        for (size_t p = 0; p < n_parts; p++) {
            if (strcmp(parts[p], d->scans[i].split) != 0) continue;
            scans[p]++;
            for (size_t k = 0; first && k < 4; k++) counts[p][k] += d->labels[i * 4 + k] == 1;
        }
    }
    dataset_close(d);
}

START_TEST(labels_spread_evenly) {
    enter("evenly");
    int counts[5][4], scans[5];
    fake_dataset("d", 400, cohort);
    runs(OK, "split d --stratify A,B");
    count("d", split_names, 3, counts, scans);
    ck_assert_int_eq(counts[0][0], 8);
    ck_assert_int_eq(counts[1][0], 1);
    ck_assert_int_eq(counts[2][0], 1);
    ck_assert_int_eq(counts[0][1], 2); /* of four: one each where there was none */
    ck_assert_int_eq(counts[1][1], 1);
    ck_assert_int_eq(counts[2][1], 1);
    ck_assert_int_eq(scans[0] + scans[1] + scans[2], 400);
    says("headct split: no positive of D in train, val, test");
    ck_assert_ptr_null(strstr(headct_said, "no positive of A"));
    runs(OK, "split d --stratify all --folds 5 --seed 3");
    static const char *const folds[] = {"fold1", "fold2", "fold3", "fold4", "fold5"};
    count("d", folds, 5, counts, scans);
    for (int p = 0; p < 5; p++) {
        ck_assert_int_eq(counts[p][0], 2);
        ck_assert(counts[p][1] <= 1);
        ck_assert(abs(counts[p][2] - 30) <= 1);
    }
    says("no positive of B in fold"); /* four in five folds */
    /* the same again; without labels the split is as it ever was */
    shell("cp -r d e");
    runs(OK, "split e --stratify all --folds 5 --seed 3");
    shell("for d in d e; do sqlite3 $d/index.sqlite 'select * from splits' > $d.txt 2>/dev/null || python3 -c 'import "
          "sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(\"select * from splits\"), sep=\"\\n\")' "
          "$d/index.sqlite > $d.txt; done; cmp d.txt e.txt && test -s d.txt");
    runs(ERROR, "split d --stratify A,E");
    says("no label 'E'");
    shell("cp -r d many && python3 -c 'import sqlite3; d = sqlite3.connect(\"many/index.sqlite\"); "
          "d.executemany(\"INSERT INTO label_names(name) VALUES(?)\", [(\"L\" + str(i),) for i in range(70)]); "
          "d.commit()'");
    runs(ERROR, "split many --stratify all");
    says("at most 64 labels can be dealt evenly");
    runs(OK, "split many --stratify A,L69");
    runs(ERROR, "split many --stratify A,L690");
    says("no label 'L690'; did you mean 'L69'?");
    runs(USAGE, "split d --folds 1");
    runs(USAGE, "split d --keep --stratify A");
}
END_TEST

START_TEST(parts_by_name) {
    enter("parts");
    fake_dataset("d", 400, cohort);
    runs(OK, "split d --folds 4");
    hct_err err = {0};
    dataset *d = dataset_open("d", &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    size_t *list, n, all = 0, *two, n_two;
    for (int k = 1; k <= 4; k++) {
        char name[16];
        snprintf(name, sizeof name, "fold%d", k);
        ck_assert_int_eq(dataset_split(d, name, &list, &n, &err), HCT_OK);
        all += n;
        free(list);
    }
    ck_assert_uint_eq(all, 400);
    ck_assert_int_eq(dataset_split(d, "fold1", &list, &n, &err), HCT_OK);
    ck_assert_int_eq(dataset_split(d, "fold1+fold4", &two, &n_two, &err), HCT_OK);
    ck_assert_uint_gt(n_two, n);
    ck_assert_int_eq(dataset_split(d, "fold9", &two, &n_two, &err), HCT_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.msg, "no split 'fold9'"));
    ck_assert_ptr_nonnull(strstr(err.msg, "fold4"));
    ck_assert_int_eq(dataset_split(d, "fold1+nothing", &two, &n_two, &err), HCT_ENOTFOUND);
    free(list);
    free(two);
    dataset_close(d);
    char buffer[16];
    ck_assert_str_eq(split_name_of("Training", buffer), "train");
    ck_assert_str_eq(split_name_of("valid", buffer), "val");
    ck_assert_str_eq(split_name_of("3", buffer), "fold3");
    ck_assert_str_eq(split_name_of("fold_0", buffer), "fold0");
    ck_assert_ptr_null(split_name_of("holdout", buffer));
    ck_assert(split_is_of("fold1", "fold2+fold1") && !split_is_of("fold1", "fold10+fold2") && !split_is_of("", "a"));
}
END_TEST

START_TEST(splits_that_exist) {
    enter("exist");
    fake_dataset("d", 400, cohort);
    int counts[3][4], scans[3];
    /* studies by name with hyphens, as CQ500's are published; a scan by its path; a patient; rows of nobody */
    shell(
        "(echo name,subset; for i in $(seq 3 299); do p=train; [ $((i %% 10)) = 0 ] && p=validation; [ $((i %% 10)) = "
        "1 ] && p=test; echo CQ500-CT-$i,$p; done; echo 'site/CQ500CT1 CQ500CT1/CT Plain/s1,test'; echo q002,train; "
        "echo CQ500-CT-999,test; echo holdout7,test) > p.csv");
    runs(OK, "split d --from p.csv");
    says("299 patients placed by p.csv");
    says("2 of 301 rows of p.csv name no scan or patient here: 'CQ500-CT-999', 'holdout7'");
    says("2 scans are in no part: 's000', 's300'");
    count("d", split_names, 3, counts, scans);
    ck_assert_int_eq(scans[0] + scans[1] + scans[2], 398);
    ck_assert_int_eq(counts[1][2], 29); /* 10, 20 ... 290 are even */
    runs(ERROR, "split d --keep");
    says("its split is 'as p.csv has it', which says nothing of patients who came later");
    runs(OK, "split d --keep --ratios 1:0:0");
    says("1 patients were new");
    count("d", split_names, 3, counts, scans);
    ck_assert_int_eq(scans[0] + scans[1] + scans[2], 400);
    /* one patient in two parts */
    shell("printf 'scan,split\ns003,train\ns301,test\n' > two.csv");
    runs(ERROR, "split d --from two.csv");
    says("two.csv: lines 2 and 3 put scans of one patient into train and test");
    shell("printf 'scan,split\ns003,holdout\n' > word.csv; printf 'scan,where\ns003,train\n' > col.csv");
    runs(ERROR, "split d --from word.csv");
    says("word.csv line 2: 'holdout' is no part");
    runs(ERROR, "split d --from col.csv");
    says("col.csv: no column of parts");
    runs(USAGE, "split d --from p.csv --ratios 8:1:1");
    int after[3][4], then[3];
    count("d", split_names, 3, after, then);
    ck_assert_mem_eq(after, counts, sizeof counts); /* what was refused changed nothing */
}
END_TEST

/* The first 100 of the cohort's patients under other names, but the same bytes; 50 with the same names and other
 * bytes. */
static void labelled(int i, fake_scan *ret) {
    cohort(i, ret);
    if (i < 100) snprintf(ret->patient, sizeof ret->patient, "z%03d", i);
    else snprintf(ret->sha256, sizeof ret->sha256, "f%063d", i);
    snprintf(ret->id, sizeof ret->id, "t%03d", i);
}

START_TEST(another_datasets_split_is_kept) {
    enter("other");
    fake_dataset("pre", 300, cohort);
    fake_dataset("fine", 150, labelled);
    runs(ERROR, "split fine --from pre");
    says("pre: is not split");
    runs(OK, "split pre --ratios 6:2:2 --seed 5");
    runs(OK, "split fine --from pre");
    says("150 patients placed by pre");
    hct_err err = {0};
    dataset *a = dataset_open("pre", &err), *b = dataset_open("fine", &err);
    ck_assert(a && b);
    for (size_t i = 0; i < b->n; i++) ck_assert_str_eq(b->scans[i].split, a->scans[i].split);
    dataset_close(a);
    dataset_close(b);
}
END_TEST

static void new_ones(int i, fake_scan *ret) {
    snprintf(ret->id, sizeof ret->id, "n%03d", i);
    snprintf(ret->patient, sizeof ret->patient, "n%03d", 1000 + i);
    snprintf(ret->sha256, sizeof ret->sha256, "e%063d", i);
}

START_TEST(who_comes_later_is_dealt_by_the_same_rule) {
    enter("later");
    fake_dataset("d", 400, cohort);
    runs(OK, "split d --ratios 1:1:2 --seed 9");
    int counts[3][4], before[3], after[3];
    count("d", split_names, 3, counts, before);
    fake_dataset("d", 200, new_ones);
    runs(OK, "split d --keep");
    says("200 patients were new");
    count("d", split_names, 3, counts, after);
    ck_assert_int_eq(after[0] + after[1] + after[2], 600);
    int test = after[2] - before[2]; /* a half of 200, within five deviations */
    ck_assert_msg(test > 65 && test < 135, "%d", test);
    runs(OK, "split d --folds 10 --seed 2");
    fake_dataset("d", 201, new_ones); /* one more */
    runs(OK, "split d --keep");
    says("1 patients were new");
    says("fold10");
}
END_TEST

CHECK_MAIN("split", labels_spread_evenly, parts_by_name, splits_that_exist, another_datasets_split_is_kept,
           who_comes_later_is_dealt_by_the_same_rule)
