/* A CUDA driver, cuBLASLt, cuDNN's attention and NCCL made of host memory, for tests on machines without a GPU: copies are carried out, kernels, products and
 * exchanges are written down. Rules of the real ones that a backend can break are kept: memory runs out, capturing forbids waiting and
 * allocating and wants every stream joined, a launch passes as many parameters as the compiled kernel has, and its pointers lie in memory that
 * was taken.
 *
 *   MOCK_LOG         file: one line a call
 *   MOCK_KERNELS     file: each compiled kernel's parameters (kernels.py)
 *   MOCK_DEVICES, MOCK_CAPABILITY, MOCK_DRIVER, MOCK_MEMORY   1, 90, 13000, 1 GiB */
#include <cublasLt.h>
#include <cuda.h>
#ifdef HAVE_CUDNN
#include <cudnn.h>
#endif
#ifdef HAVE_NCCL
#include <nccl.h>
#endif

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct CUstream_st { int number, capturing, forked; /* forked: has captured work that the first stream has not waited for */ };
struct CUevent_st { struct CUstream_st *of; int recorded; };
struct CUfunc_st { char name[64], params[128]; /* p: a buffer, its offset follows; v: a value */ };
typedef struct block { char *at; size_t bytes; } block;

static FILE *out;
static block *blocks;
static size_t n_blocks, cap_blocks, held;
static int streams, graphs;
static struct CUstream_st *origin; /* being captured */
static int forked_streams;

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...) {
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

EXPORT CUresult cuInit(unsigned flags) { return flags ? CUDA_ERROR_INVALID_VALUE : number("MOCK_DEVICES", 1) ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE; }
EXPORT CUresult cuDriverGetVersion(int *v) { return *v = (int)number("MOCK_DRIVER", CUDA_VERSION), CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGetCount(int *n) { return *n = (int)number("MOCK_DEVICES", 1), CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGet(CUdevice *d, int i) { return *d = i, CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGetName(char *name, int n, CUdevice d) { return snprintf(name, (size_t)n, "Mock %d", d), CUDA_SUCCESS; }
EXPORT CUresult cuDeviceTotalMem(size_t *n, CUdevice d) { return (void)d, *n = (size_t)number("MOCK_MEMORY", 1l << 30), CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute what, CUdevice d) {
    (void)d;
    long cc = number("MOCK_CAPABILITY", 90);
    *v = what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? (int)(cc / 10) : what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? (int)(cc % 10) : 132;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d) { return (void)d, *c = (CUcontext)(void *)&streams, CUDA_SUCCESS; }
EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice d) { return (void)d, note("end %zu bytes held in %zu blocks", held, n_blocks), CUDA_SUCCESS; }
EXPORT CUresult cuCtxSetCurrent(CUcontext c) { return c ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT; }
EXPORT CUresult cuGetErrorName(CUresult code, const char **name) {
    *name = code == CUDA_ERROR_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
            : code == CUDA_ERROR_STREAM_CAPTURE_UNJOINED ? "CUDA_ERROR_STREAM_CAPTURE_UNJOINED" : code == CUDA_ERROR_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "an error";
    return CUDA_SUCCESS;
}

/* ---- memory ---- */

#define FORBIDDEN_WHILE_CAPTURING(what)                   \
    do {                                                  \
        if (origin) {                                     \
            note("forbidden while capturing: %s", what);  \
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; \
        }                                                 \
    } while (0)

EXPORT CUresult cuMemAlloc(CUdeviceptr *ret, size_t bytes) {
    FORBIDDEN_WHILE_CAPTURING("alloc");
    void *at = NULL;
    if (held + bytes > (size_t)number("MOCK_MEMORY", 1l << 30) || posix_memalign(&at, 512, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    if (n_blocks == cap_blocks) blocks = realloc(blocks, (cap_blocks = 2 * cap_blocks + 64) * sizeof *blocks);
    blocks[n_blocks++] = (block){at, bytes};
    held += bytes;
    *ret = (CUdeviceptr)(uintptr_t)memset(at, 0, bytes);
    note("alloc %zu", bytes);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemFree(CUdeviceptr p) {
    FORBIDDEN_WHILE_CAPTURING("free");
    for (size_t i = 0; i < n_blocks; i++) {
        if ((CUdeviceptr)(uintptr_t)blocks[i].at != p) continue;
        note("free %zu", blocks[i].bytes);
        held -= blocks[i].bytes;
        free(blocks[i].at);
        blocks[i] = blocks[--n_blocks];
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

static int inside(CUdeviceptr p, size_t bytes) {
    const char *at = (const char *)(uintptr_t)p;
    for (size_t i = 0; i < n_blocks; i++)
        if (at >= blocks[i].at && at + bytes <= blocks[i].at + blocks[i].bytes) return 1;
    return 0;
}

EXPORT CUresult cuMemGetInfo(size_t *left, size_t *all) {
    *all = (size_t)number("MOCK_MEMORY", 1l << 30);
    *left = *all - held;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuMemHostAlloc(void **p, size_t n, unsigned flags) { return (void)flags, (*p = calloc(1, n)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY; }
EXPORT CUresult cuMemFreeHost(void *p) { return free(p), CUDA_SUCCESS; }

EXPORT CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t n, CUstream s) {
    FORBIDDEN_WHILE_CAPTURING("upload");
    if (!inside(to, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    memcpy((void *)(uintptr_t)to, from, n);
    note("upload %zu on %d", n, s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t n, CUstream s) {
    FORBIDDEN_WHILE_CAPTURING("download");
    if (!inside(from, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    memcpy(to, (void *)(uintptr_t)from, n);
    note("download %zu on %d", n, s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
    if (!inside(to, n) || !inside(from, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    if (!s->capturing) memmove((void *)(uintptr_t)to, (void *)(uintptr_t)from, n);
    note("copy %zu on %d", n, s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char v, size_t n, CUstream s) {
    if (!inside(to, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    if (!s || !s->capturing) memset((void *)(uintptr_t)to, v, n);
    note("set %zu on %d", n, s ? s->number : 0);
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
    note("sync %d", s ? s->number : 0);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamQuery(CUstream s) {
    static int asked;
    FORBIDDEN_WHILE_CAPTURING("ask a stream");
    if (++asked % 3) return CUDA_ERROR_NOT_READY;
    note("sync %d", s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuEventCreate(CUevent *e, unsigned flags) { return (void)flags, (*e = calloc(1, sizeof **e)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY; }
EXPORT CUresult cuEventDestroy(CUevent e) { return free(e), CUDA_SUCCESS; }
EXPORT CUresult cuEventRecord(CUevent e, CUstream s) {
    e->of = s;
    e->recorded = s->capturing ? 2 : 1;
    if (s->capturing) note("record on %d", s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuEventSynchronize(CUevent e) {
    FORBIDDEN_WHILE_CAPTURING("wait for an event");
    return (void)e, CUDA_SUCCESS;
}
EXPORT CUresult cuStreamWaitEvent(CUstream s, CUevent e, unsigned flags) {
    (void)flags;
    note("stream %d waits for %d", s->number, e->of ? e->of->number : 0);
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
    note("begin capture on %d", s->number);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamEndCapture(CUstream s, CUgraph *g) {
    if (origin != s) return CUDA_ERROR_ILLEGAL_STATE;
    origin = NULL;
    s->capturing = 0;
    note("end capture on %d", s->number);
    if (forked_streams) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    *g = (CUgraph)(void *)&graphs;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphInstantiate(CUgraphExec *e, CUgraph g, unsigned long long flags) { return (void)g, (void)flags, *e = (CUgraphExec)(uintptr_t)++graphs, note("graph %d", graphs), CUDA_SUCCESS; }
EXPORT CUresult cuGraphDestroy(CUgraph g) { return (void)g, CUDA_SUCCESS; }
EXPORT CUresult cuGraphExecDestroy(CUgraphExec e) { return note("free graph %d", (int)(uintptr_t)e), CUDA_SUCCESS; }
EXPORT CUresult cuGraphLaunch(CUgraphExec e, CUstream s) { return note("launch graph %d on %d", (int)(uintptr_t)e, s->number), CUDA_SUCCESS; }

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
    note("no kernel %s", name);
    return CUDA_ERROR_NOT_FOUND;
}

EXPORT CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream s,
                               void **params, void **extra) {
    (void)extra;
    int n = 0;
    while (params[n]) n++; /* the backend ends the list with NULL, which CUDA does not need */
    if (n != (int)strlen(f->params)) {
        note("kernel %s takes %d parameters, not %d", f->name, (int)strlen(f->params), n);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (!gx || !gy || gz != 1 || bx > 1024 || by != 1 || bz != 1 || gy > 65535 || shared) return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < n; i++) {
        CUdeviceptr at, off;
        if (f->params[i] != 'p') continue;
        memcpy(&at, params[i], sizeof at);
        memcpy(&off, params[i + 1], sizeof off);
        if (inside(at + off, 1)) continue;
        note("kernel %s: parameter %d is no device memory", f->name, i);
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    note("kernel %s [%u %u] x %u on %d", f->name, gx, gy, bx, s->number);
    return CUDA_SUCCESS;
}

/* ---- cuBLASLt ---- */

typedef struct shape { uint64_t rows, cols; int64_t ld, batch, step; cudaDataType type; } shape;
typedef struct desc { int ta, tb, epilogue; const void *bias; } desc;

EXPORT cublasStatus_t cublasLtCreate(cublasLtHandle_t *h) { return *h = (cublasLtHandle_t)(void *)&streams, CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) { return (void)h, CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale) {
    if (scale != CUDA_R_32F || (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32)) return CUBLAS_STATUS_NOT_SUPPORTED;
    note("product with %s", compute == CUBLAS_COMPUTE_32F ? "f32 sums" : "tf32");
    return (*d = calloc(1, sizeof(desc))) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}
EXPORT cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return free(d), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what, const void *v, size_t n) {
    desc *x = (desc *)(void *)d;
    if (what == CUBLASLT_MATMUL_DESC_TRANSA) memcpy(&x->ta, v, n);
    else if (what == CUBLASLT_MATMUL_DESC_TRANSB) memcpy(&x->tb, v, n);
    else if (what == CUBLASLT_MATMUL_DESC_EPILOGUE) memcpy(&x->epilogue, v, n);
    else if (what == CUBLASLT_MATMUL_DESC_BIAS_POINTER) memcpy(&x->bias, v, n);
    else return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld) {
    shape *s = calloc(1, sizeof *s);
    *s = (shape){rows, cols, ld, 1, 0, type};
    *l = (cublasLtMatrixLayout_t)(void *)s;
    return ld >= (int64_t)rows ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { return free(l), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t what, const void *v, size_t n) {
    shape *s = (shape *)(void *)l;
    int32_t count;
    if (what == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT && n == sizeof count) memcpy(&count, v, n), s->batch = count;
    else if (what == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET && n == sizeof s->step) memcpy(&s->step, v, n);
    else return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) { return *p = (cublasLtMatmulPreference_t)calloc(1, 8), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { return free(p), CUBLAS_STATUS_SUCCESS; }
EXPORT cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t what, const void *v, size_t n) {
    return (void)p, (void)what, (void)v, n == 4 || n == 8 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

/* op(a) [m, k] op(b) [k, n] -> c [m, n], by columns */
static int fits(const desc *d, const shape *a, const shape *b, const shape *c) {
    uint64_t m = d->ta ? a->cols : a->rows, k = d->ta ? a->rows : a->cols, kb = d->tb ? b->cols : b->rows, n = d->tb ? b->rows : b->cols;
    return m == c->rows && n == c->cols && k == kb && a->batch == b->batch && a->batch == c->batch && a->type == b->type && a->type == c->type;
}

EXPORT cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to, cublasLtMatmulPreference_t p, int want,
                                                     cublasLtMatmulHeuristicResult_t *found, int *n) {
    (void)h, (void)p, (void)to;
    if (origin || want < 1 || !fits((desc *)(void *)d, (shape *)(void *)a, (shape *)(void *)b, (shape *)(void *)c)) return CUBLAS_STATUS_INVALID_VALUE;
    memset(found, 0, sizeof *found);
    found->workspaceSize = 4096;
    *n = 1;
    return CUBLAS_STATUS_SUCCESS;
}

static uint64_t bytes_of(const shape *s) {
    uint64_t size = s->type == CUDA_R_32F ? 4 : 2;
    return ((uint64_t)((s->batch - 1) * s->step) + (uint64_t)s->ld * (s->cols - 1) + s->rows) * size;
}

EXPORT cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha, const void *a, cublasLtMatrixLayout_t la, const void *b,
                                     cublasLtMatrixLayout_t lb, const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *to, cublasLtMatrixLayout_t lto,
                                     const cublasLtMatmulAlgo_t *algo, void *work, size_t work_bytes, cudaStream_t stream) {
    (void)h, (void)algo, (void)lto;
    const desc *x = (desc *)(void *)d;
    const shape *sa = (shape *)(void *)la, *sb = (shape *)(void *)lb, *sc = (shape *)(void *)lc;
    const struct { const void *p; uint64_t n; } used[] = {{a, bytes_of(sa)}, {b, bytes_of(sb)}, {c, bytes_of(sc)}, {to, bytes_of(sc)}, {work, work_bytes}};
    for (int i = 0; i < 5; i++)
        if (!inside((CUdeviceptr)(uintptr_t)used[i].p, used[i].n)) return note("product: operand %d leaves its memory", i), CUBLAS_STATUS_INVALID_VALUE;
    if (x->epilogue == CUBLASLT_EPILOGUE_BIAS && !inside((CUdeviceptr)(uintptr_t)x->bias, sc->rows * (sc->type == CUDA_R_32F ? 4 : 2))) return CUBLAS_STATUS_INVALID_VALUE;
    if (*(const float *)alpha != 1) return CUBLAS_STATUS_INVALID_VALUE;
    note("matmul %llu x %llu x %lld%s beta %g on %d", (unsigned long long)sc->cols, (unsigned long long)sc->rows, (long long)sc->batch,
         x->epilogue == CUBLASLT_EPILOGUE_BIAS ? " bias" : "", (double)*(const float *)beta, ((CUstream)stream)->number);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- cuDNN: graphs of one attention node ---- */

#ifdef HAVE_CUDNN
enum { FIELDS = 16, VALUES = 16 };
typedef struct field { int name; int64_t n; char bytes[VALUES * 8]; } field;
typedef struct descriptor { int type, finalized, fields, backward; field at[FIELDS]; } descriptor;
static CUstream dnn_stream;

static const field *field_of(const descriptor *d, int name) {
    for (int i = 0; i < d->fields; i++)
        if (d->at[i].name == name) return &d->at[i];
    return NULL;
}
static descriptor *linked(const descriptor *d, int name) {
    const field *f = field_of(d, name);
    descriptor *to = NULL;
    if (f) memcpy(&to, f->bytes, sizeof to);
    return to;
}

EXPORT size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
EXPORT const char *cudnnGetErrorString(cudnnStatus_t code) { return code == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_BAD_PARAM"; }
EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t *h) { return *h = (cudnnHandle_t)(void *)&dnn_stream, CUDNN_STATUS_SUCCESS; }
EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s) { return (void)h, dnn_stream = (CUstream)s, CUDNN_STATUS_SUCCESS; }
/* MOCK_CUDNN=old: a version without the node. */
EXPORT cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *ret) {
    const char *old = getenv("MOCK_CUDNN");
    if (old && (type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR || type == CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR)) return CUDNN_STATUS_NOT_SUPPORTED;
    descriptor *d = calloc(1, sizeof *d);
    d->type = (int)type;
    *ret = d;
    return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) { return free(d), CUDNN_STATUS_SUCCESS; }
EXPORT cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n, const void *v) {
    descriptor *d = to;
    size_t size = type == CUDNN_TYPE_BOOLEAN ? 1 : type == CUDNN_TYPE_DATA_TYPE || type == CUDNN_TYPE_HEUR_MODE ? 4 : 8;
    if (!d || d->finalized || d->fields == FIELDS || n > VALUES) return CUDNN_STATUS_BAD_PARAM;
    d->at[d->fields].name = (int)name;
    d->at[d->fields].n = n;
    memcpy(d->at[d->fields++].bytes, v, (size_t)n * size);
    return CUDNN_STATUS_SUCCESS;
}

/* dims or strides of a linked tensor */
static const int64_t *numbers(const descriptor *op, int tensor, int what) {
    static const int64_t none[4] = {-1, -1, -1, -1};
    const descriptor *t = linked(op, tensor);
    const field *f = t && t->finalized ? field_of(t, what) : NULL;
    return f && f->n == 4 ? (const int64_t *)(const void *)f->bytes : none;
}

static int attention_fits(const descriptor *d, int back) {
    const int dims = CUDNN_ATTR_TENSOR_DIMENSIONS;
    const int64_t *q = numbers(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, dims);
    const int64_t *k = numbers(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, dims);
    const int64_t *o = numbers(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC : CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, dims);
    const int64_t *l = numbers(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, dims);
    if (!linked(d, back ? CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC : CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC)) return 0;
    if (q[3] != k[3] || q[0] != k[0] || q[1] != k[1] || memcmp(q, o, 4 * sizeof *q) != 0 || l[0] != q[0] || l[1] != q[1] || l[2] != q[2] || l[3] != 1) return 0;
    return !back || (!memcmp(q, numbers(d, CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, dims), 4 * sizeof *q) &&
                     !memcmp(k, numbers(d, CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, dims), 4 * sizeof *k) &&
                     !memcmp(k, numbers(d, CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, dims), 4 * sizeof *k) &&
                     !memcmp(q, numbers(d, CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, dims), 4 * sizeof *q));
}

EXPORT cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t to) {
    descriptor *d = to, *from = NULL;
    d->finalized = 1;
    if (d->type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR || d->type == CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR) {
        d->backward = d->type == CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR;
        return attention_fits(d, d->backward) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
    }
    if (d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) from = linked(d, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    if (d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) from = linked(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) from = linked(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    if (from) d->backward = from->backward;
    return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const of, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t want, int64_t *n,
                                              void *v) {
    (void)type, (void)want;
    const descriptor *d = of;
    *n = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) return (*(descriptor **)v)->backward = d->backward, CUDNN_STATUS_SUCCESS;
    if (name != CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) return CUDNN_STATUS_BAD_PARAM;
    note("attention plan%s", d->backward ? ".bwd" : "");
    return *(int64_t *)v = 12345, CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    (void)h;
    const descriptor *p = plan;
    const field *ids = field_of(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS), *at = field_of(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    const field *work = field_of(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    void *where;
    if (!ids || !at || !work || ids->n != (p->backward ? 10 : 6) || at->n != ids->n) return CUDNN_STATUS_BAD_PARAM;
    for (int64_t i = 0; i < at->n - 1; i++) { /* the last one is the scale, on the host */
        memcpy(&where, at->bytes + 8 * i, sizeof where);
        if (!inside((CUdeviceptr)(uintptr_t)where, 16)) return note("attention: operand %d is no device memory", (int)i), CUDNN_STATUS_BAD_PARAM;
    }
    memcpy(&where, work->bytes, sizeof where);
    if (!inside((CUdeviceptr)(uintptr_t)where, 12345)) return note("attention: the workspace leaves its memory"), CUDNN_STATUS_BAD_PARAM;
    note("attention%s on %d", p->backward ? ".bwd" : "", dnn_stream->number);
    return CUDNN_STATUS_SUCCESS;
}
#endif

/* ---- NCCL ---- */

#ifdef HAVE_NCCL
static int group;
EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId *id) { return memset(id, 7, sizeof *id), ncclSuccess; }
EXPORT ncclResult_t ncclCommInitRank(ncclComm_t *c, int ranks, ncclUniqueId id, int rank) {
    if (id.internal[5] != 7) return ncclInvalidArgument; /* what rank 0 made must have reached this rank */
    *c = (ncclComm_t)(void *)&group;
    return note("rank %d of %d", rank, ranks), ncclSuccess;
}
EXPORT ncclResult_t ncclCommAbort(ncclComm_t c) { return (void)c, note("abort"), ncclSuccess; }
/* MOCK_LOST: after so many questions another rank is gone. */
EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state) {
    static long asked;
    (void)c;
    *state = number("MOCK_LOST", 0) && ++asked > number("MOCK_LOST", 0) ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}
EXPORT ncclResult_t ncclGroupStart(void) { return group++, ncclSuccess; }
EXPORT ncclResult_t ncclGroupEnd(void) { return group--, ncclSuccess; }
EXPORT ncclResult_t ncclAllReduce(const void *from, void *to, size_t n, ncclDataType_t type, ncclRedOp_t op, ncclComm_t c, cudaStream_t s) {
    (void)c;
    size_t size = type == ncclFloat32 ? 4 : type == ncclFloat64 ? 8 : 2;
    if (from != to || !inside((CUdeviceptr)(uintptr_t)to, n * size) || !group) return ncclInvalidUsage;
    return note("exchange %zu%s on %d", n, op == ncclAvg ? " mean" : "", ((CUstream)s)->number), ncclSuccess;
}
EXPORT const char *ncclGetErrorString(ncclResult_t code) { return code == ncclRemoteError ? "remote process exited or there was a network error" : "an error"; }
#endif
