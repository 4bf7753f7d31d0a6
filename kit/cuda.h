/* kit/cuda.h: what the CUDA backend and kernel plugins for its devices share: NVIDIA's libraries, opened at run time
 * and called through tables of functions, and the beginning of a device and of a stream.
 *
 *   static const cuda_symbol symbols[] = {NV_NCCL(CUDA_SYMBOL_OF_NCCL)};   name and place of each function
 *   cuda_library(CUDA_NCCL, symbols, n, &nccl, &err)                       opens libnccl.so.2, fills the table
 *
 * Nothing of NVIDIA's is linked, so what uses this loads on any machine, and a test can put a device of its own there.
 * The declarations in kit/nvidia/ stand for NVIDIA's headers. */
#ifndef KIT_CUDA_H
#define KIT_CUDA_H

#include "hct/plugin.h"

/* ---- libraries ---- */

typedef enum cuda_library_id { CUDA_DRIVER, CUDA_CUBLASLT, CUDA_CUDNN, CUDA_NCCL, CUDA_LIBRARIES } cuda_library_id;

/* A function of a library, and where its address goes in a table; an optional one that is missing leaves NULL. */
typedef struct cuda_symbol {
    const char *name;
    size_t at;
    int optional;
} cuda_symbol;

/* For tables made from a list X(return type, name, parameters): a field, and a symbol of `table`. */
#define CUDA_FIELD(ret, name, args) ret(*name) args;
#define CUDA_SYMBOL(table, name)                                                                                       \
    { #name, offsetof(table, name), 0 }

/* Opens a library and fills `table` with the addresses of n functions. 0: err says which file or function is missing.
 * The file is looked for, by the names of the versions that headct knows,
 *   1. in each folder of HEADCT_CUDA_PATH (separated by colons),
 *   2. where the dynamic loader looks (LD_LIBRARY_PATH, ldconfig),
 *   3. in lib64 and lib of CUDA_HOME and of /usr/local/cuda,
 *   4. in lib of CONDA_PREFIX, and in the wheels that pip installs (site-packages/nvidia/NAME/lib) of VIRTUAL_ENV,
 *      CONDA_PREFIX, the user's and the system's Python.
 * HEADCT_CUDA_LIBRARY (for tests) stands for every file. */
int cuda_library(cuda_library_id, const cuda_symbol *symbols, size_t n, void *table, hct_err *err);

/* Libraries made for a later major version of CUDA than the driver's are passed over from now on; 0: none is. */
void cuda_library_newest(int cuda_major);

/* One line about a library, whether or not anything has opened it: "cuBLASLt 13.1.0  /usr/lib/libcublasLt.so.13", or
 * its name and why it is not there. 0: it is not there. */
int cuda_library_describe(cuda_library_id, char *text, size_t n);

/* ---- what a plugin knows of the backend "cuda" ---- */

/* Something of a plugin's that must go before a device's context does: a library's handle, plans. */
typedef struct cuda_closer {
    void (*close)(void *arg);
    void *arg;
    struct cuda_closer *next;
} cuda_closer;

/* An hct_device and an hct_stream of the backend "cuda" begin with these; fields are only appended. */
typedef struct hct_cuda_device {
    uint32_t size;
    int32_t index, capability; /* capability: 90 for 9.0 */
    void *context;             /* CUcontext; backend and plugins make it current on each thread that works */
    /* Since 0.2. Called in reverse order, with the context current, when the device is closed, and forgotten then. A
     * plugin puts its closer in front of the list, under no lock: devices are planned for by one thread at a time. */
    cuda_closer *closers;
    /* Makes the context current on the calling thread, which every call of a library asks for: a thread that works on
     * a device need not be the one that opened it, and may have worked on another one since. 0: it failed. */
    int (*enter)(const struct hct_cuda_device *);
} hct_cuda_device;
typedef struct hct_cuda_stream {
    uint32_t size;
    void *stream; /* CUstream */
    hct_cuda_device *device;
} hct_cuda_stream;

#endif
