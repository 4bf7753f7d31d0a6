/* Kernels on operands of more than 2^31 elements: memory is reserved, not filled, and of each grid the first and the
 * last blocks alone are run (EMU_BLOCKS=ends). What those write at both ends of the result is held to the formula; an
 * index that is kept in 32 bits somewhere leads elsewhere. Inputs are a function of their index, written where a
 * formula reads them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/half.h"
#include "hct/hct.h"
#include "tap.h"

enum { ENDS = 48, MOST_IN = 4, INDICES = 1024 };
#define HUGE_N 2147484671 /* 2^31 + 1023 */

static hct_err err;
static const hct_backend *cuda;
static hct_device *device;
static hct_stream *stream;

typedef struct problem {
    hct_view in[MOST_IN], out[3];
    hct_attr attr[4];
    uint32_t n_in, n_out, n_attr; /* large() counts them */
    int ends;                     /* elements at each end that two blocks are sure to write; 0: ENDS */
    int in_place;                 /* the result is in[1] */
} problem;

static double value_at(int64_t i, int input) { return (double)((i * 7 + input * 3 + (i >> 20)) % 31) / 16 - 1; }

/* Element i of an input's storage, which is written as it is read. */
static double need(const problem *p, int input, int64_t i) {
    const hct_view *v = &p->in[input];
    double x = value_at(i, input);
    float f = (float)x;
    uint16_t h = hct_bf16_from_f32(f);
    int32_t index = (int32_t)(i % 3);
    unsigned char byte = (unsigned char)(i * 11 % 251);
    const void *from = v->dtype == HCT_F32    ? (void *)&f
                       : v->dtype == HCT_BF16 ? (void *)&h
                       : v->dtype == HCT_I32  ? (void *)&index
                                              : &byte;
    size_t n = hct_dtype_bytes(v->dtype);
    cuda->copy(device, stream, HCT_HOST_TO_DEVICE, v->mem, (uint64_t)i * n, from, 0, n, &err);
    return v->dtype == HCT_I32    ? index
           : v->dtype == HCT_U8   ? byte
           : v->dtype == HCT_BF16 ? (double)hct_f32_from_bf16(h)
                                  : (double)f;
}

static double result(const problem *p, int64_t i) {
    const hct_view *v = &p->out[0];
    float f;
    uint16_t h;
    unsigned char byte;
    size_t n = hct_dtype_bytes(v->dtype);
    void *to = v->dtype == HCT_F32 ? (void *)&f : v->dtype == HCT_BF16 ? (void *)&h : &byte;
    if (cuda->copy(device, stream, HCT_DEVICE_TO_HOST, to, 0, v->mem, (uint64_t)i * n, n, &err) < 0) return NAN;
    return v->dtype == HCT_F32 ? (double)f : v->dtype == HCT_BF16 ? (double)hct_f32_from_bf16(h) : byte;
}

static int64_t place_of(const hct_view *v, int64_t i) {
    int64_t o = 0;
    for (int d = v->ndim - 1; d >= 0; d--) {
        o += i % v->dim[d] * v->stride[d];
        i /= v->dim[d];
    }
    return o;
}
static double in_order(const problem *p, int input, int64_t i) { return need(p, input, place_of(&p->in[input], i)); }

/* ---- formulas: element i of the result ---- */

static double f_add(const problem *p, int64_t i) { return in_order(p, 0, i) + in_order(p, 1, i); }
static double f_scale(const problem *p, int64_t i) { return 2 * in_order(p, 0, i) + 1; }
static double f_same(const problem *p, int64_t i) { return in_order(p, 0, i); }
static double f_three(const problem *p, int64_t i) { return (void)p, (void)i, 3; }
static double gelu(double x) { return x * 0.5 * (1 + erf(x * sqrt(0.5))); }
static double f_gelu(const problem *p, int64_t i) { return gelu(in_order(p, 0, i)); }
static double f_bias_gelu(const problem *p, int64_t i) {
    return gelu(in_order(p, 0, i) + in_order(p, 1, i % p->in[1].dim[0]));
}
static double f_layer_norm(const problem *p, int64_t i) {
    int64_t c = p->in[0].dim[1], first = i / c * c;
    double mean = 0, square = 0;
    for (int64_t k = 0; k < c; k++) mean += in_order(p, 0, first + k) / (double)c;
    for (int64_t k = 0; k < c; k++) square += pow(in_order(p, 0, first + k) - mean, 2) / (double)c;
    return (in_order(p, 0, i) - mean) / sqrt(square + 1e-5) * in_order(p, 1, i % c) + in_order(p, 2, i % c);
}
static double f_softmax(const problem *p, int64_t i) {
    int64_t c = p->in[0].dim[1], first = i / c * c;
    double sum = 0;
    for (int64_t k = 0; k < c; k++) sum += exp(in_order(p, 0, first + k));
    return exp(in_order(p, 0, i)) / sum;
}
static double f_sum(const problem *p, int64_t i) {
    double sum = 0;
    for (int64_t k = 0; k < p->in[0].dim[1]; k++) sum += in_order(p, 0, i * p->in[0].dim[1] + k);
    return sum;
}
static double f_linear(const problem *p, int64_t i) {
    int64_t n = p->in[1].dim[0], k = p->in[1].dim[1];
    double sum = 0;
    for (int64_t j = 0; j < k; j++) sum += in_order(p, 0, i / n * k + j) * in_order(p, 1, i % n * k + j);
    return sum;
}
static double f_attention(const problem *p, int64_t i) { /* [B, N, H, D] */
    int64_t d = p->in[0].dim[3], h = p->in[0].dim[2], n = p->in[0].dim[1], row = i / d, token = row / h % n,
            head = row % h, b = row / h / n;
    double s[16], top = -INFINITY, sum = 0, y = 0;
    for (int64_t m = 0; m < n; m++) {
        s[m] = 0;
        for (int64_t k = 0; k < d; k++)
            s[m] +=
                in_order(p, 0, ((b * n + token) * h + head) * d + k) * in_order(p, 1, ((b * n + m) * h + head) * d + k);
        top = fmax(top, s[m] *= 0.25);
    }
    for (int64_t m = 0; m < n; m++) sum += s[m] = exp(s[m] - top);
    for (int64_t m = 0; m < n; m++) y += s[m] / sum * in_order(p, 2, ((b * n + m) * h + head) * d + i % d);
    return y;
}
static double f_gather(const problem *p, int64_t i) { /* x [B, L, C], index [B, K] */
    int64_t c = p->in[0].dim[2], k = p->in[1].dim[1], row = i / c, b = row / k;
    return in_order(p, 0, (b * p->in[0].dim[1] + (int64_t)in_order(p, 1, row)) * c + i % c);
}
static double f_ema(const problem *p, int64_t i) { /* rates, target (the result), source */
    return in_order(p, 0, 0) * in_order(p, 1, i) + in_order(p, 0, 1) * in_order(p, 2, i);
}

/* ---- cases ---- */

static hct_view view(int32_t dtype, int ndim, const int64_t *dim) {
    hct_view v = {.ndim = ndim, .dtype = dtype};
    int64_t s = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        v.dim[d] = dim[d];
        v.stride[d] = s;
        s *= dim[d];
    }
    return v;
}
#define V(dtype, ...) view(dtype, (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__})
static hct_view transposed(hct_view v) {
    int64_t d = v.dim[0], s = v.stride[0];
    v.dim[0] = v.dim[1], v.stride[0] = v.stride[1];
    v.dim[1] = d, v.stride[1] = s;
    return v;
}

static hct_status take(hct_view *v) {
    uint64_t n = (uint64_t)hct_numel(v) * hct_dtype_bytes(v->dtype);
    return cuda->alloc(device, n, &v->mem, &err);
}

/* Whether both ends of the result are what the formula says. */
static int ends_are_right(const problem *p, double (*formula)(const problem *, int64_t), const double *want) {
    int64_t n = hct_numel(&p->out[0]);
    double limit = p->out[0].dtype == HCT_BF16 ? 0x1p-8 : 1e-5;
    int ends = p->ends ? p->ends : ENDS;
    for (int k = 0; k < 2 * ends; k++) {
        int64_t i = k < ends ? k : n - 2 * ends + k;
        double got = result(p, i);
        if (fabs(got - want[k]) <= limit * (1 + fabs(want[k]))) continue;
        tap_note("element %lld is %g, not %g", (long long)i, got, want[k]);
        return 0;
    }
    return formula != NULL;
}

static int is_ours(const char *kernel) { return !strncmp(kernel, "cu:", 3) || !strncmp(kernel, "cu-subgroups:", 13); }

/* Every kernel of ours for the op. */
static void large(const char *op, const char *what, problem p, double (*formula)(const problem *, int64_t),
                  hct_ctx *ctx) {
    int ran = 0;
    while (p.n_in < MOST_IN && p.in[p.n_in].ndim) p.n_in++;
    while (p.n_out < 3 && p.out[p.n_out].ndim) p.n_out++;
    while (p.n_attr < 4 && p.attr[p.n_attr].name) p.n_attr++;
    hct_status st = HCT_OK;
    for (uint32_t i = 0; st == HCT_OK && i < p.n_in; i++) st = take(&p.in[i]);
    for (uint32_t o = 0; st == HCT_OK && o < p.n_out; o++)
        if (p.in_place && o == 0) p.out[0].mem = p.in[1].mem;
        else st = take(&p.out[o]);
    if (st < 0) {
        tap_ok(0, "%s %s: %s", op, what, err.msg);
        return;
    }
    int64_t n = hct_numel(&p.out[0]);
    int ends = p.ends ? p.ends : ENDS;
    double want[2 * ENDS];
    for (uint32_t i = 0; i < p.n_in; i++) /* indices are read by the whole block */
        for (int64_t j = 0, all = hct_numel(&p.in[i]); p.in[i].dtype == HCT_I32 && j < INDICES; j++)
            need(&p, (int)i, j), need(&p, (int)i, all - 1 - j);
    for (size_t k = 0; k < hct_kernel_count(ctx); k++) {
        const hct_kernel *kernel = hct_kernel_at(ctx, k);
        if (strcmp(kernel->op, op) != 0 || strcmp(kernel->backend, "cuda") != 0 || !is_ours(kernel->name)) continue;
        for (int j = 0; j < 2 * ends; j++) want[j] = formula(&p, j < ends ? j : n - 2 * ends + j);
        hct_view in[MOST_IN], out[3], ws = {0};
        memcpy(in, p.in, sizeof in);
        memcpy(out, p.out, sizeof out);
        for (int i = 0; i < MOST_IN; i++) in[i].mem = NULL;
        for (int i = 0; i < 3; i++) out[i].mem = NULL;
        hct_problem q = {.size = sizeof q,
                         .op = op,
                         .in = in,
                         .out = out,
                         .attr = p.attr,
                         .n_in = p.n_in,
                         .n_out = p.n_out,
                         .n_attr = p.n_attr};
        hct_plan plan = {.size = sizeof plan};
        st = kernel->plan(device, &q, &plan, &err);
        if (st == HCT_OK && plan.workspace) st = cuda->alloc(device, plan.workspace, &ws.mem, &err);
        if (st == HCT_OK) st = kernel->run(&plan, stream, p.in, p.out, &ws, &err);
        if (st == HCT_OK) st = cuda->stream_sync(stream, &err);
        int right = st == HCT_OK && ends_are_right(&p, formula, want);
        tap_ok(right, "%s %s, %lld elements: %s (%s)", op, what, (long long)n, kernel->name,
               st == HCT_OK ? "" : err.msg);
        ran++;
        if (ws.mem) cuda->free(device, ws.mem);
        if (kernel->release) kernel->release(&plan);
    }
    tap_ok(ran > 0, "%s: %d kernels", op, ran);
    for (uint32_t i = 0; i < p.n_in; i++) cuda->free(device, p.in[i].mem);
    for (uint32_t o = 0; o < p.n_out; o++)
        if (!(p.in_place && o == 0)) cuda->free(device, p.out[o].mem);
}

#define INT(name_, v)                                                                                                  \
    {                                                                                                                  \
        .name = (name_), .kind = HCT_ATTR_INT, .n = 1, .ints = {(v) }                                                  \
    }
#define REAL(name_, v)                                                                                                 \
    { .name = (name_), .kind = HCT_ATTR_REAL, .real = (v) }

int main(void) {
    hct_ctx *ctx = hct_open(NULL, &err);
    for (size_t i = 0; ctx && i < hct_backend_count(ctx); i++)
        if (!strcmp(hct_backend_at(ctx, i)->name, "cuda")) cuda = hct_backend_at(ctx, i);
    if (!cuda || cuda->open(0, &device, &err) < 0 || cuda->stream_new(device, &stream, &err) < 0) {
        printf("1..0 # SKIP %s\n", err.msg);
        return 0;
    }
    void *room = NULL; /* machines that promise no memory they have not got */
    if (cuda->alloc(device, 40ull << 30, &room, &err) < 0) {
        printf("1..0 # SKIP 40 GB of addresses cannot be had here\n");
        return 0;
    }
    cuda->free(device, room);
    enum { R = 238609411, C = 9 }; /* rows of 9: 2^31 + 1051 elements */
    const hct_view flat = V(HCT_F32, HUGE_N), rows = V(HCT_F32, R, C), one_row = V(HCT_F32, C), each = V(HCT_F32, R),
                   half = V(HCT_BF16, HUGE_N), matrix = V(HCT_F32, 32771, 65537),
                   turned = transposed(V(HCT_F32, 65537, 32771)), bytes = V(HCT_U8, 65539, 65537),
                   heads = V(HCT_BF16, 4194309, 4, 8, 16), tokens = V(HCT_F32, 79536471, 3, C);
    const struct {
        const char *op, *what;
        double (*formula)(const problem *, int64_t);
        problem p;
    } cases[] = {
        {"add", "of bf16", f_add, {.in = {half, half}, .out = {half}}},
        {"add", "of a matrix and a transposed one", f_add, {.in = {matrix, turned}, .out = {matrix}}},
        {"scale", "", f_scale, {.in = {flat}, .out = {flat}, .attr = {REAL("factor", 2), REAL("plus", 1)}}},
        {"gelu", "", f_gelu, {.in = {flat}, .out = {flat}}},
        {"cast", "to bf16", f_same, {.in = {flat}, .out = {half}, .attr = {INT("dtype", HCT_BF16)}}},
        {"copy", "transposed", f_same, {.in = {transposed(V(HCT_U8, 65537, 65539))}, .out = {bytes}}},
        {"fill",
         "",
         f_three,
         {.out = {flat},
          .attr = {{.name = "dim", .kind = HCT_ATTR_INTS, .n = 1, .ints = {HUGE_N}},
                   INT("dtype", HCT_F32),
                   REAL("value", 3)}}},
        {"bias_gelu", "", f_bias_gelu, {.in = {rows, one_row}, .out = {rows}, .ends = 2 * C}},
        {"layer_norm",
         "",
         f_layer_norm,
         {.in = {rows, one_row, one_row}, .out = {rows, each, each}, .attr = {REAL("eps", 1e-5)}, .ends = 2 * C}},
        {"softmax", "", f_softmax, {.in = {rows}, .out = {rows}, .ends = 2 * C}},
        {"sum", "over rows", f_sum, {.in = {rows}, .out = {each}, .attr = {INT("axes", 2), INT("keep", 0)}, .ends = 2}},
        {"linear",
         "",
         f_linear,
         {.in = {V(HCT_F32, 126322629, 5), V(HCT_F32, 17, 5)}, .out = {V(HCT_F32, 126322629, 17)}}},
        {"attention",
         "",
         f_attention,
         {.in = {heads, heads, heads},
          .out = {heads, V(HCT_F32, 4194309, 8, 4)},
          .attr = {REAL("scale", 0.25)},
          .ends = 32}},
        {"gather", "", f_gather, {.in = {tokens, V(HCT_I32, 79536471, 3)}, .out = {tokens}, .ends = 2 * C}},
        {"ema", "", f_ema, {.in = {V(HCT_F32, 2), flat, flat}, .out = {flat}, .attr = {INT("at", 0)}, .in_place = 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        large(cases[i].op, cases[i].what, cases[i].p, cases[i].formula, ctx);
    cuda->stream_free(stream);
    cuda->close(device);
    hct_close(ctx);
    return tap_done();
}
