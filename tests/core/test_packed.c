/* Packed copies of weights that many runs share (hct_keep_packed): made once, made again when the weights were
 * written by anyone, never for a tensor that the program itself writes. The plugin given as argument holds
 * "test:packing linear", which reads its copy alone. */
#include <dlfcn.h>

#include "check_main.h"
#include "fixture.h"
#include "hct/optim.h"

enum { ROWS = 5, IN = 7, OUT = 3 };

static const char *plugin;

/* The counter of the plugin, which is loaded by now. */
static int *packs(void) {
    int *count = dlsym(dlopen(plugin, RTLD_NOW), "packs_made");
    ck_assert_ptr_nonnull(count);
    return count;
}

typedef struct forward {
    hct_tensor *x, *w;
    hct_tape *t;
    hct_id y;
} forward;

/* y = x w^T, told to keep w packed or not. */
static forward forward_of(fixture *f, hct_tensor *w, int keep) {
    forward p = {.x = FILLED(f, 1, ROWS, IN), .w = w, .t = hct_tape_new(f->dev, HCT_PROGRAM)};
    p.y = hct_linear(p.t, hct_use(p.t, p.x), hct_use(p.t, w), 0);
    hct_keep(p.t, p.y);
    if (keep) hct_keep_packed(p.t);
    ok(f, hct_compile(p.t, &f->err));
    return p;
}

/* Runs it, and holds y to what x and w are now. */
static void run_right(fixture *f, const forward *p) {
    float x[ROWS * IN], w[OUT * IN], y[ROWS * OUT];
    ok(f, hct_run(p->t, &f->err));
    ok(f, hct_read(p->t, p->y, y, &f->err));
    ok(f, hct_tensor_read(p->x, x, &f->err));
    ok(f, hct_tensor_read(p->w, w, &f->err));
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < OUT; j++) {
            float sum = 0;
            for (int k = 0; k < IN; k++) sum += x[i * IN + k] * w[j * IN + k];
            ck_assert_float_eq_tol(y[i * OUT + j], sum, 1e-5f);
        }
}

static void forward_free(forward *p) {
    hct_tape_free(p->t);
    hct_tensor_free(p->x);
}

START_TEST(packed_once_and_again_when_written) {
    fixture f = open_cpu(plugin);
    hct_tensor *w = FILLED(&f, 2, OUT, IN);
    forward p = forward_of(&f, w, 1);
    float other[ROWS * IN];
    int *made = packs(), before = *made;
    ck_assert_uint_ge(hct_stats(p.t).packed, OUT * IN * sizeof(float));
    ck_assert_int_eq(*made, before);
    uint64_t allocations = hct_device_memory(f.dev).calls;
    for (int i = 0; i < 3; i++) run_right(&f, &p);
    ck_assert_int_eq(*made, before + 1);
    for (int i = 0; i < ROWS * IN; i++) other[i] = value_at(i, 9);
    ok(&f, hct_tensor_write(p.x, other, &f.err));
    run_right(&f, &p);
    ck_assert_int_eq(*made, before + 1);
    ok(&f, hct_tensor_write(w, other, &f.err));
    for (int i = 0; i < 2; i++) run_right(&f, &p);
    ck_assert_int_eq(*made, before + 2);
    ck_assert_uint_eq(hct_device_memory(f.dev).calls, allocations);
    forward_free(&p);
    hct_tensor_free(w);
    close_cpu(&f);
}
END_TEST

START_TEST(not_unless_asked_and_before_planning) {
    fixture f = open_cpu(plugin);
    hct_tensor *w = FILLED(&f, 2, OUT, IN);
    forward p = forward_of(&f, w, 0);
    int *made = packs(), before = *made;
    run_right(&f, &p);
    ck_assert_uint_eq(hct_stats(p.t).packed, 0);
    hct_tape *eager = hct_tape_new(f.dev, HCT_EAGER);
    hct_keep_packed(eager);
    hct_linear(eager, hct_use(eager, p.x), hct_use(eager, w), 0);
    ok(&f, hct_tape_error(eager, &f.err));
    hct_tape_free(eager);
    ck_assert_int_eq(*made, before);
    hct_keep_packed(p.t);
    ck_assert_int_eq(hct_tape_error(p.t, &f.err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(f.err.msg, "before hct_compile"));
    forward_free(&p);
    hct_tensor_free(w);
    close_cpu(&f);
}
END_TEST

/* Steps of SGD on mean((x w^T)^2), with another x. */
static void train(fixture *f, hct_tensor *w, hct_mode mode, int steps) {
    hct_optim *o = hct_optim_new(f->dev, &(hct_optim_options){.kind = HCT_SGD}, &f->err);
    hct_tensor *x = FILLED(f, 4, ROWS, IN);
    ok(f, hct_optim_add(o, 0, "w", w, &f->err));
    ok(f, hct_optim_step(o, (hct_optim_rate[]){{0.5, 0, 1}}, &f->err));
    hct_tape *t = hct_tape_new(f->dev, mode);
    hct_id y = hct_linear(t, hct_use(t, x), hct_param(t, w), 0);
    hct_backward(t, hct_mean(t, hct_mul(t, y, y), HCT_AXES(2), 0), 0);
    hct_optim_record(o, t);
    hct_keep_packed(t); /* in vain: it writes w */
    if (mode == HCT_PROGRAM) {
        ok(f, hct_compile(t, &f->err));
        ck_assert_uint_eq(hct_stats(t).packed, 0);
        for (int i = 0; i < steps; i++) ok(f, hct_run(t, &f->err));
    }
    ok(f, hct_tape_error(t, &f->err));
    hct_tape_free(t);
    hct_optim_free(o);
    hct_tensor_free(x);
}

START_TEST(packed_again_after_an_optimiser) {
    fixture f = open_cpu(plugin);
    hct_tensor *w = FILLED(&f, 2, OUT, IN);
    forward p = forward_of(&f, w, 1);
    int *made = packs(), before = *made;
    for (int mode = 0; mode < 2; mode++) {
        float was[OUT * IN], is[OUT * IN];
        ok(&f, hct_tensor_read(w, was, &f.err));
        run_right(&f, &p);
        train(&f, w, (hct_mode)mode, 2);
        ok(&f, hct_tensor_read(w, is, &f.err));
        ck_assert_mem_ne(was, is, sizeof is);
        for (int i = 0; i < 2; i++) run_right(&f, &p);
    }
    ck_assert_int_eq(*made, before + 3);
    forward_free(&p);
    hct_tensor_free(w);
    close_cpu(&f);
}
END_TEST

static void count_line(void *context, const char *text) { *(int *)context += strstr(text, " calls  ") != NULL; }

static hct_status profile_quietly(hct_tape *t, hct_err *err) {
    int lines = 0;
    hct_status st = hct_profile(t, count_line, &lines, err);
    ck_assert(st < 0 || lines > 0);
    return st;
}

/* Weights that are a part of a tensor, transposed; and profiling before the first run. */
START_TEST(views_of_tensors_are_packed) {
    fixture f = open_cpu(plugin);
    hct_tensor *x = FILLED(&f, 1, ROWS, IN), *w = FILLED(&f, 2, IN, OUT + 2);
    float want[ROWS * OUT], got[ROWS * OUT];
    for (int keep = 0; keep < 2; keep++) {
        hct_tape *t = hct_tape_new(f.dev, HCT_PROGRAM);
        hct_id y =
            hct_linear(t, hct_use(t, x), hct_permute(t, hct_slice(t, hct_use(t, w), 1, 1, OUT), (int[]){1, 0}), 0);
        hct_keep(t, y);
        if (keep) hct_keep_packed(t);
        ok(&f, hct_compile(t, &f.err));
        ck_assert(keep == (hct_stats(t).packed > 0));
        ok(&f, keep ? profile_quietly(t, &f.err) : hct_run(t, &f.err));
        ok(&f, hct_read(t, y, keep ? got : want, &f.err));
        hct_tape_free(t);
    }
    for (int i = 0; i < ROWS * OUT; i++) ck_assert_float_eq_tol(got[i], want[i], 1e-5f);
    hct_tensor_free(x);
    hct_tensor_free(w);
    close_cpu(&f);
}
END_TEST

START_TEST(a_copy_that_cannot_be_made_is_refused) {
    fixture f = open_cpu(plugin);
    hct_tensor *x = hct_tensor_new(f.dev, HCT_F64, 1, (int64_t[]){4}, &f.err);
    hct_tape *t = hct_tape_new(f.dev, HCT_PROGRAM);
    hct_keep(t, hct_gelu(t, hct_use(t, x)));
    ck_assert_int_eq(hct_compile(t, &f.err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(f.err.msg, "test:greedy"));
    hct_tape_free(t);
    hct_tensor_free(x);
    close_cpu(&f);
}
END_TEST

/* Without the plugin: what the shipped kernels do where B does not fit the cache at once, in both precisions. */
START_TEST(the_same_bits_when_packed) {
    enum { M = 6, K = 4200, N = 1100 }; /* 18 MB of weights */
    fixture f = open_cpu(NULL);
    hct_tensor *x = FILLED(&f, 1, M, K), *w = FILLED(&f, 2, N, K), *b = FILLED(&f, 3, N);
    for (int half = 0; half < 2; half++) {
        hct_dtype dtype = half ? HCT_BF16 : HCT_F32;
        hct_tensor *short_w = hct_tensor_new(f.dev, dtype, 2, (int64_t[]){N, K}, &f.err);
        void *bytes = malloc((size_t)N * K * sizeof(float)), *y[2];
        hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
        ok(&f, hct_read(t, hct_cast(t, hct_use(t, w), dtype), bytes, &f.err));
        ok(&f, hct_tensor_write(short_w, bytes, &f.err));
        hct_tape_free(t);
        for (int keep = 0; keep < 2; keep++) {
            t = hct_tape_new(f.dev, HCT_PROGRAM);
            hct_id out = hct_linear(t, hct_cast(t, hct_use(t, x), dtype), hct_use(t, short_w),
                                    hct_cast(t, hct_use(t, b), dtype));
            y[keep] = calloc((size_t)M * N, sizeof(float));
            hct_keep(t, out);
            if (keep) hct_keep_packed(t);
            ok(&f, hct_compile(t, &f.err));
            if (keep && !hct_stats(t).packed) printf("# no kernel here packs %s\n", hct_dtype_name(dtype));
            for (int i = 0; i < 2; i++) ok(&f, hct_run(t, &f.err));
            ok(&f, hct_read(t, out, y[keep], &f.err));
            hct_tape_free(t);
        }
        ck_assert_mem_eq(y[0], y[1], (size_t)M * N * hct_dtype_size(dtype));
        free(y[0]);
        free(y[1]);
        free(bytes);
        hct_tensor_free(short_w);
    }
    hct_tensor_free(x);
    hct_tensor_free(w);
    hct_tensor_free(b);
    close_cpu(&f);
}
END_TEST

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    plugin = argv[1];
    return CHECK_RUN("packed", packed_once_and_again_when_written, not_unless_asked_and_before_planning,
                     packed_again_after_an_optimiser, views_of_tensors_are_packed,
                     a_copy_that_cannot_be_made_is_refused, the_same_bits_when_packed);
}
