/* The OpenCL backend: memory and order from memory.c, kernels from backends/kernels. */
#include "opencl.h"

static const hct_backend backend = {.size = sizeof backend,
                                    .name = "opencl",
                                    .probe = ocl_probe,
                                    .open = ocl_open,
                                    .close = ocl_close,
                                    .alloc = ocl_alloc,
                                    .free = ocl_free,
                                    .copy = ocl_copy,
                                    .stream_new = ocl_stream_new,
                                    .stream_sync = ocl_stream_sync,
                                    .stream_free = ocl_stream_free};

static hct_status init(const hct_host *host, hct_err *err) {
    hct_status st = host->add_backend(host, &backend, err);
    if (st == HCT_OK) st = ocl_add_collectives(host, err);
    return st == HCT_OK ? ocl_add_kernels(host, err) : st;
}

HCT_PLUGIN_DEFINE("opencl", "0.1.0", init)
