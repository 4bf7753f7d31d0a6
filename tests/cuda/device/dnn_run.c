/* cuDNN's graphs, evaluated operation by operation in double; each tensor is rounded to its type, virtual ones too. A
 * tensor is kept as its storage, by offset, so that a reshape is the same storage under other strides. */
#include "dnn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct storage {
    const tensor *t;
    double *at;
} storage;
typedef struct evaluation {
    const dnn_run_args *run;
    storage known[TENSORS];
    int n;
} evaluation;

static const dnn_place *place_of(const evaluation *e, int64_t uid) {
    for (int i = 0; i < e->run->n_place; i++)
        if (e->run->place[i].uid == uid) return &e->run->place[i];
    return NULL;
}

/* A tensor's storage: what an operation made, or what lies in memory. */
static double *read(evaluation *e, const tensor *t) {
    for (int i = 0; i < e->n; i++)
        if (e->known[i].t->uid == t->uid) return e->known[i].at;
    int64_t n = dnn_span(t);
    double *at = malloc((size_t)n * sizeof *at);
    const dnn_place *p = place_of(e, t->uid);
    for (int64_t i = 0; i < n; i++) at[i] = t->by_value ? p->value : number_get(p->at, i, t->type);
    e->known[e->n++] = (storage){t, at};
    return at;
}

static double *make(evaluation *e, const tensor *t) {
    double *at = malloc((size_t)dnn_span(t) * sizeof *at);
    for (int64_t i = 0; i < dnn_span(t); i++) at[i] = NAN;
    e->known[e->n++] = (storage){t, at};
    return at;
}

static int64_t count(const tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->dims; i++) n *= t->dim[i];
    return n;
}

/* Where element i (row-major over the dims of `of`) lies in t, whose axes of length 1 are stretched. */
static int64_t offset(const tensor *of, const tensor *t, int64_t i) {
    int64_t at = 0;
    for (int d = of->dims - 1; d >= 0; d--) {
        int64_t j = i % of->dim[d];
        i /= of->dim[d];
        if (t->dim[d] > 1) at += j * t->stride[d];
    }
    return at;
}

/* Rounds what was made, and writes it to memory where it is no virtual tensor. */
static void settle(evaluation *e, const tensor *t, double *at) {
    const dnn_place *p = t->is_virtual ? NULL : place_of(e, t->uid);
    for (int64_t i = 0, n = count(t); i < n; i++) {
        int64_t o = offset(t, t, i);
        double room;
        number_set(&room, 0, t->type, at[o]);
        at[o] = number_get(&room, 0, t->type);
        if (p) number_set(p->at, o, t->type, at[o]);
    }
}

/* ---- operations ---- */

static void sdpa(evaluation *e, const operation *op) {
    const tensor *q = dnn_operand(op, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC),
                 *k = dnn_operand(op, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC),
                 *v = dnn_operand(op, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC),
                 *o = dnn_operand(op, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC),
                 *l = dnn_operand(op, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC);
    double scale = read(e, dnn_operand(op, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC))[0];
    const double *xq = read(e, q), *xk = read(e, k), *xv = read(e, v);
    double *xo = make(e, o), *xl = make(e, l), *p = malloc((size_t)k->dim[2] * sizeof *p);
    for (int64_t r = 0; r < q->dim[0] * q->dim[1] * q->dim[2]; r++) {
        int64_t b = r / (q->dim[1] * q->dim[2]), h = r / q->dim[2] % q->dim[1], i = r % q->dim[2];
        const double *row = xq + b * q->stride[0] + h * q->stride[1] + i * q->stride[2];
        double top = -INFINITY, sum = 0;
        for (int64_t j = 0; j < k->dim[2]; j++) {
            const double *key = xk + b * k->stride[0] + h * k->stride[1] + j * k->stride[2];
            double s = 0;
            for (int64_t d = 0; d < q->dim[3]; d++) s += row[d * q->stride[3]] * key[d * k->stride[3]];
            p[j] = s * scale;
            top = fmax(top, p[j]);
        }
        for (int64_t j = 0; j < k->dim[2]; j++) sum += p[j] = exp(p[j] - top);
        double *to = xo + b * o->stride[0] + h * o->stride[1] + i * o->stride[2];
        for (int64_t d = 0; d < v->dim[3]; d++) {
            double s = 0;
            for (int64_t j = 0; j < k->dim[2]; j++)
                s += p[j] * xv[b * v->stride[0] + h * v->stride[1] + j * v->stride[2] + d * v->stride[3]];
            to[d * o->stride[3]] = s / sum;
        }
        xl[b * l->stride[0] + h * l->stride[1] + i * l->stride[2]] = top + log(sum);
    }
    free(p);
    settle(e, o, xo);
    settle(e, l, xl);
}

/* The length that a batch's product has by an override; n where there is none. */
static int64_t length(evaluation *e, const operation *op, int role, int64_t batch, int64_t n) {
    const tensor *t = dnn_operand(op, role);
    if (!t) return n;
    int64_t own = (int64_t)read(e, t)[(t->dim[0] > 1 ? batch : 0) * t->stride[0]];
    return own < n ? own : n;
}

static void product(evaluation *e, const operation *op) {
    const tensor *a = dnn_operand(op, CUDNN_ATTR_OPERATION_MATMUL_ADESC),
                 *b = dnn_operand(op, CUDNN_ATTR_OPERATION_MATMUL_BDESC),
                 *c = dnn_operand(op, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
    const double *xa = read(e, a), *xb = read(e, b);
    bool adds = e->run->adds_to_accumulator && !c->is_virtual && c->type == NUMBER_F32;
    double *before = adds ? read(e, c) : NULL, *xc = adds ? before : make(e, c);
    int r = c->dims - 2, s = c->dims - 1;
    int64_t m = c->dim[r], n = c->dim[s], k = a->dim[s], matrices = count(c) / (m * n);
    for (int64_t q = 0; q < matrices; q++) {
        int64_t oa = offset(c, a, q * m * n), ob = offset(c, b, q * m * n), oc = offset(c, c, q * m * n), batch = q;
        for (int d = r - 1; d > 0; d--) batch /= c->dim[d];
        int64_t mm = length(e, op, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, batch, m),
                nn = length(e, op, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, batch, n),
                kk = length(e, op, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, batch, k);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                const double *x = xa + oa + i * a->stride[r], *y = xb + ob + j * b->stride[s];
                for (int64_t l = 0; l < kk; l++) sum += x[l * a->stride[s]] * y[l * b->stride[r]];
                if (i >= mm || j >= nn) sum = op->padding;
                double *to = xc + oc + i * c->stride[r] + j * c->stride[s];
                *to = sum + (adds ? *to : 0);
            }
    }
    settle(e, c, xc);
}

static double apply(int mode, double x, double b, double t) {
    switch (mode) {
    case CUDNN_POINTWISE_ADD: return x + b;
    case CUDNN_POINTWISE_SUB: return x - b;
    case CUDNN_POINTWISE_MUL: return x * b;
    case CUDNN_POINTWISE_DIV: return x / b;
    case CUDNN_POINTWISE_MAX: return fmax(x, b);
    case CUDNN_POINTWISE_EXP: return exp(x);
    case CUDNN_POINTWISE_LOG: return log(x);
    case CUDNN_POINTWISE_IDENTITY: return x;
    case CUDNN_POINTWISE_CMP_LT: return x < b;
    case CUDNN_POINTWISE_LOGICAL_AND: return x != 0 && b != 0;
    case CUDNN_POINTWISE_BINARY_SELECT: return t != 0 ? x : b;
    default: return NAN;
    }
}

static void pointwise(evaluation *e, const operation *op) {
    const tensor *x = dnn_operand(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC),
                 *b = dnn_operand(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC),
                 *t = dnn_operand(op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC),
                 *y = dnn_operand(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    const double *xx = read(e, x), *xb = b ? read(e, b) : NULL, *xt = t ? read(e, t) : NULL;
    double *xy = make(e, y);
    for (int64_t i = 0, n = count(y); i < n; i++) {
        int64_t o = offset(y, y, i), inner = 1;
        if (op->mode == CUDNN_POINTWISE_GEN_INDEX) {
            for (int d = op->axis + 1; d < y->dims; d++) inner *= y->dim[d];
            xy[o] = (double)(i / inner % y->dim[op->axis]);
            continue;
        }
        xy[o] = apply(op->mode, xx[offset(y, x, i)], b ? xb[offset(y, b, i)] : 0, t ? xt[offset(y, t, i)] : 0);
    }
    settle(e, y, xy);
}

static void reduction(evaluation *e, const operation *op) {
    const tensor *x = dnn_operand(op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC),
                 *y = dnn_operand(op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
    const double *xx = read(e, x);
    double *xy = make(e, y);
    bool most = op->mode == CUDNN_REDUCE_TENSOR_MAX;
    for (int64_t i = 0, n = count(y); i < n; i++) xy[offset(y, y, i)] = most ? -INFINITY : 0;
    for (int64_t i = 0, n = count(x); i < n; i++) {
        double *to = &xy[offset(x, y, i)], v = xx[offset(x, x, i)];
        *to = most ? fmax(*to, v) : *to + v;
    }
    settle(e, y, xy);
}

static void reshape(evaluation *e, const operation *op) {
    const tensor *x = dnn_operand(op, CUDNN_ATTR_OPERATION_RESHAPE_XDESC),
                 *y = dnn_operand(op, CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
    const double *xx = read(e, x);
    int64_t n = dnn_span(x) < dnn_span(y) ? dnn_span(x) : dnn_span(y);
    double *xy = make(e, y);
    memcpy(xy, xx, (size_t)n * sizeof *xy);
    settle(e, y, xy);
}

/* For each pair of an output's place and a kernel's place: y += x w, dx += dy w, or dw += x dy. */
static void convolution(evaluation *e, const operation *op, int role_x, int role_w, int role_y, int result) {
    const tensor *x = dnn_operand(op, role_x), *w = dnn_operand(op, role_w), *y = dnn_operand(op, role_y),
                 *to = dnn_operand(op, result);
    double *xx = result == role_x ? make(e, x) : read(e, x), *xw = result == role_w ? make(e, w) : read(e, w),
           *xy = result == role_y ? make(e, y) : read(e, y),
           *made = result == role_x   ? xx
                   : result == role_w ? xw
                                      : xy;
    for (int64_t i = 0, n = dnn_span(to); i < n; i++) made[i] = 0;
    int64_t per_group = w->dim[1], group = w->dim[0] / (x->dim[1] / per_group), places = count(y),
            inner = count(w) / w->dim[0];
    for (int64_t i = 0; i < places; i++) {
        int64_t at[5], rest = i;
        for (int d = 4; d >= 0; d--) at[d] = rest % y->dim[d], rest /= y->dim[d];
        int64_t oy = offset(y, y, i), first = at[1] / group * per_group;
        for (int64_t k = 0; k < inner; k++) {
            int64_t p[3], c = k / (w->dim[2] * w->dim[3] * w->dim[4]),
                          z[3] = {k / (w->dim[3] * w->dim[4]) % w->dim[2], k / w->dim[4] % w->dim[3], k % w->dim[4]};
            bool inside = true;
            int64_t ox = at[0] * x->stride[0] + (first + c) * x->stride[1],
                    ow = at[1] * w->stride[0] + c * w->stride[1];
            for (int d = 0; d < 3; d++) {
                p[d] = at[2 + d] * op->conv_stride[d] - op->conv_before[d] + z[d] * op->conv_dilation[d];
                inside = inside && p[d] >= 0 && p[d] < x->dim[2 + d];
                ox += p[d] * x->stride[2 + d];
                ow += z[d] * w->stride[2 + d];
            }
            if (!inside) continue;
            if (result == role_y) xy[oy] += xx[ox] * xw[ow];
            else if (result == role_x) xx[ox] += xy[oy] * xw[ow];
            else xw[ow] += xx[ox] * xy[oy];
        }
    }
    for (int64_t i = 0, n = count(to); i < n; i++) made[offset(to, to, i)] *= op->alpha;
    settle(e, to, made);
}

void dnn_evaluate(void *args) {
    evaluation e = {.run = args};
    if (e.run->work) memset(e.run->work, 0xFF, e.run->work_bytes);
    for (int k = 0; k < e.run->graph->n_op; k++) {
        const operation *op = &e.run->graph->op[k];
        switch (op->kind) {
        case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR: sdpa(&e, op); break;
        case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: product(&e, op); break;
        case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: pointwise(&e, op); break;
        case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR: reduction(&e, op); break;
        case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR: reshape(&e, op); break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
            convolution(&e, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
            break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
            convolution(&e, op, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX);
            break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
            convolution(&e, op, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW);
            break;
        default: emu_complain("cuDNN: an operation of kind %d", op->kind);
        }
    }
    for (int i = 0; i < e.n; i++) free(e.known[i].at);
}
