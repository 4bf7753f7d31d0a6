/* The optimiser object over several steps against plain loops: groups with rates of their own, groups left alone,
 * clipping. */
#include "check_main.h"
#include "fixture.h"
#include "hct/optim.h"

enum { PARAMS = 3, SIZE = 6, STEPS = 4 };

typedef struct plain {
    double p[PARAMS][SIZE], m[PARAMS][SIZE], v[PARAMS][SIZE];
    int steps[2];
    double norm;
} plain;

static int group_of(int i) { return i == 2; }

/* loss = sum over parameters of (i + 1) p^2 / 2, so the gradient is (i + 1) p. */
static void plain_step(plain *s, const hct_optim_options *o, const hct_optim_rate *rate) {
    double g[PARAMS][SIZE], norm[PARAMS] = {0}, all = 0;
    for (int i = 0; i < PARAMS; i++) {
        for (int j = 0; j < SIZE; j++) {
            g[i][j] = (i + 1) * s->p[i][j];
            norm[i] += g[i][j] * g[i][j];
        }
        all += norm[i];
    }
    s->norm = sqrt(all);
    for (int k = 0; k < 2; k++) s->steps[k] += rate[k].active;
    for (int i = 0; i < PARAMS; i++) {
        int group = group_of(i), t = s->steps[group];
        double by = o->clip_mode == HCT_CLIP_GLOBAL ? s->norm : sqrt(norm[i]), lr = rate[group].lr,
               decay = rate[group].decay;
        if (!rate[group].active) continue;
        for (int j = 0; j < SIZE; j++) {
            double *p = &s->p[i][j], d = g[i][j];
            if (o->clip_mode != HCT_CLIP_NONE) d *= fmin(1, o->clip / (by + 1e-6));
            if (o->kind == HCT_ADAMW) *p -= lr * decay * *p;
            else d += decay * *p;
            if (o->kind == HCT_SGD) {
                s->m[i][j] = o->momentum * s->m[i][j] + d;
                *p -= lr * s->m[i][j];
                continue;
            }
            s->m[i][j] = o->beta1 * s->m[i][j] + (1 - o->beta1) * d;
            s->v[i][j] = o->beta2 * s->v[i][j] + (1 - o->beta2) * d * d;
            *p -= lr * (s->m[i][j] / (1 - pow(o->beta1, t))) / (sqrt(s->v[i][j] / (1 - pow(o->beta2, t))) + o->eps);
        }
    }
}

static hct_optim_rate rates[STEPS][2] = {
    {{0.1, 0.05, 1}, {0.02, 0, 1}},
    {{0.2, 0.1, 1}, {0.02, 0, 0}},
    {{0.1, 0.1, 0}, {0.05, 0.5, 1}},
    {{0.05, 0.1, 1}, {0.05, 0.5, 1}},
};

static void compare(const hct_optim_options *o, hct_mode mode) {
    fixture f = open_cpu(NULL);
    hct_optim *optim = hct_optim_new(f.dev, o, &f.err);
    hct_tensor *p[PARAMS];
    plain want = {0};
    char name[] = "p0";
    for (int i = 0; i < PARAMS; i++, name[1]++) {
        p[i] = FILLED(&f, i, 2, 3);
        for (int j = 0; j < SIZE; j++) want.p[i][j] = (double)value_at(j, i);
        ok(&f, hct_optim_add(optim, group_of(i), name, p[i], &f.err));
    }
    hct_tape *t = NULL;
    for (int step = 0; step < STEPS; step++) {
        ok(&f, hct_optim_step(optim, rates[step], &f.err));
        if (mode == HCT_EAGER || !t) {
            t = hct_tape_new(f.dev, mode);
            hct_id loss = 0;
            for (int i = 0; i < PARAMS; i++) {
                hct_id x = hct_param(t, p[i]),
                       part = hct_scale(t, hct_sum(t, hct_mul(t, x, x), HCT_AXES(2), 0), 0.5 * (i + 1), 0);
                loss = loss ? hct_add(t, loss, part) : part;
            }
            hct_backward(t, loss, 0);
            hct_optim_record(optim, t);
            ok(&f, hct_tape_error(t, &f.err));
            if (mode == HCT_PROGRAM) ok(&f, hct_compile(t, &f.err));
        }
        if (mode == HCT_PROGRAM) ok(&f, hct_run(t, &f.err));
        plain_step(&want, o, rates[step]);
        double norm;
        ok(&f, hct_optim_norm(optim, t, &norm, &f.err));
        ck_assert_double_eq_tol(norm, want.norm, 1e-5 * want.norm);
        for (int i = 0; i < PARAMS; i++) {
            float got[SIZE];
            ok(&f, hct_tensor_read(p[i], got, &f.err));
            for (int j = 0; j < SIZE; j++) ck_assert_double_eq_tol((double)got[j], want.p[i][j], 2e-6);
        }
        if (mode == HCT_EAGER) hct_tape_free(t);
    }
    ck_assert_int_eq(hct_optim_group_count(optim), 2);
    for (int k = 0; k < 2; k++) ck_assert_int_eq(hct_optim_steps(optim, k), want.steps[k]);
    ck_assert_uint_eq(hct_optim_state_count(optim), o->kind == HCT_SGD ? PARAMS : 2 * PARAMS);
    const char *state;
    float got[SIZE];
    ok(&f, hct_tensor_read(hct_optim_state_at(optim, 0, &state), got, &f.err));
    ck_assert_str_eq(state, "p0.m");
    for (int j = 0; j < SIZE; j++) ck_assert_double_eq_tol((double)got[j], want.m[0][j], 2e-6);
    if (mode == HCT_PROGRAM) hct_tape_free(t);
    hct_optim_free(optim);
    for (int i = 0; i < PARAMS; i++) hct_tensor_free(p[i]);
    close_cpu(&f);
}

START_TEST(every_kind_and_clip_as_plain_loops) {
    for (int kind = HCT_ADAMW; kind <= HCT_SGD; kind++)
        for (int clip = HCT_CLIP_NONE; clip <= HCT_CLIP_TENSOR; clip++)
            for (int mode = 0; mode < 2; mode++)
                compare(&(hct_optim_options){(hct_optim_kind)kind, 0.9, 0.95, 1e-3, 0.9, (hct_clip_mode)clip, 0.75},
                        (hct_mode)mode);
}
END_TEST

START_TEST(groups_have_no_gaps) {
    fixture f = open_cpu(NULL);
    hct_optim *o = hct_optim_new(f.dev, &(hct_optim_options){.kind = HCT_SGD}, &f.err);
    hct_tensor *p = FILLED(&f, 0, 3);
    ck_assert_int_eq(hct_optim_add(o, 1, "p", p, &f.err), HCT_EINVAL);
    ck_assert_int_eq(hct_optim_add(o, -1, "p", p, &f.err), HCT_EINVAL);
    ok(&f, hct_optim_add(o, 0, "p", p, &f.err));
    hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
    hct_optim_record(o, t); /* before any backward */
    ck_assert_int_eq(hct_tape_error(t, &f.err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(f.err.msg, "hct_backward"));
    hct_tape_free(t);
    hct_optim_free(o);
    hct_tensor_free(p);
    close_cpu(&f);
}
END_TEST

CHECK_MAIN("optim", every_kind_and_clip_as_plain_loops, groups_have_no_gaps)
