/* Philox against Random123's published vectors (kat_vectors of its distribution), and dropout on top of it. */
#include "check_main.h"
#include "fixture.h"
#include "hct/philox.h"

START_TEST(known_answers) {
    static const struct {
        uint64_t key, lo, hi;
        uint32_t want[4];
    } vectors[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        /* counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0: the digits of pi */
        {0x299f31d0a4093822ull,
         0x85a308d3243f6a88ull,
         0x0370734413198a2eull,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        hct_philox r = hct_philox4x32(vectors[i].key, vectors[i].lo, vectors[i].hi);
        for (int k = 0; k < 4; k++) ck_assert_uint_eq(r.v[k], vectors[i].want[k]);
    }
    ck_assert(hct_u01f(0) == 0.0f && hct_u01f(~0u) < 1.0f && hct_u01(0) > 0 && hct_u01(~0u) < 1);
}
END_TEST

enum { N = 20000 };
static float x[N], y[N], z[N], g[N];

/* Two dropouts of ones in one tape, at a step; y and z are their outputs, g the gradient through the first. */
static void drop(fixture *f, double p, int step) {
    hct_tensor *a = hct_tensor_new(f->dev, HCT_F32, 1, (int64_t[]){N}, &f->err),
               *r = hct_tensor_new(f->dev, HCT_I32, 1, (int64_t[]){4}, &f->err);
    for (int i = 0; i < N; i++) x[i] = 1;
    ok(f, hct_tensor_write(a, x, &f->err));
    ok(f, hct_tensor_write(r, (int32_t[]){11, 0, step, 0}, &f->err));
    hct_tape *t = hct_tape_new(f->dev, HCT_EAGER);
    hct_id in = hct_param(t, a), rng = hct_use(t, r), first = hct_dropout(t, in, rng, p),
           second = hct_dropout(t, in, rng, p);
    ok(f, hct_read(t, first, y, &f->err));
    ok(f, hct_read(t, second, z, &f->err));
    hct_backward(t, hct_sum(t, first, HCT_AXIS(0), 0), 0);
    ok(f, hct_read(t, hct_grad(t, in), g, &f->err));
    hct_tape_free(t);
    hct_tensor_free(a);
    hct_tensor_free(r);
}

static double share_kept(const float *v) {
    int kept = 0;
    for (int i = 0; i < N; i++) kept += v[i] != 0;
    return (double)kept / N;
}

START_TEST(dropout_keeps_its_share_and_scale) {
    fixture f = open_cpu(NULL);
    for (double p = 0.1; p < 1; p += 0.2) {
        drop(&f, p, 1);
        ck_assert_double_eq_tol(share_kept(y), 1 - p, 5 * sqrt(p * (1 - p) / N));
        for (int i = 0; i < N; i++) ck_assert(y[i] == 0 || fabsf(y[i] - (float)(1 / (1 - p))) < 1e-5f * y[i]);
    }
    close_cpu(&f);
}
END_TEST

START_TEST(the_backward_has_the_same_mask) {
    fixture f = open_cpu(NULL);
    drop(&f, 0.3, 5);
    for (int i = 0; i < N; i++) ck_assert(g[i] == y[i]);
    close_cpu(&f);
}
END_TEST

/* Two calls, and two steps, draw independent masks; the same step draws the same. */
START_TEST(calls_and_steps_differ) {
    fixture f = open_cpu(NULL);
    static float before[N];
    drop(&f, 0.5, 1);
    for (int i = 0; i < N; i++) before[i] = y[i];
    int calls = 0, steps = 0;
    for (int i = 0; i < N; i++) calls += (y[i] != 0) == (z[i] != 0);
    drop(&f, 0.5, 2);
    for (int i = 0; i < N; i++) steps += (y[i] != 0) == (before[i] != 0);
    ck_assert_double_eq_tol((double)calls / N, 0.5, 0.02);
    ck_assert_double_eq_tol((double)steps / N, 0.5, 0.02);
    drop(&f, 0.5, 1);
    for (int i = 0; i < N; i++) ck_assert(y[i] == before[i]);
    close_cpu(&f);
}
END_TEST

CHECK_MAIN("random", known_answers, dropout_keeps_its_share_and_scale, the_backward_has_the_same_mask,
           calls_and_steps_differ)
