/* dicom/prepare.h: prepared volumes against the formula of the head that the slices show, against the volume path,
 * and, where the sets are at hand, against numbers computed with pydicom. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dicom/pile.h"
#include "dicom/prepare.h"
#include "imaging/scan.h"
#include "make_dicom.h"
#include "scratch.h"
#include "support/paths.h"
#include "tap.h"

/* The first series of a folder that is kept, prepared; the status of what failed. */
typedef struct outcome {
    volume v;
    prepared_series info;
    char words[300]; /* of its findings */
    size_t slices;
} outcome;

static hct_status prepare(const char *input, const char *filters, const prepare_series_options *o, outcome *ret,
                          hct_err *err) {
    pile p;
    series_list l;
    series_filters f;
    *ret = (outcome){0};
    hct_status s = filters_read(filters, &f, err);
    if (s == HCT_OK) s = pile_read(&input, 1, &p, err);
    if (s < 0) return s;
    s = series_group(p.files, p.n, &l, err);
    int made = 0;
    for (size_t i = 0; i < l.n && s == HCT_OK && !made; i++) {
        verdict v;
        s = verdict_of(&l.items[i], p.files, &f, verdict_equal, p.files, &v, err);
        if (s == HCT_OK && !v.refusal) {
            s = prepare_series(p.files, &l.items[i], &f, o, &ret->v, &ret->info, &v, err);
            made = s == HCT_OK;
            ret->slices = l.items[i].n_slices;
        }
        for (size_t k = 0; k < v.n; k++)
            snprintf(ret->words + strlen(ret->words), sizeof ret->words - strlen(ret->words), "%s ",
                     verdict_word(v.findings[k].reason));
        verdict_free(&v);
    }
    if (s == HCT_OK && !made) s = hct_fail(err, HCT_ENOTFOUND, "no series of %s is kept: %s", input, ret->words);
    series_list_free(&l);
    pile_free(&p);
    filters_free(&f);
    return s;
}

/* The voxel at LPS millimetres, by the affine; false: outside. */
static bool voxel_at(const volume *v, const double lps[3], int64_t ijk[3]) {
    double affine[4][4], inverse[4][4];
    memcpy(affine, v->affine, sizeof affine);
    if (affine_invert(affine, inverse) < 0) return false;
    for (int a = 0; a < 3; a++) {
        double x = -inverse[a][0] * lps[0] - inverse[a][1] * lps[1] + inverse[a][2] * lps[2] + inverse[a][3];
        ijk[a] = (int64_t)rint(x);
        if (ijk[a] < 0 || ijk[a] >= v->dim[a]) return false;
    }
    return true;
}

/* Mean of a box of 2 r + 1 voxels about a place. */
static double mean_at(const volume *v, const double lps[3], const int64_t r[3]) {
    int64_t at[3], n = 0;
    double sum = 0;
    if (!voxel_at(v, lps, at)) return NAN;
    for (int64_t k = -r[2]; k <= r[2]; k++)
        for (int64_t j = -r[1]; j <= r[1]; j++)
            for (int64_t i = -r[0]; i <= r[0]; i++, n++)
                sum += v->i16[at[0] + i + v->dim[0] * (at[1] + j + v->dim[1] * (at[2] + k))];
    return sum / (double)n;
}

static head_series head(const char *name) {
    static char paths[8][400];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder(), name);
    return (head_series){.folder = path};
}

/* ---- the head where it is, whatever the slices are like ---- */

/* Extent of the bleed in the prepared volume along an axis, from its first to its last voxel of 55 to 95 HU; its
 * middle in mm. */
static void find_bleed(const volume *v, double lps[3]) {
    double sum[3] = {0}, n = 0;
    for (int64_t k = 0; k < v->dim[2]; k++)
        for (int64_t j = 0; j < v->dim[1]; j++)
            for (int64_t i = 0; i < v->dim[0]; i++) {
                int16_t x = v->i16[i + v->dim[0] * (j + v->dim[1] * k)];
                if (x < 60 || x > 90) continue;
                double w[3], apart = 0;
                static const double middle[3] = {-35, -20, 15};
                for (int a = 0; a < 3; a++) {
                    w[a] = v->affine[a][0] * (double)i + v->affine[a][1] * (double)j + v->affine[a][2] * (double)k +
                           v->affine[a][3];
                    if (a < 2) w[a] = -w[a];
                    apart += (w[a] - middle[a]) * (w[a] - middle[a]);
                }
                if (apart > 20 * 20) continue; /* at the skull the same values are passed through */
                for (int a = 0; a < 3; a++) sum[a] += w[a];
                n++;
            }
    for (int a = 0; a < 3; a++) lps[a] = sum[a] / n;
}

static void drop_numbers(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_drop(m, 0x00200013);
}
static int32_t store_signed(double hu) { return (int32_t)hu & 0xfff; }
static void say_signed(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_us(m, 0x00280103, 1);
    maker_text(m, 0x00281052, "DS", "0");
}
static void rescale_by_slice(maker *m, int k, void *c) { /* stored values are HU + 1024 + 3 k */
    (void)c;
    maker_format(m, 0x00281052, "DS", "%d", -1024 - 3 * k);
}
static int32_t store_half(double hu) { return (int32_t)((hu + 1024) * 2); }
static void say_half(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_text(m, 0x00281053, "DS", "0.5");
}

static void test_head(void) {
    static const double uneven[30] = {-85, -81, -77, -73, -69, -65, -61, -57, -53, -49, -45, -41, -37, -33, -29,
                                      -25, -18, -11, -4,  3,   10,  17,  24,  31,  38,  45,  52,  59,  66,  73};
    head_series table[] = {
        {.name = "axial", .n = 35},
        {.name = "signed 12 bits", .edit = say_signed, .store = store_signed},
        {.name = "slope 0.5", .edit = say_half, .store = store_half},
        {.name = "tilt +18.5", .tilt = 18.5, .edit = drop_numbers},
        {.name = "tilt -16.5", .tilt = -16.5},
        {.name = "uneven", .n = 30, .at = uneven},
        {.name = "uneven, tilt 18.5", .n = 30, .at = uneven, .tilt = 18.5},
        {.name = "coronal", .n = 45, .first = -108, .step = 5, .orientation = {1, 0, 0, 0, 0, -1}},
        {.name = "sagittal", .n = 35, .orientation = {0, 1, 0, 0, 0, -1}},
        {.name = "rows to the left", .orientation = {-1, 0, 0, 0, 1, 0}},
        {.name = "feet first", .orientation = {1, 0, 0, 0, -1, 0}},
        {.name = "oblique",
         .n = 40,
         .first = -98,
         .step = 5,
         .orientation = {0.9362934, -0.2896295, 0.1987423, 0.2750958, 0.9564251, 0.0977929}},
        {.name = "deflated", .form = {.syntax = "1.2.840.10008.1.2.1.99", .deflated = true}},
        {.name = "big endian", .form = {.syntax = "1.2.840.10008.1.2.2", .big = true}},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        const char *name = table[t].name;
        char folder[40];
        snprintf(folder, sizeof folder, "head%zu", t);
        head_series s = table[t];
        s.folder = head(folder).folder;
        s.name = NULL;
        head_series_write(&s);
        outcome o;
        hct_err err = {0};
        prepare_series_options options = {0};
        hct_status status = prepare(s.folder, "any-head-ct", &options, &o, &err);
        /* within the head nothing but 1000, 35 and 75 lies; flat points of each, far from edges */
        static const double points[][4] = {{-35, -20, 15, 75}, {30, 20, 10, 35},  {0, 40, -30, 35},
                                           {72, 0, 0, 1000},   {0, -92, 0, 1000}, {-20, 50, 30, 35}};
        double off = 0, bleed[3] = {0};
        for (size_t k = 0; k < 6 && status == HCT_OK; k++) {
            int64_t at[3];
            off = voxel_at(&o.v, points[k], at)
                      ? fmax(off,
                             fabs(o.v.i16[at[0] + 224 * (at[1] + 224 * at[2])] - points[k][3]) * (points[k][3] < 500))
                      : INFINITY;
            if (points[k][3] > 500 && o.v.i16[at[0] + 224 * (at[1] + 224 * at[2])] < 300) off = INFINITY;
        }
        if (status == HCT_OK) find_bleed(&o.v, bleed);
        double apart = hypot(hypot(bleed[0] + 35, bleed[1] + 20), bleed[2] - 15);
        tap_ok(status == HCT_OK && off <= 1 && apart < 0.6,
               "%s: flat points off by %.2g HU at the most, the bleed's middle by %.2f mm (%s) %s", name, off, apart,
               o.words, err.msg);
        volume_free(&o.v);
    }
    head_series s = head("by_slice");
    s.edit = rescale_by_slice;
    head_series_write(&s);
    outcome o;
    hct_err err = {0};
    prepare_series_options options = {0};
    hct_status status = prepare(s.folder, "any-head-ct", &options, &o, &err);
    static const double low[3] = {30, 20, -80}, high[3] = {0, 0, 60};
    static const int64_t none[3] = {0, 0, 0};
    /* slice k is 3 k lower than it says: brain of 35 reads 35 - 3 k there */
    double a = status == HCT_OK ? mean_at(&o.v, high, none) : NAN;
    tap_ok(status == HCT_OK && fabs(a - (35 - 3 * 29)) <= 1 && voxel_at(&o.v, low, (int64_t[3]){0}),
           "rescale is each slice's own: %.1f, not 35 %s", a, err.msg);
    volume_free(&o.v);
}

/* ---- like the volume path; the same from archives, and for any number of threads ---- */

static int64_t differing(const volume *a, const volume *b) {
    if (a->dtype != b->dtype || memcmp(a->dim, b->dim, sizeof a->dim) != 0) return -1;
    int64_t n = 0;
    for (int64_t i = 0; i < volume_count(a); i++) n += a->i16[i] != b->i16[i];
    return n;
}

static void test_ways(void) {
    head_series s = head("ways");
    head_series_write(&s);
    outcome o, other;
    hct_err err = {0};
    prepare_series_options options = {.jobs = 1};
    if (prepare(s.folder, "any-head-ct", &options, &o, &err) < 0) {
        tap_ok(0, "%s", err.msg);
        return;
    }
    /* the same voxels as a NIfTI file would hold them: x to the left, y to the back */
    volume v;
    volume_alloc(&v, HCT_I16, (const int64_t[3]){128, 150, 35}, &err);
    for (int64_t i = 0; i < volume_count(&v); i++) {
        double x = (double)(i % 128) * 1.5 - 95.25, y = (double)(i / 128 % 150) * 1.5 - 111.75,
               z = -85 + 5 * (double)(i / 128 / 150);
        double hu = head_hu(x, y, z);
        v.i16[i] = (int16_t)hu;
    }
    double affine[4][4] = {{-1.5, 0, 0, 95.25}, {0, -1.5, 0, 111.75}, {0, 0, 5, -85}, {0, 0, 0, 1}};
    memcpy(v.affine, affine, sizeof affine);
    hct_status status = scan_prepare(&v, 0, &err);
    tap_ok(status == HCT_OK && differing(&o.v, &v) == 0,
           "an even, straight series is prepared as the equal NIfTI volume: %lld voxels differ",
           (long long)differing(&o.v, &v));
    volume_free(&v);
    options.jobs = 3;
    status = prepare(s.folder, "any-head-ct", &options, &other, &err);
    tap_ok(status == HCT_OK && differing(&o.v, &other.v) == 0, "three threads give the same %s", err.msg);
    volume_free(&other.v);
    char command[1200], archive[500];
    const char *const packers[][2] = {{"tar.gz", "tar czf"}, {"tar", "tar cf"}};
    for (int i = 0; i < 2; i++) {
        snprintf(archive, sizeof archive, "%s/ways.%s", scratch_folder(), packers[i][0]);
        snprintf(command, sizeof command, "cd %s && %s %s ways", scratch_folder(), packers[i][1], archive);
        if (system(command) != 0) continue;
        status = prepare(archive, "any-head-ct", &options, &other, &err);
        tap_ok(status == HCT_OK && differing(&o.v, &other.v) == 0, "from a %s the same %s", packers[i][0], err.msg);
        volume_free(&other.v);
    }
    volume_free(&o.v);
}

/* ---- values that are no HU, and padding ---- */

static double raw_4095(double x, double y, double z) { return head_hu(x, y, z) + 1024; }
static double grey(double x, double y, double z) { return (head_hu(x, y, z) + 1000) / 8; }
static double mask(double x, double y, double z) { return head_hu(x, y, z) > 0; }
static double constant(double x, double y, double z) { return x * 0 + y * 0 + z * 0; }
static double far_below(double x, double y, double z) { return head_hu(x, y, z) - 8758; }
static double padded(double x, double y, double z) { return x * x + y * y > 97 * 97 ? -30000 : head_hu(x, y, z); }
static int32_t as_it_is(double hu) { return (int32_t)hu; }
static int32_t wrapped(double hu) { return ((int32_t)hu + 4096) % 4096; }
static void say_16_bits(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_us(m, 0x00280101, 16);
    maker_us(m, 0x00280102, 15);
    maker_us(m, 0x00280103, 1);
    maker_text(m, 0x00281052, "DS", "0");
}
static void say_wrapped(maker *m, int k, void *c) {
    (void)k, (void)c;
    maker_text(m, 0x00281052, "DS", "0");
}

static void test_values(void) {
    static const struct {
        const char *name;
        double (*hu)(double, double, double);
        const char *words;
    } table[] = {{"raw values", raw_4095, "hu "}, {"grey levels", grey, "hu "},    {"a mask", mask, "hu "},
                 {"a constant", constant, "hu "}, {"far below", far_below, "hu "}, {"a head", head_hu, ""}};
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        char folder[40];
        snprintf(folder, sizeof folder, "values%zu", t);
        head_series s = head(folder);
        s.hu = table[t].hu;
        s.store = as_it_is;
        s.edit = say_16_bits;
        head_series_write(&s);
        outcome o;
        hct_err err = {0};
        prepare_series_options options = {0};
        hct_status status = prepare(s.folder, "any-head-ct", &options, &o, &err);
        tap_ok(status == HCT_OK && strncmp(o.words, table[t].words, 3) == 0, "%s: '%s' %s", table[t].name, o.words,
               err.msg);
        volume_free(&o.v);
    }
    head_series s = head("wrap");
    s.store = wrapped;
    s.edit = say_wrapped;
    head_series_write(&s);
    outcome o, right;
    hct_err err = {0};
    prepare_series_options options = {0};
    hct_status status = prepare(s.folder, "any-head-ct", &options, &o, &err);
    tap_ok(status == HCT_OK && strstr(o.words, "wrapped hu") && o.info.wrapped == 35,
           "wrapped values are told of: '%s'", o.words);
    volume_free(&o.v);
    options.unwrap = true;
    status = prepare(s.folder, "any-head-ct", &options, &o, &err);
    if (status == HCT_OK) status = prepare(head("wrap").folder, "any-head-ct", &options, &right, &err);
    volume_free(&right.v);
    status = prepare(scratch_path("ways"), "any-head-ct", &options, &right, &err);
    tap_ok(status == HCT_OK && differing(&o.v, &right.v) == 0 && strcmp(o.words, "wrapped ") == 0, "and mended: '%s'",
           o.words);
    volume_free(&o.v);
    s = head("padded");
    s.hu = padded;
    s.store = as_it_is;
    s.edit = say_16_bits;
    head_series_write(&s);
    options.unwrap = false;
    status = prepare(s.folder, "any-head-ct", &options, &o, &err);
    int64_t bright = 0;
    for (int64_t i = 0; status == HCT_OK && i < volume_count(&o.v); i++)
        bright += right.v.i16[i] < -950 && o.v.i16[i] > -900;
    tap_ok(status == HCT_OK && bright == 0, "padding of -30000 leaves no ring: %lld voxels of air above -900 HU",
           (long long)bright);
    volume_free(&o.v);
    volume_free(&right.v);
}

/* ---- the head off the middle ---- */

static double off_middle(double x, double y, double z) { return head_hu(x + 60, y - 70, z); }
/* A neck below it, and a table apart from both. */
static double with_neck(double x, double y, double z) {
    double h = head_hu(x, y, z - 80);
    if (h > -1000) return h;
    if (z < 60 && x * x + y * y < 55 * 55) return 40;
    return y > 118 && y < 122 ? 200 : -1000;
}

/* Voxels above 0 HU in the model's cube, of those of the head that lies in the middle. */
static double head_share(const volume *v, int64_t all) {
    int64_t n = 0;
    for (int64_t k = 16; k < 208; k++)
        for (int64_t j = 16; j < 208; j++)
            for (int64_t i = 16; i < 208; i++) n += v->i16[i + 224 * (j + 224 * k)] > 0;
    return (double)n / (double)all;
}

static void test_center(void) {
    outcome whole_head;
    hct_err why = {0};
    prepare_series_options plain = {0};
    int64_t all = 0;
    if (prepare(scratch_path("ways"), "any-head-ct", &plain, &whole_head, &why) == HCT_OK)
        for (int64_t i = 0; i < volume_count(&whole_head.v); i++) all += whole_head.v.i16[i] > 0;
    volume_free(&whole_head.v);
    head_series table[] = {
        {.name = "off", .columns = 200, .rows = 200, .spacing = 2, .hu = off_middle},
        {.name = "neck", .columns = 128, .rows = 128, .spacing = 2, .n = 78, .first = -220, .step = 5, .hu = with_neck},
    };
    for (size_t t = 0; t < 2; t++) {
        const char *name = table[t].name;
        head_series s = table[t];
        s.folder = head(name).folder;
        s.name = NULL;
        head_series_write(&s);
        outcome o, centred;
        hct_err err = {0};
        prepare_series_options options = {0};
        hct_status status = prepare(s.folder, "any-head-ct", &options, &o, &err);
        tap_ok(status == HCT_OK && strstr(o.words, "head-outside") && o.info.beyond > 20,
               "%s: said that %.0f mm lie outside: '%s' %s", name, o.info.beyond, o.words, err.msg);
        options.center_head = true;
        status = prepare(s.folder, "any-head-ct", &options, &centred, &err);
        double share = head_share(&o.v, all), whole = head_share(&centred.v, all);
        /* of the neck a part is seen as well */
        tap_ok(status == HCT_OK && whole > 0.97 && whole > share + 0.05 && (t || centred.info.beyond == 0),
               "%s: cut about the head %.0f%% of a head lie in the cube, about the middle %.0f%%; shift %lld %lld %lld",
               name, 100 * whole, 100 * share, (long long)centred.info.shift[0], (long long)centred.info.shift[1],
               (long long)centred.info.shift[2]);
        int64_t top[3] = {0};
        static const double crown[2][3] = {{-60, 70, 84}, {0, 0, 164}};
        int found = voxel_at(&centred.v, crown[t], top);
        tap_ok(found && llabs(top[2] - 205) <= 4 && llabs(top[0] - 112) <= 4 && llabs(top[1] - 112) <= 8,
               "%s: the crown lies at %lld %lld %lld", name, (long long)top[0], (long long)top[1], (long long)top[2]);
        volume_free(&o.v);
        volume_free(&centred.v);
    }
}

/* ---- pixels that only decoding shows to be broken ---- */

static void spoil(maker *m, int k, void *c) {
    static const unsigned char stream[400] = {0xff, 0xd8, 0xff, 0xf7};
    const void *bytes[] = {stream};
    size_t lengths[] = {sizeof stream};
    (void)k, (void)c;
    maker_fragments(m, NULL, 0, bytes, lengths, 1);
}

static void test_unreadable(void) {
    head_series s = head("broken");
    head_series_write(&s);
    s.n = 1;
    s.start = 21;
    s.first = 15;
    s.step = 1;
    s.form.syntax = "1.2.840.10008.1.2.4.80";
    s.edit = spoil;
    head_series_write(&s);
    outcome o;
    hct_err err = {0};
    prepare_series_options options = {0};
    hct_status status = prepare(s.folder, "any-head-ct", &options, &o, &err);
    int told = status == HCT_EFORMAT && strstr(err.msg, "IM0021.dcm") && strstr(err.msg, "1.2.840.10008.1.2.4.80") &&
               strstr(o.words, "unreadable") && !o.v.data;
    tap_ok(status == HCT_EDEVICE || told, "a slice that cannot be decoded: %s", err.msg);
}

/* ---- Enhanced CT: one file of frames gives what single files give ---- */

static void test_enhanced(void) {
    enum { N = 24, SIDE = 128 };
    head_series s = head("single");
    s.n = N;
    s.columns = s.rows = SIDE;
    s.spacing = 1.6;
    s.first = -60;
    s.step = 5;
    s.tilt = 12;
    head_series_write(&s);
    maker *m = maker_new(), *shared = maker_new(), *orientation = maker_new(), *measures = maker_new(),
          *values = maker_new();
    maker *frames[N], *places[N], *of_place[N][1];
    maker *const of_shared[] = {shared}, *const of_orientation[] = {orientation}, *const of_measures[] = {measures},
                 *const of_values[] = {values};
    int32_t *pixels = malloc(sizeof(int32_t) * N * SIDE * SIDE);
    maker_text(orientation, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    maker_text(measures, 0x00280030, "DS", "1.6\\1.6");
    maker_text(measures, 0x00180050, "DS", "5");
    maker_text(values, 0x00281052, "DS", "-1024");
    maker_text(values, 0x00281053, "DS", "1");
    maker_sequence(shared, 0x00209116, of_orientation, 1, true);
    maker_sequence(shared, 0x00289110, of_measures, 1, true);
    maker_sequence(shared, 0x00289145, of_values, 1, true);
    for (int f = 0; f < N; f++) { /* from the top down, as some scanners store them */
        int k = N - 1 - f;
        double z = -60 + 5.0 * k, slide = z * tan(12 * M_PI / 180);
        places[f] = maker_new();
        frames[f] = maker_new();
        of_place[f][0] = places[f];
        maker_format(places[f], 0x00200032, "DS", "%.6f\\%.6f\\%.6f", -101.6, slide - 101.6, z);
        maker_sequence(frames[f], 0x00209113, of_place[f], 1, true);
        for (int at = 0; at < SIDE * SIDE; at++)
            pixels[f * SIDE * SIDE + at] =
                (int32_t)head_hu(at % SIDE * 1.6 - 101.6, at / SIDE * 1.6 - 101.6 + slide, z) + 1024;
    }
    maker_text(m, 0x00080008, "CS", "ORIGINAL\\PRIMARY\\VOLUME\\NONE");
    maker_text(m, 0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2.1");
    maker_text(m, 0x00080018, "UI", "1.2.3.9");
    maker_text(m, 0x00080060, "CS", "CT");
    maker_text(m, 0x0008103e, "LO", "HEAD");
    maker_text(m, 0x00180060, "DS", "120");
    maker_text(m, 0x0020000d, "UI", "1.2.3");
    maker_text(m, 0x0020000e, "UI", "1.2.3.4");
    maker_us(m, 0x00280002, 1);
    maker_text(m, 0x00280004, "CS", "MONOCHROME2");
    maker_format(m, 0x00280008, "IS", "%d", N);
    maker_us(m, 0x00280010, SIDE);
    maker_us(m, 0x00280011, SIDE);
    maker_us(m, 0x00280100, 16);
    maker_us(m, 0x00280101, 12);
    maker_us(m, 0x00280102, 11);
    maker_us(m, 0x00280103, 0);
    maker_sequence(m, 0x52009229, of_shared, 1, true);
    maker_sequence(m, 0x52009230, frames, N, true);
    maker_pixels(m, pixels, (size_t)N * SIDE * SIDE, 2);
    mkdir(scratch_path("enhanced"), 0700);
    maker_write(m, NULL, scratch_path("enhanced/mf"));
    outcome one, many;
    hct_err err = {0};
    prepare_series_options options = {0};
    hct_status status = prepare(s.folder, "any-head-ct", &options, &many, &err);
    if (status == HCT_OK) status = prepare(scratch_path("enhanced"), "any-head-ct", &options, &one, &err);
    tap_ok(status == HCT_OK && one.slices == N && differing(&one.v, &many.v) == 0,
           "frames of one file, stored from the top down, are the volume of single files: %lld voxels differ %s",
           status == HCT_OK ? (long long)differing(&one.v, &many.v) : -1LL, err.msg);
    volume_free(&one.v);
    volume_free(&many.v);
    free(pixels);
    for (int f = 0; f < N; f++) {
        maker_free(frames[f]);
        maker_free(places[f]);
    }
    maker_free(shared);
    maker_free(orientation);
    maker_free(measures);
    maker_free(values);
    maker_free(m);
}

/* ---- real series ---- */

/* Of each set as pydicom 3.0.2 reads it: number of slices, first position, normal, mean step, shear along row and
 * column per mm; and flat points: LPS mm, mean HU of 11 x 11 pixels. */
static void test_sets(const char *data) {
    static const struct {
        const char *name, *folder;
        int slices;
        double first[3], normal[3], step, shear[2], points[5][4];
    } table[] = {
#include "set_geometry.inc"
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        char path[4096];
        outcome o;
        hct_err err = {0};
        prepare_series_options options = {0};
        snprintf(path, sizeof path, "%s/%s", data, table[t].folder);
        if (!path_is_folder(path)) {
            tap_skip(table[t].name, "%s is absent; set HEADCT_DATA", path);
            continue;
        }
        hct_status status = prepare(path, "any-head-ct", &options, &o, &err);
        const stack_shape *g = &o.info.shape;
        double off = fabs(g->step - table[t].step), hu = 0, height = (double)(table[t].slices - 1) * table[t].step;
        for (int i = 0; i < 3; i++) {
            double turn = i < 2 ? -1 : 1;
            off = fmax(off, fabs(turn * g->normal[i] - table[t].normal[i]) * 200);
            off = fmax(off, i < 2 ? fabs(g->shear[i] - table[t].shear[i]) * height : 0);
        }
        static const int64_t box[3] = {2, 2, 0};
        for (int k = 0; k < 5 && status == HCT_OK && table[t].points[k][3] != 0; k++)
            hu = fmax(hu, fabs(mean_at(&o.v, table[t].points[k], box) - table[t].points[k][3]));
        tap_ok(status == HCT_OK && o.slices == (size_t)table[t].slices && off < 0.05 && hu <= 1,
               "%s: %zu slices, geometry off by %.3f mm, flat points by %.2f HU (%s) %s", table[t].name, o.slices, off,
               hu, o.words, err.msg);
        volume_free(&o.v);
    }
}

int main(void) {
    const char *data = getenv("HEADCT_DATA");
    test_head();
    test_ways();
    test_values();
    test_center();
    test_unreadable();
    test_enhanced();
    test_sets(data && *data ? data : DATA_DEFAULT);
    return tap_done();
}
