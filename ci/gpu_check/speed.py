"""Which kernels are chosen at full size, and how fast they are: dispatch, bench, train."""
import json
import os
import re
import time

from gpu_check.report import Red, Skipped

BATCH = 64
TINY = {"mae": "method: mae\ndata: {crop: 192, image: 24}\nmodel: {patch: 12, width: 48, depth: 1, heads: 3, mlp: 64, decoder: {width: 48, depth: 1, heads: 3, mlp: 64}}\n"
               "optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 2, accumulate: 1, epochs: 2}\n",
        "dino": "method: dino\ndata: {windows: [{center: 40, width: 80}], crop: 160, image: 24}\nmodel: {patch: 12, width: 48, depth: 1, heads: 3, mlp: 64}\n"
                "views: {global: 2, local: 1, region: 120, shrink: 4, global_min: 88, global_max: 120, local_min: 48, local_max: 88}\n"
                "dino: {prototypes: 64, hidden: 32, bottleneck: 16, momentum: 0.9, freeze_last_layer: 0, student_temp: 0.2, teacher_temp_start: 0.1, teacher_temp: 0.1}\n"
                "optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 2, accumulate: 1, epochs: 2, clip: 3, clip_mode: tensor}\n"}


def recipe(r, method, full=False):
    """The paper's recipe; a tiny one in a dry run, whose device computes slowly."""
    if not r.args.dry or full:
        return f"recipes/{method}.yaml"
    path = os.path.join(r.work, f"{method}.yaml")
    if not os.path.exists(path):
        with open(path, "w") as f:
            f.write(TINY[method] + "seed: 7\ntrain: {workers: 1, validate_every: 0, log_every: 1}\n")
    return path


# ---- dispatch ----

VENDOR = [("attention", "cudnn:"), ("linear", "cublaslt:"), ("matmul", "cublaslt:"), ("conv3d", "cudnn:")]


def dispatch(r):
    figures, wrong, said = {}, [], set()
    for method in ("dino", "mae"):
        # dry: two of the twelve blocks, which are alike, and fewer prototypes: most of the time goes to first weights
        fewer = ["--set", "model.depth=2", "--set", "model.decoder.depth=1" if method == "mae" else "dino.prototypes=4096"] if r.args.dry else []
        done = r.headct("dispatch", method, "plan", recipe(r, method, full=True), "--device", r.device, "--set", f"optim.batch={BATCH}", "--set", "optim.accumulate=1",
                        "--set", "train.precision=bf16", *fewer, env={"HCT_VERBOSE": "dispatch", **({"EMU_SKIP": "1"} if r.args.dry else {})})
        table = {}
        for call, kernel in re.findall(r"^dispatch: (\S+?)\(.*\): (\S+) chosen", done.text, re.M):
            table.setdefault(call, {}).setdefault(kernel, 0)
            table[call][kernel] += 1
        memory = re.search(r"^memory\s+([\d.]+) GiB", done.text, re.M)
        figures[method] = {"kernels": table, "gib_at_64": float(memory.group(1)) if memory else None}
        said |= set(re.findall(r"^headct: (CUDA: .* slower.*)", done.text, re.M))
        if not done.ok or not table:
            wrong.append(f"{method} cannot be planned: {done.last()}")
        for call, kernels in table.items():
            want = next((v for o, v in VENDOR if call == o or call.startswith((o + "_", o + "."))), None)
            own = {k: n for k, n in kernels.items() if want and not k.startswith(want)}
            if own:
                wrong.append(f"{method}: {call} by " + ", ".join(f"{k} ({n} calls)" for k, n in own.items()))
    figures["said"] = sorted(said)
    if wrong:
        raise Red("Not the vendor's: " + "; ".join(wrong) + "." + "".join(f" {s}." for s in sorted(said)), figures)
    return "At full size all attention is cuDNN's and all products are cuBLASLt's.", figures


# ---- bench ----

def parse(text):
    """Figures of one mode of headct bench; {} where it did not get that far."""
    seconds, rate = re.search(r"time\s+([\d.]+) s median", text), re.search(r"([\d.]+) scans/s", text)
    gflop, mib = re.search(r"work\s+([\d.]+) GFLOP", text), re.search(r"memory\s+([\d.]+) MiB predicted", text)
    kernels = [{"ms": float(m[0]), "percent": float(m[1]), "calls": int(m[2]), "gb_s": float(m[3]), "tflop_s": float(m[4]), "kernel": m[5]} for m in re.findall(
        r"^\s*([\d.]+) ms\s+([\d.]+)%\s+(\d+) calls\s+([\d.]+) GB/s\s+([\d.]+) TFLOP/s\s+(\S+)", text, re.M)]
    if not (seconds and rate and gflop and mib):
        return {}
    return {"seconds": float(seconds.group(1)), "scans_s": float(rate.group(1)), "gflop": float(gflop.group(1)), "mib": float(mib.group(1)), "kernels": kernels}


def one_mode(r, mode, how, precision, steps):
    """The largest batch, of 64 and its halves, that fits; every try is a line."""
    lines, batch = [], 4 if r.args.dry else BATCH
    while batch >= 1:
        done = r.headct("bench", f"{mode}-{batch}", "bench", *how, "--device", r.device, "--precision", precision, "--batch", str(batch), "--steps", str(steps), "--profile",
                        limit=max(r.time() / 2, 20))
        line = {"mode": mode, "precision": precision, "batch": batch, **parse(done.text)}
        lines.append(line)
        if done.ok and "seconds" in line:
            if r.peak:
                line["of_peak"] = line["gflop"] / line["seconds"] / 1e3 / r.peak[0]
            return lines
        line["error"] = done.last()
        if "out of memory" not in done.text:
            return lines
        batch //= 2
    return lines


def peer(r, mode, batch):
    done = r.run("bench", f"peer-{mode}", [r.args.python, "bench/peer_pytorch.py", "--device", "cpu" if r.args.dry else "cuda", "--modes", mode, "--batch", str(batch), "--model",
                                           "tiny" if r.args.dry else "base", "--steps", "2" if r.args.dry else "10", *(["--no-compile"] if r.args.dry else [])],
                 limit=min(90, max(r.time() / 2, 5)))
    try:
        return json.loads([l for l in done.text.splitlines() if l.startswith("{")][-1])
    except (IndexError, ValueError):
        return {"error": done.last()}


CARDS = [("H200", "h200"), ("H100", "h100"), ("A100", "a100"), ("L40S", "l40s")]


def modelled(r, mode, batch):
    """What headct plan's cost model says of the same step on this card: {} where it knows the card not, or the step is none of training."""
    name = next((n for word, n in CARDS if word in (r.card or "")), "h100" if r.args.dry else None)
    if mode not in ("dino", "mae") or not name:
        return {}
    done = r.headct("bench", f"model-{mode}", "plan", recipe(r, mode), "--device", r.device, "--card", name, "--set", f"optim.batch={batch}", "--set", "optim.accumulate=1",
                    "--set", "train.precision=bf16", limit=min(60, max(r.time() / 2, 5)))
    step = re.search(r"(\d+) launches \((\d+) of libraries\), (\d+) bytes moved, .*: a step of ([\d.]+) ms, ([\d.]+) scans/s, .*floor ([\d.]+) ms", done.text)
    if not done.ok or not step:
        return {"error": done.last()}
    kernels = {k: float(ms) for ms, k in re.findall(r"^\s+([\d.]+)\s+[\d.]+%\s+[\d.]+\s+\d+\s+\d+\s+[\d.]+\s+[\d.]+\s+(\S+) \(", done.text, re.M)}
    return {"card": name, "launches": int(step[1]), "of_libraries": int(step[2]), "bytes": int(step[3]), "ms": float(step[4]), "scans_s": float(step[5]), "floor_ms": float(step[6]),
            "kernels_ms": kernels}


def beside(line):
    """Measured beside modelled, kernel by kernel, the largest difference first."""
    measured = {k["kernel"]: k["ms"] for k in line["kernels"]}
    both = [{"kernel": k, "measured_ms": measured[k], "modelled_ms": ms} for k, ms in line["modelled"]["kernels_ms"].items() if k in measured]
    return sorted(both, key=lambda b: -abs(b["measured_ms"] - b["modelled_ms"]))


def bench(r):
    how = {"dino": ["--recipe", recipe(r, "dino"), "--train"], "mae": ["--recipe", recipe(r, "mae"), "--train"],
           "forward": ["--recipe", recipe(r, "mae"), "--forward"] if r.args.dry else ["--model", "vit-b12", "--forward"]}
    lines, steps = [], 2 if r.args.dry else 10
    # the emulated device has no fast half precision; what is shown there is that the script works
    for mode, arguments in how.items():
        if r.time() < 5:
            r.cut(f"bench {mode}")
            continue
        lines += one_mode(r, mode, arguments, "bf16", steps)
    for line in lines:
        if "seconds" not in line or line["mode"] == "dino" and r.time() < 10:
            continue
        if r.time() < 5:
            r.cut(f"PyTorch's {line['mode']}")
            continue
        line["peer"] = peer(r, line["mode"], line["batch"])
        if line["peer"].get("scans_per_second"):
            line["ratio"] = line["scans_s"] / line["peer"]["scans_per_second"]
    good = [l for l in lines if "seconds" in l]
    for line in good:
        if r.time() < 3:
            break
        line["modelled"] = modelled(r, line["mode"], line["batch"])
        if "kernels_ms" in line["modelled"]:
            line["beside"] = beside(line)
    figures = {"lines": lines, "note": "tiny models on the emulated device: the figures mean nothing" if r.args.dry else f"peak {r.peak}"}
    short = [f"{l['mode']} {l['batch']}: {l['scans_s']:.2f} scans/s" + (f", {100 * l['of_peak']:.0f}% of peak" if "of_peak" in l and not r.args.dry else "") +
             (f", {l['ratio']:.2f} x PyTorch" if "ratio" in l else "") +
             (f" (measured {1e3 * l['seconds']:.0f} ms beside {l['modelled']['ms']:.1f} modelled)" if "beside" in l else "") for l in good]
    missing = [m for m in how if m not in {l["mode"] for l in good} and f"bench {m}" not in r.cuts]
    if missing:
        raise Red("No figure for " + "; ".join(f"{m}: {next((l['error'] for l in reversed(lines) if l['mode'] == m and 'error' in l), 'nothing was run')}" for m in missing) + ". " +
                  "; ".join(short), figures)
    return "; ".join(short) + ".", figures


# ---- train ----

def phantoms(r, area, n, size):
    """A prepared dataset in the work folder, made once."""
    data = os.path.join(r.work, f"data-{n}-{size}")
    if not os.path.exists(data):
        made = r.headct(area, f"phantoms-{n}", "phantom", "--out", data + "-ph", "--plain", "--patients", str(n), "--scans-per-patient", "1", "--size", size, "--seed", "3", "--quiet")
        made = made.ok and r.headct(area, f"prepare-{n}", "prepare", "--in", data + "-ph", "--out", data, "--labels", data + "-ph/labels.csv", "--quiet")
        made = made and made.ok and r.headct(area, f"split-{n}", "split", data, "--ratios", f"{n - 2}:1:1", "--seed", "1")
        if not made or not made.ok:
            raise Red("phantoms cannot be made and prepared, see the logs.")
    return data


def train(r):
    """Fifty steps of the paper's MAE recipe, as anyone would start it: what a step waits for."""
    batch, steps = (2, 10) if r.args.dry else (64, 50)
    scans = 8 if r.args.dry else 2 * batch + 2
    data = phantoms(r, "train", scans, "tiny" if r.args.dry else "small")
    out = os.path.join(r.work, "train")
    began = time.time()
    workers = min(16, os.cpu_count() or 2)
    done = r.headct("train", "pretrain", "pretrain", "--recipe", recipe(r, "mae"), "--data", data, "--run", out, "--quiet", "--set", f"train.device={r.device}",
                    "--set", "train.precision=bf16", "--set", f"optim.batch={batch}", "--set", "optim.accumulate=1", "--set", f"optim.epochs={steps // 2}", "--set", f"train.workers={workers}",
                    "--set", "train.validate_every=0", "--set", "train.log_every=1", env={"HCT_TIMES": "1"})
    took = time.time() - began
    losses = [json.loads(l)["loss"] for l in open(out + "/metrics.jsonl")] if os.path.exists(out + "/metrics.jsonl") else []
    times = re.search(r"times: (\d+) graphs started, ([\d.]+) s of waiting for the device, ([\d.]+) s of copying ([\d.]+) GB up", done.text)
    figures = {"steps": len(losses), "batch": batch, "seconds": took, "losses": losses[:3] + losses[-3:]}
    if times:
        graphs, waits, uploads, gb = int(times[1]), float(times[2]), float(times[3]), float(times[4])
        figures.update(graphs=graphs, device_seconds=waits, upload_seconds=uploads, upload_gb=gb, loader_and_host_seconds=max(took - waits - uploads, 0))
    if not done.ok or len(losses) < steps // 2:
        raise Red(f"Training ends after {len(losses)} steps: {done.last()}.", figures)
    third = len(losses) // 3
    first, last = sum(losses[:third]) / third, sum(losses[-third:]) / third
    if not all(l == l and abs(l) < 1e6 for l in losses) or last >= first:
        raise Red(f"The loss went from {first:.4f} (first third) to {last:.4f} (last third) in {len(losses)} steps.", figures)
    parts = f"; of {took:.1f} s (start included) {waits:.1f} s waiting for the device, {uploads:.2f} s uploading {gb:.1f} GB, the rest loader and host" if times else ""
    return f"{len(losses)} steps of {batch} scans, loss {first:.4f} to {last:.4f} (first and last third){parts}.", figures


__all__ = ["Skipped", "bench", "dispatch", "phantoms", "recipe", "train"]
