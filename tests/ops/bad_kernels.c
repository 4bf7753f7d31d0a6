/* Kernels of sub(a, b) in F32 that each break one rule, and one that breaks none: test-ops must tell them apart. The
 * name says the rule. Also an op whose gradient is wrong and one that no case fits. */
#include <hct/plugin.h>

#include <math.h>
#include <stdlib.h>

enum rule {
    NONE,
    OVERRUN,
    UNDERRUN,
    WORKSPACE,
    INPUT,
    CHANGING,
    IN_PLACE,
    INACCURATE,
    STRIDES,
    UNWRITTEN,
    UNPACKED,
    LEAVING,
    CLAMPING
};

typedef struct state {
    enum rule rule;
    float nudge;
} state;

static hct_status plan_as(enum rule rule, hct_plan *ret, hct_err *err) {
    state *s = malloc(sizeof *s);
    if (!s) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    *s = (state){rule, 0};
    ret->state = s;
    ret->flags = HCT_DETERMINISTIC;
    ret->workspace = 64;
    ret->may_alias = rule == IN_PLACE || rule == NONE ? 1 : 0;
    ret->leaves = rule == LEAVING;
    if (rule == UNPACKED) ret->packed = 64, ret->packs = 1;
    return HCT_OK;
}

static void release(hct_plan *p) { free(p->state); }

static int64_t place(const hct_view *v, int64_t i) {
    int64_t at = 0;
    for (int d = v->ndim - 1; d >= 0; d--) {
        at += i % v->dim[d] * v->stride[d];
        i /= v->dim[d];
    }
    return at;
}

static hct_status run(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                      const hct_view *ws, hct_err *err) {
    (void)stream, (void)err;
    state *s = p->state;
    float *a = hct_ptr(&in[0]), *b = hct_ptr(&in[1]), *y = hct_ptr(out);
    int64_t n = hct_numel(out), written = s->rule == UNWRITTEN && n ? n - 1 : n;
    if (s->rule == IN_PLACE)
        for (int64_t i = 0; i < n; i++) y[i] = 0; /* in place, this was the input */
    for (int64_t i = 0; i < written; i++) {
        int64_t from = s->rule == STRIDES ? i : place(&in[0], i);
        y[i] = a[from] - b[place(&in[1], i)];
        if (s->rule == INACCURATE) y[i] *= 1.0001f;
        if (s->rule == CLAMPING) y[i] = fmaxf(-1e30f, fminf(1e30f, y[i])); /* nan becomes a number too */
        if (s->rule == CHANGING) y[i] = nextafterf(y[i], s->nudge);
    }
    s->nudge += 8;
    if (s->rule == OVERRUN) y[n] = 0;
    if (s->rule == UNDERRUN) y[-1] = 0;
    if (s->rule == WORKSPACE) ((char *)hct_ptr(ws))[64] = 0;
    if (s->rule == INPUT && n) a[place(&in[0], 0)] = 0;
    return HCT_OK;
}

/* Of unpacked, whose run() reads the input all the same. */
static hct_status pack(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *packed,
                       hct_err *err) {
    (void)p, (void)stream, (void)in, (void)packed, (void)err;
    return HCT_OK;
}

#define KERNEL(id, rule_, name_)                                                                                       \
    static hct_status plan_##id(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {                    \
        (void)d, (void)p;                                                                                              \
        return plan_as(rule_, ret, err);                                                                               \
    }                                                                                                                  \
    static const hct_kernel id = {.size = sizeof id,                                                                   \
                                  .name = name_,                                                                       \
                                  .op = "sub",                                                                         \
                                  .backend = "cpu",                                                                    \
                                  .dtypes = 1u << HCT_F32,                                                             \
                                  .priority = 1000,                                                                    \
                                  .plan = plan_##id,                                                                   \
                                  .run = run,                                                                          \
                                  .release = release,                                                                  \
                                  .pack = (rule_) == UNPACKED ? pack : NULL}
KERNEL(good, NONE, "good");
KERNEL(overrun, OVERRUN, "overrun");
KERNEL(underrun, UNDERRUN, "underrun");
KERNEL(workspace, WORKSPACE, "workspace");
KERNEL(input, INPUT, "input");
KERNEL(changing, CHANGING, "changing");
KERNEL(in_place, IN_PLACE, "in_place");
KERNEL(inaccurate, INACCURATE, "inaccurate");
KERNEL(strides, STRIDES, "strides");
KERNEL(unwritten, UNWRITTEN, "unwritten");
KERNEL(unpacked, UNPACKED, "unpacked");
KERNEL(leaving, LEAVING, "leaving");
KERNEL(clamping, CLAMPING, "clamping");

/* wrong.gradient(x) = x^3 with the gradient of x^2; no.case takes three inputs. */
static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    uint32_t want = p->op[0] == 'n' ? 3 : 1;
    if (p->n_in != want) return hct_plugin_fail(err, HCT_EINVAL, "takes %u inputs", want);
    *out = p->in[0];
    return HCT_OK;
}
static hct_status grad(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    (void)err;
    hct_id dx, in[] = {n->in[0], h->grad_of(t, n->out[0])};
    h->emit(t, "mul", in, 2, NULL, 0, &dx, 1);
    h->add_grad(t, n->in[0], dx);
    return HCT_OK;
}
static hct_status plan_cube(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d, (void)p, (void)ret, (void)err;
    return HCT_OK;
}
static hct_status run_cube(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                           const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)ws, (void)err;
    for (int64_t i = 0; i < hct_numel(out); i++)
        ((double *)hct_ptr(out))[i] = pow(((double *)hct_ptr(in))[place(in, i)], 3);
    return HCT_OK;
}
static const hct_op wrong = {.size = sizeof(hct_op), .name = "wrong.gradient", .infer = infer, .grad = grad};
static const hct_op no_case = {.size = sizeof(hct_op), .name = "no.case", .infer = infer};
static const hct_kernel cube = {.size = sizeof(hct_kernel),
                                .name = "cube",
                                .op = "wrong.gradient",
                                .backend = "cpu",
                                .dtypes = 1u << HCT_F64,
                                .plan = plan_cube,
                                .run = run_cube};

static hct_status init(const hct_host *h, hct_err *err) {
    static const hct_kernel *const kernels[] = {&good,     &overrun,  &underrun,   &workspace, &input,
                                                &changing, &in_place, &inaccurate, &strides,   &unwritten,
                                                &unpacked, &leaving,  &clamping,   &cube};
    hct_status st = h->add_op(h, &wrong, err);
    if (st == HCT_OK) st = h->add_op(h, &no_case, err);
    for (size_t i = 0; st == HCT_OK && i < sizeof kernels / sizeof *kernels; i++)
        st = h->add_kernel(h, kernels[i], err);
    return st;
}

HCT_PLUGIN_DEFINE("bad_kernels", "1.0", init)
