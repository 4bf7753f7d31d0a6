#!/usr/bin/env python3
"""Numbers that tests/imaging/test_forms.c holds the volumes of other encoders to, made with MONAI 1.2.0 and PyTorch: make_forms.py OUT.json [SCAN.nii.gz].

The volume is a formula (the test has the same); of each result some voxels are kept. With a scan of one's own the numbers are that scan's, and
`headct prepare --for` on it can be compared (compare_forms.py).
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import CenterSpatialCrop, CropForeground, Orientation, ResizeWithPadOrCrop, ScaleIntensityRange, Spacing, SpatialPad

U64 = np.uint64


def unit(name, n):
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = ((h ^ c) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = U64(h) + np.arange(n, dtype=U64) + U64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        z = z ^ (z >> U64(31))
    return (z >> U64(40)).astype(np.float64) / 2**24


def made_up(name, dim, affine):
    """Noise between -1024 and 2000 HU in a box, air around it."""
    x = (unit(name, int(np.prod(dim))) * 3024 - 1024).astype(np.int16).reshape(dim[::-1]).transpose(2, 1, 0)
    inside = np.zeros(dim, bool)
    inside[tuple(slice(n // 6, n - n // 5) for n in dim)] = True
    return MetaTensor(torch.from_numpy(np.where(inside, x, -1024).astype(np.float32))[None], affine=torch.tensor(affine, dtype=torch.float64))


def window(x, centre, width):
    return ScaleIntensityRange(centre - width / 2, centre + width / 2, 0, 1, clip=True)(x)


def merlin(x):
    x = Spacing((1.5, 1.5, 3), mode="bilinear")(Orientation("RAS")(x))
    x = CenterSpatialCrop((224, 224, 160))(SpatialPad((224, 224, 160))(ScaleIntensityRange(-1000, 1000, 0, 1, clip=True)(x)))
    return x.as_tensor().permute(0, 3, 1, 2)


def ct_fm(x):
    x = Spacing((5, 2, 2), mode="bilinear")(CropForeground()(Orientation("SPL")(x)))
    x = ResizeWithPadOrCrop((48, 128, 128), mode="minimum")(x)
    return torch.cat([window(x, c, w).as_tensor() for c, w in ((40, 80), (25, 300), (32, 8), (600, 3000))])


def hlip(x):
    x = Orientation("LPS")(x).as_tensor()[0].permute(2, 1, 0)  # slices, rows, columns
    scans = []
    for centre, width in ((40, 80), (80, 200), (600, 2800)):
        s = ((x - (centre - width / 2)) / width).clamp(0, 1)
        h, w = s.shape[1:]
        e = max(h, w)
        s = F.pad(s, ((e - w) // 2, e - w - (e - w) // 2, (e - h) // 2, e - h - (e - h) // 2))
        s = F.interpolate(s[None], (256, 256), mode="bilinear", align_corners=False)
        s = F.interpolate(s[None], (48, 256, 256), mode="nearest-exact")[0, 0]
        scans.append((s[:, 16:240, 16:240] - 0.449) / 0.226)
    return torch.stack(scans)


def main():
    cases = []
    turned = [[-0.9, 0.05, 0.1, 30.0], [-0.06, -0.8, 0.2, 25.5], [0.11, 0.15, 4.2, -40.0], [0, 0, 0, 1]]
    for name, dim, affine in (("turned", (61, 52, 17), turned),
                              ("sagittal", (14, 50, 47), [[0, 0, 2.1, -9], [1.7, 0, 0, 4], [0, -2.3, 0, 60], [0, 0, 0, 1]]),
                              ("large", (40, 40, 30), [[9.0, 0, 0, -180], [0, 9, 0, -180], [0, 0, 20, 0], [0, 0, 0, 1]])):
        for kind, make in (("merlin", merlin), ("ct-fm", ct_fm), ("hlip", hlip)):
            out = make(made_up(name, dim, affine)).double().numpy()
            n = out.size
            places = (unit("places", 500) * n).astype(np.int64)
            varied = np.flatnonzero((out.ravel() != out.ravel()[0]))
            if varied.size:
                places = np.concatenate([places[:100], varied[(unit("varied", 400) * varied.size).astype(np.int64)]])
            cases.append({"volume": name, "dim": dim, "affine": affine, "form": kind, "shape": out.shape,
                          "mean": float(out.mean()), "places": places.tolist(), "values": [float(f"{v:.7g}") for v in out.ravel()[places]]})
            print(name, kind, out.shape, out.mean(), flush=True)
    with open(sys.argv[1], "w") as f:
        json.dump(cases, f, separators=(",", ":"))
        f.write("\n")


main()
