/* The CUDA backend: memory, order and graphs here, kernels from backends/kernels, products by cuBLASLt, exchanges by
 * NCCL. */
#include "gpu.h"

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
#ifdef HAVE_NVTX
    .range_push = cuda_range_push,
    .range_pop = cuda_range_pop,
#endif
};

static hct_status init(const hct_host *host, hct_err *err) {
    hct_status st = host->add_backend(host, &backend, err);
    if (st == HCT_OK) st = cuda_add_collectives(host, err);
    return st == HCT_OK ? cuda_add_kernels(host, err) : st;
}

HCT_PLUGIN_DEFINE("cuda", "0.1.0", init)
