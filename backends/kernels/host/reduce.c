/* Sums over axes, as rows, columns, or one long run. */
#include "launch.h"

#include <string.h>

enum { LONG = 16384, PART = 4096 }; /* elements a partial sum covers */

/* x as [outer kept][gone][inner kept] with strides, where the axes allow it. */
typedef struct split {
    int64_t outer, gone, inner, so, sg;
    int fits;
} split;

/* Axes that are not 1, in order; a run of kept, a run of gone, a run of kept, each evenly spaced, the last at stride
 * 1. */
static split split_of(const hct_view *x, int64_t axes) {
    split s = {1, 1, 1, 0, 0, 1};
    int64_t *dim[] = {&s.outer, &s.gone, &s.inner}, stride[3] = {0, 0, 1}, expect[3] = {-1, -1, 1};
    int part = 2;
    for (int d = x->ndim - 1; d >= 0; d--) {
        if (x->dim[d] == 1) continue;
        int gone = (int)(axes >> d & 1);
        if (part == 2 && gone) part = 1;
        if (part == 1 && !gone) part = 0;
        if (part == 0 && gone) s.fits = 0;
        if (expect[part] < 0) stride[part] = x->stride[d];
        else if (x->stride[d] != expect[part]) s.fits = 0;
        expect[part] = x->stride[d] * x->dim[d];
        *dim[part] *= x->dim[d];
    }
    s.so = stride[0];
    s.sg = stride[1];
    return s;
}

/* A copy with the kept axes first, contiguous. */
static hk_ref kept_first(hk *b, const hct_problem *p, int64_t axes, split *ret) {
    const hct_view *x = &p->in[0];
    hct_view from = *x, to;
    int n = 0;
    int64_t kept = 1, gone = 1;
    for (int pass = 0; pass < 2; pass++)
        for (int d = 0; d < x->ndim; d++) {
            if ((int)(axes >> d & 1) != pass) continue;
            from.dim[n] = x->dim[d];
            from.stride[n++] = x->stride[d];
            *(pass ? &gone : &kept) *= x->dim[d];
        }
    to = from;
    hk_contiguous(&to);
    hk_ref r = hk_work(b, (uint64_t)hct_numel(x) * hct_dtype_bytes(x->dtype));
    hk_copy(b, r, &to, HK_IN_(0), &from);
    *ret = (split){kept, gone, 1, gone, 1, 1};
    return r;
}

static void sum_columns(hk *b, int32_t dtype, hk_ref x, const split *s) {
    int64_t parts = (s->gone + 127) / 128, most = (int64_t)b->target->units * 4;
    if (parts > most) parts = most;
    if (parts < 1) parts = 1;
    int64_t part = (s->gone + parts - 1) / parts;
    hk_ref partial = hk_work(b, (uint64_t)(s->outer * parts * s->inner) * sizeof(float));
    hk_each(b, "reduce", dtype, "sum_columns", s->outer * parts * hk_strips(b, s->inner));
    hk_mem(b, partial);
    hk_mem(b, x);
    hk_i64(b, s->so);
    hk_i64(b, s->sg);
    hk_i64(b, s->gone);
    hk_i64(b, s->inner);
    hk_i64(b, parts);
    hk_i64(b, part);
    hk_each(b, "reduce", dtype, "sum_columns_last", s->outer * s->inner);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, partial);
    hk_i64(b, s->inner);
    hk_i64(b, parts);
}

static hct_status plan_sum(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    const hct_view *x = &p->in[0];
    int64_t axes = hk_int(p, "axes");
    split s = split_of(x, axes);
    hk_ref from = HK_IN_(0);
    if (hct_numel(p->out) == 0) return HCT_OK;
    /* A last axis that is summed must lie together. */
    if (!s.fits || (s.inner == 1 && s.gone > 1 && s.sg != 1)) from = kept_first(b, p, axes, &s);
    if (s.inner > 1) {
        sum_columns(b, x->dtype, from, &s);
    } else if (s.outer == 1 && s.gone > LONG) {
        int64_t parts = (s.gone + PART - 1) / PART;
        hk_ref partial = hk_work(b, (uint64_t)parts * sizeof(float));
        hk_rows(b, "reduce", x->dtype, "sum_parts", parts);
        hk_mem(b, partial);
        hk_mem(b, from);
        hk_i64(b, s.gone);
        hk_i64(b, PART);
        hk_rows(b, "reduce", x->dtype, "sum_last", 1);
        hk_mem(b, HK_OUT_(0));
        hk_mem(b, partial);
        hk_i64(b, parts);
    } else {
        hk_rows(b, "reduce", x->dtype, "sum_rows", s.outer);
        hk_mem(b, HK_OUT_(0));
        hk_mem(b, from);
        hk_i64(b, s.so);
        hk_i64(b, s.gone);
    }
    return HCT_OK;
}

const hk_op hk_reduce[] = {{"sum", plan_sum, HK_REAL, 0}, {0}};
