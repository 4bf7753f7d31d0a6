/* Which kernel is chosen, what is said about it, and the words where none is. The plugin given as argument holds
 * "test:allocating add", which outranks the reference. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "fixture.h"

static const char *plugin;

typedef void append(fixture *, hct_tape *, hct_tensor *);
static void add_plain(fixture *f, hct_tape *t, hct_tensor *a) {
    (void)f;
    hct_add(t, hct_use(t, a), hct_use(t, a));
}
static void add_transposed(fixture *f, hct_tape *t, hct_tensor *a) {
    (void)f;
    hct_id x = hct_use(t, a);
    hct_add(t, x, hct_permute(t, x, (int[]){1, 0}));
}
static void add_twice(fixture *f, hct_tape *t, hct_tensor *a) {
    add_plain(f, t, a);
    add_plain(f, t, a);
}
static void convolve(fixture *f, hct_tape *t, hct_tensor *a) {
    (void)a;
    static const int64_t one[] = {1, 1, 1};
    hct_tensor *x = FILLED(f, 2, 1, 16, 12, 12, 12), *w = FILLED(f, 3, 16, 16, 3, 3, 3);
    hct_conv3d(t, hct_use(t, x), hct_use(t, w), 0, one, one, one, 1);
    hct_tensor_free(x);
    hct_tensor_free(w);
}

/* Runs calls on the 3 x 3 tensor a with HCT_VERBOSE and HCT_KERNEL set; stderr comes back in text. */
static hct_err run_with(const char *verbose, const char *force, append *calls, char *text, size_t n) {
    verbose ? setenv("HCT_VERBOSE", verbose, 1) : unsetenv("HCT_VERBOSE");
    force ? setenv("HCT_KERNEL", force, 1) : unsetenv("HCT_KERNEL");
    FILE *file = tmpfile();
    int saved = dup(2);
    ck_assert(file && saved >= 0);
    dup2(fileno(file), 2);
    fixture f = open_cpu(plugin);
    hct_tensor *a = FILLED(&f, 1, 3, 3);
    hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
    calls(&f, t, a);
    hct_err e = {0, ""};
    hct_tape_error(t, &e);
    hct_tape_free(t);
    hct_tensor_free(a);
    close_cpu(&f);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    rewind(file);
    text[fread(text, 1, n - 1, file)] = 0;
    fclose(file);
    unsetenv("HCT_VERBOSE");
    unsetenv("HCT_KERNEL");
    return e;
}
static hct_err add_with(const char *verbose, const char *force, int gaps, char *text, size_t n) {
    return run_with(verbose, force, gaps ? add_transposed : add_plain, text, n);
}

START_TEST(the_highest_priority_that_accepts) {
    char text[4096];
    ck_assert_int_eq(add_with("dispatch", NULL, 0, text, sizeof text).code, HCT_OK);
    ck_assert_msg(strstr(text, "dispatch: add(F32[3,3], F32[3,3]): test:allocating add chosen") != NULL, "%s", text);
    ck_assert_ptr_null(strstr(text, "ref:add"));
    ck_assert_int_eq(add_with("dispatch", NULL, 1, text, sizeof text).code, HCT_OK);
    ck_assert_msg(strstr(text, "test:allocating add refuses: an input has gaps") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "ref:add:f32 chosen") != NULL, "%s", text);
}
END_TEST

START_TEST(quiet_unless_asked) {
    char text[4096];
    ck_assert_int_eq(add_with(NULL, NULL, 0, text, sizeof text).code, HCT_OK);
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(one_kernel_can_be_forced) {
    char text[4096];
    ck_assert_int_eq(add_with("dispatch", "gelu=x,add=ref:add:f32", 0, text, sizeof text).code, HCT_OK);
    ck_assert_msg(strstr(text, "ref:add:f32 chosen") && !strstr(text, "allocating"), "%s", text);
    hct_err e = add_with(NULL, "add=nobody", 0, text, sizeof text);
    ck_assert_int_eq(e.code, HCT_ENOKERNEL);
    ck_assert_msg(strstr(e.msg, "HCT_KERNEL") && strstr(e.msg, "'nobody'") && strstr(e.msg, "not loaded"), "%s", e.msg);
    e = add_with(NULL, "add=test:allocating add", 1, text, sizeof text);
    ck_assert_int_eq(e.code, HCT_ENOKERNEL);
    ck_assert_msg(strstr(e.msg, "refuses"), "%s", e.msg);
}
END_TEST

/* A slip of the pen is one line, whatever runs, and changes nothing that is computed. */
START_TEST(what_nobody_knows_is_said) {
    static const struct {
        const char *verbose, *force, *said;
    } cases[] = {
        {NULL, "ad=ref:add:f32", "headct: HCT_KERNEL=ad=ref:add:f32: no op is called 'ad'; the nearest is 'add'\n"},
        {NULL, "sofmax=x", "headct: HCT_KERNEL=sofmax=x: no op is called 'sofmax'; the nearest is 'softmax'\n"},
        {NULL, "frobnicate",
         "headct: HCT_KERNEL=frobnicate: no op is called 'frobnicate'; it takes OP=KERNEL, and 'headct backends "
         "--kernels' lists them\n"},
        {NULL, "gelu",
         "headct: HCT_KERNEL=gelu: it names no kernel of gelu; it takes OP=KERNEL, and 'headct backends --kernels' "
         "lists them\n"},
        {NULL, "add=ref:add:f32,gelu=rf:gelu:f32",
         "headct: HCT_KERNEL=gelu=rf:gelu:f32: no kernel of gelu on cpu is called 'rf:gelu:f32'; the nearest is "
         "'ref:gelu:f32'\n"},
        {NULL, "add=ref:add:f32,", ""},
        {"dispach", NULL, "headct: HCT_VERBOSE=dispach is not known; 'dispatch' is\n"},
        {"", "", ""},
    };
    char text[4096];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(run_with(cases[i].verbose, cases[i].force, add_twice, text, sizeof text).code, HCT_OK);
        ck_assert_str_eq(text, cases[i].said);
    }
    ck_assert_int_eq(run_with("loud,dispatch", NULL, add_plain, text, sizeof text).code, HCT_OK);
    ck_assert_msg(strstr(text, "HCT_VERBOSE=loud is not") && strstr(text, "add chosen"), "%s", text);
}
END_TEST

static int threads(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

/* A convolution goes to oneDNN where that is built in, and back to the reference on demand; both use one pool of
 * threads. */
START_TEST(a_library_can_be_switched_off) {
    char text[4096];
    ck_assert_int_eq(run_with("dispatch", "conv3d=ref:conv3d:f32", convolve, text, sizeof text).code, HCT_OK);
    ck_assert_msg(strstr(text, "ref:conv3d:f32 chosen") && !strstr(text, "onednn"), "%s", text);
    int before = threads();
    ck_assert_int_eq(run_with("dispatch", NULL, convolve, text, sizeof text).code, HCT_OK);
#ifdef HAVE_ONEDNN
    ck_assert_msg(strstr(text, "onednn:conv3d:f32 chosen") != NULL, "%s", text);
#endif
    ck_assert_int_eq(threads(), before);
}
END_TEST

/* No silent way round: the message names op, dtypes, backend and who refused. */
START_TEST(no_kernel_says_so) {
    fixture f = open_cpu(NULL);
    hct_tensor *a = hct_tensor_new(f.dev, HCT_I32, 3, (int64_t[]){1, 2, 3}, &f.err),
               *i = hct_tensor_new(f.dev, HCT_I32, 2, (int64_t[]){1, 1}, &f.err);
    hct_tape *t = hct_tape_new(f.dev, HCT_EAGER);
    hct_id out, in[] = {hct_use(t, a), hct_use(t, a), hct_use(t, i)};
    hct_tape *u = hct_tape_new(f.dev, HCT_EAGER);
    hct_id y = hct_use(u, a);
    hct_gather(u, y, hct_use(u, i)); /* moves any dtype */
    ok(&f, hct_tape_error(u, &f.err));
    hct_tape_free(u);
    hct_emit(t, "softmax.bwd", in, 2, NULL, 0, &out, 1);
    hct_err e = {0, ""};
    hct_tape_error(t, &e);
    ck_assert_int_lt(e.code, 0);
    ck_assert_msg(strstr(e.msg, "softmax.bwd") && strstr(e.msg, "I32"), "%s", e.msg);
    hct_tape_free(t);
    hct_tensor_free(a);
    hct_tensor_free(i);
    close_cpu(&f);
}
END_TEST

START_TEST(device_specs) {
    fixture f = open_cpu(NULL);
    static const char *const bad[][2] = {
        {"tpu", "no such backend"},  {"cpu:none-such", "no device is called so"},
        {"cpu:", "number"},          {"cpu:-1", "number"},
        {"cpu:7", "one CPU device"}, {"cp", "no such backend"},
        {"", "no such backend"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hct_err e = {0, ""};
        ck_assert_ptr_null(hct_device_open(f.ctx, bad[i][0], &e));
        ck_assert_int_lt(e.code, 0);
        ck_assert_msg(strstr(e.msg, bad[i][1]) && strstr(e.msg, bad[i][0]), "'%s': %s", bad[i][0], e.msg);
    }
    hct_dev *d = hct_device_open(f.ctx, "cpu:THREAD", &f.err); /* "NAME, N threads, M GiB" */
    ck_assert_msg(d != NULL, "%s", f.err.msg);
    hct_device_close(d);
    d = hct_device_open(f.ctx, "cpu:0", &f.err);
    ck_assert_ptr_nonnull(d);
    hct_device_close(d);
    setenv("HEADCT_DEVICE", "tpu", 1);
    ck_assert_ptr_null(hct_device_open(f.ctx, NULL, &f.err));
    setenv("HEADCT_DEVICE", "cpu:0", 1);
    ck_assert_ptr_nonnull(d = hct_device_open(f.ctx, NULL, &f.err));
    unsetenv("HEADCT_DEVICE");
    ck_assert_str_eq(hct_device_backend(d), "cpu");
    hct_device_close(d);
    close_cpu(&f);
}
END_TEST

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    plugin = argv[1];
    return CHECK_RUN("dispatch", the_highest_priority_that_accepts, quiet_unless_asked, one_kernel_can_be_forced,
                     what_nobody_knows_is_said, a_library_can_be_switched_off, no_kernel_says_so, device_specs);
}
