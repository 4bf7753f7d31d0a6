"""ViT-Base, patches of 12^3, float32: headct beside PyTorch, the same weights, inputs and threads; runs alternate.

Usage: vit.py VIT_RATE [--batch N] [--runs N] [--steps N] [--compile]. Outputs are compared first: where they differ, no rate is printed.
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
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    head.pop("__metadata__", None)
    out = {}
    for name, e in head.items():
        a, b = e["data_offsets"]
        out[name] = torch.from_numpy(np.frombuffer(data[8 + n + a:8 + n + b], dtype=np.float32).reshape(e["shape"]).copy())
    return out


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
    def __init__(self, program, batch, folder):
        self.process = subprocess.Popen([program, str(batch), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            sys.exit("vit.py: %s did not start" % program)

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


def main():
    p = argparse.ArgumentParser()
    p.add_argument("vit_rate")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--runs", type=int, default=7)
    p.add_argument("--steps", type=int, default=3, help="training steps; 0: none")
    p.add_argument("--compile", action="store_true", help="torch.compile on PyTorch's side")
    a = p.parse_args()
    threads = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
    torch.set_num_threads(threads)
    mode = "torch.compile" if a.compile else "eager"
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(a.vit_rate, a.batch, folder)
        t = read_tensors(folder + "/vit.safetensors")
        x, r = t.pop("input"), t.pop("r")
        model = ViT(t)
        call = torch.compile(model) if a.compile else model
        print("ViT-B/12, batch %d, float32, %d threads; load average %.1f" % (a.batch, threads, os.getloadavg()[0]), flush=True)

        def forward():
            with torch.inference_mode():
                return call(x)
        ours.run("f")
        theirs = forward()
        cls = torch.from_numpy(np.fromfile(folder + "/cls.f32", dtype=np.float32)).reshape(theirs.shape)
        worst = (cls - theirs).abs().max().item()
        print("class tokens: largest difference %.2e (largest value %.2f)" % (worst, theirs.abs().max().item()))
        if not worst < 2e-3:
            sys.exit("vit.py: the outputs differ; no rate is given")
        pairs = [(ours.run("f")[0], timed(forward)[0]) for _ in range(a.runs)]
        report("forward", [p[0] for p in pairs], [p[1] for p in pairs], mode)

        optim = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)

        def step():
            optim.zero_grad(set_to_none=True)
            loss = (call(x) * r).mean()
            loss.backward()
            optim.step()
            return loss.item()
        if a.steps:
            pairs = [(ours.run("t"), timed(step)) for _ in range(a.steps + 1)]
            losses = [(o[1], p[1]) for o, p in pairs]
            print("losses:", "; ".join("%.6f %.6f" % q for q in losses))
            if not all(abs(o - p) < 1e-3 * max(1, abs(p)) for o, p in losses):
                sys.exit("vit.py: the losses differ; no rate is given")
            report("forward + backward + AdamW", [o[0] for o, _ in pairs[1:]], [p[0] for _, p in pairs[1:]], mode)
        ours.close()


if __name__ == "__main__":
    main()
