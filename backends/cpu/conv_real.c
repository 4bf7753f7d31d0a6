/* 3D convolution by unfolding a block of positions into columns and a matrix product; its backwards the same way
 * round. Everything between the operands and the result is held in acc. Rows of the columns are (channel of the
 * group, kernel place), as the weights lie. */
#include "real.h"

#include "gemm.h"

#include <string.h>

typedef GEMM(gemm) gemm;

/* elements of a block of columns; channels that one task of a backward takes */
enum { COLUMNS = 1 << 18, CHANNELS = 16 };

typedef struct shape {
    int64_t batch, in, out, groups; /* in, out: channels of a group */
    int64_t d[3], k[3], p[3], stride[3], padding[3], dilation[3];
    int64_t taps, positions, voxels, block; /* of a kernel, of an output, of an input; positions worked on together */
} shape;

/* x: dims of the input, w: of the weights, y: of the output. */
static shape shape_of(const hct_attr *a, uint32_t n_attr, const int64_t *x, const int64_t *w, const int64_t *y) {
    shape s = {.batch = x[0], .groups = hct_attr_int(a, n_attr, "groups", 1), .in = w[1]};
    s.out = w[0] / s.groups;
    for (int i = 0; i < 3; i++) {
        s.d[i] = x[2 + i];
        s.k[i] = w[2 + i];
        s.p[i] = y[2 + i];
        s.stride[i] = hct_attr_find(a, n_attr, "stride")->ints[i];
        s.padding[i] = hct_attr_find(a, n_attr, "padding")->ints[i];
        s.dilation[i] = hct_attr_find(a, n_attr, "dilation")->ints[i];
    }
    s.taps = s.k[0] * s.k[1] * s.k[2];
    s.positions = s.p[0] * s.p[1] * s.p[2];
    s.voxels = s.d[0] * s.d[1] * s.d[2];
    s.block = COLUMNS / (s.in * s.taps + 1);
    s.block = s.block < 64 ? 64 : s.block;
    if (s.block > s.positions) s.block = s.positions;
    return s;
}
/* Where each op keeps them; out: the result. */
static shape shape_in(const char *op, const hct_attr *a, uint32_t n_attr, const hct_view *in, const hct_view *out) {
    if (!strcmp(op, "conv3d")) return shape_of(a, n_attr, in[0].dim, in[1].dim, out->dim);
    return !strcmp(op, "conv3d.bwd_x") ? shape_of(a, n_attr, out->dim, in[0].dim, in[1].dim)
                                       : shape_of(a, n_attr, in[0].dim, out->dim, in[1].dim);
}

/* The voxel, as an offset on each axis, that kernel place `tap` sees at position `at`; 0 where that is padding. */
static int voxel(const shape *s, int64_t tap, int64_t at, int64_t *v) {
    for (int i = 2; i >= 0; i--) {
        v[i] = at % s->p[i] * s->stride[i] - s->padding[i] + tap % s->k[i] * s->dilation[i];
        if (v[i] < 0 || v[i] >= s->d[i]) return 0;
        at /= s->p[i];
        tap /= s->k[i];
    }
    return 1;
}

/* columns [channels][taps][n]: positions first .. first + n of channels from `channel` on of sample b. */
static void unfold(const shape *s, const hct_view *x, int64_t b, int64_t channel, int64_t channels, int64_t first,
                   int64_t n, acc *columns) {
    int64_t v[3];
    for (int64_t c = 0; c < channels; c++) {
        const real *from = (const real *)hct_ptr(x) + b * x->stride[0] + (channel + c) * x->stride[1];
        for (int64_t tap = 0; tap < s->taps; tap++, columns += n)
            for (int64_t i = 0; i < n; i++)
                columns[i] = voxel(s, tap, first + i, v)
                                 ? ld(from[v[0] * x->stride[2] + v[1] * x->stride[3] + v[2] * x->stride[4]])
                                 : 0;
    }
}

/* to [channels][n]: positions first .. of y's channels from `channel` on. */
static void take(const shape *s, const hct_view *y, int64_t b, int64_t channel, int64_t channels, int64_t first,
                 int64_t n, acc *to) {
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < n; i++) {
            int64_t at = first + i, p2 = at % s->p[2], p1 = at / s->p[2] % s->p[1], p0 = at / (s->p[2] * s->p[1]);
            *to++ = ld(((const real *)hct_ptr(y))[b * y->stride[0] + (channel + c) * y->stride[1] + p0 * y->stride[2] +
                                                  p1 * y->stride[3] + p2 * y->stride[4]]);
        }
}

/* All weights as acc, contiguous, after the threads' workspace. */
static const acc *weights(const hct_plan *p, const hct_view *ws, const hct_view *w) {
    acc *to = (acc *)((char *)hct_ptr(ws) + cpu_state(p)->per_thread * cpu_state(p)->threads);
    for (int64_t i = 0; i < hct_numel(w); i++) to[i] = ld(((const real *)hct_ptr(w))[cpu_row(w, 0, i)]);
    return to;
}

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    const shape s = shape_in(p->op, p->attr, p->n_attr, p->in, p->out);
    int64_t rows = s.in * s.taps, some = (s.in < CHANNELS ? s.in : CHANNELS) * s.taps, shared = 0, mine;
    if (!strcmp(p->op, "conv3d")) { /* columns and a block of y */
        mine = (rows + s.out) * s.block;
        shared = hct_numel(&p->in[1]);
    } else if (!strcmp(p->op, "conv3d.bwd_x")) { /* a block of dy, its columns, sums in double */
        mine = (s.out + some) * s.block + CHANNELS * s.voxels * (int64_t)(sizeof(double) / sizeof(acc));
        shared = hct_numel(&p->in[0]);
    } else { /* a block of dy, columns, their product, sums in double */
        mine = (s.out + some) * s.block + s.out * some * (int64_t)(1 + sizeof(double) / sizeof(acc));
    }
    hct_status st = cpu_plan_workspace(p, ret, GEMM_SCRATCH(acc) + (uint64_t)(mine + 32) * sizeof(acc), err);
    if (st == HCT_OK) ret->workspace += (uint64_t)shared * sizeof(acc);
    return st;
}

static void multiply(int64_t m, int64_t n, int64_t k, const acc *a, int64_t row_a, int64_t col_a, const acc *b,
                     int64_t row_b, int64_t col_b, acc *c, void *scratch) {
    const gemm g = {.m = m,
                    .n = n,
                    .k = k,
                    .a = a,
                    .b = b,
                    .c = c,
                    .row_a = row_a,
                    .col_a = col_a,
                    .row_b = row_b,
                    .col_b = col_b,
                    .row_c = n,
                    .col_c = 1,
                    .alpha = 1};
    GEMM(gemm_serial)(&g, scratch);
}

static hct_status run_conv(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                           const hct_view *ws, hct_err *err) {
    (void)stream, (void)err;
    const shape s = shape_in("conv3d", cpu_state(p)->attr, cpu_state(p)->n_attr, in, out);
    int64_t rows = s.in * s.taps, blocks = s.positions ? (s.positions + s.block - 1) / s.block : 0;
    int with_bias = cpu_state(p)->n_in == 3;
    const acc *w = weights(p, ws, &in[1]);
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < s.batch * s.groups * blocks; task++) {
        int64_t first = task % blocks * s.block, n = s.positions - first < s.block ? s.positions - first : s.block;
        int64_t g = task / blocks % s.groups, b = task / blocks / s.groups;
        acc *columns = (acc *)(cpu_workspace(p, ws) + GEMM_SCRATCH(acc)), *y = columns + rows * s.block;
        unfold(&s, &in[0], b, g * s.in, s.in, first, n, columns);
        multiply(s.out, n, rows, w + g * s.out * rows, rows, 1, columns, n, 1, y, cpu_workspace(p, ws));
        for (int64_t o = 0; o < s.out; o++) {
            acc bias = with_bias ? ld(((const real *)hct_ptr(&in[2]))[(g * s.out + o) * in[2].stride[0]]) : 0;
            real *to = (real *)hct_ptr(out) + ((b * s.groups + g) * s.out + o) * s.positions + first;
            for (int64_t i = 0; i < n; i++) to[i] = st(y[o * n + i] + bias);
        }
    }
    return HCT_OK;
}

/* A task takes a few channels of one sample: columns of gradients, each added to the voxel it came from. */
static hct_status run_bwd_x(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                            const hct_view *ws, hct_err *err) {
    (void)stream, (void)err;
    const shape s = shape_in("conv3d.bwd_x", cpu_state(p)->attr, cpu_state(p)->n_attr, in, out);
    int64_t rows = s.in * s.taps, parts = (s.in + CHANNELS - 1) / CHANNELS;
    const acc *w = weights(p, ws, &in[0]);
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < s.batch * s.groups * parts; task++) {
        int64_t c0 = task % parts * CHANNELS, c = s.in - c0 < CHANNELS ? s.in - c0 : CHANNELS,
                g = task / parts % s.groups, b = task / parts / s.groups, v[3];
        double *sum = (double *)(cpu_workspace(p, ws) + cpu_round(GEMM_SCRATCH(acc)));
        acc *dy = (acc *)(sum + CHANNELS * s.voxels), *columns = dy + s.out * s.block;
        for (int64_t i = 0; i < c * s.voxels; i++) sum[i] = 0;
        for (int64_t first = 0; first < s.positions; first += s.block) {
            int64_t n = s.positions - first < s.block ? s.positions - first : s.block;
            take(&s, &in[1], b, g * s.out, s.out, first, n, dy);
            multiply(c * s.taps, n, s.out, w + g * s.out * rows + c0 * s.taps, 1, rows, dy, n, 1, columns,
                     cpu_workspace(p, ws));
            for (int64_t r = 0; r < c * s.taps; r++)
                for (int64_t i = 0; i < n; i++)
                    if (voxel(&s, r % s.taps, first + i, v))
                        sum[r / s.taps * s.voxels + (v[0] * s.d[1] + v[1]) * s.d[2] + v[2]] +=
                            (double)columns[r * n + i];
        }
        real *dx = (real *)hct_ptr(out) + ((b * s.groups + g) * s.in + c0) * s.voxels;
        for (int64_t i = 0; i < c * s.voxels; i++) dx[i] = st((acc)sum[i]);
    }
    return HCT_OK;
}

/* A task takes a few input channels of a group, over all samples and positions. */
static hct_status run_bwd_w(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                            const hct_view *ws, hct_err *err) {
    (void)stream, (void)err;
    const shape s = shape_in("conv3d.bwd_w", cpu_state(p)->attr, cpu_state(p)->n_attr, in, out);
    int64_t parts = (s.in + CHANNELS - 1) / CHANNELS;
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < s.groups * parts; task++) {
        int64_t c0 = task % parts * CHANNELS, c = s.in - c0 < CHANNELS ? s.in - c0 : CHANNELS, g = task / parts,
                rows = c * s.taps;
        double *sum = (double *)(cpu_workspace(p, ws) + cpu_round(GEMM_SCRATCH(acc)));
        acc *product = (acc *)(sum + s.out * rows), *dy = product + s.out * rows, *columns = dy + s.out * s.block;
        for (int64_t i = 0; i < s.out * rows; i++) sum[i] = 0;
        for (int64_t b = 0; b < s.batch; b++)
            for (int64_t first = 0; first < s.positions; first += s.block) {
                int64_t n = s.positions - first < s.block ? s.positions - first : s.block;
                take(&s, &in[1], b, g * s.out, s.out, first, n, dy);
                unfold(&s, &in[0], b, g * s.in + c0, c, first, n, columns);
                multiply(s.out, rows, n, dy, n, 1, columns, 1, n, product, cpu_workspace(p, ws));
                for (int64_t i = 0; i < s.out * rows; i++) sum[i] += (double)product[i];
            }
        for (int64_t o = 0; o < s.out; o++)
            for (int64_t r = 0; r < rows; r++)
                ((real *)hct_ptr(out))[((g * s.out + o) * s.in + c0) * s.taps + r] = st((acc)sum[o * rows + r]);
    }
    return HCT_OK;
}

KERNEL_PLANNED(k_conv, "conv3d", plan, run_conv);
KERNEL_PLANNED(k_bwd_x, "conv3d.bwd_x", plan, run_bwd_x);
KERNEL_PLANNED(k_bwd_w, "conv3d.bwd_w", plan, run_bwd_w);

const hct_kernel *const REAL(cpu_conv)[] = {&k_conv, &k_bwd_x, &k_bwd_w, NULL};
