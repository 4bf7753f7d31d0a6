/* backends/opencl/opencl.h: what the OpenCL backend's files share. */
#ifndef OPENCL_OPENCL_H
#define OPENCL_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "hct/backend.h"
#include "launch.h"

#include <pthread.h>

typedef struct ocl_program {
    char key[96]; /* file, dtype and option */
    cl_program program;
} ocl_program;

/* Kernels beside the base set, and why this device has none of them (NULL: it has). */
typedef struct ocl_extra {
    const hk_op *const *families;
    const char *lacking;
    hk_target target;
} ocl_extra;

struct hct_device { /* one for each index, shared by all who open it */
    int index, users;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue; /* for questions at plan time */
    char name[128], driver[64], platform[128], version[96];
    uint64_t global, max_alloc, held, allocations; /* bytes; buffers made so far */
    int is_cpu, unified;                           /* unified: the host's memory is the device's */
    size_t max_items, each;                        /* each: work-items of a group of an EACH launch */
    hk_target target, with_library;
    ocl_extra subgroups, half;
    const char *subgroup_standard; /* "CL3.0": what programs with sub-groups are compiled as */
    cl_mem status;                 /* int[4], see FAIL in dialect.h */
    cl_mem pinned;                 /* staging for transfers, NULL where memory is unified */
    void *pinned_at;
    ocl_program *programs;
    /* tuned: CLBlast's kernels with parameters of this device */
    size_t n_programs, cap_programs, compiled, from_cache, tuned;
    int platform_index, device_index; /* as the loader gives them */
};

typedef struct ocl_sample {
    const char *name;
    cl_event event;
} ocl_sample;
struct hct_stream {
    hct_device *device;
    cl_command_queue queue;
    int uses_status, failed; /* failed: the device gave an error; nothing more is tried */
    int profile;             /* HEADCT_OPENCL_PROFILE: times by kernel when the stream ends */
    ocl_sample *samples;
    size_t n_samples, cap_samples, batched; /* batched: products that allocate inside CLBlast */
};

enum { OCL_PINNED = 4 << 20 };

extern pthread_mutex_t ocl_lock; /* devices and programs */

/* "CL_OUT_OF_RESOURCES". */
const char *ocl_error(cl_int code);
/* Fills err from a CL code: ENOMEM for memory, else EDEVICE; what: the call, or the kernel. */
hct_status ocl_fail(hct_err *err, cl_int code, const char *what);

/* "headct holds N bytes, the device has N in all", and what is free where the driver tells. */
const char *ocl_memory(const hct_device *, char *out, size_t n);
/* ocl_fail for a command of this device: where memory is missing, with how much there is. */
hct_status ocl_fail_on(const hct_device *, hct_err *err, cl_int code, const char *what);

/* ---- device.c ---- */
hct_status ocl_probe(int index, char *text, size_t n, hct_err *err);
hct_status ocl_open(int index, hct_device **ret, hct_err *err);
void ocl_close(hct_device *);

/* ---- memory.c ---- */
hct_status ocl_alloc(hct_device *, uint64_t bytes, void **ret, hct_err *err);
void ocl_free(hct_device *, void *mem);
hct_status ocl_copy(hct_device *, hct_stream *, hct_copy_kind, void *dst, uint64_t dst_off, const void *src,
                    uint64_t src_off, uint64_t bytes, hct_err *err);
hct_status ocl_stream_new(hct_device *, hct_stream **ret, hct_err *err);
hct_status ocl_stream_sync(hct_stream *, hct_err *err);
void ocl_stream_free(hct_stream *);
/* Where an enqueued command's event goes: NULL unless times are asked for. */
cl_event *ocl_sample_of(hct_stream *, const char *name);

/* ---- program.c, cache.c ---- */
/* A kernel of its own for a launch; compiled, or taken from the cache on disk. */
hct_status ocl_kernel(hct_device *, const hk_launch *, cl_kernel *ret, hct_err *err);
/* The stored program, or NULL; a file that is damaged is told about once and removed. */
unsigned char *ocl_cache_read(const hct_device *, uint64_t hash[2], size_t *ret_n);
void ocl_cache_write(const hct_device *, uint64_t hash[2], const unsigned char *bytes, size_t n);

/* ---- tune.c ---- */
/* Gives CLBlast the parameters that are kept for this device. */
void ocl_tuning_load(hct_device *);
/* Runs CLBlast's tuners and keeps what they find. how: "auto", or N: they try one in N of their configurations. */
hct_status ocl_tune(hct_device *, const char *how, hct_err *err);

/* ---- kernels.c, collective.c, clblast.c ---- */
hct_status ocl_add_kernels(const hct_host *, hct_err *);
hct_status ocl_add_collectives(const hct_host *, hct_err *);
extern const hct_comm *ocl_comm; /* the job's ranks; NULL: one */
/* Whether products go to CLBlast on this build. */
int ocl_has_clblast(void);
uint64_t ocl_product_temp(void *device, const hk_product *);
hct_status ocl_product(hct_stream *, const hk_product *, cl_mem a, uint64_t a_off, cl_mem b, uint64_t b_off, cl_mem c,
                       uint64_t c_off, cl_mem temp, hct_err *err);

#endif
