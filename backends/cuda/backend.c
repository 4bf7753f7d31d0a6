/* The CUDA backend: memory, order and graphs here, kernels from backends/kernels, products by cuBLASLt, exchanges by
 * NCCL. */
#include "gpu.h"

#include <stdarg.h>

const hct_host *cuda_host;

void cuda_say(const char *fmt, ...) {
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    cuda_host->log(cuda_host, line);
}

static hct_status library(int index, char *text, size_t n, hct_err *err) {
    if (index < 0 || index >= CUDA_LIBRARIES) return hct_plugin_fail(err, HCT_ENOTFOUND, "no more libraries");
    cuda_library_describe((cuda_library_id)index, text, n);
    return HCT_OK;
}

static const hct_backend backend = {
    .size = sizeof backend,
    .name = "cuda",
    .probe = cuda_probe,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .copy = cuda_copy,
    .stream_new = cuda_stream_new,
    .stream_sync = cuda_stream_sync,
    .stream_free = cuda_stream_free,
    .capture_begin = cuda_capture_begin,
    .capture_end = cuda_capture_end,
    .graph_launch = cuda_graph_launch,
    .graph_free = cuda_graph_free,
    .stream_after = cuda_stream_after,
    .library = library,
#ifdef HAVE_NVTX
    .range_push = cuda_range_push,
    .range_pop = cuda_range_pop,
#endif
};

static hct_status init(const hct_host *host, hct_err *err) {
    cuda_host = host;
    hct_status st = host->add_backend(host, &backend, err);
    if (st == HCT_OK) st = cuda_add_collectives(host, err);
    return st == HCT_OK ? cuda_add_kernels(host, err) : st;
}

HCT_PLUGIN_DEFINE("cuda", "0.1.0", init)
