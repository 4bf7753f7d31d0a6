/* DINO's loss and its backward. Formulas: core/ops/dino.c. Temperatures stay on the device. */
#include "dialect.h"

typedef struct dino {
    i64 views, batch, k, teachers;
    i64 sv, sb, sk, tv, tb, tk, ck, temp_step; /* strides of student, teacher, centre, temperatures */
    i64 ls_v, ls_b, lt_v, lt_b;                /* of the log-sum-exps */
} dino;

FN float teacher_logit(GLOBAL const real *t, GLOBAL const float *centre, const dino *z, i64 i, float per) {
    return (ld(t, i * z->tk) - centre[i * z->ck]) * per;
}

/* ROW: a row of the student [views, batch], then of the teacher: its log-sum-exp; of the teacher also its entropy. */
KERNEL(dino_lse)(MEM(lse_s), MEM(lse_t), MEM(entropy), MEM(student), MEM(teacher), MEM(centre), MEM(temps), dino z) {
    SCRATCH;
    i64 r = ROW, students = z.views * z.batch;
    i32 of_teacher = r >= students;
    if (of_teacher) r -= students;
    i64 v = r / z.batch, b = r % z.batch, step = of_teacher ? z.tk : z.sk;
    GLOBAL const real *x =
        of_teacher ? AT(real, teacher) + v * z.tv + b * z.tb : AT(real, student) + v * z.sv + b * z.sb;
    GLOBAL const float *centre = AT(float, centre);
    float per = 1.0f / AT(float, temps)[of_teacher ? z.temp_step : 0];
    float top = -INFINITY, s = 0, dot = 0;
    for (i64 i = LANE; i < z.k; i += GROUP)
        top = MAXF(top, (ld(x, i * step) - (of_teacher ? centre[i * z.ck] : 0.0f)) * per);
    top = GROUP_MAX(top);
    for (i64 i = LANE; i < z.k; i += GROUP) {
        float u = (ld(x, i * step) - (of_teacher ? centre[i * z.ck] : 0.0f)) * per - top, e = kexp(u);
        s += e;
        dot += e > 0 ? e * u : 0.0f;
    }
    s = GROUP_SUM(s);
    dot = GROUP_SUM(dot);
    if (LANE != 0) return;
    if (of_teacher) {
        AT(float, lse_t)[r] = top + LOGF(s);
        AT(float, entropy)[r] = LOGF(s) - dot / s;
    } else {
        AT(float, lse_s)[r] = top + LOGF(s);
    }
}

/* ROW: (g, v, b): lse_v - sum_k p_g student_v; 0 where g == v. */
KERNEL(dino_pairs)(MEM(terms), MEM(lse_s), MEM(lse_t), MEM(student), MEM(teacher), MEM(centre), MEM(temps), dino z) {
    SCRATCH;
    i64 b = ROW % z.batch, v = ROW / z.batch % z.views, g = ROW / (z.batch * z.views);
    GLOBAL const real *x = AT(real, student) + v * z.sv + b * z.sb, *t = AT(real, teacher) + g * z.tv + b * z.tb;
    GLOBAL const float *centre = AT(float, centre);
    float per_s = 1.0f / AT(float, temps)[0], per_t = 1.0f / AT(float, temps)[z.temp_step];
    float lse_s = AT(float, lse_s)[v * z.batch + b], lse_t = AT(float, lse_t)[g * z.batch + b], s = 0;
    /* lse_s - student is a sum of like signs: no cancellation at the end. */
    for (i64 i = LANE; g != v && i < z.k; i += GROUP)
        s += kexp(teacher_logit(t, centre, &z, i, per_t) - lse_t) * (lse_s - ld(x, i * z.sk) * per_s);
    s = GROUP_SUM(s);
    if (LANE == 0) AT(float, terms)[ROW] = s;
}

/* loss = factor * sum of n terms; entropy = mean of m. */
KERNEL(dino_last)(MEM(loss), MEM(entropy), MEM(terms), MEM(entropies), i64 n, i64 m, float factor) {
    SCRATCH;
    float s = 0, e = 0;
    for (i64 i = LANE; i < n; i += GROUP) s += AT(float, terms)[i];
    for (i64 i = LANE; i < m; i += GROUP) e += AT(float, entropies)[i];
    s = GROUP_SUM(s);
    e = GROUP_SUM(e);
    if (LANE != 0) return;
    st(AT(real, loss), 0, s * factor);
    AT(float, entropy)[0] = e / (float)m;
}

/* ROW: a row of dx [views, batch, k]. */
KERNEL(dino_bwd)
(MEM(dx), MEM(lse_s), MEM(lse_t), MEM(dloss), MEM(student), MEM(teacher), MEM(centre), MEM(temps), dino z,
 float per_pair) {
    i64 v = ROW / z.batch, b = ROW % z.batch;
    GLOBAL const real *x = AT(real, student) + v * z.sv + b * z.sb, *t = AT(real, teacher) + b * z.tb;
    GLOBAL const float *centre = AT(float, centre), *lse_t = AT(float, lse_t) + b * z.lt_b;
    GLOBAL real *dx = AT(real, dx) + ROW * z.k;
    float per_s = 1.0f / AT(float, temps)[0], per_t = 1.0f / AT(float, temps)[z.temp_step];
    float scale = ld(AT(real, dloss), 0) * per_s * per_pair, lse = AT(float, lse_s)[v * z.ls_v + b * z.ls_b];
    float others = (float)(z.teachers - (v < z.teachers ? 1 : 0));
    for (i64 i = LANE; i < z.k; i += GROUP) {
        float want = 0;
        for (i64 g = 0; g < z.teachers; g++)
            if (g != v) want += kexp(teacher_logit(t + g * z.tv, centre, &z, i, per_t) - lse_t[g * z.lt_v]);
        st(dx, i, scale * (others * kexp(ld(x, i * z.sk) * per_s - lse) - want));
    }
}
