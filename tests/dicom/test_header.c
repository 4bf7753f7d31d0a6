/* dicom/header.h: what stands in a header, told apart from what does not; and headers that are broken on purpose. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/header.h"
#include "dicom/values.h"
#include "make_dicom.h"
#include "tap.h"

static hct_status read_bytes(const unsigned char *bytes, size_t n, dicom_header *h, hct_err *err) {
    dicom_bytes *b;
    *h = (dicom_header){0};
    hct_status s = dicom_bytes_memory("made.dcm", bytes, n, &b, err);
    if (s == HCT_OK) s = dicom_header_read(b, h, err);
    dicom_bytes_close(b);
    return s;
}

static hct_status read_made(const maker *m, const maker_form *form, dicom_header *h, hct_err *err) {
    size_t n;
    unsigned char *bytes = maker_encode(m, form, &n);
    hct_status s = read_bytes(bytes, n, h, err);
    free(bytes);
    return s;
}

static bool is(const char *have, const char *want) { return have && want ? strcmp(have, want) == 0 : have == want; }

/* A header with a bit of everything. */
static maker *full(void) {
    static const int32_t pixels[4] = {0, 1, 2, 3};
    maker *m = maker_new();
    maker_text(m, 0x00080005, "CS", "ISO_IR 100");
    maker_text(m, 0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL");
    maker_text(m, 0x00080060, "CS", "CT");
    maker_text(m, 0x0008103e, "LO",
               "Sch\xe4"
               "del nativ");
    maker_text(m, 0x00100010, "PN", "Doe^Jane");
    maker_text(m, 0x00100020, "LO", " 12 34 ");
    maker_text(m, 0x00180010, "LO", "");
    maker_text(m, 0x00180050, "DS", "0.625");
    maker_text(m, 0x00180060, "DS", "120.0\\140");
    maker_text(m, 0x00181210, "SH", "J37s\\1");
    maker_text(m, 0x0020000d, "UI", "1.2.3");
    maker_text(m, 0x0020000e, "UI", "");
    maker_text(m, 0x00200013, "IS", "x7");
    maker_text(m, 0x00200032, "DS", "-1.5\\2e1\\ 3 ");
    maker_text(m, 0x00200037, "DS", "1\\0\\0\\0\\0.9483237\\-0.3173047");
    maker_us(m, 0x00280010, 2);
    maker_us(m, 0x00280011, 2);
    maker_text(m, 0x00280030, "DS", "0.5\\0.4");
    maker_us(m, 0x00280100, 16);
    maker_us(m, 0x00280103, 1);
    maker_us(m, 0x00280120, 63536);
    maker_text(m, 0x00281052, "DS", "-1024");
    maker_pixels(m, pixels, 4, 2);
    return m;
}

static void check_full(const char *form, const dicom_header *h, hct_status s, const hct_err *err) {
    const dicom_frame *f = h->frames;
    int right = s == HCT_OK && is(h->modality, "CT") &&
                is(h->series_description, "Sch\xc3\xa4"
                                          "del nativ") &&
                is(h->patient_id, "12 34") && is(h->kernel, "J37s\\1") && is(h->series_uid, "") &&
                !h->study_description && is(h->contrast_agent, "") && is(h->study_uid, "1.2.3");
    right = right && h->kvp.state == DICOM_THERE && h->kvp.value == 120 && h->instance_number.state == DICOM_BAD &&
            h->series_number.state == DICOM_ABSENT && f->thickness.value == 0.625 && f->tilt.state == DICOM_ABSENT &&
            h->rows.value == 2 && h->padding.value == -2000 && f->intercept.value == -1024 &&
            f->slope.state == DICOM_ABSENT;
    right = right && f->position_state == DICOM_THERE && f->position[0] == -1.5 && f->position[1] == 20 &&
            f->position[2] == 3 && f->orientation_state == DICOM_THERE && f->column[2] < -0.317 &&
            f->spacing[0] == 0.5 && f->spacing[1] == 0.4 && h->n_frames == 1 && h->has_pixels &&
            h->pixels_length == 8 && !h->pixels_missing;
    tap_ok(right, "%s: texts, numbers, absent and empty tags %s", form, err->msg);
}

static void test_forms(void) {
    static const struct {
        const char *name;
        maker_form form;
    } table[] = {
        {"explicit little endian", {0}},
        {"implicit", {.syntax = "1.2.840.10008.1.2", .implicit = true}},
        {"big endian", {.syntax = "1.2.840.10008.1.2.2", .big = true}},
        {"deflated", {.syntax = "1.2.840.10008.1.2.1.99", .deflated = true}},
        {"no preamble", {.no_preamble = true}},
        {"no preamble, no group 2, implicit", {.no_preamble = true, .no_meta = true, .implicit = true}},
        {"no preamble, no group 2, explicit", {.no_preamble = true, .no_meta = true}},
        {"no preamble, no group 2, big endian", {.no_preamble = true, .no_meta = true, .big = true}},
        {"preamble, no group 2", {.no_meta = true, .implicit = true}},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        maker *m = full();
        dicom_header h, again;
        hct_err err = {0};
        hct_status s = read_made(m, &table[t].form, &h, &err);
        check_full(table[t].name, &h, s, &err);
        size_t n = 0;
        unsigned char *packed = s == HCT_OK ? dicom_header_pack(&h, &n) : NULL;
        dicom_header_free(&h);
        s = packed ? dicom_header_unpack(packed, n, &again, &err) : HCT_ENOMEM;
        if (s == HCT_OK) check_full("packed and unpacked", &again, s, &err);
        if (s == HCT_OK) dicom_header_free(&again);
        int read = 0;
        for (size_t cut = 0; cut < n; cut++) {
            read += dicom_header_unpack(packed, cut, &again, &err) == HCT_OK;
            dicom_header_free(&again);
        }
        tap_ok(read == 0, "none of %zu cut packed records is taken", n);
        free(packed);
        maker_free(m);
    }
}

static void test_character_sets(void) {
    static const struct {
        const char *set, *bytes, *want;
    } table[] = {
        {"ISO_IR 100", "M\xfcller", "M\xc3\xbcller"},
        {"ISO_IR 192", "M\xc3\xbcller", "M\xc3\xbcller"},
        {"", "M\xfcller", "M\xc3\xbcller"},
        {"ISO_IR 144", "\xb3\xde\xdb\xde\xd2\xd0", "\xd0\x93\xd0\xbe\xd0\xbb\xd0\xbe\xd0\xb2\xd0\xb0"}, /* Golova */
        {"\\ISO 2022 IR 87", "\x1b$BF,It\x1b(B CT", "\xe9\xa0\xad\xe9\x83\xa8 CT"}, /* head, in Japanese */
        {"\\ISO 2022 IR 149", "\x1b$)C\xb5\xce", "\xeb\x91\x90"},
        {"GB18030", "\xcd\xb7\xb2\xbf", "\xe5\xa4\xb4\xe9\x83\xa8"},
        {"ISO_IR 192", "bad \xff\xfe", "bad \xc3\xbf\xc3\xbe"},
        {"ISO_IR 100", "tab\tand\r\nmore\n ", "tab and  more"},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        char have[256];
        dicom_text_of((const unsigned char *)table[t].bytes, strlen(table[t].bytes), table[t].set, true, have,
                      sizeof have);
        tap_ok(strcmp(have, table[t].want) == 0, "character set '%s': %s", table[t].set, have);
    }
    char cut[8];
    dicom_text_of((const unsigned char *)"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", 10, "ISO_IR 192", true, cut,
                  sizeof cut);
    tap_ok(strcmp(cut, "\xc3\xbc\xc3\xbc\xc3\xbc") == 0, "a long text is cut between letters");
}

/* ---- Enhanced CT ---- */

static void test_enhanced(void) {
    for (int undefined = 0; undefined < 2; undefined++) {
        maker *orientation = maker_new(), *measures = maker_new(), *values = maker_new(), *shared = maker_new(),
              *frames[3];
        maker *places[3], *own_values = maker_new(), *type = maker_new(), *m = full();
        maker *const of_orientation[] = {orientation}, *const of_measures[] = {measures}, *const of_values[] = {values},
                     *const of_shared[] = {shared}, *const of_own[] = {own_values}, *const of_type[] = {type};
        maker *of_place[3][1];
        maker_text(orientation, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
        maker_text(measures, 0x00280030, "DS", "0.7\\0.8");
        maker_text(measures, 0x00180050, "DS", "2.5");
        maker_text(values, 0x00281052, "DS", "-1000");
        maker_text(values, 0x00281053, "DS", "1");
        maker_text(own_values, 0x00281052, "DS", "-500");
        maker_text(own_values, 0x00281053, "DS", "2");
        maker_text(type, 0x00089007, "CS", "DERIVED\\PRIMARY\\AXIAL");
        maker_sequence(shared, 0x00209116, of_orientation, 1, undefined);
        maker_sequence(shared, 0x00289110, of_measures, 1, undefined);
        maker_sequence(shared, 0x00289145, of_values, 1, undefined);
        for (int i = 0; i < 3; i++) {
            places[i] = maker_new();
            frames[i] = maker_new();
            of_place[i][0] = places[i];
            maker_format(places[i], 0x00200032, "DS", "0\\0\\%d", 10 - i);
            maker_sequence(frames[i], 0x00209113, of_place[i], 1, undefined);
        }
        maker_sequence(frames[1], 0x00289145, of_own, 1, undefined);
        maker_sequence(frames[2], 0x00189329, of_type, 1, undefined);
        maker_drop(m, 0x00200032);
        maker_text(m, 0x00280008, "IS", "3");
        maker_sequence(m, 0x52009229, of_shared, 1, undefined);
        maker_sequence(m, 0x52009230, frames, 3, undefined);
        for (int form = 0; form < 2; form++) {
            maker_form f = {.syntax = form ? "1.2.840.10008.1.2" : NULL, .implicit = form};
            dicom_header h;
            hct_err err = {0};
            hct_status s = read_made(m, &f, &h, &err);
            int right = s == HCT_OK && h.n_frames == 3 && h.n_described == 3;
            for (int i = 0; i < 3 && right; i++)
                right = h.frames[i].position[2] == 10 - i && h.frames[i].spacing[1] == 0.8 &&
                        h.frames[i].thickness.value == 2.5 && h.frames[i].intercept.value == (i == 1 ? -500 : -1000) &&
                        h.frames[i].column[1] == 1;
            right = right && h.frames[1].slope.value == 2 && !h.frames[0].type &&
                    is(h.frames[2].type, "DERIVED\\PRIMARY\\AXIAL");
            tap_ok(right, "Enhanced CT, lengths %s, %s: each frame's own, and what all share %s",
                   undefined ? "open" : "told", form ? "implicit" : "explicit", err.msg);
            dicom_header_free(&h);
        }
        maker_text(m, 0x00280008, "IS", "4");
        dicom_header h;
        hct_err err = {0};
        tap_ok(read_made(m, NULL, &h, &err) == HCT_EFORMAT, "frames without a description are refused: %s", err.msg);
        dicom_header_free(&h);
        for (int i = 0; i < 3; i++) {
            maker_free(places[i]);
            maker_free(frames[i]);
        }
        maker *all[] = {orientation, measures, values, shared, own_values, type, m};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) maker_free(all[i]);
    }
}

/* ---- broken on purpose ---- */

static void test_cut(void) {
    maker *m = full();
    size_t n, header, read = 0, missed = 0;
    unsigned char *bytes = maker_encode(m, NULL, &n);
    header = n - 8;
    for (size_t cut = 0; cut < n; cut++) {
        dicom_header h;
        hct_err err = {0};
        unsigned char *copy = malloc(cut + 1); /* of its own size, for the sanitizer */
        memcpy(copy, bytes, cut);
        hct_status s = read_bytes(copy, cut, &h, &err);
        /* between two elements a file may end; where its pixels are cut, the record says so */
        read += s == HCT_OK;
        missed += cut >= header && (s != HCT_OK || h.pixels_missing != n - cut);
        dicom_header_free(&h);
        free(copy);
    }
    tap_ok(missed == 0 && read < 40,
           "cut at each of %zu bytes: %zu end between two elements, the pixels' missing bytes are counted", n, read);
    free(bytes);
    maker_free(m);
}

static void put16(unsigned char *p, unsigned v) { p[0] = (unsigned char)v, p[1] = (unsigned char)(v >> 8); }
static void put32(unsigned char *p, uint32_t v) { put16(p, v & 0xffff), put16(p + 2, v >> 16); }

static hct_status read_after_meta(const unsigned char *tail, size_t n, hct_err *err) {
    maker *m = maker_new();
    size_t head;
    unsigned char *bytes = maker_encode(m, NULL, &head), *all = malloc(head + n);
    dicom_header h;
    memcpy(all, bytes, head);
    memcpy(all + head, tail, n);
    hct_status s = read_bytes(all, head + n, &h, err);
    dicom_header_free(&h);
    free(bytes);
    free(all);
    maker_free(m);
    return s;
}

static void test_hostile(void) {
    enum { DEEP = 100000 };
    hct_err err = {0};
    unsigned char *b = calloc(DEEP, 20);
    for (int i = 0; i < DEEP; i++) { /* sequences of open length in sequences */
        put16(b + 20 * i, 0x0040);
        put16(b + 20 * i + 2, 0xa730);
        memcpy(b + 20 * i + 4, "SQ", 2);
        put32(b + 20 * i + 8, UINT32_MAX);
        put16(b + 20 * i + 12, 0xfffe);
        put16(b + 20 * i + 14, 0xe000);
        put32(b + 20 * i + 16, UINT32_MAX);
    }
    tap_ok(read_after_meta(b, DEEP * 20, &err) == HCT_EFORMAT && strstr(err.msg, "32 deep"),
           "100,000 nested sequences: %s", err.msg);
    free(b);
    unsigned char huge[12] = {0x08, 0, 0x60, 0, 'O', 'B', 0, 0, 0xf0, 0xff, 0xff, 0xff};
    tap_ok(read_after_meta(huge, 12, &err) == HCT_EFORMAT, "a length of 4 GiB: %s", err.msg);
    unsigned char item[28] = {0x00, 0x52, 0x29, 0x92, 'S', 'Q', 0, 0, 16, 0, 0, 0, 0xfe, 0xff, 0, 0xe0, 200, 0, 0, 0};
    tap_ok(read_after_meta(item, 28, &err) == HCT_EFORMAT, "an item longer than its sequence: %s", err.msg);
    unsigned char zero[64] = {0};
    tap_ok(read_after_meta(zero, 64, &err) == HCT_OK, "zeros behind the last element are padding");
    unsigned char meta[140] = {0};
    memcpy(meta + 128, "DICM", 4);
    put16(meta + 132, 2);
    put16(meta + 134, 0x10);
    memcpy(meta + 136, "UI", 2);
    put16(meta + 138, 60000);
    dicom_header h;
    tap_ok(read_bytes(meta, 140, &h, &err) == HCT_EFORMAT, "group 2 that ends early: %s", err.msg);
    dicom_header_free(&h);
    static const char *const others[] = {"",
                                         "DICM",
                                         "just a text that is long enough to be looked at twice, and twice more",
                                         "\x08\0\x05\0CS\x0a\0",
                                         "\x02\0\0\0UL\x04\0\xff\xff\xff\xff",
                                         "\x89PNG\r\n\x1a\n"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        hct_status s = read_bytes((const unsigned char *)others[i],
                                  i == 3   ? 8
                                  : i == 4 ? 12
                                           : strlen(others[i]),
                                  &h, &err);
        tap_ok(s == HCT_ENOTFOUND && h.frames, "no DICOM file: %s", err.msg);
        dicom_header_free(&h);
    }
}

/* Changed, cut and doubled bytes: whatever comes out, nothing is read that is not there (the sanitizer's to say), and
 * a record that is taken has its frames. */
static void test_mutations(void) {
    static const maker_form forms[] = {{0},
                                       {.syntax = "1.2.840.10008.1.2", .implicit = true},
                                       {.syntax = "1.2.840.10008.1.2.2", .big = true},
                                       {.syntax = "1.2.840.10008.1.2.1.99", .deflated = true},
                                       {.no_preamble = true}};
    unsigned seed = 1;
    int taken = 0, rounds = 20000, wrong = 0;
    maker *m = full();
    for (int f = 0; f < 5; f++) {
        size_t n;
        unsigned char *bytes = maker_encode(m, &forms[f], &n);
        for (int r = 0; r < rounds / 5; r++) {
            size_t length = n;
            unsigned char *copy = malloc(n + 8);
            dicom_header h;
            memcpy(copy, bytes, n);
            for (int k = 0; k < 1 + r % 3; k++) {
                seed = seed * 1103515245u + 12345u;
                size_t at = (seed >> 8) % n, from = (seed >> 20) % n;
                if (r % 4 == 0) memmove(copy + at, copy + from, (at > from ? n - at : n - from) / 2);
                else copy[at] = (unsigned char)(seed >> 24);
                if (r % 5 == 0) length = at;
            }
            unsigned char *exact = malloc(length + 1);
            memcpy(exact, copy, length);
            hct_err err = {0};
            hct_status s = read_bytes(exact, length, &h, &err);
            taken += s == HCT_OK;
            wrong += !h.frames || h.n_described < 1 || (s != HCT_OK && !err.msg[0]);
            dicom_header_free(&h);
            free(exact);
            free(copy);
        }
        free(bytes);
    }
    tap_ok(wrong == 0, "%d mutated files: %d are read, the others refused", rounds, taken);
    maker_free(m);
}

int main(void) {
    test_forms();
    test_character_sets();
    test_enhanced();
    test_cut();
    test_hostile();
    test_mutations();
    return tap_done();
}
