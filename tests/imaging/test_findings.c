/* imaging/scan.h with options, hu_check.h and body.h, of volumes as NIfTI files bring them: values that are no HU,
 * padding, heads off the middle. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/scan.h"
#include "tap.h"

/* A made-up head in HU at LPS millimetres. */
static double head(double x, double y, double z) {
    double skull = x * x / 75 / 75 + y * y / 95 / 95 + z * z / 85 / 85,
           brain = x * x / 69 / 69 + y * y / 89 / 89 + z * z / 79 / 79;
    return brain < 1 ? 35 : skull < 1 ? 1000 : -1000;
}

typedef struct grid {
    int64_t dim[3];
    double spacing[3], centre[3]; /* LPS */
} grid;

static void make(const grid *g, double (*change)(double hu, double x, double y), volume *v) {
    hct_err err = {0};
    if (volume_alloc(v, HCT_F32, g->dim, &err) < 0) exit(99);
    for (int a = 0; a < 3; a++) {
        double turn = a < 2 ? -1 : 1;
        v->affine[a][a] = turn * g->spacing[a];
        v->affine[a][3] = turn * (g->centre[a] - g->spacing[a] * (double)(g->dim[a] - 1) / 2);
    }
    for (int64_t k = 0; k < g->dim[2]; k++)
        for (int64_t j = 0; j < g->dim[1]; j++)
            for (int64_t i = 0; i < g->dim[0]; i++) {
                double p[3] = {(double)i, (double)j, (double)k};
                for (int a = 0; a < 3; a++) p[a] = g->centre[a] + g->spacing[a] * (p[a] - (double)(g->dim[a] - 1) / 2);
                double hu = head(p[0], p[1], p[2]);
                v->f32[i + g->dim[0] * (j + g->dim[1] * k)] = (float)(change ? change(hu, p[0], p[1]) : hu);
            }
}

static const grid middle = {{128, 150, 36}, {1.5, 1.5, 5}, {0, 0, 0}};

static double raw(double hu, double x, double y) { return (void)x, (void)y, hu + 1024; }
static double unit(double hu, double x, double y) { return (void)x, (void)y, (fmin(fmax(hu, -160), 240) + 160) / 400; }
static double grey(double hu, double x, double y) { return (void)x, (void)y, floor((hu + 1000) / 8); }
static double mask(double hu, double x, double y) { return (void)x, (void)y, hu > 0; }
static double constant(double hu, double x, double y) { return (void)x, (void)y, hu * 0; }
static double far_below(double hu, double x, double y) { return (void)x, (void)y, hu - 8758; }
static double wrap(double hu, double x, double y) { return (void)x, (void)y, fmod(hu + 4096, 4096); }
static double pad_3024(double hu, double x, double y) { return x * x + y * y > 97 * 97 ? -3024 : hu; }
static double pad_32768(double hu, double x, double y) { return x * x + y * y > 97 * 97 ? -32768 : hu; }

static void test_values(void) {
    static const struct {
        const char *name;
        double (*change)(double, double, double);
        hu_fault want;
    } table[] = {{"a head", NULL, HU_FINE},
                 {"raw 0 to 4095", raw, HU_NO_AIR},
                 {"0 to 1", unit, HU_NO_AIR},
                 {"0 to 255", grey, HU_NO_AIR},
                 {"a mask", mask, HU_NO_AIR},
                 {"a constant", constant, HU_NO_AIR},
                 {"from -9758", far_below, HU_NO_SOFT},
                 {"12-bit wrap", wrap, HU_NO_AIR},
                 {"padded", pad_3024, HU_FINE}};
    for (size_t t = 0; t < sizeof table / sizeof *table; t++)
        for (int i16 = 0; i16 < 2; i16++) {
            volume v;
            hu_stats s;
            hct_err err = {0};
            make(&middle, table[t].change, &v);
            if (i16) volume_to_i16(&v, &err);
            hu_stats_volume(&s, &v);
            hu_fault have = hu_check(&s);
            tap_ok(have == table[t].want, "%s, %s: '%s'", table[t].name, i16 ? "int16" : "float32",
                   hu_fault_word(have));
            volume_free(&v);
        }
}

static int64_t differing(const volume *a, const volume *b) {
    int64_t n = 0;
    for (int64_t i = 0; i < volume_count(a); i++) n += a->i16[i] != b->i16[i];
    return n;
}

static void test_padding_and_wrap(void) {
    volume want, v, like;
    scan_findings f;
    hct_err err = {0};
    scan_options o = {0}, monai = {.like_monai = 1};
    make(&middle, NULL, &want);
    scan_prepare(&want, 0, &err);
    make(&middle, NULL, &v);
    tap_ok(scan_prepare_with(&v, &o, &f, &err) == HCT_OK && differing(&v, &want) == 0,
           "without padding nothing changes %s", err.msg);
    volume_free(&v);
    double (*const pads[])(double, double, double) = {pad_3024, pad_32768};
    for (int i = 0; i < 2; i++) {
        int64_t ring[2] = {0};
        make(&middle, pads[i], &v);
        make(&middle, pads[i], &like);
        hct_status s = scan_prepare_with(&v, &o, &f, &err);
        if (s == HCT_OK) s = scan_prepare_with(&like, &monai, &f, &err);
        for (int64_t k = 0; k < volume_count(&want) && s == HCT_OK; k++) {
            ring[0] += want.i16[k] < -900 && v.i16[k] > -800;
            ring[1] += want.i16[k] < -900 && like.i16[k] > -800;
        }
        tap_ok(s == HCT_OK && ring[0] == 0 && ring[1] > 0, "padding: no voxel of air is bright (%lld as MONAI has it)",
               (long long)ring[1]);
        volume_free(&v);
        make(&middle, pads[i], &v); /* --like-monai is the golden path */
        scan_prepare(&v, 0, &err);
        tap_ok(differing(&v, &like) == 0, "like_monai is scan_prepare");
        volume_free(&v);
        volume_free(&like);
    }
    o.unwrap = 1;
    make(&middle, wrap, &v);
    tap_ok(scan_prepare_with(&v, &o, &f, &err) == HCT_OK && f.unwrapped && differing(&v, &want) == 0,
           "wrapped values are mended");
    volume_free(&v);
    volume_free(&want);
    char text[3][512];
    scan_options all[3] = {{.like_monai = 1}, {0}, {.center_head = 1}};
    for (int i = 0; i < 3; i++) {
        const char *said = scan_preprocessing_with(&all[i], text[i]);
        if (said != text[i]) strcpy(text[i], said);
    }
    tap_ok(strcmp(text[0], scan_preprocessing(0)) == 0 && strcmp(text[0], text[1]) != 0 &&
               strcmp(text[1], text[2]) != 0,
           "each preparation has a description of its own: %s", text[1]);
}

static void test_place(void) {
    static const struct {
        const char *name;
        grid g;
        int outside;
        double least; /* share of the head in the cube, cut about it */
    } table[] = {
        {"centred", {{256, 256, 36}, {1.96, 1.96, 5}, {0, 0, 0}}, 0, 0.99},
        {"off by 60 and -70", {{256, 256, 36}, {1.96, 1.96, 5}, {60, -70, 0}}, 1, 0.99},
        {"high in a field of 380 mm", {{200, 220, 190}, {1, 1, 2}, {0, 0, -105}}, 1, 0.99},
        {"already 1 mm", {{230, 230, 300}, {1, 1, 1}, {0, 0, -90}}, 1, 0.99},
    };
    double whole = 0;
    for (size_t t = 0; t < sizeof table / sizeof *table; t++)
        for (int center = 0; center < 2; center++) {
            volume v;
            scan_findings f;
            hct_err err = {0};
            scan_options o = {.center_head = center};
            double inside = 0;
            make(&table[t].g, NULL, &v);
            hct_status s = scan_prepare_with(&v, &o, &f, &err);
            for (int64_t k = 16; k < 208 && s == HCT_OK; k++)
                for (int64_t j = 16; j < 208; j++)
                    for (int64_t i = 16; i < 208; i++) inside += v.i16[i + 224 * (j + 224 * k)] > 0;
            if (t == 0 && !center) whole = inside;
            int right = center ? inside >= table[t].least * whole && f.beyond == 0 : (f.beyond > 0) == table[t].outside;
            tap_ok(s == HCT_OK && right,
                   "%s%s: %.0f%% of the head in the cube, %.0f mm beyond, shift %lld %lld %lld %s", table[t].name,
                   center ? ", cut about the head" : "", 100 * inside / whole, f.beyond, (long long)f.shift[0],
                   (long long)f.shift[1], (long long)f.shift[2], err.msg);
            volume_free(&v);
        }
}

int main(void) {
    test_values();
    test_padding_and_wrap();
    test_place();
    return tap_done();
}
