/* headct phantom, prepare and split as a user runs them: what they make, and how they say it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/dataset.h"
#include "dataset/index.h"
#include "hct/io.h"
#include "imaging/nifti.h"
#include "make_nifti.h"
#include "prepare_runs.h"

START_TEST(prepares_and_does_only_what_is_missing) {
    enter("again");
    phantoms(2);
    runs(OK, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("4 prepared, 0 unchanged, 0 refused");
    runs(OK, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("0 prepared, 4 unchanged");
    shell("touch ph/p0001_s1.nii.gz"); /* another time, the same bytes */
    runs(OK, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("0 prepared, 4 unchanged");
    shell("cp ph/p0002_s2.nii.gz ph/p0001_s1.nii.gz; rm data/scans/p0002_s1.nii.gz");
    runs(OK, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("2 prepared, 2 unchanged");
    shell("cmp data/scans/p0001_s1.nii.gz data/scans/p0002_s2.nii.gz");
    /* what a killed writer left goes, what this process is writing stays; so in the kept inputs */
    shell("mkdir data/inputs");
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) _exit(!hct_outfile_open(i ? "data/inputs/x.i16" : "data/scans/p0001_s1.nii.gz", NULL));
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
    }
    hct_outfile *mine = hct_outfile_open("data/scans/p0002_s1.nii.gz", NULL);
    shell("ls data/*/*.tmp.* | wc -l");
    ck_assert_str_eq(headct_said, "3\n");
    runs(OK, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("0 prepared, 4 unchanged");
    shell("ls data/*/*.tmp.* | wc -l");
    ck_assert_str_eq(headct_said, "1\n");
    hct_outfile_discard(mine);
    /* a prepared file that was emptied, cut, or lost its end is made again, the same */
    shell("cp -r data/scans whole; : > data/scans/p0001_s1.nii.gz; truncate -s -1 data/scans/p0001_s2.nii.gz; "
          "n=$(stat -c %%s data/scans/p0002_s1.nii.gz); truncate -s -4096 data/scans/p0002_s1.nii.gz; truncate -s $n "
          "data/scans/p0002_s1.nii.gz");
    runs(OK, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("3 prepared, 1 unchanged");
    shell("diff -r whole data/scans");
    runs(OK, "prepare --in ph --out data --quiet --exact");
    says("4 prepared");
    runs(OK, "prepare --in ph --out data --quiet --exact");
    says("0 prepared, 4 unchanged");
    shell("truncate -s 20000 data/scans/p0001_s2.nii.gz");
    runs(OK, "prepare --in ph --out data --quiet --exact");
    says("1 prepared, 3 unchanged");
    volume v;
    ck_assert_int_eq(nifti_read("data/scans/p0001_s1.nii.gz", &v, NULL), HCT_OK);
    ck_assert_int_eq(v.dtype, HCT_F32);
    volume_free(&v);
}
END_TEST

START_TEST(jobs_and_shards_make_no_difference) {
    enter("shards");
    phantoms(3);
    runs(OK, "phantom --out ph1 --patients 3 --scans-per-patient 2 --size tiny --seed 4 --quiet --jobs 1");
    shell("diff -r ph ph1");
    runs(OK, "prepare --in ph --out one --labels ph/labels.csv --quiet --jobs 1");
    shell("for i in 1 2 3; do $HEADCT prepare --in ph --out many --labels ph/labels.csv --quiet --jobs 2 --shard $i/3 "
          "& done; "
          "wait; test $(ls many/scans | wc -l) = 6 && diff -r one/scans many/scans");
    hct_err err = {0};
    dataset *a = dataset_open("one", &err), *b = dataset_open("many", &err);
    ck_assert_msg(a && b, "%s", err.msg);
    ck_assert_uint_eq(a->n, 6);
    ck_assert_uint_eq(b->n, 6);
    ck_assert_mem_eq(a->labels, b->labels, a->n * a->n_labels);
    for (size_t i = 0; i < 6; i++) {
        ck_assert_str_eq(a->scans[i].id, b->scans[i].id);
        ck_assert_str_eq(a->scans[i].patient, b->scans[i].patient);
        ck_assert_str_eq(a->scans[i].provenance, b->scans[i].provenance);
    }
    dataset_close(a);
    dataset_close(b);
}
END_TEST

/* A smaller set over a larger one would leave scans without labels, each a patient of its own. */
START_TEST(phantoms_are_one_set) {
    enter("set");
    phantoms(3);
    shell("cp -r ph before");
    phantoms(3); /* the same again */
    shell("diff -r before ph");
    runs(ERROR, "phantom --out ph --patients 2 --scans-per-patient 2 --size tiny --seed 4 --quiet");
    says("ph: 2 scans are there that are not of this set (p0003_s1.nii.gz, for one)");
    runs(ERROR, "phantom --out ph --patients 3 --scans-per-patient 1 --size tiny --seed 4 --quiet");
    says("ph: 3 scans are there");
    shell("diff -r before ph"); /* a refusal changes nothing */
    pid_t child = fork();
    if (child == 0) _exit(!hct_outfile_open("ph/p0001_s1.nii.gz", NULL)); /* killed while it wrote */
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    shell("test $(ls -A ph | wc -l) = 8");
    phantoms(3);
    shell("diff -r before ph");
    shell("rm ph/p0003_s*; echo > ph/p0001_s01.nii.gz");
    runs(ERROR, "phantom --out ph --patients 2 --scans-per-patient 2 --size tiny --seed 5 --quiet");
    says("(p0001_s01.nii.gz, for one)");
    shell("rm ph/p0001_s01.nii.gz; mkdir ph/below; echo > ph/notes.txt"); /* what is no scan may lie there */
    runs(OK, "phantom --out ph --patients 2 --scans-per-patient 2 --size tiny --seed 5 --quiet");
    shell("! cmp -s before/p0001_s1.nii.gz ph/p0001_s1.nii.gz && test $(wc -l < ph/labels.csv) = 5");
    /* stopped half-way, here by a scan that cannot be written, it leaves no labels of the set before */
    shell("rm ph/p0002_s2.nii.gz && mkdir ph/p0002_s2.nii.gz");
    runs(ERROR, "phantom --out ph --patients 2 --scans-per-patient 2 --size tiny --seed 6 --quiet");
    shell("test ! -e ph/labels.csv");
}
END_TEST

START_TEST(many_processes_make_one_index) {
    enter("many");
    for (int round = 0; round < 10; round++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", round);
        enum { CHILDREN = 8 };
        for (int i = 0; i < CHILDREN; i++)
            if (fork() == 0) {
                dataset_index ix;
                hct_err err = {0};
                int s = index_open(&ix, name, 1, &err);
                for (int k = 0; s == HCT_OK && k < 3; k++) {
                    s = index_run(&ix, &err, "INSERT OR IGNORE INTO patients(name) VALUES(?)", "s", k % 2 ? "a" : "b");
                    if (s == HCT_OK) index_close(&ix);
                    if (s == HCT_OK) s = index_open(&ix, name, k % 2, &err);
                }
                if (s < 0) fprintf(stderr, "# %s\n", err.msg);
                else index_close(&ix);
                _exit(s < 0);
            }
        for (int i = 0; i < CHILDREN; i++) {
            int status;
            ck_assert(wait(&status) > 0);
            ck_assert_int_eq(status, 0);
        }
    }
}
END_TEST

/* What prepare made is no source for it, wherever the dataset lies and however the path is spelt. */
START_TEST(leaves_prepared_scans_out) {
    enter("own");
    nifti_spec good = nifti_plain();
    shell("mkdir -p heads/below");
    nifti_file(&good, "own/heads/a.nii");
    nifti_file(&good, "own/heads/below/b.nii.gz");
    static const char *const out[] = {"heads/data", "heads", "heads/below/deep/data"};
    for (int i = 0; i < 3; i++)
        for (int again = 0; again < 2; again++) {
            runs(OK, "prepare --in heads --out %s --quiet", out[i]);
            says(again ? ": 0 prepared, 2 unchanged, 0 refused" : ": 2 prepared, 0 unchanged, 0 refused");
            if (!again && i == 0) ck_assert_ptr_null(strstr(headct_said, "left out"));
        }
    says("left out, prepared already: heads/below/deep/data/scans, heads/data/scans, heads/scans\n");
    /* the same through links and other spellings */
    shell("mkdir far && mv heads/scans far/moved && ln -s ../far/moved heads/scans; ln -s heads linked; ln -s "
          "heads/data/scans prepared; mkdir all && ln -s ../heads/below all/sub && ln -s ../heads/data/scans all/x");
    runs(OK, "prepare --in linked/../linked/./ --out heads/data --quiet");
    says("0 prepared, 2 unchanged");
    runs(OK, "prepare --in all --out elsewhere --quiet");
    says("1 prepared, 0 unchanged");
    static const char *const named[] = {"heads/data/scans", "prepared", "prepared/a.nii.gz",
                                        "heads/scans/below_b.nii.gz", "heads/below/deep/data/scans/a.nii.gz"};
    for (int i = 0; i < 5; i++) {
        runs(ERROR, "prepare --in heads/a.nii %s --out new --quiet", named[i]);
        says(named[i]);
        says("prepared already");
    }
    shell("test ! -e new; ln -s $PWD/heads/data/scans/a.nii.gz z.nii.gz");
    runs(ERROR, "prepare --in z.nii.gz --out new --quiet");
    says("prepared already");
    runs(ERROR, "prepare --in elsewhere --out new --quiet");
    says("no scan there");
    says("but prepared ones");
    /* volumes without an index are not known to be prepared ones, and nothing is written between them */
    shell("rm heads/data/index.sqlite");
    runs(ERROR, "prepare --in heads --out heads/data --quiet");
    says("heads/data/scans: holds 2 volumes");
    shell("mkdir theirs && cp -r heads/below theirs/scans"); /* a folder that happens to have that name */
    runs(OK, "prepare --in theirs --out new --quiet");
    says("new: 1 prepared");
    runs(ERROR, "prepare --in theirs --out theirs --quiet");
    says("theirs/scans: holds 1 volumes");
    shell("test ! -e theirs/index.sqlite");
}
END_TEST

/* A dataset is known before its stamp has left the write-ahead log, and a database of others is not one. */
START_TEST(knows_a_dataset_by_its_file) {
    enter("stamp");
    dataset_index ix;
    ck_assert_int_eq(index_is_in("."), 0);
    ck_assert_int_eq(index_open(&ix, "one", 1, NULL), HCT_OK);
    ck_assert_int_eq(index_is_in("one"), 1);
    index_close(&ix);
    ck_assert_int_eq(index_is_in("one"), 1);
    sqlite3 *other;
    shell("mkdir other text");
    ck_assert_int_eq(sqlite3_open("other/index.sqlite", &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    ck_assert_int_eq(index_is_in("other"), 0);
    shell("seq 1000 > text/index.sqlite");
    ck_assert_int_eq(index_is_in("text"), 0);
}
END_TEST

START_TEST(labels_must_fit) {
    enter("labels");
    nifti_spec good = nifti_plain();
    nifti_file(&good, "labels/a.nii");
    nifti_file(&good, "labels/b.nii.gz");
    shell("printf 'scan,patient,IPH,SDH\\na,p1,1,0\\nb.nii.gz,p1,,1\\n' > good.csv");
    shell("sed 's/scan,/scna,/' good.csv > noscan.csv; sed 's/patient/who/' good.csv > nopatient.csv");
    shell("sed 's/p1,1,0/p1,7,0/' good.csv > value.csv; (cat good.csv; echo zz,p9,0,0) > absent.csv");
    shell("(cat good.csv; echo a.nii,p1,1,0) > twice.csv; sed 's/a,p1/a,/' good.csv > nobody.csv; (cat good.csv; echo "
          "c) > short.csv");
#define FAILS(csv, extra, text)                                                                                        \
    runs(ERROR, "prepare --in a.nii b.nii.gz --out data --quiet --labels " csv " " extra);                             \
    says(csv);                                                                                                         \
    says(text)
    FAILS("noscan.csv", "", "column 'scan' is missing; it has: scna, patient, IPH, SDH (--id-column");
    FAILS("nopatient.csv", "", "column 'patient' is missing; it has: scan, who, IPH, SDH (--patient-column");
    shell("printf 'file,patient,SAH\\na,p1,1\\n' > near.csv");
    FAILS("near.csv", "", "column 'scan' is missing");
    shell("printf 'scan,patient,SAH,\\na,p1,1,\\n' > noname.csv");
    FAILS("noname.csv", "", "column 4 has no name");
    ck_assert_ptr_null(strstr(headct_said, "did you mean"));
    FAILS("good.csv", "--label IHP", "IPH");
    FAILS("value.csv", "", "line 2: column 'IPH' holds '7'");
    FAILS("absent.csv", "--strict", "line 4: labels of scan 'zz'");
    FAILS("twice.csv", "", "scan 'a' stands in line 2 and in line 4");
    FAILS("nobody.csv", "", "'patient' is empty");
    FAILS("short.csv", "", "4");
    FAILS("nowhere.csv", "", "nowhere.csv");
    shell("test ! -e data");
    runs(OK, "prepare --in a.nii b.nii.gz --out data --quiet --labels good.csv");
    hct_err err = {0};
    dataset *d = dataset_open("data", &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    ck_assert_uint_eq(d->n_labels, 2);
    ck_assert_str_eq(d->label_names[0], "IPH");
    static const int8_t want[] = {1, 0, -1, 1};
    ck_assert_mem_eq(d->labels, want, 4);
    ck_assert_str_eq(d->scans[1].patient, "p1");
    ck_assert_int_eq(dataset_label(d, "SDH", &err), 1);
    ck_assert_int_lt(dataset_label(d, "SHD", &err), 0);
    ck_assert_ptr_nonnull(strstr(err.msg, "'SDH'"));
    ck_assert_int_eq(dataset_find(d, "b", &err), 1);
    ck_assert_int_lt(dataset_find(d, "c", &err), 0);
    dataset_close(d);
    FAILS("absent.csv", "--strict", "line 4: labels of scan 'zz'"); /* of a dataset that is there, too */
    runs(OK, "prepare --in a.nii b.nii.gz --out data --quiet --labels absent.csv --partial");
    ck_assert_ptr_null(strstr(headct_said, "have no scan, neither"));
    runs(OK, "prepare --in a.nii b.nii.gz --out data --quiet --labels absent.csv");
    says("absent.csv: 1 rows have no scan, neither among the inputs nor in the dataset: 'zz'");
    /* labels as pandas and others write them; blanks about a patient's id are no part of it */
    shell("printf 'scan,patient,IPH,SDH\\na, p1 ,1.0,False\\nb,p1,NaN,TRUE\\n' > pandas.csv");
    runs(OK, "prepare --in a.nii b.nii.gz --out data --quiet --labels pandas.csv");
    d = dataset_open("data", &err);
    ck_assert_mem_eq(d->labels, want, 4);
    ck_assert_str_eq(d->scans[0].patient, d->scans[1].patient);
    dataset_close(d);
    shell("sed 's/p1,1,0/p1,-1,0/' good.csv > unsure.csv");
    FAILS("unsure.csv", "", "--uncertain 0|1|empty");
    runs(OK, "prepare --in a.nii b.nii.gz --out data --quiet --labels unsure.csv --uncertain 1");
    shell("printf 'scan,patient,IPH\\nsome/where/a.nii,p1,1\\n' > paths.csv");
    FAILS("paths.csv", "", "labels of scan 'some_where_a'");
    FAILS("paths.csv", "", "no row has a scan: does column scan hold IDs, paths or SeriesInstanceUIDs");
    /* the same bytes under two patients */
    shell("cp b.nii.gz other.nii.gz && printf 'scan,patient,IPH\\nb,p1,1\\nother,p9,0\\n' > two.csv");
    runs(OK, "prepare --in b.nii.gz other.nii.gz --out copies --quiet --labels two.csv");
    runs(ERROR, "split copies");
    says("scans 'b' and 'other' are the same bytes under two patients");
    runs(OK, "split copies --allow-copies");
    runs(OK, "prepare --in a.nii b.nii.gz --out data --quiet --labels good.csv");
    /* labels of a scan that is already in the dataset are fine; they change without preparing anew */
    shell("sed 's/p1,1,0/p2,0,/' good.csv > new.csv");
    runs(OK, "prepare --in a.nii --out data --quiet --labels new.csv --label IPH --label SDH");
    says("0 prepared, 1 unchanged");
    d = dataset_open("data", &err);
    static const int8_t then[] = {0, -1, -1, 1};
    ck_assert_mem_eq(d->labels, then, 4);
    ck_assert_str_eq(d->scans[0].patient, "p2");
    dataset_close(d);
    /* without the table patients and labels stay, also where the scan is made again; a new scan is its own patient */
    nifti_file(&good, "labels/new.nii");
    runs(OK, "prepare --in a.nii new.nii --out data --quiet --exact");
    says("2 prepared");
    d = dataset_open("data", &err);
    ck_assert_mem_eq(d->labels, then, 4);
    ck_assert_str_eq(d->scans[0].patient, "p2");
    ck_assert_str_eq(d->scans[1].patient, "p1");
    ck_assert_str_eq(d->scans[2].patient, "new");
    ck_assert_int_eq(d->labels[4], -1);
    dataset_close(d);
}
END_TEST

START_TEST(splits_by_patient) {
    enter("split");
    nifti_spec good = nifti_plain();
    shell("mkdir in; echo scan,patient,IPH > labels.csv");
    nifti_file(&good, "split/in/s000.nii");
    shell("for i in $(seq 0 29); do n=s$(printf %%03d $i); cp -n in/s000.nii in/$n.nii; echo $n,p$((i %% 11)),$((i %% "
          "2)) >> labels.csv; done");
    runs(OK, "prepare --in in --out data --labels labels.csv --quiet");
    runs(OK, "split data --ratios 8:1:1 --seed 3 --allow-copies");
    says("train");
    says("IPH");
    char first[sizeof headct_said];
    strcpy(first, headct_said);
    hct_err err = {0};
    dataset *d = dataset_open("data", &err);
    size_t *part[3], n[3], sum = 0;
    static const char *const names[] = {"train", "val", "test"};
    for (int p = 0; p < 3; p++) {
        ck_assert_int_eq(dataset_split(d, names[p], &part[p], &n[p], &err), HCT_OK);
        ck_assert_uint_gt(n[p], 0);
        for (size_t i = 1; i < n[p]; i++)
            ck_assert_int_lt(strcmp(d->scans[part[p][i - 1]].id, d->scans[part[p][i]].id), 0);
        sum += n[p];
    }
    ck_assert_uint_eq(sum, 30);
    for (size_t i = 0; i < d->n; i++)
        for (size_t k = 0; k < d->n; k++)
            if (!strcmp(d->scans[i].patient, d->scans[k].patient))
                ck_assert_str_eq(d->scans[i].split, d->scans[k].split);
    for (int p = 0; p < 3; p++) free(part[p]);
    ck_assert_int_eq(dataset_split(d, "trian", &part[0], &n[0], &err), HCT_ENOTFOUND);
    dataset_close(d);
    runs(OK, "split data --ratios 8:1:1 --seed 3 --allow-copies");
    ck_assert_str_eq(first, headct_said);
    /* a dataset made in another order, with other row numbers, is split alike */
    runs(OK, "prepare --in in --out data3 --labels labels.csv --quiet --shard 2/2");
    runs(OK, "prepare --in in --out data3 --labels labels.csv --quiet --shard 1/2");
    runs(OK, "split data3 --ratios 8:1:1 --seed 3 --allow-copies");
    ck_assert_str_eq(first, headct_said);
    runs(OK, "split data --ratios 8:1:1 --seed 4 --allow-copies");
    dataset *e = dataset_open("data", &err), *f = dataset_open("data3", &err);
    int differ = 0;
    for (size_t i = 0; i < e->n; i++) differ |= strcmp(e->scans[i].split, f->scans[i].split) != 0;
    ck_assert(differ);
    dataset_close(e);
    dataset_close(f);
    /* scans that come later are named, and dealt without moving anybody */
    shell("mkdir later");
    good.inter = 7;
    nifti_file(&good, "split/later/new1.nii");
    runs(OK, "prepare --in later --out data --quiet");
    says("1 scans are of patients without a split");
    shell("\"$HEADCT\" dataset list data | cut -d, -f1-3 | grep -v ^new > before");
    runs(OK, "split data --keep --allow-copies");
    says("1 patients were new");
    shell("\"$HEADCT\" dataset list data | cut -d, -f1-3 | grep -v ^new | cmp - before && \"$HEADCT\" dataset info "
          "data | "
          "grep -q '^scans without a split *0$'");
    runs(OK, "split data --ratios 1:0:0 --allow-copies");
    runs(USAGE, "split data --ratios 8:1");
    runs(USAGE, "split data --ratios 8:-1:1");
    runs(USAGE, "split data --ratios 0:0:0");
    runs(USAGE, "split data --seed x");
    runs(USAGE, "split data --seed -1");
    runs(USAGE, "split");
}
END_TEST

START_TEST(help_is_complete) {
    static const char *const commands[] = {"phantom", "prepare", "split"};
    for (int i = 0; i < 3; i++) {
        runs(OK, "%s --help", commands[i]);
        says("Example");
        char call[64];
        snprintf(call, sizeof call, "headct %s", commands[i]);
        says(call);
        runs(USAGE, "%s --no-such-option", commands[i]);
    }
    runs(USAGE, "phantom");
    runs(USAGE, "phantom --out x --patients 0");
    runs(USAGE, "phantom --out x --size huge");
    runs(USAGE, "phantom --out x --scans-per-patient 3-1");
    runs(USAGE, "prepare --in x");
    runs(USAGE, "prepare --in x --out y --shard 3/2");
    runs(USAGE, "prepare --in x --out y --shard 1");
    runs(USAGE, "prepare --in x --out y --label IPH");
}
END_TEST

CHECK_MAIN("prepare", prepares_and_does_only_what_is_missing, jobs_and_shards_make_no_difference, phantoms_are_one_set,
           many_processes_make_one_index, leaves_prepared_scans_out, knows_a_dataset_by_its_file, labels_must_fit,
           splits_by_patient, help_is_complete)
