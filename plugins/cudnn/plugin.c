/* cudnn: attention and 3D convolution on "cuda" by cuDNN's graph API. The portable kernels of backends/kernels do
 * what it refuses, and hold it to account in the conformance table. */
#include "dnn.h"

cudnn_table dnn;

int cudnn_library(hct_err *err) {
#define SYMBOL(ret, name, args) CUDA_SYMBOL(cudnn_table, name),
    static const cuda_symbol symbols[] = {NV_CUDNN(SYMBOL)};
#undef SYMBOL
    static int state;
    static hct_err why;
    if (!state) state = cuda_library(CUDA_CUDNN, symbols, sizeof symbols / sizeof *symbols, &dnn, &why) ? 1 : -1;
    if (state < 0) *err = why;
    return state > 0;
}

int cudnn_open(const hct_cuda_device *d, cudnnHandle_t *ret, hct_err *err) {
    enum { MOST = 64 };
    static cudnnHandle_t handle[MOST];
    if (!cudnn_library(err)) return 0;
    if (d->index < 0 || d->index >= MOST) {
        hct_plugin_fail(err, HCT_NOTIMPL, "device %d; %d are possible", d->index, MOST);
        return 0;
    }
    cudnnStatus_t code = handle[d->index] ? CUDNN_STATUS_SUCCESS : dnn.cudnnCreate(&handle[d->index]);
    if (code != CUDNN_STATUS_SUCCESS) {
        hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN does not start: %s", dnn.cudnnGetErrorString(code));
        return 0;
    }
    *ret = handle[d->index];
    return 1;
}

static hct_status init(const hct_host *host, hct_err *err) {
    const hct_kernel *const *const tables[] = {cudnn_attention, cudnn_conv};
    hct_status st = HCT_OK;
    for (int i = 0; i < 2; i++)
        for (const hct_kernel *const *k = tables[i]; st == HCT_OK && *k; k++) st = host->add_kernel(host, *k, err);
    return st;
}

HCT_PLUGIN_DEFINE("cudnn", "0.1.0", init)
