/* plugins/fastcpu/rows.h: work on the rows of a tensor (all axes but the last), each without gaps. */
#ifndef FASTCPU_ROWS_H
#define FASTCPU_ROWS_H

#include "fast.h"

#include <stdlib.h>

/* Sums over many rows are cut into PARTS shares of the rows, whatever the number of threads; within a share they are
 * carried over every BUNDLE rows, so that a long sum of floats loses little. */
enum { PARTS = 16, BUNDLE = 64, STRIP = 512 };

typedef struct rows_plan {
    int64_t rows, width;
    int threads;
    float eps;
    int64_t axes;
} rows_plan;

static inline hct_status plan_rows(const hct_problem *p, uint32_t rows_of, hct_plan *ret, hct_err *err) {
    for (uint32_t i = 0; i < p->n_in; i++)
        if ((rows_of >> i & 1) && !dense_rows(&p->in[i]))
            return hct_plugin_fail(err, HCT_NOTIMPL, "the rows of input %u have gaps", i);
    rows_plan *r = malloc(sizeof *r);
    if (!r) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    const hct_view *x = &p->in[0];
    *r = (rows_plan){.rows = cpu_rows(x, 1),
                     .width = x->dim[x->ndim - 1],
                     .eps = (float)hct_attr_real(p->attr, p->n_attr, "eps", 0)};
    r->threads = r->rows * r->width * (int64_t)sizeof(real) < SMALL_BYTES ? 1 : cpu_threads();
    ret->state = r;
    ret->flags = HCT_DETERMINISTIC;
    return HCT_OK;
}

ALWAYS const real *row_of(const hct_view *v, int64_t r) { return (const real *)hct_ptr(v) + cpu_row(v, 1, r); }
ALWAYS real *out_row(const hct_view *v, int64_t width, int64_t r) { return (real *)hct_ptr(v) + r * width; }

/* The body for whole vectors, and once more for the n elements that are left. n is VL in the first. */
#define EACH_VECTOR(width, ...)                                                                                        \
    do {                                                                                                               \
        int64_t i = 0;                                                                                                 \
        for (; i + VL <= (width); i += VL) {                                                                           \
            const int64_t n = VL;                                                                                      \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
        if (i < (width)) {                                                                                             \
            const int64_t n = (width)-i;                                                                               \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    } while (0)
ALWAYS vf get(const real *x, int64_t n) { return n == VL ? ld(x) : ld_n(x, n); }
ALWAYS void put(real *x, vf v, int64_t n) {
    if (n == VL) st(x, v);
    else st_n(x, v, n);
}
/* v with 0 in the lanes from n on. */
ALWAYS vf only(vf v, int64_t n) {
    if (n == VL) return v;
    float lanes[VL];
    vstore(lanes, v);
    return vload_n(lanes, n);
}

/* total += bundle; bundle = 0 */
ALWAYS void carry(float *total, float *bundle, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        total[i] += bundle[i];
        bundle[i] = 0;
    }
}

#endif
