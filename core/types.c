/* Data types, views, errors. */
#include "hct/types.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
#define X(e, value, name, bytes) [value] = {name, bytes},
    HCT_DTYPE_MAP(X)
#undef X
};

static int known(int32_t dtype) { return dtype >= 0 && dtype < HCT_DTYPES; }

const char *hct_dtype_name(int32_t dtype) { return known(dtype) ? dtypes[dtype].name : "?"; }

size_t hct_dtype_size(int32_t dtype) { return known(dtype) ? dtypes[dtype].bytes : 0; }

int32_t hct_dtype_parse(const char *name) {
    for (int32_t i = 0; i < HCT_DTYPES; i++)
        if (strcmp(dtypes[i].name, name) == 0) return i;
    return -1;
}

const char *hct_status_text(hct_status code) {
    switch (code) {
#define X(e, value, sentence)                                                                                          \
    case value: return sentence;
        HCT_STATUS_MAP(X)
#undef X
    default: return "unknown status";
    }
}

static void put_failure(hct_err *err, hct_status code, const char *fmt, va_list ap) {
    err->code = code;
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
}

hct_status hct_fail(hct_err *err, hct_status code, const char *fmt, ...) {
    if (!err) return code;
    va_list ap;
    va_start(ap, fmt);
    put_failure(err, code, fmt, ap);
    va_end(ap);
    return code;
}

hct_status hct_fail_untold(hct_err *err, hct_status code, const char *fmt, ...) {
    if (!err) return code;
    if (err->code < 0) return err->code;
    va_list ap;
    va_start(ap, fmt);
    put_failure(err, code, fmt, ap);
    va_end(ap);
    return code;
}
