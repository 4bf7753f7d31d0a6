#!/usr/bin/env python3
"""Numbers that tests/models/test_encoders.c holds encoders to, made with PyTorch from published descriptions, in our own words.

    make_encoders.py tests/data/encoders            the small cases, stored
    make_encoders.py --full FOLDER                  full sizes (suite slow); minutes

Weights, inputs and the loss' weights are formulas of a tensor's name and an element's place (unit below; the test has the same), so only results
are stored: outputs, of each gradient its norm and its product with such a vector. All in float64; at full size gradients in float32 too, whose distance from
those of float64 is the least that another float32 program can be held to.
"""
import json
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

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


def value(name, shape):
    """A tensor by its name; float32 values, as a file would hold them."""
    n = int(np.prod(shape))
    u = unit(name, n)
    if name.endswith("running_mean"):
        x = (u - 0.5) * 0.2
    elif name.endswith("running_var"):
        x = 0.5 + u
    elif name.endswith(".bias"):
        x = (u - 0.5) * 0.2
    elif len(shape) == 1:
        x = 0.5 + u
    elif name.endswith(".weight"):
        x = (u - 0.5) * np.sqrt(24.0 / np.prod(shape[1:]))
    else:
        x = (u - 0.5) * 0.4
    return torch.from_numpy(x.astype(np.float32).astype(np.float64).reshape(shape))


def fill(model):
    state = model.state_dict()
    for name, t in state.items():
        if not name.endswith("num_batches_tracked"):
            state[name] = value(name, tuple(t.shape))
    model.load_state_dict(state)


# ---- 3D residual networks of bottleneck blocks: published 3D-ResNets, MedicalNet's form, Merlin's inflated one ----


class Bottleneck(nn.Module):
    def __init__(self, inside, width, stride, dilation, changes):
        super().__init__()
        self.conv1 = nn.Conv3d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(4 * width)
        if changes:
            self.downsample = nn.Sequential(nn.Conv3d(inside, 4 * width, 1, stride=stride, bias=False),
                                            nn.BatchNorm3d(4 * width))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet(nn.Module):
    def __init__(self, blocks, width, channels, depth_kernel, dilated, phecodes=0, contrastive=0):
        super().__init__()
        self.conv1 = nn.Conv3d(channels, width, (depth_kernel, 7, 7), stride=(2 if dilated else 1, 2, 2),
                               padding=(depth_kernel // 2, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        inside = width
        for s in range(4):
            stride, dilation = (1 if s == 0 else 2), 1
            if dilated and s >= 2:
                stride, dilation = 1, (2 if s == 2 else 4)
            stage = []
            for b in range(blocks[s]):
                stage.append(Bottleneck(inside, width << s, stride if b == 0 else 1, dilation, b == 0))
                inside = 4 * (width << s)
            setattr(self, f"layer{s + 1}", nn.Sequential(*stage))
        if phecodes:
            self.classifier = nn.Conv3d(inside, phecodes, 1)
            self.contrastive_head = nn.Conv3d(inside, contrastive, 1)

    def forward(self, x):
        if x.shape[1] != self.conv1.in_channels:
            x = x.repeat(1, self.conv1.in_channels, 1, 1, 1)
        x = F.max_pool3d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for s in range(4):
            x = getattr(self, f"layer{s + 1}")(x)
        pooled = F.adaptive_avg_pool3d(x, 1)
        out = {"embedding": pooled.flatten(1), "tokens": x.flatten(2).transpose(1, 2)}
        if hasattr(self, "classifier"):
            out["phecodes"] = self.classifier(pooled).flatten(1)
            out["contrastive"] = self.contrastive_head(pooled).flatten(1)
        return out


# ---- CT-FM: the encoder of MONAI's SegResNet ----


class SegBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1 = nn.BatchNorm3d(width)
        self.conv1 = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1, bias=False)

    def forward(self, x):
        return x + self.conv2(torch.relu(self.norm2(self.conv1(torch.relu(self.norm1(x))))))


class SegResEncoder(nn.Module):
    def __init__(self, blocks, width):
        super().__init__()
        self.conv_init = nn.Conv3d(1, width, 3, padding=1, bias=False)
        self.layers = nn.ModuleList()
        for i, n in enumerate(blocks):
            level = nn.ModuleDict({"blocks": nn.Sequential(*[SegBlock(width << i) for _ in range(n)])})
            if i + 1 < len(blocks):
                level["downsample"] = nn.Conv3d(width << i, width << (i + 1), 3, stride=2, padding=1, bias=False)
            self.layers.append(level)

    def forward(self, x):
        """x [B, windows, D, H, W]: windows follow one another along the slices."""
        x = self.conv_init(x.reshape(x.shape[0], 1, -1, x.shape[3], x.shape[4]))
        for level in self.layers:
            x = level["blocks"](x)
            if "downsample" in level:
                x = level["downsample"](x)
        return {"embedding": x.mean((2, 3, 4)), "tokens": x.flatten(2).transpose(1, 2)}


# ---- HLIP: attention within slices, scans and the whole study ----


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        a = torch.softmax(q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5, -1)
        return self.proj((a @ v).transpose(1, 2).reshape(b, n, c))


class Block(nn.Module):
    def __init__(self, width, heads, mlp):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, mlp), "fc2": nn.Linear(mlp, width)})

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class Hlip(nn.Module):
    """levels: of each block, "slice", "scan" or "study"."""

    def __init__(self, grid, patch, width, heads, mlp, levels, registers, scans, out):
        super().__init__()
        self.grid, self.levels, self.prefix = grid, levels, 1 + registers
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(1, width, patch, stride=patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        if registers:
            self.reg_token = nn.Parameter(torch.zeros(1, registers, width))
        self.spatial_posemb = nn.Parameter(torch.zeros(1, *grid, width))
        if scans:
            self.sequential_posemb = nn.Parameter(torch.zeros(1, scans, width))
        self.blocks = nn.ModuleList([Block(width, heads, mlp) for _ in levels])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.projection = nn.Linear(width * (2 if registers else 1), out, bias=False)

    def forward(self, x):
        """x [studies, scans, D, H, W]"""
        b, n = x.shape[:2]
        d, h, w = self.grid
        x = self.patch_embed["proj"](x.reshape(b * n, 1, *x.shape[2:])).flatten(2).transpose(1, 2)
        c = x.shape[-1]
        x = x.reshape(b, n, d * h * w, c) + self.spatial_posemb.reshape(1, 1, d * h * w, c)
        if hasattr(self, "sequential_posemb"):
            x = x + self.sequential_posemb[:, :n].reshape(1, n, 1, c)
        prefix = self.cls_token
        if self.prefix > 1:
            prefix = torch.cat([prefix, self.reg_token], 1)
        groups = {"slice": n * d, "scan": n, "study": 1}
        tokens, p = x.reshape(b, n * d * h * w, c), prefix.reshape(1, 1, self.prefix, c).expand(b, 1, self.prefix, c)
        for block, level in zip(self.blocks, self.levels):
            g = groups[level]
            p = p.repeat_interleave(g // p.shape[1], 1) if g >= p.shape[1] else \
                p.reshape(b, g, p.shape[1] // g, self.prefix, c).mean(2)
            s = torch.cat([p.reshape(b * g, self.prefix, c), tokens.reshape(b * g, -1, c)], 1)
            s = block(s)
            p, tokens = s[:, :self.prefix].reshape(b, g, self.prefix, c), s[:, self.prefix:].reshape(b, -1, c)
        p = p.mean(1)
        s = self.norm(torch.cat([p, tokens], 1))
        first, patches = s[:, 0], s[:, self.prefix:]
        if self.prefix > 1:
            first_and_mean = torch.cat([first, patches.mean(1)], -1)
            return {"embedding": self.projection(first_and_mean), "trunk": first_and_mean, "tokens": s}
        return {"embedding": self.projection(first), "trunk": first, "tokens": s}


# ---- vision transformers as timm and MONAI name them, to be mapped to the paper's names ----


class TimmBlock(nn.Module):
    def __init__(self, width, heads, mlp, eps):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, mlp), "fc2": nn.Linear(mlp, width)})

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class TimmViT(nn.Module):
    """The position table has rows for the class token and registers, which stand before the patches."""

    def __init__(self, grid, patch, channels, width, heads, mlp, depth, registers):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(channels, width, patch, stride=patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.reg_token = nn.Parameter(torch.zeros(1, registers, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + registers + grid**3, width))
        self.blocks = nn.ModuleList([TimmBlock(width, heads, mlp, 1e-6) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        b = x.shape[0]
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(b, -1, -1), self.reg_token.expand(b, -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return {"embedding": x[:, 0], "tokens": x}


class MonaiAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        a = torch.softmax(q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5, -1)
        return self.out_proj((a @ v).transpose(1, 2).reshape(b, n, c))


class MonaiBlock(nn.Module):
    def __init__(self, width, heads, mlp):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = MonaiAttention(width, heads)
        self.mlp = nn.ModuleDict({"linear1": nn.Linear(width, mlp), "linear2": nn.Linear(mlp, width)})

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["linear2"](F.gelu(self.mlp["linear1"](self.norm2(x))))


class Patches(nn.Module):
    """A convolution, or ("perceptron") a linear layer on voxels in the order d0, d1, d2, channel."""

    def __init__(self, grid, patch, channels, width, perceptron):
        super().__init__()
        self.patch, self.perceptron = patch, perceptron
        self.position_embeddings = nn.Parameter(torch.zeros(1, grid**3, width))
        self.patch_embeddings = nn.Sequential(nn.Identity(), nn.Linear(channels * patch**3, width)) if perceptron else \
            nn.Conv3d(channels, width, patch, stride=patch)

    def forward(self, x):
        p = self.patch
        if self.perceptron:
            b, c, d = x.shape[0], x.shape[1], x.shape[2] // p
            x = x.reshape(b, c, d, p, d, p, d, p).permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(b, d**3, p**3 * c)
            x = self.patch_embeddings(x)
        else:
            x = self.patch_embeddings(x).flatten(2).transpose(1, 2)
        return x + self.position_embeddings


class MonaiViT(nn.Module):
    def __init__(self, grid, patch, channels, width, heads, mlp, depth, perceptron):
        super().__init__()
        self.patch_embedding = Patches(grid, patch, channels, width, perceptron)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList([MonaiBlock(width, heads, mlp) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.patch_embedding(x)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return {"embedding": x[:, 0], "tokens": x}


# ---- cases ----


def levels(n, slice_at=(), study_at=()):
    return ["slice" if i in slice_at else "study" if i in study_at else "scan" for i in range(n)]


def cases(full):
    """name: (model, input shape, what the test sets)."""
    if full:
        yield "resnet3d", ResNet((3, 4, 6, 3), 64, 3, 7, False), (2, 3, 96, 96, 96), {}
        yield "merlin", ResNet((3, 8, 36, 3), 64, 3, 3, False, 1692, 512), (1, 1, 160, 224, 224), \
            {"phecodes": 1692, "contrastive": 512}
        yield "ct-fm", SegResEncoder((1, 2, 2, 4, 4), 32), (1, 4, 48, 128, 128), {}
        yield "hlip", Hlip((6, 14, 14), (8, 16, 16), 768, 12, 3072, levels(12, (), (2, 5, 8, 11)), 0, 40, 512), \
            (1, 3, 48, 224, 224), {}
        return
    yield "map-timm", TimmViT(2, 4, 2, 12, 2, 24, 2, 3), (2, 2, 8, 8, 8), {}
    yield "map-monai", MonaiViT(2, 4, 2, 12, 2, 24, 2, False), (2, 2, 8, 8, 8), {}
    yield "map-perceptron", MonaiViT(2, 4, 2, 12, 2, 24, 2, True), (2, 2, 8, 8, 8), {}
    small = {"blocks1": 1, "blocks2": 2, "blocks3": 1, "blocks4": 1, "width": 4}
    yield "resnet3d", ResNet((1, 2, 1, 1), 4, 3, 7, False), (2, 3, 64, 40, 48), small
    yield "resnet3d-dilated", ResNet((1, 2, 1, 1), 4, 1, 7, True), (2, 1, 33, 40, 47), {**small, "dilated": 1}
    yield "merlin", ResNet((1, 2, 1, 1), 4, 3, 3, False, 6, 5), (2, 1, 64, 48, 40), \
        {**small, "phecodes": 6, "contrastive": 5, "channels": 3}
    yield "ct-fm", SegResEncoder((1, 2, 1), 4), (2, 4, 6, 16, 20), \
        {"width": 4, "blocks1": 1, "blocks2": 2, "blocks3": 1, "blocks4": 0, "blocks5": 0}
    hlip = {"width": 12, "depth": 6, "heads": 2, "mlp": 24, "grid0": 2, "grid1": 3, "grid2": 2, "patch0": 2, "patch1": 4,
            "patch2": 4, "out": 5}
    yield "hlip-v1", Hlip((2, 3, 2), (2, 4, 4), 12, 2, 24, levels(6, (), (2, 5)), 0, 7, 5), (2, 3, 4, 12, 8), \
        {**hlip, "sequence": 7, "registers": 0, "slices": 0, "period": 3}
    yield "hlip-2026", Hlip((2, 3, 2), (2, 4, 4), 12, 2, 24, levels(6, (0, 3), (2, 5)), 1, 0, 5), (1, 6, 4, 12, 8), \
        {**hlip, "sequence": 0, "registers": 1, "slices": 1, "period": 3}


def rounded(t):
    return [float(f"{v:.9g}") for v in t.detach().flatten().tolist()]


def summary(name, t):
    """Norm, and product with a vector of the name."""
    t = t.detach().flatten()
    r = torch.from_numpy(unit("project " + name, t.numel()) - 0.5)
    return [float(f"{v:.9g}") for v in (t.norm().item(), (t * r).sum().item())]


def make(name, model, shape, sizes, full):
    model = model.double()
    fill(model)
    x = torch.from_numpy((unit("input", int(np.prod(shape))) - 0.5).astype(np.float32).astype(np.float64)).reshape(shape)
    case = {"name": name, "kind": name.split("-20")[0].replace("-v1", "").replace("-dilated", ""), "input": shape,
            "sizes": sizes,
            "tensors": {k: list(t.shape) for k, t in model.state_dict().items()} if name.startswith("map-") else {},
            "parameters": sum(p.numel() for p in model.parameters()), "eval": {}, "training": {}}
    model.eval()
    with torch.no_grad():
        for key, v in model(x).items():
            case["eval"][key] = summary(key, v) if key == "tokens" else rounded(v)
    if (full and name != "resnet3d") or name.startswith("map-"):
        return case
    model.train()
    r = None
    for real in ("gradients", "gradients_f32") if full else ("gradients",):
        fill(model.double())
        if real == "gradients_f32":  # what float32 itself costs at this depth: ReLUs that flip
            model, x = model.float(), x.float()
        model.zero_grad(set_to_none=True)
        out = model(x)["embedding"]
        r = torch.from_numpy(unit("loss", out.numel()) - 0.5).reshape(out.shape).to(out.dtype)
        loss = (out * r).sum()
        loss.backward()
        if real == "gradients":
            case["training"] = {"loss": loss.item(), "embedding": rounded(out), "running": {}}
            for key, b in model.named_buffers():
                if "running" in key:
                    case["training"]["running"][key] = summary(key, b)
        case["training"][real] = {key: summary(key, p.grad.double()) for key, p in model.named_parameters() if p.grad is not None}
    return case


def main():
    full = sys.argv[1] == "--full"
    folder = sys.argv[-1]
    only = os.environ.get("CASE")
    os.makedirs(folder, exist_ok=True)
    for name, model, shape, sizes in cases(full):
        if only and only != name:
            continue
        case = make(name, model, shape, sizes, full)
        with open(os.path.join(folder, ("full-" if full else "") + name + ".json"), "w") as f:
            json.dump(case, f, separators=(",", ":"))
            f.write("\n")
        print(name, case["parameters"], flush=True)


main()
