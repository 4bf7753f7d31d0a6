/* What tests of the runtime share: an opened CPU device, tensors from values, values from tapes. */
#ifndef TESTS_CORE_FIXTURE_H
#define TESTS_CORE_FIXTURE_H

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/hct.h"

typedef struct fixture {
    hct_ctx *ctx;
    hct_dev *dev;
    hct_err err;
} fixture;

static inline fixture open_cpu(const char *plugin) {
    fixture f = {.err = {0, ""}};
    f.ctx = hct_open(&(hct_options){&plugin, plugin != NULL}, &f.err);
    ck_assert_msg(f.ctx != NULL, "%s", f.err.msg);
    f.dev = hct_device_open(f.ctx, "cpu", &f.err);
    ck_assert_msg(f.dev != NULL, "%s", f.err.msg);
    return f;
}

static inline void close_cpu(fixture *f) {
    hct_device_close(f->dev);
    hct_close(f->ctx);
}

/* Values that differ from one another, within +-1. */
static inline float value_at(int64_t i, int salt) { return (float)sin(0.7 * (double)i + 1.3 * salt); }

static inline hct_tensor *filled(fixture *f, int salt, int ndim, const int64_t *dim) {
    hct_tensor *t = hct_tensor_new(f->dev, HCT_F32, ndim, dim, &f->err);
    ck_assert_msg(t != NULL, "%s", f->err.msg);
    int64_t n = hct_numel(hct_tensor_view(t));
    float *x = malloc((size_t)n * sizeof *x + 1);
    for (int64_t i = 0; i < n; i++) x[i] = value_at(i, salt);
    ck_assert_int_eq(hct_tensor_write(t, x, &f->err), HCT_OK);
    free(x);
    return t;
}
#define FILLED(f, salt, ...)                                                                                           \
    filled((f), (salt), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

static inline void ok(fixture *f, hct_status st) { ck_assert_msg(st == HCT_OK, "%s", f->err.msg); }

#endif
