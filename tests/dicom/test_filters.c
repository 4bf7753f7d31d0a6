/* dicom/filters.h: the files of recipes/filters, what a file may say, and words that decide. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/filters.h"
#include "dicom/verdict_texts.h"
#include "scratch.h"
#include "tap.h"

static void test_builtin(void) {
    static const char *const names[] = {"any-head-ct", "nyu", "none"};
    for (int i = 0; i < 3; i++) {
        char path[600];
        series_filters f = {0}, file = {0};
        hct_err err = {0};
        snprintf(path, sizeof path, FILTERS_FOLDER "/%s.yaml", names[i]);
        hct_status s = filters_read(names[i], &f, &err);
        if (s == HCT_OK) s = filters_read(path, &file, &err);
        int same = s == HCT_OK && f.absent_refuses == file.absent_refuses && f.least_slices == file.least_slices &&
                   f.thickness[0] == file.thickness[0] && f.kernels.n == file.kernels.n &&
                   f.no_words.n == file.no_words.n && f.hu == file.hu &&
                   memcmp(f.kinds, file.kinds, sizeof f.kinds) == 0;
        tap_ok(same, "%s is the same by its name and as a file %s", names[i], err.msg);
        int right = i == 0 ? !f.absent_refuses && f.least_slices == 10 && f.thickness[1] == 5 && f.kvp[0] == 70 &&
                                 f.least_extent == 100
                    : i == 1 ? f.absent_refuses && f.kernels.n == 1 && !strcmp(f.modality, "CT")
                             : !f.modality[0] && f.thickness[0] > f.thickness[1] && f.head_words.n == 0 &&
                                   f.kinds[CLASS_REFORMAT];
        tap_ok(right, "%s says what its name says", names[i]);
        filters_free(&f);
        filters_free(&file);
    }
}

static void test_files(void) {
    static const struct {
        const char *yaml, *says; /* NULL: taken */
    } table[] = {
        {"least_slices: 20\n", NULL},
        {"thickness: []\nkernels: []\n", NULL},
        {"# nothing\n", NULL},
        {"", NULL},
        {"least_slice: 20\n", "x.yaml:1: no key 'least_slice'; did you mean 'least_slices'?"},
        {"modality: CT\nkinds: axial\n", "x.yaml:2: kinds: takes a list"},
        {"absent: [pass]\n", "x.yaml:1: absent: takes a single value"},
        {"absent: maybe\n", "absent: takes pass or refuse, not 'maybe'"},
        {"hu: loud\n", "hu: takes keep, warn or refuse, not 'loud'"},
        {"thickness: [5]\n", "thickness: takes [low, high]"},
        {"thickness: [5, 1]\n", "thickness: takes [low, high]"},
        {"least_matrix: many\n", "least_matrix: 'many' is no number"},
        {"least_extent: -1\n", "least_extent: '-1' is no number"},
        {"kernels: ['(']\n", "'(' is no regular expression"},
        {"kinds: [scout]\n", "not 'scout'"},
        {"- a\n- b\n", "keys with values"},
        {"thickness: [[1, 2]]\n", "a list of single values"},
        {"thickness: [\n", "is no YAML"},
        {"\x01\x02", "is no YAML"},
        {"whitelist: none.csv\n", "none.csv"},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        series_filters f;
        hct_err err = {0};
        hct_status s = filters_parse("x.yaml", table[t].yaml, strlen(table[t].yaml), &f, &err);
        tap_ok(table[t].says ? s < 0 && strstr(err.msg, table[t].says) : s == HCT_OK, "file %zu: %s", t,
               s < 0 ? err.msg : "taken");
        if (s == HCT_OK) filters_free(&f);
    }
    series_filters f;
    hct_err err = {0};
    tap_ok(filters_read("no-such.yaml", &f, &err) == HCT_ENOTFOUND && strstr(err.msg, "any-head-ct"), "no file: %s",
           err.msg);
}

/* ---- words ---- */

typedef struct words {
    const char *study, *own, *body, *protocol, *agent, *kernel;
} words;

static void refusals(const series_filters *f, const words *w, double kvp, char *ret, size_t n) {
    dicom_frame frame = {0};
    pile_file file = {.kind = PILE_DICOM};
    series_slice slice = {0};
    series s = {.slices = &slice, .n_slices = 1, .kvp = kvp};
    text_checks c;
    file.header.frames = &frame;
    file.header.n_frames = file.header.n_described = 1;
    file.header.study_description = w->study;
    file.header.series_description = w->own;
    file.header.body_part = w->body;
    file.header.protocol = w->protocol;
    file.header.contrast_agent = w->agent;
    file.header.kernel = w->kernel;
    verdict_texts(&file, &s, f, &c);
    ret[0] = 0;
    for (size_t i = 0; i < c.n; i++)
        snprintf(ret + strlen(ret), n - strlen(ret), "%s%s", i ? " " : "", verdict_word(c.of[i].reason));
}

static void test_words(void) {
    static const struct {
        words w;
        const char *any, *nyu;
    } table[] = {
        {{"CT HEAD WO CONTRAST", "5mm STD", "", "", "", "Hr40s"}, "", ""},
        {{"CT, HEAD/BRAIN WO CONTRAST", "Routine Brain", "HEAD", "1.1 Routine Brain", NULL, "STANDARD"}, "", "kernel"},
        {{"1A TRAUMA/PLAIN HEAD DM", "STD BRAIN 5MM", "BRAIN", "1A TRAUMA/PLAIN HEAD DM /Head", NULL, "UB"},
         "",
         "kernel"},
        {{"HEAD", NULL, "HEAD", NULL, NULL, "STD+"}, "", "kernel"},
        {{NULL, NULL, NULL, NULL, NULL, NULL}, "", "kernel not-head"},
        {{"TRAUMA", "2.0", "", "", "", "J37s\\1"}, "", "not-head"},
        {{"CT HEAD AND NECK WO", "HEAD 5MM", "HEAD", "", "", "H37f"}, "", ""},
        {{"CT HEAD AND NECK WO", "5MM", "", "", "", "H37f"}, "words", "words"},
        {{"CT HEAD AND C SPINE", "C SPINE BONE", "CSPINE", "", "", "H60s"}, "kernel words", "kernel words"},
        {{"HEAD CTA", "CTA 0.75", "HEAD", "", "", "H37f"}, "words", "words"},
        {{"CT HEAD W CONTRAST", "AXIAL", "", "", "", "H37f"}, "contrast", "contrast"},
        {{"CT HEAD W/O CONTRAST", "AXIAL", "", "", "", "H37f"}, "", ""},
        {{"CT HEAD WITHOUT CONTRAST", "AXIAL", "", "", "", "H37f"}, "", ""},
        {{"CT BRAIN UNENHANCED", "AXIAL", "", "", "", "H37f"}, "", ""},
        {{"CT BRAIN", "POST CONTRAST", "", "", "", "H37f"}, "contrast", "contrast"},
        {{"CT BRAIN", "C+ HEAD", "", "", "", "H37f"}, "contrast", "contrast"},
        {{"CT BRAIN", "HEAD", "", "", "ISOVUE300/100", "H37f"}, "contrast", "contrast"},
        {{"CT BRAIN", "HEAD", "", "", "None", "H37f"}, "", ""},
        {{"CT BRAIN", "HEAD", "", "", "W/O", "H37f"}, "", ""},
        {{"BRAIN PERFUSION", "CTP", "HEAD", "", "", "H37f"}, "words", "words"},
        {{"Sch\xc3\xa4"
          "del-CT nativ",
          "Sch\xc3\xa4"
          "del 5.0",
          "", "", "", "H31s"},
         "",
         "kernel not-head"},
        {{"TC CRANEO SIMPLE", "AXIAL", "", "", "", "FC26"}, "", "kernel not-head"},
        {{"CT CAP", "CHEST", "", "", "", "Br40f"}, "not-head", "not-head"},
        {{"", "SmartScore - Gated 0.5 sec", "", "", "", "STANDARD"}, "not-head", "kernel not-head"},
        {{"CT HEAD", "ORBITS", "HEAD", "", "", "H37f"}, "words", "words"},
        {{"CT HEAD", "ORBITS THIN", "", "", "", "H37f"}, "words", "words"},
        {{"CT HEAD", "HEAD", "", "", "", "H45s"}, "", ""},
        {{"CT HEAD", "HEAD", "", "", "", "H46s"}, "", "kernel"},
        {{"CT HEAD", "HEAD", "", "", "", "Hr38h\\2"}, "", ""},
        {{"CT HEAD", "HEAD", "", "", "", "J70h\\2"}, "kernel", "kernel"},
        {{"CT HEAD", "HEAD", "", "", "", "BONEPLUS"}, "kernel", "kernel"},
        {{"CT HEAD", "HEAD", "", "", "", "FC30"}, "kernel", "kernel"},
        {{"CT HEAD", "HEAD", "", "", "", "YC"}, "kernel", "kernel"},
    };
    series_filters any, nyu;
    hct_err err = {0};
    if (filters_read("any-head-ct", &any, &err) < 0 || filters_read("nyu", &nyu, &err) < 0) {
        tap_ok(0, "%s", err.msg);
        return;
    }
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        char have[200], by_nyu[200];
        refusals(&any, &table[t].w, 120, have, sizeof have);
        refusals(&nyu, &table[t].w, 120, by_nyu, sizeof by_nyu);
        tap_ok(strcmp(have, table[t].any) == 0 && strcmp(by_nyu, table[t].nyu) == 0, "%s / %s / %s: '%s', by nyu '%s'",
               table[t].w.study ? table[t].w.study : "absent", table[t].w.own ? table[t].w.own : "absent",
               table[t].w.kernel ? table[t].w.kernel : "absent", have, by_nyu);
    }
    filters_free(&any);
    filters_free(&nyu);
}

static void test_whitelist(void) {
    static const char csv[] =
        "Study Description,KVP,Convolution Kernel\r\nCT HEAD,120.0,Hr40s\r\nCT HEAD,100.0,\"['J37s', '1']\"\r\n"
        "\"CT, HEAD\",120,H37s\r\n";
    static const char yaml[] = "absent: refuse\nwhitelist: list.csv\n";
    static const struct {
        const char *study, *kernel;
        double kvp;
        const char *want;
    } table[] = {
        {"CT HEAD", "Hr40s", 120, ""},
        {"CT HEAD", "Hr40s", 100, "whitelist"},
        {"CT HEAD", "J37s\\1", 100, ""},
        {"CT HEAD", "J37s", 100, "whitelist"},
        {"CT HEAD", "J37s\\2", 100, "whitelist"},
        {"CT, HEAD", "H37s", 120, ""},
        {"ct head", "Hr40s", 120, "whitelist"},
        {NULL, "Hr40s", 120, "whitelist not-head"},
        {"CT HEAD", NULL, 120, "whitelist"},
        {"CT HEAD", "Hr40s", NAN, "whitelist"},
    };
    series_filters f;
    hct_err err = {0};
    scratch_file("list.csv", csv, sizeof csv - 1);
    const char *path = scratch_file("filters.yaml", yaml, sizeof yaml - 1);
    hct_status s = filters_read(path, &f, &err);
    tap_ok(s == HCT_OK && f.n_whitelist == 3, "a whitelist beside its filters %s", err.msg);
    for (size_t t = 0; t < sizeof table / sizeof *table && s == HCT_OK; t++) {
        char have[200];
        words w = {.study = table[t].study, .kernel = table[t].kernel};
        refusals(&f, &w, table[t].kvp, have, sizeof have);
        tap_ok(strcmp(have, table[t].want) == 0, "%s, %g, %s: '%s'", table[t].study ? table[t].study : "absent",
               table[t].kvp, table[t].kernel ? table[t].kernel : "absent", have);
    }
    if (s == HCT_OK) filters_free(&f);
    scratch_file("list.csv", "Study,KVP,Kernel\na,1,b\n", 23);
    tap_ok(filters_read(path, &f, &err) < 0 && strstr(err.msg, "is missing"), "another table is refused: %s", err.msg);
    scratch_file("list.csv", "Study Description,KVP,Convolution Kernel\na,high,b\n", 50);
    tap_ok(filters_read(path, &f, &err) == HCT_EFORMAT && strstr(err.msg, "line 2"), "a kVp that is none: %s", err.msg);
}

int main(void) {
    test_builtin();
    test_files();
    test_words();
    test_whitelist();
    return tap_done();
}
