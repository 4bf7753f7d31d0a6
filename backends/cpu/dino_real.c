/* DINO's loss (definition: core/ops/dino.c), and moving averages of tensors. */
#include "real.h"

#include <math.h>

typedef struct rows { /* a row of [views, batch, K] */
    const real *x;
    int64_t step;
} rows;

static rows row_of(const hct_view *v, int64_t view, int64_t b) {
    return (rows){(const real *)hct_ptr(v) + view * v->stride[0] + b * v->stride[1], v->stride[2]};
}

typedef struct sizes {
    int64_t views, batch, k, teachers;
    acc per_student, per_teacher; /* 1 / temperature */
    const stat *centre;
    int64_t centre_step;
} sizes;

static sizes sizes_of(const hct_view *in) {
    const float *temps = hct_ptr(&in[3]);
    return (sizes){in[0].dim[0],    in[0].dim[1],      in[0].dim[2],
                   in[1].dim[0],    1 / (acc)temps[0], 1 / (acc)temps[in[3].stride[0]],
                   hct_ptr(&in[2]), in[2].stride[0]};
}

static acc teacher_logit(const sizes *z, rows r, int64_t i) {
    return (ld(r.x[i * r.step]) - (acc)z->centre[i * z->centre_step]) * z->per_teacher;
}
static acc student_logit(const sizes *z, rows r, int64_t i) { return ld(r.x[i * r.step]) * z->per_student; }

static double lse_of(const sizes *z, rows r, acc (*logit)(const sizes *, rows, int64_t)) {
    acc top = logit(z, r, 0);
    double sum = 0;
    for (int64_t i = 1; i < z->k; i++) top = logit(z, r, i) > top ? logit(z, r, i) : top;
    for (int64_t i = 0; i < z->k; i++) sum += (double)EXP(logit(z, r, i) - top);
    return (double)top + log(sum);
}

static double pairs(const sizes *z) { return (double)(z->teachers * (z->views - 1)); }

/* Two rows a sample: its part of the loss, and of the entropy. */
static hct_status plan_loss(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    hct_status st = cpu_plan(d, p, ret, err);
    ret->workspace = (uint64_t)p->in[0].dim[1] * 2 * sizeof(double);
    return st;
}

static hct_status run_loss(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                           const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)err;
    const sizes z = sizes_of(in);
    stat *lse_s = hct_ptr(&out[2]), *lse_t = hct_ptr(&out[3]);
    double *part = hct_ptr(ws);
#pragma omp parallel for schedule(static) if (z.batch * z.views * z.k > CPU_CHUNK)
    for (int64_t b = 0; b < z.batch; b++) {
        double loss = 0, entropy = 0;
        for (int64_t v = 0; v < z.views; v++)
            lse_s[v * z.batch + b] = (stat)lse_of(&z, row_of(&in[0], v, b), student_logit);
        for (int64_t g = 0; g < z.teachers; g++) {
            rows t = row_of(&in[1], g, b);
            double lse = lse_of(&z, t, teacher_logit), own = 0;
            lse_t[g * z.batch + b] = (stat)lse;
            for (int64_t i = 0; i < z.k; i++)
                own += (double)(EXP(teacher_logit(&z, t, i) - (acc)lse) * teacher_logit(&z, t, i));
            entropy += lse - own;
            for (int64_t v = 0; v < z.views; v++) {
                if (v == g) continue;
                rows q = row_of(&in[0], v, b);
                double dot = 0;
                for (int64_t i = 0; i < z.k; i++)
                    dot += (double)(EXP(teacher_logit(&z, t, i) - (acc)lse) * student_logit(&z, q, i));
                loss += (double)lse_s[v * z.batch + b] - dot;
            }
        }
        part[2 * b] = loss;
        part[2 * b + 1] = entropy;
    }
    double loss = 0, entropy = 0;
    for (int64_t b = 0; b < z.batch; b++) loss += part[2 * b], entropy += part[2 * b + 1];
    *(real *)hct_ptr(&out[0]) = st((acc)(loss / (pairs(&z) * (double)z.batch)));
    *(stat *)hct_ptr(&out[1]) = (stat)(entropy / (double)(z.teachers * z.batch));
    return HCT_OK;
}

static hct_status run_loss_bwd(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,
                               const hct_view *ws, hct_err *err) {
    (void)p, (void)s, (void)ws, (void)err;
    const sizes z = sizes_of(in);
    acc scale =
        (acc)((double)ld(*(const real *)hct_ptr(&in[6])) * (double)z.per_student / (pairs(&z) * (double)z.batch));
#pragma omp parallel for schedule(static) if (z.batch * z.views * z.k > CPU_CHUNK)
    for (int64_t b = 0; b < z.batch; b++)
        for (int64_t v = 0; v < z.views; v++) {
            rows q = row_of(&in[0], v, b);
            real *dx = (real *)hct_ptr(out) + (v * z.batch + b) * z.k;
            acc lse = (acc)((const stat *)hct_ptr(&in[4]))[v * in[4].stride[0] + b * in[4].stride[1]];
            acc others = (acc)(z.teachers - (v < z.teachers));
            for (int64_t i = 0; i < z.k; i++) {
                acc want = 0;
                for (int64_t g = 0; g < z.teachers; g++)
                    if (g != v)
                        want += EXP(teacher_logit(&z, row_of(&in[1], g, b), i) -
                                    (acc)((const stat *)hct_ptr(&in[5]))[g * in[5].stride[0] + b * in[5].stride[1]]);
                dx[i] = st(scale * (others * EXP(student_logit(&z, q, i) - lse) - want));
            }
        }
    return HCT_OK;
}

/* ---- moving averages ---- */

static hct_status plan_ema(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    uint32_t per = hct_attr_int(p->attr, p->n_attr, "copy", 0) ? 3 : 2;
    for (uint32_t i = 1; i < p->n_in; i++)
        if (p->in[i].dtype != ((i - 1) % per == 2 ? HCT_BF16 : REAL_DTYPE))
            return hct_plugin_fail(err, HCT_NOTIMPL, "for targets and sources of dtype " REAL_TEXT);
    return cpu_plan(d, p, ret, err);
}

static hct_status run_ema(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                          hct_err *err) {
    (void)s, (void)ws, (void)err;
    const float *rates = (const float *)hct_ptr(in) + cpu_int(p, "at") * in->stride[0];
    acc keep = rates[0], take = rates[in->stride[0]];
    uint32_t copies = cpu_int(p, "copy") != 0, count = cpu_state(p)->n_out / (1 + copies);
    for (uint32_t o = 0; o < count; o++) {
        const hct_view *source = &in[2 + (2 + copies) * o];
        int64_t n = hct_numel(source);
        int even = hct_is_contiguous(source);
        real *target = hct_ptr(&out[(1 + copies) * o]);
        uint16_t *copy = copies ? hct_ptr(&out[2 * o + 1]) : NULL;
        const real *x = hct_ptr(source);
#pragma omp parallel for schedule(static) if (n > CPU_CHUNK)
        for (int64_t i = 0; i < n; i++) {
            target[i] = st(keep * ld(target[i]) + take * ld(x[even ? i : cpu_row(source, 0, i)]));
            if (copy) copy[i] = hct_bf16_from_f32((float)ld(target[i]));
        }
    }
    return HCT_OK;
}

KERNEL_PLANNED(k_loss, "dino_loss", plan_loss, run_loss);
KERNEL(k_loss_bwd, "dino_loss.bwd", run_loss_bwd);
static const hct_kernel k_ema = {.size = sizeof(hct_kernel),
                                 .name = "ref:ema:" REAL_TEXT,
                                 .op = "ema",
                                 .backend = "cpu",
                                 .plan = plan_ema,
                                 .run = run_ema,
                                 .release = cpu_release};

const hct_kernel *const REAL(cpu_dino)[] = {&k_loss, &k_loss_bwd, &k_ema, NULL};
