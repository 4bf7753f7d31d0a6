/* Tapes: sticky errors and their words, what may be read, gradients that meet, detach. */
#include <string.h>

#include "check_main.h"
#include "fixture.h"

static hct_err error_of(const hct_tape *t) {
    hct_err e = {0, ""};
    hct_tape_error(t, &e);
    return e;
}

START_TEST(errors_stick_and_name_op_and_shapes) {
    fixture f = open_cpu(NULL);
    hct_tensor *a = FILLED(&f, 1, 3, 5), *w = FILLED(&f, 2, 4, 7);
    for (int mode = 0; mode < 2; mode++) {
        hct_tape *t = hct_tape_new(f.dev, (hct_mode)mode);
        ck_assert_int_eq(hct_tape_error(t, NULL), HCT_OK);
        hct_id y = hct_linear(t, hct_use(t, a), hct_use(t, w), 0);
        ck_assert_int_eq(y, 0);
        hct_err e = error_of(t);
        ck_assert_int_eq(e.code, HCT_ESHAPE);
        ck_assert_msg(strstr(e.msg, "linear") && strstr(e.msg, "[3,5]") && strstr(e.msg, "[4,7]"), "%s", e.msg);
        /* Everything after it is inert and the first message stays. */
        ck_assert_int_eq(hct_gelu(t, y), 0);
        ck_assert_int_eq(hct_add(t, hct_use(t, a), hct_use(t, a)), 0);
        hct_id parts[3];
        hct_split(t, y, 0, 3, parts);
        ck_assert_int_eq(parts[0] | parts[1] | parts[2], 0);
        ck_assert_int_eq(hct_concat(t, parts, HCT_AXES(2), 0), 0);
        ck_assert_int_eq(hct_attention(t, y, y, y, 1), 0);
        ck_assert_int_eq(hct_reshape(t, y, 1, (int64_t[]){-1}), 0);
        ck_assert_int_eq(hct_batch_norm(t, y, y, y, 0.1, 1e-5, 1), 0);
        hct_backward(t, y, 0);
        hct_keep(t, y);
        ck_assert_str_eq(error_of(t).msg, e.msg);
        hct_err compiled = {0, ""};
        if (mode == HCT_PROGRAM) ck_assert_int_eq(hct_compile(t, &compiled), HCT_ESHAPE);
        float x;
        ck_assert_int_eq(hct_read(t, y, &x, &compiled), HCT_ESHAPE);
        hct_tape_free(t);
    }
    hct_tensor_free(a);
    hct_tensor_free(w);
    close_cpu(&f);
}
END_TEST

START_TEST(messages_say_what_to_do) {
    fixture f = open_cpu(NULL);
    hct_tensor *a = FILLED(&f, 1, 3, 5), *d = hct_tensor_new(f.dev, HCT_F64, 2, (int64_t[]){3, 5}, &f.err);
    struct {
        const char *what, *words[3];
    } want[] = {
        {"dtypes", {"add", "F32", "F64"}},
        {"unknown op", {"no such op", "plugin", "known"}},
        {"no parameter", {"backward", "parameter", "loss"}},
        {"not scalar", {"15 elements", "seed", "backward"}},
        {"slice", {"slice", "[2, 7)", "length 5"}},
        {"NULL tensor", {"tensor", "made", "used"}},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
        hct_id x = hct_use(t, a), out;
        switch (i) {
        case 0: hct_add(t, x, hct_use(t, d)); break;
        case 1: hct_emit(t, "no such op", &x, 1, NULL, 0, &out, 1); break;
        case 2: hct_backward(t, hct_sum(t, x, HCT_AXES(2), 0), 0); break;
        case 3: hct_backward(t, hct_gelu(t, hct_param(t, a)), 0); break;
        case 4: hct_slice(t, x, 1, 2, 5); break;
        default: hct_use(t, NULL);
        }
        hct_err e = error_of(t);
        ck_assert_int_lt(e.code, 0);
        for (int k = 0; k < 3; k++)
            ck_assert_msg(strstr(e.msg, want[i].words[k]) != NULL, "%s: '%s' is not in: %s", want[i].what,
                          want[i].words[k], e.msg);
        ck_assert_ptr_null(strchr(e.msg, '\n'));
        hct_tape_free(t);
    }
    hct_tensor_free(a);
    hct_tensor_free(d);
    close_cpu(&f);
}
END_TEST

START_TEST(only_kept_values_are_read) {
    fixture f = open_cpu(NULL);
    hct_tensor *a = FILLED(&f, 1, 3, 5);
    hct_tape *t = hct_tape_new(f.dev, HCT_PROGRAM);
    hct_id x = hct_use(t, a), y = hct_gelu(t, x), z = hct_gelu(t, y), dead = hct_gelu(t, z);
    hct_keep(t, z);
    float got[15];
    ck_assert_int_eq(hct_run(t, &f.err), HCT_EINVAL);
    ok(&f, hct_compile(t, &f.err));
    ck_assert_uint_eq(hct_stats(t).nodes, 2);
    ck_assert_uint_eq(hct_stats(t).nodes_dead, 1);
    ok(&f, hct_run(t, &f.err));
    ok(&f, hct_read(t, z, got, &f.err));
    ok(&f, hct_read(t, x, got, &f.err));
    ck_assert_int_eq(hct_read(t, y, got, &f.err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(f.err.msg, "hct_keep"));
    ck_assert_int_eq(hct_read(t, dead, got, &f.err), HCT_EINVAL);
    ck_assert_int_eq(hct_gelu(t, z), 0); /* compiled: nothing can be appended */
    ck_assert_ptr_nonnull(strstr(error_of(t).msg, "compiled"));
    hct_tape_free(t);
    hct_tensor_free(a);
    close_cpu(&f);
}
END_TEST

/* Views of an empty value, and of a transposed one. */
START_TEST(views_are_read_row_major) {
    fixture f = open_cpu(NULL);
    hct_tensor *a = FILLED(&f, 1, 3, 5);
    hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
    hct_id x = hct_use(t, a), y = hct_slice(t, hct_permute(t, x, (int[]){1, 0}), 0, 1, 3);
    float got[9];
    ok(&f, hct_read(t, y, got, &f.err));
    for (int i = 0; i < 9; i++) ck_assert(got[i] == value_at(i % 3 * 5 + i / 3 + 1, 1));
    ok(&f, hct_read(t, hct_slice(t, hct_permute(t, x, (int[]){1, 0}), 0, 5, 0), got, &f.err));
    hct_tape_free(t);
    hct_tensor_free(a);
    close_cpu(&f);
}
END_TEST

/* Whichever kernel pools: a value that is not finite is not passed over. The reference first, then the one that is
 * chosen. */
START_TEST(max_pool_keeps_nan) {
    for (int chosen = 0; chosen < 2; chosen++) {
        chosen ? unsetenv("HCT_KERNEL") : setenv("HCT_KERNEL", "max_pool3d=ref:max_pool3d:f32", 1);
        fixture f = open_cpu(NULL);
        hct_tensor *a = hct_tensor_new(f.dev, HCT_F32, 5, (int64_t[]){1, 1, 2, 2, 6}, &f.err);
        float x[24], got[3];
        for (int i = 0; i < 24; i++) x[i] = (float)i;
        x[0] = x[9] = NAN; /* the windows of columns 0, 1 and 2, 3 */
        ok(&f, hct_tensor_write(a, x, &f.err));
        hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
        static const int64_t two[] = {2, 2, 2}, none[] = {0, 0, 0};
        ok(&f, hct_read(t, hct_max_pool3d(t, hct_use(t, a), two, two, none), got, &f.err));
        ck_assert(isnan(got[0]) && isnan(got[1]) && got[2] == 23);
        hct_tape_free(t);
        hct_tensor_free(a);
        close_cpu(&f);
    }
}
END_TEST

/* d/dx sum(x x + 3 x + detach(x) x) = 2 x + 3 + x */
START_TEST(gradients_meet_and_stop) {
    fixture f = open_cpu(NULL);
    hct_tensor *a = FILLED(&f, 1, 2, 3);
    for (int mode = 0; mode < 2; mode++) {
        hct_tape *t = hct_tape_new(f.dev, (hct_mode)mode);
        hct_id x = hct_param(t, a);
        ck_assert_int_eq(hct_param(t, a), x); /* the same tensor, the same id */
        hct_id y =
            hct_add(t, hct_add(t, hct_mul(t, x, x), hct_scale(t, x, HCT_AXES(2), 0)), hct_mul(t, hct_detach(t, x), x));
        hct_backward(t, hct_sum(t, y, HCT_AXES(2), 0), 0);
        hct_keep(t, hct_grad(t, x));
        if (mode == HCT_PROGRAM) {
            ok(&f, hct_compile(t, &f.err));
            ok(&f, hct_run(t, &f.err));
        }
        float g[6];
        ok(&f, hct_read(t, hct_grad(t, x), g, &f.err));
        for (int i = 0; i < 6; i++) ck_assert_float_eq_tol(g[i], 3 * value_at(i, 1) + 3, 1e-6f);
        hct_tape_free(t);
    }
    hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
    hct_backward(t, hct_sum(t, hct_detach(t, hct_param(t, a)), HCT_AXES(2), 0), 0);
    ck_assert_int_eq(error_of(t).code, HCT_EINVAL);
    hct_tape_free(t);
    hct_tensor_free(a);
    close_cpu(&f);
}
END_TEST

/* batch norm: training moves the running statistics, evaluation uses them, as PyTorch's BatchNorm1d. */
START_TEST(batch_norm_trains_and_evaluates) {
    fixture f = open_cpu(NULL);
    hct_tensor *x = FILLED(&f, 3, 6, 2), *mean = hct_tensor_new(f.dev, HCT_F32, 1, (int64_t[]){2}, &f.err);
    hct_tensor *var = hct_tensor_new(f.dev, HCT_F32, 1, (int64_t[]){2}, &f.err);
    ok(&f, hct_tensor_write(var, (float[]){1, 1}, &f.err));
    double m[2] = {0}, s[2] = {0};
    for (int i = 0; i < 12; i++) m[i % 2] += (double)value_at(i, 3) / 6;
    for (int i = 0; i < 12; i++) s[i % 2] += pow((double)value_at(i, 3) - m[i % 2], 2) / 5;
    hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
    hct_batch_norm(t, hct_use(t, x), hct_use(t, mean), hct_use(t, var), 0.25, 1e-5, 1);
    ok(&f, hct_tape_error(t, &f.err));
    float got[2], y[12];
    ok(&f, hct_tensor_read(mean, got, &f.err));
    for (int j = 0; j < 2; j++) ck_assert_float_eq_tol(got[j], (float)(0.25 * m[j]), 1e-6f);
    ok(&f, hct_tensor_read(var, got, &f.err));
    for (int j = 0; j < 2; j++) ck_assert_float_eq_tol(got[j], (float)(0.75 + 0.25 * s[j]), 1e-6f);
    ok(&f, hct_read(t, hct_batch_norm(t, hct_use(t, x), hct_use(t, mean), hct_use(t, var), 0.25, 1e-5, 0), y, &f.err));
    for (int i = 0; i < 12; i++)
        ck_assert_float_eq_tol(
            y[i], (float)(((double)value_at(i, 3) - 0.25 * m[i % 2]) / sqrt(0.75 + 0.25 * s[i % 2] + 1e-5)), 1e-5f);
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(mean);
    hct_tensor_free(var);
    close_cpu(&f);
}
END_TEST

/* Two layers with dropout, each a segment or not: the gradient of the first weights. */
static void layered(fixture *f, hct_mode mode, int segments, float *grad, uint64_t *ret_arena) {
    enum { N = 4, W = 6 };
    hct_tensor *x = FILLED(f, 1, N, W), *w[2] = {FILLED(f, 2, W, W), FILLED(f, 3, W, W)},
               *rng = hct_tensor_new(f->dev, HCT_I32, 1, (int64_t[]){4}, &f->err);
    hct_tape *t = hct_tape_new(f->dev, mode);
    hct_id y = hct_use(t, x);
    for (int i = 0; i < 2; i++) {
        if (segments) hct_segment_begin(t);
        hct_id h = hct_gelu(t, hct_linear(t, y, hct_param(t, w[i]), 0));
        y = hct_add(t, y, hct_dropout(t, hct_mul(t, h, h), hct_use(t, rng), 0.5));
        if (segments) hct_segment_end(t);
    }
    hct_backward(t, hct_sum(t, hct_mul(t, y, y), HCT_AXES(2), 0), 0);
    hct_id g = hct_grad(t, hct_param(t, w[0]));
    hct_keep(t, g);
    ok(f, hct_tape_error(t, &f->err));
    if (mode == HCT_PROGRAM) {
        ok(f, hct_compile(t, &f->err));
        ok(f, hct_run(t, &f->err));
        *ret_arena = hct_stats(t).arena_lower_bound;
    }
    ok(f, hct_read(t, g, grad, &f->err));
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(w[0]);
    hct_tensor_free(w[1]);
    hct_tensor_free(rng);
}

START_TEST(segments_are_computed_again_bit_for_bit) {
    fixture f = open_cpu(NULL);
    float once[36], again[36];
    uint64_t arena[2] = {0, 0};
    for (int mode = 0; mode < 2; mode++) {
        layered(&f, (hct_mode)mode, 0, once, &arena[0]);
        layered(&f, (hct_mode)mode, 1, again, &arena[1]);
        ck_assert_mem_eq(once, again, sizeof once);
        ck_assert_float_ne(once[0], 0);
    }
    ck_assert_uint_lt(arena[1], arena[0]);
    close_cpu(&f);
}
END_TEST

START_TEST(segments_that_make_no_sense) {
    fixture f = open_cpu(NULL);
    hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
    hct_segment_begin(t);
    hct_segment_begin(t);
    ck_assert_int_eq(hct_tape_error(t, &f.err), HCT_EINVAL);
    hct_tape_free(t);
    t = hct_tape_new(f.dev, HCT_EAGER);
    hct_segment_end(t);
    ck_assert_int_eq(hct_tape_error(t, &f.err), HCT_EINVAL);
    hct_tape_free(t);
    hct_tensor *x = FILLED(&f, 1, 4, 3), *mean = FILLED(&f, 2, 3), *var = FILLED(&f, 3, 3);
    t = hct_tape_new(f.dev, HCT_EAGER);
    hct_segment_begin(t);
    hct_id y = hct_batch_norm(t, hct_param(t, x), hct_use(t, mean), hct_use(t, var), 0.1, 1e-5, 1);
    hct_segment_end(t);
    hct_backward(t, hct_sum(t, hct_mul(t, y, y), HCT_AXES(2), 0), 0);
    ck_assert_int_eq(hct_tape_error(t, &f.err), HCT_EINVAL); /* running statistics would move twice */
    ck_assert_ptr_nonnull(strstr(f.err.msg, "computed again"));
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(mean);
    hct_tensor_free(var);
    close_cpu(&f);
}
END_TEST

CHECK_MAIN("tape", errors_stick_and_name_op_and_shapes, messages_say_what_to_do, only_kept_values_are_read,
           views_are_read_row_major, max_pool_keeps_nan, gradients_meet_and_stop, batch_norm_trains_and_evaluates,
           segments_are_computed_again_bit_for_bit, segments_that_make_no_sense)
