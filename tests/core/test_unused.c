/* Outputs that nothing reads: kernels are told so when they are planned, and those that leave them give their memory
 * back. The plugin given as argument holds "test:leaving add_layer_norm". */
#include <dlfcn.h>

#include "check_main.h"
#include "fixture.h"

enum { ROWS = 64, C = 32 };

static const char *plugin;

static int counter(const char *name) {
    int *count = dlsym(dlopen(plugin, RTLD_NOW), name);
    ck_assert_ptr_nonnull(count);
    return *count;
}

/* x + h, and the norm of it if norm; with a gradient if trained. Returns the arena's bytes. */
static uint64_t run(fixture *f, hct_mode mode, int norm, int trained) {
    hct_tensor *x = FILLED(f, 1, ROWS, C), *h = FILLED(f, 2, ROWS, C), *w = FILLED(f, 3, C), *b = FILLED(f, 4, C);
    hct_tape *t = hct_tape_new(f->dev, mode);
    hct_id sum, y = hct_add_layer_norm(t, trained ? hct_param(t, x) : hct_use(t, x), hct_use(t, h), hct_use(t, w),
                                       hct_use(t, b), 1e-5, &sum);
    if (norm || trained) hct_keep(t, y);
    hct_keep(t, sum);
    if (trained) {
        hct_backward(t, hct_mean(t, y, HCT_AXES(2), 0), 0);
        hct_keep(t, hct_grad(t, hct_param(t, x)));
    }
    if (mode == HCT_PROGRAM) {
        ok(f, hct_compile(t, &f->err));
        ok(f, hct_run(t, &f->err));
    }
    float got[ROWS * C];
    ok(f, hct_read(t, sum, got, &f->err));
    for (int i = 0; i < ROWS * C; i++) ck_assert_float_eq_tol(got[i], value_at(i, 1) + value_at(i, 2), 1e-6f);
    uint64_t arena = hct_stats(t).arena;
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(h);
    hct_tensor_free(w);
    hct_tensor_free(b);
    return arena;
}

START_TEST(left_where_nothing_reads_them) {
    fixture f = open_cpu(plugin);
    uint64_t alone = run(&f, HCT_PROGRAM, 0, 0);
    ck_assert_int_eq(counter("outputs_left"), 3);
    uint64_t with_norm = run(&f, HCT_PROGRAM, 1, 0);
    ck_assert_int_eq(counter("outputs_left"), 2);
    ck_assert_int_eq(counter("address_given"), 0);
    ck_assert_uint_eq(alone, ROWS * C * sizeof(float));
    ck_assert_uint_eq(with_norm, 2 * ROWS * C * sizeof(float));
    close_cpu(&f);
}
END_TEST

START_TEST(written_where_the_gradient_reads_them_and_in_eager_tapes) {
    fixture f = open_cpu(plugin);
    run(&f, HCT_PROGRAM, 1, 1);
    ck_assert_int_eq(counter("outputs_left"), 0);
    run(&f, HCT_EAGER, 0, 0);
    ck_assert_int_eq(counter("outputs_left"), 0);
    close_cpu(&f);
}
END_TEST

START_TEST(leaving_what_is_read_is_refused) {
    fixture f = open_cpu(plugin);
    hct_tensor *x = FILLED(&f, 1, 4);
    hct_tape *t = hct_tape_new(f.dev, HCT_PROGRAM);
    hct_keep(t, hct_gelu(t, hct_use(t, x)));
    ck_assert_int_eq(hct_compile(t, &f.err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(f.err.msg, "test:careless leaves"));
    hct_tape_free(t);
    hct_tensor_free(x);
    close_cpu(&f);
}
END_TEST

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    plugin = argv[1];
    return CHECK_RUN("unused", left_where_nothing_reads_them, written_where_the_gradient_reads_them_and_in_eager_tapes,
                     leaving_what_is_read_is_refused);
}
