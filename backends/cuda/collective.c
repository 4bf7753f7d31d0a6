/* Sums over ranks by NCCL, on a stream beside the computation's: all_reduce starts the exchange of a bucket when its
 * gradients exist, all_reduce.wait makes the computation wait for it. Both are captured with the step. The ranks
 * meet through the job's communicator. */
#include "gpu.h"
#include "kit/nvidia/nccl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const hct_comm *cuda_comm;

static struct cuda_nccl { NV_NCCL(CUDA_FIELD) } nccl;
static ncclComm_t ring; /* one a job */
static const hct_device *ring_device;

static hct_status nccl_fail(hct_err *err, ncclResult_t code, const char *what) {
    return hct_plugin_fail(err, HCT_EDEVICE, "NCCL: %s fails on rank %d: %s; NCCL_DEBUG=INFO says more", what,
                           cuda_comm->rank, nccl.ncclGetErrorString(code));
}

enum { WHY = 200 };
typedef struct said { /* what a rank tells the others */
    int32_t ready;
    char why[WHY];
} said;

/* HCT_OK where all ranks are ready; else the same refusal on all of them, with the first rank that is not. */
static hct_status all_ready(int ready, const char *why, hct_err *err) {
    said mine = {.ready = ready}, *all = calloc((size_t)cuda_comm->ranks, sizeof *all);
    if (!all) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    snprintf(mine.why, sizeof mine.why, "%s", why);
    hct_status st = cuda_comm->all_gather(cuda_comm, &mine, all, sizeof mine, err);
    for (int r = 0; st == HCT_OK && r < cuda_comm->ranks; r++)
        if (!all[r].ready) st = hct_plugin_fail(err, HCT_NOTIMPL, "rank %d: %s", r, all[r].why);
    free(all);
    return st;
}

static int open_nccl(hct_err *err) {
#define SYMBOL(ret, name, args) CUDA_SYMBOL(struct cuda_nccl, name),
    const cuda_symbol symbols[] = {NV_NCCL(SYMBOL)};
#undef SYMBOL
    return cuda_library(CUDA_NCCL, symbols, sizeof symbols / sizeof *symbols, &nccl, err);
}

/* All ranks plan the same calls in the same order, so they meet here. What one of them lacks all must know before
 * anybody waits for it inside NCCL, where there is no end to waiting. */
static hct_status meet(hct_device *d, hct_err *err) {
    ncclUniqueId id = {{0}};
    hct_err why = {0, ""};
    if (ring) return HCT_OK;
    ncclResult_t code = ncclSuccess;
    int ready = open_nccl(&why);
    if (ready && cuda_enter(d) != CUDA_SUCCESS) {
        ready = 0;
        snprintf(why.msg, sizeof why.msg, "the device's context cannot be entered");
    }
    if (ready && cuda_comm->rank == 0 && (code = nccl.ncclGetUniqueId(&id)) != ncclSuccess) {
        ready = 0;
        nccl_fail(&why, code, "naming the job");
    }
    hct_status st = all_ready(ready, why.msg, err);
    if (st != HCT_OK) return st;
    st = cuda_comm->broadcast(cuda_comm, &id, sizeof id, 0, err);
    if (st < 0) return st;
    code = nccl.ncclCommInitRank(&ring, cuda_comm->ranks, id, cuda_comm->rank);
    if (code != ncclSuccess) {
        ring = NULL;
        nccl_fail(&why, code, "joining the ranks");
    }
    st = all_ready(code == ncclSuccess, why.msg, err);
    if (st == HCT_OK) ring_device = d;
    else if (ring) nccl.ncclCommAbort(ring), ring = NULL;
    return st;
}

void cuda_collective_close(const hct_device *d) {
    if (!ring || ring_device != d) return;
    nccl.ncclCommAbort(ring); /* nothing is under way: its streams have been waited for */
    ring = NULL;
}

typedef struct bucket { /* of one call */
    ncclDataType_t type;
    ncclRedOp_t op;
    uint32_t n;
    uint64_t count[]; /* elements */
} bucket;

static hct_status plan_exchange(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    double scale = hct_attr_real(p->attr, p->n_attr, "scale", 1);
    int mean = scale == 1.0 / cuda_comm->ranks; /* as core/buckets.c writes it: 1 / 49 * 49 is not 1 */
    if (!mean && scale != 1)
        return hct_plugin_fail(err, HCT_NOTIMPL, "NCCL gives sums and means over ranks, not a factor of %g", scale);
    for (uint32_t i = 0; i < p->n_in; i++)
        if (!hct_is_contiguous(&p->in[i])) return hct_plugin_fail(err, HCT_NOTIMPL, "input %u has gaps", i);
    hct_status st = meet(d, err);
    if (st != HCT_OK) return st;
    bucket *b = malloc(sizeof *b + p->n_in * sizeof *b->count);
    if (!b) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    int32_t dtype = p->in[0].dtype;
    *b = (bucket){dtype == HCT_F64    ? ncclFloat64
                  : dtype == HCT_BF16 ? ncclBfloat16
                  : dtype == HCT_F16  ? ncclFloat16
                                      : ncclFloat32,
                  mean ? ncclAvg : ncclSum, p->n_in};
    for (uint32_t i = 0; i < p->n_in; i++) b->count[i] = (uint64_t)hct_numel(&p->in[i]);
    ret->state = b;
    ret->flags = HCT_DETERMINISTIC | HCT_CAPTURE_SAFE;
    for (uint32_t i = 0; i < p->n_in && i < 8; i++) ret->may_alias |= (uint64_t)1 << (i * 8 + i);
    return HCT_OK;
}

static void release_exchange(hct_plan *p) {
    free(p->state);
    p->state = NULL;
}

static CUdeviceptr place(const hct_view *v) { return (CUdeviceptr)(uintptr_t)v->mem + v->off; }

/* In place on the results, so that the planner may give the inputs' memory to what comes next. */
static hct_status run_exchange(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                               const hct_view *ws, hct_err *err) {
    (void)ws;
    const bucket *b = p->state;
    CUresult code = cuda_enter(s->device);
    for (uint32_t i = 0; code == CUDA_SUCCESS && i < b->n; i++)
        if (b->count[i] && place(&in[i]) != place(&out[i]))
            code = cu->cuMemcpyDtoDAsync(place(&out[i]), place(&in[i]), b->count[i] * hct_dtype_bytes(in[i].dtype),
                                         s->stream);
    if (code == CUDA_SUCCESS) code = cu->cuEventRecord(s->here, s->stream);
    if (code == CUDA_SUCCESS) code = cu->cuStreamWaitEvent(s->side, s->here, 0);
    if (code != CUDA_SUCCESS) return cuda_fail(err, code, "starting an exchange");
    ncclResult_t got = nccl.ncclGroupStart();
    for (uint32_t i = 0; got == ncclSuccess && i < b->n; i++) {
        void *at = (void *)(uintptr_t)place(&out[i]);
        if (b->count[i]) got = nccl.ncclAllReduce(at, at, b->count[i], b->type, b->op, ring, (cudaStream_t)s->side);
    }
    ncclResult_t ended = nccl.ncclGroupEnd();
    if (got == ncclSuccess) got = ended;
    return got == ncclSuccess ? HCT_OK : nccl_fail(err, got, "an exchange");
}

hct_status cuda_collective_state(hct_err *err) {
    ncclResult_t state = ncclSuccess;
    if (!ring) return HCT_OK;
    ncclResult_t code = nccl.ncclCommGetAsyncError(ring, &state);
    if (code == ncclSuccess && (state == ncclSuccess || state == ncclInProgress)) return HCT_OK;
    hct_status st = nccl_fail(err, code == ncclSuccess ? state : code, "an exchange with another rank");
    nccl.ncclCommAbort(ring); /* kernels that wait for the lost rank end */
    ring = NULL;
    return st;
}

static hct_status plan_wait(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d, (void)p, (void)err;
    ret->flags = HCT_DETERMINISTIC | HCT_CAPTURE_SAFE;
    return HCT_OK;
}

static hct_status run_wait(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                           const hct_view *ws, hct_err *err) {
    (void)p, (void)in, (void)ws;
    CUresult code = cuda_enter(s->device);
    if (code == CUDA_SUCCESS) code = cu->cuEventRecord(s->there, s->side);
    if (code == CUDA_SUCCESS) code = cu->cuStreamWaitEvent(s->stream, s->there, 0);
    if (code == CUDA_SUCCESS) code = cu->cuMemsetD8Async(place(out), 0, sizeof(float), s->stream);
    return code == CUDA_SUCCESS ? HCT_OK : cuda_fail(err, code, "waiting for an exchange");
}

static const hct_kernel reduce = {.size = sizeof reduce,
                                  .name = "nccl:all_reduce",
                                  .op = "all_reduce",
                                  .backend = "cuda",
                                  .priority = 100,
                                  .dtypes = 1u << HCT_F32 | 1u << HCT_F64 | 1u << HCT_BF16 | 1u << HCT_F16,
                                  .plan = plan_exchange,
                                  .run = run_exchange,
                                  .release = release_exchange};
static const hct_kernel wait_for = {.size = sizeof wait_for,
                                    .name = "nccl:all_reduce.wait",
                                    .op = "all_reduce.wait",
                                    .backend = "cuda",
                                    .priority = 100,
                                    .plan = plan_wait,
                                    .run = run_wait};

hct_status cuda_add_collectives(const hct_host *host, hct_err *err) {
    cuda_comm = HCT_HAS(host, comm) ? host->comm : NULL;
    if (!cuda_comm) return HCT_OK;
    hct_status st = host->add_kernel(host, &reduce, err);
    return st == HCT_OK ? host->add_kernel(host, &wait_for, err) : st;
}
