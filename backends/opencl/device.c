/* Platforms and devices: all devices of all platforms in the order the loader gives them, numbered from 0. */
#include "opencl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 64 };

pthread_mutex_t ocl_lock = PTHREAD_MUTEX_INITIALIZER;
static hct_device *opened[MAX_DEVICES];

const char *ocl_error(cl_int code) {
    static const struct {
        cl_int code;
        const char *name;
    } names[] = {
        {CL_DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND"},
        {CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE"},
        {CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE"},
        {CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
        {CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES"},
        {CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY"},
        {CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE"},
        {CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"},
        {CL_INVALID_VALUE, "CL_INVALID_VALUE"},
        {CL_INVALID_CONTEXT, "CL_INVALID_CONTEXT"},
        {CL_INVALID_COMMAND_QUEUE, "CL_INVALID_COMMAND_QUEUE"},
        {CL_INVALID_MEM_OBJECT, "CL_INVALID_MEM_OBJECT"},
        {CL_INVALID_BINARY, "CL_INVALID_BINARY"},
        {CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME"},
        {CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS"},
        {CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE"},
        {CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE"},
        {CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE"},
        {CL_MISALIGNED_SUB_BUFFER_OFFSET, "CL_MISALIGNED_SUB_BUFFER_OFFSET"},
        {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].code == code) return names[i].name;
    static _Thread_local char text[32];
    snprintf(text, sizeof text, "OpenCL error %d", code);
    return text;
}

hct_status ocl_fail(hct_err *err, cl_int code, const char *what) {
    int memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY;
    return hct_plugin_fail(err, memory ? HCT_ENOMEM : HCT_EDEVICE, "OpenCL: %s: %s%s", what, ocl_error(code),
                           code == CL_OUT_OF_RESOURCES || code == CL_DEVICE_NOT_AVAILABLE ||
                                   code == CL_INVALID_COMMAND_QUEUE
                               ? "; the device was lost or ran out of memory: start again with a smaller batch, or "
                                 "look at the driver's log"
                               : "");
}

#define AMD_FREE_MEMORY 0x4039 /* CL_DEVICE_GLOBAL_FREE_MEMORY_AMD: KiB in all, KiB of the largest block */

const char *ocl_memory(const hct_device *d, char *out, size_t n) {
    size_t free_kib[2] = {0, 0};
    int told = clGetDeviceInfo(d->id, AMD_FREE_MEMORY, sizeof free_kib, free_kib, NULL) == CL_SUCCESS && free_kib[0];
    int used = snprintf(out, n, "headct holds %llu bytes, the device has %llu in all", (unsigned long long)d->held,
                        (unsigned long long)d->global);
    if (told && used > 0 && (size_t)used < n)
        snprintf(out + used, n - (size_t)used, ", %llu free", (unsigned long long)free_kib[0] * 1024);
    return out;
}

hct_status ocl_fail_on(const hct_device *d, hct_err *err, cl_int code, const char *what) {
    char text[128];
    if (code != CL_MEM_OBJECT_ALLOCATION_FAILURE && code != CL_OUT_OF_HOST_MEMORY) return ocl_fail(err, code, what);
    return hct_plugin_fail(err, HCT_ENOMEM, "out of memory on %.60s: %s (%s in %s); use a smaller batch", d->name,
                           ocl_memory(d, text, sizeof text), ocl_error(code), what);
}

/* ret_place: the platform's index, and the device's in it. */
static hct_status find(int index, cl_platform_id *ret_platform, cl_device_id *ret, int ret_place[2], hct_err *err) {
    cl_platform_id platforms[16];
    cl_uint n = 0;
    cl_int code = clGetPlatformIDs(16, platforms, &n);
    if (code != CL_SUCCESS || n == 0)
        return hct_plugin_fail(
            err, HCT_ENOTFOUND,
            "no OpenCL platform is installed; install your GPU's driver (Debian: intel-opencl-icd, mesa-opencl-icd, "
            "nvidia-opencl-icd), or pocl-opencl-icd to run on the CPU");
    int at = 0;
    for (cl_uint p = 0; p < n && p < 16; p++) {
        cl_device_id devices[MAX_DEVICES];
        cl_uint k = 0;
        if (clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, devices, &k) != CL_SUCCESS) continue;
        for (cl_uint d = 0; d < k && d < MAX_DEVICES; d++, at++) {
            if (at != index) continue;
            *ret_platform = platforms[p];
            *ret = devices[d];
            ret_place[0] = (int)p;
            ret_place[1] = (int)d;
            return HCT_OK;
        }
    }
    return hct_plugin_fail(err, HCT_ENOTFOUND,
                           at ? "opencl:%d: there are %d OpenCL devices, numbered from 0"
                              : "opencl:%d: the OpenCL platforms have no device",
                           index, at);
}

static void text_of(cl_device_id id, cl_device_info what, char *out, size_t n) {
    if (clGetDeviceInfo(id, what, n - 1, out, NULL) != CL_SUCCESS) snprintf(out, n, "?");
    out[n - 1] = 0;
}

#define INFO(id, what, variable) clGetDeviceInfo((id), (what), sizeof(variable), &(variable), NULL)

static int has_extension(cl_device_id id, const char *name) {
    char *list = NULL;
    size_t n = 0, len = strlen(name);
    int found = 0;
    if (clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &n) != CL_SUCCESS || !(list = malloc(n + 1))) return 0;
    list[0] = list[n] = 0;
    clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, n, list, NULL);
    for (const char *at = list; !found && (at = strstr(at, name)); at += len)
        found = (at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]);
    free(list);
    return found;
}

#define MAX_SUB_GROUPS 0x105C /* CL_DEVICE_MAX_NUM_SUB_GROUPS, since OpenCL 2.1: 0 where there are none */

/* The standard that programs with sub-groups are compiled as; NULL where the device has none. */
static const char *subgroup_standard(cl_device_id id) {
    char version[96];
    cl_uint most = 0;
    int major = 0, minor = 0;
    text_of(id, CL_DEVICE_VERSION, version, sizeof version);
    if (has_extension(id, "cl_intel_subgroups")) return "CL1.2";
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2 || major < 2) return NULL;
    if (10 * major + minor >= 21) INFO(id, MAX_SUB_GROUPS, most);
    return most == 0 && !has_extension(id, "cl_khr_subgroups") ? NULL : major >= 3 ? "CL3.0" : "CL2.0";
}

#define HALF_CONFIG 0x1033 /* CL_DEVICE_HALF_FP_CONFIG */

/* Whether f16 arithmetic gives what f32 arithmetic rounded to f16 gives. */
static int has_half(cl_device_id id) {
    const cl_device_fp_config want = CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN | CL_FP_DENORM;
    cl_device_fp_config have = 0;
    INFO(id, HALF_CONFIG, have);
    return has_extension(id, "cl_khr_fp16") && (have & want) == want;
}

hct_status ocl_probe(int index, char *text, size_t n, hct_err *err) {
    cl_platform_id platform;
    cl_device_id id;
    int place[2];
    hct_status st = find(index, &platform, &id, place, err);
    if (st != HCT_OK) return st;
    char name[128] = "?", driver[64] = "?", version[96] = "?", product[128] = "?";
    cl_ulong global = 0, most = 0;
    text_of(id, CL_DEVICE_NAME, name, sizeof name);
    text_of(id, CL_DRIVER_VERSION, driver, sizeof driver);
    text_of(id, CL_DEVICE_VERSION, version, sizeof version);
    clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof product - 1, product, NULL);
    INFO(id, CL_DEVICE_GLOBAL_MEM_SIZE, global);
    INFO(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, most);
    snprintf(text, n,
             "%s (%s), driver %s, %s, %.1f GiB, %.1f GiB a buffer; %s fp64, %s sub-groups, %s fp16; %s CLBlast", name,
             product, driver, version, (double)global / (1 << 30), (double)most / (1 << 30),
             has_extension(id, "cl_khr_fp64") ? "uses" : "no", subgroup_standard(id) ? "uses" : "no",
             has_half(id) ? "uses" : "no", ocl_has_clblast() ? "uses" : "no");
    return HCT_OK;
}

static void describe(hct_device *d, cl_platform_id platform) {
    cl_device_type type = 0;
    cl_bool unified = CL_FALSE;
    cl_uint units = 1;
    cl_ulong local = 0, global = 0, most = 0;
    text_of(d->id, CL_DEVICE_NAME, d->name, sizeof d->name);
    text_of(d->id, CL_DRIVER_VERSION, d->driver, sizeof d->driver);
    text_of(d->id, CL_DEVICE_VERSION, d->version, sizeof d->version);
    clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof d->platform - 1, d->platform, NULL);
    INFO(d->id, CL_DEVICE_TYPE, type);
    INFO(d->id, CL_DEVICE_HOST_UNIFIED_MEMORY, unified);
    INFO(d->id, CL_DEVICE_MAX_COMPUTE_UNITS, units);
    INFO(d->id, CL_DEVICE_LOCAL_MEM_SIZE, local);
    INFO(d->id, CL_DEVICE_GLOBAL_MEM_SIZE, global);
    INFO(d->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, most);
    INFO(d->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, d->max_items);
    const char *force = getenv("HEADCT_OPENCL_PINNED"); /* 1: staging even where memory is unified, for tests */
    d->is_cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    d->unified = unified && !(force && *force == '1');
    d->global = global;
    d->max_alloc = most;
    d->each = d->is_cpu ? 1024 : 256;
    if (d->each > d->max_items) d->each = d->max_items;
    d->target = (hk_target){.group = d->is_cpu             ? 1
                                     : d->max_items >= 128 ? 128
                                                           : 64,
                            .queries = d->is_cpu ? 1 : 64,
                            .own = d->is_cpu ? 64 : 1,
                            .vw = d->is_cpu ? 16 : 8,
                            .units = units,
                            .fp64 = has_extension(d->id, "cl_khr_fp64"),
                            .local = local};
    d->with_library = d->target;
    d->with_library.library = 1u << HCT_F32;
    d->subgroup_standard = subgroup_standard(d->id);
    d->subgroups = (ocl_extra){hk_subgroup_families,
                               !d->subgroup_standard ? "the device has no sub-groups"
                               : d->is_cpu           ? "one work-item goes through a row here"
                                                     : NULL,
                               d->target};
    d->subgroups.target.subgroups = 1;
    d->half = (ocl_extra){hk_half_families, has_half(d->id) ? NULL : "the device has no f16 arithmetic (cl_khr_fp16)",
                          d->target};
}

static hct_status pin(hct_device *d) {
    cl_int code;
    if (d->unified) return HCT_OK;
    d->pinned = clCreateBuffer(d->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, OCL_PINNED, NULL, &code);
    if (code != CL_SUCCESS) return HCT_ENOMEM;
    d->pinned_at = clEnqueueMapBuffer(d->queue, d->pinned, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, OCL_PINNED, 0, NULL,
                                      NULL, &code);
    return code == CL_SUCCESS ? HCT_OK : HCT_ENOMEM;
}

static void destroy(hct_device *d) {
    if (d->pinned_at) clEnqueueUnmapMemObject(d->queue, d->pinned, d->pinned_at, 0, NULL, NULL), clFinish(d->queue);
    if (d->pinned) clReleaseMemObject(d->pinned);
    if (d->status) clReleaseMemObject(d->status);
    for (size_t i = 0; i < d->n_programs; i++) clReleaseProgram(d->programs[i].program);
    if (d->queue) clReleaseCommandQueue(d->queue);
    if (d->context) clReleaseContext(d->context);
    free(d->programs);
    free(d);
}

static hct_status make(int index, hct_device **ret, hct_err *err) {
    cl_platform_id platform;
    cl_int code = CL_SUCCESS;
    hct_device *d = calloc(1, sizeof *d);
    if (!d) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    int place[2];
    hct_status st = find(index, &platform, &d->id, place, err);
    if (st == HCT_OK) {
        d->index = index;
        d->platform_index = place[0];
        d->device_index = place[1];
        describe(d, platform);
        d->context = clCreateContext((cl_context_properties[]){CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0},
                                     1, &d->id, NULL, NULL, &code);
        if (code == CL_SUCCESS) d->queue = clCreateCommandQueue(d->context, d->id, 0, &code);
        if (code == CL_SUCCESS)
            d->status = clCreateBuffer(d->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, 4 * sizeof(cl_int),
                                       (cl_int[4]){0}, &code);
        if (code == CL_SUCCESS && pin(d) < 0) code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
        if (code != CL_SUCCESS) st = ocl_fail_on(d, err, code, "opening the device");
    }
    const char *tune = getenv("HEADCT_TUNE");
    if (st == HCT_OK && tune && *tune) st = ocl_tune(d, tune, err);
    if (st == HCT_OK) ocl_tuning_load(d);
    if (st != HCT_OK) destroy(d);
    else *ret = d;
    return st;
}

hct_status ocl_open(int index, hct_device **ret, hct_err *err) {
    if (index < 0 || index >= MAX_DEVICES)
        return hct_plugin_fail(err, HCT_ENOTFOUND, "opencl:%d: devices are numbered from 0 to %d", index,
                               MAX_DEVICES - 1);
    pthread_mutex_lock(&ocl_lock);
    hct_status st = opened[index] ? HCT_OK : make(index, &opened[index], err);
    if (st == HCT_OK) {
        opened[index]->users++;
        *ret = opened[index];
    }
    pthread_mutex_unlock(&ocl_lock);
    return st;
}

void ocl_close(hct_device *d) {
    pthread_mutex_lock(&ocl_lock);
    if (--d->users == 0) {
        opened[d->index] = NULL;
        destroy(d);
    }
    pthread_mutex_unlock(&ocl_lock);
}
