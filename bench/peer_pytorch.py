#!/usr/bin/env python3
"""The peer's side of every comparison: ViT forward, MAE step and DINO step of the paper in PyTorch 2, as its documentation advises to make them
fast: torch.compile, bf16 autocast, scaled_dot_product_attention (flash), fused AdamW, foreach EMA, TF32 for what stays float32, no waiting inside
a step. Written from the papers (Dosovitskiy et al. 2021, He et al. 2022, Caron et al. 2021), sizes as in recipes/mae.yaml and dino.yaml.

Both sides start a step from data on the device. DINO's views are given to PyTorch ready-made, while headct makes them within its step: that is
in PyTorch's favour. Prints a JSON line for each mode and batch.

    peer_pytorch.py [--device cuda] [--modes forward,mae,dino] [--batch 64] [--model base|tiny] [--steps 20] [--no-compile]"""
import argparse
import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

SIZES = {"base": dict(image=96, patch=12, width=768, depth=12, heads=12, mlp=3072, dec_width=768, dec_depth=8, dec_heads=16, dec_mlp=3072,
                      hidden=2048, bottleneck=256, prototypes=65536),
         "tiny": dict(image=24, patch=12, width=48, depth=2, heads=4, mlp=96, dec_width=48, dec_depth=1, dec_heads=4, dec_mlp=96,
                      hidden=64, bottleneck=32, prototypes=256)}


class Block(nn.Module):
    def __init__(self, width, heads, mlp):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, mlp), nn.Linear(mlp, width)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def patches_of(x, p):
    b, c, d = x.shape[0], x.shape[1], x.shape[2] // p
    return x.view(b, c, d, p, d, p, d, p).permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(b, d ** 3, c * p ** 3)


class Encoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.patch, n = s["patch"], (s["image"] // s["patch"]) ** 3
        self.embed = nn.Linear(3 * s["patch"] ** 3, s["width"])  # a convolution whose stride is its size, as one product
        self.cls = nn.Parameter(torch.randn(1, 1, s["width"]) * 0.02)
        self.register_buffer("position", torch.randn(1, n, s["width"]) * 0.02)
        self.blocks = nn.ModuleList(Block(s["width"], s["heads"], s["mlp"]) for _ in range(s["depth"]))
        self.norm = nn.LayerNorm(s["width"], eps=1e-6)

    def forward(self, x, keep=None):
        x = self.embed(patches_of(x, self.patch)) + self.position
        if keep is not None:
            x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[2]))
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1)
        for b in self.blocks:
            x = b(x)
        return self.norm(x)


class MAE(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s, self.encoder = s, Encoder(s)
        n, w = (s["image"] // s["patch"]) ** 3, s["dec_width"]
        self.embed, self.mask, self.cls = nn.Linear(s["width"], w, bias=False), nn.Parameter(torch.randn(1, 1, w) * 0.02), nn.Parameter(torch.zeros(1, 1, w))
        self.register_buffer("position", torch.randn(1, n, w) * 0.02)
        self.blocks = nn.ModuleList(Block(w, s["dec_heads"], s["dec_mlp"]) for _ in range(s["dec_depth"]))
        self.norm, self.pred = nn.LayerNorm(w), nn.Linear(w, 3 * s["patch"] ** 3, bias=False)

    def forward(self, x, keep, restore, mask):
        y = self.embed(self.encoder(x, keep))
        b, n = restore.shape
        every = torch.cat([y[:, 1:], self.mask.expand(b, n - keep.shape[1], -1).to(y.dtype)], 1)
        every = every.gather(1, restore[..., None].expand(-1, -1, y.shape[2])) + self.position
        y = torch.cat([y[:, :1] + self.cls, every], 1)
        for block in self.blocks:
            y = block(y)
        d = self.pred(self.norm(y))[:, 1:].float() - patches_of(x, self.s["patch"])
        return ((d * d).mean(2) * mask).sum() / mask.sum()


class DinoBranch(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.encoder = Encoder(s)
        self.mlp = nn.Sequential(nn.Linear(s["width"], s["hidden"]), nn.GELU(), nn.Linear(s["hidden"], s["hidden"]), nn.GELU(), nn.Linear(s["hidden"], s["bottleneck"]))
        self.last = nn.Parameter(torch.randn(s["prototypes"], s["bottleneck"]) * 0.02)

    def forward(self, x):
        return F.linear(F.normalize(self.mlp(self.encoder(x)[:, 0]), dim=1), F.normalize(self.last, dim=1))


def dino_loss(student, teacher, centre, views, teacher_views):
    log_q = F.log_softmax(student.float() / 0.1, 1).view(views, -1, student.shape[1])
    p = F.softmax((teacher.float() - centre) / 0.04, 1).view(teacher_views, -1, teacher.shape[1])
    pairs = [-(p[g] * log_q[v]).sum(1).mean() for g in range(teacher_views) for v in range(views) if v != g]
    return sum(pairs) / len(pairs)


def make_step(mode, s, batch, device, compiled):
    wrap = torch.compile if compiled else (lambda f: f)
    cast = lambda: torch.autocast(device, dtype=torch.bfloat16)
    image = torch.rand(batch, 3, s["image"], s["image"], s["image"], device=device)
    n = (s["image"] // s["patch"]) ** 3
    adamw = lambda parameters: torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.05, betas=(0.9, 0.95), fused=True)
    if mode == "forward":
        model = wrap(Encoder(s).to(device).eval())

        @torch.no_grad()
        def step():
            with cast():
                return model(image)[:, 0].sum()
    elif mode == "mae":
        raw = MAE(s).to(device)
        model, optim = wrap(raw), adamw(raw.parameters())
        order = torch.rand(batch, n, device=device).argsort(1)
        keep, restore = order[:, :n // 4].contiguous(), order.argsort(1)
        mask = torch.ones(batch, n, device=device).scatter_(1, keep, 0)

        def step():
            optim.zero_grad(set_to_none=True)
            with cast():
                loss = model(image, keep, restore, mask)
            loss.backward()
            optim.step()
            return loss.detach()
    else:
        views, shared = 5, 2
        raw, teacher = DinoBranch(s).to(device), DinoBranch(s).to(device)
        teacher.load_state_dict(raw.state_dict())
        teacher.requires_grad_(False)
        student, follower, loss_of = wrap(raw), wrap(teacher), wrap(dino_loss)
        optim, centre = adamw(raw.parameters()), torch.zeros(s["prototypes"], device=device)
        many = torch.rand(views * batch, 3, s["image"], s["image"], s["image"], device=device)
        mine, theirs = list(raw.parameters()), list(teacher.parameters())

        def step():
            optim.zero_grad(set_to_none=True)
            with cast():
                with torch.no_grad():
                    target = follower(many[:shared * batch])
                loss = loss_of(student(many), target, centre, views, shared)
            loss.backward()
            norms = torch._foreach_norm([p.grad for p in mine])
            torch._foreach_mul_([p.grad for p in mine], [torch.clamp(3.0 / (v + 1e-6), max=1.0) for v in norms])
            optim.step()
            with torch.no_grad():
                torch._foreach_lerp_(theirs, mine, 0.006)
                centre.lerp_(target.float().mean(0), 0.1)
            return loss.detach()
    return step


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    a.add_argument("--modes", default="forward,mae,dino")
    a.add_argument("--batch", default="64")
    a.add_argument("--model", default="base", choices=list(SIZES))
    a.add_argument("--steps", type=int, default=20)
    a.add_argument("--no-compile", action="store_true")
    a = a.parse_args()
    if a.device == "cuda" and not torch.cuda.is_available():
        sys.exit("peer_pytorch: PyTorch sees no GPU")
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(1)
    wait = torch.cuda.synchronize if a.device == "cuda" else (lambda: None)
    for mode in a.modes.split(","):
        for batch in map(int, a.batch.split(",")):
            line = {"mode": mode, "batch": batch, "model": a.model, "torch": torch.__version__, "compiled": not a.no_compile, "device": a.device}
            try:
                if a.device == "cuda":
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                step = make_step(mode, SIZES[a.model], batch, a.device, not a.no_compile)
                for _ in range(3):
                    last = step()
                wait()
                times = []
                for _ in range(a.steps):
                    began = time.perf_counter()
                    last = step()
                    wait()
                    times.append(time.perf_counter() - began)
                median = statistics.median(times)
                line.update(seconds=median, least=min(times), most=max(times), scans_per_second=batch / median, value=float(last),
                            peak_mib=torch.cuda.max_memory_allocated() / 2 ** 20 if a.device == "cuda" else None)
            except torch.OutOfMemoryError as e:
                line["error"] = "out of memory: " + str(e).split(".")[0]
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
