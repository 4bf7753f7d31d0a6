/* Finding and loading plugins: by file name pattern, version read as data before any code of theirs runs, never
 * unloaded. */
#include "internal.h"
#include "hct/log.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A plugin that fails half-way through init leaves nothing behind in the registry. */
typedef struct mark {
    size_t ops, backends;
    const hct_kernel **kernels;
    size_t n_kernels;
} mark;

static int take_mark(const hct_ctx *ctx, mark *m) {
    *m = (mark){ctx->n_ops, ctx->n_backends, NULL, ctx->n_kernels};
    if (!ctx->n_kernels) return 1;
    m->kernels = malloc(ctx->n_kernels * sizeof *m->kernels);
    if (m->kernels) memcpy(m->kernels, ctx->kernels, ctx->n_kernels * sizeof *m->kernels);
    return m->kernels != NULL;
}

static void roll_back(hct_ctx *ctx, const mark *m) {
    ctx->n_ops = m->ops;
    ctx->n_backends = m->backends;
    ctx->n_kernels = m->n_kernels;
    if (m->n_kernels) memcpy(ctx->kernels, m->kernels, m->n_kernels * sizeof *m->kernels);
}

static hct_status check(const char *file, const hct_plugin *p, hct_err *err) {
    hct_status st = plugin_check_version(file, p, err);
    if (st < 0) return st;
    const char *missing = !p->init ? "init function" : !p->name ? "name" : !p->version ? "version" : NULL;
    if (missing)
        return hct_fail(err, HCT_EVERSION, "%s: its description has no %s; build it with HCT_PLUGIN_DEFINE", file,
                        missing);
    return HCT_OK;
}

hct_status hct_load_plugin(hct_ctx *ctx, const char *file, hct_err *err) {
    for (size_t i = 0; i < ctx->n_plugins; i++)
        if (!strcmp(ctx->plugins[i].path, file)) return HCT_OK;
    hct_status st = plugin_check_file(file, err);
    if (st < 0) return st;
    void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!lib) return hct_fail(err, HCT_ENOTFOUND, "plugin cannot be loaded: %s", dlerror());
    const hct_plugin *desc = dlsym(lib, "hct_plugin_v1");
    st = desc ? check(file, desc, err)
              : hct_fail(err, HCT_EVERSION, "%s: not a headct plugin: it exports no hct_plugin_v1", file);
    for (size_t i = 0; i < ctx->n_plugins && st == HCT_OK; i++)
        if (ctx->plugins[i].desc == desc) return HCT_OK; /* the same file by another name */
    if (st < 0) {
        dlclose(lib); /* none of its code was called */
        return st;
    }
    mark m;
    char *path = strdup(file);
    if (!path || !take_mark(ctx, &m)) {
        free(path);
        return hct_fail(err, HCT_ENOMEM, "%s: out of memory", file);
    }
    hct_err why = {0, ""};
    st = desc->init(&ctx->host, &why); /* HCT_NOTIMPL, say because the machine lacks the device, is a refusal too */
    if (st == HCT_OK && !HCT_PUSH(ctx->plugins, ctx->n_plugins, ctx->cap_plugins, ((loaded_plugin){path, desc})))
        st = hct_fail(&why, HCT_ENOMEM, "out of memory");
    if (st != HCT_OK) {
        roll_back(ctx, &m);
        st = st < 0 ? st : HCT_ENOTFOUND;
        hct_fail(err, st, "%s: init failed: %s", file, why.msg[0] ? why.msg : hct_status_text(st));
        free(path);
    }
    free(m.kernels);
    return st;
}

static int is_plugin(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return n > 3 && !strcmp(e->d_name + n - 3, ".so") &&
           (!strncmp(e->d_name, "hct_backend_", 12) || !strncmp(e->d_name, "hct_kernel_", 11));
}

/* Every plugin of a folder whose name fits, sorted; returns how many there are, or -1 and errno. */
static int load_all(hct_ctx *ctx, const char *folder) {
    struct dirent **list;
    int n = scandir(folder, &list, is_plugin, alphasort);
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        hct_err err = {0};
        if (snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name) < (int)sizeof path &&
            (hct_trust_file(path, &err) < 0 || hct_load_plugin(ctx, path, &err) < 0))
            hct_log(HCT_LOG_WARNING, "headct: left out: %s", err.msg);
        free(list[i]);
    }
    if (n >= 0) free(list);
    return n;
}

static int load_folder(void *ctx, const char *folder) {
    int n = load_all(ctx, folder); /* none, or no such folder: nothing is installed there */
    if (n < 0 && errno != ENOENT && errno != ENOTDIR)
        hct_log(HCT_LOG_WARNING, "headct: %s: its plugins are not loaded: %s", folder, strerror(errno));
    return 0;
}

/* A component that is opened only where it is needed. */
static int holds(const char *folder, const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static int load_named(void *ctx, const char *folder) {
    int n = load_all(ctx, folder);
    if (n < 0) hct_log(HCT_LOG_WARNING, "headct: HCT_PLUGIN_PATH: %s: %s", folder, strerror(errno));
    if (n == 0 && !holds(folder, "hct_comm_mpi.so") && !holds(folder, "hct_dicom_codecs.so"))
        hct_log(HCT_LOG_WARNING, "headct: HCT_PLUGIN_PATH: %s holds no hct_kernel_*.so or hct_backend_*.so", folder);
    return 0;
}

/* Folder of the library (or program) that holds this function. */
static int own_folder(char *out, size_t n) {
    Dl_info info;
    char real[PATH_MAX];
    if (!dladdr((void *)(uintptr_t)own_folder, &info) || !realpath(info.dli_fname, real)) return 0;
    char *slash = strrchr(real, '/');
    if (!slash) return 0;
    *slash = 0;
    return snprintf(out, n, "%s", real) < (int)n;
}

typedef int each(void *arg, const char *folder);

static int each_named(each *f, void *arg) {
    const char *list = secure_getenv("HCT_PLUGIN_PATH");
    char *copy = list ? strdup(list) : NULL, *save = NULL;
    int stop = 0;
    for (char *at = copy ? strtok_r(copy, ":", &save) : NULL; at && !stop; at = strtok_r(NULL, ":", &save))
        if (*at == '/') stop = f(arg, at);
    free(copy);
    return stop;
}

static int each_own(each *f, void *arg) {
    char own[PATH_MAX], folder[PATH_MAX + 64];
    if (!own_folder(own, sizeof own)) return 0;
    /* Installed: LIBDIR/libhct.so and LIBDIR/hct/. Uninstalled: BUILD/core/libhct.so, backends/NAME/, plugins/NAME/. */
    snprintf(folder, sizeof folder, "%s/hct", own);
    int stop = f(arg, folder);
    size_t n = strlen(own);
    if (n < 5 || strcmp(own + n - 5, "/core") != 0) return stop;
    own[n - 5] = 0;
    static const char *const rooms[] = {"backends", "plugins"};
    for (size_t r = 0; r < 2; r++) {
        struct dirent **names;
        snprintf(folder, sizeof folder, "%s/%s", own, rooms[r]);
        int k = scandir(folder, &names, NULL, alphasort);
        for (int i = 0; i < k; i++) {
            if (names[i]->d_name[0] != '.' && !stop) {
                char sub[2 * PATH_MAX + 64];
                snprintf(sub, sizeof sub, "%s/%s", folder, names[i]->d_name);
                stop = f(arg, sub);
            }
            free(names[i]);
        }
        if (k >= 0) free(names);
    }
    return stop;
}

int hct_each_plugin_folder(int (*f)(void *arg, const char *folder), void *arg) {
    int stop = each_named(f, arg);
    return stop ? stop : each_own(f, arg);
}

/* A folder below wherever the program happens to be started could be anybody's. */
static void tell_relative(void) {
    const char *list = secure_getenv("HCT_PLUGIN_PATH");
    for (; list && *list; list += strcspn(list, ":"), list += *list == ':') {
        int n = (int)strcspn(list, ":");
        if (n && *list != '/')
            hct_log(HCT_LOG_WARNING, "headct: HCT_PLUGIN_PATH: %.*s is a relative path, and left out: name it from /",
                    n, list);
    }
}

void hct_load_default(hct_ctx *ctx) {
    tell_relative();
    each_named(load_named, ctx);
    each_own(load_folder, ctx);
}
