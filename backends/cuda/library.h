/* backends/cuda/library.h: NVIDIA's libraries, opened at run time and called through tables of functions; and what
 * kernel plugins for "cuda" know of its devices and streams. */
#ifndef CUDA_LIBRARY_H
#define CUDA_LIBRARY_H

#include "hct/plugin.h"

#define CUDA_FIELD(f) __typeof__(&f) f;
#define CUDA_TEXT_(x) #x
#define CUDA_TEXT(x) CUDA_TEXT_(x)

/* Opens the first of files (ended by NULL) that is there and fills table with the functions of these names.
 * HEADCT_CUDA_LIBRARY (for tests) stands for every file. 0: err says which file or function is missing. */
typedef struct cuda_symbol {
    const char *name;
    size_t at;
} cuda_symbol;
int cuda_library(const char *const *files, const cuda_symbol *symbols, size_t n, void *table, hct_err *err);

/* An hct_device and an hct_stream of the backend "cuda" begin with these; fields are only appended. */
typedef struct hct_cuda_device {
    uint32_t size;
    int32_t index, capability; /* capability: 90 for 9.0 */
    void *context;             /* CUcontext; current on the thread that opened the device */
} hct_cuda_device;
typedef struct hct_cuda_stream {
    uint32_t size;
    void *stream; /* CUstream */
    hct_cuda_device *device;
} hct_cuda_stream;

#endif
