/* The binary interface from the outside: a plugin of interface 1.0 keeps working; what is broken is refused with one
 * clear line and harms nothing. Arguments: the 1.0 plugin, then the bad ones' folder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check_main.h"
#include "hct/hct.h"
#include "hct/io.h"
#include "scratch.h"

static const char *v1, *bad_folder;

static const double X[] = {-1.5, 0.25, 2};

/* What must work in any context: gelu of 1 on the CPU. */
static void check_works(hct_ctx *ctx) {
    hct_err err = {0, ""};
    hct_dev *dev = hct_device_open(ctx, "cpu", &err);
    ck_assert_msg(dev != NULL, "%s", err.msg);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id y = hct_gelu(t, hct_fill(t, HCT_F64, 0, NULL, 1));
    double got = 0;
    ck_assert_msg(hct_read(t, y, &got, &err) == HCT_OK, "%s", err.msg);
    ck_assert_double_eq_tol(got, 0.841344746068543, 1e-14);
    hct_tape_free(t);
    hct_device_close(dev);
}

static hct_ctx *open_with(const char *plugin, hct_err *err) {
    return hct_open(&(hct_options){&plugin, plugin != NULL}, err);
}

START_TEST(a_plugin_of_1_0_computes_and_differentiates) {
    hct_err err = {0, ""};
    hct_ctx *ctx = open_with(v1, &err);
    ck_assert_msg(ctx != NULL, "%s", err.msg);
    hct_dev *dev = hct_device_open(ctx, "cpu", &err);
    hct_tensor *x = hct_tensor_new(dev, HCT_F64, 1, (int64_t[]){3}, &err);
    ck_assert_int_eq(hct_tensor_write(x, X, &err), HCT_OK);
    for (int mode = 0; mode < 2; mode++) {
        hct_tape *t = hct_tape_new(dev, (hct_mode)mode);
        hct_id in = hct_param(t, x), out[2], square;
        hct_emit(t, "abi.powers", &in, 1, &HCT_REAL("factor", 0.5), 1, out, 2);
        hct_emit(t, "abi.square", &in, 1, NULL, 0, &square, 1);
        hct_id loss = hct_sum(t, hct_add(t, hct_add(t, out[0], out[1]), square), HCT_AXIS(0), 0);
        hct_backward(t, loss, 0);
        hct_keep(t, out[1]);
        hct_keep(t, hct_grad(t, in));
        ck_assert_msg(hct_tape_error(t, &err) == HCT_OK, "%s", err.msg);
        if (mode == HCT_PROGRAM)
            ck_assert_msg(hct_compile(t, &err) == HCT_OK && hct_run(t, &err) == HCT_OK, "%s", err.msg);
        double y[3], g[3];
        ck_assert_int_eq(hct_read(t, out[1], y, &err), HCT_OK);
        ck_assert_int_eq(hct_read(t, hct_grad(t, in), g, &err), HCT_OK);
        for (int i = 0; i < 3; i++) {
            ck_assert_double_eq_tol(y[i], X[i] * X[i] * X[i], 1e-14);
            ck_assert_double_eq_tol(g[i], X[i] + 3 * X[i] * X[i] + 2 * X[i], 1e-13); /* of x^2/2, x^3 and x^2 */
        }
        hct_tape_free(t);
    }
    hct_tensor_free(x);
    hct_device_close(dev);
    check_works(ctx);
    hct_close(ctx);
}
END_TEST

START_TEST(a_backend_of_1_0_runs) {
    hct_err err = {0, ""};
    hct_ctx *ctx = open_with(v1, &err);
    ck_assert_msg(ctx != NULL, "%s", err.msg);
    hct_dev *dev = hct_device_open(ctx, "abi", &err);
    ck_assert_msg(dev != NULL, "%s", err.msg);
    hct_tensor *x = hct_tensor_new(dev, HCT_F64, 1, (int64_t[]){3}, &err);
    ck_assert_int_eq(hct_tensor_write(x, X, &err), HCT_OK);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id in = hct_use(t, x), out[2];
    hct_emit(t, "abi.powers", &in, 1, &HCT_REAL("factor", 4), 1, out, 2);
    double y[3];
    ck_assert_msg(hct_read(t, out[0], y, &err) == HCT_OK, "%s", err.msg);
    for (int i = 0; i < 3; i++) ck_assert_double_eq(y[i], 4 * X[i] * X[i]);
    hct_gelu(t, in); /* not there, and nothing steps in */
    ck_assert_int_eq(hct_tape_error(t, &err), HCT_ENOKERNEL);
    ck_assert_msg(strstr(err.msg, "gelu(F64[3]) on abi") && strstr(err.msg, "headct backends"), "%s", err.msg);
    hct_tape_free(t);
    t = hct_tape_new(dev, HCT_EAGER);
    hct_emit(t, "abi.square", (hct_id[]){hct_use(t, x)}, 1, NULL, 0, out,
             1); /* composed of mul, which is not there either */
    ck_assert_int_eq(hct_tape_error(t, &err), HCT_ENOKERNEL);
    ck_assert_msg(strstr(err.msg, "mul") != NULL, "%s", err.msg);
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_device_close(dev);
    hct_close(ctx);
}
END_TEST

static const struct {
    const char *name, *words[2]; /* what is said */
} bad[] = {
    {"wrong_magic", {"magic", "HCT_PLUGIN_DEFINE"}},
    {"other_major", {"interface 2.0", "rebuild"}},
    {"short_struct", {"too short (40 of 48 bytes)", "rebuild"}},
    {"no_init", {"its description has no init", "HCT_PLUGIN_DEFINE"}},
    {"no_symbol", {"exports no hct_plugin_v1", "not a headct plugin"}},
    {"half_way", {"init failed", "the driver is missing; install it"}},
    {"not_here", {"init failed", "the driver is missing"}},
    {"unresolved", {"cannot be loaded", "hct_function_that_is_nowhere"}},
    {"taken_name", {"init failed", "op 'gelu' is there already"}},
};

START_TEST(bad_plugins_are_refused_and_harm_nothing) {
    hct_err err = {0, ""};
    hct_ctx *ctx = open_with(NULL, &err);
    size_t ops = hct_op_count(ctx), kernels = hct_kernel_count(ctx), backends = hct_backend_count(ctx),
           plugins = hct_plugin_count(ctx);
    ck_assert_uint_gt(kernels, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/bad_%s.so", bad_folder, bad[i].name);
        err = (hct_err){0, ""};
        ck_assert_msg(hct_load_plugin(ctx, path, &err) < 0, "%s was taken", path);
        ck_assert_msg(strstr(err.msg, path) && strstr(err.msg, bad[i].words[0]) && strstr(err.msg, bad[i].words[1]),
                      "%s", err.msg);
        ck_assert_ptr_null(strchr(err.msg, '\n'));
        ck_assert_uint_eq(hct_op_count(ctx), ops);
        ck_assert_uint_eq(hct_kernel_count(ctx), kernels);
        ck_assert_uint_eq(hct_backend_count(ctx), backends);
        ck_assert_uint_eq(hct_plugin_count(ctx), plugins);
        check_works(ctx);
        hct_err why = {0, ""};
        ck_assert_ptr_null(open_with(path, &why)); /* asked for by name: an error */
        ck_assert_int_lt(why.code, 0);
    }
    ck_assert_int_eq(hct_load_plugin(ctx, v1, &err), HCT_OK); /* and a good one still loads */
    check_works(ctx);
    hct_close(ctx);
}
END_TEST

START_TEST(files_that_are_no_shared_objects) {
    hct_err err = {0, ""};
    hct_ctx *ctx = open_with(NULL, &err);
    const char *text = scratch_file("hct_kernel_text.so", "not a program\n", 14),
               *cut = scratch_file("hct_kernel_cut.so", "\177ELF\2\1\1", 7);
    const char *paths[] = {text, cut, scratch_path("hct_kernel_absent.so"), scratch_folder()};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        ck_assert_int_lt(hct_load_plugin(ctx, paths[i], &err), 0);
        ck_assert_msg(strstr(err.msg, paths[i]) && !strchr(err.msg, '\n'), "%s", err.msg);
        check_works(ctx);
    }
    hct_close(ctx);
}
END_TEST

/* A plugin that was cut anywhere, and a pipe: refused before the loader maps or waits for it. */
START_TEST(cut_plugins_are_refused) {
    hct_err err = {0, ""};
    hct_ctx *ctx = open_with(NULL, &err);
    char *bytes = NULL;
    size_t n = 0;
    ck_assert_int_eq(hct_read_file(v1, &bytes, &n, &err), HCT_OK);
    int refused = 0;
    for (size_t cut = 64; cut < n; cut += 500) {
        const char *path = scratch_file("hct_kernel_cut.so", bytes, cut);
        /* all that is mapped is there: what follows serves debuggers */
        if (hct_load_plugin(ctx, path, &err) == HCT_OK) break;
        ck_assert_msg(strstr(err.msg, path) && !strchr(err.msg, '\n'), "%s", err.msg);
        refused++;
        check_works(ctx);
    }
    free(bytes);
    ck_assert_int_gt(refused, 10);
    const char *pipe = scratch_path("hct_kernel_pipe.so");
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    ck_assert_int_lt(hct_load_plugin(ctx, pipe, &err), 0);
    ck_assert_msg(strstr(err.msg, "is not a file"), "%s", err.msg);
    hct_close(ctx);
}
END_TEST

/* Opens a context with HCT_PLUGIN_PATH; what is said on stderr comes back in text. */
static hct_ctx *open_searching(const char *path, char *text, size_t n) {
    setenv("HCT_PLUGIN_PATH", path, 1);
    FILE *file = tmpfile();
    int saved = dup(2);
    dup2(fileno(file), 2);
    hct_err err = {0, ""};
    hct_ctx *ctx = open_with(NULL, &err);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    unsetenv("HCT_PLUGIN_PATH");
    ck_assert_msg(ctx != NULL, "%s", err.msg);
    rewind(file);
    text[fread(text, 1, n - 1, file)] = 0;
    fclose(file);
    return ctx;
}

/* In a folder that is searched, a bad file is one line and the rest still loads. */
START_TEST(a_bad_file_in_the_search_path_is_one_line) {
    const char *folder = scratch_path("search");
    ck_assert_int_eq(mkdir(folder, 0777), 0);
    scratch_file("search/hct_kernel_text.so", "not a program\n", 14);
    scratch_file("search/unrelated.so", "not looked at\n", 14);
    char link_at[4096], said[4096];
    snprintf(link_at, sizeof link_at, "%s/hct_kernel_v1.so", folder);
    ck_assert_int_eq(symlink(v1, link_at), 0);
    hct_ctx *ctx = open_searching(folder, said, sizeof said);
    ck_assert_msg(strstr(said, "left out") && strstr(said, "hct_kernel_text.so") && !strstr(said, "unrelated"), "%s",
                  said);
    ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1);
    ck_assert_ptr_nonnull(hct_op_find(ctx, "abi.powers"));
    check_works(ctx);
    hct_close(ctx);
}
END_TEST

/* So is a folder of HCT_PLUGIN_PATH that is none, or holds nothing; what is not set says nothing. */
START_TEST(a_bad_folder_in_the_search_path_is_one_line) {
    char empty[2000], file[2000], path[8192], want[8192], said[8192];
    snprintf(empty, sizeof empty, "%s", scratch_path("empty"));
    ck_assert_int_eq(mkdir(empty, 0777), 0);
    snprintf(file, sizeof file, "%s", scratch_file("hct_kernel_by_name.so", "", 0));
    snprintf(path, sizeof path, "/no/such/folder::%s:%s", empty, file);
    snprintf(want, sizeof want,
             "headct: HCT_PLUGIN_PATH: /no/such/folder: No such file or directory\n"
             "headct: HCT_PLUGIN_PATH: %s holds no hct_kernel_*.so or hct_backend_*.so\n"
             "headct: HCT_PLUGIN_PATH: %s: Not a directory\n",
             empty, file);
    hct_ctx *ctx = open_searching(path, said, sizeof said);
    ck_assert_str_eq(said, want);
    check_works(ctx);
    hct_close(ctx);
    hct_close(open_searching("", said, sizeof said));
    ck_assert_str_eq(said, "");
    scratch_file("empty/hct_comm_mpi.so", "", 0); /* for ranks: not looked at here */
    hct_close(open_searching(empty, said, sizeof said));
    ck_assert_str_eq(said, "");
}
END_TEST

/* Neither is what others could have put there: loaded by name, left out where it was only found. */
START_TEST(what_others_may_write_is_not_loaded) {
    char said[8192], want[8192];
    const char *folder = scratch_path("open");
    ck_assert_int_eq(mkdir(folder, 0755), 0);
    char *bytes = NULL;
    size_t n = 0;
    ck_assert_int_eq(hct_read_file(v1, &bytes, &n, NULL), HCT_OK);
    const char *file = scratch_file("open/hct_kernel_v1.so", bytes, n);
    free(bytes);
    hct_ctx *ctx = open_searching(folder, said, sizeof said);
    ck_assert_str_eq(said, "");
    ck_assert_ptr_nonnull(hct_op_find(ctx, "abi.powers"));
    hct_close(ctx);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    ctx = open_searching(folder, said, sizeof said);
    snprintf(want, sizeof want, "left out: %s: is not loaded: %s may be written to by everybody", file, folder);
    ck_assert_msg(strstr(said, want) != NULL, "%s", said);
    ck_assert_ptr_null(hct_op_find(ctx, "abi.powers"));
    hct_close(ctx);
    ck_assert_int_eq(chmod(folder, 0755), 0);
    ck_assert_int_eq(chmod(file, 0666), 0);
    hct_err err = {0, ""};
    ck_assert_int_eq(hct_trust_file(file, &err), HCT_EINVAL);
    ck_assert_int_eq(chmod(file, 0644), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(file, 12345, 12345), 0);
        ck_assert_int_eq(hct_trust_file(file, &err), HCT_EINVAL);
        ck_assert_msg(strstr(err.msg, "belongs to another user"), "%s", err.msg);
    }
    ck_assert_int_eq(chdir(scratch_folder()), 0);
    ctx = open_searching("open", said, sizeof said);
    ck_assert_str_eq(said, "headct: HCT_PLUGIN_PATH: open is a relative path, and left out: name it from /\n");
    ck_assert_int_lt(hct_load_plugin(ctx, "hct_kernel_v1.so", &err), 0);
    ck_assert_msg(strstr(err.msg, "./hct_kernel_v1.so"), "%s", err.msg);
    hct_close(ctx);
}
END_TEST

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    v1 = realpath(argv[1], NULL); /* links to it are made elsewhere */
    if (!v1) return 2;
    bad_folder = argv[2];
    return CHECK_RUN("abi", a_plugin_of_1_0_computes_and_differentiates, a_backend_of_1_0_runs,
                     bad_plugins_are_refused_and_harm_nothing, files_that_are_no_shared_objects,
                     cut_plugins_are_refused, a_bad_file_in_the_search_path_is_one_line,
                     a_bad_folder_in_the_search_path_is_one_line, what_others_may_write_is_not_loaded);
}
