/* Buffers, copies and streams. A view's `mem` is the cl_mem itself. */
#include "opencl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hct_status ocl_alloc(hct_device *d, uint64_t bytes, void **ret, hct_err *err) {
    cl_int code = CL_SUCCESS;
    char text[128];
    uint64_t want = bytes ? (bytes + 127) / 128 * 128 : 128;
    if (want > d->max_alloc)
        return hct_plugin_fail(
            err, HCT_ENOMEM,
            "out of memory on %s: one buffer of %llu bytes was wanted, the device allows %llu; use a smaller batch",
            d->name, (unsigned long long)bytes, (unsigned long long)d->max_alloc);
    cl_mem mem = clCreateBuffer(d->context, CL_MEM_READ_WRITE, want, NULL, &code);
    if (code != CL_SUCCESS)
        return hct_plugin_fail(err, HCT_ENOMEM,
                               "out of memory on %.60s: %llu bytes were wanted, %s (%s); use a smaller batch", d->name,
                               (unsigned long long)bytes, ocl_memory(d, text, sizeof text), ocl_error(code));
    __atomic_add_fetch(&d->held, want, __ATOMIC_RELAXED);
    __atomic_add_fetch(&d->allocations, 1, __ATOMIC_RELAXED);
    *ret = mem;
    return HCT_OK;
}

void ocl_free(hct_device *d, void *mem) {
    size_t bytes = 0;
    clGetMemObjectInfo(mem, CL_MEM_SIZE, sizeof bytes, &bytes, NULL);
    __atomic_sub_fetch(&d->held, bytes, __ATOMIC_RELAXED);
    clReleaseMemObject(mem);
}

/* Through the pinned buffer, a piece at a time; ocl_lock keeps others off it. */
static cl_int staged(hct_device *d, hct_stream *s, int to_device, cl_mem mem, uint64_t off, char *host,
                     uint64_t bytes) {
    cl_int code = CL_SUCCESS;
    pthread_mutex_lock(&ocl_lock);
    for (uint64_t at = 0; code == CL_SUCCESS && at < bytes; at += OCL_PINNED) {
        size_t n = bytes - at < OCL_PINNED ? bytes - at : OCL_PINNED;
        if (to_device) {
            memcpy(d->pinned_at, host + at, n);
            code = clEnqueueWriteBuffer(s->queue, mem, CL_TRUE, off + at, n, d->pinned_at, 0, NULL, NULL);
        } else {
            code = clEnqueueReadBuffer(s->queue, mem, CL_TRUE, off + at, n, d->pinned_at, 0, NULL, NULL);
            if (code == CL_SUCCESS) memcpy(host + at, d->pinned_at, n);
        }
    }
    pthread_mutex_unlock(&ocl_lock);
    return code;
}

hct_status ocl_copy(hct_device *d, hct_stream *s, hct_copy_kind kind, void *dst, uint64_t dst_off, const void *src,
                    uint64_t src_off, uint64_t bytes, hct_err *err) {
    cl_int code = CL_SUCCESS;
    if (s->failed) return hct_plugin_fail(err, HCT_EDEVICE, "OpenCL: the device failed before");
    if (bytes == 0) return HCT_OK;
    if (kind == HCT_DEVICE_TO_DEVICE) {
        code = clEnqueueCopyBuffer(s->queue, (cl_mem)src, dst, src_off, dst_off, bytes, 0, NULL, NULL);
    } else {
        int to_device = kind == HCT_HOST_TO_DEVICE;
        cl_mem mem = to_device ? dst : (cl_mem)src;
        uint64_t off = to_device ? dst_off : src_off;
        char *host = to_device ? (char *)src + src_off : (char *)dst + dst_off;
        if (d->pinned_at) code = staged(d, s, to_device, mem, off, host, bytes);
        else if (to_device) code = clEnqueueWriteBuffer(s->queue, mem, CL_TRUE, off, bytes, host, 0, NULL, NULL);
        else code = clEnqueueReadBuffer(s->queue, mem, CL_TRUE, off, bytes, host, 0, NULL, NULL);
    }
    if (code == CL_SUCCESS) return HCT_OK;
    s->failed = 1;
    return ocl_fail_on(d, err, code, "copying");
}

/* ---- streams ---- */

hct_status ocl_stream_new(hct_device *d, hct_stream **ret, hct_err *err) {
    cl_int code;
    const char *profile = getenv("HEADCT_OPENCL_PROFILE");
    hct_stream *s = calloc(1, sizeof *s);
    if (!s) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    s->device = d;
    s->profile = profile && *profile == '1';
    s->queue = clCreateCommandQueue(d->context, d->id, s->profile ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
    if (code != CL_SUCCESS) {
        free(s);
        return ocl_fail(err, code, "making a queue");
    }
    *ret = s;
    return HCT_OK;
}

static hct_status complaint(hct_stream *s, hct_err *err) {
    cl_int status[4] = {0}, none[4] = {0};
    s->uses_status = 0;
    cl_int code = clEnqueueReadBuffer(s->queue, s->device->status, CL_TRUE, 0, sizeof status, status, 0, NULL, NULL);
    if (code != CL_SUCCESS) return ocl_fail(err, code, "reading the status word");
    if (!status[0]) return HCT_OK;
    clEnqueueWriteBuffer(s->queue, s->device->status, CL_TRUE, 0, sizeof none, none, 0, NULL, NULL);
    return hct_plugin_fail(err, HCT_EINVAL, "%s: %d of them, one is %d", hk_complaint(status[1]), status[0], status[2]);
}

hct_status ocl_stream_sync(hct_stream *s, hct_err *err) {
    if (s->failed) return hct_plugin_fail(err, HCT_EDEVICE, "OpenCL: the device failed before");
    cl_int code = clFinish(s->queue);
    if (code != CL_SUCCESS) {
        s->failed = 1;
        return ocl_fail_on(s->device, err, code, "waiting for the device");
    }
    return s->uses_status ? complaint(s, err) : HCT_OK;
}

cl_event *ocl_sample_of(hct_stream *s, const char *name) {
    if (!s->profile) return NULL;
    if (s->n_samples == s->cap_samples) {
        size_t cap = 2 * s->cap_samples + 256;
        ocl_sample *more = realloc(s->samples, cap * sizeof *more);
        if (!more) return NULL;
        s->samples = more;
        s->cap_samples = cap;
    }
    ocl_sample *x = &s->samples[s->n_samples++];
    *x = (ocl_sample){name, NULL};
    return &x->event;
}

static void print_profile(hct_stream *s) {
    typedef struct line {
        const char *name;
        double ms;
        size_t calls;
    } line;
    line *lines = calloc(s->n_samples + 1, sizeof *lines);
    size_t n = 0;
    double total = 0;
    for (size_t i = 0; lines && i < s->n_samples; i++) {
        cl_ulong from = 0, to = 0;
        if (!s->samples[i].event) continue;
        clGetEventProfilingInfo(s->samples[i].event, CL_PROFILING_COMMAND_START, sizeof from, &from, NULL);
        clGetEventProfilingInfo(s->samples[i].event, CL_PROFILING_COMMAND_END, sizeof to, &to, NULL);
        size_t k = 0;
        while (k < n && strcmp(lines[k].name, s->samples[i].name) != 0) k++;
        if (k == n) lines[n++].name = s->samples[i].name;
        lines[k].ms += 1e-6 * (double)(to - from);
        lines[k].calls++;
        total += 1e-6 * (double)(to - from);
    }
    while (n) { /* slowest first */
        size_t most = 0;
        for (size_t k = 1; k < n; k++)
            if (lines[k].ms > lines[most].ms) most = k;
        fprintf(stderr, "opencl: %10.2f ms %5.1f%% %7zu times  %s\n", lines[most].ms,
                100 * lines[most].ms / (total > 0 ? total : 1), lines[most].calls, lines[most].name);
        lines[most] = lines[--n];
    }
    free(lines);
}

void ocl_stream_free(hct_stream *s) {
    if (!s->failed) clFinish(s->queue);
    if (s->profile && !s->failed) {
        print_profile(s);
        fprintf(stderr,
                "opencl: %zu programs compiled, %zu from the cache; %zu of CLBlast's kernels tuned for this device; "
                "%zu batched products, which "
                "allocate inside CLBlast\n",
                s->device->compiled, s->device->from_cache, s->device->tuned, s->batched);
    }
    for (size_t i = 0; i < s->n_samples; i++)
        if (s->samples[i].event) clReleaseEvent(s->samples[i].event);
    free(s->samples);
    clReleaseCommandQueue(s->queue);
    free(s);
}
