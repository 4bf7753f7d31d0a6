"""Weights and other safetensors files, read and checked by libhct."""
from __future__ import annotations

import ctypes as C
import json
import os
from typing import Any, Dict

import numpy as np

from ._library import BF16, DTYPES, STORED, Err, library, message, widen
from ._program import HeadctError, PathLike


class Weights(Dict[str, np.ndarray]):
    """name -> array. metadata: the file's, objects where they are JSON (`headct`: the description of the model); dtypes: name -> dtype in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.metadata: Dict[str, Any] = {}
        self.dtypes: Dict[str, str] = {}


def _metadata(path: PathLike) -> Dict[str, Any]:
    """The header's __metadata__, of a file that hct_st_open has found sound."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    found: Dict[str, Any] = {}
    for key, value in header.get("__metadata__", {}).items():
        found[key] = value
        if value[:1] in ("{", "["):
            try:
                found[key] = json.loads(value)
            except ValueError:
                pass
    return found


def read_weights(path: PathLike) -> Weights:
    """Reads a safetensors file, headct's or another's: arrays of their own memory, in the file's dtypes; BF16 as float32.

    Raises HeadctError where the file is damaged: header, names, shapes and offsets are checked before a tensor is handed out."""
    lib, err = library(), Err()
    file = lib.hct_st_open(os.fsencode(path), C.byref(err))
    if not file:
        raise HeadctError(message(err), err.code)
    found = Weights()
    try:
        for i in range(lib.hct_st_count(file)):
            entry = lib.hct_st_at(file, i).contents
            name, dtype = entry.name.decode(), DTYPES[entry.dtype]
            raw = np.frombuffer(C.string_at(entry.data, entry.bytes) if entry.bytes else b"", STORED[dtype])
            raw = raw.reshape(tuple(entry.dim[: entry.ndim]))
            found[name] = widen(raw) if entry.dtype == BF16 else raw.copy()
            found.dtypes[name] = dtype
        found.metadata = _metadata(path)
    finally:
        lib.hct_st_close(file)
    return found
