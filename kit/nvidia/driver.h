/* kit/nvidia/driver.h: the CUDA driver's interface as far as headct calls it: types, constants and functions of
 * libcuda.so.1, declared here after NVIDIA's documentation (CUDA Driver API), so that the backend compiles without a
 * toolkit and the same way beside every toolkit. These are binary interfaces: a value or a parameter never changes in
 * one version of a symbol. Where a toolkit is at hand, tests/cuda/declarations.py compares all of it with cuda.h.
 *
 * Nothing of it is linked: a table of functions is filled at run time (kit/cuda.h). NV_DRIVER(X) lists
 * X(name in the table, symbol in the library, parameters). The symbol is the oldest version with the semantics meant,
 * so that no newer driver than necessary is asked for: all of them are in drivers of CUDA 11.4 and later. */
#ifndef KIT_NVIDIA_DRIVER_H
#define KIT_NVIDIA_DRIVER_H

#include <stddef.h>

typedef enum CUresult {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_DEINITIALIZED = 4,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_INVALID_IMAGE = 200,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    CUDA_ERROR_ECC_UNCORRECTABLE = 214,
    CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_ILLEGAL_STATE = 401,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700,
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
    CUDA_ERROR_LAUNCH_TIMEOUT = 702,
    CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
    CUDA_ERROR_ASSERT = 710,
    CUDA_ERROR_HARDWARE_STACK_ERROR = 714,
    CUDA_ERROR_ILLEGAL_INSTRUCTION = 715,
    CUDA_ERROR_MISALIGNED_ADDRESS = 716,
    CUDA_ERROR_INVALID_ADDRESS_SPACE = 717,
    CUDA_ERROR_INVALID_PC = 718,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
    CUDA_ERROR_STREAM_CAPTURE_UNJOINED = 904,
    CUDA_ERROR_STREAM_CAPTURE_ISOLATION = 905,
    CUDA_ERROR_CAPTURED_EVENT = 907,
    CUDA_ERROR_UNKNOWN = 999
} CUresult;

typedef enum CUdevice_attribute {
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76
} CUdevice_attribute;

typedef enum CUstreamCaptureMode { CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1 } CUstreamCaptureMode;
enum { CU_STREAM_NON_BLOCKING = 1, CU_EVENT_DEFAULT = 0, CU_EVENT_DISABLE_TIMING = 2 };

typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;

/* clang-format off */
#define NV_DRIVER(X)                                                                                             \
    X(cuInit, cuInit, (unsigned flags))                                                                          \
    X(cuDriverGetVersion, cuDriverGetVersion, (int *version))                                                    \
    X(cuGetErrorName, cuGetErrorName, (CUresult code, const char **name))                                        \
    X(cuDeviceGetCount, cuDeviceGetCount, (int *n))                                                              \
    X(cuDeviceGet, cuDeviceGet, (CUdevice *device, int index))                                                   \
    X(cuDeviceGetName, cuDeviceGetName, (char *name, int bytes, CUdevice device))                                \
    X(cuDeviceTotalMem, cuDeviceTotalMem_v2, (size_t *bytes, CUdevice device))                                   \
    X(cuDeviceGetAttribute, cuDeviceGetAttribute, (int *value, CUdevice_attribute which, CUdevice device))       \
    X(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, (CUcontext *context, CUdevice device))                 \
    X(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                \
    X(cuCtxSetCurrent, cuCtxSetCurrent, (CUcontext context))                                                     \
    X(cuMemAlloc, cuMemAlloc_v2, (CUdeviceptr *at, size_t bytes))                                                \
    X(cuMemFree, cuMemFree_v2, (CUdeviceptr at))                                                                 \
    X(cuMemGetInfo, cuMemGetInfo_v2, (size_t *left, size_t *all))                                                \
    X(cuMemHostAlloc, cuMemHostAlloc, (void **at, size_t bytes, unsigned flags))                                 \
    X(cuMemFreeHost, cuMemFreeHost, (void *at))                                                                  \
    X(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))\
    X(cuMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream))      \
    X(cuMemcpyDtoDAsync, cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))\
    X(cuMemsetD8Async, cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t n, CUstream stream))        \
    X(cuStreamCreate, cuStreamCreate, (CUstream *stream, unsigned flags))                                        \
    X(cuStreamDestroy, cuStreamDestroy_v2, (CUstream stream))                                                    \
    X(cuStreamSynchronize, cuStreamSynchronize, (CUstream stream))                                               \
    X(cuStreamQuery, cuStreamQuery, (CUstream stream))                                                           \
    X(cuStreamWaitEvent, cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))                    \
    X(cuEventCreate, cuEventCreate, (CUevent *event, unsigned flags))                                            \
    X(cuEventDestroy, cuEventDestroy_v2, (CUevent event))                                                        \
    X(cuEventRecord, cuEventRecord, (CUevent event, CUstream stream))                                            \
    X(cuEventSynchronize, cuEventSynchronize, (CUevent event))                                                   \
    X(cuStreamBeginCapture, cuStreamBeginCapture_v2, (CUstream stream, CUstreamCaptureMode mode))                \
    X(cuStreamEndCapture, cuStreamEndCapture, (CUstream stream, CUgraph *graph))                                 \
    X(cuGraphInstantiate, cuGraphInstantiateWithFlags, (CUgraphExec *exec, CUgraph graph,                        \
                                                        unsigned long long flags))                               \
    X(cuGraphLaunch, cuGraphLaunch, (CUgraphExec exec, CUstream stream))                                         \
    X(cuGraphExecDestroy, cuGraphExecDestroy, (CUgraphExec exec))                                                \
    X(cuGraphDestroy, cuGraphDestroy, (CUgraph graph))                                                           \
    X(cuModuleLoadData, cuModuleLoadData, (CUmodule *module, const void *image))                                 \
    X(cuModuleUnload, cuModuleUnload, (CUmodule module))                                                         \
    X(cuModuleGetFunction, cuModuleGetFunction, (CUfunction *function, CUmodule module, const char *name))       \
    X(cuLaunchKernel, cuLaunchKernel, (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,   \
                                       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,    \
                                       CUstream stream, void **parameters, void **extra))
/* Called by `headct bench --tune` alone, which does without where a driver lacks it. */
#define NV_DRIVER_OPTIONAL(X)                                                                                    \
    X(cuEventElapsedTime, cuEventElapsedTime, (float *ms, CUevent from, CUevent to))
/* clang-format on */

#endif
