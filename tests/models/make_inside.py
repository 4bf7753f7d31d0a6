#!/usr/bin/env python3
"""Numbers that tests/models/test_mae_inside.c holds `model.loss: inside` to: a small MAE in NumPy and float64, written from the equations alone.

    make_inside.py tests/data/mae-inside.json

Tensors, images and the masks' noise are formulas of a name and an element's place (unit below; the test has the same), so only results are stored: the loss with
all voxels and with those that count, how many count, and gradients, which are central differences of the loss.
"""
import json
import sys

import numpy as np

BATCH, CHANNELS, SIDE, PATCH, RATIO = 3, 2, 8, 4, 0.5
WIDTH, HEADS, MLP, DEPTH = 12, 2, 24, 1  # of encoder and decoder
GRID = SIDE // PATCH
PATCHES, VOXELS = GRID**3, CHANNELS * PATCH**3
LOW, HIGH = np.float32(0.03), np.float32(0.97)
# what is done to each image, and alike to which of its voxels count: axes that run backwards, what is added
VIEWS = [([0], 0.0), ([1, 2], 0.07), ([], -0.05)]
WATCHED = ["mask_token", "cls_token", "decoder_pred.bias", "decoder_embed.weight", "blocks.0.mlp.linear2.bias", "blocks.0.attn.proj.weight"]
U64 = np.uint64


def unit(name, n):
    """n numbers in [0, 1): FNV-1a of the name, plus the place, through splitmix64."""
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = ((h ^ c) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = U64(h) + np.arange(n, dtype=U64) + U64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        z = z ^ (z >> U64(31))
    return (z >> U64(40)).astype(np.float64) / 2**24


def tensor(name, *shape):
    u = unit(name, int(np.prod(shape)))
    if name.endswith(".bias"):
        u = (u - 0.5) * 0.2
    elif len(shape) == 1:
        u = u + 0.5
    elif name.endswith(".weight"):
        u = (u - 0.5) * np.sqrt(24.0 / np.prod(shape[1:]))
    else:
        u = (u - 0.5) * 0.4
    return u.astype(np.float32).astype(np.float64).reshape(shape)


def tensors():
    w = {"cls_token": tensor("cls_token", 1, 1, WIDTH), "mask_token": tensor("mask_token", 1, 1, WIDTH)}
    w["decoder_cls_token"] = tensor("decoder_cls_token", 1, 1, WIDTH)
    for name, out, into in [("decoder_embed", WIDTH, (WIDTH,)), ("decoder_pred", VOXELS, (WIDTH,)),
                            ("patch_embedding.patch_embeddings", WIDTH, (CHANNELS, PATCH, PATCH, PATCH))]:
        w[name + ".weight"], w[name + ".bias"] = tensor(name + ".weight", out, *into), tensor(name + ".bias", out)
    for name in ["patch_embedding.position_embeddings", "decoder_pos_embed"]:
        w[name] = tensor(name, 1, PATCHES, WIDTH)
    for name in ["norm", "decoder_norm"] + [f"{p}.{i}.{n}" for p in ("blocks", "decoder_blocks") for i in range(DEPTH) for n in ("att_norm", "ffn_norm")]:
        w[name + ".weight"], w[name + ".bias"] = tensor(name + ".weight", WIDTH), tensor(name + ".bias", WIDTH)
    for prefix in ("blocks", "decoder_blocks"):
        for i in range(DEPTH):
            for part, out, into in [("attn.qkv", 3 * WIDTH, WIDTH), ("attn.proj", WIDTH, WIDTH), ("mlp.linear1", MLP, WIDTH), ("mlp.linear2", WIDTH, MLP)]:
                name = f"{prefix}.{i}.{part}"
                w[name + ".weight"], w[name + ".bias"] = tensor(name + ".weight", out, into), tensor(name + ".bias", out)
    return w


def erf(x):
    """Abramowitz and Stegun's 7.1.5, the series: exact to rounding where |x| is small, as it is here."""
    term, total = x.copy(), x.copy()
    for n in range(1, 120):
        term = term * -x * x / n
        total = total + term / (2 * n + 1)
    return total * 2 / np.sqrt(np.pi)


def norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w[name + ".weight"] + w[name + ".bias"]


def linear(x, w, name):
    return x @ w[name + ".weight"].reshape(len(w[name + ".bias"]), -1).T + w[name + ".bias"]


def blocks(x, w, prefix, last):
    b, n, d = x.shape[0], x.shape[1], WIDTH // HEADS
    for i in range(DEPTH):
        qkv = linear(norm(x, w, f"{prefix}.{i}.att_norm"), w, f"{prefix}.{i}.attn.qkv").reshape(b, n, 3, HEADS, d)
        q, k, v = (qkv[:, :, j].transpose(0, 2, 1, 3) for j in range(3))
        a = np.exp(q @ k.transpose(0, 1, 3, 2) / np.sqrt(d))
        x = x + linear(((a / a.sum(-1, keepdims=True)) @ v).transpose(0, 2, 1, 3).reshape(b, n, WIDTH), w, f"{prefix}.{i}.attn.proj")
        h = linear(norm(x, w, f"{prefix}.{i}.ffn_norm"), w, f"{prefix}.{i}.mlp.linear1")
        x = x + linear(h * 0.5 * (1 + erf(h / np.sqrt(2))), w, f"{prefix}.{i}.mlp.linear2")
    return norm(x, w, last)


def unfold(x, channel_last):
    """[B, C, S, S, S] -> [B, patches, voxels of a patch]"""
    x = x.reshape(BATCH, CHANNELS, GRID, PATCH, GRID, PATCH, GRID, PATCH).transpose(0, 2, 4, 6, 1, 3, 5, 7)
    x = x.transpose(0, 1, 2, 3, 5, 6, 7, 4) if channel_last else x
    return x.reshape(BATCH, PATCHES, VOXELS)


def counts(image):
    """1 where a voxel and its six neighbours lie inside, 0 where one does not or is not known."""
    ok = (image > LOW) & (image < HIGH)
    padded = np.pad(ok, [(0, 0), (0, 0), (1, 1), (1, 1), (1, 1)])
    return (ok & padded[:, :, :-2, 1:-1, 1:-1] & padded[:, :, 2:, 1:-1, 1:-1] & padded[:, :, 1:-1, :-2, 1:-1] & padded[:, :, 1:-1, 2:, 1:-1]
            & padded[:, :, 1:-1, 1:-1, :-2] & padded[:, :, 1:-1, 1:-1, 2:]).astype(np.float64)


def view(x, shifted):
    return np.stack([np.flip(x[b], [1 + a for a in VIEWS[b][0]]) + (VIEWS[b][1] if shifted else 0) for b in range(BATCH)])


def losses(w, image, count, noise):
    """With all hidden voxels, with those that count; both over the number of all hidden voxels."""
    order = np.argsort(noise, 1, kind="stable")
    kept = int(PATCHES * (1 - RATIO))
    keep, rows = order[:, :kept], np.arange(BATCH)[:, None]
    x = linear(unfold(image, 0), w, "patch_embedding.patch_embeddings") + w["patch_embedding.position_embeddings"]
    x = np.concatenate([np.repeat(w["cls_token"], BATCH, 0), x[rows, keep]], 1)
    x = linear(blocks(x, w, "blocks", "norm"), w, "decoder_embed")
    everything = np.repeat(np.repeat(w["mask_token"], PATCHES, 1), BATCH, 0)
    everything[rows, keep] = x[:, 1:]
    x = np.concatenate([x[:, :1] + w["decoder_cls_token"], everything + w["decoder_pos_embed"]], 1)
    predicted = linear(blocks(x, w, "decoder_blocks", "decoder_norm"), w, "decoder_pred")[:, 1:]
    hidden = np.ones((BATCH, PATCHES, 1))
    hidden[rows, keep] = 0
    square = (predicted - unfold(image, 1)) ** 2 * hidden
    n = hidden.sum() * VOXELS
    return square.sum() / n, (square * unfold(count, 1)).sum() / n


def gradient(w, name, image, count, noise):
    at, step, found = w[name].reshape(-1), 1e-5, []
    for i in range(at.size):
        was = at[i]
        ends = []
        for side in (1, -1):
            at[i] = was + side * step
            ends.append(losses(w, image, count, noise)[1])
        at[i] = was
        found.append((ends[0] - ends[1]) / (2 * step))
    return found


def main():
    image = np.clip(unit("input", BATCH * CHANNELS * SIDE**3) * 1.06 - 0.03, 0, 1).astype(np.float32).reshape(BATCH, CHANNELS, SIDE, SIDE, SIDE)
    noise = unit("noise", BATCH * PATCHES).astype(np.float32).reshape(BATCH, PATCHES)
    count, w = counts(image), tensors()
    out = {"count": int(count.sum()), "voxels": int(count.size)}
    for name, x, c in [("plain", image.astype(np.float64), count), ("viewed", view(image.astype(np.float64), 1), view(count, 0))]:
        a, i = losses(w, x, c, noise)
        out[name] = {"all": a, "inside": i, "gradients": {k: [float(f"{g:.8g}") for g in gradient(w, k, x, c, noise)] for k in WATCHED}}
    with open(sys.argv[1], "w") as f:
        json.dump(out, f, indent=0)
        f.write("\n")
    print({k: v if not isinstance(v, dict) else (v["all"], v["inside"]) for k, v in out.items()})


main()
