/* Bias + GELU over rows, and its backward, which sums the gradient of the bias in the same pass. */
#include "gelu.h"
#include "rows.h"

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return plan_rows(p, 3, ret, err);
}

RUN(run_bias_gelu) {
    UNUSED_RUN_ARGUMENTS;
    const rows_plan *a = p->state;
    const int64_t c = a->width;
    const real *b = hct_ptr(&in[1]);
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t r = 0; r < a->rows; r++) {
        const real *x = row_of(&in[0], r);
        real *y = out_row(&out[0], c, r);
        EACH_VECTOR(c, put(y + i, vgelu(vadd(get(x + i, n), get(b + i, n))), n););
    }
    return HCT_OK;
}

/* A share's sums: db, and of the bundle that is under way. */
static hct_status plan_bwd(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    ret->workspace = PARTS * cpu_round(2 * (uint64_t)p->in[1].dim[0] * sizeof(float));
    return plan_rows(p, 7, ret, err);
}

static void share(const rows_plan *a, const hct_view *in, const hct_view *out, int64_t from, int64_t to, float *sums) {
    const int64_t c = a->width;
    const real *b = hct_ptr(&in[1]);
    float *db = sums + c;
    memset(sums, 0, 2 * (size_t)c * sizeof *sums);
    for (int64_t r = from; r < to; r++) {
        const real *x = row_of(&in[0], r), *g = row_of(&in[2], r);
        real *dx = out_row(&out[0], c, r);
        EACH_VECTOR(c, {
            const vf d = vmul(get(g + i, n), vgelu_slope(vadd(get(x + i, n), get(b + i, n))));
            put(dx + i, d, n);
            if (n == VL) vstore(db + i, vadd(vload(db + i), d));
            else vstore_n(db + i, vadd(vload_n(db + i, n), d), n);
        });
        if ((r - from) % BUNDLE == BUNDLE - 1) carry(sums, db, c);
    }
    carry(sums, db, c);
}

RUN(run_bwd) {
    UNUSED_RUN_ARGUMENTS;
    const rows_plan *a = p->state;
    const uint64_t each = cpu_round(2 * (uint64_t)a->width * sizeof(float));
#pragma omp parallel for schedule(static) num_threads(a->threads) if (a->threads > 1)
    for (int64_t part = 0; part < PARTS; part++)
        share(a, in, out, a->rows * part / PARTS, a->rows * (part + 1) / PARTS,
              (float *)((char *)hct_ptr(ws) + (uint64_t)part * each));
    for (int64_t i = 0; i < a->width; i++) {
        double db = 0;
        for (int64_t part = 0; part < PARTS; part++)
            db += (double)((const float *)((const char *)hct_ptr(ws) + (uint64_t)part * each))[i];
        ((real *)hct_ptr(&out[1]))[i] = st1((float)db);
    }
    return HCT_OK;
}

FAST_KERNEL(k_bias_gelu, "bias_gelu", plan, run_bias_gelu);
FAST_KERNEL(k_bwd, "bias_gelu.bwd", plan_bwd, run_bwd);

const hct_kernel *const FAST(fast_bias_gelu)[] = {&k_bias_gelu, &k_bwd, NULL};
