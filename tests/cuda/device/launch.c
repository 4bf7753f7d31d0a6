/* Modules, and launches of their kernels. A "fatbin" of this device (units.py) is a fatbin's magic number, a mark and
 * the module's name: the kernels themselves are linked into this library. */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "emulated ";
enum { PARAMETERS = 128, MOST_THREADS = 1024, MOST_Y = 65535 };

struct CUmod_st {
    owner of;
    char name[64];
};
struct CUfunc_st {
    owner of;
    const emu_kernel *kernel;
    struct CUfunc_st *next;
};
static emu_kernel *kernels;
static struct CUfunc_st *functions;

/* Each kernel's own, before main. */
EXPORT void emu_register(emu_kernel *);
void emu_register(emu_kernel *k) {
    k->next = kernels;
    kernels = k;
}

EXPORT CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    EMU_CALL;
    const uint32_t magic = 0xBA55ED50;
    owner of;
    CUresult code = emu_current(&of);
    if (code != CUDA_SUCCESS) return code;
    NOT_WHILE_CAPTURING("load a module");
    if (memcmp(image, &magic, sizeof magic) != 0) return CUDA_ERROR_INVALID_IMAGE;
    if (strncmp((const char *)image + sizeof magic, mark, strlen(mark)) != 0) return CUDA_ERROR_NO_BINARY_FOR_GPU;
    struct CUmod_st *m = calloc(1, sizeof *m);
    m->of = of;
    snprintf(m->name, sizeof m->name, "%s", (const char *)image + sizeof magic + strlen(mark));
    *module = m;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuModuleUnload(CUmodule module) {
    EMU_CALL;
    CUresult code = emu_valid(&module->of, "a module");
    free(module);
    return code;
}

EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    EMU_CALL;
    CUresult code = emu_valid(&module->of, "a module");
    if (code != CUDA_SUCCESS) return code;
    for (const emu_kernel *k = kernels; k; k = k->next) {
        if (strcmp(k->module, module->name) != 0 || strcmp(k->name, name) != 0) continue;
        struct CUfunc_st *f = calloc(1, sizeof *f); /* as long as the process: few */
        f->of = module->of;
        f->kernel = k;
        f->next = functions;
        functions = f;
        *function = f;
        return CUDA_SUCCESS;
    }
    emu_note("no kernel %s", name);
    return CUDA_ERROR_NOT_FOUND;
}

typedef struct launch {
    const emu_kernel *kernel;
    grid grid;
    int device, fails_with;
    _Alignas(16) unsigned char bytes[]; /* the parameters, each at a multiple of 16 */
} launch;

static void run_launch(void *arg) {
    launch *l = arg;
    void *at[PARAMETERS];
    size_t n = 0;
    for (int i = 0; l->kernel->kinds[i]; i++) {
        at[i] = l->bytes + n;
        n += ((size_t)l->kernel->bytes[i] + 15) / 16 * 16;
    }
    CUresult code = l->fails_with ? (CUresult)l->fails_with : emu_run_grid(l->kernel, at, l->grid);
    if (code != CUDA_SUCCESS) emu_break(l->device, code);
}

/* The list of parameters ends with NULL, which CUDA does not need. */
static CUresult check(const emu_kernel *k, void **parameters) {
    int n = 0, wanted = (int)strlen(k->kinds);
    while (parameters[n]) n++;
    if (n != wanted) {
        emu_complain("kernel %s takes %d parameters, not %d", k->name, wanted, n);
        return CUDA_ERROR_INVALID_VALUE;
    }
    for (int i = 0; i < n; i++) {
        CUdeviceptr at, off;
        if (k->kinds[i] != 'p') continue;
        memcpy(&at, parameters[i], sizeof at); /* a buffer, and the bytes into it follow */
        memcpy(&off, parameters[i + 1], sizeof off);
        /* an operand without elements may lie at the end of a block, or nowhere */
        if (!at || (emu_inside(at, 1) && emu_inside(at + off, 0))) continue;
        emu_complain("kernel %s: parameter %d is no device memory", k->name, i);
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                               unsigned bz, unsigned shared, CUstream stream, void **parameters, void **extra) {
    EMU_CALL;
    (void)extra;
    CUstream s = emu_stream(stream);
    const emu_kernel *k = function->kernel;
    int code = emu_valid(&function->of, "a kernel"), fails_with = 0;
    if (code == CUDA_SUCCESS) code = emu_valid(&s->of, "a stream");
    if (code == CUDA_SUCCESS && emu_fails("launch", CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, &code)) return (CUresult)code;
    if (code != CUDA_SUCCESS) return (CUresult)code;
    if (!gx || !gy || gz != 1 || !bx || bx > MOST_THREADS || by != 1 || bz != 1 || gy > MOST_Y || shared) {
        emu_complain("kernel %s: no grid of %u x %u x %u blocks of %u x %u x %u", k->name, gx, gy, gz, bx, by, bz);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if ((code = check(k, parameters)) != CUDA_SUCCESS) return (CUresult)code;
    emu_fails("kernel", CUDA_ERROR_LAUNCH_FAILED, &fails_with);
    size_t bytes = sizeof(launch);
    for (int i = 0; k->kinds[i]; i++) bytes += ((size_t)k->bytes[i] + 15) / 16 * 16;
    launch *l = calloc(1, bytes);
    *l = (launch){.kernel = k, .grid = {gx, gy, bx}, .device = s->of.device, .fails_with = fails_with};
    size_t n = 0;
    for (int i = 0; k->kinds[i]; i++) {
        memcpy(l->bytes + n, parameters[i], (size_t)k->bytes[i]);
        n += ((size_t)k->bytes[i] + 15) / 16 * 16;
    }
    emu_note("kernel %s [%u %u] x %u on %d", k->name, gx, gy, bx, s->number);
    emu_put(s, fails_with ? emu_work(run_launch, NULL, l, bytes, s->of.device)
                          : emu_computing(emu_work(run_launch, NULL, l, bytes, s->of.device)));
    free(l);
    return CUDA_SUCCESS;
}
