"""libhct through ctypes: the structs and functions of hct/hct.h, hct/ops.h and hct/safetensors.h that this package calls."""
from __future__ import annotations

import ctypes as C
import functools
import glob
import os
import pathlib
from typing import Iterator

import numpy as np

from ._program import BUNDLED, HeadctError, find_program

MAX_DIMS = 8
ABI = "libhct.so.1"
# Number -> name, as in hct/types.h; NumPy has no bfloat16.
DTYPES = ("F32", "F64", "BF16", "F16", "I64", "I32", "I16", "I8", "U8")
BF16 = DTYPES.index("BF16")
NUMPY = {"F32": np.float32, "F64": np.float64, "F16": np.float16, "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8}
STORED = {**NUMPY, "BF16": np.uint16}  # the bytes of one element


class Err(C.Structure):
    _fields_ = [("code", C.c_int32), ("msg", C.c_char * 1020)]


class View(C.Structure):
    _fields_ = [("mem", C.c_void_p), ("off", C.c_uint64), ("dim", C.c_int64 * MAX_DIMS), ("stride", C.c_int64 * MAX_DIMS),
                ("ndim", C.c_int32), ("dtype", C.c_int32)]


class Attr(C.Structure):
    _fields_ = [("name", C.c_char_p), ("kind", C.c_int32), ("n", C.c_int32), ("real", C.c_double), ("ints", C.c_int64 * MAX_DIMS)]


class Options(C.Structure):
    _fields_ = [("plugins", C.POINTER(C.c_char_p)), ("n_plugins", C.c_size_t)]


class Op(C.Structure):  # the first fields of hct_op
    _fields_ = [("size", C.c_uint32), ("flags", C.c_uint32), ("name", C.c_char_p)]


class MemoryStats(C.Structure):
    _fields_ = [("calls", C.c_uint64), ("bytes", C.c_uint64), ("peak", C.c_uint64)]


class ProgramStats(C.Structure):
    _fields_ = [("nodes", C.c_uint32), ("nodes_dead", C.c_uint32), ("arena", C.c_uint64), ("workspace", C.c_uint64),
                ("arena_lower_bound", C.c_uint64), ("tensors", C.c_uint64), ("packed", C.c_uint64), ("flops", C.c_double)]


class Entry(C.Structure):
    _fields_ = [("name", C.c_char_p), ("dtype", C.c_int32), ("ndim", C.c_int32), ("dim", C.c_int64 * MAX_DIMS),
                ("data", C.c_void_p), ("bytes", C.c_size_t)]


P, I, I64, U32, F, S, E = C.c_void_p, C.c_int, C.c_int64, C.c_uint32, C.c_double, C.c_char_p, C.POINTER(Err)
ID, IDS, INTS = C.c_int32, C.POINTER(C.c_int32), C.POINTER(C.c_int64)

# name: (result, arguments)
FUNCTIONS = {
    "hct_open": (P, C.POINTER(Options), E),
    "hct_close": (None, P),
    "hct_op_count": (C.c_size_t, P),
    "hct_op_at": (C.POINTER(Op), P, C.c_size_t),
    "hct_device_open": (P, P, S, E),
    "hct_device_close": (None, P),
    "hct_device_backend": (S, P),
    "hct_device_memory": (MemoryStats, P),
    "hct_tensor_new": (P, P, I, I, INTS, E),
    "hct_tensor_free": (None, P),
    "hct_tensor_write": (C.c_int32, P, P, E),
    "hct_tensor_read": (C.c_int32, P, P, E),
    "hct_tensor_view": (C.POINTER(View), P),
    "hct_tape_new": (P, P, I),
    "hct_tape_free": (None, P),
    "hct_tape_error": (C.c_int32, P, E),
    "hct_use": (ID, P, P),
    "hct_param": (ID, P, P),
    "hct_detach": (ID, P, ID),
    "hct_emit": (C.c_int32, P, S, IDS, U32, C.POINTER(Attr), U32, IDS, U32),
    "hct_emit_into": (C.c_int32, P, S, IDS, U32, C.POINTER(Attr), U32, IDS, U32),
    "hct_backward": (None, P, ID, ID),
    "hct_grad": (ID, P, ID),
    "hct_shape": (C.POINTER(View), P, ID),
    "hct_keep": (None, P, ID),
    "hct_read": (C.c_int32, P, ID, P, E),
    "hct_compile": (C.c_int32, P, E),
    "hct_run": (C.c_int32, P, E),
    "hct_stats": (ProgramStats, P),
    # ops.h
    "hct_add": (ID, P, ID, ID),
    "hct_sub": (ID, P, ID, ID),
    "hct_mul": (ID, P, ID, ID),
    "hct_scale": (ID, P, ID, F, F),
    "hct_gelu": (ID, P, ID),
    "hct_rsqrt": (ID, P, ID, F),
    "hct_cast": (ID, P, ID, I),
    "hct_sum": (ID, P, ID, U32, I),
    "hct_mean": (ID, P, ID, U32, I),
    "hct_linear": (ID, P, ID, ID, ID),
    "hct_matmul": (ID, P, ID, ID),
    "hct_attention": (ID, P, ID, ID, ID, F),
    "hct_layer_norm": (ID, P, ID, ID, ID, F),
    "hct_softmax": (ID, P, ID),
    "hct_l2_normalize": (ID, P, ID, F),
    "hct_cross_entropy": (ID, P, ID, ID),
    "hct_reshape": (ID, P, ID, I, INTS),
    "hct_permute": (ID, P, ID, C.POINTER(C.c_int)),
    "hct_slice": (ID, P, ID, I, I64, I64),
    "hct_copy": (ID, P, ID),
    # safetensors.h
    "hct_st_open": (P, S, E),
    "hct_st_close": (None, P),
    "hct_st_count": (C.c_size_t, P),
    "hct_st_at": (C.POINTER(Entry), P, C.c_size_t),
    "hct_st_meta": (S, P, S),
    "hct_st_to_f32": (C.c_int32, C.POINTER(Entry), P, E),
}


def _places() -> Iterator[str]:
    """Where libhct may lie: beside the program (installed, or in its build folder), then wherever the loader looks."""
    try:
        top = pathlib.Path(os.path.realpath(find_program())).parent.parent
        yield str(top / "core" / ABI)
        for libdir in ("lib", "lib64", "lib/*"):
            yield from sorted(glob.glob(os.path.join(glob.escape(str(top)), libdir, ABI)))
    except HeadctError:
        pass
    yield from (str(f) for f in sorted(BUNDLED.glob(f"lib/**/{ABI}")))


@functools.lru_cache(maxsize=None)
def library() -> C.CDLL:
    """libhct, its functions declared. Raises HeadctError where it is nowhere, or lacks a function."""
    path = next((p for p in _places() if os.path.exists(p)), ABI)
    try:
        lib = C.CDLL(path)
        for name, (result, *arguments) in FUNCTIONS.items():
            f = getattr(lib, name)
            f.restype, f.argtypes = result, arguments
    except (OSError, AttributeError) as e:
        raise HeadctError(f"{path}: cannot be used: {e}; install headct (make install), or name its program in HEADCT") from None
    return lib


def message(err: Err) -> str:
    return err.msg.decode("utf-8", "replace")


def check(status: int, err: Err) -> None:
    if status < 0:
        raise HeadctError(message(err), status)


def widen(raw: np.ndarray) -> np.ndarray:
    """BF16, as uint16 bits -> float32, by libhct."""
    out, err = np.empty(raw.shape, np.float32), Err()
    entry = Entry(name=b"", dtype=BF16, ndim=1, data=raw.ctypes.data, bytes=raw.nbytes)
    entry.dim[0] = raw.size
    check(library().hct_st_to_f32(C.byref(entry), out.ctypes.data, C.byref(err)), err)
    return out
