/* linear_int8 beyond the conformance table: every kernel gives the same numbers to the bit; rows that hold no number,
 * or nothing; a weight that was written since it was packed; what is refused. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hct/hct.h"
#include "tap.h"

enum { M = 37, K = 1301, N = 83 };

static hct_ctx *ctx;
static hct_dev *dev;
static hct_err err;

static void fill(float *x, int64_t n, uint32_t seed) {
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed / 2147483648.0f;
    }
}

static hct_tensor *tensor(int ndim, const int64_t *dim, const float *x) {
    hct_tensor *t = hct_tensor_new(dev, HCT_F32, ndim, dim, &err);
    if (!t || (x && hct_tensor_write(t, x, &err) < 0)) abort();
    return t;
}

static hct_id product(hct_tape *t, hct_tensor *x, hct_tensor *w, hct_tensor *b) {
    hct_id y = 0;
    hct_emit(t, "linear_int8", (hct_id[]){hct_use(t, x), hct_use(t, w), hct_use(t, b)}, 3, &HCT_INT("gelu", 0), 1, &y,
             1);
    return y;
}

/* With the kernel that HCT_KERNEL names, or the best one. False where there is no such kernel. */
static bool run_with(const char *kernel, const float *x, const float *w, const float *b, float *y) {
    if (kernel) {
        char text[96];
        snprintf(text, sizeof text, "linear_int8=%s", kernel);
        setenv("HCT_KERNEL", text, 1);
    } else unsetenv("HCT_KERNEL");
    hct_ctx *own = hct_open(NULL, &err);
    hct_dev *before = dev;
    bool there = !kernel;
    for (size_t i = 0; kernel && i < hct_kernel_count(own); i++) there |= !strcmp(hct_kernel_at(own, i)->name, kernel);
    if (there) {
        dev = hct_device_open(own, "cpu", &err);
        hct_tensor *tx = tensor(2, (int64_t[]){M, K}, x), *tw = tensor(2, (int64_t[]){N, K}, w),
                   *tb = tensor(1, (int64_t[]){N}, b);
        hct_tape *t = hct_tape_new(dev, HCT_EAGER);
        hct_id id = product(t, tx, tw, tb);
        if (hct_read(t, id, y, &err) < 0) memset(y, 0xff, sizeof *y * M * N);
        hct_tape_free(t);
        hct_tensor_free(tx);
        hct_tensor_free(tw);
        hct_tensor_free(tb);
        hct_device_close(dev);
    }
    dev = before;
    hct_close(own);
    unsetenv("HCT_KERNEL");
    return there;
}

static void same_numbers(const float *x, const float *w, const float *b, float *reference) {
    static const struct {
        const char *kernel, *needs;
    } all[] = {{"fast:linear_int8:f32", "AVX2"}, {"vnni:linear_int8:f32", "AVX512_VNNI"}};
    float *y = malloc(sizeof *y * M * N);
    if (!y || !run_with("ref:linear_int8:f32", x, w, b, reference)) abort();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!run_with(all[i].kernel, x, w, b, y)) {
            tap_skip(all[i].kernel, "this processor lacks %s", all[i].needs);
            continue;
        }
        float worst = 0, largest = 0; /* the sums are the same; a bias may be added in one rounding or two */
        for (int64_t e = 0; e < M * N; e++) {
            worst = fmaxf(worst, fabsf(y[e] - reference[e]));
            largest = fmaxf(largest, fabsf(reference[e]));
        }
        tap_ok(worst <= 2e-7f * largest, "%s: off the reference by %g of %g", all[i].kernel, (double)worst,
               (double)largest);
    }
    free(y);
}

static void close_to_float(const float *x, const float *w, const float *b, const float *y) {
    double dot = 0, xx = 0, yy = 0;
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            double sum = (double)b[j], have = (double)y[i * N + j];
            for (int64_t k = 0; k < K; k++) sum += (double)x[i * K + k] * (double)w[j * K + k];
            dot += sum * have, xx += sum * sum, yy += have * have;
        }
    double cosine = dot / sqrt(xx * yy);
    tap_ok(cosine > 0.9999 && cosine < 1, "cosine to the product in float64: %.6f", cosine);
}

static void strange_rows(float *x, const float *w, const float *b, float *y) {
    float *other = malloc(sizeof *other * M * N);
    if (!other) abort();
    memset(x + K, 0, sizeof *x * K); /* row 1: zero; 2: NaN; 3: an infinity; 4: below what counts */
    x[2 * K + 7] = NAN;
    x[3 * K + K - 1] = INFINITY;
    for (int64_t k = 0; k < K; k++) x[4 * K + k] *= 0x1p-110f;
    static const char *const kernels[] = {"ref:linear_int8:f32", NULL};
    for (int i = 0; i < 2; i++) {
        run_with(kernels[i], x, w, b, other);
        bool zero = true, nan = true, others = true;
        for (int64_t j = 0; j < N; j++) {
            zero &= other[N + j] == b[j] && other[4 * N + j] == b[j];
            nan &= isnan(other[2 * N + j]) && isnan(other[3 * N + j]);
            others &= fabsf(other[j] - y[j]) < 1e-4f && isfinite(other[5 * N + j]);
        }
        tap_ok(zero, "a row of zeros gives the bias, and so does one that is too small to count");
        tap_ok(nan, "a row that holds NaN or an infinity gives NaN");
        tap_ok(others, "and no other row");
    }
    free(other);
}

static void packed_again(const float *x, float *w, const float *b) {
    hct_tensor *tx = tensor(2, (int64_t[]){M, K}, x), *tw = tensor(2, (int64_t[]){N, K}, w),
               *tb = tensor(1, (int64_t[]){N}, b);
    float *first = malloc(sizeof *first * M * N), *second = malloc(sizeof *second * M * N);
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    hct_keep_packed(t);
    hct_id y = product(t, tx, tw, tb);
    hct_keep(t, y);
    if (!first || !second || hct_compile(t, &err) < 0 || hct_run(t, &err) < 0 || hct_read(t, y, first, &err) < 0)
        abort();
    for (int64_t i = 0; i < N * K; i++) w[i] *= 2;
    bool ok =
        hct_tensor_write(tw, w, &err) == HCT_OK && hct_run(t, &err) == HCT_OK && hct_read(t, y, second, &err) == HCT_OK;
    for (int64_t i = 0; ok && i < M * N; i++) ok = fabsf((second[i] - b[i % N]) - 2 * (first[i] - b[i % N])) < 1e-3f;
    tap_ok(ok, "weights that were written are packed again");
    hct_tape_free(t);
    hct_tensor_free(tx);
    hct_tensor_free(tw);
    hct_tensor_free(tb);
    free(first);
    free(second);
}

static void refused(void) {
    hct_tensor *x = tensor(2, (int64_t[]){2, 8}, NULL), *w = tensor(2, (int64_t[]){3, 9}, NULL),
               *b = tensor(1, (int64_t[]){3}, NULL);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    product(t, x, w, b);
    tap_ok(hct_tape_error(t, &err) == HCT_ESHAPE, "axes that do not fit are refused: %s", err.msg);
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(w);
    hct_tensor_free(b);
}

int main(void) {
    if (!(ctx = hct_open(NULL, &err)) || !(dev = hct_device_open(ctx, "cpu", &err))) return 2;
    float *x = malloc(sizeof *x * M * K), *w = malloc(sizeof *w * N * K), *b = malloc(sizeof *b * N),
          *y = malloc(sizeof *y * M * N);
    if (!x || !w || !b || !y) return 2;
    fill(x, M * K, 1);
    fill(w, N * K, 2);
    fill(b, N, 3);
    same_numbers(x, w, b, y);
    close_to_float(x, w, b, y);
    packed_again(x, w, b);
    fill(w, N * K, 2);
    strange_rows(x, w, b, y);
    refused();
    free(x);
    free(w);
    free(b);
    free(y);
    hct_device_close(dev);
    hct_close(ctx);
    return tap_done();
}
