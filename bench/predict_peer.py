#!/usr/bin/env python3
"""What a careful user of PyTorch and MONAI writes to get a ViT's probabilities for one scan: predict_peer.py MODEL.pt SCAN [--double].
Prints one JSON object. --double computes in float64.

MODEL.pt, written by bench/predict from the run's weights.safetensors: {"info": its description, "weights": state dict}."""
import json
import sys

import monai  # noqa: F401
import numpy as np
import torch
from monai.transforms import CenterSpatialCrop, Compose, EnsureChannelFirst, LoadImage, Orientation, ResizeWithPadOrCrop, Spacing
from torch.nn import functional as F


REAL = torch.float64 if "--double" in sys.argv else torch.float32


def image(path, info):
    """[1, windows, S, S, S]: RAS, 1 mm (cubic spline), 224^3, cropped, windowed, resized by area."""
    chain = Compose([LoadImage(image_only=True), EnsureChannelFirst(), Orientation(axcodes="RAS"), Spacing(pixdim=(1, 1, 1), mode=3),
                     ResizeWithPadOrCrop((224, 224, 224), mode="constant", constant_values=-1024), CenterSpatialCrop([int(n) for n in info["input"]["crop"]])])
    hu = torch.round(torch.as_tensor(np.asarray(chain(path)), dtype=REAL))
    windows = [((hu - (c - w / 2)) / w).clamp(0, 1) for c, w in info["input"]["windows"]]
    return F.interpolate(torch.cat(windows)[None], size=[int(n) for n in info["input"]["size"]], mode="area")


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p.get(name + ".bias"))


def norm(p, name, x, eps):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], eps)


def class_token(p, model, x):
    w = p["patch_embedding.patch_embeddings.weight"]
    x = F.conv3d(x, w, p["patch_embedding.patch_embeddings.bias"], stride=w.shape[-1]).flatten(2).transpose(1, 2) + p["patch_embedding.position_embeddings"]
    x = torch.cat([p["cls_token"].expand(x.shape[0], -1, -1), x], 1)
    b, n, c = x.shape
    for i in range(model["depth"]):
        k = "blocks.%d." % i
        q, key, v = linear(p, k + "attn.qkv", norm(p, k + "att_norm", x, 1e-5)).view(b, n, 3, model["heads"], -1).permute(2, 0, 3, 1, 4)
        x = x + linear(p, k + "attn.proj", F.scaled_dot_product_attention(q, key, v).transpose(1, 2).reshape(b, n, c))
        x = x + linear(p, k + "mlp.linear2", F.gelu(linear(p, k + "mlp.linear1", norm(p, k + "ffn_norm", x, 1e-5))))
    return norm(p, "norm", x, model["norm_eps"])[:, 0]


def main():
    saved = torch.load(sys.argv[1], mmap=True, weights_only=True)
    info, p = json.loads(saved["info"]), {k: v.to(REAL) for k, v in saved["weights"].items()}
    with torch.inference_mode():
        cls = class_token(p, info["encoder"], image(sys.argv[2], info))
        out = {}
        for task in info["tasks"]:
            k = "head.%s." % task
            x = F.batch_norm(cls, p[k + "bn.running_mean"], p[k + "bn.running_var"], eps=1e-6)
            out[task] = torch.softmax(linear(p, k + "linear", x), 1)[0, 1].item()
    print(json.dumps(out))


main()
