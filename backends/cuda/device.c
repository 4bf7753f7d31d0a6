/* Devices: all that the driver shows, in its order. */
#include "gpu.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_DEVICES = 64, LEAST = 80 /* compute capability 8.0: bf16 */ };
static hct_device *opened[MAX_DEVICES];

static int attribute(CUdevice id, CUdevice_attribute what) {
    int v = 0;
    cu->cuDeviceGetAttribute(&v, what, id);
    return v;
}

static hct_status find_device(int index, CUdevice *ret, hct_err *err) {
    int n = 0;
    if (!cuda_get_driver(err)) return err ? err->code : HCT_ENOTFOUND;
    CUresult code = cu->cuDeviceGetCount(&n);
    if (code != CUDA_SUCCESS) return cuda_fail(err, code, "counting devices");
    if (index < 0 || index >= n || index >= MAX_DEVICES)
        return hct_plugin_fail(err, HCT_ENOTFOUND, "cuda:%d: there are %d CUDA devices, numbered from 0", index, n);
    code = cu->cuDeviceGet(ret, index);
    return code == CUDA_SUCCESS ? HCT_OK : cuda_fail(err, code, "looking at a device");
}

static int capability(CUdevice id) {
    return 10 * attribute(id, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
           attribute(id, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
}

hct_status cuda_probe(int index, char *text, size_t n, hct_err *err) {
    CUdevice id;
    int version = 0;
    char name[128] = "?";
    size_t bytes = 0;
    hct_status st = find_device(index, &id, err);
    if (st != HCT_OK) return st;
    cu->cuDeviceGetName(name, sizeof name, id);
    cu->cuDeviceTotalMem(&bytes, id);
    cu->cuDriverGetVersion(&version);
    int cc = capability(id);
    char folder[PATH_MAX];
    snprintf(text, n, "%s, compute capability %d.%d%s, %.1f GiB, %d multiprocessors, driver for CUDA %d.%d%s", name,
             cc / 10, cc % 10, cc < LEAST ? " (unsupported)" : "", (double)bytes / (1 << 30),
             attribute(id, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), version / 1000, version % 1000 / 10,
             cuda_has_kernels(folder) ? "" : "; this build has no compiled kernels, so it cannot be used");
    return HCT_OK;
}

CUresult cuda_enter(const hct_device *d) { return cu->cuCtxSetCurrent(d->context); }

double cuda_time(const hct_device *d) {
    struct timespec t;
    if (!d->times.on || clock_gettime(CLOCK_MONOTONIC, &t) != 0) return 0;
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int enter(const hct_cuda_device *shown) {
    return cu->cuCtxSetCurrent((CUcontext)shown->context) == CUDA_SUCCESS;
}

static void destroy_device(hct_device *d) {
    if (d->times.on)
        cuda_say("CUDA: times: %llu graphs started, %.3f s of waiting for the device, %.3f s of copying %.3f GB up",
                 (unsigned long long)d->times.graphs, d->times.waits, d->times.uploads, 1e-9 * (double)d->times.bytes);
    if (d->context) {
        cuda_enter(d);
        for (cuda_closer *c = d->shown.closers; c; c = c->next) c->close(c->arg);
        cuda_collective_close(d);
        cuda_lt_close(d);
        cuda_pool_release(d);
        if (d->status) cu->cuMemFree(d->status);
        for (size_t i = 0; i < d->n_modules; i++) cu->cuModuleUnload(d->modules[i].module);
        cu->cuDevicePrimaryCtxRelease(d->id);
    }
    free(d->modules);
    free(d->kept);
    free(d->used);
    free(d);
}

static hct_status make_device(int index, CUdevice id, hct_device **ret, hct_err *err) {
    hct_device *d = calloc(1, sizeof *d);
    size_t bytes = 0;
    hct_status st = HCT_OK;
    if (!d) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    const char *times = getenv("HCT_TIMES");
    d->times.on = times && *times == '1';
    d->id = id;
    d->index = index;
    cu->cuDeviceGetName(d->name, sizeof d->name - 1, d->id);
    cu->cuDeviceTotalMem(&bytes, d->id);
    d->total = bytes;
    d->units = attribute(d->id, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    d->capability = capability(d->id);
    if (d->capability < LEAST)
        st = hct_plugin_fail(err, HCT_EDEVICE,
                             "cuda:%d: %s has compute capability %d.%d; the kernels need 8.0 or more (A100 and later). "
                             "OpenCL may run on it: --set train.device=opencl",
                             index, d->name, d->capability / 10, d->capability % 10);
    char folder[PATH_MAX];
    if (st == HCT_OK && !cuda_has_kernels(folder))
        st =
            hct_plugin_fail(err, HCT_ENOTFOUND,
                            "cuda:%d: this build has no compiled device kernels (none in %s/cuda): it was made without "
                            "nvcc; install the CUDA toolkit and build again with -Dcuda=enabled",
                            index, folder);
    CUresult code = CUDA_SUCCESS;
    if (st == HCT_OK) {
        code = cu->cuDevicePrimaryCtxRetain(&d->context, d->id);
        if (code == CUDA_SUCCESS) code = cu->cuCtxSetCurrent(d->context);
        if (code == CUDA_SUCCESS) code = cu->cuMemAlloc(&d->status, 4 * sizeof(int32_t));
        if (code == CUDA_SUCCESS) code = cu->cuMemsetD8Async(d->status, 0, 4 * sizeof(int32_t), NULL);
        if (code == CUDA_SUCCESS) code = cu->cuStreamSynchronize(NULL);
        if (code != CUDA_SUCCESS) st = cuda_fail(err, code, "opening the device");
    }
    /* group, queries, vw: as the kernels are compiled (backends/kernels/meson.build takes dialect.h's and
     * attention.cl's defaults) */
    d->target = (hk_target){.group = 128,
                            .queries = 32,
                            .own = 1,
                            .vw = 4,
                            .units = (uint32_t)(d->units > 0 ? d->units : 1),
                            .fp64 = 1,
                            .local = 48 << 10,
                            .addresses = 1};
    d->with_library = d->target;
    d->with_library.library = 1u << HCT_F32 | 1u << HCT_BF16 | 1u << HCT_F16;
    d->with_library.library_bias = 1;
    d->with_subgroups = d->target;
    d->with_subgroups.subgroups = 1;
    d->with_subgroups.warps = d->target.group / 32;
    d->shown = (hct_cuda_device){
        .size = sizeof d->shown, .index = index, .capability = d->capability, .context = d->context, .enter = enter};
    if (st == HCT_OK) *ret = d;
    else destroy_device(d);
    return st;
}

hct_status cuda_open(int index, hct_device **ret, hct_err *err) {
    hct_err own;
    if (!err) err = &own;
    CUdevice id;
    hct_status st = find_device(index, &id, err);
    if (st != HCT_OK) return st;
    pthread_mutex_lock(&cuda_lock);
    if (!opened[index]) st = make_device(index, id, &opened[index], err);
    if (st == HCT_OK) {
        opened[index]->users++;
        *ret = opened[index];
    }
    pthread_mutex_unlock(&cuda_lock);
    return st;
}

void cuda_close(hct_device *d) {
    pthread_mutex_lock(&cuda_lock);
    if (--d->users == 0) {
        opened[d->index] = NULL;
        destroy_device(d);
    }
    pthread_mutex_unlock(&cuda_lock);
}
