/* Golden family `preprocess`: every stage of the paper's preparation, from file to model input, against MONAI's
 * numbers. A case is a JSON file with "input", "windows_level_width" and "stages"; beside it lie NAME_samples,
 * NAME_paper_*, NAME_ref_* and NAME_ras1mm_int16. Sizes are read from the JSON; a stage is known by how its name
 * begins. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "golden.h"
#include "tap.h"

#include "hct/safetensors.h"
#include "imaging/input_spec.h"
#include "imaging/nifti.h"
#include "imaging/resample.h"
#include "imaging/scan.h"

/* The README's tolerances. */
#define BEFORE_WINDOWS 1e-3
#define AFTER_WINDOWS 1e-5
#define F16_IMAGE 6e-4

enum { MAX_WINDOWS = 16 };

typedef struct stage {
    int channels, windowed; /* windowed: the volume's voxels seen through the windows */
    volume v;               /* borrowed voxels, x fastest */
    float *dense;           /* or a finished [channels, dim0, dim1, dim2] */
    int64_t dim[3], start[3];
    const hu_window *windows; /* one a channel */
} stage;

static double stage_value(const stage *s, int64_t flat) {
    if (s->dense) return s->dense[flat];
    int64_t k = flat % s->dim[2], j = flat / s->dim[2] % s->dim[1], i = flat / s->dim[2] / s->dim[1] % s->dim[0];
    int64_t c = flat / s->dim[2] / s->dim[1] / s->dim[0];
    float x = s->v.f32[i + s->start[0] + s->v.dim[0] * (j + s->start[1] + s->v.dim[1] * (k + s->start[2]))];
    if (!s->windowed) return x;
    return hu_window_value(x, hu_window_low(s->windows[c]), (float)(1 / s->windows[c].width));
}

/* Shape, affine, samples and moments of one stage. */
static void check_stage(const golden_case *g, const stage *s, const cJSON *expected, const hct_st_file *samples,
                        double tolerance) {
    const char *name = expected->string;
    char what[160];
    golden_tol tol = {tolerance, 0, -1};
    const cJSON *shape = golden_item(expected, "shape");
    int axes = cJSON_GetArraySize(shape), same = axes >= 3;
    for (int a = 0; a < 3 && same; a++)
        same = cJSON_GetArrayItem(shape, axes - 3 + a)->valuedouble == (double)s->dim[a];
    if (same && axes == 4) same = cJSON_GetArrayItem(shape, 0)->valueint == s->channels;
    tap_ok(same, "%s/%s: %s is %lld x %lld x %lld", g->family, g->name, name, (long long)s->dim[0],
           (long long)s->dim[1], (long long)s->dim[2]);
    if (!same) return;
    if (cJSON_IsArray(golden_item(expected, "affine")) && !s->dense && !s->windowed) {
        double have[16], want[16];
        for (int i = 0; i < 16; i++) {
            have[i] = s->v.affine[i / 4][i % 4];
            for (int a = 0; i % 4 == 3 && a < 3; a++) have[i] += s->v.affine[i / 4][a] * (double)s->start[a];
            want[i] =
                cJSON_GetArrayItem(cJSON_GetArrayItem(golden_item(expected, "affine"), i / 4), i % 4)->valuedouble;
        }
        snprintf(what, sizeof what, "%s affine", name);
        golden_check_f64(g, what, have, 16, want, 16, (golden_tol){1e-6, 0, -1});
    }
    size_t n, n_want;
    snprintf(what, sizeof what, "%s.idx", name);
    int64_t *at = golden_i64(samples, what, &n), all = s->channels * s->dim[0] * s->dim[1] * s->dim[2];
    snprintf(what, sizeof what, "%s.val", name);
    float *want = golden_f32(samples, what, &n_want), *have = malloc(n * sizeof *have + 1);
    for (size_t i = 0; i < n; i++) have[i] = at[i] >= 0 && at[i] < all ? (float)stage_value(s, at[i]) : NAN;
    snprintf(what, sizeof what, "%s samples", name);
    golden_check_f32(g, what, have, n, want, n_want, tol);
    free(at);
    free(want);
    free(have);
    double sum = 0, low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < all; i++) {
        double x = stage_value(s, i);
        sum += x;
        low = fmin(low, x);
        high = fmax(high, x);
    }
    double got_moments[3] = {sum / (double)all, low, high};
    double moments[3] = {golden_number(expected, "mean"), golden_number(expected, "min"),
                         golden_number(expected, "max")};
    snprintf(what, sizeof what, "%s mean, min, max", name);
    golden_check_f64(g, what, got_moments, 3, moments, 3, tol);
}

/* A whole image in half precision, "image" in NAME_KIND_CxS_f16.safetensors; not every case has one. */
static void check_image(const golden_case *g, const char *kind, const stage *s) {
    char suffix[128];
    snprintf(suffix, sizeof suffix, "_%s_%dx%lld_f16", kind, s->channels, (long long)s->dim[0]);
    hct_st_file *f = golden_tensors(g, suffix);
    if (!f) return;
    size_t n, all = (size_t)(s->channels * s->dim[0] * s->dim[1] * s->dim[2]);
    float *want = golden_f32(f, "image", &n);
    golden_check_f32(g, suffix + 1, s->dense, all, want, n, (golden_tol){F16_IMAGE, 0, -1});
    free(want);
    hct_st_close(f);
}

/* Equal but for +-1 in at most 1e-4 of the voxels. */
static void check_int16(const golden_case *g, const char *path, const volume *rounded) {
    hct_err err;
    volume want;
    if (nifti_read(path, &want, &err) < 0) {
        tap_ok(0, "%s", err.msg);
        return;
    }
    int same = want.dtype == HCT_I16 && memcmp(want.dim, rounded->dim, sizeof want.dim) == 0;
    tap_ok(same, "%s: int16 of the same shape", path);
    golden_check_f64(g, "int16 affine", &rounded->affine[0][0], 16, &want.affine[0][0], 16, (golden_tol){1e-4, 0, -1});
    int64_t ones = 0, more = 0, n = same ? volume_count(&want) : 0;
    for (int64_t i = 0; i < n; i++) {
        int d = abs(want.i16[i] - rounded->i16[i]);
        ones += d == 1;
        more += d > 1;
    }
    tap_note("%s: %lld of %lld voxels off by one, %lld by more", path, (long long)ones, (long long)n, (long long)more);
    golden_check_number(g, "int16 voxels off by more than one", (double)more, 0, (golden_tol){0, 0, -1});
    golden_check_number(g, "int16 voxels off by one", (double)ones, 0, (golden_tol){1e-4 * (double)n, 0, -1});
    volume_free(&want);
}

/* What headct prepare would store for the input, against the golden int16 volume padded or cropped likewise. */
static void check_prepared(const golden_case *g, const char *path, const char *input) {
    hct_err err = {0};
    volume want = {0}, have = {0};
    int ok = scan_open(input, 0, &have, NULL, &err) == HCT_OK && nifti_read(path, &want, &err) == HCT_OK &&
             volume_pad_crop(&want, have.dim, PREPARED_PAD_HU, &err) == HCT_OK;
    tap_ok(ok && have.dtype == HCT_I16, "%s/%s: is prepared %s", g->family, g->name, err.msg);
    double off = 0, n = ok ? (double)volume_count(&have) : 0;
    for (int64_t i = 0; ok && i < volume_count(&have); i++) off += have.i16[i] != want.i16[i];
    golden_check_number(g, "prepared voxels that differ", off, 0, (golden_tol){1e-4 * n, 0, -1});
    volume_free(&want);
    volume_free(&have);
}

static hct_status copy_volume(const volume *v, volume *ret) {
    hct_status s = volume_alloc(ret, v->dtype, v->dim, NULL);
    if (s < 0) return s;
    memcpy(ret->data, v->data, (size_t)volume_count(v) * hct_dtype_size(v->dtype));
    memcpy(ret->affine, v->affine, sizeof v->affine);
    return HCT_OK;
}

/* The prepared int16 volume against the exact one, both as model inputs: rounding moves a voxel by at most half a
 * unit, by a quarter on average, and a window divides that by its width. On average never more than 0.002. */
static void check_int16_path(const golden_case *g, const volume *spaced, const int64_t pad[3], int64_t crop,
                             const stage *exact) {
    volume v = {0};
    int64_t n = exact->channels * exact->dim[0] * exact->dim[1] * exact->dim[2];
    float *rough = malloc((size_t)n * sizeof *rough);
    double sum = 0, worst = 0, mean_limit = 0, limit = 0;
    hct_err err = {0};
    for (int k = 0; k < exact->channels; k++) {
        mean_limit += 0.25 / exact->windows[k].width / exact->channels;
        limit = fmax(limit, 0.5 / exact->windows[k].width);
    }
    const input_spec spec = input_cube(exact->windows, exact->channels, crop, exact->dim[0]);
    int ok = copy_volume(spaced, &v) == HCT_OK && volume_to_i16(&v, &err) == HCT_OK &&
             volume_pad_crop(&v, pad, PREPARED_PAD_HU, &err) == HCT_OK && input_make(&spec, &v, rough, &err) == HCT_OK;
    tap_ok(ok, "int16 path %s", err.msg);
    for (int64_t i = 0; ok && i < n; i++) {
        double d = fabs((double)rough[i] - exact->dense[i]);
        sum += d;
        worst = fmax(worst, d);
    }
    tap_note("%s: int16 path off by %.2g on average, %.2g at worst", g->name, sum / (double)n, worst);
    golden_check_number(g, "int16 path, mean distance", sum / (double)n, 0,
                        (golden_tol){fmin(mean_limit, 0.002), 0, -1});
    golden_check_number(g, "int16 path, worst distance", worst, 0, (golden_tol){limit + AFTER_WINDOWS, 0, -1});
    volume_free(&v);
    free(rough);
}

static const cJSON *find_stage(const cJSON *stages, const char *prefix) {
    const cJSON *s;
    cJSON_ArrayForEach(s, stages) if (strncmp(s->string, prefix, strlen(prefix)) == 0) return s;
    return NULL;
}

static void stage_dims(const cJSON *s, int64_t ret[3]) {
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(s, "shape");
    int axes = cJSON_GetArraySize(shape);
    for (int a = 0; a < 3; a++) {
        const cJSON *d = cJSON_GetArrayItem(shape, axes - 3 + a);
        ret[a] = d ? (int64_t)d->valuedouble : 0;
    }
}

/* The box of voxels above zero, MONAI's CropForeground. */
static void foreground(const volume *v, int64_t start[3], int64_t extent[3]) {
    int64_t lo[3] = {v->dim[0], v->dim[1], v->dim[2]}, hi[3] = {-1, -1, -1}, at[3];
    for (at[2] = 0; at[2] < v->dim[2]; at[2]++)
        for (at[1] = 0; at[1] < v->dim[1]; at[1]++)
            for (at[0] = 0; at[0] < v->dim[0]; at[0]++)
                if (v->f32[at[0] + v->dim[0] * (at[1] + v->dim[1] * at[2])] > 0)
                    for (int a = 0; a < 3; a++) {
                        if (at[a] < lo[a]) lo[a] = at[a];
                        if (at[a] > hi[a]) hi[a] = at[a];
                    }
    for (int a = 0; a < 3; a++) {
        start[a] = lo[a];
        extent[a] = hi[a] - lo[a] + 1;
    }
}

typedef struct run {
    const golden_case *g;
    const cJSON *stages;
    hct_st_file *samples;
    hu_window windows[MAX_WINDOWS];
    int n_windows;
} run;

static void check(const run *r, const cJSON *expected, stage s, double tolerance) {
    if (expected) check_stage(r->g, &s, expected, r->samples, tolerance);
}

static stage of_volume(const run *r, const volume *v, int windowed) {
    stage s = {.channels = windowed ? r->n_windows : 1, .windowed = windowed, .v = *v, .windows = r->windows};
    memcpy(s.dim, v->dim, sizeof s.dim);
    return s;
}

static stage dense_stage(const run *r, const int64_t size[3]) {
    stage s = {.channels = r->n_windows, .dim = {size[0], size[1], size[2]}, .windows = r->windows};
    s.dense = malloc((size_t)(r->n_windows * size[0] * size[1] * size[2]) * sizeof(float));
    return s;
}

static void check_paper(const run *r, const volume *spaced) {
    const cJSON *pad = find_stage(r->stages, "padcrop"), *crop = find_stage(r->stages, "crop"),
                *resize = find_stage(r->stages, "paper_resize");
    if (!pad || !crop || !resize) return;
    int64_t pad_dim[3], crop_dim[3], size[3];
    stage_dims(pad, pad_dim);
    stage_dims(crop, crop_dim);
    stage_dims(resize, size);
    volume padded = {0};
    hct_err err = {0};
    if (copy_volume(spaced, &padded) < 0 || volume_pad_crop(&padded, pad_dim, PREPARED_PAD_HU, &err) < 0) {
        tap_ok(0, "pad or crop: %s", err.msg);
        return;
    }
    check(r, pad, of_volume(r, &padded, 1), AFTER_WINDOWS);
    stage cropped = of_volume(r, &padded, 1);
    for (int a = 0; a < 3; a++) {
        cropped.dim[a] = crop_dim[a];
        cropped.start[a] = padded.dim[a] / 2 - crop_dim[a] / 2;
    }
    check(r, crop, cropped, AFTER_WINDOWS);
    stage input = dense_stage(r, size);
    const input_spec spec = input_cube(r->windows, r->n_windows, crop_dim[0], size[0]);
    if (input_make(&spec, &padded, input.dense, &err) < 0) {
        tap_ok(0, "model input: %s", err.msg);
    } else {
        check(r, resize, input, AFTER_WINDOWS);
        check_image(r->g, "paper", &input);
        check_int16_path(r->g, spaced, pad_dim, crop_dim[0], &input);
    }
    free(input.dense);
    volume_free(&padded);
}

/* The published code's variant; binding only where the foreground does not hang on the spline's ringing around 0. */
static void check_ref(const run *r, const volume *spaced) {
    const cJSON *fg = find_stage(r->stages, "ref_cropforeground"), *shown = find_stage(r->stages, "ref_windows"),
                *resize = find_stage(r->stages, "ref_resize");
    if (!fg || !resize) return;
    int64_t start[3], extent[3], size[3], want[3];
    foreground(spaced, start, extent);
    stage_dims(fg, want);
    stage_dims(resize, size);
    if (memcmp(want, extent, sizeof want) != 0) {
        tap_skip(fg->string, "its foreground box hangs on the sign of values around 1e-13 (not binding)");
        return;
    }
    stage box = of_volume(r, spaced, 0);
    memcpy(box.start, start, sizeof start);
    memcpy(box.dim, extent, sizeof extent);
    check(r, fg, box, BEFORE_WINDOWS);
    box.windowed = 1;
    box.channels = r->n_windows;
    check(r, shown, box, AFTER_WINDOWS);
    hct_err err;
    stage input = dense_stage(r, size);
    if (windowed_area(spaced, start, extent, r->windows, r->n_windows, size, input.dense, &err) < 0) {
        tap_ok(0, "ref resize: %s", err.msg);
    } else {
        check(r, resize, input, AFTER_WINDOWS);
        check_image(r->g, "ref", &input);
    }
    free(input.dense);
}

static void run_stages(const run *r, const char *input) {
    hct_err err = {0};
    volume v, rounded = {0};
    if (nifti_read(input, &v, &err) < 0 || volume_to_f32(&v, &err) < 0) {
        tap_ok(0, "%s", err.msg);
        return;
    }
    check(r, find_stage(r->stages, "load"), of_volume(r, &v, 0), BEFORE_WINDOWS);
    check(r, find_stage(r->stages, "channel_first"), of_volume(r, &v, 0), BEFORE_WINDOWS);
    if (volume_to_ras(&v, &err) < 0) tap_ok(0, "%s", err.msg);
    check(r, find_stage(r->stages, "orient"), of_volume(r, &v, 0), BEFORE_WINDOWS);
    if (volume_resample_1mm(&v, &err) < 0) tap_ok(0, "%s", err.msg);
    check(r, find_stage(r->stages, "spacing"), of_volume(r, &v, 0), BEFORE_WINDOWS);
    check(r, find_stage(r->stages, "windows"), of_volume(r, &v, 1), AFTER_WINDOWS);
    char path[1024];
    snprintf(path, sizeof path, "%s/%s_ras1mm_int16.nii.gz", r->g->folder, r->g->name);
    if (access(path, R_OK) == 0 && copy_volume(&v, &rounded) == HCT_OK && volume_to_i16(&rounded, &err) == HCT_OK)
        check_int16(r->g, path, &rounded);
    if (access(path, R_OK) == 0) check_prepared(r->g, path, input);
    volume_free(&rounded);
    check_paper(r, &v);
    check_ref(r, &v);
    volume_free(&v);
}

/* In the case's folder, else where real data lies. */
static const char *find_input(const golden_case *g, const char *name) {
    static char path[2048];
    snprintf(path, sizeof path, "%s/%s", g->folder, name);
    return access(path, R_OK) == 0 ? path : golden_data(name);
}

static void run_case(const golden_case *g) {
    run r = {.g = g, .stages = golden_item(g->json, "stages")};
    const cJSON *name = golden_item(g->json, "input.name"), *w;
    cJSON_ArrayForEach(w, golden_item(g->json, "windows_level_width")) {
        if (r.n_windows == MAX_WINDOWS) break;
        r.windows[r.n_windows++] = (hu_window){golden_number(w, "0"), golden_number(w, "1")};
    }
    if (!cJSON_IsString(name) || !r.stages || r.n_windows == 0) {
        tap_ok(0, "%s/%s: names its input, windows and stages", g->family, g->name);
        return;
    }
    static const char *const known[] = {"load",        "channel_first", "orient",
                                        "spacing",     "windows",       "padcrop",
                                        "crop",        "paper_resize",  "ref_cropforeground",
                                        "ref_windows", "ref_resize"};
    const cJSON *s;
    cJSON_ArrayForEach(s, r.stages) {
        size_t k = 0, n = sizeof known / sizeof *known;
        while (k < n && strncmp(s->string, known[k], strlen(known[k])) != 0) k++;
        if (k == n) tap_ok(0, "%s/%s: stage '%s' is known", g->family, g->name, s->string);
    }
    const char *input = find_input(g, name->valuestring);
    if (!input) {
        golden_skip(
            g,
            "its input is neither in the case's folder, nor in ../data, nor in HEADCT_DATA (default ../shared/data)");
        return;
    }
    r.samples = golden_tensors(g, "_samples");
    run_stages(&r, input);
    hct_st_close(r.samples);
}

int main(void) {
    golden_case *g;
    if (golden_begin())
        for (size_t i = 0; (g = golden_open("preprocess", i)); golden_close(g), i++) run_case(g);
    return golden_done();
}
