/* Compiled kernels: a file for each program, dtype and option, read when first asked for. */
#include "gpu.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *suffix_of(int32_t dtype) { return dtype == HCT_BF16 ? "bf16" : dtype == HCT_F16 ? "f16" : "f32"; }

/* "attention.bf16.head48": HEAD=64 is the one without an ending (backends/kernels/meson.build). */
static void name_of(const hk_launch *l, char out[64]) {
    int head = 0;
    snprintf(out, 64, "%s.%s", l->program, suffix_of(l->dtype));
    size_t n = strlen(out);
    if (sscanf(l->option, "HEAD=%d", &head) == 1 && head != 64) snprintf(out + n, 64 - n, ".head%d", head);
    if (!strncmp(l->option, "MOMENT_REAL", 11)) snprintf(out + n, 64 - n, ".moments");
    if (!strncmp(l->option, "OUT_FLOAT", 9)) snprintf(out + n, 64 - n, ".float");
    if (!strncmp(l->option, "SUBGROUPS", 9)) snprintf(out + n, 64 - n, ".subgroups");
}

/* Installed: cuda/ beside this object. Uninstalled: BUILD/backends/kernels. */
static char *read_file(const char *name, char folder[PATH_MAX], hct_err *err) {
    static const char *const rooms[] = {"cuda", "../kernels"};
    Dl_info info;
    char own[PATH_MAX] = ".", path[2 * PATH_MAX];
    if (dladdr((void *)(uintptr_t)read_file, &info)) snprintf(own, sizeof own, "%s", info.dli_fname);
    char *slash = strrchr(own, '/');
    if (slash) *slash = 0;
    snprintf(folder, PATH_MAX, "%s", own);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s/%s.fatbin", own, rooms[i], name);
        FILE *f = fopen(path, "rb");
        if (!f) continue;
        fseek(f, 0, SEEK_END);
        long n = ftell(f);
        rewind(f);
        char *bytes = n > 0 ? malloc((size_t)n) : NULL;
        if (bytes && fread(bytes, 1, (size_t)n, f) != (size_t)n) {
            free(bytes);
            bytes = NULL;
        }
        fclose(f);
        if (bytes) return bytes;
        hct_plugin_fail(err, HCT_EIO, "%s: cannot be read", path);
        return NULL;
    }
    hct_plugin_fail(
        err, HCT_NOTIMPL,
        "compiled kernels '%s' are in neither %s/cuda nor %s/../kernels; build them with 'ninja cuda-kernels'", name,
        own, own);
    return NULL;
}

int cuda_has_kernels(char *folder) {
    hct_err why = {0, ""};
    char *bytes = read_file("elementwise.f32", folder, &why);
    free(bytes);
    return bytes != NULL;
}

static hct_status module_of(hct_device *d, const hk_launch *l, CUmodule *ret, hct_err *err) {
    char name[64], folder[PATH_MAX];
    name_of(l, name);
    for (size_t i = 0; i < d->n_modules; i++)
        if (!strcmp(d->modules[i].name, name)) {
            *ret = d->modules[i].module;
            return HCT_OK;
        }
    if (d->n_modules == d->cap_modules) {
        size_t cap = 2 * d->cap_modules + 32;
        cuda_module *more = realloc(d->modules, cap * sizeof *more);
        if (!more) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
        d->modules = more;
        d->cap_modules = cap;
    }
    hct_err why = {0, ""};
    char *bytes = read_file(name, folder, &why);
    if (!bytes) return hct_plugin_fail(err, why.code, "%s", why.msg);
    CUresult code = cu->cuModuleLoadData(ret, bytes);
    free(bytes);
    if (code != CUDA_SUCCESS) return cuda_fail(err, code, name);
    cuda_module *m = &d->modules[d->n_modules++];
    memcpy(m->name, name, sizeof name);
    m->module = *ret;
    return HCT_OK;
}

hct_status cuda_kernel(hct_device *d, const hk_launch *l, CUfunction *ret, hct_err *err) {
    char name[96];
    CUmodule module;
    pthread_mutex_lock(&cuda_lock);
    cuda_enter(d);
    hct_status st = module_of(d, l, &module, err);
    if (st == HCT_OK) {
        snprintf(name, sizeof name, "hct_%s_%s", l->kernel, suffix_of(l->dtype));
        CUresult code = cu->cuModuleGetFunction(ret, module, name);
        if (code != CUDA_SUCCESS) st = cuda_fail(err, code, name);
    }
    pthread_mutex_unlock(&cuda_lock);
    return st;
}
