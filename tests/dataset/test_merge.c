/* headct dataset merge: what was prepared apart is the same, once it is joined, as what was prepared at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "index_texts.h"
#include "make_dicom.h"
#include "prepare_runs.h"
#include "support/measure.h"

static void magnet(maker *m, int k, void *context) {
    (void)k, (void)context;
    maker_text(m, 0x00080060, "CS", "MR");
}
static void person(maker *m, int k, void *context) {
    (void)k;
    maker_text(m, 0x00100020, "LO", context);
    maker_text(m, 0x00080020, "DA", "20190310");
}

/* n small series below a folder, every fifth no CT; patients PREFIX0, PREFIX1 ... have three each. */
static void heads(const char *folder, const char *prefix, int first, int n) {
    shell("mkdir -p %s && printf 'least_slices: 2\nleast_matrix: 8\nleast_extent: 0\n' > small.yaml", folder);
    for (int i = 0; i < n; i++) {
        char path[64], who[32];
        snprintf(path, sizeof path, "%s/s%03d", folder, first + i);
        snprintf(who, sizeof who, "%s%d", prefix, i / 3);
        head_series_write(&(head_series){.folder = path,
                                         .name = "IM%03d",
                                         .n = 3,
                                         .columns = 16,
                                         .rows = 16,
                                         .series = 2 + first + i,
                                         .edit = i % 5 == 3 ? magnet : person,
                                         .context = who});
    }
}

#define PREPARE "prepare --filters small.yaml --quiet "

static void are_equal(const char *one, const char *other) {
    char *a = index_text_of(one), *b = index_text_of(other);
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
    shell("for f in %s/scans/* %s/qc/*; do cmp $f %s${f#%s} || exit 1; done", one, one, other, one);
    shell("test \"$(cd %s && ls scans qc)\" = \"$(cd %s && ls scans qc)\"", one, other);
}

START_TEST(shards_make_the_whole) {
    enter("shards");
    heads("in", "P", 0, 8);
    shell("echo hello > in/readme.txt; : > in/empty.dcm; mkdir in/nifti");
    phantoms(2);
    shell("mv ph/*.nii.gz in/nifti/");
    runs(PARTIAL, PREPARE "--in in --out whole");
    runs(PARTIAL, PREPARE "--in in --out a --shard 1/3");
    runs(PARTIAL, PREPARE "--in in --out b --shard 2/3");
    runs(PARTIAL, PREPARE "--in in --out c --shard 3/3");
    runs(OK, "dataset merge joined a b c --quiet");
    says("joined: 11 scans: 11 added, 0 there already; ");
    says(" linked, 0 copied");
    are_equal("whole", "joined");
    shell(
        "for f in joined/scans/*; do n=$(basename $f); ls a/scans/$n b/scans/$n c/scans/$n 2>/dev/null | while read g; "
        "do test $g -ef $f || exit 1; done; done");
    runs(OK, "dataset merge joined c a --quiet"); /* again, and in another order */
    says("0 added, ");
    says("0 files linked, 0 copied");
    are_equal("whole", "joined");
    runs(PARTIAL, PREPARE "--in in --out joined");
    says("0 prepared, 11 unchanged");
    /* one into another, and shards that both have */
    runs(OK, "dataset merge a b --quiet");
    runs(OK, "dataset merge a joined c --quiet");
    are_equal("whole", "a");
    runs(OK, "dataset why a s003");
    says("left out 's003': a DICOM series of 3 slices at s003; reason: modality");
    /* what is in both stays itself where one is removed or replaced */
    runs(OK, "dataset remove joined s000");
    shell("test -e a/scans/s000.nii.gz && test ! -e joined/scans/s000.nii.gz");
}
END_TEST

START_TEST(sites_keep_labels_and_parts) {
    enter("sites");
    heads("north", "N", 0, 6);
    heads("south", "S", 20, 6);
    shell("printf 'scan,IPH,SDH\ns000,1,0\ns001,0,\n' > n.csv; printf 'scan,SDH,EDH\ns020,1,1\ns021,0,0\n' > s.csv");
    shell("printf 'scan,split\ns000,train\ns004,val\n' > ns.csv; printf 'scan,split\ns020,test\n' > ss.csv");
    runs(PARTIAL, PREPARE "--in north --out n --labels n.csv --patient-column -");
    runs(PARTIAL, PREPARE "--in south --out s --labels s.csv --patient-column - --for hlip");
    runs(OK, "split n --from ns.csv");
    runs(OK, "split s --from ss.csv");
    runs(OK, "dataset merge both n s --quiet");
    says("2 scans are of patients without a split");
    runs(OK, "dataset list both --out list.csv");
    shell("python3 - <<'E'\n"
          "import csv\n"
          "r = {row['scan']: row for row in csv.DictReader(open('list.csv'))}\n"
          "assert len(r) == 10, r.keys()\n"
          "want = {'s000': ('train', '1', '0', ''), 's001': ('train', '0', '', ''), 's020': ('test', '', '1', '1'),\n"
          "        's021': ('test', '', '0', '0'), 's004': ('val', '', '', ''), 's024': ('', '', '', '')}\n"
          "for scan, w in want.items():\n"
          "    got = tuple(r[scan][k] for k in ('split', 'IPH', 'SDH', 'EDH'))\n"
          "    assert got == w, (scan, got, w)\n"
          "E");
    shell("cmp both/forms/hlip/s020.nii.gz s/forms/hlip/s020.nii.gz && test ! -e both/forms/hlip/s000.nii.gz");
    runs(OK, "dataset info both");
    says("files: dicom                 36");
    runs(OK, "dataset why both s023/IM001");
    says("part of 's023', which was left out: modality");
}
END_TEST

/* Where file systems differ volumes are copied. */
START_TEST(volumes_are_copied_where_they_cannot_be_linked) {
    enter("copied");
    shell("rm -rf /dev/shm/headct-merge && mkdir -p /dev/shm/headct-merge");
    heads("in", "P", 0, 3);
    runs(OK, PREPARE "--in in --out /dev/shm/headct-merge/a");
    runs(OK, "dataset merge joined /dev/shm/headct-merge/a --quiet");
    says("3 added");
    says(access("/dev/shm/.", W_OK) == 0 ? " copied" : "");
    are_equal("/dev/shm/headct-merge/a", "joined");
    shell("rm -rf /dev/shm/headct-merge");
}
END_TEST

START_TEST(what_does_not_go_together_is_refused) {
    enter("refused");
    heads("in", "P", 0, 3);
    heads("other", "Q", 0, 3);
    heads("more", "R", 10, 3);
    shell("printf 'scan,IPH\ns000,1\n' > one.csv; printf 'scan,IPH\ns000,0\n' > zero.csv");
    shell("printf 'scan,split\ns000,train\n' > train.csv; printf 'scan,split\ns000,test\n' > test.csv");
    runs(OK, PREPARE "--in in --out a --labels one.csv --patient-column -");
    static const struct {
        const char *how, *says;
    } others[] = {{"--in more --key b.key", "were made with different keys"},
                  {"--in more --clear-dates", "were made with different dates"},
                  {"--in more --center head", "were prepared differently ("},
                  {"--in more --strict", "were made with different filters (file "},
                  {"--in other", "is of different patients in a/index.sqlite and b/index.sqlite"},
                  {"--in in --labels zero.csv --patient-column -", "scan 's000' has different labels in "},
                  {"--in in --labels nobody.csv --patient-column who", "scan 's000' is of different patients in "}};
    shell("printf 'scan,who,IPH\ns000,nobody,1\n' > nobody.csv");
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        shell("rm -rf b");
        runs(OK, PREPARE "%s --out b", others[k].how);
        for (int turn = 0; turn < 2; turn++) {
            runs(ERROR, turn ? "dataset merge a b --quiet" : "dataset merge new a b --quiet");
            says(others[k].says);
            says("a"), says("b");
            shell("test ! -e new && test $(ls a/scans | wc -l) = 3");
        }
    }
    shell("rm -rf b && cp -r a b");
    runs(OK, "split a --from train.csv");
    runs(OK, "split b --from test.csv");
    runs(ERROR, "dataset merge new a b --quiet");
    says("is in different parts of a/index.sqlite and b/index.sqlite");
    phantoms(1);
    runs(OK, PREPARE "--in ph --out p");
    shell("rm -rf b && cp -r a b && cp $(ls p/scans/*.nii.gz | head -1) b/scans/s000.nii.gz");
    runs(ERROR, "dataset merge new a b --quiet");
    says("scan 's000' has different volumes in a and b");
    shell("truncate -s 1000 b/scans/s000.nii.gz");
    runs(ERROR, "dataset merge new b --quiet");
    says("b/scans/s000.nii.gz: is missing or damaged");
    runs(ERROR, "dataset merge a a --quiet");
    says("to be joined to itself");
    runs(ERROR, "dataset merge a in --quiet");
    says("in: no dataset");
    runs(USAGE, "dataset merge a");
    shell("mkdir -p mine/scans && cp a/scans/s000.nii.gz mine/scans/");
    runs(ERROR, "dataset merge mine a --quiet");
    says("mine/scans: holds 1 volumes");
    shell("test ! -e new && test ! -e mine/index.sqlite");
}
END_TEST

/* The same id for other bytes: series that are left out make way, as they do in headct prepare. */
START_TEST(ids_of_what_was_left_out_make_way) {
    enter("way");
    heads("x", "P", 0, 5); /* s003 is no CT */
    heads("y", "Q", 3, 1); /* s003 is one */
    runs(PARTIAL, PREPARE "--in x --out a");
    runs(OK, PREPARE "--in y --out b");
    runs(OK, "dataset merge one a b --quiet");
    runs(OK, "dataset merge two b a --quiet");
    static const char *const both[] = {"one", "two"};
    for (int k = 0; k < 2; k++) {
        runs(OK, "dataset list %s", both[k]);
        says("\ns003,");
        runs(OK, "dataset refused %s", both[k]);
        says("\ns003-");
        runs(OK, "dataset info %s", both[k]);
        says("scans                        5");
    }
}
END_TEST

START_TEST(killed_and_started_again) {
    enter("killed");
    heads("in", "P", 0, 10);
    runs(PARTIAL, PREPARE "--in in --out whole");
    runs(PARTIAL, PREPARE "--in in --out a --shard 1/2");
    runs(PARTIAL, PREPARE "--in in --out b --shard 2/2");
    double began = measure_now();
    runs(OK, "dataset merge once a b --quiet");
    double whole = measure_now() - began;
    for (int k = 0; k < 25; k++) {
        shell("timeout -s KILL %.4f \"$HEADCT\" dataset merge joined a b --quiet >said 2>&1 || true",
              whole * (k + 1) / 25);
        /* all rows, or none, or no tables yet */
        if (access("joined/index.sqlite", F_OK) < 0) continue;
        int read = headct_run("dataset info joined");
        bool none = read == OK && strstr(headct_said, "scans                        0\n"),
             all = read == OK && strstr(headct_said, "scans                        8\n");
        ck_assert_msg(none || all || strstr(headct_said, "not an index"), "%s", headct_said);
        if (k % 5 == 4) shell("rm -rf joined");
    }
    runs(OK, "dataset merge joined a b --quiet");
    are_equal("whole", "joined");
    shell("test -z \"$(ls joined/scans | grep tmp)\"");
}
END_TEST

int main(void) {
    return CHECK_RUN("merge", shards_make_the_whole, sites_keep_labels_and_parts,
                     volumes_are_copied_where_they_cannot_be_linked, what_does_not_go_together_is_refused,
                     ids_of_what_was_left_out_make_way, killed_and_started_again);
}
