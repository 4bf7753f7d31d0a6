/* hct/types.h: the words every part of headct shares: dtypes, status codes, errors, tensor views.
 *
 * Part of the binary interface (major 1): structs here only grow at their end, enum values never move.
 * Compiles as C99, C11 and C++.
 */
#ifndef HCT_TYPES_H
#define HCT_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HCT_API __attribute__((visibility("default")))
#define HCT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum { HCT_MAX_DIMS = 8 };

/* X(enumerator, value, name as in safetensors, bytes) */
/* clang-format off */
#define HCT_DTYPE_MAP(X)                                                                                               \
    X(HCT_F32, 0, "F32", 4)                                                                                            \
    X(HCT_F64, 1, "F64", 8)                                                                                            \
    X(HCT_BF16, 2, "BF16", 2)                                                                                          \
    X(HCT_F16, 3, "F16", 2)                                                                                            \
    X(HCT_I64, 4, "I64", 8)                                                                                            \
    X(HCT_I32, 5, "I32", 4)                                                                                            \
    X(HCT_I16, 6, "I16", 2)                                                                                            \
    X(HCT_I8, 7, "I8", 1)                                                                                              \
    X(HCT_U8, 8, "U8", 1)
/* clang-format on */

typedef enum hct_dtype {
#define X(e, value, name, bytes) e = value,
    HCT_DTYPE_MAP(X)
#undef X
        HCT_DTYPES
} hct_dtype;

/* X(enumerator, value, sentence) */
/* clang-format off */
#define HCT_STATUS_MAP(X)                                                                                              \
    X(HCT_OK, 0, "ok")                                                                                                 \
    X(HCT_NOTIMPL, 1, "not for this kernel, ask the next one")                                                         \
    X(HCT_EINVAL, -1, "invalid argument")                                                                              \
    X(HCT_ESHAPE, -2, "shapes do not fit")                                                                             \
    X(HCT_EDTYPE, -3, "dtype not supported")                                                                           \
    X(HCT_ENOMEM, -4, "out of memory")                                                                                 \
    X(HCT_EIO, -5, "reading or writing failed")                                                                        \
    X(HCT_EFORMAT, -6, "file is damaged or of another format")                                                         \
    X(HCT_ENOTFOUND, -7, "not found")                                                                                  \
    X(HCT_EVERSION, -8, "of another version")                                                                          \
    X(HCT_EDEVICE, -9, "the device failed")                                                                            \
    X(HCT_ENOKERNEL, -10, "no kernel")                                                                                 \
    X(HCT_EINTERRUPTED, -11, "interrupted")
/* clang-format on */

typedef enum hct_code {
#define X(e, value, sentence) e = value,
    HCT_STATUS_MAP(X)
#undef X
        HCT_CODES_END = 2
} hct_code;

typedef int32_t hct_status; /* an hct_code; results < 0 are errors */

/* An error in the caller's memory: nobody frees it. `msg` is one line that names the file or op,
 * what is wrong, and what to do. */
typedef struct hct_err {
    hct_status code;
    char msg[1020];
} hct_err;

/* A tensor as a kernel sees it: `mem` is a device pointer (or a cl_mem), `off` bytes into it.
 * Strides are in elements and may be 0 (broadcast). Frozen for major 1. */
typedef struct hct_view {
    void *mem;
    uint64_t off;
    int64_t dim[HCT_MAX_DIMS], stride[HCT_MAX_DIMS];
    int32_t ndim, dtype;
} hct_view;

/* Writes code and a formatted one-line message to err (which may be NULL) and returns code. */
HCT_API hct_status hct_fail(hct_err *err, hct_status code, const char *fmt, ...) HCT_PRINTF(3, 4);
/* The same where one of several calls failed, some of which say why: what err says already stays, and its code is
 * returned. */
HCT_API hct_status hct_fail_untold(hct_err *err, hct_status code, const char *fmt, ...) HCT_PRINTF(3, 4);

/* "F32", or "?" for a number that is no dtype. */
HCT_API const char *hct_dtype_name(int32_t dtype);
/* Bytes of one element; 0 for a number that is no dtype. */
HCT_API size_t hct_dtype_size(int32_t dtype);
/* The dtype of a safetensors name ("BF16"); -1 if there is none. */
HCT_API int32_t hct_dtype_parse(const char *name);
/* The sentence of a status code. */
HCT_API const char *hct_status_text(hct_status code);

#ifdef __cplusplus
}
#endif
#endif
