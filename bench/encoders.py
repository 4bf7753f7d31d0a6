#!/usr/bin/env python3
"""ResNet50-3D, Merlin, CT-FM and HLIP beside PyTorch on this machine's CPU, float32: encoders.py BUILD [KIND...].

PyTorch's models are those of tests/models/make_encoders.py (our own words), eager, in inference mode, channels_last_3d for the convolutional ones (the faster
of the two layouts is taken). Prints seconds of both (medians), their ratio (theirs / ours: above 1 headct is faster) and peak memory."""
import os
import resource
import statistics
import subprocess
import sys
import time

import torch

here = os.path.dirname(os.path.abspath(__file__))
sys.argv, arguments = [sys.argv[0], "--none", "/tmp"], sys.argv[1:]


def models():
    path = os.path.join(here, "..", "tests", "models", "make_encoders.py")
    source = open(path).read().rsplit("\nmain()", 1)[0]
    names = {"__name__": "models"}
    exec(compile(source, path, "exec"), names)
    return {name: (model, shape) for name, model, shape, _ in names["cases"](True)}


def time_of(step, runs):
    step()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def forward(model, shape, runs):
    model.eval()
    best = None
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        if len(shape) != 5 or (layout == torch.channels_last_3d and not any(isinstance(m, torch.nn.BatchNorm3d) for m in model.modules())):
            continue
        own = model.to(memory_format=layout)
        x = torch.rand(shape).contiguous(memory_format=layout)
        with torch.inference_mode():
            s = time_of(lambda: own(x), runs)
        best = s if best is None else min(best, s)
    return best


def train(model, shape, runs):
    best = None
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        own = model.to(memory_format=layout).train()
        x = torch.rand(shape).contiguous(memory_format=layout)
        o = torch.optim.AdamW(own.parameters(), lr=1e-4, weight_decay=0.05)

        def step():
            o.zero_grad(set_to_none=True)
            own(x)["embedding"].mean().backward()
            o.step()
        s = time_of(step, runs)
        best = s if best is None else min(best, s)
    return best


def main():
    build, wanted = arguments[0], arguments[1:] or ["resnet3d", "resnet3d:train", "ct-fm", "hlip", "merlin"]
    for row in wanted:
        kind, _, mode = row.partition(":")
        mode, runs = mode or "forward", 3
        batch = 2 if mode == "train" else 1
        ours = subprocess.run([os.path.join(build, "bench", "encoder_rate"), kind, mode, str(batch), str(runs)], capture_output=True, text=True, check=True).stdout
        pid = os.fork()
        if not pid:  # memory is counted by process
            model, shape = models()[kind]
            s = (train if mode == "train" else forward)(model, (batch, *shape[1:]), runs)
            mine = float(ours.split(": ")[1].split(" s")[0])
            print(ours.strip())
            print(f"  PyTorch {torch.__version__}: {s:.3f} s, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB at most; theirs / ours {s / mine:.2f}", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


main()
