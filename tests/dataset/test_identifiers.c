/* What results say of scans: names in clear only where they are asked for, those that were left out with their reason,
 * and a warning where scans and weights were prepared in different ways. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "hct/io.h"
#include "make_dicom.h"
#include "prepare_runs.h"

static void person(maker *m, int k, void *context) {
    (void)k, (void)context;
    maker_text(m, 0x00080050, "SH", "ACC777123");
    maker_text(m, 0x00100020, "LO", "PAT 0815");
    maker_text(m, 0x0020000d, "UI", "1.2.3.4");
    maker_text(m, 0x0020000e, "UI", "1.2.3.5");
}
static void magnet(maker *m, int k, void *context) {
    (void)k, (void)context;
    maker_text(m, 0x00080060, "CS", "MR");
}

/* A probe of a random encoder, trained on phantoms; "cd": a head and an MR of a hospital. */
static void make_run(void) {
    runs(OK,
         "phantom --out ph --plain --patients 8 --scans-per-patient 2 --prevalence 0.5 --size tiny --seed 3 --quiet");
    FILE *f = fopen("probe.yaml", "w");
    fputs("method: probe\n"
          "data: {crop: 192, image: 24, tasks: [SDH]}\n"
          "model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}\n"
          "optim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\n"
          "probe: {features: random}\n",
          f);
    fclose(f);
    runs(OK, "prepare --in ph --out data --labels ph/labels.csv --quiet --key key");
    runs(OK, "split data --ratios 2:1:1 --seed 1");
    runs(OK, "probe --recipe probe.yaml --data data --run run --quiet");
    shell("mkdir -p cd");
    head_series_write(
        &(head_series){.folder = "cd/head", .name = "IM%03d", .n = 12, .series = 2, .edit = person, .first = -40});
    head_series_write(&(head_series){.folder = "cd/mr", .name = "IM%03d", .n = 12, .series = 3, .edit = magnet});
}

#define NAMES ",path,study_uid,series_uid,accession_number"
#define WHEN ",time,version"

START_TEST(named_where_asked_for) {
    enter("named");
    make_run();
    runs(PARTIAL, "predict --run run cd --out p.csv --quiet");
    shell("head -1 p.csv | grep -qx 'scan,patient,split,SDH,input_sha256,refused" NAMES WHEN "'");
    shell("grep -q '^head,.*,cd/head,1[.]2[.]3[.]4,1[.]2[.]3[.]5,ACC777123,20.*Z,' p.csv");
    shell("grep -q '\"identifiers\":.*clear: paths, UIDs and accession numbers' p.csv.json");
    runs(PARTIAL, "predict --run run cd --out none.csv --identifiers none --quiet");
    shell("! grep -qE 'cd/|1[.]2[.]3|ACC777' none.csv && grep -q '^head,head,,0' none.csv");
    runs(OK, "predict --run run cd/head --out head.csv --quiet");
    shell("grep -q ',cd/head,1[.]2[.]3[.]4,' head.csv");
    runs(PARTIAL, "predict --run run cd --json --quiet");
    says("\"study_uid\":\"1.2.3.4\"");
    runs(PARTIAL, "embed --weights run/weights.safetensors cd --out e.safetensors --quiet");
    shell("grep -aq '\\[\\\\\"1.2.3.5\\\\\"\\]' e.safetensors && grep -aq accession_numbers e.safetensors");

    runs(PARTIAL, "prepare --in cd --out hospital --key key --quiet");
    runs(OK, "predict --run run --data hospital --out h.csv --quiet");
    shell("head -1 h.csv | grep -qx 'scan,patient,split,SDH,input_sha256,refused" WHEN
          "' && ! grep -q '1[.]2[.]3' h.csv");
    shell("grep -q '\"identifiers\":.*none: ids of the dataset' h.csv.json");
    runs(OK, "predict --run run --data hospital --identifiers clear --key key --out clear.csv --quiet");
    shell("grep -q '^head,p.*,head,1[.]2[.]3[.]4,1[.]2[.]3[.]5,ACC777123,20.*Z,' clear.csv");
    runs(ERROR, "predict --run run --data hospital --identifiers clear --key other --out other.csv --quiet");
    says("was made with another key than other");
    shell("! test -e other.csv");
    runs(USAGE, "predict --run run cd --identifiers all");
    says("--identifiers: 'all' is neither clear nor none");
}
END_TEST

START_TEST(left_out_with_their_reason) {
    enter("left_out");
    make_run();
    runs(PARTIAL, "predict --run run cd ph --out p.csv --quiet");
    shell("test $(wc -l < p.csv) = 19 && tail -1 p.csv | grep -q '^mr,mr,,,,.*modality.*,cd/mr,'"); /* 16, head, mr */
    shell("cp p.csv first.csv");
    runs(PARTIAL, "predict --run run cd ph --out p.csv --quiet");
    says("0 new, 17 there before, 1 refused");
    shell("sed -i 's/,20[-0-9]*T[:0-9]*Z,/,then,/' p.csv && sed 's/,20[-0-9]*T[:0-9]*Z,/,then,/' first.csv | cmp p.csv "
          "-");
    shell("cp first.csv p.csv");
    runs(OK, "evaluate p.csv --labels ph/labels.csv --tasks SDH --quiet");
    says("1 scans were left out when it was made");
    head_series_write(&(head_series){.folder = "cd/mr", .name = "IM%03d", .n = 12, .series = 3, .first = -40});
    runs(OK, "predict --run run cd ph --out p.csv --quiet"); /* mended, and tried again */
    shell("test $(wc -l < p.csv) = 19 && grep -q '^mr,mr,,0[.]' p.csv && head -18 first.csv | cmp - p.csv -n $(head "
          "-18 first.csv | wc "
          "-c)");
}
END_TEST

START_TEST(prepared_in_another_way) {
    enter("another");
    make_run();
    runs(PARTIAL, "prepare --in cd --out centred --center head --quiet --key key");
    runs(OK, "predict --run run --data centred --out p.csv --quiet");
    says("was trained on scans of another preparation");
    runs(OK, "predict --run run ph/p0001_s1.nii.gz --quiet");
    ck_assert_ptr_null(strstr(headct_said, "another preparation"));
    runs(OK, "prepare --in ph --out both --labels ph/labels.csv --quiet --key key");
    runs(PARTIAL, "prepare --in cd --out both --center head --quiet --key key");
    runs(OK, "split both --ratios 2:1:1 --seed 1");
    runs(ERROR, "probe --recipe probe.yaml --data both --run mixed --quiet");
    says("were prepared in different ways");
    runs(ERROR, "predict --run run --data both --out both.csv --quiet");
    says("were prepared in different ways");
}
END_TEST

CHECK_MAIN("identifiers", named_where_asked_for, left_out_with_their_reason, prepared_in_another_way)
