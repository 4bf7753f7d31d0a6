/* plugins/fastcpu/fast.h: what the kernel files share: registration, threads, and the remembered call
 * (kit/cpu.h). */
#ifndef FASTCPU_FAST_H
#define FASTCPU_FAST_H

#include "kit/cpu.h"
#include "vec.h"

/* Work below this many floating-point operations (or bytes moved) runs on the calling thread: waking the others
 * would take longer than it saves. */
enum { SMALL_FLOPS = 1 << 20, SMALL_BYTES = 1 << 17 };

#define RUN(name)                                                                                                      \
    static hct_status name(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,                  \
                           const hct_view *ws, hct_err *err)
#define UNUSED_RUN_ARGUMENTS (void)p, (void)s, (void)in, (void)out, (void)ws, (void)err

#define FAST_FIELDS(op_, plan_, run_)                                                                                  \
    .size = sizeof(hct_kernel), .name = "fast:" op_ ":" REAL_TEXT, .op = op_, .backend = "cpu",                        \
    .dtypes = 1u << REAL_DTYPE, .priority = 200, .plan = plan_, .run = run_, .release = cpu_release
#define FAST_KERNEL(id, op_, plan_, run_) static const hct_kernel id = {FAST_FIELDS(op_, plan_, run_)}

/* Whether the last axis of x lies without gaps. */
ALWAYS int dense_rows(const hct_view *x) {
    return x->ndim > 0 && (x->stride[x->ndim - 1] == 1 || x->dim[x->ndim - 1] == 1);
}

/* Whether the rows of x (all axes but the last `inner`) lie evenly; *ret_step is the stride from one to the next. */
ALWAYS int even_rows(const hct_view *x, int inner, int64_t *ret_step) {
    int64_t expect = -1;
    *ret_step = 0;
    for (int i = x->ndim - inner - 1; i >= 0; i--) {
        if (x->dim[i] == 1) continue;
        if (expect < 0) *ret_step = x->stride[i];
        else if (x->stride[i] != expect) return 0;
        expect = x->stride[i] * x->dim[i];
    }
    return 1;
}

#endif
