/* A CUDA driver, cuBLASLt, cuDNN and NCCL made of host memory, for tests on machines without a GPU: copies are
 * carried out, kernels, products and exchanges are written down. Rules of the real ones that a backend can break are
 * kept: memory runs out, capturing forbids waiting and allocating and wants every stream joined, a launch passes as
 * many parameters as the compiled kernel has, and its pointers lie in memory that was taken.
 *
 *   MOCK_LOG         file: one line a call
 *   MOCK_KERNELS     file: each compiled kernel's parameters (kernels.py)
 *   MOCK_DEVICES, MOCK_CAPABILITY, MOCK_DRIVER, MOCK_MEMORY   1, 90, 13000, 1 GiB
 *   MOCK_BROKEN      the number of a launch that fails
 *   MOCK_ALGORITHMS, MOCK_CUBLASLT, MOCK_CUDNN, MOCK_LOST     see mock_libraries.c, mock_cudnn.c */
#include "mock.h"

#undef cuEventElapsedTime /* the symbol that every driver has */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CUevent_st {
    struct CUstream_st *of;
    int recorded;
    double at;
};
struct CUfunc_st {
    char name[64], params[128]; /* p: a buffer, its offset follows; v: a value */
};
typedef struct block {
    char *at;
    size_t bytes;
} block;

static FILE *out;
static block *blocks;
static size_t n_blocks, cap_blocks, held;
static int streams, graphs;
static struct CUstream_st *origin; /* being captured */
static int forked_streams;
double mock_clock;

long mock_number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

void mock_note(const char *fmt, ...) {
    va_list ap;
    const char *path = getenv("MOCK_LOG"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    char own[4096];
    if (!out && path) {
        snprintf(own, sizeof own, "%s%s%s", path, rank ? "." : "", rank ? rank : "");
        out = fopen(own, "w");
    }
    if (!out) return;
    va_start(ap, fmt);
    vfprintf(out, fmt, ap);
    va_end(ap);
    fputc('\n', out);
    fflush(out);
}

/* ---- devices ---- */

EXPORT CUresult cuInit(unsigned flags) {
    return flags ? CUDA_ERROR_INVALID_VALUE : mock_number("MOCK_DEVICES", 1) ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}
EXPORT CUresult cuDriverGetVersion(int *v) { return *v = (int)mock_number("MOCK_DRIVER", CUDA_VERSION), CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGetCount(int *n) { return *n = (int)mock_number("MOCK_DEVICES", 1), CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGet(CUdevice *d, int i) { return *d = i, CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGetName(char *name, int n, CUdevice d) {
    return snprintf(name, (size_t)n, "Mock %d", d), CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceTotalMem(size_t *n, CUdevice d) {
    return (void)d, *n = (size_t)mock_number("MOCK_MEMORY", 1l << 30), CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute what, CUdevice d) {
    (void)d;
    long cc = mock_number("MOCK_CAPABILITY", 90);
    *v = what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? (int)(cc / 10)
         : what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? (int)(cc % 10)
                                                                : 132;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d) {
    return (void)d, *c = (CUcontext)(void *)&streams, CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice d) {
    return (void)d, mock_note("end %zu bytes held in %zu blocks", held, n_blocks), CUDA_SUCCESS;
}
EXPORT CUresult cuCtxSetCurrent(CUcontext c) { return c ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT; }
EXPORT CUresult cuGetErrorName(CUresult code, const char **name) {
    *name = code == CUDA_ERROR_OUT_OF_MEMORY                ? "CUDA_ERROR_OUT_OF_MEMORY"
            : code == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
            : code == CUDA_ERROR_STREAM_CAPTURE_UNJOINED    ? "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"
            : code == CUDA_ERROR_ILLEGAL_ADDRESS            ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                                            : "an error";
    return CUDA_SUCCESS;
}

/* ---- memory ---- */

/* FNV-1a (Fowler, Noll, Vo): tells contents apart. */
static unsigned sum_of(const void *at, size_t n) {
    const unsigned char *p = at;
    unsigned sum = 2166136261u;
    for (size_t i = 0; i < n; i++) sum = (sum ^ p[i]) * 16777619u;
    return sum;
}

#define FORBIDDEN_WHILE_CAPTURING(what)                                                                                \
    do {                                                                                                               \
        if (origin) {                                                                                                  \
            mock_note("forbidden while capturing: %s", what);                                                          \
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;                                                              \
        }                                                                                                              \
    } while (0)

EXPORT CUresult cuMemAlloc(CUdeviceptr *ret, size_t bytes) {
    FORBIDDEN_WHILE_CAPTURING("alloc");
    void *at = NULL;
    if (held + bytes > (size_t)mock_number("MOCK_MEMORY", 1l << 30) || posix_memalign(&at, 512, bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (n_blocks == cap_blocks) blocks = realloc(blocks, (cap_blocks = 2 * cap_blocks + 64) * sizeof *blocks);
    blocks[n_blocks++] = (block){at, bytes};
    held += bytes;
    *ret = (CUdeviceptr)(uintptr_t)memset(at, 0, bytes);
    mock_note("alloc %zu", bytes);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemFree(CUdeviceptr p) {
    FORBIDDEN_WHILE_CAPTURING("free");
    for (size_t i = 0; i < n_blocks; i++) {
        if ((CUdeviceptr)(uintptr_t)blocks[i].at != p) continue;
        mock_note("free %zu", blocks[i].bytes);
        held -= blocks[i].bytes;
        free(blocks[i].at);
        blocks[i] = blocks[--n_blocks];
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

int mock_inside(CUdeviceptr p, size_t bytes) {
    const char *at = (const char *)(uintptr_t)p;
    for (size_t i = 0; i < n_blocks; i++)
        if (at >= blocks[i].at && at + bytes <= blocks[i].at + blocks[i].bytes) return 1;
    return 0;
}

EXPORT CUresult cuMemGetInfo(size_t *left, size_t *all) {
    *all = (size_t)mock_number("MOCK_MEMORY", 1l << 30);
    *left = *all - held;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuMemHostAlloc(void **p, size_t n, unsigned flags) {
    return (void)flags, (*p = calloc(1, n)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
EXPORT CUresult cuMemFreeHost(void *p) { return free(p), CUDA_SUCCESS; }

EXPORT CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t n, CUstream s) {
    FORBIDDEN_WHILE_CAPTURING("upload");
    if (!mock_inside(to, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    memcpy((void *)(uintptr_t)to, from, n);
    mock_note("upload %zu %08x on %d", n, sum_of(from, n), s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t n, CUstream s) {
    FORBIDDEN_WHILE_CAPTURING("download");
    if (!mock_inside(from, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    memcpy(to, (void *)(uintptr_t)from, n);
    mock_note("download %zu on %d", n, s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
    if (!mock_inside(to, n) || !mock_inside(from, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    if (!s->capturing) memmove((void *)(uintptr_t)to, (void *)(uintptr_t)from, n);
    if (s->capturing) mock_note("copy %zu on %d", n, s->number);
    else mock_note("copy %zu %08x on %d", n, sum_of((void *)(uintptr_t)from, n), s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char v, size_t n, CUstream s) {
    if (!mock_inside(to, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    if (!s || !s->capturing) memset((void *)(uintptr_t)to, v, n);
    mock_note("set %zu on %d", n, s ? s->number : 0);
    return CUDA_SUCCESS;
}

/* ---- streams, events, graphs ---- */

EXPORT CUresult cuStreamCreate(CUstream *s, unsigned flags) {
    (void)flags;
    *s = calloc(1, sizeof **s);
    (*s)->number = ++streams;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamDestroy(CUstream s) { return free(s), CUDA_SUCCESS; }
EXPORT CUresult cuStreamSynchronize(CUstream s) {
    FORBIDDEN_WHILE_CAPTURING("wait for a stream");
    mock_note("sync %d", s ? s->number : 0);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamQuery(CUstream s) {
    static int asked;
    FORBIDDEN_WHILE_CAPTURING("ask a stream");
    if (++asked % 3) return CUDA_ERROR_NOT_READY;
    mock_note("sync %d", s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuEventCreate(CUevent *e, unsigned flags) {
    return (void)flags, (*e = calloc(1, sizeof **e)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
EXPORT CUresult cuEventDestroy(CUevent e) { return free(e), CUDA_SUCCESS; }
EXPORT CUresult cuEventRecord(CUevent e, CUstream s) {
    e->of = s;
    e->recorded = s->capturing ? 2 : 1;
    e->at = mock_clock;
    if (s->capturing) mock_note("record on %d", s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuEventSynchronize(CUevent e) {
    FORBIDDEN_WHILE_CAPTURING("wait for an event");
    return (void)e, CUDA_SUCCESS;
}
EXPORT CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to) {
    if (!from->recorded || !to->recorded) return CUDA_ERROR_INVALID_HANDLE;
    return *ms = (float)(to->at - from->at), CUDA_SUCCESS;
}
EXPORT CUresult cuStreamWaitEvent(CUstream s, CUevent e, unsigned flags) {
    (void)flags;
    mock_note("stream %d waits for %d", s->number, e->of ? e->of->number : 0);
    if (e->recorded == 2 && e->of != s) {
        if (s == origin && e->of->forked) e->of->forked = 0, forked_streams--;
        else if (s != origin && !s->forked) s->forked = 1, forked_streams++;
        s->capturing = 1;
    }
    return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamBeginCapture(CUstream s, CUstreamCaptureMode mode) {
    (void)mode;
    if (origin) return CUDA_ERROR_ILLEGAL_STATE;
    origin = s;
    s->capturing = 1;
    mock_note("begin capture on %d", s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamEndCapture(CUstream s, CUgraph *g) {
    if (origin != s) return CUDA_ERROR_ILLEGAL_STATE;
    origin = NULL;
    s->capturing = 0;
    mock_note("end capture on %d", s->number);
    if (forked_streams) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    *g = (CUgraph)(void *)&graphs;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphInstantiate(CUgraphExec *e, CUgraph g, unsigned long long flags) {
    return (void)g, (void)flags, *e = (CUgraphExec)(uintptr_t)++graphs, mock_note("graph %d", graphs), CUDA_SUCCESS;
}
EXPORT CUresult cuGraphDestroy(CUgraph g) { return (void)g, CUDA_SUCCESS; }
EXPORT CUresult cuGraphExecDestroy(CUgraphExec e) {
    return mock_note("free graph %d", (int)(uintptr_t)e), CUDA_SUCCESS;
}
EXPORT CUresult cuGraphLaunch(CUgraphExec e, CUstream s) {
    return mock_note("launch graph %d on %d", (int)(uintptr_t)e, s->number), CUDA_SUCCESS;
}

/* ---- kernels ---- */

EXPORT CUresult cuModuleLoadData(CUmodule *m, const void *image) {
    FORBIDDEN_WHILE_CAPTURING("load a module");
    unsigned magic;
    memcpy(&magic, image, sizeof magic);
    *m = (CUmodule)(void *)&blocks;
    return magic == 0xBA55ED50u ? CUDA_SUCCESS : CUDA_ERROR_INVALID_IMAGE; /* a fatbin */
}
EXPORT CUresult cuModuleUnload(CUmodule m) { return (void)m, CUDA_SUCCESS; }

EXPORT CUresult cuModuleGetFunction(CUfunction *f, CUmodule m, const char *name) {
    (void)m;
    static struct CUfunc_st known[1024];
    static int n = -1;
    const char *path = getenv("MOCK_KERNELS");
    FILE *list = n < 0 && path ? fopen(path, "r") : NULL;
    if (n < 0) n = 0;
    while (list && n < 1024 && fscanf(list, "%63s %127s", known[n].name, known[n].params) == 2) n++;
    if (list) fclose(list);
    for (int i = 0; i < n; i++)
        if (!strcmp(known[i].name, name)) return *f = &known[i], CUDA_SUCCESS;
    mock_note("no kernel %s", name);
    return CUDA_ERROR_NOT_FOUND;
}

EXPORT CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                               unsigned bz, unsigned shared, CUstream s, void **params, void **extra) {
    (void)extra;
    int n = 0;
    while (params[n]) n++; /* the backend ends the list with NULL, which CUDA does not need */
    if (n != (int)strlen(f->params)) {
        mock_note("kernel %s takes %d parameters, not %d", f->name, (int)strlen(f->params), n);
        return CUDA_ERROR_INVALID_VALUE;
    }
    static long launches;
    if (mock_number("MOCK_BROKEN", 0) == ++launches) return mock_note("broken"), CUDA_ERROR_LAUNCH_FAILED;
    if (!gx || !gy || gz != 1 || bx > 1024 || by != 1 || bz != 1 || gy > 65535 || shared)
        return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < n; i++) {
        CUdeviceptr at, off;
        if (f->params[i] != 'p') continue;
        memcpy(&at, params[i], sizeof at);
        memcpy(&off, params[i + 1], sizeof off);
        if (mock_inside(at + off, 1)) continue;
        mock_note("kernel %s: parameter %d is no device memory", f->name, i);
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    mock_note("kernel %s [%u %u] x %u on %d", f->name, gx, gy, bx, s->number);
    return CUDA_SUCCESS;
}

int mock_capturing(void) { return origin != NULL; }
