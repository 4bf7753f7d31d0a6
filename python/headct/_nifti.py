"""NIfTI-1 files, as far as arrays go in and prepared scans come out. Scans of the world are read by the program."""
from __future__ import annotations

import gzip
import struct
from typing import Any, Tuple

import numpy as np

from ._program import HeadctError, PathLike

HEADER = 348
# NIfTI's datatype: NumPy's
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


def write(path: PathLike, array: Any, affine: Any) -> None:
    """array [x, y, z] in HU; affine [4, 4]: voxel indices -> millimetres to the patient's right, front and top (NIfTI's RAS+)."""
    array, affine = np.asarray(array), np.asarray(affine, np.float64)
    if array.ndim != 3 or affine.shape != (4, 4):
        raise HeadctError(f"an array of {array.shape} with an affine of {affine.shape}: give [x, y, z] in HU and [4, 4], voxels to mm (RAS+)")
    kind = next((k for k, t in TYPES.items() if array.dtype.newbyteorder("<") == np.dtype("<" + t)), None)
    if kind is None:
        raise HeadctError(f"an array of {array.dtype}: give HU as int16 or float32")
    if max(array.shape) > 32767 or 0 in array.shape:
        raise HeadctError(f"an array of {array.shape}: 1 to 32767 voxels an axis")
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    h = bytearray(HEADER + 4)
    struct.pack_into("<i", h, 0, HEADER)
    struct.pack_into("<8h", h, 40, 3, *array.shape, 1, 1, 1, 1)
    struct.pack_into("<2h", h, 70, kind, array.dtype.itemsize * 8)
    struct.pack_into("<8f", h, 76, 1, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", h, 108, HEADER + 4, 1, 0)  # where the voxels begin, slope, intercept
    h[123] = 2  # millimetres
    struct.pack_into("<2h", h, 252, 0, 1)  # no qform; the sform: scanner
    struct.pack_into("<12f", h, 280, *affine[:3].ravel())
    h[344:348] = b"n+1\0"
    with open(path, "wb") as f:
        f.write(h)
        f.write(np.ascontiguousarray(array.T, array.dtype.newbyteorder("<")).tobytes())  # x fastest


def read(path: PathLike) -> Tuple[np.ndarray, np.ndarray]:
    """A scan that headct prepare wrote: (array [x, y, z] in HU, int16, or float32 with --exact; affine [4, 4])."""
    try:
        with gzip.open(path, "rb") as f:
            data = f.read()
    except (OSError, EOFError) as e:
        raise HeadctError(f"{path}: not read: {e}; run headct prepare again") from None
    ok = len(data) > HEADER and struct.unpack_from("<i", data)[0] == HEADER and data[344:347] == b"n+1"
    kind = struct.unpack_from("<h", data, 70)[0] if ok else 0
    if kind not in (4, 16):
        raise HeadctError(f"{path}: no scan of headct prepare (int16 or float32 NIfTI-1); run headct prepare again")
    shape = struct.unpack_from("<3h", data, 42)
    start, slope, plus = struct.unpack_from("<3f", data, 108)
    voxels = np.dtype("<" + TYPES[kind])
    if min(shape) < 1 or slope not in (0, 1) or plus != 0 or len(data) != int(start) + int(np.prod(shape, dtype=np.int64)) * voxels.itemsize:
        raise HeadctError(f"{path}: cut short, or changed by another program; run headct prepare again")
    affine = np.vstack([np.array(struct.unpack_from("<12f", data, 280)).reshape(3, 4), [0, 0, 0, 1]])
    return np.frombuffer(data, voxels, offset=int(start)).reshape(shape, order="F").copy(order="F"), affine
