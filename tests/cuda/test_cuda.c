/* Memory, copies and the pool of the CUDA backend, on the mock driver that HEADCT_CUDA_LIBRARY names; its log says what reached the driver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/hct.h"
#include "tap.h"

static hct_err err;

static size_t lines(const char *word) {
    FILE *f = fopen(getenv("MOCK_LOG"), "r");
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
    tap_ok(lines("alloc") - before == 8, "24 tensors of 8 sizes take %zu blocks from the driver", lines("alloc") - before);
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
    tap_ok(!none && err.code == HCT_ENOMEM && strstr(err.msg, "12582912 bytes were wanted") && strstr(err.msg, "are free"), "out of memory: %s", err.msg);
    hct_tensor_free(big);
    hct_tensor_free(rest);
}

int main(void) {
    hct_ctx *ctx = hct_open(NULL, &err);
    hct_dev *dev = ctx ? hct_device_open(ctx, "cuda", &err) : NULL;
    tap_ok(dev != NULL, "the device opens (%s)", err.msg);
    if (dev) {
        copies(dev);
        pool(dev);
        hct_device_close(dev);
        tap_ok(lines("end 0 bytes held") == 1, "all memory is given back");
    }
    hct_close(ctx);
    return tap_done();
}
