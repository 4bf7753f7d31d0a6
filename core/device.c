/* Devices and the tensors that live on them. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DEVICES = 1024 };

/* The device after a spec's colon: its number, or a part of what the backend says of it (in any case) that only one
 * device has; -1: none. */
static int index_of(const hct_backend *b, const char *spec, const char *which, hct_err *err) {
    char *end, text[512];
    hct_err none;
    long number = strtol(which, &end, 10);
    if (end != which && !*end && number >= 0 && number < MOST_DEVICES) return (int)number;
    if (!*which || !*end) { /* empty, or a number that no device has */
        hct_fail(err, HCT_EINVAL,
                 "device '%s': after the colon comes a number or a part of a device's name, as in '%s:1'", spec,
                 b->name);
        return -1;
    }
    int found = -1, fits = 0;
    for (int i = 0; i < MOST_DEVICES && b->probe(i, text, sizeof text, &none) == HCT_OK; i++) {
        if (!strcasestr(text, which)) continue;
        if (!fits++) found = i;
    }
    if (fits == 1) return found;
    if (fits)
        hct_fail(err, HCT_EINVAL, "device '%s': %d devices are called so; give the number that 'headct backends' lists",
                 spec, fits);
    else hct_fail(err, HCT_ENOTFOUND, "device '%s': no device is called so; see 'headct backends'", spec);
    return -1;
}

hct_dev *hct_device_open(hct_ctx *ctx, const char *spec, hct_err *err) {
    const char *env = getenv("HEADCT_DEVICE");
    if (!spec) spec = env && *env ? env : "cpu";
    const char *colon = strchr(spec, ':');
    size_t n = colon ? (size_t)(colon - spec) : strlen(spec);
    const hct_backend *b = NULL;
    char known[256] = "";
    for (size_t i = 0; i < ctx->n_backends; i++) {
        const char *name = ctx->backends[i]->name;
        if (strlen(name) == n && !strncmp(name, spec, n)) b = ctx->backends[i];
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", name);
    }
    if (!b) {
        hct_fail(err, HCT_ENOTFOUND, "device '%s': no such backend is loaded (loaded: %s); see 'headct backends'", spec,
                 *known ? known : "none");
        return NULL;
    }
    int index = colon ? index_of(b, spec, colon + 1, err) : 0;
    if (index < 0) return NULL;
    hct_dev *d = calloc(1, sizeof *d);
    if (!d) {
        hct_fail(err, HCT_ENOMEM, "out of memory");
        return NULL;
    }
    const char *ranges = getenv("HCT_RANGES"), *sync = getenv("HCT_SYNC");
    d->ctx = ctx;
    d->backend = b;
    d->waits = sync && *sync == '1';
    d->ranges = ranges && *ranges == '1' && HCT_HAS(b, range_push) && HCT_HAS(b, range_pop);
    if (b->open(index, &d->device, err) < 0 || b->stream_new(d->device, &d->stream, err) < 0) {
        hct_device_close(d);
        return NULL;
    }
    return d;
}

void hct_device_close(hct_dev *d) {
    if (!d) return;
    if (d->upload) d->backend->stream_free(d->upload);
    if (d->stream) d->backend->stream_free(d->stream);
    free(d->ahead);
    if (d->device) d->backend->close(d->device);
    free(d);
}

const char *hct_device_backend(const hct_dev *d) { return d->backend->name; }
hct_ctx *hct_device_context(const hct_dev *d) { return d->ctx; }
hct_memory_stats hct_device_memory(const hct_dev *d) { return d->memory; }

hct_status hct_dev_alloc(hct_dev *d, uint64_t bytes, void **ret, hct_err *err) {
    *ret = NULL;
    hct_status st = d->backend->alloc(d->device, bytes, ret, err);
    if (st < 0) return st;
    d->memory.calls++;
    d->memory.bytes += bytes;
    if (d->memory.bytes > d->memory.peak) d->memory.peak = d->memory.bytes;
    return HCT_OK;
}

void hct_dev_free(hct_dev *d, void *mem, uint64_t bytes) {
    if (!mem) return;
    d->backend->free(d->device, mem);
    d->memory.bytes -= bytes;
}

void hct_make_contiguous(hct_view *v) {
    int64_t s = 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        v->stride[i] = s;
        s *= v->dim[i];
    }
}

uint64_t hct_view_bytes(const hct_view *v) { return (uint64_t)hct_numel(v) * hct_dtype_size(v->dtype); }

static hct_status fill_zero(hct_tensor *t, hct_err *err) {
    enum { PIECE = 1 << 20 };
    static const char zeros[PIECE];
    hct_status st = HCT_OK;
    for (uint64_t at = 0; st == HCT_OK && at < t->bytes; at += PIECE)
        st = t->dev->backend->copy(t->dev->device, t->dev->stream, HCT_HOST_TO_DEVICE, t->view.mem, at, zeros, 0,
                                   t->bytes - at < PIECE ? t->bytes - at : PIECE, err);
    return st;
}

hct_tensor *hct_tensor_new(hct_dev *d, hct_dtype dtype, int ndim, const int64_t *dim, hct_err *err) {
    uint64_t bytes = hct_dtype_size(dtype);
    if (!bytes || ndim < 0 || ndim > HCT_MAX_DIMS) {
        hct_fail(err, HCT_EINVAL, "a tensor has a known dtype and at most %d axes", HCT_MAX_DIMS);
        return NULL;
    }
    for (int i = 0; i < ndim; i++)
        if (dim[i] < 0 || __builtin_mul_overflow(bytes, (uint64_t)dim[i], &bytes)) {
            hct_fail(err, HCT_ESHAPE, "axis %d of a tensor has the impossible length %lld", i, (long long)dim[i]);
            return NULL;
        }
    hct_tensor *t = calloc(1, sizeof *t);
    if (!t) {
        hct_fail(err, HCT_ENOMEM, "out of memory");
        return NULL;
    }
    t->dev = d;
    t->bytes = bytes;
    t->version = 1;
    t->view.ndim = ndim;
    t->view.dtype = (int32_t)dtype;
    for (int i = 0; i < ndim; i++) t->view.dim[i] = dim[i];
    hct_make_contiguous(&t->view);
    if (hct_dev_alloc(d, bytes, &t->view.mem, err) < 0) {
        free(t);
        return NULL;
    }
    if (fill_zero(t, err) < 0) {
        hct_tensor_free(t);
        t = NULL;
    }
    return t;
}

void hct_tensor_free(hct_tensor *t) {
    if (!t) return;
    hct_ahead_forget(t);
    hct_dev_free(t->dev, t->view.mem, t->bytes);
    free(t);
}

hct_status hct_tensor_write(hct_tensor *t, const void *host, hct_err *err) {
    if (t->dev->writes_ahead) return hct_ahead_write(t, host, err);
    t->staged = 0; /* the later write counts */
    t->version++;
    return t->dev->backend->copy(t->dev->device, t->dev->stream, HCT_HOST_TO_DEVICE, t->view.mem, 0, host, 0, t->bytes,
                                 err);
}

hct_status hct_tensor_read(const hct_tensor *t, void *host, hct_err *err) {
    hct_status st = t->dev->backend->stream_sync(t->dev->stream, err);
    if (st < 0) return st;
    return t->dev->backend->copy(t->dev->device, t->dev->stream, HCT_DEVICE_TO_HOST, host, 0, t->view.mem, 0, t->bytes,
                                 err);
}

const hct_view *hct_tensor_view(const hct_tensor *t) { return &t->view; }
uint64_t hct_tensor_bytes(const hct_tensor *t) { return t->bytes; }
