/* tests/cuda/device/device.h: an NVIDIA GPU made of host memory: the driver, cuBLASLt, cuDNN and NCCL as one library
 * that computes, for machines without a GPU. HEADCT_CUDA_LIBRARY names it; the backend and the cuDNN plugin run on it
 * unchanged, and the device kernels are compiled by the host's C++ compiler (kernel_side.h).
 *
 *   settings.c    environment, log, complaints, calls that are made to fail
 *   context.c     devices and contexts: current for each thread; what was made in a released one is invalid
 *   memory.c      device memory between guard pages, pinned memory, copies
 *   order.c       streams and events: work as a graph, run in any order that they allow
 *   capture.c     captured graphs, with the rules of joining
 *   fibers.c      blocks of threads that meet at barriers; launch.c: modules and launches
 *   lt.c          cuBLASLt; numbers.c: elements as doubles
 *   dnn.c         cuDNN's descriptors, checked; dnn_run.c: their graphs, evaluated
 *   nccl.c        sums over the ranks' processes
 *
 * It is stricter than a GPU where a GPU would be unpredictable. A broken rule is a complaint: a line on stderr, and the
 * process ends with status 97. What a device refuses by an error code is refused by that code.
 *
 *   EMU_ORDER     eager (at once), lazy (when something waits for it), random
 *   EMU_THREADS   forward, reverse, random, unfair (one warp as far as it comes): order within a block
 *   EMU_SEED      of what is random, 1
 *   EMU_LOG       file: one line a call, in the order of the calls
 *   EMU_FAIL      calls that fail: what@nth[=code], from the nth on what@nth+, separated by commas; what: alloc, free,
 *                 upload, download, sync, launch, kernel (when it runs), capture, endcapture, instantiate, graph,
 *                 matmul, heuristic, cudnn, exchange
 *   EMU_DEVICES, EMU_CAPABILITY, EMU_DRIVER, EMU_MEMORY, EMU_NAME    1, 90, 13000, 4 GiB, Emulated H100
 *   EMU_SKIP=1    calls are checked and noted; kernels, products and exchanges do nothing, memory begins as zeros
 *   EMU_BLOCKS=ends   of a grid's blocks the first two and the last two of each axis alone are run
 *   EMU_ABORT=1   the first complaint aborts, for a debugger; EMU_REPORT=1: how many kernels were run
 *   EMU_ALGORITHMS, EMU_CUBLASLT   algorithms that cuBLASLt proposes, its version
 *   EMU_CUDNN     cuDNN's version, 91900; 0: it does not start
 *   EMU_NCCL      0: NCCL refuses to join; alone: one process stands for all ranks, who have the same
 *   EMU_LOST=n    after so many questions for NCCL's state another rank is gone */
#ifndef TESTS_CUDA_DEVICE_H
#define TESTS_CUDA_DEVICE_H

#include "kit/nvidia/cublaslt.h"
#include "kit/nvidia/driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

/* What is exported, with the parameters that the backend calls it with. */
#define EMU_DRIVER_PROTOTYPE(name, symbol, args) EXPORT CUresult symbol args;
#define EMU_PROTOTYPE(ret, name, args) EXPORT ret name args;
NV_DRIVER(EMU_DRIVER_PROTOTYPE)
NV_DRIVER_OPTIONAL(EMU_DRIVER_PROTOTYPE)
NV_CUBLASLT(EMU_PROTOTYPE)

/* ---- settings.c ---- */

/* The number of an environment variable; its text. */
long emu_number(const char *name, long otherwise);
const char *emu_word(const char *name, const char *otherwise);
/* A line of the log. */
void emu_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A rule that was broken. */
void emu_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Whether EMU_FAIL has this call of `what` fail, and with which code (`code`, if it names none). */
bool emu_fails(const char *what, int code, int *ret);
uint32_t emu_random(uint32_t below);
bool emu_skips(void); /* EMU_SKIP=1 */

/* One thread at a time is inside the device: EMU_CALL stands first in every function that is exported. */
void emu_enter(void);
bool emu_try_enter(void);
void emu_leave(const int *);
#define EMU_CALL                                                                                                       \
    __attribute__((cleanup(emu_leave), unused)) const int inside_the_device = 1;                                       \
    emu_enter()

/* ---- context.c ---- */

/* Where something was made: what belongs to a context that has been released since is no longer valid. */
typedef struct owner {
    int device;
    unsigned generation;
} owner;
/* The current context of this thread: CUDA_ERROR_INVALID_CONTEXT where there is none, its sticky error where it has
 * one. */
CUresult emu_current(owner *ret);
/* Whether a call on an object of `of` is right: its context is alive, without a sticky error, and current. what: for
 * the complaint about a handle that outlived its context. */
CUresult emu_valid(const owner *of, const char *what);
/* The device is broken from now on: every call gives the code. */
void emu_break(int device, CUresult code);

/* ---- memory.c ---- */

/* Whether bytes lie in device memory that was taken. */
bool emu_inside(CUdeviceptr at, size_t bytes);
void emu_memory_release(int device); /* what is left when its context goes */

/* ---- order.c ---- */

/* What a call enqueues: run(arg), as often as it is launched; drop(arg) before arg is freed. */
typedef struct work {
    void (*run)(void *arg);
    void (*drop)(void *arg);
    int refs, device;
    bool computes; /* EMU_SKIP=1 leaves it out */
    _Alignas(16) unsigned char arg[];
} work;
typedef struct op op; /* one run of a work: after others */
struct op {
    work *work; /* NULL: a point in time */
    op **after;
    int n_after, refs;
    bool done, visited;
};
struct CUstream_st {
    owner of;
    int number;
    op *last;
    struct CUgraph_st *captured; /* being captured: nodes go there */
    int *tips, n_tips;           /* nodes that what comes next on this stream follows */
};
struct CUevent_st {
    owner of;
    op *at;
    bool recorded;
    int stream; /* its number */
    struct CUgraph_st *captured;
    unsigned capture; /* which one: an event of an earlier capture is none of the present one */
    int *tips, n_tips;
    double clock;
};

work *emu_work(void (*run)(void *), void (*drop)(void *), const void *arg, size_t bytes, int device);
work *emu_computing(work *); /* itself, marked so */
void emu_work_free(work *);
/* Puts work behind what is on the stream (and takes it over). NULL: the default stream. */
void emu_put(CUstream, work *);
op *emu_op_new(work *, int n_after, op *const *after);
void emu_op_free(op *);
void emu_pending(op *); /* remembers it, so that it is run at the latest when the device waits for everything */
void emu_run(op *);     /* now, and first what it follows */
void emu_run_all(void);
void emu_run_some(void); /* EMU_ORDER=random: perhaps something that is ready */
void emu_finish(CUstream);
bool emu_eager(void);
CUstream emu_stream(CUstream); /* itself, or the default stream */
extern double emu_clock;       /* what events measure, in ms: work that is said to take time adds to it */

/* ---- capture.c ---- */

typedef struct node {
    work *work;
    int *after, n_after;
} node;
struct CUgraph_st {
    owner of;
    node *nodes;
    int n_nodes, cap_nodes, refs;
    CUstream origin, *joined;
    int n_joined;
    unsigned number;
    bool broken;
};
extern struct CUgraph_st *emu_capturing; /* NULL: nothing is captured */
int emu_node(struct CUgraph_st *, work *, const int *after, int n_after);
/* While a step is captured, this call is none that may be made: it fails, and so does the capture. */
#define NOT_WHILE_CAPTURING(what)                                                                                      \
    do {                                                                                                               \
        if (!emu_capturing) break;                                                                                     \
        emu_note("forbidden while capturing: %s", what);                                                               \
        emu_capturing->broken = true;                                                                                  \
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;                                                                  \
    } while (0)

/* ---- fibers.c ---- */

typedef struct grid {
    unsigned x, y, block;
} grid;
/* A kernel as it was compiled for the host (kernel_side.h): kinds has a letter a parameter, p a pointer, v a value. */
typedef struct emu_kernel {
    const char *module, *name;
    void (*run)(void **parameters);
    const char *kinds;
    const int *bytes;
    char *shared, *shared_end; /* its module's __shared__ arrays */
    int meets;                 /* its threads may wait for each other; else they need no stacks of their own */
    struct emu_kernel *next;
} emu_kernel;
/* Runs a grid's blocks, one after another. CUDA_SUCCESS, or what a GPU would call it. */
CUresult emu_run_grid(const emu_kernel *, void **parameters, grid);
/* The kernel that is being run, "" where none is. */
extern const char *emu_running;

/* ---- numbers.c ---- */

typedef enum number { NUMBER_F32, NUMBER_F64, NUMBER_BF16, NUMBER_F16, NUMBER_I32, NUMBER_BOOL } number;
size_t number_bytes(number);
double number_get(const void *at, int64_t i, number);
/* Nearest even. */
void number_set(void *at, int64_t i, number, double);

#endif
