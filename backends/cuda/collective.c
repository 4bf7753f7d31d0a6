/* Sums over ranks by NCCL, on a stream beside the computation's: all_reduce starts the exchange of a bucket when its
 * gradients exist, all_reduce.wait makes the computation wait for it. Both are captured with the step. The ranks
 * meet through the job's communicator. */
#include "gpu.h"
#include "kit/nvidia/nccl.h"

#include <stdio.h>
#include <stdlib.h>

const hct_comm *cuda_comm;

static struct cuda_nccl { NV_NCCL(CUDA_FIELD) } nccl;
static ncclComm_t ring; /* one a job */

static hct_status nccl_fail(hct_err *err, ncclResult_t code, const char *what) {
    return hct_plugin_fail(err, HCT_EDEVICE, "NCCL: %s fails on rank %d: %s; NCCL_DEBUG=INFO says more", what,
                           cuda_comm->rank, nccl.ncclGetErrorString(code));
}

/* All ranks plan the same calls in the same order, so they meet here. */
static hct_status meet(hct_device *d, hct_err *err) {
#define SYMBOL(ret, name, args) CUDA_SYMBOL(struct cuda_nccl, name),
    static const cuda_symbol symbols[] = {NV_NCCL(SYMBOL)};
#undef SYMBOL
    ncclUniqueId id = {{0}};
    if (ring) return HCT_OK;
    if (!cuda_library(CUDA_NCCL, symbols, sizeof symbols / sizeof *symbols, &nccl, err)) return HCT_NOTIMPL;
    cu->cuCtxSetCurrent(d->context);
    ncclResult_t code = cuda_comm->rank == 0 ? nccl.ncclGetUniqueId(&id) : ncclSuccess;
    hct_status st = cuda_comm->broadcast(cuda_comm, &id, sizeof id, 0, err);
    if (st < 0) return st;
    if (code == ncclSuccess) code = nccl.ncclCommInitRank(&ring, cuda_comm->ranks, id, cuda_comm->rank);
    return code == ncclSuccess ? HCT_OK : nccl_fail(err, code, "joining the ranks");
}

typedef struct bucket { /* of one call */
    ncclDataType_t type;
    ncclRedOp_t op;
    uint32_t n;
    uint64_t count[]; /* elements */
} bucket;

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    double scale = hct_attr_real(p->attr, p->n_attr, "scale", 1);
    int mean = scale * cuda_comm->ranks == 1;
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

static void release(hct_plan *p) {
    free(p->state);
    p->state = NULL;
}

static CUdeviceptr place(const hct_view *v) { return (CUdeviceptr)(uintptr_t)v->mem + v->off; }

/* In place on the results, so that the planner may give the inputs' memory to what comes next. */
static hct_status run(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                      hct_err *err) {
    (void)ws;
    const bucket *b = p->state;
    CUresult code = CUDA_SUCCESS;
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
    CUresult code = cu->cuEventRecord(s->there, s->side);
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
                                  .plan = plan,
                                  .run = run,
                                  .release = release};
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
