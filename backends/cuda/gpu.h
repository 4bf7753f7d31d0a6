/* backends/cuda/gpu.h: what the CUDA backend's files share. Nothing of NVIDIA's is linked: the driver and the
 * libraries are opened when a device is looked for, through tables of functions, so that this object loads on any
 * machine and a test can put a driver of its own there. */
#ifndef CUDA_GPU_H
#define CUDA_GPU_H

#include "hct/backend.h"
#include "hct/comm.h"
#include "kit/cuda.h"
#include "kit/nvidia/cublaslt.h"
#include "kit/nvidia/driver.h"
#include "launch.h"

#include <pthread.h>

#define CUDA_DRIVER_FIELD(name, symbol, args) CUresult(*name) args;
typedef struct cuda_driver {
    NV_DRIVER(CUDA_DRIVER_FIELD)
    NV_DRIVER_OPTIONAL(CUDA_DRIVER_FIELD) /* NULL where the driver has none */
} cuda_driver;
typedef struct cuda_lt {
    NV_CUBLASLT(CUDA_FIELD)
} cuda_lt;

/* NULL: err says why there is no driver, or that it is too old. */
const cuda_driver *cuda_get_driver(hct_err *err);
extern const cuda_driver *cu; /* what cuda_get_driver gave; set wherever a device exists */

typedef struct cuda_module {
    char name[64];
    CUmodule module;
} cuda_module;
typedef struct cuda_block {
    uint64_t bytes;
    CUdeviceptr at;
} cuda_block;

/* All that a product's fastest algorithm depends on, and which it is. */
enum { CUDA_CHOICE_KEY = 22, CUDA_CHOICE_WORDS = 8 };
typedef struct cuda_choice {
    int64_t key[CUDA_CHOICE_KEY];
    uint64_t algo[CUDA_CHOICE_WORDS];
} cuda_choice;

struct hct_device { /* one for each index, shared by all who open it */
    hct_cuda_device shown;
    int index, users, units, capability; /* capability: 90 for 9.0 */
    CUdevice id;
    CUcontext context;
    char name[128];
    uint64_t total;
    hk_target target, with_library, with_subgroups;
    cuda_module *modules;
    size_t n_modules, cap_modules;
    CUdeviceptr status;      /* int[4], see FAIL in dialect.h */
    cuda_block *kept, *used; /* the pool: free blocks, and the sizes of those handed out */
    size_t n_kept, cap_kept, n_used, cap_used;
    uint64_t kept_bytes;
    cublasLtHandle_t lt;
    cuda_choice *choice; /* choices.c */
    size_t n_choice, cap_choice;
    int choices_read, n_timed;
    hct_stream *streams; /* all that are open */
    int lost_memory;     /* the driver refused to take a block back: told about once */
    int told_lt;         /* and that there is no cuBLASLt */
    struct {             /* HCT_TIMES=1: what the host did, told about when the device is closed */
        int on;
        double uploads, waits;  /* seconds */
        uint64_t bytes, graphs; /* that went up; graphs that were started */
    } times;
};

enum { CUDA_STAGES = 2, CUDA_STAGE = 8 << 20 };

struct hct_stream {
    hct_cuda_stream shown;
    hct_device *device;
    CUstream stream, side;        /* side: exchanges between ranks, beside the computation */
    CUevent here, there, reached; /* on stream; on side; on stream, for another stream that comes after */
    CUevent crossing[2];          /* on stream and side, for all others, where memory changes hands */
    hct_stream *next;             /* of the device's */
    char *stage[CUDA_STAGES];     /* pinned memory that uploads pass through, and when each may be filled again */
    CUevent staged[CUDA_STAGES];
    int next_stage, uses_status, failed, capturing;
    int32_t *complaint; /* pinned */
};

extern pthread_mutex_t cuda_lock; /* devices, modules, libraries */

/* A line on stderr, by the host. */
void cuda_say(const char *fmt, ...) HCT_PRINTF(1, 2);
extern const hct_host *cuda_host;
/* Seconds, from some moment on; 0 where HCT_TIMES is not 1. */
double cuda_time(const hct_device *);
/* Makes the device's context current on this thread; the driver's answer. */
CUresult cuda_enter(const hct_device *);

/* Fills err from a driver's code: ENOMEM for memory, else EDEVICE. */
hct_status cuda_fail(hct_err *err, CUresult code, const char *what);
/* Whether the device cannot be used any more in this process. */
int cuda_is_lost(CUresult code);

/* ---- device.c ---- */
hct_status cuda_probe(int index, char *text, size_t n, hct_err *err);
hct_status cuda_open(int index, hct_device **ret, hct_err *err);
void cuda_close(hct_device *);

/* ---- memory.c ---- */
hct_status cuda_alloc(hct_device *, uint64_t bytes, void **ret, hct_err *err);
void cuda_free(hct_device *, void *mem);
void cuda_pool_release(hct_device *); /* gives kept blocks back to the driver */
hct_status cuda_copy(hct_device *, hct_stream *, hct_copy_kind, void *dst, uint64_t dst_off, const void *src,
                     uint64_t src_off, uint64_t bytes, hct_err *err);

/* ---- stream.c ---- */
hct_status cuda_stream_new(hct_device *, hct_stream **ret, hct_err *err);
hct_status cuda_stream_sync(hct_stream *, hct_err *err);
void cuda_stream_free(hct_stream *);
hct_status cuda_stream_after(hct_stream *, hct_stream *other, hct_err *err);
hct_status cuda_capture_begin(hct_stream *, hct_err *err);
hct_status cuda_capture_end(hct_stream *, void **ret_graph, hct_err *err);
hct_status cuda_graph_launch(hct_stream *, void *graph, hct_err *err);
void cuda_graph_free(hct_stream *, void *graph);
/* What is enqueued on any stream of the device from now on comes behind what has been enqueued on any so far. */
CUresult cuda_order_all(hct_device *);

#ifdef HAVE_NVTX
/* ---- ranges.c ---- */
void cuda_range_push(hct_stream *, const char *name);
void cuda_range_pop(hct_stream *);
#endif

/* ---- module.c ---- */
/* The compiled kernel of a launch, from the fatbins beside this object. */
hct_status cuda_kernel(hct_device *, const hk_launch *, CUfunction *ret, hct_err *err);
/* Whether this build has compiled kernels; folder (PATH_MAX bytes): where this object lies. */
int cuda_has_kernels(char *folder);

/* ---- kernels.c, product.c, collective.c ---- */
hct_status cuda_add_kernels(const hct_host *, hct_err *);
hct_status cuda_add_collectives(const hct_host *, hct_err *);

/* A product as cuBLASLt takes it, its algorithm chosen. */
typedef struct cuda_product {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
    uint64_t workspace;
    float beta;
} cuda_product;
/* The device's handle; 0: err says why there is none. */
int cuda_lt_open(hct_device *, hct_err *err);
void cuda_lt_close(hct_device *);
/* align: bytes that divide each operand's place (a, b, c, bias). HCT_NOTIMPL: the library has no algorithm for it. */
hct_status cuda_product_plan(hct_device *, const hk_product *, int32_t dtype, const uint32_t align[4],
                             cuda_product *ret, hct_err *err);
hct_status cuda_product_run(hct_stream *, const cuda_product *, CUdeviceptr a, CUdeviceptr b, CUdeviceptr c,
                            CUdeviceptr bias, CUdeviceptr work, hct_err *err);
void cuda_product_free(cuda_product *);
/* One launch, whatever the stream belongs to. */
cublasStatus_t cuda_product_enqueue(cublasLtHandle_t, CUstream, const cuda_product *, CUdeviceptr a, CUdeviceptr b,
                                    CUdeviceptr c, CUdeviceptr bias, CUdeviceptr work);
/* The library's functions; set wherever cuda_lt_open succeeded. */
extern cuda_lt lt;

/* ---- choices.c: algorithms found by timing, kept on disk for the card, its driver and its cuBLASLt ---- */
/* 0: none is kept for this key. Reads the file the first time; a damaged one is told about and counts for nothing. */
int cuda_choice_find(hct_device *, const int64_t key[CUDA_CHOICE_KEY], cublasLtMatmulAlgo_t *ret);
/* Adds one and writes the file anew. */
void cuda_choice_keep(hct_device *, const int64_t key[CUDA_CHOICE_KEY], const cublasLtMatmulAlgo_t *);
void cuda_choices_close(hct_device *);

/* ---- search.c ---- */
/* Times the n algorithms that cuBLASLt proposes on memory of its own: the fastest one's index, or -1 where none
 * could be timed (told about on stderr). */
int cuda_product_search(hct_device *, const hk_product *, int32_t dtype, cuda_product *,
                        const cublasLtMatmulHeuristicResult_t *found, int n);

/* The job's ranks; NULL: one. */
extern const hct_comm *cuda_comm;
/* An error that NCCL met meanwhile. */
hct_status cuda_collective_state(hct_err *err);
/* Leaves the job's ring, if it was joined on this device. */
void cuda_collective_close(const hct_device *);

#endif
