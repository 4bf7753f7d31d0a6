/* dicom/pixels.h: stored values by their bits, compressed frames against known ones, what must be refused, padding. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dicom/component.h"
#include "dicom/pixels.h"
#include "make_dicom.h"
#include "scratch.h"
#include "streams.h"
#include "tap.h"

enum { COLUMNS = STREAM_COLUMNS, ROWS = STREAM_ROWS, PIXELS = COLUMNS * ROWS };

typedef struct bits {
    unsigned allocated, stored, high, is_signed;
} bits;

static maker *image(bits b, const char *rescale) {
    maker *m = maker_new();
    maker_text(m, 0x00080060, "CS", "CT");
    maker_us(m, 0x00280002, 1);
    maker_text(m, 0x00280004, "CS", "MONOCHROME2");
    maker_us(m, 0x00280010, ROWS);
    maker_us(m, 0x00280011, COLUMNS);
    maker_us(m, 0x00280100, b.allocated);
    maker_us(m, 0x00280101, b.stored);
    maker_us(m, 0x00280102, b.high);
    maker_us(m, 0x00280103, b.is_signed);
    maker_text(m, 0x00281052, "DS", rescale);
    maker_text(m, 0x00281053, "DS", "1");
    return m;
}

/* Stored values of all frames of what m writes; the status. hu: instead HU of frame 0 (NULL: not wanted). */
static hct_status read_back(const maker *m, const maker_form *form, int frames, int32_t *stored, float *hu,
                            hct_err *err) {
    size_t n;
    unsigned char *bytes = maker_encode(m, form, &n);
    dicom_bytes *b;
    dicom_header h = {0};
    dicom_pixels *p = NULL;
    hct_status s = dicom_bytes_memory("made.dcm", bytes, n, &b, err);
    if (s == HCT_OK) s = dicom_header_read(b, &h, err);
    if (s == HCT_OK) s = dicom_pixels_open(b, &h, &p, err);
    for (int i = frames - 1; i >= 0 && s == HCT_OK; i--) s = dicom_pixels_frame(p, i, stored + i * PIXELS, err);
    if (s == HCT_OK && hu) s = dicom_hu(&h, 0, stored, NULL, hu, "made.dcm", err);
    dicom_pixels_close(p);
    dicom_header_free(&h);
    dicom_bytes_close(b);
    free(bytes);
    return s;
}

/* ---- bits ---- */

/* Values as patterns of the allocated word, with garbage in the bits that are not stored. */
static void test_bits(void) {
    static const struct {
        const char *name;
        bits b;
        maker_form form;
        int low, high; /* of the values */
    } table[] = {
        {"12 bits signed, unused bits zero", {16, 12, 11, 1}, {0}, -1024, 2047},
        {"12 bits unsigned", {16, 12, 11, 0}, {0}, 0, 4095},
        {"13 bits signed", {16, 13, 12, 1}, {0}, -4096, 4095},
        {"16 bits signed", {16, 16, 15, 1}, {0}, -32768, 32767},
        {"16 bits unsigned", {16, 16, 15, 0}, {0}, 0, 65535},
        {"12 bits at the top of the word", {16, 12, 15, 1}, {0}, -2048, 2047},
        {"8 bits", {8, 8, 7, 0}, {0}, 0, 255},
        {"8 bits signed", {8, 8, 7, 1}, {0}, -128, 127},
        {"32 bits signed", {32, 32, 31, 1}, {0}, -70000, 70000},
        {"20 bits of 32", {32, 20, 19, 0}, {0}, 0, 1000000},
        {"implicit little endian", {16, 12, 11, 1}, {.syntax = "1.2.840.10008.1.2", .implicit = true}, -1024, 2047},
        {"explicit big endian", {16, 12, 11, 1}, {.syntax = "1.2.840.10008.1.2.2", .big = true}, -1024, 2047},
        {"big endian, 32 bits", {32, 20, 19, 1}, {.syntax = "1.2.840.10008.1.2.2", .big = true}, -500000, 500000},
        {"deflated", {16, 12, 11, 1}, {.syntax = "1.2.840.10008.1.2.1.99", .deflated = true}, -1024, 2047},
        {"no syntax told, implicit", {16, 12, 11, 1}, {.no_syntax = true, .implicit = true}, -1024, 2047},
        {"told explicit, written implicit", {16, 12, 11, 1}, {.implicit = true}, -1024, 2047},
        {"no preamble", {16, 12, 11, 1}, {.no_preamble = true}, -1024, 2047},
        {"neither preamble nor group 2",
         {16, 12, 11, 1},
         {.no_preamble = true, .no_meta = true, .implicit = true},
         -1024,
         2047},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++)
        for (int garbage = 0; garbage < 2; garbage++) {
            bits b = table[t].b;
            int32_t values[PIXELS], patterns[PIXELS], stored[PIXELS];
            hct_err err = {0};
            int shift = (int)(b.high + 1 - b.stored), differ = 0;
            uint32_t mask = b.stored == 32 ? UINT32_MAX : (1u << b.stored) - 1;
            for (int i = 0; i < PIXELS; i++) {
                values[i] = table[t].low + (int)((double)(table[t].high - table[t].low) * i / (PIXELS - 1));
                uint32_t noise = garbage ? ~(mask << shift) & ((uint32_t)i * 2654435761u) : 0;
                patterns[i] = (int32_t)((((uint32_t)values[i] & mask) << shift) | noise);
            }
            maker *m = image(b, "0");
            maker_pixels(m, patterns, PIXELS, (int)b.allocated / 8);
            hct_status s = read_back(m, &table[t].form, 1, stored, NULL, &err);
            for (int i = 0; i < PIXELS && s == HCT_OK; i++) differ += stored[i] != values[i];
            tap_ok(s == HCT_OK && differ == 0, "%s%s: %d values differ %s", table[t].name,
                   garbage ? ", unused bits not zero" : "", differ, err.msg);
            maker_free(m);
        }
}

/* ---- compressed ---- */

/* One frame in so many fragments. */
static void pack(maker *m, const stream_case *c, size_t fragments) {
    const void *bytes[4];
    size_t lengths[4], each = c->n / fragments / 2 * 2;
    for (size_t i = 0; i < fragments; i++) {
        bytes[i] = c->bytes + i * each;
        lengths[i] = i + 1 < fragments ? each : c->n - i * each;
    }
    maker_fragments(m, NULL, 0, bytes, lengths, fragments);
}

static const char *syntax_of(const char *name) {
    static const char *const table[][2] = {
        {"jpeg_lossless", "1.2.840.10008.1.2.4.70"}, {"jpeg_ls_near", "1.2.840.10008.1.2.4.81"},
        {"jpeg_ls", "1.2.840.10008.1.2.4.80"},       {"jpeg_2000", "1.2.840.10008.1.2.4.90"},
        {"jpeg_8", "1.2.840.10008.1.2.4.50"},        {"jpeg_12", "1.2.840.10008.1.2.4.51"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strncmp(name, table[i][0], strlen(table[i][0])) == 0) return table[i][1];
    return "";
}

static void test_streams(void) {
    for (const stream_case *c = stream_cases; c->name; c++)
        for (size_t fragments = 1; fragments <= 3; fragments += 2) {
            int signed_stream = strstr(c->name, "_s16") != NULL, off = 0;
            unsigned stored_bits = (unsigned)c->bits;
            maker *m = image((bits){c->bits > 8 ? 16 : 8, stored_bits, stored_bits - 1, (unsigned)signed_stream}, "0");
            maker_form form = {.syntax = syntax_of(c->name)};
            int32_t stored[PIXELS];
            hct_err err = {0};
            pack(m, c, fragments);
            hct_status s = read_back(m, &form, 1, stored, NULL, &err);
            for (int i = 0; i < PIXELS && s == HCT_OK; i++) {
                int want = stream_value(c->bits, i % COLUMNS, i / COLUMNS) - (signed_stream ? 32768 : 0);
                off = abs(stored[i] - want) > off ? abs(stored[i] - want) : off;
            }
            tap_ok(s == HCT_OK && off <= c->off, "%s in %zu fragments: off by %d at the most (%d) %s", c->name,
                   fragments, off, c->off, err.msg);
            maker_free(m);
        }
}

/* Where the stream and the header do not say the same. */
static void test_mismatch(void) {
    static const struct {
        const char *name, *stream;
        bits b;
        int fine; /* 1: values as the stream's patterns; 2: their 12 or 16 bits with a sign; 0: refused */
    } table[] = {
        {"unsigned stream, signed header of the same bits", "jpeg_2000_16", {16, 16, 15, 1}, 2},
        {"unsigned 12-bit stream, signed 12-bit header", "jpeg_2000_12", {16, 12, 11, 1}, 2},
        {"JPEG cannot say its sign", "jpeg_lossless_12", {16, 12, 11, 1}, 2},
        {"signed stream, unsigned header", "jpeg_2000_s16", {16, 16, 15, 0}, 0},
        {"12-bit stream, 16-bit header", "jpeg_lossless_12", {16, 16, 15, 0}, 1},
        {"12-bit stream that could hold signs, 16-bit signed header", "jpeg_lossless_12", {16, 16, 15, 1}, 0},
        {"16-bit stream of large values, 12-bit header", "jpeg_lossless_16", {16, 12, 11, 0}, 0},
        {"compressed and shifted", "jpeg_lossless_12", {16, 12, 15, 0}, 0},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        const stream_case *c = stream_named(table[t].stream);
        maker *m = image(table[t].b, "0");
        maker_form form = {.syntax = syntax_of(c->name)};
        int32_t stored[PIXELS];
        hct_err err = {0};
        int differ = 0;
        pack(m, c, 1);
        hct_status s = read_back(m, &form, 1, stored, NULL, &err);
        for (int i = 0; i < PIXELS && s == HCT_OK; i++) {
            int v = stream_value(c->bits, i % COLUMNS, i / COLUMNS);
            if (table[t].fine == 2 && v >= 1 << (c->bits - 1)) v -= 1 << c->bits;
            differ += stored[i] != v;
        }
        tap_ok(table[t].fine ? s == HCT_OK && !differ : s < 0 && strstr(err.msg, form.syntax), "%s: %s %s",
               table[t].name, table[t].fine ? "read" : "refused", err.msg);
        maker_free(m);
    }
}

/* PS3.5 annex G, by hand: each byte plane in literal runs of up to 100. */
static size_t rle_encode(const int32_t *values, int each, unsigned char *to) {
    size_t at = 64;
    memset(to, 0, 64);
    to[0] = (unsigned char)each;
    for (int s = 0; s < each; s++) {
        for (int k = 0; k < 4; k++) to[4 + 4 * s + k] = (unsigned char)(at >> (8 * k));
        for (int i = 0; i < PIXELS;) {
            unsigned char v = (unsigned char)((uint32_t)values[i] >> (8 * (each - 1 - s)));
            int run = 1;
            while (i + run < PIXELS && run < 100 &&
                   (unsigned char)((uint32_t)values[i + run] >> (8 * (each - 1 - s))) == v)
                run++;
            if (run > 2) {
                to[at++] = (unsigned char)(257 - run);
                to[at++] = v;
                i += run;
                continue;
            }
            to[at++] = 0;
            to[at++] = v;
            i++;
        }
        if (at % 2) to[at++] = 0x80;
    }
    return at;
}

static void test_rle(void) {
    int32_t values[PIXELS], stored[3 * PIXELS];
    unsigned char frame[4096];
    for (int i = 0; i < PIXELS; i++) values[i] = i < 100 ? -1024 : i * 7 - 1000;
    maker *m = image((bits){16, 16, 15, 1}, "0");
    maker_form form = {.syntax = "1.2.840.10008.1.2.5"};
    hct_err err = {0};
    size_t n = rle_encode(values, 2, frame);
    const void *bytes[3] = {frame, frame, frame};
    size_t lengths[3] = {n, n, n};
    maker_fragments(m, NULL, 0, bytes, lengths, 1);
    tap_ok(read_back(m, &form, 1, stored, NULL, &err) == HCT_OK && !memcmp(stored, values, sizeof values), "RLE %s",
           err.msg);
    maker_text(m, 0x00280008, "IS", "3");
    maker_fragments(m, NULL, 0, bytes, lengths, 3);
    tap_ok(read_back(m, &form, 3, stored, NULL, &err) == HCT_OK && !memcmp(stored + 2 * PIXELS, values, sizeof values),
           "RLE of three frames, a fragment each %s", err.msg);
    int refused = 0;
    for (size_t cut = 0; cut < n; cut++) { /* at every length; the last byte may be the padding of an odd length */
        lengths[0] = cut;
        maker_text(m, 0x00280008, "IS", "1");
        maker_fragments(m, NULL, 0, bytes, lengths, 1);
        refused += read_back(m, &form, 1, stored, NULL, &err) < 0;
    }
    tap_ok(refused >= (int)n - 2, "cut RLE is refused: %d of %zu lengths; %s", refused, n, err.msg);
    maker_free(m);
}

/* Frames in several fragments, told apart by the offset table alone. */
static void test_frames(void) {
    const stream_case *c = stream_named("jpeg_ls_12");
    size_t half = c->n / 4 * 2;
    const void *bytes[4] = {c->bytes, c->bytes + half, c->bytes, c->bytes + half};
    size_t lengths[4] = {half, c->n - half, half, c->n - half};
    uint32_t rest = (uint32_t)(c->n - half + (c->n - half) % 2), table[2] = {0, (uint32_t)half + 8 + rest + 8};
    int32_t stored[2 * PIXELS];
    hct_err err = {0};
    maker *m = image((bits){16, 12, 11, 0}, "0");
    maker_form form = {.syntax = "1.2.840.10008.1.2.4.80"};
    maker_text(m, 0x00280008, "IS", "2");
    maker_fragments(m, table, 2, bytes, lengths, 4);
    hct_status s = read_back(m, &form, 2, stored, NULL, &err);
    tap_ok(s == HCT_OK && stored[PIXELS + 5] == stream_value(12, 5, 0), "two frames in two fragments each %s", err.msg);
    maker_fragments(m, NULL, 0, bytes, lengths, 4);
    s = read_back(m, &form, 2, stored, NULL, &err);
    tap_ok(s == HCT_EFORMAT && strstr(err.msg, "where its frames begin"),
           "without an offset table they are refused: %s", err.msg);
    maker_free(m);
}

/* ---- what must be refused ---- */

static void spoil(maker *m, int way) {
    static const char rgb[] = "RGB";
    if (way == 0) maker_text(m, 0x00280004, "CS", rgb);
    if (way == 1) maker_us(m, 0x00280002, 3);
    if (way == 2) maker_us(m, 0x00280010, 0);
    if (way == 3) maker_drop(m, 0x00280011);
    if (way == 4) maker_us(m, 0x00280100, 12);
    if (way == 5) maker_us(m, 0x00280101, 17);
    if (way == 6) maker_us(m, 0x00280102, 3);
    if (way == 7) maker_drop(m, 0x7fe00010);
    if (way == 8) maker_us(m, 0x00280010, ROWS + 1);
    if (way == 9) maker_text(m, 0x00280008, "IS", "2");
    if (way == 10) maker_text(m, 0x00280008, "IS", "2147483647");
    if (way == 11) maker_us(m, 0x00280103, 2);
}

static void test_refused(void) {
    static const char *const ways[] = {"RGB",
                                       "three samples",
                                       "no rows",
                                       "columns absent",
                                       "12 bits allocated",
                                       "17 bits stored of 16",
                                       "high bit below the stored ones",
                                       "no pixel data",
                                       "more rows than pixels",
                                       "more frames than pixels",
                                       "2^31 frames",
                                       "a representation of 2"};
    int32_t values[PIXELS] = {0}, stored[PIXELS];
    for (int way = 0; way < 12; way++) {
        maker *m = image((bits){16, 12, 11, 0}, "0");
        hct_err err = {0};
        maker_pixels(m, values, PIXELS, 2);
        spoil(m, way);
        hct_status s = read_back(m, NULL, 1, stored, NULL, &err);
        tap_ok(s < 0 && strstr(err.msg, "made.dcm"), "%s: %s", ways[way], err.msg);
        maker_free(m);
    }
    static const struct {
        const char *what, *syntax, *says;
    } table[] = {
        {"an unsupported syntax", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.201"},
        {"video", "1.2.840.10008.1.2.4.102", "no decoder"},
        {"a syntax of nobody's", "1.2.3.4", "(1.2.3.4) is none that DICOM knows"},
        {"plain pixels that are said to be JPEG", "1.2.840.10008.1.2.4.70", "not stored as"},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        maker *m = image((bits){16, 12, 11, 0}, "0");
        maker_form form = {.syntax = table[t].syntax};
        hct_err err = {0};
        maker_pixels(m, values, PIXELS, 2);
        hct_status s = read_back(m, &form, 1, stored, NULL, &err);
        tap_ok(s < 0 && strstr(err.msg, table[t].says), "%s: %s", table[t].what, err.msg);
        maker_free(m);
    }
    maker *m = image((bits){16, 12, 11, 0}, "0");
    maker_form form = {.cut = 10};
    hct_err err = {0};
    maker_pixels(m, values, PIXELS, 2);
    tap_ok(read_back(m, &form, 1, stored, NULL, &err) == HCT_EFORMAT, "a cut file: %s", err.msg);
    maker_free(m);
}

/* Damaged streams: refused or decoded, never a crash; and cut ones never decoded. */
static void test_damaged_streams(void) {
    for (const stream_case *c = stream_cases; c->name; c++) {
        unsigned char *copy = malloc(c->n);
        unsigned seed = 7;
        int cut_read = 0, read = 0;
        maker_form form = {.syntax = syntax_of(c->name)};
        for (int round = 0; round < 60; round++) {
            int32_t stored[PIXELS];
            hct_err err = {0};
            maker *m = image((bits){c->bits > 8 ? 16 : 8, (unsigned)c->bits, (unsigned)c->bits - 1, 0}, "0");
            stream_case damaged = {c->name, copy, c->n, c->bits, 0};
            memcpy(copy, c->bytes, c->n);
            if (round % 2) damaged.n = 20 + (size_t)round * (c->n - 24) / 60;
            for (int k = 0; round % 2 == 0 && k < 3; k++) {
                seed = seed * 1103515245u + 12345u;
                copy[seed / 65536 % c->n] = (unsigned char)(seed >> 8);
            }
            pack(m, &damaged, 1);
            hct_status s = read_back(m, &form, 1, stored, NULL, &err);
            cut_read += round % 2 && s == HCT_OK;
            read += s == HCT_OK;
            maker_free(m);
        }
        tap_ok(cut_read == 0, "%s: none of 30 cut streams is read; of 30 with three wrong bytes %d", c->name, read);
        free(copy);
    }
}

/* ---- HU ---- */

static void test_padding(void) {
    static const struct {
        const char *name;
        const char *padding, *intercept;
        int inside, border, want_inside, want_border;
    } table[] = {
        {"padding far below air", "-2000", "0", 40, -2000, 40, -1024},
        {"padding that rescale puts into the air", "0", "-1000", 1040, 0, 40, -1024},
        {"padding with the value of water stays inside", "0", "0", 0, 0, 0, -1024},
        {"bright padding", "2000", "0", 2000, 2000, 2000, -1024},
        {"below air without a padding value", NULL, "0", -3000, -2500, -1024, -1024},
        {"nothing to pad", NULL, "-1024", 1064, 24, 40, -1000},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        int32_t values[PIXELS], stored[PIXELS];
        float hu[PIXELS];
        hct_err err = {0};
        maker *m = image((bits){16, 16, 15, 1}, table[t].intercept);
        for (int i = 0; i < PIXELS; i++) {
            int x = i % COLUMNS, y = i / COLUMNS, edge = x == 0 || y == 0 || x == COLUMNS - 1 || y == ROWS - 1;
            int ring = x == 1 || y == 1 || x == COLUMNS - 2 || y == ROWS - 2;
            values[i] = edge ? table[t].border : ring ? 1500 : table[t].inside;
        }
        maker_pixels(m, values, PIXELS, 2);
        if (table[t].padding) {
            short v = (short)atoi(table[t].padding);
            maker_bytes(m, 0x00280120, "SS", &v, 2);
        }
        hct_status s = read_back(m, NULL, 1, stored, hu, &err);
        int middle = PIXELS / 2 + COLUMNS / 2;
        tap_ok(s == HCT_OK && hu[middle] == (float)table[t].want_inside && hu[0] == (float)table[t].want_border,
               "%s: %g inside, %g at the border %s", table[t].name, hu[middle], hu[0], err.msg);
        maker_free(m);
    }
}

/* RSNA's files whose 12-bit values wrapped. */
static void test_wrap(void) {
    static const int hu_wanted[4] = {-1000, -100, 40, 3000};
    int32_t stored[4];
    for (int i = 0; i < 4; i++) stored[i] = (hu_wanted[i] + 4096) % 4096;
    dicom_header h = {0};
    dicom_frame f = {0};
    h.frames = &f;
    h.n_frames = h.n_described = 1;
    h.rows = (dicom_number){2, DICOM_THERE};
    h.columns = (dicom_number){2, DICOM_THERE};
    h.bits_stored = (dicom_number){12, DICOM_THERE};
    h.pixel_representation = (dicom_number){0, DICOM_THERE};
    f.slope = (dicom_number){1, DICOM_THERE};
    f.intercept = (dicom_number){0, DICOM_THERE};
    float hu[4];
    hct_err err = {0};
    dicom_hu_options o = {.unwrap = true};
    int right = dicom_hu(&h, 0, stored, &o, hu, "x", &err) == HCT_OK;
    for (int i = 0; i < 4; i++) right = right && hu[i] == (float)hu_wanted[i];
    tap_ok(right && dicom_is_wrapped(&h, 0), "wrapped 12-bit values are mended");
    f.intercept.value = -1024;
    tap_ok(!dicom_is_wrapped(&h, 0), "an intercept that puts 0 into the air has not wrapped");
    f.intercept.state = DICOM_ABSENT;
    tap_ok(dicom_hu(&h, 0, stored, &o, hu, "x", &err) == HCT_EDTYPE, "no rescale is refused: %s", err.msg);
}

/* ---- real files ---- */

/* One frame's range in HU and the sum of its values times (place mod 1009 + 1), computed with pydicom 3.0.2. */
static void test_sets(const char *data) {
    static const struct {
        const char *file;
        int low, high;
        long long sum;
    } table[] = {
#include "pixel_sums.inc"
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        char path[4096];
        dicom_bytes *b = NULL;
        dicom_header h = {0};
        dicom_pixels *p = NULL;
        hct_err err = {0};
        snprintf(path, sizeof path, "%s/%s", data, table[t].file);
        if (access(path, R_OK) < 0) {
            tap_skip(table[t].file, "%s is absent; set HEADCT_DATA", path);
            continue;
        }
        hct_status s = dicom_bytes_file(path, &b, &err);
        if (s == HCT_OK) s = dicom_header_read(b, &h, &err);
        size_t n = s == HCT_OK ? (size_t)(h.rows.value * h.columns.value) : 0;
        int32_t *stored = malloc((n + 1) * sizeof *stored);
        if (s == HCT_OK) s = dicom_pixels_open(b, &h, &p, &err);
        if (s == HCT_OK) s = dicom_pixels_frame(p, 0, stored, &err);
        double low = INFINITY, high = -INFINITY, sum = 0;
        for (size_t i = 0; i < n && s == HCT_OK; i++) {
            double hu = stored[i] * h.frames->slope.value + h.frames->intercept.value;
            low = fmin(low, hu);
            high = fmax(high, hu);
            sum += hu * (double)(i % 1009 + 1);
        }
        tap_ok(s == HCT_OK && low == table[t].low && high == table[t].high && sum == (double)table[t].sum,
               "%s: %g to %g HU %s", table[t].file, low, high, err.msg);
        dicom_pixels_close(p);
        dicom_header_free(&h);
        dicom_bytes_close(b);
        free(stored);
    }
}

int main(void) {
    const hct_dicom_plugin *component;
    hct_err err = {0};
    const char *data = getenv("HEADCT_DATA");
    bool packed = dicom_component(&component, &err) == HCT_OK;
    test_bits();
    test_rle();
    test_refused();
    test_padding();
    test_wrap();
    if (packed) {
        tap_note("component: %s", component->version);
        test_streams();
        test_mismatch();
        test_frames();
        test_damaged_streams();
        test_sets(data && *data ? data : DATA_DEFAULT);
    } else tap_skip("compressed pixels", "%s", err.msg);
    return tap_done();
}
