/* How an input may lie in memory. */
#include "conformance.h"

const char *const layout_names[LAYOUTS] = {"plain", "transposed", "sliced", "strided", "broadcast", "mixed"};

int64_t layout_place(hct_view *v, layout how, uint32_t i) {
    int64_t size = (int64_t)hct_dtype_size(v->dtype), s = 1, first = 0;
    if (how == MIXED) how = (layout)((i + 1) % 4);
    v->off = 0;
    switch (how) {
    case TRANSPOSED: /* the first axis is the fastest */
        for (int d = 0; d < v->ndim; d++) {
            v->stride[d] = s;
            s *= v->dim[d];
        }
        return s;
    case SLICED:  /* [2, 2 + dim) of every axis of a tensor whose axes are 3 longer */
    case STRIDED: /* the same, and only every other element of the last axis */
        s = how == STRIDED ? 2 : 1;
        for (int d = v->ndim - 1; d >= 0; d--) {
            v->stride[d] = s;
            first += 2 * s;
            s *= v->dim[d] + 3;
        }
        v->off = (uint64_t)(first * size);
        return s;
    default:
        for (int d = v->ndim - 1; d >= 0; d--) {
            v->stride[d] = s;
            s *= v->dim[d];
        }
        if (how == BROADCAST && v->ndim && v->dim[0]) {
            s /= v->dim[0];
            v->stride[0] = 0;
        }
        return s;
    }
}
