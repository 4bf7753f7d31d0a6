"""ViT-Base: headct beside PyTorch, the same weights, inputs, threads and dtype; runs alternate.

Usage: vit.py VIT_RATE [--dtype f32|bf16] [--patch N] [--batch N] [--runs N] [--steps N] [--no-compile]. Outputs are compared first: where they
differ, no rate is printed. PyTorch's side is the fastest of eager and torch.compile (bf16: under autocast, and for the forward pass as a model
of bfloat16 weights too), chosen by two runs of each.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as headct has it; for both sides

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def read_tensors(path):
    """A safetensors file's metadata, and its tensors (float32) by name."""
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    meta, out = head.pop("__metadata__", {}), {}
    for name, e in head.items():
        a, b = e["data_offsets"]
        out[name] = torch.from_numpy(np.frombuffer(data[8 + n + a:8 + n + b], dtype=np.float32).reshape(e["shape"]).copy())
    return meta, out


class ViT(nn.Module):
    """Pre-norm blocks, exact GELU, class token first; the formulas of apps/models/vit.h."""

    def __init__(self, weights, heads=12):
        super().__init__()
        self.heads = heads
        self.depth = 1 + max(int(k.split(".")[1]) for k in weights if k.startswith("blocks."))
        self.p = nn.ParameterDict({k.replace(".", "/"): nn.Parameter(v) for k, v in weights.items()})

    def get(self, name):
        name = name.replace(".", "/")
        return self.p[name] if name in self.p else None

    def linear(self, name, x):
        return F.linear(x, self.get(name + ".weight"), self.get(name + ".bias"))

    def norm(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self.get(name + ".weight"), self.get(name + ".bias"), eps)

    def forward(self, x):
        w = self.get("patch_embedding.patch_embeddings.weight")
        x = F.conv3d(x, w, self.get("patch_embedding.patch_embeddings.bias"), stride=w.shape[-1]).flatten(2).transpose(1, 2)
        x = x + self.get("patch_embedding.position_embeddings")
        b, c = x.shape[0], x.shape[2]
        x = torch.cat([self.get("cls_token").expand(b, -1, -1), x], 1)
        n = x.shape[1]
        for i in range(self.depth):
            k = "blocks.%d." % i
            q = self.linear(k + "attn.qkv", self.norm(k + "att_norm", x, 1e-5)).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
            a = F.scaled_dot_product_attention(q[0], q[1], q[2]).transpose(1, 2).reshape(b, n, c)
            x = x + self.linear(k + "attn.proj", a)
            x = x + self.linear(k + "mlp.linear2", F.gelu(self.linear(k + "mlp.linear1", self.norm(k + "ffn_norm", x, 1e-5))))
        return self.norm("norm", x, 1e-6)[:, 0]


class Ours:
    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline().split()
        if not ready or ready[0] != "ready":
            sys.exit("vit.py: %s did not start" % command[0])
        self.flop = float(ready[1])

    def run(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("vit.py: vit_rate ended")
        return tuple(map(float, line.split()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def timed(f):
    start = time.perf_counter()
    value = f()
    return time.perf_counter() - start, value


def spread(t):
    return "%.3f s (%.3f to %.3f)" % (statistics.median(t), min(t), max(t))


def report(what, ours, theirs, mode):
    print("%s: headct %s; PyTorch %s %s %s; rate ours / theirs %.2f" %
          (what, spread(ours), torch.__version__, mode, spread(theirs), statistics.median(theirs) / statistics.median(ours)), flush=True)


def fastest(candidates):
    """The name and function that took the least time in the better of two runs, after one to warm up."""
    best = []
    for name, f in candidates:
        f()
        best.append((min(timed(f)[0], timed(f)[0]), name, f))
        print("PyTorch %s: %.3f s" % (name, best[-1][0]), flush=True)
    return min(best, key=lambda b: b[0])[1:]


def autocast(on):
    return torch.autocast("cpu", torch.bfloat16, enabled=on)


def forwards(model, weights, x, bf16, compiles):
    """PyTorch's ways to the class tokens, as (name, function)."""
    def way(call, image, cast):
        def f():
            with torch.inference_mode(), autocast(cast):
                return call(image).float()
        return f
    half = ViT({k: v.bfloat16() for k, v in weights.items()}) if bf16 else None
    kinds = [("bf16 autocast", model, x, True), ("bf16 weights", half, x.bfloat16(), False)] if bf16 else [("", model, x, False)]
    ways = [("%s eager" % name, way(m, image, cast)) for name, m, image, cast in kinds]
    if compiles:
        ways += [("%s torch.compile" % name, way(torch.compile(m), image, cast)) for name, m, image, cast in kinds]
    return [(name.strip(), f) for name, f in ways]


def trainer(weights, x, r, bf16, compiled):
    """One step of PyTorch, from these weights; returns the loss."""
    model = ViT({k: v.clone() for k, v in weights.items()})
    call = torch.compile(model) if compiled else model
    optim = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)

    def step():
        optim.zero_grad(set_to_none=True)
        with autocast(bf16):
            loss = (call(x).float() * r).mean()
        loss.backward()
        optim.step()
        return loss.item()
    return step


def product_peak(ours, rows, width, dtype):
    """GFLOP/s of the largest product of a block, the better of both sides: what the machine is known to reach."""
    x, w = torch.randn(rows, width, dtype=dtype), torch.randn(4 * width, width, dtype=dtype)
    rates = []
    with torch.inference_mode():
        for _ in range(12):
            seconds, flop = ours.run("p")
            rates += [flop / seconds, flop / timed(lambda: F.linear(x, w))[0]]
    return max(rates)


def compare(ours, ways, exact):
    """Class tokens: ours may be off the float32 result by 2e-3, or in bf16 by 1.5 times what the least exact of PyTorch's bf16 ways is."""
    off = [(f() - exact).abs().max().item() for _, f in ways]
    mine = (ours - exact).abs().max().item()
    print("class tokens, largest difference from PyTorch's float32: headct %.2e, PyTorch %s (largest value %.2f)" %
          (mine, ", ".join("%.2e" % x for x in off), exact.abs().max().item()))
    if not mine <= max(2e-3, 1.5 * max(off)):
        sys.exit("vit.py: the outputs differ; no rate is given")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("vit_rate")
    p.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    p.add_argument("--patch", type=int, default=12)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--runs", type=int, default=7)
    p.add_argument("--steps", type=int, default=3, help="training steps; 0: none")
    p.add_argument("--no-compile", action="store_true", help="torch.compile is not tried")
    a = p.parse_args()
    bf16, compiles = a.dtype == "bf16", not a.no_compile
    threads = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(a.vit_rate, str(a.batch), folder, a.dtype, str(a.patch))
        t = read_tensors(folder + "/vit.safetensors")[1]
        x, r = t.pop("input"), t.pop("r")
        model = ViT(t)
        print("\nViT-B/%d, batch %d, %s, %d threads; load average %.1f" % (a.patch, a.batch, a.dtype, threads, os.getloadavg()[0]), flush=True)

        ways = forwards(model, t, x, bf16, compiles)
        mode, forward = fastest(ways)
        ours.run("f")
        cls = torch.from_numpy(np.fromfile(folder + "/cls.f32", dtype=np.float32))
        with torch.inference_mode():
            exact = model(x)
        compare(cls.reshape(exact.shape), ways, exact)
        pairs = [(ours.run("f")[0], timed(forward)[0]) for _ in range(a.runs)]
        mine = [q[0] for q in pairs]
        report("forward", mine, [q[1] for q in pairs], mode)
        rows = a.batch * (1 + (x.shape[-1] // a.patch) ** 3)
        peak, rate = product_peak(ours, rows, exact.shape[-1], torch.bfloat16 if bf16 else torch.float32), ours.flop / statistics.median(mine)
        print("headct's forward pass: %.0f GFLOP/s, %.0f%% of the %.0f of one product of %d x %d x %d, the better of both" %
              (rate / 1e9, 100 * rate / peak, peak / 1e9, rows, exact.shape[-1], 4 * exact.shape[-1]), flush=True)

        if a.steps:
            first = trainer(t, x, r, bf16, False)
            pairs = [(ours.run("t")[1], first()) for _ in range(3)]
            print("losses:", "; ".join("%.6f %.6f" % q for q in pairs))
            if not all(abs(o - q) < (1e-2 if bf16 else 1e-3) * max(1, abs(q)) for o, q in pairs):
                sys.exit("vit.py: the losses differ; no rate is given")
            mode, step = fastest([("eager", first)] + ([("torch.compile", trainer(t, x, r, bf16, True))] if compiles else []))
            pairs = [(ours.run("t")[0], timed(step)[0]) for _ in range(a.steps)]
            report("forward + backward + AdamW", [q[0] for q in pairs], [q[1] for q in pairs], mode)
        ours.close()


if __name__ == "__main__":
    main()
