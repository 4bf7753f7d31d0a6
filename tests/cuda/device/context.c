/* Devices and their contexts. A context is current for a thread; it exists while somebody holds it, and what was made
 * in it goes with it. */
#include "device.h"

#include <stdio.h>

enum { DEVICES = 8 };
struct CUctx_st {
    int device, users;
    unsigned generation; /* grows each time it is made anew */
    CUresult sticky;
};
static struct CUctx_st contexts[DEVICES];
static _Thread_local CUcontext current;

static bool on_device(CUdevice d) { return d >= 0 && d < emu_number("EMU_DEVICES", 1) && d < DEVICES; }

CUresult emu_current(owner *ret) {
    if (!current || !current->users) return CUDA_ERROR_INVALID_CONTEXT;
    if (current->sticky != CUDA_SUCCESS) return current->sticky;
    *ret = (owner){current->device, current->generation};
    return CUDA_SUCCESS;
}

CUresult emu_valid(const owner *of, const char *what) {
    owner now;
    CUresult code = emu_current(&now);
    if (code != CUDA_SUCCESS) {
        if (code == CUDA_ERROR_INVALID_CONTEXT) emu_note("no context is current: %s", what);
        return code;
    }
    const struct CUctx_st *c = &contexts[of->device];
    if (!c->users || c->generation != of->generation) {
        emu_complain("%s is used after its context was released", what);
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    }
    if (now.device == of->device) return CUDA_SUCCESS;
    emu_note("the context of another device is current: %s", what);
    return CUDA_ERROR_INVALID_HANDLE;
}

void emu_break(int device, CUresult code) {
    if (contexts[device].sticky == CUDA_SUCCESS) contexts[device].sticky = code;
}

EXPORT CUresult cuInit(unsigned flags) {
    return flags ? CUDA_ERROR_INVALID_VALUE : emu_number("EMU_DEVICES", 1) ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}
EXPORT CUresult cuDriverGetVersion(int *version) {
    return *version = (int)emu_number("EMU_DRIVER", 13000), CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetCount(int *n) { return *n = (int)emu_number("EMU_DEVICES", 1), CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGet(CUdevice *device, int index) {
    if (!on_device(index)) return CUDA_ERROR_INVALID_VALUE;
    return *device = index, CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetName(char *name, int bytes, CUdevice device) {
    if (!on_device(device)) return CUDA_ERROR_INVALID_VALUE;
    return snprintf(name, (size_t)bytes, "%s", emu_word("EMU_NAME", "Emulated H100")), CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
    if (!on_device(device)) return CUDA_ERROR_INVALID_VALUE;
    return *bytes = (size_t)emu_number("EMU_MEMORY", 4l << 30), CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice device) {
    if (!on_device(device)) return CUDA_ERROR_INVALID_VALUE;
    int capability = (int)emu_number("EMU_CAPABILITY", 90);
    *value = which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? capability / 10
             : which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? capability % 10
                                                                     : 132;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    EMU_CALL;
    if (!on_device(device)) return CUDA_ERROR_INVALID_VALUE;
    struct CUctx_st *c = &contexts[device];
    if (c->users++ == 0) {
        c->device = device;
        c->generation++;
        c->sticky = CUDA_SUCCESS;
    }
    *context = c;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    EMU_CALL;
    if (!on_device(device) || !contexts[device].users) return CUDA_ERROR_INVALID_CONTEXT;
    if (--contexts[device].users) return CUDA_SUCCESS;
    emu_run_all();
    emu_memory_release(device);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
    EMU_CALL;
    if (context && !context->users) {
        emu_complain("a context is made current after it was released");
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    current = context;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGetErrorName(CUresult code, const char **name) {
    switch (code) {
#define NAME(x)                                                                                                        \
    case x: return *name = #x, CUDA_SUCCESS
        NAME(CUDA_SUCCESS);
        NAME(CUDA_ERROR_INVALID_VALUE);
        NAME(CUDA_ERROR_OUT_OF_MEMORY);
        NAME(CUDA_ERROR_NO_DEVICE);
        NAME(CUDA_ERROR_INVALID_IMAGE);
        NAME(CUDA_ERROR_INVALID_CONTEXT);
        NAME(CUDA_ERROR_NO_BINARY_FOR_GPU);
        NAME(CUDA_ERROR_ECC_UNCORRECTABLE);
        NAME(CUDA_ERROR_INVALID_HANDLE);
        NAME(CUDA_ERROR_ILLEGAL_STATE);
        NAME(CUDA_ERROR_NOT_FOUND);
        NAME(CUDA_ERROR_NOT_READY);
        NAME(CUDA_ERROR_ILLEGAL_ADDRESS);
        NAME(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
        NAME(CUDA_ERROR_LAUNCH_TIMEOUT);
        NAME(CUDA_ERROR_CONTEXT_IS_DESTROYED);
        NAME(CUDA_ERROR_MISALIGNED_ADDRESS);
        NAME(CUDA_ERROR_LAUNCH_FAILED);
        NAME(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        NAME(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        NAME(CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
        NAME(CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
        NAME(CUDA_ERROR_CAPTURED_EVENT);
#undef NAME
    default: *name = NULL; return CUDA_ERROR_INVALID_VALUE;
    }
}
