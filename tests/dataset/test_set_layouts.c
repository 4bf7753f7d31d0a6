/* prepare --layout FILE.yaml: expressions, the layouts that come with headct on tiny trees of their sets' forms, and
 * layouts that are none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/dataset.h"
#include "labelling/layout.h"
#include "prepare_runs.h"

static int value(void *context, const char *column, const char *compare, const char *word, hct_err *err) {
    (void)context;
    (void)err;
    int v = !strcmp(column, "T") ? 1 : !strcmp(column, "F") ? 0 : !strcmp(column, "long name") ? 1 : -1;
    return compare ? v < 0 ? v : (!strcmp(compare, "==") == (v == atoi(word))) : v;
}

START_TEST(expressions_have_three_values) {
    static const struct {
        const char *text;
        int want;
    } cases[] = {{"T", 1},
                 {"F", 0},
                 {"U", -1},
                 {"not T", 0},
                 {"not U", -1},
                 {"T or U", 1},
                 {"U or T", 1},
                 {"F or U", -1},
                 {"F and U", 0},
                 {"T and U", -1},
                 {"T and F or T", 1},
                 {"T and (F or F)", 0},
                 {"not (T and F) and \"long name\"", 1},
                 {"T == 1", 1},
                 {"T != 1", 0},
                 {"U == 1", -1},
                 {"", -2},
                 {"T or", -2},
                 {"(T", -2},
                 {"T F", -2},
                 {"T ==", -2},
                 {"\"open", -2},
                 {"and T", -2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hct_err err = {0};
        int got = layout_evaluate(cases[i].text, value, NULL, &err);
        ck_assert_msg(got == cases[i].want, "'%s' is %d, not %d (%s)", cases[i].text, got, cases[i].want, err.msg);
    }
    char deep[400] = "";
    for (int i = 0; i < 100; i++) strcat(deep, "(");
    hct_err err = {0};
    ck_assert_int_eq(layout_evaluate(deep, value, NULL, &err), -2);
}
END_TEST

/* "id patient IPH=1 ...": a line a scan. */
static const char *told(const char *folder) {
    static char text[2000];
    hct_err err = {0};
    dataset *d = dataset_open(folder, &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    size_t at = 0;
    for (size_t i = 0; i < d->n; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s %s", d->scans[i].id, d->scans[i].patient);
        for (size_t k = 0; k < d->n_labels; k++) {
            int v = d->labels[i * d->n_labels + k];
            if (v >= 0) at += (size_t)snprintf(text + at, sizeof text - at, " %s=%d", d->label_names[k], v);
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "\n");
    }
    dataset_close(d);
    return text;
}

/* A small scan; mask: a voxel of that value, 0: none. */
static void scan(const char *path, int mask) {
    shell("mkdir -p \"$(dirname '%s')\" && python3 -c \"import gzip, struct, sys; m = int(sys.argv[2]); h = "
          "bytearray(352); "
          "struct.pack_into('<i', h, 0, 348); struct.pack_into('<8h', h, 40, 3, 12, 12, 12, 1, 1, 1, 1); "
          "struct.pack_into('<hh', h, 70, 4, 16); struct.pack_into('<8f', h, 76, 1, 9, 9, 9, 1, 1, 1, 1); "
          "struct.pack_into('<f', h, 108, 352.0); h[344:348] = b'n+1\\0'; v = [(40 if m < 0 else 0)] * 1728; v[864] = "
          "max(m, "
          "0) if m >= 0 else 60; d = bytes(h) + struct.pack('<1728h', *v); open(sys.argv[1], "
          "'wb').write(gzip.compress(d) if "
          "sys.argv[1].endswith('.gz') else d)\" '%s' %d",
          path, path, mask);
}

START_TEST(sets_that_come_with_headct) {
    enter("sets");
    scan("ct/ct_scans/049.nii", -1);
    scan("ct/ct_scans/050.nii", -1);
    scan("ct/ct_scans/051.nii", -1);
    scan("ct/masks/049.nii", 1);
    shell("(echo "
          "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,No_Hemorrhage,"
          "Fracture_Yes_No; echo 49,1,0,0,0,0,0,1,0; echo 49,2,0,1,0,0,0,0,0; echo 50,1,0,0,0,0,0,1,1; echo "
          "77,1,0,0,0,0,0,1,1) > ct/t.csv");
    runs(OK, "prepare --in ct --out a --layout ct-ich --labels ct/t.csv --quiet");
    says("IPH 1/2");
    says("2 scans labelled, 1 have none; of 4 rows 1 are of no scan here");
    ck_assert_str_eq(told("a"), "ct_scans_049 ct-ich-049 IVH=0 IPH=1 SAH=0 EDH=0 SDH=0 ICH=1 Fracture=0\n"
                                "ct_scans_050 ct-ich-050 IVH=0 IPH=0 SAH=0 EDH=0 SDH=0 ICH=0 Fracture=1\n"
                                "ct_scans_051 ct-ich-051\n");
    scan("b/label_192/images/ID_1.nii.gz", -1);
    scan("b/label_192/images/ID_2.nii.gz", -1);
    scan("b/label_192/images/ID_3.nii.gz", -1);
    scan("b/label_192/ground truths/ID_1.nii.gz", 4);
    scan("b/label_192/ground truths/ID_2.nii.gz", 0);
    runs(OK, "prepare --in b --out bhsd --layout bhsd --quiet");
    ck_assert_ptr_nonnull(strstr(told("bhsd"),
                                 "label_192_images_ID_1 label_192_images_ID_1 EDH=0 IPH=0 IVH=0 SAH=1 SDH=0 "
                                 "ICH=1\nlabel_192_images_ID_2 label_192_images_ID_2 EDH=0 IPH=0 IVH=0 SAH=0 "
                                 "SDH=0 ICH=0\nlabel_192_images_ID_3 label_192_images_ID_3\n"));
    scan("i/train_2/data/001.nii.gz", -1);
    scan("i/train_2/label/001.nii.gz", 1);
    runs(OK, "prepare --in i --out inst --layout instance22 --quiet");
    ck_assert_str_eq(told("inst"), "train_2_data_001 instance-001 ICH=1\n");
    scan("s/series_7.nii.gz", -1);
    scan("s/series_12.nii.gz", -1);
    shell("printf 'name,label\nseries_7,1\nseries_12,0\n' > s.csv");
    runs(OK, "prepare --in s --out sino --layout sinoct --labels s.csv --quiet");
    ck_assert_str_eq(told("sino"), "series_12 series_12 Abnormal=0\nseries_7 series_7 Abnormal=1\n");
    scan("j/BRAIN_1_Anonymized.nii.gz", -1);
    scan("j/BRAIN_1_Anonymized_Mask.nii.gz", 1);
    runs(OK, "prepare --in j --out jhu --layout johns-hopkins --quiet");
    ck_assert_str_eq(told("jhu"), "BRAIN_1_Anonymized jhu-1\n");
}
END_TEST

START_TEST(layouts_of_ones_own) {
    enter("own");
    scan("in/w1/p7_a.nii", -1);
    scan("in/w2/p7_b.nii", -1);
    scan("in/w2/p8_a.nii", -1);
    scan("in/other.nii", -1);
    shell("printf "
          "'file;kind;volume;Age;Gender\nx-p7_a.nii;bleed;12.5;60;male\nx-p7_b.nii;none;0;61;M\nx-p8_a.nii;tumour;NA;;"
          "\n' > "
          "t.csv");
    shell("cat > own.yaml <<'X'\nscans: '/(p[0-9]_[a-z])[.]nii'\npatient: 'who-\\1'\ntable: {name: file, match: "
          "'^x-(.*)[.]nii', age: Age, sex: Gender}\nlabels:\n  Bleed: kind == bleed\n  Large: volume >= 10\n  Ill: not "
          "kind == "
          "none\nX");
    runs(OK, "prepare --in in --out data --layout own.yaml --labels t.csv --quiet");
    ck_assert_str_eq(told("data"), "w1_p7_a who-p7_a Bleed=1 Large=1 Ill=1\nw2_p7_b who-p7_b Bleed=0 Large=0 "
                                   "Ill=0\nw2_p8_a who-p8_a Bleed=0 Ill=1\n");
    runs(OK, "dataset why data w1_p7_a");
    says("age: 60");
    says("sex: M");
    says("HU 5%: ");
    runs(OK, "dataset list data");
    says(",HU 5%,HU 50%,HU 95%,");
    runs(ERROR, "prepare --in in --out none --layout own.yaml --quiet");
    says("its labels are of a table: name it with --labels CSV");
    shell("sed -i 's/;60;male/;93;male/' t.csv"); /* as docs/privacy.md has it */
    runs(OK, "prepare --in in --out data --layout own.yaml --labels t.csv --quiet");
    runs(OK, "dataset why data w1_p7_a");
    says("age: 90");
    runs(ERROR, "prepare --in in --out none --layout nowhere --quiet");
    says("nowhere");
    static const struct {
        const char *yaml, *says;
    } wrong[] = {{"labels: {A: a}", "it needs 'scans'"},
                 {"scans: 'p[0-9]'", "needs a group in brackets"},
                 {"scans: '(p[0-9'", "is no POSIX extended regular expression"},
                 {"scans: '(p)'\nscans: '(q)'", "scans: stands there twice"},
                 {"scans: '(p)'\nlables: {A: a}", "line 2: unknown key 'lables'"},
                 {"scans: '(p)'\nlabels: {A: a or}", "a column is expected"},
                 {"scans: '(p)'\ntable: {nam: x}", "unknown key 'nam' of table"},
                 {"scans: '(p)'\ntable: {number: true}", "needs 'name'"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        scratch_file("own/w.yaml", wrong[i].yaml, strlen(wrong[i].yaml));
        runs(ERROR, "prepare --in in --out none --layout ./w.yaml --quiet");
        says(wrong[i].says);
    }
    shell("test ! -e none");
    shell("sed 's/Bleed: .*/Bleed: kind/' own.yaml > value.yaml; sed 's/kind == bleed/knd == bleed/' own.yaml > "
          "col.yaml");
    runs(ERROR, "prepare --in in --out data --layout value.yaml --labels t.csv --quiet");
    says("', which is no label: compare it");
    runs(ERROR, "prepare --in in --out data --layout col.yaml --labels t.csv --quiet");
    says("no column 'knd'; did you mean 'kind'");
    ck_assert_ptr_nonnull(strstr(told("data"), "w1_p7_a who-p7_a Bleed=1")); /* what was written stays */
}
END_TEST

CHECK_MAIN("set_layouts", expressions_have_three_values, sets_that_come_with_headct, layouts_of_ones_own)
