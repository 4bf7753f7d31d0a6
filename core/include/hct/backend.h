/* hct/backend.h: what a backend implements: memory, order and time, no mathematics.
 *
 * A backend is registered by a plugin (plugin.h) in a shared object named hct_backend_*.so. Kernels for it may come
 * from the same object or any other. */
#ifndef HCT_BACKEND_H
#define HCT_BACKEND_H

#include "hct/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hct_copy_kind { HCT_HOST_TO_DEVICE = 0, HCT_DEVICE_TO_HOST = 1, HCT_DEVICE_TO_DEVICE = 2 } hct_copy_kind;

struct hct_backend {
    uint32_t size, caps;
    const char *name; /* "cpu", "opencl", "cuda" */
    /* Cheap look at device `index`, without making a context: one line about it in text, HCT_ENOTFOUND past the last
     * one. err says why nothing is there (no driver, package to install). */
    hct_status (*probe)(int index, char *text, size_t n, hct_err *);
    hct_status (*open)(int index, hct_device **ret, hct_err *);
    void (*close)(hct_device *);
    /* Device memory, aligned to 128 bytes or more. A zero-byte request gives a valid address. */
    hct_status (*alloc)(hct_device *, uint64_t bytes, void **ret, hct_err *);
    /* While work that is queued may still use it: a backend that hands the memory out again orders what comes then
     * behind that work, on whatever stream. */
    void (*free)(hct_device *, void *mem);
    /* In stream order; returns when the host side may be reused. */
    hct_status (*copy)(hct_device *, hct_stream *, hct_copy_kind, void *dst, uint64_t dst_off, const void *src,
                       uint64_t src_off, uint64_t bytes, hct_err *);
    hct_status (*stream_new)(hct_device *, hct_stream **ret, hct_err *);
    /* Waits; errors of earlier kernels come out here. */
    hct_status (*stream_sync)(hct_stream *, hct_err *);
    void (*stream_free)(hct_stream *);
    /* Optional: graph capture of everything run on a stream. */
    hct_status (*capture_begin)(hct_stream *, hct_err *);
    hct_status (*capture_end)(hct_stream *, void **ret_graph, hct_err *);
    hct_status (*graph_launch)(hct_stream *, void *graph, hct_err *);
    void (*graph_free)(hct_stream *, void *graph);
    /* Optional, both or neither: names what follows for a profiler. Called in pairs, and only where HCT_RANGES=1
     * asks for it. */
    void (*range_push)(hct_stream *, const char *name);
    void (*range_pop)(hct_stream *);
    /* Optional: what is enqueued on a stream from now on waits for what has been enqueued on `other` so far. With it
     * inputs are written ahead, on a second stream, while a step runs. */
    hct_status (*stream_after)(hct_stream *, hct_stream *other, hct_err *);
    /* Since 1.5, optional: a line about the index-th library that the backend or its plugins open at run time: its
     * name, version and file, or why it is not there. HCT_ENOTFOUND past the last one. Opens no device. */
    hct_status (*library)(int index, char *text, size_t n, hct_err *);
};

#ifdef __cplusplus
}
#endif
#endif
