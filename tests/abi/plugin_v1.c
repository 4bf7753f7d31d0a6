/* Built from the frozen headers of interface 1.0 (v1.0/hct) and nothing else: every later headct of major 1 must load
 * it. An op with attributes, several outputs, a gradient and a composite; kernels with state and workspace; a backend.
 */
#include <hct/backend.h>

#include <stdlib.h>
#include <string.h>

/* ---- abi.powers(x; factor) -> factor x^2, x^3 ---- */

static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    if (p->n_in != 1 || p->n_out != 2) return hct_plugin_fail(err, HCT_EINVAL, "takes one input and gives two outputs");
    out[0] = out[1] = p->in[0];
    return HCT_OK;
}

static hct_status infer_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    (void)err;
    out[0] = p->in[0];
    return HCT_OK;
}

/* abi.powers.bwd(x, d0, d1; factor) -> 2 factor x d0 + 3 x^2 d1; an output without gradient counts as zeros */
static hct_status grad(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_view x;
    h->describe(t, n->in[0], &x);
    hct_id dx, in[3] = {n->in[0], h->grad_of(t, n->out[0]), h->grad_of(t, n->out[1])};
    for (int i = 1; i < 3; i++) {
        hct_attr fill[] = {{.name = "dim", .kind = HCT_ATTR_INTS, .n = x.ndim},
                           HCT_INT("dtype", x.dtype),
                           HCT_REAL("value", 0)};
        memcpy(fill[0].ints, x.dim, sizeof fill[0].ints);
        if (!in[i]) h->emit(t, "fill", NULL, 0, fill, 3, &in[i], 1);
    }
    if (!h->needs_grad(t, n->in[0])) return HCT_OK;
    h->emit(t, "abi.powers.bwd", in, 3, n->attr, n->n_attr, &dx, 1);
    h->add_grad(t, n->in[0], dx);
    return HCT_OK;
}

/* abi.square(x) has no kernel on any backend: it is mul(x, x). */
static hct_status compose(const hct_host *h, hct_tape *t, const hct_node *n, hct_id *out, hct_err *err) {
    (void)err;
    return h->emit(t, "mul", (hct_id[]){n->in[0], n->in[0]}, 2, NULL, 0, out, 1);
}

static const hct_op op_powers = {.size = sizeof(hct_op), .name = "abi.powers", .infer = infer, .grad = grad};
static const hct_op op_bwd = {.size = sizeof(hct_op), .name = "abi.powers.bwd", .infer = infer_bwd};
static const hct_op op_square = {.size = sizeof(hct_op), .name = "abi.square", .infer = infer_bwd, .compose = compose};

typedef struct state {
    double factor;
} state;

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    state *s = malloc(sizeof *s);
    if (!s) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    s->factor = hct_attr_real(p->attr, p->n_attr, "factor", 1);
    ret->state = s;
    ret->workspace = (uint64_t)hct_numel(p->in) * sizeof(double);
    ret->flags = HCT_DETERMINISTIC;
    return HCT_OK;
}

static void release(hct_plan *p) { free(p->state); }

/* Element i, row-major, of a view with any strides. */
static double at(const hct_view *v, int64_t i) {
    int64_t o = 0;
    for (int d = v->ndim - 1; d >= 0; d--) {
        o += i % v->dim[d] * v->stride[d];
        i /= v->dim[d];
    }
    return ((const double *)hct_ptr(v))[o];
}

static hct_status run(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                      hct_err *err) {
    (void)s, (void)err;
    double factor = ((const state *)p->state)->factor, *square = hct_ptr(ws);
    for (int64_t i = 0; i < hct_numel(in); i++) square[i] = at(in, i) * at(in, i);
    for (int64_t i = 0; i < hct_numel(in); i++) {
        ((double *)hct_ptr(&out[0]))[i] = factor * square[i];
        ((double *)hct_ptr(&out[1]))[i] = square[i] * at(in, i);
    }
    return HCT_OK;
}

static hct_status run_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                          hct_err *err) {
    (void)s, (void)err, (void)ws;
    double factor = ((const state *)p->state)->factor;
    for (int64_t i = 0; i < hct_numel(in); i++) {
        double x = at(in, i);
        ((double *)hct_ptr(out))[i] = 2 * factor * x * at(&in[1], i) + 3 * x * x * at(&in[2], i);
    }
    return HCT_OK;
}

#define KERNEL(id, op_, backend_, run_)                                                                                \
    static const hct_kernel id = {.size = sizeof(hct_kernel),                                                          \
                                  .name = "abi:" op_ ":" backend_,                                                     \
                                  .op = op_,                                                                           \
                                  .backend = backend_,                                                                 \
                                  .dtypes = 1u << HCT_F64,                                                             \
                                  .priority = 200,                                                                     \
                                  .plan = plan,                                                                        \
                                  .run = run_,                                                                         \
                                  .release = release}
KERNEL(k_cpu, "abi.powers", "cpu", run);
KERNEL(k_cpu_bwd, "abi.powers.bwd", "cpu", run_bwd);
KERNEL(k_own, "abi.powers", "abi", run);

/* ---- a backend: host memory ---- */

static char handle;

static hct_status probe(int index, char *text, size_t n, hct_err *err) {
    if (index) return hct_plugin_fail(err, HCT_ENOTFOUND, "there is one abi device");
    snprintf(text, n, "host memory");
    return HCT_OK;
}
static hct_status open_device(int index, hct_device **ret, hct_err *err) {
    if (index) return hct_plugin_fail(err, HCT_ENOTFOUND, "there is one abi device");
    *ret = (hct_device *)&handle;
    return HCT_OK;
}
static void close_device(hct_device *d) { (void)d; }
static hct_status alloc(hct_device *d, uint64_t bytes, void **ret, hct_err *err) {
    (void)d;
    *ret = aligned_alloc(128, bytes / 128 * 128 + 128);
    return *ret ? HCT_OK : hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
}
static void free_memory(hct_device *d, void *mem) {
    (void)d;
    free(mem);
}
static hct_status copy(hct_device *d, hct_stream *s, hct_copy_kind kind, void *dst, uint64_t dst_off, const void *src,
                       uint64_t src_off, uint64_t bytes, hct_err *err) {
    (void)d, (void)s, (void)kind, (void)err;
    if (bytes) memcpy((char *)dst + dst_off, (const char *)src + src_off, bytes);
    return HCT_OK;
}
static hct_status stream_new(hct_device *d, hct_stream **ret, hct_err *err) {
    (void)d, (void)err;
    *ret = (hct_stream *)&handle;
    return HCT_OK;
}
static hct_status stream_sync(hct_stream *s, hct_err *err) {
    (void)s, (void)err;
    return HCT_OK;
}
static void stream_free(hct_stream *s) { (void)s; }

static const hct_backend backend = {.size = sizeof backend,
                                    .name = "abi",
                                    .probe = probe,
                                    .open = open_device,
                                    .close = close_device,
                                    .alloc = alloc,
                                    .free = free_memory,
                                    .copy = copy,
                                    .stream_new = stream_new,
                                    .stream_sync = stream_sync,
                                    .stream_free = stream_free};

static hct_status init(const hct_host *h, hct_err *err) {
    static const hct_op *const ops[] = {&op_powers, &op_bwd, &op_square};
    static const hct_kernel *const kernels[] = {&k_cpu, &k_cpu_bwd, &k_own};
    if (h->major != 1) return hct_plugin_fail(err, HCT_EVERSION, "the host is of major %u", h->major);
    hct_status st = h->add_backend(h, &backend, err);
    for (int i = 0; st == HCT_OK && i < 3; i++) st = h->add_op(h, ops[i], err);
    for (int i = 0; st == HCT_OK && i < 3; i++) st = h->add_kernel(h, kernels[i], err);
    return st;
}

HCT_PLUGIN_DEFINE("abi_v1", "1.0", init)
