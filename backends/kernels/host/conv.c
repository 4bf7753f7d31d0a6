/* 3D convolution and its backwards: columns of a block of positions (conv.cl) around a product by the library or
 * gemm.cl. */
#include "products.h"

#include <string.h>

enum { COLUMNS = 1 << 22, LEAST = 256 }; /* elements of a block of columns; positions that a block has at least */

typedef struct block { /* conv.cl's conv */
    int64_t d[3], k[3], p[3], stride[3], padding[3], dilation[3], step[4], first, n;
} block;

typedef struct conv {
    block z;
    /* in, out: channels of a group; rows of the columns */
    int64_t batch, groups, in, out, taps, positions, voxels, rows;
    int32_t dtype;
    int pointwise; /* the columns are the volume itself */
} conv;

static int64_t product3(const int64_t *n) { return n[0] * n[1] * n[2]; }

static hct_status start(const hct_problem *p, const hct_view *x, const hct_view *w, const hct_view *y, conv *c,
                        hct_err *err) {
    static const char *const names[] = {"stride", "padding", "dilation"};
    *c = (conv){.batch = x->dim[0], .groups = hk_int(p, "groups"), .in = w->dim[1], .dtype = p->in[0].dtype};
    c->out = w->dim[0] / c->groups;
    memcpy(c->z.d, x->dim + 2, sizeof c->z.d);
    memcpy(c->z.k, w->dim + 2, sizeof c->z.k);
    memcpy(c->z.p, y->dim + 2, sizeof c->z.p);
    int64_t *const to[] = {c->z.stride, c->z.padding, c->z.dilation};
    for (int i = 0; i < 3; i++) memcpy(to[i], hct_attr_find(p->attr, p->n_attr, names[i])->ints, sizeof c->z.k);
    memcpy(c->z.step, x->stride + 1, sizeof c->z.step);
    c->taps = product3(c->z.k);
    c->positions = product3(c->z.p);
    c->voxels = product3(c->z.d);
    c->rows = c->in * c->taps;
    c->pointwise =
        c->taps == 1 && product3(c->z.stride) == 1 && c->z.padding[0] + c->z.padding[1] + c->z.padding[2] == 0;
    if (c->voxels >> 30 || c->positions >> 30 || c->rows * LEAST >> 31)
        return hct_plugin_fail(err, HCT_NOTIMPL, "volumes of 2^30 voxels and more");
    return HCT_OK;
}

/* Positions of a block. */
static int64_t block_of(const conv *c) {
    int64_t n = COLUMNS / (c->rows + 1);
    n = n < LEAST ? LEAST : n;
    return n > c->positions || c->pointwise ? c->positions : n;
}

/* c = a b (+ c), as the target does it. to_float: c is float. */
static hct_status multiply(hk *b, const conv *c, hk_gemm *g, hk_ref to, hk_ref x, hk_ref y, hk_ref bias, int to_float,
                           hct_err *err) {
    if (!hk_library_takes(b, c->dtype) || (to_float && c->dtype != HCT_F32)) {
        hk_gemm_own(b, c->dtype, g, to, x, y, bias, to_float);
        return HCT_OK;
    }
    return hk_gemm_library(b, g, to, x, y, g->add || g->has_bias, NULL, 0)
               ? HCT_OK
               : hct_plugin_fail(err, HCT_NOTIMPL, "the library does not take these matrices");
}

static hk_ref element(const conv *c, hk_ref r, int64_t i) { return hk_at(r, (uint64_t)i * hct_dtype_bytes(c->dtype)); }

/* Columns of positions first .. first + n of sample s, group g: the volume itself, or unfolded into `columns`. x
 * begins at its sample 0. */
static hk_ref unfold(hk *b, conv *c, hk_ref columns, hk_ref x, int64_t sample_step, int64_t s, int64_t g, int64_t first,
                     int64_t n) {
    hk_ref from = element(c, x, s * sample_step + g * c->in * c->z.step[0]);
    if (c->pointwise) return from;
    c->z.first = first;
    c->z.n = n;
    hk_each(b, "conv", c->dtype, "conv_columns", c->rows * n);
    hk_mem(b, columns);
    hk_mem(b, from);
    hk_struct(b, &c->z, sizeof c->z);
    return columns;
}

/* in[i] for unfolding: as it lies, but contiguous where it is the columns itself. */
static hk_ref volume(hk *b, uint32_t i, conv *c, int64_t *ret_sample_step) {
    hct_view v = b->problem->in[i];
    hk_ref r = HK_IN_(i);
    if (c->pointwise) {
        r = hk_flat(b, i);
        hk_contiguous(&v);
    }
    memcpy(c->z.step, v.stride + 1, sizeof c->z.step);
    *ret_sample_step = v.stride[0];
    return r;
}

static hct_status plan_conv(hk *b, const hct_problem *p, hct_err *err) {
    conv c;
    int64_t step;
    hct_status st = start(p, &p->in[0], &p->in[1], p->out, &c, err);
    if (st != HCT_OK || hct_numel(p->out) == 0) return st;
    int64_t most = block_of(&c);
    hk_ref x = volume(b, 0, &c, &step), w = hk_flat(b, 1),
           columns = c.pointwise ? x : hk_work(b, (uint64_t)(c.rows * most) * hct_dtype_bytes(c.dtype));
    int with_bias = p->n_in == 3;
    if (with_bias && hk_library_takes(b, c.dtype)) {
        hk_each(b, "conv", c.dtype, "conv_bias", hct_numel(p->out));
        hk_mem(b, HK_OUT_(0));
        hk_mem(b, HK_IN_(2));
        hk_i64(b, c.out * c.groups);
        hk_i64(b, c.positions);
        hk_i64(b, p->in[2].stride[0]);
    }
    for (int64_t s = 0; s < c.batch; s++)
        for (int64_t g = 0; g < c.groups; g++)
            for (int64_t first = 0; st == HCT_OK && first < c.positions; first += most) {
                int64_t n = c.positions - first < most ? c.positions - first : most;
                hk_ref cols = unfold(b, &c, columns, x, step, s, g, first, n),
                       y = element(&c, HK_OUT_(0), (s * c.groups + g) * c.out * c.positions + first);
                hk_gemm m = {.m = c.out,
                             .n = n,
                             .k = c.rows,
                             .row_a = c.rows,
                             .col_a = 1,
                             .row_b = n,
                             .col_b = 1,
                             .row_c = c.positions,
                             .has_bias = with_bias};
                hk_ref bias = with_bias ? HK_IN_(2) : w;
                if (with_bias) {
                    m.step_bias_row = p->in[2].stride[0];
                    bias = element(&c, bias, g * c.out * m.step_bias_row);
                }
                st = multiply(b, &c, &m, y, element(&c, w, g * c.out * c.rows), cols, bias, 0, err);
            }
    return st;
}

/* dw: sums over samples and blocks in float. */
static hct_status plan_bwd_w(hk *b, const hct_problem *p, hct_err *err) {
    conv c;
    int64_t step;
    hct_status st = start(p, &p->in[0], p->out, &p->in[1], &c, err);
    if (st != HCT_OK) return st;
    int64_t most = block_of(&c), all = hct_numel(p->out);
    int narrow = c.dtype != HCT_F32;
    hk_ref x = volume(b, 0, &c, &step), dy = hk_flat(b, 1),
           columns = c.pointwise ? x : hk_work(b, (uint64_t)(c.rows * most) * hct_dtype_bytes(c.dtype));
    hk_ref sums = narrow ? hk_work(b, (uint64_t)all * sizeof(float)) : HK_OUT_(0);
    hk_fill(b, sums, HCT_F32, all, 0);
    for (int64_t s = 0; s < c.batch; s++)
        for (int64_t g = 0; g < c.groups; g++)
            for (int64_t first = 0; st == HCT_OK && first < c.positions; first += most) {
                int64_t n = c.positions - first < most ? c.positions - first : most;
                hk_ref cols = unfold(b, &c, columns, x, step, s, g, first, n),
                       y = element(&c, dy, (s * c.groups + g) * c.out * c.positions + first);
                hk_gemm m = {.m = c.out,
                             .n = c.rows,
                             .k = n,
                             .row_a = c.positions,
                             .col_a = 1,
                             .row_b = 1,
                             .col_b = n,
                             .row_c = c.rows,
                             .add = 1};
                st = multiply(b, &c, &m, hk_at(sums, (uint64_t)(g * c.out * c.rows) * sizeof(float)), y, cols, y, 1,
                              err);
            }
    if (narrow) hk_cast(b, HK_OUT_(0), c.dtype, sums, HCT_F32, all);
    return st;
}

/* The planes of y that see planes [v0, v1) of x: first and how many. */
static void seen_by(const block *z, int64_t v0, int64_t v1, int64_t *ret_first, int64_t *ret_n) {
    int64_t low = v0 + z->padding[0] - (z->k[0] - 1) * z->dilation[0], high = v1 - 1 + z->padding[0];
    int64_t first = low <= 0 ? 0 : (low + z->stride[0] - 1) / z->stride[0], last = high / z->stride[0];
    if (last > z->p[0] - 1) last = z->p[0] - 1;
    *ret_first = first;
    *ret_n = last < first ? 0 : last - first + 1;
}

/* dx: columns of gradients (float) = w^T dy, gathered; a slab of planes of x at a time. */
static hct_status plan_bwd_x(hk *b, const hct_problem *p, hct_err *err) {
    conv c;
    hct_status st = start(p, p->out, &p->in[0], &p->in[1], &c, err);
    if (st != HCT_OK || hct_numel(p->out) == 0) return st;
    hk_ref w = hk_flat(b, 0), dy = hk_flat(b, 1), columns = w;
    int64_t plane = c.z.p[1] * c.z.p[2], planes = block_of(&c) / plane, thick, need = 0;
    thick = (planes > 0 ? planes : 1) * c.z.stride[0]; /* planes of x that about as many positions see */
    if (thick > c.z.d[0] || c.pointwise) thick = c.z.d[0];
    for (int64_t v0 = 0; v0 < c.z.d[0]; v0 += thick) {
        int64_t first, n;
        seen_by(&c.z, v0, v0 + thick < c.z.d[0] ? v0 + thick : c.z.d[0], &first, &n);
        if (n > need) need = n;
    }
    if (c.rows * need * plane >> 32)
        return hct_plugin_fail(err, HCT_NOTIMPL, "a plane of columns has more than 2^32 elements");
    if (!c.pointwise) columns = hk_work(b, (uint64_t)(c.rows * need * plane) * sizeof(float));
    c.z.step[0] = c.voxels;
    for (int64_t s = 0; s < c.batch; s++)
        for (int64_t g = 0; g < c.groups; g++)
            for (int64_t v0 = 0; st == HCT_OK && v0 < c.z.d[0]; v0 += thick) {
                int64_t depth = c.z.d[0] - v0 < thick ? c.z.d[0] - v0 : thick;
                seen_by(&c.z, v0, v0 + depth, &c.z.first, &c.z.n);
                int64_t n = c.z.n * plane;
                hk_ref dx = element(&c, HK_OUT_(0), (s * c.groups + g) * c.in * c.voxels);
                hk_ref y = element(&c, dy, (s * c.groups + g) * c.out * c.positions + c.z.first * plane);
                hk_gemm m = {.m = c.rows,
                             .n = n,
                             .k = c.out,
                             .row_a = 1,
                             .col_a = c.rows,
                             .row_b = c.positions,
                             .col_b = 1,
                             .row_c = n};
                if (n > 0)
                    st = multiply(b, &c, &m, c.pointwise ? dx : columns, element(&c, w, g * c.out * c.rows), y, y,
                                  !c.pointwise, err);
                if (c.pointwise) continue;
                hk_each(b, "conv", c.dtype, "conv_gather", c.in * depth * c.z.d[1] * c.z.d[2]);
                hk_mem(b, dx);
                hk_mem(b, columns);
                hk_struct(b, &c.z, sizeof c.z);
                hk_i64(b, v0);
                hk_i64(b, depth);
            }
    return st;
}

const hk_op hk_conv[] = {
    {"conv3d", plan_conv, HK_REAL, 0},
    {"conv3d.bwd_x", plan_bwd_x, HK_REAL, 0},
    {"conv3d.bwd_w", plan_bwd_w, HK_REAL, 0},
    {0},
};
