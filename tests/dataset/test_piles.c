/* headct prepare over piles of DICOM files: ids and patients that stay, nothing lost, nothing told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/dataset.h"
#include "dataset/key.h"
#include "dataset/scan_tags.h"
#include "dataset/index_found.h"
#include "index_texts.h"
#include "make_dicom.h"
#include "make_nifti.h"
#include "prepare_runs.h"

static void scout(maker *m, int k, void *context) {
    (void)k, (void)context;
    maker_text(m, 0x00080008, "CS", "ORIGINAL\\PRIMARY\\LOCALIZER");
}
static void magnet(maker *m, int k, void *context) {
    (void)k, (void)context;
    maker_text(m, 0x00080060, "CS", "MR");
}
/* Whose scan it is, with what must not be told. */
static void person(maker *m, int k, void *context) {
    (void)k;
    maker_text(m, 0x00080020, "DA", "20190310");
    maker_text(m, 0x00080050, "SH", "ACC777123");
    maker_text(m, 0x00081030, "LO", "CT HEAD FOR COUSIN XAVERIUS");
    maker_text(m, 0x00100010, "PN", "Zwiebelhuber^Ottokar");
    maker_text(m, 0x00100020, "LO", context);
    maker_text(m, 0x00100030, "DA", "19450506");
    maker_text(m, 0x00100040, "CS", "M");
}

static void slices(const char *folder, int number, void (*edit)(maker *, int, void *), void *context) {
    head_series_write(&(
        head_series){.folder = folder, .name = "IM%03d", .n = 12, .series = number, .edit = edit, .context = context});
}

START_TEST(every_file_under_one_heading) {
    enter("headings");
    shell("mkdir -p cd");
    slices("cd/head", 2, person, "PAT 0815");
    slices("cd/scout", 3, scout, NULL);
    slices("cd/mr", 4, magnet, NULL);
    nifti_spec good = nifti_plain();
    nifti_file(&good, "headings/cd/head/beside.nii.gz"); /* NIfTI beside DICOM */
    shell("echo hello > cd/readme.txt; : > cd/empty.dcm; ln -s head/IM001 cd/again");
    runs(PARTIAL, "prepare --in cd --out data --quiet");
    says("refused scan 'mr': modality");
    says("left out scan 'scout': localizer");
    says("not read: empty.dcm: is empty");
    says("left out: 1 modality, 1 localizer");
    says("2 prepared, 0 unchanged, 2 refused");
    runs(OK, "dataset why data head");
    says("scan 'head': a DICOM series of 12 slices at head");
    says("files: 12, from head/IM001 to head/IM012");
    runs(OK, "dataset why data mr/IM003");
    says("part of 'mr', which was left out: modality");
    runs(OK, "dataset why data readme.txt");
    says("no image");
    runs(OK, "dataset why data again");
    says("the same file as another one, by a link");
    runs(ERROR, "dataset why data nobody");
    says("knows nothing of 'nobody'");
    runs(OK, "dataset refused data --out refused.csv");
    shell("grep -q '^mr,mr,DICOM,12,modality,' refused.csv && grep -q '^,empty.dcm,file,,not-read,' refused.csv");
    runs(OK, "dataset info data");
    says("files: dicom                 36");
    runs(OK, "dataset funnel data");
    says("found      series and NIfTI files            4               100.0%");
    runs(OK, "dataset funnel data --out funnel.csv");
    shell(
        "printf 'step,what,scans,patients,percent\nfound,series and NIfTI files,4,,100.0\nleft out,localizer,1,,25.0\n"
        "left out,modality,1,,25.0\nkept,scans,2,2,50.0\npart,none,2,2,50.0\n' | diff - funnel.csv");
    shell("printf 'scan,split\nhead,test\n' > parts.csv");
    runs(OK, "split data --from parts.csv");
    runs(OK, "dataset funnel data --csv");
    says("kept,scans,2,2,50.0\npart,test,1,1,25.0\npart,none,1,1,25.0\n");
    runs(PARTIAL, "prepare --in cd --out data --quiet");
    says("0 prepared, 2 unchanged, 2 refused");
    runs(OK, "dataset list data --out list.csv");
    shell("test $(wc -l < list.csv) = 3 && head -1 list.csv | grep -q "
          "'^scan,patient,split,file,source,warnings,.*age,' && "
          "grep -q '^head,p.*,DICOM,' list.csv");
    runs(OK, "dataset remove data head");
    shell("test ! -e data/scans/head.nii.gz && test ! -e data/qc/head.png");
    runs(ERROR, "dataset remove data head");
    says("holds no scan 'head'");
    runs(PARTIAL, "prepare --in cd --out data --quiet");
    says("1 prepared, 1 unchanged, 2 refused");
    shell("rm -r cd/mr cd/empty.dcm");
    runs(OK, "prepare --in cd --out data --quiet"); /* what is gone is told of no more */
    says("0 prepared, 2 unchanged, 1 refused");
    runs(OK, "dataset info data");
    says("files: dicom                 24");
}
END_TEST

START_TEST(ids_stay) {
    enter("ids");
    slices("one/head", 2, person, "A");
    slices("two/head", 3, person, "B");
    runs(OK, "prepare --in one two --out data --quiet"); /* equal names of folders */
    says("2 prepared");
    shell("test -e data/scans/head.nii.gz && test $(ls data/scans | grep -c '^head-........[.]nii') = 1 && ls "
          "data/scans > first");
    slices("more", 5, person, "A");
    shell("for f in more/*; do mv $f one/head/x$(basename $f); done && ls data/scans > before");
    runs(OK, "prepare --in one two --out data --quiet"); /* a second series in the folder takes nobody's id */
    says("1 prepared, 2 unchanged");
    shell("test -e data/scans/head_s5.nii.gz && for f in $(cat before); do test -e data/scans/$f || exit 1; done");
    shell("mv one moved");
    runs(OK, "prepare --in moved two --out data --quiet"); /* UIDs, not places */
    says("0 prepared, 3 unchanged");
    runs(OK, "prepare --in moved two --out uids --id uid --quiet");
    shell("test $(ls uids/scans | grep -cE '^[0-9a-f]{16}[.]nii[.]gz$') = 3");
}
END_TEST

START_TEST(patients_share_a_split_and_nothing_is_told) {
    enter("patients");
    slices("cd/a", 2, person, "PAT 0815");
    slices("cd/b", 3, person, "PAT 0815 "); /* blanks at the end are no part of an id */
    slices("cd/c", 4, person, "PAT 0816");
    shell("mkdir conf");
    const char *usual = getenv("XDG_CONFIG_HOME");
    char *before = usual ? strdup(usual) : NULL;
    setenv("XDG_CONFIG_HOME", scratch_path("patients/conf"), 1);
    runs(OK, "prepare --in cd --out data --quiet");
    says("made a key, ");
    shell("test $(stat -c %%a conf/headct/key) = 600");
    hct_err err = {0};
    dataset *d = dataset_open("data", &err);
    ck_assert_msg(d != NULL && d->n == 3, "%s", err.msg);
    ck_assert_str_eq(d->scans[0].patient, d->scans[1].patient);
    ck_assert_str_ne(d->scans[0].patient, d->scans[2].patient);
    dataset_close(d);
    /* no name, id, UID, date or free text of a header, anywhere */
    shell("cat data/index.sqlite* data/scans/* | gzip -dcf > all 2>/dev/null; cat data/index.sqlite* >> all;"
          "! grep -qaE '0815|0816|ACC777|XAVERIUS|Zwiebel|Ottokar|20190310|2019-03-10|19450506|1[.]2[.]826' all");
    runs(OK, "dataset why data a");
    says("age: 73");
    says("sex: M");
    says("study date: 20");
    ck_assert_ptr_null(strstr(headct_said, "2019-03-10"));
    runs(OK, "prepare --in cd --out clear --clear-dates --quiet");
    runs(OK, "dataset why clear a");
    says("study date: 2019-03-10");
    /* another key tells other patients */
    setenv("XDG_CONFIG_HOME", scratch_path("patients/other"), 1);
    runs(ERROR, "prepare --in cd --out data --quiet");
    says("was made with another key");
    runs(OK, "prepare --in cd --out data --key conf/headct/key --quiet");
    says("3 unchanged");
    runs(ERROR, "prepare --in cd --out data --key data/key --quiet");
    says("lies inside the dataset");
    shell("echo nonsense > bad.key");
    runs(ERROR, "prepare --in cd --out new --key bad.key --quiet");
    says("bad.key: holds no key");
    if (before) setenv("XDG_CONFIG_HOME", before, 1);
    else unsetenv("XDG_CONFIG_HOME");
    free(before);
}
END_TEST

static void thick_and_bone(maker *m, int k, void *context) {
    (void)k, (void)context;
    maker_text(m, 0x00180050, "DS", "1.5");
    maker_text(m, 0x00181210, "SH", "H70h");
}

/* What only cannot be read today keeps what was made of it, and it is said why; paths are cut off where they begin. */
START_TEST(what_cannot_be_read_today_stays) {
    enter("today");
    dataset_index ix;
    hct_err err = {0};
    candidate c = {.nifti = 0};
    char walked[] = "a/", real[] = "/x/a/";
    found_root root = {walked, real, 1};
    found f = {.ix = &ix, .roots = &root, .n_roots = 1};
    ck_assert_msg(index_open(&ix, "data", 1, &err) == HCT_OK, "%s", err.msg);
    ck_assert_int_eq(index_exec(&ix, "INSERT INTO items VALUES(1, 'mark', 's', 's.nii', 'NIfTI', 0, NULL)", &err),
                     HCT_OK);
    for (int stays = 1; stays >= 0; stays--) {
        hct_status s =
            found_judge(&f, &c, "s", "unreadable", "/x/a/data/s.nii: Input/output error", stays, false, &err);
        ck_assert_msg(s == HCT_OK, "%s", err.msg);
        runs(OK, "dataset why data s");
        says(stays ? "scan 's'" : "left out 's'");
        says(stays ? "warning: unreadable: data/s.nii: Input" : "refused: unreadable: data/s.nii: Input");
    }
    index_close(&ix);
}
END_TEST

START_TEST(one_series_of_a_study) {
    enter("study");
    slices("cd/a", 2, person, "A"); /* 5 mm */
    slices("cd/b", 3, thick_and_bone, NULL);
    static const struct { const char *how, *kept; } cases[] = {{"thin", "b"}, {"thick", "a"}, {"soft", "a"}};
    for (int i = 0; i < 3; i++) {
        runs(OK, "prepare --in cd --out %s --filters none --one-per-study %s --quiet", cases[i].how, cases[i].how);
        says("1 not-chosen");
        shell("test \"$(ls %s/scans)\" = %s.nii.gz", cases[i].how, cases[i].kept);
    }
    runs(USAGE, "prepare --in cd --out x --one-per-study best");
}
END_TEST

START_TEST(keys_and_dates) {
    hct_err err = {0};
    dataset_key k;
    char one[KEY_HEX], other[KEY_HEX], date[16];
    enter("keys");
    ck_assert_msg(key_open("a.key", NULL, &k, &err) == HCT_OK && k.made, "%s", err.msg);
    ck_assert_int_eq(key_patient(&k, " Ame\xcc\x81lie ", one, &err), HCT_OK); /* e and an accent, or one character */
    ck_assert_int_eq(key_patient(&k, "Am\xc3\xa9lie", other, &err), HCT_OK);
    ck_assert_str_eq(one, other);
    int days = 0, again = 0;
    ck_assert_int_eq(key_days(&k, one, &days, &err), HCT_OK);
    ck_assert_int_eq(key_days(&k, other, &again, &err), HCT_OK);
    ck_assert(days == again && days >= 1 && days <= 3650);
    size_t n, m;
    unsigned char *sealed = key_seal(&k, (const unsigned char *)"a header", 8, &n, &err);
    unsigned char *plain = key_unseal(&k, sealed, n, &m, &err);
    ck_assert(plain && m == 8 && memcmp(plain, "a header", 8) == 0 && !memmem(sealed, n, "header", 6));
    sealed[n / 2] ^= 1;
    ck_assert_ptr_null(key_unseal(&k, sealed, n, &m, &err));
    free(sealed);
    free(plain);
    key_free(&k);
    scan_date("20200301", 1, date);
    ck_assert_str_eq(date, "2020-02-29");
    scan_date("20200301120000.5", 366, date);
    ck_assert_str_eq(date, "2019-03-01");
    scan_date("2020", 1, date);
    ck_assert_str_eq(date, "");
}
END_TEST

START_TEST(archives_and_filters) {
    enter("archives");
    slices("cd/deep/head", 2, person, "A");
    shell("cd cd && tar cf ../cd.tar . && cd .. && mkdir in && mv cd.tar in/");
    runs(OK, "prepare --in in --out data --quiet");
    says("1 prepared");
    shell("ls data/scans | grep -q '^cd.tar_.*head.nii.gz$'");
    runs(OK, "prepare --in cd --out plain --quiet");
    shell("cmp data/scans/*.nii.gz plain/scans/*.nii.gz");
    runs(PARTIAL, "prepare --in cd --out strict --filters nyu --quiet");
    says("refused scan 'deep_head': ");
    runs(ERROR, "prepare --in cd --out new --filters nonsense --quiet");
    says("nonsense");
    shell("mkdir -p gap && cp cd/deep/head/* gap && rm gap/IM006");
    runs(PARTIAL, "prepare --in gap --out new --quiet");
    says("refused scan 'gap': gap: ");
    runs(OK, "prepare --in cd --out centred --center head --quiet");
    runs(OK, "dataset info centred");
    says("scans                        1");
}
END_TEST

static int many_series; /* the pile that is killed, where it is not the small one */

START_TEST(killed_and_started_again) {
    int n = many_series ? many_series : 12, kills = many_series ? 10 : 4;
    enter("killed");
    for (int i = 0; i < n; i++) {
        char folder[64], who[32];
        snprintf(folder, sizeof folder, "pile/d%02d/s%04d", i / 50, i);
        snprintf(who, sizeof who, "P%d", i / 3);
        shell("mkdir -p pile/d%02d", i / 50);
        head_series_write(&(head_series){.folder = folder,
                                         .name = "IM%03d",
                                         .n = 3,
                                         .columns = 16,
                                         .rows = 16,
                                         .series = 2 + i,
                                         .edit = i % 7 == 3 ? magnet : person,
                                         .context = who});
    }
#define PREPARE "prepare --in pile --filters killed.yaml --jobs 2 --quiet --out "
    shell("printf 'least_slices: 2\nleast_matrix: 8\nleast_extent: 0\n' > killed.yaml");
    runs(PARTIAL, PREPARE "whole");
    srand(5);
    for (int k = 0; k < kills; k++)
        shell("timeout -s KILL %.2f \"$HEADCT\" " PREPARE "data >said 2>&1 || true",
              0.05 + (0.2 + 0.05 * n) * k / kills);
    shell("sleep 0.3"); /* until the last one is really gone */
    runs(PARTIAL, PREPARE "data");
    char *whole = index_text_of("whole"), *data = index_text_of("data");
    ck_assert_str_eq(whole, data);
    free(whole);
    free(data);
    shell("for f in whole/scans/*; do cmp $f data/scans/$(basename $f) || exit 1; done");
    shell("test \"$(ls -A whole/scans whole/qc | sed s/^whole//)\" = \"$(ls -A data/scans data/qc | sed s/^data//)\"");
}
END_TEST

int main(int argc, char **argv) {
    if (argc > 1) {
        many_series = atoi(argv[1]);
        return CHECK_RUN("piles", killed_and_started_again);
    }
    return CHECK_RUN("piles", every_file_under_one_heading, ids_stay, patients_share_a_split_and_nothing_is_told,
                     what_cannot_be_read_today_stays, one_series_of_a_study, keys_and_dates, archives_and_filters,
                     killed_and_started_again);
}
