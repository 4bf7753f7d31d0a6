#!/usr/bin/env python3
"""weights_file.py A B: whether two safetensors files hold the same tensors (exit status). As a module: their reader, in plain Python."""
import array
import json
import struct
import sys


def read(path):
    """Metadata, and (type, shape, bytes) by name."""
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    meta = header.pop("__metadata__", {})
    return meta, {k: (v["dtype"], v["shape"], data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]) for k, v in header.items()}


def tensors(path):
    return read(path)[1]


def floats(path):
    """Values by name, all taken as float32."""
    return {k: array.array("f", b) for k, (_, _, b) in tensors(path).items()}


def same(a, b):
    return tensors(a) == tensors(b)


if __name__ == "__main__":
    sys.exit(not same(sys.argv[1], sys.argv[2]))
