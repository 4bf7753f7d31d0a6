/* --bench: one CSV line a kernel and case, from runs of at least half a second. */
#include "conformance.h"

#include "internal.h"

#include <stdio.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

verdict kernel_bench(const device *d, const hct_kernel *kernel, const call *k, hct_err *why) {
    kernel_memory m;
    hct_status st = memory_make(&m, d, kernel, k, PLAIN, 0, 0, -1, -1, why);
    double bytes = 0, took = 0, runs = 0;
    for (uint32_t i = 0; st == HCT_OK && i < k->n_in; i++) {
        bytes += (double)m.in[i].data;
        st = d->backend->copy(d->device, d->stream, HCT_HOST_TO_DEVICE, m.in[i].mem, 0, m.in[i].image, 0, m.in[i].bytes,
                              why);
    }
    for (uint32_t o = 0; o < k->n_out; o++)
        bytes += (double)hct_numel(&k->out[o]) * (double)hct_dtype_size(k->out[o].dtype);
    if (st == HCT_OK) st = memory_run(&m, d, kernel, why); /* once, to warm up */
    if (st == HCT_OK) st = d->backend->stream_sync(d->stream, why);
    for (double start = now(); st == HCT_OK && took < 0.5; took = now() - start, runs++) {
        st = memory_run(&m, d, kernel, why);
        if (st == HCT_OK) st = d->backend->stream_sync(d->stream, why);
    }
    hct_problem p = {.size = sizeof p, .op = k->c->op, .in = k->in, .out = k->out, .n_in = k->n_in, .n_out = k->n_out};
    if (st == HCT_OK)
        printf("%s,%s,%s,%s,%.1f,%.2f,%.2f\n", k->c->op, kernel->name,
               hct_dtype_name(k->n_in ? k->in[0].dtype : k->out[0].dtype), k->c->name, 1e6 * took / runs,
               1e-9 * hct_node_flops(&p) * runs / took, 1e-9 * bytes * runs / took);
    memory_free(&m, d, kernel);
    return st == HCT_OK ? PASSED : st == HCT_NOTIMPL ? SKIPPED : FAILED;
}
