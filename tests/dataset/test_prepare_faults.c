/* headct prepare where something is wrong: scans that it refuses and lists, useless arguments, disks and programs
 * that fail. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/dataset.h"
#include "dataset/prepare.h"
#include "make_dicom.h"
#include "make_nifti.h"
#include "prepare_runs.h"
#include "write_shim.h"

static double one_nan(int64_t i) { return i == 9 ? NAN : 0; }

START_TEST(lists_what_it_refuses) {
    enter("refuse");
    phantoms(1);
    const char *folder = "refuse/ph/";
    static const char *const reasons[][2] = {
        {"nan", "1 of 210 voxels are NaN or infinite"},
        {"flat", "2D image"},
        {"series", "4D series of 2 volumes"},
        {"wrong", "wrong dimensions"},
        {"short", "truncated"},
        {"cut", "truncated or damaged gzip data"},
        {"text", "not a NIfTI file"},
    };
    nifti_spec bad[4] = {nifti_plain(), nifti_plain(), nifti_plain(), nifti_plain()};
    bad[0].datatype = DT_FLOAT32;
    bad[0].value = one_nan;
    bad[1].dim[0] = 2;
    bad[2].dim[0] = 4;
    bad[2].dim[4] = 2;
    bad[3].dim[2] = -3;
    char name[256];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%s.nii.gz", folder, reasons[i][0]);
        nifti_file(&bad[i], name);
    }
    nifti_spec good = nifti_plain();
    snprintf(name, sizeof name, "%sshort.nii", folder);
    nifti_file(&good, name);
    shell("truncate -s -1 ph/short.nii; head -c 3000 ph/p0001_s1.nii.gz > ph/cut.nii.gz; echo hello > ph/text.nii");
    runs(PARTIAL, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("2 prepared, 0 unchanged, 7 refused");
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "refused scan '%s'", reasons[i][0]);
        says(name);
        says(reasons[i][1]);
    }
    shell("test $(ls data/scans | wc -l) = 2");
    hct_err err = {0};
    dataset *d = dataset_open("data", &err);
    ck_assert_msg(d && d->n == 2, "%s", err.msg);
    dataset_close(d);
    /* repaired: prepared now, the others refused again */
    snprintf(name, sizeof name, "%sshort.nii", folder);
    nifti_file(&good, name);
    runs(PARTIAL, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("1 prepared, 2 unchanged, 6 refused");
    /* and a good one gone bad is left out */
    shell("echo x > ph/p0001_s2.nii.gz");
    runs(PARTIAL, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("0 prepared, 2 unchanged, 7 refused");
    shell("test $(ls data/scans | wc -l) = 2 && test ! -e data/scans/p0001_s2.nii.gz");
}
END_TEST

/* A fault of the machine, here a file that may not be read, costs nothing that was prepared; long names and links
 * that loop end no run. */
START_TEST(faults_of_the_machine_and_names) {
    enter("faults");
    phantoms(2);
    shell("ls ph/*.nii.gz | wc -l > count");
    runs(OK, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    shell("cp data/scans/p0001_s1.nii.gz kept; mv ph/p0001_s1.nii.gz away; ln -s nowhere ph/p0001_s1.nii.gz");
    runs(PARTIAL, "prepare --in ph --out data --labels ph/labels.csv --quiet");
    says("not read: p0001_s1.nii.gz: No such file or directory");
    shell("cmp kept data/scans/p0001_s1.nii.gz; rm ph/p0001_s1.nii.gz; mv away ph/p0001_s1.nii.gz");
    runs(OK, "prepare --in ph --out data --quiet");
    hct_err err = {0};
    dataset *d = dataset_open("data", &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    /* as the labels said, not by its own name */
    for (size_t i = 0; i < d->n; i++) ck_assert_str_ne(d->scans[i].id, d->scans[i].patient);
    dataset_close(d);
    shell(
        "mkdir in; cp ph/p0001_s1.nii.gz in/a.nii.gz; ln -s . in/loop; cp in/a.nii.gz in/$(printf '%%0230d' 0).nii.gz");
    shell("mkfifo in/pipe.nii.gz"); /* not waited for */
    runs(PARTIAL, "prepare --in in --out out --quiet");
    says("its ID has 230 characters");
    runs(OK, "dataset why out pipe.nii.gz");
    says("pipe.nii.gz: no image");
    shell("test $(ls out/scans | wc -l) = 1");
}
END_TEST

/* A machine that cannot convert DICOM ends the run with one line; what was prepared from the folder stays, in the
 * index too. */
START_TEST(a_machine_that_cannot_convert) {
    enter("convert");
    nifti_spec good = nifti_plain();
    nifti_file(&good, "convert/made.nii");
    head_series_write(&(head_series){.folder = "series", .name = "IM%02d", .n = 12});
    shell("mkdir bin none tmp && head -c 400 made.nii > cut.nii");
    shell("printf '#!/bin/sh\n/bin/cp \"$MADE\" \"${10}/1_1.nii\"\n' > bin/dcm2niix && chmod +x bin/dcm2niix");
    char *path = strdup(getenv("PATH"));
    setenv("MADE", "made.nii", 1);
    setenv("PATH", "bin", 1);
    setenv("TMPDIR", "tmp", 1);
    runs(OK, "prepare --like-dcm2niix --in series made.nii --out data --quiet");
    setenv("MADE", "cut.nii", 1);
    runs(ERROR, "prepare --like-dcm2niix --in series made.nii --out data --quiet --exact --jobs 1");
    says("series: the volume that dcm2niix makes of it does not fit into the temporary folder tmp/");
    setenv("PATH", "none", 1);
    runs(ERROR, "prepare --like-dcm2niix --in series --out data --quiet --exact");
    says("apt-get install dcm2niix");
    setenv("PATH", "bin", 1);
    setenv("TMPDIR", "nowhere", 1);
    runs(ERROR, "prepare --like-dcm2niix --in series --out data --quiet --exact");
    says("set TMPDIR");
    setenv("TMPDIR", "tmp", 1);
    setenv("MADE", "made.nii", 1);
    runs(OK, "prepare --like-dcm2niix --in series made.nii --out data --quiet");
    says("0 prepared, 2 unchanged, 0 refused");
    shell("/bin/rm -r data");
    head_series_write(&(head_series){.folder = "again", .name = "IM%02d", .n = 12, .series = 3});
    /* a terminal's Ctrl-C reaches both */
    static const char *const signals[] = {"INT", "TERM"}, *const ends[] = {"", "kill -TERM $$"};
    for (int k = 0; k < 4; k++) {
        shell("printf '#!/bin/sh\nkill -%s $PPID\n%s\n/bin/cp \"$MADE\" \"${10}/1_1.nii\"\n' > bin/dcm2niix",
              signals[k % 2], ends[k / 2]);
        runs(STOPPED, "prepare --like-dcm2niix --in again series --out data --quiet --jobs 1");
        says(k < 2 ? "stopped after 1 of 2 scans; run it again for the rest" : "stopped after 0 of 2 scans");
        ck_assert_ptr_null(strstr(headct_said, "refused"));
        shell("test -z \"$(/bin/ls tmp)\"");
        shell("/bin/rm -r data");
    }
    runs(STOPPED, "prepare --like-dcm2niix --in again series --out data --quiet --jobs 1");
    shell("printf '#!/bin/sh\n/bin/cp \"$MADE\" \"${10}/1_1.nii\"\n' > bin/dcm2niix");
    runs(OK, "prepare --like-dcm2niix --in made.nii again series --out data --quiet");
    ck_assert_int_eq(chdir("series"), 0); /* of a folder that is named "." the ID is its real name */
    setenv("PATH", "../bin", 1);
    setenv("TMPDIR", "../tmp", 1);
    setenv("MADE", "../made.nii", 1);
    runs(OK, "prepare --like-dcm2niix --in . --out ../data --quiet");
    says("../data: 0 prepared, 1 unchanged");
    ck_assert_int_eq(chdir(".."), 0);
    setenv("PATH", path, 1);
    unsetenv("TMPDIR");
    free(path);
    shell("test -s data/scans/series.nii.gz && test -z \"$(ls tmp)\"");
}
END_TEST

START_TEST(refuses_useless_input) {
    enter("useless");
    shell("mkdir -p empty/below");
    runs(ERROR, "prepare --in empty --out data --quiet");
    says("no scan there");
    runs(ERROR, "prepare --in nowhere.nii --out data --quiet");
    says("nowhere.nii: No such file");
    shell("test ! -e data");
    nifti_spec good = nifti_plain();
    nifti_file(&good, "useless/a_b.nii");
    runs(USAGE, "prepare --in a_b.nii --out ''");
    head_series_write(&(head_series){.folder = "series", .name = "IM%02d", .n = 2});
    runs(PARTIAL, "prepare --in series/IM01 --out slices --quiet");
    says("refused scan 'IM01': few-slices");
    shell("rm -r series slices");
    shell("mkdir twice && cp a_b.nii twice/$(printf 'M\\374ller').nii");
    runs(PARTIAL, "prepare --in twice a_b.nii --out data --quiet"); /* no table could name it; the other is made */
    says("its name is no UTF-8, as tables of results must be: rename it");
    shell("test -e data/scans/a_b.nii.gz && rm -r data twice");
    runs(OK, "prepare --in a_b.nii . --out data --quiet"); /* given twice: it is one scan */
    says("1 prepared, 0 unchanged, 0 refused");
    good.inter = 5; /* other bytes */
    shell("mkdir a");
    nifti_file(&good, "useless/a/b.nii");
    runs(OK, "prepare --in . --out data --quiet"); /* two scans of one name get two ids, and keep them */
    says("1 prepared, 1 unchanged, 0 refused");
    shell("test $(ls data/scans | wc -l) = 2 && test $(ls data/scans | grep -c 'a_b-........[.]nii') = 1 && rm -r a "
          "a_b.nii");
    nifti_file(&good, "useless/a_b.nii");
    runs(ERROR, "split fresh");
    says("no dataset");
    shell("mkdir fake && echo 'not a database at all, just some text that is longer' > fake/index.sqlite");
    runs(ERROR, "split fake");
    says("fake/index.sqlite");
    shell("mkdir other && echo 'CREATE TABLE t(x);' > /dev/null && : > other/index.sqlite");
    runs(ERROR, "split other");
    says("not an index made by headct");
}
END_TEST

/* On a small tmpfs (where mounting is allowed), or with write() itself running out. Exits 0, or with what went wrong.
 */
static int by_tmpfs;
static int fill_the_disk(void) {
    int status = ERROR;
    if (by_tmpfs) {
        if (scratch_mount("data", 20000000) < 0) return 77;
        status = headct_run("prepare --in ph --out data --labels ph/labels.csv --quiet --jobs 1");
    } else {
        static const char *const inputs[] = {"ph"};
        prepare_options o = {.inputs = inputs, .n_inputs = 1, .dataset = "data", .jobs = 1, .shard = 1, .shards = 1};
        prepare_result r;
        hct_err err = {0};
        write_shim_budget = 20000000;
        if (prepare_dataset(&o, &r, &err) == HCT_OK) status = OK;
        write_shim_budget = -1;
        prepare_free(&r);
        snprintf(headct_said, sizeof headct_said, "%s", err.msg);
    }
    fprintf(stderr, "# disk filled by %s: %s\n", by_tmpfs ? "a small tmpfs" : "the write shim", headct_said);
    if (status != ERROR) return 10;
    if (!strstr(headct_said, "No space left") || !strstr(headct_said, "data/scans/p")) return 11;
    if (system("ls data data/scans | grep -q tmp") == 0) return 12;
    if (system("gzip -tq data/scans/*.gz") != 0) return 13;
    return system("n=$(ls data/scans | wc -l); test $n -ge 1 -a $n -lt 4") == 0 ? 0 : 14;
}

START_TEST(a_full_disk_is_an_error_and_leaves_nothing_half_written) {
    enter("full");
    phantoms(2);
    for (by_tmpfs = 1; by_tmpfs >= 0; by_tmpfs--) {
        shell("rm -rf data && mkdir data");
        int code = scratch_apart(fill_the_disk);
        ck_assert_msg(code == 0 || (by_tmpfs && code == 77), "exit %d with %s", code, by_tmpfs ? "tmpfs" : "shim");
        if (code == 77) fprintf(stderr, "# no tmpfs may be mounted here: the write shim alone\n");
    }
    runs(OK, "prepare --in ph --out data --labels ph/labels.csv --quiet"); /* with space again it goes on */
    says("unchanged, 0 refused");
    shell("test $(ls data/scans | wc -l) = 4 && gzip -tq data/scans/*.gz");
}
END_TEST

static int index_on_16_kib(void) {
    if (scratch_mount("data", 16384) < 0) return 77;
    int status = headct_run("prepare --in a.nii --out data --quiet");
    return status == ERROR && strstr(headct_said, "data/index.sqlite: ") && strstr(headct_said, "free some space") ? 0
                                                                                                                   : 1;
}

START_TEST(a_disk_too_full_for_the_index) {
    enter("index");
    nifti_spec good = nifti_plain();
    nifti_file(&good, "index/a.nii");
    shell("mkdir data");
    int code = scratch_apart(index_on_16_kib);
    ck_assert_msg(code == 0 || code == 77, "exit %d; it said: %s", code, headct_said);
}
END_TEST

static int read_only(void) {
    if (scratch_mount("the data", 100000000) < 0) return 77;
    if (headct_run("prepare --in a.nii --out 'the data' --quiet") != OK) return 10;
    if (mount(NULL, "the data", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) return 77;
    hct_err err = {0};
    dataset *d = dataset_open("the data", &err);
    if (!d) fprintf(stderr, "# %s\n", err.msg);
    int scans = d ? (int)d->n : 0;
    dataset_close(d);
    if (scans != 1) return 11;
    return headct_run("split 'the data'") == ERROR && strstr(headct_said, "readonly") ? 0 : 12;
}

START_TEST(reads_from_a_read_only_disk) {
    enter("read only");
    nifti_spec good = nifti_plain();
    nifti_file(&good, "read only/a.nii");
    shell("mkdir 'the data'");
    int code = scratch_apart(read_only);
    if (code == 77) fprintf(stderr, "# no file system may be mounted here: nothing compared\n");
    else ck_assert_msg(code == 0, "exit %d", code);
}
END_TEST

CHECK_MAIN("prepare_faults", lists_what_it_refuses, faults_of_the_machine_and_names, a_machine_that_cannot_convert,
           refuses_useless_input, a_full_disk_is_an_error_and_leaves_nothing_half_written,
           a_disk_too_full_for_the_index, reads_from_a_read_only_disk)
