/* Sums over ranks through the host: a bucket is read, added up by the job's communicator, and written back. Waits
 * for the queue: OpenCL has no exchange of its own. */
#include "opencl.h"

#include "hct/comm.h"
#include "hct/half.h"

#include <stdlib.h>
#include <string.h>

const hct_comm *ocl_comm;

typedef struct bucket {
    uint32_t n;
    int32_t dtype;
    double scale;
    uint64_t bytes[]; /* [n], then the host's copy */
} bucket;

static void release(hct_plan *p) {
    free(p->state);
    p->state = NULL;
}

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    uint64_t total = 0, size = hct_dtype_bytes(p->in[0].dtype);
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (!hct_is_contiguous(&p->in[i])) return hct_plugin_fail(err, HCT_NOTIMPL, "input %u has gaps", i);
        total += (uint64_t)hct_numel(&p->in[i]) * size;
    }
    bucket *b = malloc(sizeof *b + p->n_in * sizeof *b->bytes + total + 1);
    if (!b) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    *b = (bucket){p->n_in, p->in[0].dtype, hct_attr_real(p->attr, p->n_attr, "scale", 1)};
    for (uint32_t i = 0; i < p->n_in; i++) b->bytes[i] = (uint64_t)hct_numel(&p->in[i]) * size;
    ret->state = b;
    ret->flags = HCT_DETERMINISTIC;
    ret->may_alias = 1;
    for (uint32_t i = 1; i < p->n_in && i < 8; i++) ret->may_alias |= (uint64_t)1 << (i * 8 + i);
    return HCT_OK;
}

static void scale(const bucket *b, char *x, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        if (b->dtype == HCT_F64) ((double *)(void *)x)[i] *= b->scale;
        else if (b->dtype == HCT_F32) ((float *)(void *)x)[i] *= (float)b->scale;
        else {
            uint16_t *h = (uint16_t *)(void *)x + i;
            float f = (float)b->scale * (b->dtype == HCT_BF16 ? hct_f32_from_bf16(*h) : hct_f32_from_f16(*h));
            *h = b->dtype == HCT_BF16 ? hct_bf16_from_f32(f) : hct_f16_from_f32(f);
        }
    }
}

static hct_status move(const bucket *b, hct_stream *s, const hct_view *v, char *host, hct_copy_kind kind,
                       hct_err *err) {
    hct_status st = HCT_OK;
    for (uint32_t i = 0; st == HCT_OK && i < b->n; i++, v++) {
        st = kind == HCT_DEVICE_TO_HOST ? ocl_copy(s->device, s, kind, host, 0, v->mem, v->off, b->bytes[i], err)
                                        : ocl_copy(s->device, s, kind, v->mem, v->off, host, 0, b->bytes[i], err);
        host += b->bytes[i];
    }
    return st;
}

static hct_status reduce_ranks(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                               const hct_view *ws, hct_err *err) {
    (void)ws;
    bucket *b = p->state;
    char *host = (char *)(b->bytes + b->n);
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->n; i++) total += b->bytes[i];
    total /= hct_dtype_bytes(b->dtype);
    hct_status st = move(b, s, in, host, HCT_DEVICE_TO_HOST, err);
    if (st == HCT_OK) st = ocl_comm->all_reduce(ocl_comm, host, total, b->dtype, err);
    if (st == HCT_OK) scale(b, host, total);
    return st == HCT_OK ? move(b, s, out, host, HCT_HOST_TO_DEVICE, err) : st;
}

static hct_status plan_wait(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d, (void)p, (void)err;
    ret->flags = HCT_DETERMINISTIC;
    return HCT_OK;
}

static hct_status run_wait(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                           const hct_view *ws, hct_err *err) {
    (void)p, (void)in, (void)ws;
    float done = 0;
    return ocl_copy(s->device, s, HCT_HOST_TO_DEVICE, out->mem, out->off, &done, 0, sizeof done, err);
}

static const hct_kernel reduce = {.size = sizeof reduce,
                                  .name = "cl:all_reduce",
                                  .op = "all_reduce",
                                  .backend = "opencl",
                                  .dtypes = 1u << HCT_F32 | 1u << HCT_F64 | 1u << HCT_BF16 | 1u << HCT_F16,
                                  .priority = 10,
                                  .plan = plan,
                                  .run = reduce_ranks,
                                  .release = release};
static const hct_kernel wait_for = {.size = sizeof wait_for,
                                    .name = "cl:all_reduce.wait",
                                    .op = "all_reduce.wait",
                                    .backend = "opencl",
                                    .priority = 10,
                                    .plan = plan_wait,
                                    .run = run_wait};

hct_status ocl_add_collectives(const hct_host *host, hct_err *err) {
    ocl_comm = HCT_HAS(host, comm) ? host->comm : NULL;
    if (!ocl_comm) return HCT_OK; /* backends/kernels has the ops for one rank */
    hct_status st = host->add_kernel(host, &reduce, err);
    return st == HCT_OK ? host->add_kernel(host, &wait_for, err) : st;
}
