/* The driver and the libraries, opened at run time. */
#include "gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cuda_driver *cu;
pthread_mutex_t cuda_lock = PTHREAD_MUTEX_INITIALIZER;

static int start_driver(cuda_driver *d, hct_err *err) {
#define NEEDED(field, symbol, args) {#symbol, offsetof(cuda_driver, field), 0},
#define OPTIONAL(field, symbol, args) {#symbol, offsetof(cuda_driver, field), 1},
    static const cuda_symbol symbols[] = {NV_DRIVER(NEEDED) NV_DRIVER_OPTIONAL(OPTIONAL)};
#undef NEEDED
#undef OPTIONAL
    int version = 0;
    hct_err why = {0, ""};
    if (!cuda_library(CUDA_DRIVER, symbols, sizeof symbols / sizeof *symbols, d, &why)) {
        hct_plugin_fail(err, why.code,
                        why.code == HCT_EVERSION ? "the NVIDIA driver is too old: %s; update it"
                                                 : "no NVIDIA driver: %s; install the driver of your card",
                        why.msg);
        return 0;
    }
    CUresult code = d->cuInit(0);
    if (code != CUDA_SUCCESS) {
        hct_plugin_fail(err, HCT_ENOTFOUND,
                        code == CUDA_ERROR_NO_DEVICE
                            ? "the NVIDIA driver finds no GPU"
                            : "the NVIDIA driver does not start (error %d); look at nvidia-smi",
                        (int)code);
        return 0;
    }
    /* Machine code of a toolkit runs with drivers of its major version and later. */
    int least = KERNELS_CUDA_MAJOR;
    if (d->cuDriverGetVersion(&version) == CUDA_SUCCESS) cuda_library_newest(version / 1000);
    if (version / 1000 < least) {
        hct_plugin_fail(
            err, HCT_EVERSION,
            "the NVIDIA driver is too old: it speaks CUDA %d.%d, this build needs %d.0 or later; update the driver",
            version / 1000, version % 1000 / 10, least);
        return 0;
    }
    return 1;
}

const cuda_driver *cuda_get_driver(hct_err *err) {
    static cuda_driver driver;
    static int state; /* 0 not tried, 1 there, -1 not */
    static hct_err why;
    pthread_mutex_lock(&cuda_lock);
    if (!state) state = start_driver(&driver, &why) ? 1 : -1;
    if (state == 1) cu = &driver;
    else if (err) *err = why;
    pthread_mutex_unlock(&cuda_lock);
    return state == 1 ? &driver : NULL;
}

/* Errors that stay: every later call in the context gives them again. */
int cuda_is_lost(CUresult code) {
    switch (code) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_UNKNOWN: return 1;
    default: return 0;
    }
}

hct_status cuda_fail(hct_err *err, CUresult code, const char *what) {
    const char *name = NULL;
    cu->cuGetErrorName(code, &name);
    int memory = code == CUDA_ERROR_OUT_OF_MEMORY;
    return hct_plugin_fail(err, memory ? HCT_ENOMEM : HCT_EDEVICE, "CUDA: %s: %s%s", what,
                           name ? name : "unknown error",
                           memory                                 ? ""
                           : code == CUDA_ERROR_NO_BINARY_FOR_GPU ? "; this build has no kernels for the card"
                           : cuda_is_lost(code)
                               ? "; the device cannot be used any more in this process: start again with --resume"
                               : "");
}
