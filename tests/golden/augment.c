/* Family augment: crops, resizes, flips, shifts, smoothing and gamma through the ct_views op on ready images, one
 * operation a view and the published chains; padding and cropping to a size through the volume functions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/volume.h"
#include "model.h"
#include "tap.h"

static const golden_tol VALUES = {1e-5, 0, -1}, MOMENTS = {1e-5, 1e-5, -1};

enum { PARAMS = 16 };

typedef struct image { /* [channels, dim, dim, dim] */
    float *x;
    int64_t channels, dim[3];
} image;

static double at(const cJSON *op, const char *path, double otherwise) {
    double v = golden_number(op, path);
    return isnan(v) ? otherwise : v;
}

/* Per-axis number: an array, or one for all. */
static double axis_of(const cJSON *op, const char *key, int a, double otherwise) {
    char path[64];
    snprintf(path, sizeof path, "%s.%d", key, a);
    return at(op, path, at(op, key, otherwise));
}

/* What one operation of the JSON does to a view that covers the image. */
static void apply(const cJSON *op, float q[PARAMS]) {
    double flip = at(op, "spatial_axis", -1);
    if (flip >= 0 && flip < 3) q[6 + (int)flip] = 1;
    q[9] += (float)(at(op, "offset", 0) + at(op, "shift_first", 0));
    if (golden_item(op, "gamma")) q[10] = (float)golden_number(op, "gamma");
    for (int a = 0; a < 3; a++) {
        if (golden_item(op, "start")) q[a] = (float)axis_of(op, "start", a, 0);
        if (golden_item(op, "start")) q[3 + a] = (float)axis_of(op, "size", a, 0);
        q[11 + a] = (float)axis_of(op, "sigma", a, (double)q[11 + a]);
    }
}

/* The view by the op; NULL and a failed result on error. */
static float *view(const golden_case *c, const char *name, hct_dev *dev, const image *in, const float q[PARAMS],
                   int64_t size, size_t *ret_n) {
    hct_err err = {0, ""};
    hct_tensor *x =
        hct_tensor_new(dev, HCT_F32, 5, (int64_t[]){1, in->channels, in->dim[0], in->dim[1], in->dim[2]}, &err);
    hct_tensor *p = hct_tensor_new(dev, HCT_F32, 3, (int64_t[]){1, 1, PARAMS}, &err);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id out = 0;
    float *got = NULL;
    if (x && p && hct_tensor_write(x, in->x, &err) == HCT_OK && hct_tensor_write(p, q, &err) == HCT_OK) {
        hct_emit(t, "ct_views", (hct_id[]){hct_use(t, x), hct_use(t, p)}, 2, &HCT_INT("size", size), 1, &out, 1);
        if (hct_tape_error(t, &err) == HCT_OK) got = model_read(t, out, ret_n);
    }
    if (!got) tap_ok(0, "%s/%s: %s: %s", c->family, c->name, name, err.msg);
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(p);
    return got;
}

/* volume_pad_crop of each channel. A volume has its first axis fastest, an image its last: sizes go in reversed. */
static float *pad_crop(const image *in, const cJSON *op, size_t *ret_n) {
    int64_t size[3], count = in->dim[0] * in->dim[1] * in->dim[2];
    const int64_t dim[] = {in->dim[2], in->dim[1], in->dim[0]};
    for (int a = 0; a < 3; a++) size[2 - a] = (int64_t)axis_of(op, "size", a, 0);
    int64_t n = size[0] * size[1] * size[2];
    float *out = malloc((size_t)(in->channels * n + 1) * sizeof *out);
    for (int64_t k = 0; out && k < in->channels; k++) {
        volume v;
        if (volume_alloc(&v, HCT_F32, dim, NULL) < 0) continue;
        memcpy(v.f32, in->x + k * count, (size_t)count * sizeof *v.f32);
        if (volume_pad_crop(&v, size, 0, NULL) == HCT_OK) memcpy(out + k * n, v.f32, (size_t)n * sizeof *out);
        volume_free(&v);
    }
    *ret_n = (size_t)(in->channels * n);
    return out;
}

/* Copies the image from or to the corner of a cube: the low one, or the high one of an axis that is flipped. */
static void move(const image *in, float *box, float *cube, int64_t side, const float flip[3], bool out) {
    const int64_t *d = in->dim;
    for (int64_t k = 0; k < in->channels * d[0] * d[1]; k++) {
        int64_t at[3] = {k / d[1] % d[0], k % d[1], 0}, channel = k / d[1] / d[0];
        for (int a = 0; a < 3; a++) at[a] += flip[a] != 0 ? side - d[a] : 0;
        float *row = cube + ((channel * side + at[0]) * side + at[1]) * side + at[2];
        memcpy(out ? box + k * d[2] : row, out ? row : box + k * d[2], (size_t)d[2] * sizeof *box);
    }
}

/* One operation that keeps the size. The views' op makes cubes, so an image that is none lies in the corner of one:
 * among zeros as smoothing pads it, else among one of its own values, which moves neither minimum nor range. */
static float *same_size(const golden_case *c, const cJSON *op, hct_dev *dev, const image *in, float q[PARAMS],
                        size_t *ret_n) {
    int64_t side = in->dim[0] > in->dim[1] ? in->dim[0] : in->dim[1];
    side = in->dim[2] > side ? in->dim[2] : side;
    size_t n = (size_t)(in->channels * side * side * side);
    image cube = {malloc(n * sizeof(float)), in->channels, {side, side, side}};
    for (size_t i = 0; i < n; i++) cube.x[i] = golden_item(op, "sigma") ? 0 : in->x[0];
    move(in, in->x, cube.x, side, (float[]){0, 0, 0}, false);
    for (int a = 0; a < 3; a++) q[3 + a] = (float)side;
    apply(op, q);
    float *whole = view(c, op->string, dev, &cube, q, side, ret_n);
    *ret_n = (size_t)(in->channels * in->dim[0] * in->dim[1] * in->dim[2]);
    float *x = whole ? malloc(*ret_n * sizeof *x) : NULL;
    if (x) move(in, x, whole, side, q + 6, true);
    free(whole);
    free(cube.x);
    return x;
}

static void check(const golden_case *c, const hct_st_file *f, const cJSON *op, const float *x, size_t n) {
    char key[96];
    size_t m = 0;
    snprintf(key, sizeof key, "%s.idx", op->string);
    int64_t *idx = golden_i64(f, key, &m);
    float *got = calloc(m + 1, sizeof *got);
    for (size_t i = 0; idx && i < m; i++) got[i] = idx[i] >= 0 && (size_t)idx[i] < n ? x[idx[i]] : NAN;
    snprintf(key, sizeof key, "%s.val", op->string);
    if (idx) golden_check_tensor(c, f, key, got, m, VALUES);
    free(idx);
    free(got);
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i], square += (double)x[i] * (double)x[i];
    snprintf(key, sizeof key, "%s: mean", op->string);
    golden_check_number(c, key, sum / (double)n, golden_number(op, "mean"), MOMENTS);
    snprintf(key, sizeof key, "%s: norm", op->string);
    golden_check_number(c, key, sqrt(square), golden_number(op, "l2"), MOMENTS);
    snprintf(key, sizeof key, "%s.channel0", op->string);
    const hct_st_entry *e = hct_st_find(f, key);
    if (e && e->ndim == 3) golden_check_tensor(c, f, key, x, (size_t)(e->dim[0] * e->dim[1] * e->dim[2]), VALUES);
}

/* A chain's "order" names its operations: "crop0, resize, flip axis 1, shift0, smooth with the anisotropic sigma". */
static bool chain(const cJSON *ops, const char *order, float q[PARAMS], int64_t *ret_size) {
    char text[256], *save = NULL, name[64];
    snprintf(text, sizeof text, "%s", order);
    for (char *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        while (*word == ' ') word++;
        const cJSON *op = cJSON_GetObjectItemCaseSensitive(ops, word);
        int axis;
        if (sscanf(word, "flip axis %d", &axis) == 1 && axis >= 0 && axis < 3) {
            q[6 + axis] = 1;
        } else if (!strncmp(word, "crop", 4)) {
            snprintf(name, sizeof name, "cropresize%.40s", word + 4);
            if (!(op = cJSON_GetObjectItemCaseSensitive(ops, name))) return false;
            apply(op, q);
            *ret_size = (int64_t)golden_number(op, "out");
        } else if (op) {
            apply(op, q);
        } else if (!strncmp(word, "smooth", 6)) { /* the one whose sigma is a list */
            cJSON_ArrayForEach(op, ops) if (cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(op, "sigma"))) apply(op, q);
        } else if (strcmp(word, "resize") != 0) {
            return false;
        }
    }
    return true;
}

static void check_op(const golden_case *c, const hct_st_file *f, hct_dev *dev, const image *in, const cJSON *ops,
                     const cJSON *op) {
    const char *order = cJSON_GetStringValue(golden_item(op, "order"));
    size_t n = 0;
    float q[PARAMS] = {0}, *x = NULL;
    int64_t size = (int64_t)at(op, "out", (double)in->dim[0]);
    if (!strncmp(op->string, "padcrop", 7) || !strncmp(op->string, "centercrop", 10)) {
        x = pad_crop(in, op, &n);
    } else if (!order && !golden_item(op, "out")) {
        x = same_size(c, op, dev, in, q, &n);
    } else {
        for (int a = 0; a < 3; a++) q[3 + a] = (float)in->dim[a];
        if (!order) apply(op, q);
        else if (!chain(ops, order, q, &size)) {
            tap_ok(0, "%s/%s: %s: the order '%s' is not understood", c->family, c->name, op->string, order);
            return;
        }
        x = view(c, op->string, dev, in, q, size, &n);
    }
    if (x) check(c, f, op, x, n);
    free(x);
}

int main(void) {
    if (!golden_begin()) return golden_done();
    hct_dev *dev = model_device();
    golden_case *c;
    for (size_t i = 0; (c = golden_open("augment", i)); golden_close(c), i++) {
        hct_st_file *f = golden_tensors(c, "");
        const hct_st_entry *e = f ? hct_st_find(f, "input") : NULL;
        const cJSON *ops = golden_item(c->json, "ops"), *op;
        size_t n;
        image in = {.x = e && e->ndim == 4 ? golden_f32(f, "input", &n) : NULL};
        if (!in.x || !cJSON_GetArraySize(ops)) tap_ok(0, "%s/%s: no input [C, X, Y, Z] or no ops", c->family, c->name);
        for (int a = 0; in.x && a < 3; a++) in.channels = e->dim[0], in.dim[a] = e->dim[1 + a];
        if (in.x) cJSON_ArrayForEach(op, ops) check_op(c, f, dev, &in, ops, op);
        free(in.x);
        hct_st_close(f);
    }
    model_device_close(dev);
    return golden_done();
}
