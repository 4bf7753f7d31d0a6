/* Memory, copies and the pool of the CUDA backend, on the emulated device that HEADCT_CUDA_LIBRARY names; its log says
 * what reached the driver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/hct.h"
#include "tap.h"

static hct_err err;

static size_t lines(const char *word) {
    FILE *f = fopen(getenv("EMU_LOG"), "r");
    char line[512];
    size_t n = 0;
    while (f && fgets(line, sizeof line, f)) n += !strncmp(line, word, strlen(word));
    if (f) fclose(f);
    return n;
}

static void copies(hct_dev *dev) {
    enum { N = 5000003 }; /* 20 MB: more than the pinned pieces hold */
    float *x = malloc(N * sizeof *x), *y = calloc(N, sizeof *y);
    for (int i = 0; i < N; i++) x[i] = (float)(i % 9973);
    hct_tensor *t = hct_tensor_new(dev, HCT_F32, 1, (int64_t[]){N}, &err);
    size_t before = lines("upload");
    int ok = t && hct_tensor_write(t, x, &err) == HCT_OK;
    size_t pieces = lines("upload") - before;
    memset(x, 0xff, N * sizeof *x); /* the caller may reuse its memory at once */
    ok = ok && hct_tensor_read(t, y, &err) == HCT_OK;
    for (int i = 0; ok && i < N; i++) ok = y[i] == (float)(i % 9973);
    tap_ok(ok, "20 MB go up and come back (%s)", err.msg);
    tap_ok(pieces == 3, "in %zu pieces of 8 MiB", pieces);
    hct_tensor_free(t);
    free(x);
    free(y);
}

static void pool(hct_dev *dev) {
    hct_tensor *t[8];
    size_t before = lines("alloc"), freed = lines("free");
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 8; i++) t[i] = hct_tensor_new(dev, HCT_F32, 1, (int64_t[]){1000 * (i + 1)}, &err);
        for (int i = 0; i < 8; i++) hct_tensor_free(t[i]);
    }
    tap_ok(lines("alloc") - before == 8, "24 tensors of 8 sizes take %zu blocks from the driver",
           lines("alloc") - before);
    tap_ok(lines("free") == freed, "and give none back meanwhile");
    /* more than is free, but no more than with what the pool keeps */
    hct_tensor *big = NULL;
    int64_t n = 12 << 20;
    for (int i = 0; i < 2; i++) t[i] = hct_tensor_new(dev, HCT_U8, 1, (int64_t[]){2 << 20}, &err);
    for (int i = 0; i < 2; i++) hct_tensor_free(t[i]);
    big = hct_tensor_new(dev, HCT_U8, 1, &n, &err);
    hct_tensor *rest = hct_tensor_new(dev, HCT_U8, 1, (int64_t[]){50 << 20}, &err);
    tap_ok(big && rest && lines("free") > freed, "kept blocks are given back where memory is short (%s)", err.msg);
    hct_tensor *none = hct_tensor_new(dev, HCT_U8, 1, &n, &err);
    tap_ok(!none && err.code == HCT_ENOMEM && strstr(err.msg, "12582912 bytes were wanted") &&
               strstr(err.msg, "are free"),
           "out of memory: %s", err.msg);
    hct_tensor_free(big);
    hct_tensor_free(rest);
}

/* What is written ahead is the tensor's content from hct_ahead_take on, and a plain write meanwhile counts for more. */
static void ahead(hct_dev *dev) {
    enum { N = 3000000 }; /* more than one pinned piece */
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y), late[4] = {5, 6, 7, 8}, got[4];
    for (int i = 0; i < N; i++) x[i] = (float)(i % 9973);
    hct_tensor *t = hct_tensor_new(dev, HCT_F32, 1, (int64_t[]){N}, &err),
               *other = hct_tensor_new(dev, HCT_F32, 1, (int64_t[]){4}, &err);
    int ok = hct_ahead_possible(dev) && hct_ahead_begin(dev, &err) == HCT_OK &&
             hct_tensor_write(t, x, &err) == HCT_OK && hct_tensor_write(other, x, &err) == HCT_OK;
    hct_ahead_end(dev);
    memset(x, 0, N * sizeof *x); /* the caller's memory is free at once */
    ok = ok && hct_tensor_read(t, y, &err) == HCT_OK && y[N - 1] == 0 && hct_tensor_write(other, late, &err) == HCT_OK;
    tap_ok(ok, "what is written ahead waits in a second place (%s)", err.msg);
    ok = hct_ahead_take(dev, &err) == HCT_OK && hct_tensor_read(t, y, &err) == HCT_OK &&
         hct_tensor_read(other, got, &err) == HCT_OK;
    for (int i = 0; ok && i < N; i++) ok = y[i] == (float)(i % 9973);
    tap_ok(ok && !memcmp(got, late, sizeof got), "and is taken over once; a later plain write stands");
    hct_tensor_free(t);
    hct_tensor_free(other);
    tap_ok(hct_ahead_take(dev, &err) == HCT_OK, "tensors that are freed leave no trace");
    setenv("HCT_AHEAD", "0", 1);
    tap_ok(!hct_ahead_possible(dev) && hct_ahead_begin(dev, &err) == HCT_EINVAL, "HCT_AHEAD=0: %s", err.msg);
    unsetenv("HCT_AHEAD");
    free(x);
    free(y);
}

/* conv3d forward and backward by cuDNN, in F32 (an engine without tensor cores) and BF16. */
static void convolution(hct_dev *dev, hct_dtype dtype) {
    static const int64_t one[] = {1, 1, 1};
    const char *type = dtype == HCT_F32 ? "f32" : "bf16";
    size_t forward = lines("convolution on"), x_ways = lines("convolution.bwd_x on"),
           w_ways = lines("convolution.bwd_w on"), plain = lines("kernel hct_conv");
    size_t engine = lines(dtype == HCT_F32 ? "convolution plan, engine 1" : "convolution plan, engine 0");
    hct_tensor *x = hct_tensor_new(dev, dtype, 5, (int64_t[]){2, 4, 9, 8, 7}, &err),
               *w = hct_tensor_new(dev, dtype, 5, (int64_t[]){6, 2, 3, 3, 3}, &err),
               *dy = hct_tensor_new(dev, dtype, 5, (int64_t[]){2, 6, 9, 8, 7}, &err);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id px = hct_param(t, x), pw = hct_param(t, w), y = hct_conv3d(t, px, pw, 0, one, one, one, 2);
    hct_backward(t, y, hct_use(t, dy));
    hct_grad(t, px), hct_grad(t, pw);
    int ok = hct_tape_error(t, &err) == HCT_OK;
    tap_ok(ok && lines("convolution on") == forward + 1 && lines("convolution.bwd_x on") == x_ways + 1 &&
               lines("convolution.bwd_w on") == w_ways + 1 && lines("kernel hct_conv") == plain,
           "conv3d in %s, and its backwards, by cuDNN (%s)", type, err.msg);
    tap_ok(lines(dtype == HCT_F32 ? "convolution plan, engine 1" : "convolution plan, engine 0") == engine + 1,
           "%s by an engine %s", type, dtype == HCT_F32 ? "without tensor cores" : "of the heuristics' choice");
    hct_tape_free(t);
    hct_tensor_free(x), hct_tensor_free(w), hct_tensor_free(dy);
}

int main(void) {
    hct_ctx *ctx = hct_open(NULL, &err);
    hct_dev *dev = ctx ? hct_device_open(ctx, "cuda", &err) : NULL;
    tap_ok(dev != NULL, "the device opens (%s)", err.msg);
    if (dev) {
        copies(dev);
        ahead(dev);
        pool(dev);
        convolution(dev, HCT_F32);
        convolution(dev, HCT_BF16);
        hct_device_close(dev);
        tap_ok(lines("end 0 bytes held") == 1, "all memory is given back");
    }
    hct_close(ctx);
    return tap_done();
}
