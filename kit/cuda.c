/* Finding and opening NVIDIA's libraries. */
#include "kit/cuda.h"

#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 4 };

/* Newest first; major: of the CUDA that the file was made for, 0: of any. */
static const struct {
    const char *name, *version; /* version: the function that gives it */
    struct {
        const char *file;
        int major;
    } files[MOST_FILES];
} libraries[CUDA_LIBRARIES] = {
    [CUDA_DRIVER] = {"driver", "cuDriverGetVersion", {{"libcuda.so.1", 0}}},
    [CUDA_CUBLASLT] = {"cuBLASLt",
                       "cublasLtGetVersion",
                       {{"libcublasLt.so.13", 13}, {"libcublasLt.so.12", 12}, {"libcublasLt.so", 0}}},
    [CUDA_CUDNN] = {"cuDNN", "cudnnGetVersion", {{"libcudnn.so.9", 0}, {"libcudnn_graph.so.9", 0}}},
    [CUDA_NCCL] = {"NCCL", "ncclGetVersion", {{"libnccl.so.2", 0}}},
};
static int newest;

void cuda_library_newest(int cuda_major) { newest = cuda_major; }

static void *open_file(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }

static void *open_in(const char *folder, const char *file) {
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", folder, file) < (int)sizeof path ? open_file(path) : NULL;
}

/* The first file that fits a pattern and opens. */
static void *open_fitting(const char *pattern) {
    glob_t found;
    void *lib = NULL;
    if (glob(pattern, 0, NULL, &found) != 0) return NULL;
    for (size_t i = 0; i < found.gl_pathc && !lib; i++) lib = open_file(found.gl_pathv[i]);
    globfree(&found);
    return lib;
}

static void *open_named(const char *file) {
    const char *list = getenv("HEADCT_CUDA_PATH");
    char *copy = list ? strdup(list) : NULL, *save = NULL;
    void *lib = NULL;
    for (char *at = copy ? strtok_r(copy, ":", &save) : NULL; at && !lib; at = strtok_r(NULL, ":", &save))
        lib = open_in(at, file);
    free(copy);
    return lib;
}

static void *open_of_toolkit(const char *file) {
    const char *const roots[] = {getenv("CUDA_HOME"), "/usr/local/cuda"};
    void *lib = NULL;
    for (size_t i = 0; i < sizeof roots / sizeof *roots && !lib; i++) {
        char folder[PATH_MAX];
        if (!roots[i] || !*roots[i]) continue;
        snprintf(folder, sizeof folder, "%s/lib64", roots[i]);
        if (!(lib = open_in(folder, file))) {
            snprintf(folder, sizeof folder, "%s/lib", roots[i]);
            lib = open_in(folder, file);
        }
    }
    return lib;
}

static void *open_of_python(const char *file) {
    const char *home = getenv("HOME"), *conda = getenv("CONDA_PREFIX");
    char users[PATH_MAX] = "", pattern[2 * PATH_MAX];
    if (home) snprintf(users, sizeof users, "%s/.local", home);
    const char *const roots[] = {getenv("VIRTUAL_ENV"), conda, users, "/usr/local", "/usr", "/opt/conda"};
    void *lib = NULL;
    if (conda && *conda) {
        snprintf(pattern, sizeof pattern, "%s/lib/%s", conda, file);
        lib = open_fitting(pattern);
    }
    for (size_t i = 0; i < sizeof roots / sizeof *roots && !lib; i++) {
        if (!roots[i] || !*roots[i]) continue;
        snprintf(pattern, sizeof pattern, "%s/lib/python3*/*-packages/nvidia/*/lib/%s", roots[i], file);
        lib = open_fitting(pattern);
    }
    return lib;
}

static void *find(cuda_library_id which, hct_err *err) {
    const char *instead = getenv("HEADCT_CUDA_LIBRARY"), *first = NULL;
    char why[200] = "";
    void *lib = NULL;
    if (instead && *instead) {
        if (!(lib = open_file(instead)))
            hct_plugin_fail(err, HCT_ENOTFOUND, "%s cannot be opened (%s)", instead, dlerror());
        return lib;
    }
    for (int i = 0; i < MOST_FILES && libraries[which].files[i].file && !lib; i++) {
        const char *file = libraries[which].files[i].file;
        if (newest && libraries[which].files[i].major > newest) continue;
        if (!first) first = file;
        lib = open_named(file);
        if (!lib && !(lib = open_file(file)) && !*why) {
            const char *text = dlerror();
            snprintf(why, sizeof why, "%s", text ? text : "");
        }
        if (!lib && which != CUDA_DRIVER && !(lib = open_of_toolkit(file))) lib = open_of_python(file);
    }
    if (!lib)
        hct_plugin_fail(err, HCT_ENOTFOUND, "%s cannot be opened (%s)%s", first, why,
                        which == CUDA_DRIVER ? "" : "; HEADCT_CUDA_PATH names folders to look in");
    return lib;
}

int cuda_library(cuda_library_id which, const cuda_symbol *symbols, size_t n, void *table, hct_err *err) {
    void *lib = find(which, err);
    for (size_t i = 0; lib && i < n; i++) {
        void *f = dlsym(lib, symbols[i].name);
        if (!f && !symbols[i].optional) {
            hct_plugin_fail(err, HCT_EVERSION, "%s has no function %s: it is too old for this build",
                            libraries[which].files[0].file, symbols[i].name);
            return 0;
        }
        memcpy((char *)table + symbols[i].at, &f, sizeof f);
    }
    return lib != NULL;
}

/* Each library has a way of its own to give its version. */
static void version_of(cuda_library_id which, void *f, char *text, size_t n) {
    size_t (*by_value)(void) = NULL;
    int (*by_place)(int *) = NULL;
    int v = 0;
    if (which == CUDA_CUBLASLT || which == CUDA_CUDNN) {
        memcpy(&by_value, &f, sizeof f);
        v = (int)by_value();
    } else {
        memcpy(&by_place, &f, sizeof f);
        if (by_place(&v) != 0) v = 0;
    }
    if (which == CUDA_DRIVER) snprintf(text, n, "for CUDA %d.%d", v / 1000, v % 1000 / 10);
    else snprintf(text, n, "%d.%d.%d", v / 10000, v % 10000 / 100, v % 100);
}

int cuda_library_describe(cuda_library_id which, char *text, size_t n) {
    hct_err why = {0, ""};
    char version[64] = "of an unknown version";
    Dl_info info = {.dli_fname = "?"};
    void *lib = find(which, &why), *f = lib ? dlsym(lib, libraries[which].version) : NULL;
    if (!lib) {
        snprintf(text, n, "%s: %s", libraries[which].name, why.msg);
        return 0;
    }
    if (f) {
        version_of(which, f, version, sizeof version);
        if (!dladdr(f, &info)) info.dli_fname = "?";
    }
    snprintf(text, n, "%s %s  %s", libraries[which].name, version, info.dli_fname);
    return 1;
}
