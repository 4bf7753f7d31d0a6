/* From planners' lists of launches to kernels of this backend: plan loads what is compiled and lets cuBLASLt choose,
 * run sets addresses and enqueues. Nothing in run waits or takes memory, so a stream may be captured. */
#include "gpu.h"

#include <stdlib.h>
#include <string.h>

enum { PARAMS = 96, EACH = 256, MOST_Y = 65535 };

typedef struct state {
    hct_device *device;
    hk plan;
    const hct_problem *problem; /* while planning */
    CUfunction *kernel;         /* one a launch; NULL for a library's */
    cuda_product *product;      /* in the order of the launches that are products */
    uint32_t n_product, cap_product;
    hct_status refused; /* of a product */
    hct_err why;
} state;

static void release_state(state *s) {
    for (uint32_t i = 0; i < s->n_product; i++) cuda_product_free(&s->product[i]);
    free(s->product);
    free(s->kernel);
    hk_free(&s->plan);
    free(s);
}

static void release_launches(hct_plan *p) {
    if (p->state) release_state(p->state);
    p->state = NULL;
}

/* ---- planning ---- */

/* Bytes, 256 at most, that divide the place of r. */
static uint32_t alignment(const state *s, const hk_ref *r) {
    uint64_t at = r->off | 256;
    if (r->place == HK_IN) at |= s->problem->in[r->index].off;
    if (r->place == HK_OUT) at |= s->problem->out[r->index].off;
    return (uint32_t)(at & -at);
}

/* Called while the launch is made: chooses the algorithm, and so how much workspace it wants. */
static uint64_t choose(void *self, const hk_product *g) {
    state *s = self;
    if (s->refused != HCT_OK) return 0;
    if (s->n_product == s->cap_product) {
        uint32_t cap = 2 * s->cap_product + 2;
        cuda_product *more = realloc(s->product, cap * sizeof *more);
        if (!more) return s->refused = hct_plugin_fail(&s->why, HCT_ENOMEM, "out of memory"), 0;
        s->product = more;
        s->cap_product = cap;
    }
    const uint32_t align[4] = {alignment(s, &g->a), alignment(s, &g->b), alignment(s, &g->c), alignment(s, &g->bias)};
    s->refused = cuda_product_plan(s->device, g, s->problem->in[0].dtype, align, &s->product[s->n_product], &s->why);
    return s->refused == HCT_OK ? s->product[s->n_product++].workspace : 0;
}

static hct_status prepare(state *s, const hct_problem *p, const hk_op *op, hct_plan *ret, hct_err *err) {
    s->plan.problem = s->problem = p;
    hct_status st = op->plan(&s->plan, p, err);
    if (st == HCT_OK && !s->plan.no_memory) hk_account(&s->plan, ret);
    s->plan.problem = s->problem = NULL;
    if (st == HCT_OK && s->refused != HCT_OK) return hct_plugin_fail(err, s->refused, "%s", s->why.msg);
    if (st != HCT_OK) return st;
    if (s->plan.no_memory || !(s->kernel = calloc(s->plan.n_launch + 1, sizeof *s->kernel)))
        return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    for (uint32_t i = 0; st == HCT_OK && i < s->plan.n_launch; i++) {
        const hk_launch *l = &s->plan.launch[i];
        uint32_t params = 2;
        for (uint32_t k = 0; k < l->n_args; k++) params += 1 + (s->plan.arg[l->first_arg + k].is_mem != 0);
        if (l->groups[1] > MOST_Y)
            return hct_plugin_fail(err, HCT_NOTIMPL, "%lld matrices at once; %d are possible", (long long)l->groups[1],
                                   MOST_Y);
        if (params > PARAMS)
            return hct_plugin_fail(err, HCT_EDEVICE, "kernel %s has more than %d parameters", l->kernel, PARAMS);
        if (l->kind != HK_PRODUCT) st = cuda_kernel(s->device, l, &s->kernel[i], err);
    }
    return st;
}

static hct_status plan_with(hct_device *d, const hct_problem *p, const hk_op *op, const hk_target *target,
                            hct_plan *ret, hct_err *err) {
    state *s = op ? calloc(1, sizeof *s) : NULL;
    if (!s) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    s->device = d;
    s->plan.target = target;
    if (target->library) s->plan.product_temp = choose, s->plan.self = s;
    hct_status st = prepare(s, p, op, ret, err);
    if (st != HCT_OK) {
        release_state(s);
        return st;
    }
    ret->state = s;
    ret->flags = HCT_DETERMINISTIC | HCT_CAPTURE_SAFE;
    ret->workspace = s->plan.workspace;
    ret->may_alias = op->may_alias;
    return HCT_OK;
}

static hct_status plan_portable(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    return plan_with(d, p, hk_find(hk_families, p->op), &d->target, ret, err);
}

/* Every device from LEAST on (device.c) has warps and f16 arithmetic; what these lack at most is their compiled
 * file. */
static hct_status plan_subgroups(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    return plan_with(d, p, hk_find(hk_subgroup_families, p->op), &d->with_subgroups, ret, err);
}

static hct_status plan_half(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    return plan_with(d, p, hk_find(hk_half_families, p->op), &d->target, ret, err);
}

static hct_status plan_library(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    hct_err why = {0, ""};
    if (!cuda_lt_open(d, &why)) {
        if (!d->told_lt++)
            cuda_say("CUDA: matrix products go to the portable kernels, which are many times slower: %s", why.msg);
        return hct_plugin_fail(err, HCT_NOTIMPL, "%s", why.msg);
    }
    return plan_with(d, p, hk_find(hk_library_families, p->op), &d->with_library, ret, err);
}

/* ---- running ---- */

typedef struct call { /* the addresses of one run */
    const hct_view *in, *out, *ws;
    hct_stream *stream;
} call;

static CUdeviceptr base(const call *c, const hk_ref *r, uint64_t *ret_off) {
    const hct_view *v = r->place == HK_IN ? &c->in[r->index] : r->place == HK_OUT ? &c->out[r->index] : c->ws;
    *ret_off = r->off;
    if (r->place == HK_STATUS) {
        c->stream->uses_status = 1;
        return c->stream->device->status;
    }
    *ret_off += v->off;
    return (CUdeviceptr)(uintptr_t)v->mem;
}

static CUdeviceptr address(const call *c, const hk_ref *r) {
    uint64_t off;
    CUdeviceptr at = base(c, r, &off);
    return at + off;
}

static CUresult run_launch(const state *s, const call *c, uint32_t i) {
    const hk_launch *l = &s->plan.launch[i];
    void *param[PARAMS + 1] = {0}; /* ended by NULL, which a driver under test counts */
    CUdeviceptr mem[PARAMS];
    uint64_t off[PARAMS], table[HK_TABLE / sizeof(uint64_t)];
    int64_t first = 0, n = l->n;
    uint32_t k = 0;
    if (l->kind == HK_EACH ? l->n == 0 : l->groups[0] * l->groups[1] == 0) return CUDA_SUCCESS;
    for (uint32_t a = 0; a < l->n_args; a++) {
        const hk_arg *x = &s->plan.arg[l->first_arg + a];
        if (x->is_mem) {
            mem[a] = base(c, &x->ref, &off[a]);
            param[k++] = &mem[a];
            param[k++] = &off[a];
        } else if (x->places) { /* one a kernel */
            memcpy(table, s->plan.bytes + x->at, x->size);
            for (uint32_t i = 0; i < x->places; i++) {
                const hk_address *p = &s->plan.place[x->place + i];
                table[p->at / sizeof *table] = address(c, &p->ref);
            }
            param[k++] = table;
        } else {
            param[k++] = s->plan.bytes + x->at;
        }
    }
    CUstream stream = c->stream->stream;
    if (l->kind != HK_EACH)
        return cu->cuLaunchKernel(s->kernel[i], (unsigned)l->groups[0], (unsigned)l->groups[1], 1, l->items, 1, 1, 0,
                                  stream, param, NULL);
    param[k++] = &first;
    param[k++] = &n;
    return cu->cuLaunchKernel(s->kernel[i], (unsigned)((n + EACH - 1) / EACH), 1, 1, EACH, 1, 1, 0, stream, param,
                              NULL);
}

static hct_status run_launches(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                               const hct_view *ws, hct_err *err) {
    const state *s = p->state;
    const call c = {in, out, ws, stream};
    uint32_t product = 0;
    if (stream->failed) return hct_plugin_fail(err, HCT_EDEVICE, "CUDA: the device failed before");
    CUresult entered = cuda_enter(stream->device);
    if (entered != CUDA_SUCCESS) return cuda_fail(err, entered, "entering the device's context");
    for (uint32_t i = 0; i < s->plan.n_launch; i++) {
        const hk_launch *l = &s->plan.launch[i];
        hct_status st = HCT_OK;
        if (l->kind == HK_PRODUCT) {
            const hk_product *g = &l->product;
            st = cuda_product_run(stream, &s->product[product++], address(&c, &g->a), address(&c, &g->b),
                                  address(&c, &g->c), g->has_bias ? address(&c, &g->bias) : 0,
                                  g->temp_bytes ? address(&c, &g->temp) : 0, err);
        } else {
            CUresult code = run_launch(s, &c, i);
            if (code != CUDA_SUCCESS) st = cuda_fail(err, code, l->kernel);
            stream->failed = cuda_is_lost(code);
        }
        if (st != HCT_OK) return st;
    }
    return HCT_OK;
}

/* ---- registration ---- */

hct_status cuda_add_kernels(const hct_host *host, hct_err *err) {
    const hct_kernel own = {
        .backend = "cuda", .priority = 10, .plan = plan_portable, .run = run_launches, .release = release_launches};
    const hct_kernel library = {.backend = "cuda",
                                .dtypes = HK_REAL,
                                .priority = 100,
                                .plan = plan_library,
                                .run = run_launches,
                                .release = release_launches};
    const hct_kernel subgroups = {
        .backend = "cuda", .priority = 50, .plan = plan_subgroups, .run = run_launches, .release = release_launches};
    const hct_kernel half = {
        .backend = "cuda", .priority = 50, .plan = plan_half, .run = run_launches, .release = release_launches};
    hct_status st = hk_add_kernels(host, hk_families, &own, "cu", cuda_comm != NULL, err);
    if (st == HCT_OK) st = hk_add_kernels(host, hk_subgroup_families, &subgroups, "cu-subgroups", 0, err);
    if (st == HCT_OK) st = hk_add_kernels(host, hk_half_families, &half, "cu-f16", 0, err);
    return st == HCT_OK ? hk_add_kernels(host, hk_library_families, &library, "cublaslt", cuda_comm != NULL, err) : st;
}
