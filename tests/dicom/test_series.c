/* dicom/series.h and verdict.h over piles made here: each row is a folder that is written, and the verdicts that must
 * come of it. The rows are the kinds of ../shared/cases and of ../shared/tools/hostile.py, without their Python. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dicom/pile.h"
#include "dicom/verdict.h"
#include "make_dicom.h"
#include "scratch.h"
#include "tap.h"

static char folder[300];

/* ---- what is written ---- */

/* Small slices, for what is not about their pixels. */
static head_series small(const char *name) {
    static char paths[8][400];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return (head_series){.folder = path, .columns = 128, .rows = 128, .spacing = 1.6};
}

static void order(maker *m, int k, void *numbers) {
    maker_format(m, 0x00200013, "IS", "%d", ((const int *)numbers)[k]);
}

static void order_of(const char *name, const int *numbers) {
    head_series s = small(name);
    s.edit = order;
    s.context = (void *)(uintptr_t)numbers;
    head_series_write(&s);
}

static void case_01(void) {
    static int swapped[35], first[35], reversed[35], ones[35];
    for (int k = 0; k < 35; k++) {
        swapped[k] = first[k] = k + 1;
        reversed[k] = k < 18 ? 18 - k : k + 1;
        ones[k] = 1;
    }
    swapped[10] = 12, swapped[11] = 11;
    first[0] = 2, first[1] = 1;
    order_of("a", swapped);
    order_of("b", first);
    order_of("c", reversed);
    order_of("d", ones);
}

static void remove_file(const char *name, int number) {
    char path[500];
    snprintf(path, sizeof path, "%s/%s/IM%04d.dcm", folder, name, number);
    unlink(path);
}

static void fill_file(const char *name, int number, size_t n) {
    char path[500];
    snprintf(path, sizeof path, "%s/%s/IM%04d.dcm", folder, name, number);
    FILE *f = fopen(path, "wb");
    for (size_t i = 0; f && i < n; i++) fputc(0x55, f);
    if (f) fclose(f);
}

static void case_02(void) {
    static const char *const names[] = {"complete", "absent", "empty", "garbage"};
    for (int i = 0; i < 4; i++) {
        head_series s = small(names[i]);
        head_series_write(&s);
        for (int k = 17; k <= 25; k++) {
            if (i == 1) remove_file(names[i], k);
            if (i == 2) fill_file(names[i], k, 0);
            if (i == 3) fill_file(names[i], k, 5000);
        }
    }
}

static void case_02_last(void) { /* no gap tells of it */
    head_series s = small("last");
    head_series_write(&s);
    fill_file("last", 35, 0);
}

static void say_video(maker *m, int k, void *c) {
    (void)k, (void)c;
    static const char frame[200] = "\xff\xd8";
    const void *bytes[] = {frame};
    size_t lengths[] = {sizeof frame};
    maker_fragments(m, NULL, 0, bytes, lengths, 1);
}

static void case_02_syntax(void) {
    head_series s = small("video");
    head_series_write(&s);
    s.n = 1;
    s.start = 18;
    s.first = 0;
    s.step = 1;
    s.form.syntax = "1.2.840.10008.1.2.4.102";
    s.edit = say_video;
    head_series_write(&s);
}

static void by_design(void) { /* 2.5 then 7.5 mm */
    double at[30];
    for (int k = 0; k < 30; k++) at[k] = k < 15 ? 2.5 * k : 35 + 7.5 * (k - 14);
    head_series s = small("design");
    s.n = 30;
    s.at = at;
    head_series_write(&s);
}

static void one_missing(void) { /* in the thick part of such a scan */
    double at[29];
    for (int k = 0; k < 29; k++) at[k] = k < 15 ? 2.5 * k : 35 + 7.5 * (k - 14 + (k > 20));
    head_series s = small("thick");
    s.n = 29;
    s.at = at;
    head_series_write(&s);
}

static void one_missing_thin(void) { /* and in the thin one, where the gap is below the median */
    double at[29];
    for (int k = 0; k < 29; k++) at[k] = k < 9 ? 2.5 * (k + (k > 4)) : 22.5 + 7.5 * (k - 8);
    head_series s = small("thin");
    s.n = 29;
    s.at = at;
    head_series_write(&s);
}

static void no_position(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_drop(m, 0x00200032);
    maker_drop(m, 0x00200037);
}

static void set_modality(maker *m, int k, void *c) {
    (void)k;
    maker_text(m, 0x00080060, "CS", c);
    maker_drop(m, 0x00281052);
    maker_drop(m, 0x00281053);
}

static void set_type(maker *m, int k, void *c) {
    (void)k;
    maker_text(m, 0x00080008, "CS", c);
}

/* Slices edited, one series a row. */
static void edited(const char *name, void (*edit)(maker *, int, void *), const char *context, int series) {
    head_series s = small(name);
    s.edit = edit;
    s.context = (void *)(uintptr_t)context;
    s.series = series;
    head_series_write(&s);
}

static void case_05(void) { edited("bare", no_position, NULL, 2); }
static void case_06(void) {
    edited("mr", set_modality, "MR", 2);
    edited("pt", set_modality, "PT", 3);
}
static void case_09(void) {
    head_series s = small("old");
    s.form = (maker_form){.no_preamble = true, .no_meta = true, .implicit = true};
    head_series_write(&s);
}

static void case_10(void) { /* a scout above two series in folders */
    head_series scout = small("study"), thick = small("study/thick"), thin = small("study/thin");
    scout.n = 1;
    scout.series = 1;
    scout.edit = set_type;
    scout.context = "ORIGINAL\\PRIMARY\\LOCALIZER";
    thin.series = 3;
    thin.n = 69;
    thin.first = -85;
    thin.step = 2.5;
    head_series_write(&scout);
    head_series_write(&thick);
    head_series_write(&thin);
}

static void one_series_in_folders(void) { /* of a slice each */
    for (int k = 0; k < 35; k++) {
        char name[60];
        snprintf(name, sizeof name, "spread/%02d", k);
        head_series s = small(name);
        s.n = 1;
        s.first = -85 + 5 * k;
        s.step = 1;
        s.start = 1 + k;
        head_series_write(&s);
    }
}

static void case_13(void) {
    edited("spo", set_type, "DERIVED\\PRIMARY\\AXIAL\\CT_SOM5 SPO", 2);
    edited("mpr", set_type, "DERIVED\\SECONDARY\\AXIAL\\MPR", 3);
}

static void case_15(void) { /* scouts of three slices each, in the folder and under the series of the scan */
    static const double turned[2][6] = {{0, 1, 0, 0, 0, -1}, {1, 0, 0, 0, 0, -1}};
    head_series s = small("ct");
    head_series_write(&s);
    for (int i = 0; i < 2; i++) {
        head_series scout = small("ct");
        scout.n = 3;
        scout.first = -2;
        scout.step = 2;
        scout.series = 1;
        scout.start = 900 + 3 * i;
        memcpy(scout.orientation, turned[i], sizeof scout.orientation);
        scout.edit = set_type;
        scout.context = "ORIGINAL\\PRIMARY\\LOCALIZER";
        head_series_write(&scout);
    }
}

static void case_29(void) {
    head_series s = small("spacing");
    s.n = 18;
    head_series_write(&s);
    s.spacing = 1.2;
    s.start = 19;
    s.n = 17;
    s.first = 5;
    s.step = 5;
    head_series_write(&s);
}

static void shift(maker *m, int k, void *c) {
    (void)c;
    if (k >= 18) maker_format(m, 0x00200032, "DS", "%.6f\\%.6f\\%.6f", -101.6 + 10, -101.6, -85 + 5.0 * k);
}
static void case_29_recentred(void) { edited("recentred", shift, NULL, 2); }

static void case_30(void) {
    head_series s = small("two");
    s.n = 2;
    s.first = 15;
    s.step = 5;
    head_series_write(&s);
}

/* ---- hostile copies ---- */

static void nine(void) {
    head_series s = small("nine");
    s.n = 9;
    head_series_write(&s);
}

static void cut_one(void) {
    head_series s = small("cut");
    head_series_write(&s);
    s.form.cut = 1000;
    s.n = 1;
    s.start = 12;
    s.first = -30;
    s.step = 1;
    head_series_write(&s);
}

static void some_deflated(void) {
    head_series s = small("deflated");
    head_series_write(&s);
    s.form = (maker_form){.syntax = "1.2.840.10008.1.2.1.99", .deflated = true};
    s.n = 3;
    s.start = 12;
    s.first = -30;
    s.step = 5;
    head_series_write(&s);
}

static void twice(void) {
    head_series s = small("twice");
    head_series_write(&s);
    s.name = "copy%04d.dcm";
    head_series_write(&s);
}

static double brighter(double x, double y, double z) { return head_hu(x, y, z) + 300; }
static void other_instance(maker *m, int k, void *c) {
    (void)c;
    maker_format(m, 0x00080018, "UI", "1.2.826.0.1.3680043.8.498.2.%d.9", k);
}

static void twice_other_pixels(void) {
    head_series s = small("other");
    head_series_write(&s);
    s.name = "b_IM%04d.dcm";
    s.hu = brighter;
    s.edit = other_instance;
    head_series_write(&s);
}

static void drop_rescale(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_drop(m, 0x00281052);
    maker_drop(m, 0x00281053);
}
static void no_rescale(void) { edited("rescale", drop_rescale, NULL, 2); }

static void set_mono(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_text(m, 0x00280004, "CS", "MONOCHROME1");
}
static void monochrome1(void) { edited("mono", set_mono, NULL, 2); }

static void set_lossy(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_text(m, 0x00080008, "CS", "DERIVED\\PRIMARY\\AXIAL");
    maker_text(m, 0x00282110, "CS", "01");
}
static void derived_lossy(void) { edited("lossy", set_lossy, NULL, 2); }

static void drop_number(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_drop(m, 0x00200013);
    maker_drop(m, 0x00181120);
}
static void no_number(void) { edited("number", drop_number, NULL, 2); }

static void tilted(void) {
    head_series s = small("tilt");
    s.tilt = -18.5;
    s.edit = drop_number;
    head_series_write(&s);
}

static void without_series_uid(maker *m, int k, void *c) {
    (void)k;
    if (c) maker_text(m, 0x0020000e, "UI", "");
    else maker_drop(m, 0x0020000e);
    maker_drop(m, 0x0020000d);
    maker_drop(m, 0x00080018);
}
static void no_uids(void) { /* two series of one folder, told apart by what they are called */
    edited("uid", without_series_uid, NULL, 2);
    head_series s = small("uid");
    s.series = 3;
    s.start = 100;
    s.edit = without_series_uid;
    s.context = "";
    head_series_write(&s);
}

static void set_acquisition(maker *m, int k, void *c) {
    maker_format(m, 0x00200012, "IS", "%d", *(const int *)c);
    maker_format(m, 0x00080018, "UI", "1.2.826.0.1.3680043.8.498.2.%d.%d", *(const int *)c, k);
}
static void two_acquisitions(void) {
    static int one = 1, other = 2;
    head_series s = small("acquisitions");
    s.edit = set_acquisition;
    s.context = &one;
    head_series_write(&s);
    s.context = &other;
    s.name = "second%04d.dcm";
    s.hu = brighter;
    head_series_write(&s);
}

static void bolus(maker *m, int k, void *c) {
    (void)c;
    maker_text(m, 0x00200032, "DS", "-100\\-100\\61.5");
    maker_format(m, 0x00200012, "IS", "%d", k);
}
static void one_place(void) {
    head_series s = small("bolus");
    s.n = 4;
    s.edit = bolus;
    head_series_write(&s);
}

static void rsna(maker *m, int k, void *c) {
    static const uint32_t dropped[] = {0x00080008, 0x00080016, 0x00080020, 0x00080070, 0x0008103e, 0x00100010,
                                       0x00180050, 0x00180060, 0x00200011, 0x00200012, 0x00200013, 0x00200052};
    (void)c;
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++) maker_drop(m, dropped[i]);
    maker_format(m, 0x00080018, "UI", "ID_%09x", k * 2654435);
    maker_text(m, 0x0020000d, "UI", "ID_d81ae88d9a");
    maker_text(m, 0x0020000e, "UI", "ID_c74f38e1ec");
}
static void rsna_like(void) { edited("rsna", rsna, NULL, 2); }

static void set_text(maker *m, int k, void *c) { /* "TAG VR TEXT" */
    unsigned tag;
    char vr[3], text[200] = "";
    (void)k;
    if (sscanf(c, "%8x %2s %199[^\n]", &tag, vr, text) >= 2) maker_text(m, tag, vr, text);
}
static void contrast(void) { edited("contrast", set_text, "00180010 LO ISOVUE300/100", 2); }
static void no_contrast(void) { edited("none", set_text, "00180010 LO NONE", 2); }
static void thick(void) { edited("thick", set_text, "00180050 DS 8", 2); }
static void low_kvp(void) { edited("kvp", set_text, "00180060 DS 60", 2); }
static void bone(void) { edited("bone", set_text, "00181210 SH BONE", 2); }
static void soft(void) { edited("soft", set_text, "00181210 SH Hr40f\\3", 2); }
static void abdomen(void) { edited("abdomen", set_text, "0008103e LO ABDOMEN 5MM", 2); }
static void angio(void) { edited("angio", set_text, "0008103e LO CTA HEAD", 2); }
static void report(void) {
    maker *m = maker_new();
    char path[400];
    maker_text(m, 0x00080060, "CS", "SR");
    maker_text(m, 0x0020000e, "UI", "1.2.3");
    maker_text(m, 0x0040a040, "CS", "CONTAINER");
    snprintf(path, sizeof path, "%s/report.dcm", folder);
    maker_write(m, NULL, path);
    maker_free(m);
}

/* ---- the table ---- */

typedef struct row {
    const char *name;
    void (*make)(void);
    const char *verdicts; /* by default filters, in order of the first file; "keep" or a word, with blanks between */
    const char *notes;    /* words that must be among the first series' findings, or NULL */
    const char *by_nyu;   /* verdicts by nyu.yaml, NULL: not asked */
    int slices;           /* of the first series */
} row;

static const row rows[] = {
    {"01 numbers not in the order of position", case_01, "keep keep keep keep", NULL, "kernel kernel kernel kernel",
     35},
    {"02 slices absent, empty, garbage", case_02, "gap keep member-unreadable member-unreadable", NULL, NULL, 26},
    {"02 the last slice is empty", case_02_last, "member-unreadable", NULL, NULL, 34},
    {"02 a slice of an unsupported syntax", case_02_syntax, "unreadable", NULL, NULL, 35},
    {"02 2.5 then 7.5 mm by design", by_design, "keep", "uneven", NULL, 30},
    {"02 a slice is missing in the thick part", one_missing, "gap", NULL, NULL, 29},
    {"02 a slice is missing in the thin part", one_missing_thin, "gap", NULL, NULL, 29},
    {"05 no position", case_05, "no-position", NULL, NULL, 35},
    {"06 MR and PT", case_06, "modality modality", "no-rescale", NULL, 35},
    {"09 no preamble, no group 2", case_09, "keep", NULL, NULL, 35},
    {"10 series in folders below a stray scout", case_10, "localizer keep keep", NULL, NULL, 1},
    {"10 one series spread over 35 folders", one_series_in_folders, "keep", NULL, NULL, 35},
    {"13 derived axial and MPR", case_13, "reformat keep", "derived", NULL, 35},
    {"15 scouts of several slices", case_15, "keep localizer localizer", NULL, NULL, 35},
    {"29 spacing changes", case_29, "spacing", NULL, NULL, 35},
    {"29 re-centred", case_29_recentred, "recentred", NULL, NULL, 35},
    {"30 two slices", case_30, "few-slices", NULL, NULL, 2},
    {"nine slices", nine, "few-slices", NULL, NULL, 9},
    {"a cut file", cut_one, "unreadable", NULL, NULL, 35},
    {"some slices deflated", some_deflated, "keep", NULL, NULL, 35},
    {"every file twice", twice, "keep", "copies", NULL, 35},
    {"same place, other pixels", twice_other_pixels, "duplicates", NULL, NULL, 70},
    {"no rescale", no_rescale, "no-rescale", NULL, NULL, 35},
    {"MONOCHROME1", monochrome1, "keep", "monochrome1", NULL, 35},
    {"derived and lossy", derived_lossy, "keep", "derived lossy", NULL, 35},
    {"no InstanceNumber, no tilt tag", no_number, "keep", NULL, NULL, 35},
    {"tilted without a word of it", tilted, "keep", "tilt", NULL, 35},
    {"no UIDs", no_uids, "keep keep", NULL, NULL, 35},
    {"two acquisitions under one UID", two_acquisitions, "keep keep", NULL, NULL, 35},
    {"a bolus monitor", one_place, "one-position", "few-slices", NULL, 4},
    {"RSNA's tags", rsna_like, "keep", NULL, "thickness", 35},
    {"contrast agent", contrast, "contrast", NULL, NULL, 35},
    {"contrast agent NONE", no_contrast, "keep", NULL, NULL, 35},
    {"8 mm", thick, "thickness", NULL, NULL, 35},
    {"60 kV", low_kvp, "kvp", NULL, NULL, 35},
    {"bone kernel", bone, "kernel", NULL, "kernel", 35},
    {"soft kernel of two values", soft, "keep", NULL, "keep", 35},
    {"abdomen", abdomen, "not-head", NULL, "kernel", 35},
    {"CTA of the head", angio, "words", NULL, "kernel", 35},
    {"a report", report, "no-image", NULL, NULL, 1},
};

static void judge(const row *r, const char *filters, const char *want) {
    const char *input = folder;
    pile p;
    series_list l;
    series_filters f;
    hct_err err = {0};
    char have[400] = "", notes[400] = "";
    size_t slices = 0;
    hct_status s = filters_read(filters, &f, &err);
    if (s == HCT_OK) s = pile_read(&input, 1, &p, &err);
    if (s == HCT_OK) s = series_group(p.files, p.n, &l, &err);
    for (size_t i = 0; s == HCT_OK && i < l.n; i++) {
        verdict v;
        s = verdict_of(&l.items[i], p.files, &f, verdict_equal, p.files, &v, &err);
        if (s < 0) break;
        snprintf(have + strlen(have), sizeof have - strlen(have), "%s%s", i ? " " : "",
                 v.refusal ? verdict_word(v.refusal->reason) : "keep");
        for (size_t k = 0; k < v.n; k++)
            snprintf(notes + strlen(notes), sizeof notes - strlen(notes), " %s ", verdict_word(v.findings[k].reason));
        if (i == 0) slices = l.items[i].n_slices;
        for (size_t k = 0; k < v.n; k++) /* no sentence may hold what a header says of the patient */
            if (strstr(v.findings[k].sentence, "1.2.826") || strstr(v.findings[k].sentence, "20200101"))
                snprintf(have, sizeof have, "a sentence tells of the header: %s", v.findings[k].sentence);
        verdict_free(&v);
    }
    int noted = 1;
    char words[100];
    snprintf(words, sizeof words, "%s", r->notes ? r->notes : "");
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) {
        char padded[60];
        snprintf(padded, sizeof padded, " %s ", w);
        noted = noted && strstr(notes, padded);
    }
    tap_ok(s == HCT_OK && strcmp(have, want) == 0 && noted && slices == (size_t)r->slices,
           "%s, %s: %s (%s; %zu slices) %s", r->name, filters, have, notes, slices, err.msg);
    series_list_free(&l);
    pile_free(&p);
    filters_free(&f);
}

/* What a series keeps of its copy in another folder. */
static void test_copies(void) {
    snprintf(folder, sizeof folder, "%s/copies", scratch_folder());
    mkdir(folder, 0700);
    head_series whole = small("backup"), broken = small("disk");
    head_series_write(&whole);
    head_series_write(&broken);
    for (int k = 17; k <= 25; k++) remove_file("disk", k);
    static const row r = {"a whole copy in another folder mends nothing", NULL, NULL, NULL, NULL, 35};
    judge(&r, "any-head-ct", "keep gap");
}

/* The sets of ../shared/data, by their README. */
static void test_sets(const char *data) {
    static const struct {
        const char *set, *verdicts, *sometimes; /* sometimes: findings that must be there */
        int slices;
    } table[] = {
        {"philips_head_study", "localizer keep secondary-capture secondary-capture", NULL, 1},
        {"philips_head_tilt", "keep", "tilt", 58},
        {"dicom_ge_tilt", "keep", "tilt uneven", 28},
        {"siemens_abdomen_j2k", "contrast", NULL, 20},
        {"siemens_bolus_monitor", "one-position", "few-slices", 4},
        {"pydicom_dicomdir/77654033", "modality modality modality gap", NULL, 1},
        {"pydicom_dicomdir/98892001", "localizer localizer few-slices", "not-head", 1},
        {"enhanced_ct", "few-slices few-slices perfusion-map", NULL, 3},
        {"ge_mr_head_epi", "modality", NULL, 15},
        {"odd_single", "few-slices few-slices no-image unreadable", "contrast reformat", 1},
        {"transfer_syntaxes", "one-position few-slices few-slices", "lossy", 6},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        snprintf(folder, sizeof folder, "%s/%s", data, table[t].set);
        if (access(folder, R_OK) < 0) {
            tap_skip(table[t].set, "%s is absent; set HEADCT_DATA", folder);
            continue;
        }
        row r = {.name = table[t].set, .notes = table[t].sometimes, .slices = table[t].slices};
        judge(&r, "any-head-ct", table[t].verdicts);
    }
}

/* The order of slices is that of their positions; the key of a series is the same on every run and no other's. */
static void test_order(void) {
    snprintf(folder, sizeof folder, "%s/order", scratch_folder());
    mkdir(folder, 0700);
    case_01();
    const char *input = folder;
    pile p;
    series_list l;
    hct_err err = {0};
    if (pile_read(&input, 1, &p, &err) < 0 || series_group(p.files, p.n, &l, &err) < 0) {
        tap_ok(0, "%s", err.msg);
        return;
    }
    int ascending = 1, even = 1, placed = 1;
    for (size_t i = 0; i < l.n; i++) {
        const series *s = &l.items[i];
        for (size_t k = 0; k < s->n_slices; k++)
            ascending = ascending && fabs(s->slices[k].at - 5.0 * (double)k) < 1e-9;
        even = even && s->even && !s->tilted && s->gap == 5 && s->same_place == 0;
        placed = placed && s->placed && s->normal[2] == 1 && s->extent[2] == 175;
    }
    tap_ok(l.n == 4 && ascending && even && placed, "35 slices of each of %zu folders, by position", l.n);
    int clash = 0, changed = 0;
    series_list again;
    if (series_group(p.files, p.n, &again, &err) < 0) return;
    for (size_t i = 0; i < l.n; i++) {
        char *key = series_key(p.files, &l.items[i]), *same = series_key(p.files, &again.items[i]);
        changed += strcmp(key, same) != 0;
        for (size_t k = 0; k < i; k++) {
            char *other = series_key(p.files, &l.items[k]);
            clash += strcmp(key, other) == 0;
            free(other);
        }
        free(key);
        free(same);
    }
    tap_ok(clash == 0 && changed == 0, "each has a key of its own, the same again");
    series_list_free(&again);
    series_list_free(&l);
    pile_free(&p);
}

int main(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(folder, sizeof folder, "%s/row%zu", scratch_folder(), i);
        mkdir(folder, 0700);
        rows[i].make();
        judge(&rows[i], "any-head-ct", rows[i].verdicts);
        if (rows[i].by_nyu) judge(&rows[i], "nyu", rows[i].by_nyu);
    }
    test_copies();
    test_order();
    const char *data = getenv("HEADCT_DATA");
    test_sets(data && *data ? data : DATA_DEFAULT);
    return tap_done();
}
