/* kit/nvidia/nccl.h: NCCL's interface as far as headct calls it (libnccl.so.2, from 2.10 on), declared after NVIDIA's
 * documentation of the library. See driver.h for what these files are. */
#ifndef KIT_NVIDIA_NCCL_H
#define KIT_NVIDIA_NCCL_H

#include <stddef.h>

typedef struct CUstream_st *cudaStream_t; /* the runtime's name for a CUstream */
typedef enum ncclResult_t {
    ncclSuccess = 0,
    ncclUnhandledCudaError = 1,
    ncclInternalError = 3,
    ncclInvalidArgument = 4,
    ncclInvalidUsage = 5,
    ncclRemoteError = 6,
    ncclInProgress = 7
} ncclResult_t;
typedef enum ncclRedOp_t { ncclSum = 0, ncclAvg = 4 } ncclRedOp_t;
typedef enum ncclDataType_t { ncclFloat16 = 6, ncclFloat32 = 7, ncclFloat64 = 8, ncclBfloat16 = 9 } ncclDataType_t;
typedef struct ncclComm *ncclComm_t;
typedef struct ncclUniqueId {
    char internal[128];
} ncclUniqueId;

/* X(return type, name, parameters) */
/* clang-format off */
#define NV_NCCL(X)                                                                                               \
    X(ncclResult_t, ncclGetVersion, (int *version))                                                              \
    X(ncclResult_t, ncclGetUniqueId, (ncclUniqueId *id))                                                         \
    X(ncclResult_t, ncclCommInitRank, (ncclComm_t *comm, int ranks, ncclUniqueId id, int rank))                  \
    X(ncclResult_t, ncclCommAbort, (ncclComm_t comm))                                                            \
    X(ncclResult_t, ncclCommGetAsyncError, (ncclComm_t comm, ncclResult_t *state))                               \
    X(ncclResult_t, ncclAllReduce, (const void *from, void *to, size_t n, ncclDataType_t type, ncclRedOp_t op,   \
                                    ncclComm_t comm, cudaStream_t stream))                                       \
    X(ncclResult_t, ncclGroupStart, (void))                                                                      \
    X(ncclResult_t, ncclGroupEnd, (void))                                                                        \
    X(const char *, ncclGetErrorString, (ncclResult_t code))
/* clang-format on */

#endif
