/* Device memory with a pool, and copies. A program takes its memory once and never meets the pool again; eager tapes
 * take and give back a block for every value, which the driver would answer by waiting for the device. Freed blocks
 * are kept by size class and handed out again; so that a block may go from one stream to another, all streams are
 * ordered then (a program's steps never get here). */
#include "gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 512, LARGE = 2 << 20, KEEP_SHARE = 8 }; /* at most an eighth of the device's memory is kept */

static uint64_t class_of(uint64_t bytes) {
    uint64_t unit = bytes < LARGE / 2 ? SMALL : LARGE;
    return bytes ? (bytes + unit - 1) / unit * unit : SMALL;
}

static int push(cuda_block **list, size_t *n, size_t *cap, cuda_block b) {
    if (*n == *cap) {
        size_t more = 2 * *cap + 64;
        cuda_block *grown = realloc(*list, more * sizeof *grown);
        if (!grown) return 0;
        *list = grown;
        *cap = more;
    }
    (*list)[(*n)++] = b;
    return 1;
}

static void give_back(hct_device *d, CUdeviceptr at) {
    const char *name = NULL;
    CUresult code = cu->cuMemFree(at);
    if (code == CUDA_SUCCESS || d->lost_memory++) return;
    cu->cuGetErrorName(code, &name);
    cuda_say("CUDA: %s does not take memory back: %s", d->name, name ? name : "unknown error");
}

void cuda_pool_release(hct_device *d) {
    for (size_t i = 0; i < d->n_kept; i++) give_back(d, d->kept[i].at);
    d->n_kept = 0;
    d->kept_bytes = 0;
}

static int from_pool(hct_device *d, uint64_t bytes, CUdeviceptr *ret) {
    for (size_t i = d->n_kept; i-- > 0;)
        if (d->kept[i].bytes == bytes) {
            *ret = d->kept[i].at;
            d->kept[i] = d->kept[--d->n_kept];
            d->kept_bytes -= bytes;
            return 1;
        }
    return 0;
}

static hct_status none_left(const hct_device *d, uint64_t bytes, hct_err *err) {
    size_t left = 0, all = 0;
    cu->cuMemGetInfo(&left, &all);
    return hct_plugin_fail(err, HCT_ENOMEM, "out of memory on %s: %llu bytes were wanted, %llu of %llu are free",
                           d->name, (unsigned long long)bytes, (unsigned long long)left, (unsigned long long)all);
}

hct_status cuda_alloc(hct_device *d, uint64_t bytes, void **ret, hct_err *err) {
    uint64_t want = class_of(bytes);
    CUdeviceptr at = 0;
    CUresult code = CUDA_SUCCESS;
    pthread_mutex_lock(&cuda_lock);
    if (from_pool(d, want, &at)) {
        code = cuda_order_all(d);
    } else {
        code = cuda_enter(d);
        if (code == CUDA_SUCCESS) code = cu->cuMemAlloc(&at, want);
        if (code == CUDA_ERROR_OUT_OF_MEMORY && d->n_kept) {
            cuda_pool_release(d);
            code = cu->cuMemAlloc(&at, want);
        }
    }
    hct_status st = code == CUDA_SUCCESS               ? HCT_OK
                    : code == CUDA_ERROR_OUT_OF_MEMORY ? none_left(d, bytes, err)
                                                       : cuda_fail(err, code, "taking memory");
    if (st == HCT_OK && !push(&d->used, &d->n_used, &d->cap_used, (cuda_block){want, at})) {
        give_back(d, at);
        st = hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    }
    pthread_mutex_unlock(&cuda_lock);
    *ret = st == HCT_OK ? (void *)(uintptr_t)at : NULL;
    return st;
}

/* What is still queued on a stream may use the block: whoever gets it next queues behind that (cuda_order_all). */
void cuda_free(hct_device *d, void *mem) {
    CUdeviceptr at = (CUdeviceptr)(uintptr_t)mem;
    pthread_mutex_lock(&cuda_lock);
    cuda_enter(d);
    for (size_t i = d->n_used; i-- > 0;) {
        if (d->used[i].at != at) continue;
        cuda_block b = d->used[i];
        d->used[i] = d->used[--d->n_used];
        if (d->kept_bytes + b.bytes <= d->total / KEEP_SHARE && push(&d->kept, &d->n_kept, &d->cap_kept, b))
            d->kept_bytes += b.bytes;
        else give_back(d, at);
        break;
    }
    pthread_mutex_unlock(&cuda_lock);
}

/* Through pinned pieces: the caller's memory may be reused at once, and the device copies while the next piece is
 * filled. */
static CUresult upload(hct_stream *s, CUdeviceptr to, const char *from, uint64_t bytes) {
    CUresult code = CUDA_SUCCESS;
    for (uint64_t at = 0; code == CUDA_SUCCESS && at < bytes; at += CUDA_STAGE) {
        size_t n = bytes - at < CUDA_STAGE ? bytes - at : CUDA_STAGE;
        int k = s->next_stage;
        s->next_stage = (k + 1) % CUDA_STAGES;
        code = cu->cuEventSynchronize(s->staged[k]); /* never recorded: at once */
        if (code != CUDA_SUCCESS) break;
        memcpy(s->stage[k], from + at, n);
        code = cu->cuMemcpyHtoDAsync(to + at, s->stage[k], n, s->stream);
        if (code == CUDA_SUCCESS) code = cu->cuEventRecord(s->staged[k], s->stream);
    }
    return code;
}

/* Through one piece: the stream itself has this copy wait for the piece's last one. */
static CUresult download(hct_stream *s, char *to, CUdeviceptr from, uint64_t bytes) {
    CUresult code = CUDA_SUCCESS;
    for (uint64_t at = 0; code == CUDA_SUCCESS && at < bytes; at += CUDA_STAGE) {
        size_t n = bytes - at < CUDA_STAGE ? bytes - at : CUDA_STAGE;
        char *piece = s->stage[s->next_stage];
        code = cu->cuMemcpyDtoHAsync(piece, from + at, n, s->stream);
        if (code == CUDA_SUCCESS) code = cu->cuStreamSynchronize(s->stream);
        if (code == CUDA_SUCCESS) memcpy(to + at, piece, n);
    }
    return code;
}

hct_status cuda_copy(hct_device *d, hct_stream *s, hct_copy_kind kind, void *dst, uint64_t dst_off, const void *src,
                     uint64_t src_off, uint64_t bytes, hct_err *err) {
    CUresult code;
    if (s->failed) return hct_plugin_fail(err, HCT_EDEVICE, "CUDA: the device failed before");
    if (bytes == 0) return HCT_OK;
    CUdeviceptr to = (CUdeviceptr)(uintptr_t)dst + dst_off, from = (CUdeviceptr)(uintptr_t)src + src_off;
    if ((code = cuda_enter(d)) != CUDA_SUCCESS) return cuda_fail(err, code, "copying");
    if (kind == HCT_DEVICE_TO_DEVICE) code = cu->cuMemcpyDtoDAsync(to, from, bytes, s->stream);
    else if (kind == HCT_HOST_TO_DEVICE) {
        double start = cuda_time(d);
        code = upload(s, to, (const char *)src + src_off, bytes);
        d->times.uploads += cuda_time(d) - start;
        d->times.bytes += bytes;
    } else code = download(s, (char *)dst + dst_off, from, bytes);
    if (code == CUDA_SUCCESS) return HCT_OK;
    s->failed = cuda_is_lost(code);
    return cuda_fail(err, code, "copying");
}
