/* headct label: a small hospital with known answers, every trap of codes and days, shifted dates and true ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/dataset.h"
#include "make_dicom.h"
#include "prepare_runs.h"

static void person(maker *m, int k, void *context) {
    (void)k;
    maker_text(m, 0x00080020, "DA", "20190310");
    maker_text(m, 0x00100020, "LO", context);
}

/* One scan a patient, P0 to P8, all of 2019-03-10. */
static void hospital(void) {
    for (int i = 0; i < 9; i++) {
        char folder[16], who[8];
        snprintf(folder, sizeof folder, "in/s%d", i);
        snprintf(who, sizeof who, "P%d", i);
        shell("mkdir -p in");
        head_series_write(&(head_series){.folder = folder,
                                         .name = "IM%03d",
                                         .n = 3,
                                         .columns = 16,
                                         .rows = 16,
                                         .series = 2 + i,
                                         .edit = person,
                                         .context = who});
    }
    shell("printf 'least_slices: 2\nleast_matrix: 8\nleast_extent: 0\n' > small.yaml");
    shell("cat > dx.csv <<'X'\npatient,date,code\n"
          "P0,2019-03-15,S06.5X0A\n"                 /* SDH, a code of seven characters */
          "P1,2019-03-10,i61.0\nP1,2019-04-01,Z00\n" /* IPH and so ICH: lower case, the first day */
          "P2,2019-06-08,I615\n"                     /* IVH and so ICH: no dot, the last day, the 90th */
          "P3,2019-06-09,I615\n"                     /* a day late: not known */
          "P4,2019-03-09,I61.5\n"                    /* a day before: not known; known where the window is centred */
          "P5,2019-03-20,I61\n"                      /* no hit, and known: negative */
          "P6,2019-03-20 14:05,Z99.9\n"              /* ADRD by a medication alone */
          "P7,2019-03-20,I62.9\n"                    /* ICH by its own code */
          "Q9,2019-03-20,I62.9\nX\n");               /* nobody here; P8 has no record */
    shell("cat > rx.csv <<'X'\npatient,date,name\nP6,2019-03-21,donepezil hcl 10 mg\nP0,2019-03-21,Aricept\nX\n");
}

/* Labels of the dataset as text, a scan a line: "s0 SDH" where positive, "s3 ?" where not known. */
static char *labels_of(const char *folder) {
    static char text[4000];
    hct_err err = {0};
    dataset *d = dataset_open(folder, &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    size_t at = 0;
    for (size_t i = 0; i < d->n; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s", d->scans[i].id);
        int known = 0;
        for (size_t k = 0; k < d->n_labels; k++) {
            known += d->labels[i * d->n_labels + k] >= 0;
            if (d->labels[i * d->n_labels + k] == 1)
                at += (size_t)snprintf(text + at, sizeof text - at, " %s", d->label_names[k]);
        }
        ck_assert(known == 0 || known == (int)d->n_labels);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s\n", known ? "" : " ?");
    }
    dataset_close(d);
    return text;
}

static const char forward[] = "s0 SDH\ns1 IPH ICH\ns2 IVH ICH\ns3 ?\ns4 ?\ns5\ns6 ADRD\ns7 ICH\ns8 ?\n";

START_TEST(every_trap_in_both_windows) {
    enter("traps");
    hospital();
    runs(OK, "prepare --in in --out data --filters small.yaml --key a.key --quiet");
    runs(OK, "label data --rules nyu --diagnoses dx.csv --medications rx.csv --key a.key");
    says(
        "6 of 9 scans have a record in their window, 0 have no date; 12 records, 1 of patients that the dataset lacks");
    ck_assert_str_eq(labels_of("data"), forward);
    runs(OK, "dataset why data s1");
    says("evidence of ICH: I610, 0 days after the scan");
    says("evidence of IPH: I610, 0 days after the scan");
    /* dates as they are give the same */
    runs(OK, "prepare --in in --out clear --filters small.yaml --key b.key --clear-dates --quiet");
    runs(OK, "label clear --rules nyu --diagnoses dx.csv --medications rx.csv --key b.key");
    ck_assert_str_eq(labels_of("clear"), forward);
    runs(ERROR, "prepare --in in --out clear --filters small.yaml --key b.key --quiet");
    says("its dates are clear");
    /* the other reading of the window */
    shell("sed 's/^window: .*/window: [-45, 45]/' '%s/labels/nyu.yaml' > centred.yaml", RECIPES);
    runs(OK, "label data --rules centred.yaml --diagnoses dx.csv --medications rx.csv --key a.key");
    ck_assert_str_eq(labels_of("data"), "s0 SDH\ns1 IPH ICH\ns2 ?\ns3 ?\ns4 IVH ICH\ns5\ns6 ADRD\ns7 ICH\ns8 ?\n");
    /* brand names are the user's to give */
    shell("printf 'brand,name\nAricept,donepezil\n' > brands.csv");
    runs(OK, "label data --rules nyu --diagnoses dx.csv --medications rx.csv --brands brands.csv --key a.key");
    ck_assert_ptr_nonnull(strstr(labels_of("data"), "s0 ADRD SDH\n"));
}
END_TEST

START_TEST(refuses_what_would_mislead) {
    enter("wrong");
    hospital();
    runs(OK, "prepare --in in --out data --filters small.yaml --key a.key --quiet");
#define LABEL "label data --key a.key --rules "
    runs(ERROR, "label data --rules nyu --diagnoses dx.csv --key other.key");
    says("was made with another key");
    shell("printf 'patient,date,code\nP0,2019-03-15,431\n' > nine.csv; printf 'icd9,icd10\n431,I61.9\n' > map.csv");
    runs(ERROR, LABEL "nyu --diagnoses nine.csv");
    says("nine.csv line 2: '431' is a code of ICD-9");
    runs(OK, LABEL "nyu --diagnoses nine.csv --icd9 map.csv");
    ck_assert_ptr_nonnull(strstr(labels_of("data"), "s0 IPH ICH\n"));
    shell("printf 'patient,date,code\nP0,03/15/2019,I61.9\n' > date.csv; printf "
          "'patient,date,code\nP0,2019-02-30,I61.9\n' > "
          "no.csv; printf 'patient,date,code\nP0,2019-03-15T10:00:00Z,I61.9\n' > zone.csv; printf 'mrn,date,code\n' > "
          "col.csv");
    runs(ERROR, LABEL "nyu --diagnoses date.csv");
    says("date.csv line 2: date '03/15/2019': YYYY-MM-DD is needed");
    runs(ERROR, LABEL "nyu --diagnoses no.csv");
    says("no.csv line 2");
    runs(ERROR, LABEL "nyu --diagnoses zone.csv");
    says("time zone");
    runs(ERROR, LABEL "nyu --diagnoses col.csv");
    says("no column 'patient'");
    ck_assert_ptr_nonnull(strstr(labels_of("data"), "s0 IPH ICH\n")); /* what was written stays */
    static const struct {
        const char *yaml, *says;
    } rules[] = {{"window: [0, 90]\nlabels: {A: {any_of: [B]}}", "which is not defined"},
                 {"window: [0, 90]\nlabels: {A: {any_of: [B]}, B: {any_of: [A]}}", "made of each other"},
                 {"window: [0, 90]\nlabels: {A: {codes: [431]}}", "no ICD-10 code can match '431'"},
                 {"window: [90, 0]\nlabels: {A: {codes: [I61]}}", "the window is empty"},
                 {"window: [0, 90]\nlabels: {A: {code: [I61]}}", "unknown key 'code'"},
                 {"labels: {A: {codes: [I61]}}", "needs 'window' and 'labels'"},
                 {"window: [0, 90]\nlabels: {A: {codes: [I61]}, A: {codes: [I62]}}", "twice"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        scratch_file("wrong/r.yaml", rules[i].yaml, strlen(rules[i].yaml));
        runs(ERROR, LABEL "r.yaml --diagnoses dx.csv");
        says(rules[i].says);
    }
    runs(ERROR, LABEL "nowhere --diagnoses dx.csv");
    says("nowhere");
    runs(OK, LABEL "nyu --diagnoses dx.csv --dry-run");
    says("nothing was written");
    ck_assert_ptr_nonnull(strstr(labels_of("data"), "s0 IPH ICH\n"));
}
END_TEST

START_TEST(both_readings_and_two_rule_files) {
    enter("diff");
    hospital();
    runs(OK, "prepare --in in --out data --filters small.yaml --key a.key --quiet");
#define BOTH "label data --key a.key --diagnoses dx.csv --medications rx.csv --rules "
    runs(OK, BOTH "nyu --window centered");
    ck_assert_str_eq(labels_of("data"), "s0 SDH\ns1 IPH ICH\ns2 ?\ns3 ?\ns4 IVH ICH\ns5\ns6 ADRD\ns7 ICH\ns8 ?\n");
    runs(OK, BOTH "nyu --window 0:90");
    ck_assert_str_eq(labels_of("data"), forward);
    runs(ERROR, BOTH "nyu --window 90:0");
    says("--window '90:0': forward, centered, or two numbers of days");
    shell("printf 'window: centered\nlabels:\n  IVH: {codes: [I615]}\n  SDH: {codes: [S06]}\n  Fall: {codes: [W]}\n' > "
          "mine.yaml");
    runs(OK, BOTH "nyu --diff mine.yaml --out differ.csv");
    says("IVH                   1          1          0            1            1\n"); /* s2, and s4 */
    says("SDH                   1          1          1            0            0\n");
    says("(first has it alone)");
    says("Fall                  0          0          0            0            0  (second has it alone)");
    says("of 9 scans with a date 6 have a record in the first's window, 6 in the second's; nothing was written");
    shell("grep -q '^s2,IVH,1,$' differ.csv && grep -q '^s4,IVH,,1$' differ.csv && ! grep -q '^s0,SDH' differ.csv");
    ck_assert_str_eq(labels_of("data"), forward);
    runs(USAGE, BOTH "nyu --out differ.csv");
    runs(OK, "dataset evidence data");
    says("label,what,records,scans\n");
    says("SDH,S065X0A,1,1\n");
    says("ADRD,donepezil hcl 10 mg,1,1\n");
}
END_TEST

START_TEST(codes_of_icd9) {
    enter("icd9");
    hospital();
    runs(OK, "prepare --in in --out data --filters small.yaml --key a.key --quiet");
#define NINE "label data --key a.key --rules nyu --diagnoses "
    static const char *const certain[] = {"431", "852.2", "E888.9", "E9289"};
    for (size_t i = 0; i < sizeof certain / sizeof *certain; i++) {
        shell("printf 'patient,date,code\nP0,2019-03-15,%s\n' > nine.csv", certain[i]);
        runs(ERROR, NINE "nine.csv");
        says("is a code of ICD-9, which the rules do not know");
    }
    /* V and E8 may be either's: read as ICD-10, and told of */
    shell("printf 'patient,date,code\nP0,2019-03-15,V58.61\nP1,2019-03-15,E83.4\nP2,2019-03-15,E11.9\n' > either.csv");
    runs(OK, NINE "either.csv");
    says("2 codes begin with V or E8");
    shell("printf 'patient,date,code,system\nP0,2019-03-15,V58.61,ICD-9-CM\n' > said.csv; printf "
          "'patient,date,code,system\nP0,2019-03-15,V58.61,ICD-10-CM\nP1,2019-03-15,I61.9,10\n' > ten.csv; printf "
          "'patient,date,code,system\nP0,2019-03-15,V58.61,SNOMED\n' > other.csv");
    runs(ERROR, NINE "said.csv --code-system-column system");
    says("said.csv line 2: 'V58.61' is a code of ICD-9");
    runs(OK, NINE "ten.csv --code-system-column system");
    ck_assert_ptr_null(strstr(headct_said, "begin with V"));
    runs(ERROR, NINE "other.csv --code-system-column system");
    says("other.csv line 2: 'SNOMED' is no code system that is known");
    runs(ERROR, NINE "ten.csv --code-system-column sytem");
    says("ten.csv: no column 'sytem'; did you mean 'system'");
    /* a patient of the records whom the dataset lacks is counted */
    runs(OK, NINE "dx.csv");
    says("1 of patients that the dataset lacks");
}
END_TEST

static void study(maker *m, int k, void *context) {
    (void)k;
    maker_text(m, 0x00100020, "LO", context);
}

START_TEST(public_tables) {
    enter("public");
    for (int i = 0; i < 3; i++) { /* RSNA: all slices of all scans in one folder, told by SeriesInstanceUID */
        char name[32], who[8];
        snprintf(name, sizeof name, "ID_%d00%%02dabc.dcm", i);
        snprintf(who, sizeof who, "R%d", i);
        head_series_write(&(head_series){.folder = "stage_2_train",
                                         .name = name,
                                         .n = 3,
                                         .columns = 16,
                                         .rows = 16,
                                         .series = 2 + i,
                                         .edit = study,
                                         .context = who});
    }
    shell("printf 'least_slices: 2\nleast_matrix: 8\nleast_extent: 0\n' > small.yaml");
    /* all of scan 0 negative; slice 2 of scan 1 has IPH; scan 2 lacks a slice's rows; a row twice; an image that is
     * not here */
    shell("echo ID,Label > t.csv; for f in stage_2_train/*; do id=$(basename $f .dcm); for t in epidural "
          "intraparenchymal "
          "intraventricular subarachnoid subdural any; do v=0; case $id-$t in "
          "ID_10002abc-intraparenchymal|ID_10002abc-any) v=1;; "
          "esac; [ $id = ID_20003abc ] || echo ${id}_$t,$v; done; done >> t.csv; tail -1 t.csv >> t.csv; echo "
          "ID_fffffffff_any,1 >> t.csv");
#define RSNA_PREPARE "prepare --in stage_2_train --out rsna --filters small.yaml --layout rsna --quiet --labels "
    runs(OK, RSNA_PREPARE "t.csv");
    says("labels: any 1, IPH 1, IVH 0, SAH 0, SDH 0, EDH 0; 2 scans labelled, 1 lack the labels of some slices, 0 have "
         "none");
    says("1 repeat others, 1 slices or studies are not here");
    shell("(cat t.csv; tail -2 t.csv | head -1 | sed 's/,0$/,1/') > two.csv; sed 's/_any,0/_all,0/' t.csv > type.csv; "
          "sed "
          "'s/_any,0/_any,x/' t.csv > value.csv");
    runs(ERROR, RSNA_PREPARE "two.csv");
    says("has two different labels");
    runs(ERROR, RSNA_PREPARE "type.csv");
    says("is no ID_<image>_<type>");
    runs(ERROR, RSNA_PREPARE "value.csv");
    says("is no label");
    runs(OK, "dataset list rsna --out l.csv");
    shell("test $(cut -d, -f7- l.csv | grep -c '^1,1,0,0,0,0') = 1"); /* what was written stays */

    for (int i = 0; i < 2; i++) {
        char folder[64], who[8];
        snprintf(folder, sizeof folder, "cq/CQ500CT%d CQ500CT%d/Unknown Study/CT Plain", 11 * i + 1, 11 * i + 1);
        snprintf(who, sizeof who, "C%d", i);
        shell("mkdir -p '%s'", folder);
        head_series_write(&(head_series){.folder = folder,
                                         .name = "CT%06d.dcm",
                                         .n = 3,
                                         .columns = 16,
                                         .rows = 16,
                                         .series = 7 + i,
                                         .edit = study,
                                         .context = who});
    }
    /* three readers: of study 1 two see an ICH, of study 12 one does; line ends of CRLF */
    shell(
        "awk 'BEGIN { n = split(\"ICH IPH IVH SDH EDH SAH BleedLocation-Left BleedLocation-Right ChronicBleed Fracture "
        "CalvarialFracture OtherFracture MassEffect MidlineShift\", t, \" \"); printf \"name,Category\"; for (r = 1; r "
        "< 4; r++) "
        "for (k = 1; k <= n; k++) printf \",R%%d:%%s\", r, t[k]; printf \"\\r\\n\"; split(\"1 12\", s, \" \"); for (i "
        "= 1; i < 3; "
        "i++) { printf \"CQ500-CT-%%d,B1\", s[i]; for (r = 1; r < 4; r++) for (k = 1; k <= n; k++) printf \",%%d\", k "
        "== 1 && r "
        "< (i == 1 ? 3 : 2); printf \"\\r\\n\" } }' > reads.csv");
    runs(OK, "prepare --in cq --out cq500 --filters small.yaml --layout cq500 --labels reads.csv --quiet");
    says("labels: ICH 1, IPH 0");
    says("2 scans labelled, 0 lack the labels of some slices, 0 have none");
    runs(USAGE, "prepare --in cq --out x --layout cq500");
    runs(ERROR, "prepare --in cq --out x --layout other --labels reads.csv");
}
END_TEST

CHECK_MAIN("label", public_tables, every_trap_in_both_windows, refuses_what_would_mislead,
           both_readings_and_two_rule_files, codes_of_icd9)
