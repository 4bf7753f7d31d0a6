/* cudnn: attention and 3D convolution on "cuda" by cuDNN's graph API. The portable kernels of backends/kernels do
 * what it refuses, and hold it to account in the conformance table. */
#include "dnn.h"

#include "kit/nvidia/driver.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

cudnn_table dnn;
static const hct_host *told; /* its log */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int cudnn_library(hct_err *err) {
#define SYMBOL(ret, name, args) CUDA_SYMBOL(cudnn_table, name),
    static const cuda_symbol symbols[] = {NV_CUDNN(SYMBOL)};
#undef SYMBOL
    static int state;
    static hct_err why;
    pthread_mutex_lock(&lock);
    if (!state) state = cuda_library(CUDA_CUDNN, symbols, sizeof symbols / sizeof *symbols, &dnn, &why) ? 1 : -1;
    pthread_mutex_unlock(&lock);
    if (state < 0) *err = why;
    return state > 0;
}

/* ---- the driver, for a little memory of our own ---- */

#define FUNCTIONS(X)                                                                                                   \
    X(cuMemAlloc, cuMemAlloc_v2, (CUdeviceptr *, size_t))                                                              \
    X(cuMemFree, cuMemFree_v2, (CUdeviceptr))                                                                          \
    X(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2, (CUdeviceptr, const void *, size_t, CUstream))                          \
    X(cuMemsetD8Async, cuMemsetD8Async, (CUdeviceptr, unsigned char, size_t, CUstream))                                \
    X(cuStreamSynchronize, cuStreamSynchronize, (CUstream))
#define FIELD(name, symbol, args) CUresult(*name) args;
static struct driver { FUNCTIONS(FIELD) } cu;

static int driver_library(hct_err *err) {
#define SYMBOL(name, symbol, args) {#symbol, offsetof(struct driver, name), 0},
    static const cuda_symbol symbols[] = {FUNCTIONS(SYMBOL)};
#undef SYMBOL
    return cu.cuMemAlloc || cuda_library(CUDA_DRIVER, symbols, sizeof symbols / sizeof *symbols, &cu, err);
}

struct dnn_lengths {
    int64_t n;
    int32_t value;
    CUdeviceptr at;
    dnn_lengths *next;
};

static CUresult write_lengths(int64_t n, int32_t value, CUdeviceptr *ret) {
    size_t bytes = (size_t)n * sizeof value;
    int32_t *all = malloc(bytes);
    if (!all) return CUDA_ERROR_OUT_OF_MEMORY;
    for (int64_t i = 0; i < n; i++) all[i] = value;
    CUresult code = cu.cuMemAlloc(ret, bytes);
    if (code == CUDA_SUCCESS) code = cu.cuMemcpyHtoDAsync(*ret, all, bytes, NULL);
    if (code == CUDA_SUCCESS) code = cu.cuStreamSynchronize(NULL);
    free(all);
    return code;
}

void *dnn_lengths_of(dnn_device *d, int64_t n, int32_t value, hct_err *err) {
    for (dnn_lengths *l = d->lengths; l; l = l->next)
        if (l->n == n && l->value == value) return (void *)(uintptr_t)l->at;
    dnn_lengths *l = calloc(1, sizeof *l);
    if (!l || !driver_library(err)) {
        free(l);
        return NULL;
    }
    CUresult code = write_lengths(n, value, &l->at);
    if (code != CUDA_SUCCESS) {
        if (l->at) cu.cuMemFree(l->at);
        free(l);
        hct_plugin_fail(err, HCT_NOTIMPL, "no memory for the lengths of %lld sequences (error %d)", (long long)n,
                        (int)code);
        return NULL;
    }
    l->n = n;
    l->value = value;
    l->next = d->lengths;
    d->lengths = l;
    return (void *)(uintptr_t)l->at;
}

hct_status dnn_clear(const hct_cuda_stream *s, void *at, size_t bytes, hct_err *err) {
    int ready = s->device->enter(s->device) && driver_library(err);
    CUresult code = ready ? cu.cuMemsetD8Async((CUdeviceptr)(uintptr_t)at, 0, bytes, (CUstream)s->stream)
                          : CUDA_ERROR_NOT_INITIALIZED;
    return code == CUDA_SUCCESS ? HCT_OK
                                : hct_plugin_fail(err, HCT_EDEVICE, "clearing memory fails (error %d)", (int)code);
}

/* ---- devices ---- */

/* The context goes: what was made in it goes first. */
static void close_device(void *arg) {
    dnn_device *d = arg;
    dnn_plans_free(&d->plans);
    for (dnn_lengths *l = d->lengths, *next; l; l = next) {
        next = l->next;
        cu.cuMemFree(l->at);
        free(l);
    }
    d->lengths = NULL;
    if (d->handle) dnn.cudnnDestroy(d->handle);
    d->handle = NULL;
    d->open = 0;
}

dnn_device *dnn_open(hct_cuda_device *shown, hct_err *err) {
    enum { MOST = 64 };
    static dnn_device devices[MOST];
    if (!cudnn_library(err)) return NULL;
    if (shown->index < 0 || shown->index >= MOST) {
        hct_plugin_fail(err, HCT_NOTIMPL, "device %d; %d are possible", shown->index, MOST);
        return NULL;
    }
    if (!shown->enter(shown)) {
        hct_plugin_fail(err, HCT_NOTIMPL, "the context of device %d cannot be entered", shown->index);
        return NULL;
    }
    dnn_device *d = &devices[shown->index];
    if (d->open) return d;
    cudnnStatus_t code = dnn.cudnnCreate(&d->handle);
    if (code != CUDNN_STATUS_SUCCESS) {
        d->handle = NULL;
        hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN does not start: %s", dnn.cudnnGetErrorString(code));
        return NULL;
    }
    d->index = shown->index;
    d->open = 1;
    d->closer = (cuda_closer){close_device, d, shown->closers};
    shown->closers = &d->closer;
    return d;
}

void dnn_say_slow(const char *what, const char *why) {
    enum { MOST = 16 };
    static const char *said[MOST];
    char line[512];
    int i = 0;
    pthread_mutex_lock(&lock);
    while (i < MOST - 1 && said[i] && strcmp(said[i], what) != 0) i++;
    int first = !said[i];
    said[i] = what;
    pthread_mutex_unlock(&lock);
    if (!first || !told) return;
    snprintf(line, sizeof line, "CUDA: %s goes to the portable kernels, which are slower: %s", what, why);
    told->log(told, line);
}

static hct_status init(const hct_host *host, hct_err *err) {
    const hct_kernel *const *const tables[] = {cudnn_attention, cudnn_conv};
    hct_status st = HCT_OK;
    told = host;
    for (int i = 0; i < 2; i++)
        for (const hct_kernel *const *k = tables[i]; st == HCT_OK && *k; k++) st = host->add_kernel(host, *k, err);
    return st;
}

HCT_PLUGIN_DEFINE("cudnn", "0.2.0", init)
