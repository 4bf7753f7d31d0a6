/* For LD_PRELOAD: OpenCL calls pass through to the driver, are counted, and fail where the environment says so.
 *
 *   CL_SHIM_LAUNCH=N, CL_SHIM_FINISH=N   launch (wait) N and all later ones fail with CL_OUT_OF_RESOURCES: the
 *                                        device is lost
 *   CL_SHIM_LAUNCH_MEMORY=N              launch N fails with CL_MEM_OBJECT_ALLOCATION_FAILURE, as where a driver
 *                                        allocates late
 *   CL_SHIM_BUFFER=N                     buffer N cannot be made
 *   CL_SHIM_BINARY=1                     the driver takes no stored program
 *   CL_SHIM_BREAK=1                      headct's sources get a line that does not compile
 *   CL_SHIM_GPU=1                        the device is shown as a GPU with sub-groups and f16 arithmetic, and
 *                                        headct's sources get what PoCL lacks of these: sub-groups of 8 through
 *                                        local memory, `half` as clang's _Float16. So kernels run in groups of
 *                                        many work-items, and the extra kernels run at all
 *   CL_SHIM_GPU=bare                     shown so, but sources get nothing: the extra kernels do not compile
 *   CL_SHIM_LOG=FILE                     appended at the end: "sources N" (headct's own that were compiled),
 *                                        "others N" (CLBlast's), "launches N";
 *                                        and at once, each transfer: "write BYTES", "read BYTES" */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static long launches, finishes, buffers, sources, others;

static void *driver(const char *name) {
    static void *library;
    if (!library) library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    void *f = library ? dlsym(library, name) : NULL;
    if (!f) abort();
    return f;
}
#define CALL(name) ((__typeof__(&name))(size_t)driver(#name))

static int reached(const char *variable, long count, int once) {
    const char *at = getenv(variable);
    return at && (once ? count == atol(at) : count >= atol(at));
}

static void line(const char *what, long n) {
    const char *path = getenv("CL_SHIM_LOG");
    FILE *f = path ? fopen(path, "a") : NULL;
    if (!f) return;
    fprintf(f, "%s %ld\n", what, n);
    fclose(f);
}

__attribute__((destructor)) static void end(void) {
    if (launches + sources + others == 0) return;
    line("sources", sources);
    line("others", others);
    line("launches", launches);
}

EXPORT cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dim, const size_t *off,
                                     const size_t *global, const size_t *local, cl_uint n, const cl_event *wait,
                                     cl_event *ret) {
    launches++;
    if (reached("CL_SHIM_LAUNCH", launches, 0)) return CL_OUT_OF_RESOURCES;
    if (reached("CL_SHIM_LAUNCH_MEMORY", launches, 1)) return CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return CALL(clEnqueueNDRangeKernel)(q, k, dim, off, global, local, n, wait, ret);
}

EXPORT cl_int clFinish(cl_command_queue q) {
    return reached("CL_SHIM_FINISH", ++finishes, 0) ? CL_OUT_OF_RESOURCES : CALL(clFinish)(q);
}

EXPORT cl_mem clCreateBuffer(cl_context c, cl_mem_flags flags, size_t bytes, void *host, cl_int *ret) {
    if (!reached("CL_SHIM_BUFFER", ++buffers, 0)) return CALL(clCreateBuffer)(c, flags, bytes, host, ret);
    if (ret) *ret = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return NULL;
}

/* s: dialect.h's group_sum and group_max have GROUP floats of local memory by that name. */
static const char gpu[] =
    "#ifdef SUBGROUPS\n"
    "enum { SHIM_SUB = 8 };\n"
    "#define get_sub_group_id() (get_local_id(0) / SHIM_SUB)\n"
    "#define get_num_sub_groups() ((get_local_size(0) + SHIM_SUB - 1) / SHIM_SUB)\n"
    "#define get_sub_group_local_id() (get_local_id(0) % SHIM_SUB)\n"
    /* as dialect.h's FN */
    "static inline __attribute__((always_inline)) float shim_reduce(__local float *s, float x, int top) {\n"
    "    int first = get_local_id(0) / SHIM_SUB * SHIM_SUB;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    s[get_local_id(0)] = x;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    float r = s[first];\n"
    "    for (int i = 1; i < SHIM_SUB; i++) r = top ? fmax(r, s[first + i]) : r + s[first + i];\n"
    "    return r;\n"
    "}\n"
    "#define sub_group_reduce_add(x) shim_reduce(s, (x), 0)\n"
    "#define sub_group_reduce_max(x) shim_reduce(s, (x), 1)\n"
    "#endif\n"
    "#ifdef HALF_ARITHMETIC\n"
    "typedef _Float16 shim_half8 __attribute__((ext_vector_type(8)));\n"
    "#define half _Float16\n"
    "#define half8 shim_half8\n"
    "#define as_half8(x) __builtin_astype((x), shim_half8)\n"
    "static inline half __attribute__((overloadable)) fma(half a, half b, half c) { return (half)fma((float)a, "
    "(float)b, (float)c); }\n"
    "static inline half8 __attribute__((overloadable)) fma(half8 a, half8 b, half8 c) {\n"
    "    for (int i = 0; i < 8; i++) c[i] = fma(a[i], b[i], c[i]);\n"
    "    return c;\n"
    "}\n"
    "#endif\n";

static cl_int give(const void *from, size_t bytes, size_t room, void *to, size_t *ret) {
    if (ret) *ret = bytes;
    if (to && room < bytes) return CL_INVALID_VALUE;
    if (to) memcpy(to, from, bytes);
    return CL_SUCCESS;
}

EXPORT cl_int clGetDeviceInfo(cl_device_id d, cl_device_info what, size_t room, void *to, size_t *ret) {
    const cl_device_type type = CL_DEVICE_TYPE_GPU;
    const cl_device_fp_config config = CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN | CL_FP_DENORM;
    char list[4096] = "";
    if (getenv("CL_SHIM_GPU") && what == CL_DEVICE_TYPE) return give(&type, sizeof type, room, to, ret);
    if (getenv("CL_SHIM_GPU") && what == 0x1033 /* CL_DEVICE_HALF_FP_CONFIG */)
        return give(&config, sizeof config, room, to, ret);
    if (!getenv("CL_SHIM_GPU") || what != CL_DEVICE_EXTENSIONS) return CALL(clGetDeviceInfo)(d, what, room, to, ret);
    cl_int code = CALL(clGetDeviceInfo)(d, what, sizeof list - 64, list, NULL);
    if (code != CL_SUCCESS) return code;
    strcat(list, " cl_khr_subgroups cl_khr_fp16");
    return give(list, strlen(list) + 1, room, to, ret);
}

EXPORT cl_program clCreateProgramWithSource(cl_context c, cl_uint n, const char **text, const size_t *length,
                                            cl_int *ret) {
    int ours = n == 2 && !length && strstr(text[0], "backends/kernels/dialect.h") != NULL;
    *(ours ? &sources : &others) += 1;
    const char *as = getenv("CL_SHIM_GPU"), *helped[] = {gpu, text[0], n == 2 ? text[1] : ""};
    if (ours && as && strcmp(as, "bare") != 0) return CALL(clCreateProgramWithSource)(c, 3, helped, NULL, ret);
    if (!ours || !getenv("CL_SHIM_BREAK")) return CALL(clCreateProgramWithSource)(c, n, text, length, ret);
    const char *broken[] = {text[0], text[1], "\nthis_is_no_type broken_on_purpose;\n"};
    return CALL(clCreateProgramWithSource)(c, 3, broken, NULL, ret);
}

EXPORT cl_program clCreateProgramWithBinary(cl_context c, cl_uint n, const cl_device_id *devices, const size_t *length,
                                            const unsigned char **bytes, cl_int *status, cl_int *ret) {
    if (!getenv("CL_SHIM_BINARY")) return CALL(clCreateProgramWithBinary)(c, n, devices, length, bytes, status, ret);
    *ret = CL_INVALID_BINARY;
    return NULL;
}

EXPORT cl_int clEnqueueWriteBuffer(cl_command_queue q, cl_mem m, cl_bool blocking, size_t off, size_t bytes,
                                   const void *from, cl_uint n, const cl_event *wait, cl_event *ret) {
    line("write", (long)bytes);
    return CALL(clEnqueueWriteBuffer)(q, m, blocking, off, bytes, from, n, wait, ret);
}

EXPORT cl_int clEnqueueReadBuffer(cl_command_queue q, cl_mem m, cl_bool blocking, size_t off, size_t bytes, void *to,
                                  cl_uint n, const cl_event *wait, cl_event *ret) {
    line("read", (long)bytes);
    return CALL(clEnqueueReadBuffer)(q, m, blocking, off, bytes, to, n, wait, ret);
}
