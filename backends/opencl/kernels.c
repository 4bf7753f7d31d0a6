/* From planners' lists of launches to kernels of this backend: plan compiles, run sets addresses and enqueues. */
#include "opencl.h"

#include <stdlib.h>
#include <string.h>

typedef struct state {
    hct_device *device;
    hk plan;
    cl_kernel *kernel; /* one a launch; NULL for a library's */
    cl_mem temp;       /* part of the workspace that the library's product uses, made on the first run */
    cl_mem temp_of;
    uint64_t temp_at;
} state;

static void release_state(state *s) {
    for (uint32_t i = 0; s->kernel && i < s->plan.n_launch; i++)
        if (s->kernel[i]) clReleaseKernel(s->kernel[i]);
    if (s->temp) clReleaseMemObject(s->temp);
    free(s->kernel);
    hk_free(&s->plan);
    free(s);
}

static void release(hct_plan *p) {
    if (p->state) release_state(p->state);
    p->state = NULL;
}

static hct_status prepare(state *s, const hct_problem *p, const hk_op *op, hct_plan *ret, hct_err *err) {
    s->plan.problem = p;
    hct_status st = op->plan(&s->plan, p, err);
    if (st == HCT_OK && !s->plan.no_memory) hk_account(&s->plan, ret);
    s->plan.problem = NULL;
    if (st != HCT_OK) return st;
    if (s->plan.no_memory || !(s->kernel = calloc(s->plan.n_launch + 1, sizeof *s->kernel)))
        return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    for (uint32_t i = 0; st == HCT_OK && i < s->plan.n_launch; i++)
        if (s->plan.launch[i].kind != HK_PRODUCT) st = ocl_kernel(s->device, &s->plan.launch[i], &s->kernel[i], err);
    return st;
}

static hct_status plan_with(hct_device *d, const hct_problem *p, const hk_op *op, const hk_target *target,
                            hct_plan *ret, hct_err *err) {
    state *s = op ? calloc(1, sizeof *s) : NULL;
    if (!s) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    s->device = d;
    s->plan.target = target;
    if (target->library) s->plan.product_temp = ocl_product_temp, s->plan.self = d;
    hct_status st = prepare(s, p, op, ret, err);
    if (st != HCT_OK) {
        release_state(s);
        return st;
    }
    ret->state = s;
    ret->flags = HCT_DETERMINISTIC;
    ret->workspace = s->plan.workspace;
    ret->may_alias = op->may_alias;
    return HCT_OK;
}

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    return plan_with(d, p, hk_find(hk_families, p->op), &d->target, ret, err);
}

static hct_status plan_library(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    return plan_with(d, p, hk_find(hk_library_families, p->op), &d->with_library, ret, err);
}

/* Extra kernels are refused where the device lacks what they need; where its driver does not compile them, they and
 * all after them. */
static hct_status plan_extra(hct_device *d, const hct_problem *p, ocl_extra *extra, hct_plan *ret, hct_err *err) {
    if (extra->lacking) return hct_plugin_fail(err, HCT_NOTIMPL, "%s", extra->lacking);
    hct_status st = plan_with(d, p, hk_find(extra->families, p->op), &extra->target, ret, err);
    if (st != HCT_EDEVICE) return st;
    extra->lacking = "the driver does not compile it; the compiler's words are above";
    return hct_plugin_fail(err, HCT_NOTIMPL, "%s", extra->lacking);
}

static hct_status plan_subgroups(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    return plan_extra(d, p, &d->subgroups, ret, err);
}
static hct_status plan_half(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    return plan_extra(d, p, &d->half, ret, err);
}

/* ---- running ---- */

typedef struct call { /* the addresses of one run */
    const hct_view *in, *out, *ws;
    hct_stream *stream;
} call;

static cl_mem address(const call *c, const hk_ref *r, uint64_t *ret_off) {
    const hct_view *v = r->place == HK_IN ? &c->in[r->index] : r->place == HK_OUT ? &c->out[r->index] : c->ws;
    *ret_off = r->off;
    if (r->place == HK_STATUS) {
        c->stream->uses_status = 1;
        return c->stream->device->status;
    }
    *ret_off += v->off;
    return v->mem;
}

static cl_int set_arguments(const state *s, const call *c, const hk_launch *l, cl_kernel k, cl_uint *ret_next) {
    cl_uint n = 0;
    cl_int code = CL_SUCCESS;
    for (uint32_t i = 0; code == CL_SUCCESS && i < l->n_args; i++) {
        const hk_arg *a = &s->plan.arg[l->first_arg + i];
        if (!a->is_mem) {
            code = clSetKernelArg(k, n++, a->size, s->plan.bytes + a->at);
            continue;
        }
        cl_ulong off;
        cl_mem mem = address(c, &a->ref, &off);
        code = clSetKernelArg(k, n++, sizeof mem, &mem);
        if (code == CL_SUCCESS) code = clSetKernelArg(k, n++, sizeof off, &off);
    }
    *ret_next = n;
    return code;
}

static cl_int enqueue(const call *c, cl_kernel k, const char *name, const size_t *global, const size_t *local) {
    return clEnqueueNDRangeKernel(c->stream->queue, k, 2, NULL, global, local, 0, NULL, ocl_sample_of(c->stream, name));
}

/* Whole groups first, then the rest: kernels need no check, and a CPU device can make vectors of their loop. */
static cl_int run_each(const call *c, const hk_launch *l, cl_kernel k, cl_uint next) {
    const hct_device *d = c->stream->device;
    size_t most = d->each;
    clGetKernelWorkGroupInfo(k, d->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, &most, NULL);
    size_t items = d->each < most ? d->each : most;
    cl_long n = l->n, whole = n / (cl_long)items * (cl_long)items;
    cl_int code = clSetKernelArg(k, next + 1, sizeof n, &n);
    for (int tail = 0; code == CL_SUCCESS && tail < 2; tail++) {
        cl_long first = tail ? whole : 0, count = tail ? n - whole : whole;
        size_t global[2] = {(size_t)count, 1}, local[2] = {tail ? (d->is_cpu ? 1 : (size_t)count) : items, 1};
        if (count == 0) continue;
        code = clSetKernelArg(k, next, sizeof first, &first);
        if (code == CL_SUCCESS) code = enqueue(c, k, l->kernel, global, local);
    }
    return code;
}

static cl_int run_launch(const state *s, const call *c, uint32_t i) {
    const hk_launch *l = &s->plan.launch[i];
    cl_uint next;
    if (l->kind == HK_EACH ? l->n == 0 : l->groups[0] * l->groups[1] == 0) return CL_SUCCESS;
    cl_int code = set_arguments(s, c, l, s->kernel[i], &next);
    if (code != CL_SUCCESS) return code;
    if (l->kind == HK_EACH) return run_each(c, l, s->kernel[i], next);
    size_t local[2] = {l->items, 1}, global[2] = {(size_t)l->groups[0] * l->items, (size_t)l->groups[1]};
    return enqueue(c, s->kernel[i], l->kernel, global, local);
}

/* The library wants its temporary memory from the start of a buffer. */
static cl_int temporary(state *s, const hk_product *g, cl_mem mem, uint64_t off) {
    if (s->temp && s->temp_of == mem && s->temp_at == off) return CL_SUCCESS;
    cl_int code;
    if (s->temp) clReleaseMemObject(s->temp);
    cl_buffer_region region = {off, g->temp_bytes};
    s->temp = clCreateSubBuffer(mem, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    s->temp_of = mem;
    s->temp_at = off;
    return code;
}

static hct_status run_product(state *s, const call *c, const hk_product *g, hct_err *err) {
    uint64_t a_off, b_off, c_off, t_off;
    cl_mem a = address(c, &g->a, &a_off), b = address(c, &g->b, &b_off), to = address(c, &g->c, &c_off);
    if (g->temp_bytes) {
        cl_mem work = address(c, &g->temp, &t_off);
        cl_int code = temporary(s, g, work, t_off);
        if (code != CL_SUCCESS) return ocl_fail(err, code, "temporary memory of a product");
    }
    return ocl_product(c->stream, g, a, a_off, b, b_off, to, c_off, g->temp_bytes ? s->temp : NULL, err);
}

static hct_status launch_planned(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                                 const hct_view *ws, hct_err *err) {
    state *s = p->state;
    call c = {in, out, ws, stream};
    if (stream->failed) return hct_plugin_fail(err, HCT_EDEVICE, "OpenCL: the device failed before");
    for (uint32_t i = 0; i < s->plan.n_launch; i++) {
        const hk_launch *l = &s->plan.launch[i];
        hct_status st = HCT_OK;
        if (l->kind == HK_PRODUCT) {
            st = run_product(s, &c, &l->product, err);
        } else {
            cl_int code = run_launch(s, &c, i);
            if (code != CL_SUCCESS) st = ocl_fail_on(stream->device, err, code, l->kernel);
        }
        if (st != HCT_OK) {
            stream->failed = 1;
            return st;
        }
    }
    return HCT_OK;
}

/* ---- registration ---- */

hct_status ocl_add_kernels(const hct_host *host, hct_err *err) {
    const hct_kernel own = {
        .backend = "opencl", .priority = 10, .plan = plan, .run = launch_planned, .release = release};
    const hct_kernel library = {.backend = "opencl",
                                .dtypes = 1u << HCT_F32,
                                .priority = 100,
                                .plan = plan_library,
                                .run = launch_planned,
                                .release = release};
    const hct_kernel subgroups = {
        .backend = "opencl", .priority = 50, .plan = plan_subgroups, .run = launch_planned, .release = release};
    const hct_kernel half = {
        .backend = "opencl", .priority = 50, .plan = plan_half, .run = launch_planned, .release = release};
    hct_status st = hk_add_kernels(host, hk_families, &own, "cl", ocl_comm != NULL, err);
    if (st == HCT_OK) st = hk_add_kernels(host, hk_subgroup_families, &subgroups, "cl-subgroups", 0, err);
    if (st == HCT_OK) st = hk_add_kernels(host, hk_half_families, &half, "cl-f16", 0, err);
    return st == HCT_OK && ocl_has_clblast()
               ? hk_add_kernels(host, hk_library_families, &library, "clblast", ocl_comm != NULL, err)
               : st;
}
