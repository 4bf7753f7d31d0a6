/* Programs: one for each file of backends/kernels, dtype and option; from memory, else from the cache on disk, else
 * compiled. */
#include "cache.h"
#include "opencl.h"

#include "sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *source_of(const char *name) {
    for (const hk_source *s = hk_sources; s->name; s++)
        if (!strcmp(s->name, name)) return s->text;
    return NULL;
}

static const char *dtype_option(int32_t dtype) {
    return dtype == HCT_F32 ? "-DREAL_F32" : dtype == HCT_BF16 ? "-DREAL_BF16" : dtype == HCT_F16 ? "-DREAL_F16" : "";
}

static void options_of(const hct_device *d, const hk_launch *l, char *out, size_t n) {
    const char *standard = strncmp(l->option, "SUBGROUPS", 9) ? "CL1.2" : d->subgroup_standard;
    snprintf(out, n, "-cl-std=%s %s -DGROUP=%u -DQUERIES=%u -DOWN=%u%s%s%s", standard, dtype_option(l->dtype),
             d->target.group, d->target.queries, d->target.own, d->target.fp64 ? " -DHAVE_FP64" : "",
             *l->option ? " -D" : "", l->option);
}

static hct_status build_failed(const hct_device *d, cl_program program, const char *what, cl_int code, hct_err *err) {
    size_t n = 0;
    clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n);
    char *log = malloc(n + 1);
    if (log) {
        log[0] = log[n] = 0;
        clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, n, log, NULL);
        fprintf(stderr, "headct: the OpenCL compiler on %s says of %s:\n%s\n", d->name, what, *log ? log : "(nothing)");
    }
    free(log);
    return hct_plugin_fail(err, HCT_EDEVICE,
                           "OpenCL: kernels '%s' do not compile on %s with driver %s (%s; the compiler's words are "
                           "above): update the driver, or use --device cpu",
                           what, d->name, d->driver, ocl_error(code));
}

static void store(const hct_device *d, cl_program program, uint64_t hash[2]) {
    size_t n = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof n, &n, NULL) != CL_SUCCESS || !n) return;
    unsigned char *bytes = malloc(n);
    if (bytes && clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof bytes, &bytes, NULL) == CL_SUCCESS)
        ocl_cache_write(d, hash, bytes, n);
    free(bytes);
}

static cl_program stored(hct_device *d, uint64_t hash[2], const char *options) {
    size_t n = 0;
    unsigned char *bytes = ocl_cache_read(d, hash, &n);
    cl_int status = CL_SUCCESS, code = CL_SUCCESS;
    if (!bytes) return NULL;
    cl_program p = clCreateProgramWithBinary(d->context, 1, &d->id, &n, (const unsigned char **)&bytes, &status, &code);
    free(bytes);
    if (code == CL_SUCCESS && status == CL_SUCCESS && clBuildProgram(p, 1, &d->id, options, NULL, NULL) == CL_SUCCESS)
        return p;
    fprintf(stderr, "headct: the driver refuses a stored OpenCL program; it is compiled again\n");
    if (p) clReleaseProgram(p);
    return NULL;
}

static hct_status compile(hct_device *d, const hk_launch *l, cl_program *ret, hct_err *err) {
    char options[256];
    const char *text[] = {source_of("dialect"), source_of(l->program)};
    if (!text[1]) return hct_plugin_fail(err, HCT_EDEVICE, "OpenCL: there are no kernels '%s'", l->program);
    options_of(d, l, options, sizeof options);
    uint64_t hash[2] = HK_HASH_START;
    const char *const parts[] = {d->name, d->driver, d->version, d->platform, options, text[0], text[1]};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) hk_hash(hash, parts[i], strlen(parts[i]) + 1);
    if ((*ret = stored(d, hash, options)) != NULL) {
        d->from_cache++;
        return HCT_OK;
    }
    cl_int code;
    cl_program p = clCreateProgramWithSource(d->context, 2, text, NULL, &code);
    if (code != CL_SUCCESS) return ocl_fail(err, code, l->program);
    code = clBuildProgram(p, 1, &d->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        hct_status st = build_failed(d, p, l->program, code, err);
        clReleaseProgram(p);
        return st;
    }
    d->compiled++;
    store(d, p, hash);
    *ret = p;
    return HCT_OK;
}

static hct_status program_of(hct_device *d, const hk_launch *l, cl_program *ret, hct_err *err) {
    char key[sizeof d->programs->key];
    snprintf(key, sizeof key, "%s %d %s", l->program, l->dtype, l->option);
    for (size_t i = 0; i < d->n_programs; i++)
        if (!strcmp(d->programs[i].key, key)) {
            *ret = d->programs[i].program;
            return HCT_OK;
        }
    if (d->n_programs == d->cap_programs) {
        size_t cap = 2 * d->cap_programs + 16;
        ocl_program *more = realloc(d->programs, cap * sizeof *more);
        if (!more) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
        d->programs = more;
        d->cap_programs = cap;
    }
    hct_status st = compile(d, l, ret, err);
    if (st != HCT_OK) return st;
    ocl_program *p = &d->programs[d->n_programs++];
    memcpy(p->key, key, sizeof key);
    p->program = *ret;
    return HCT_OK;
}

hct_status ocl_kernel(hct_device *d, const hk_launch *l, cl_kernel *ret, hct_err *err) {
    char name[96];
    cl_program program;
    cl_int code;
    pthread_mutex_lock(&ocl_lock);
    hct_status st = program_of(d, l, &program, err);
    if (st == HCT_OK) {
        snprintf(name, sizeof name, "hct_%s", l->kernel);
        *ret = clCreateKernel(program, name, &code);
        if (code != CL_SUCCESS) st = ocl_fail(err, code, name);
    }
    pthread_mutex_unlock(&ocl_lock);
    return st;
}
