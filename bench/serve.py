#!/usr/bin/env python3
"""serve.py HEADCT [--clients 200] [--requests 10000] [--model tiny|base]: headct serve under many clients at once: good, bad, slow (a byte a second) and too
large requests. Prints the rate, the times of good answers (median, 99th percentile), memory of the server before and after, and how many answers were
wrong (every good one is held against headct predict of the scan alone). Weights are random: figures are of speed, not of anything learned."""
import argparse
import collections
import csv
import glob
import http.client
import json
import os
import random
import socket
import subprocess
import tempfile
import threading
import time

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("headct")
a.add_argument("--clients", type=int, default=200)
a.add_argument("--requests", type=int, default=10000)
a.add_argument("--model", choices=["tiny", "base"], default="tiny")
a.add_argument("--seed", type=int, default=1)
args = a.parse_args()
SIZES = {"tiny": "model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}\ndata: {tasks: [SDH], image: 24}\n", "base": "data: {tasks: [SDH], image: 96}\n"}


def run(*words):
    return subprocess.run([args.headct, *words], capture_output=True, text=True, check=True)


def memory(pid):
    return next(int(line.split()[1]) / 1024 for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))


with tempfile.TemporaryDirectory() as work:
    open(f"{work}/probe.yaml", "w").write("method: probe\noptim: {epochs: 1, batch: 4, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\nprobe: {features: random}\n" + SIZES[args.model])
    run("phantom", "--out", f"{work}/ph", "--plain", "--patients", "8", "--scans-per-patient", "1", "--prevalence", "0.5", "--size", "tiny", "--seed", "3", "--quiet")
    run("prepare", "--in", f"{work}/ph", "--out", f"{work}/data", "--labels", f"{work}/ph/labels.csv", "--quiet")
    run("split", f"{work}/data", "--ratios", "4:2:2", "--seed", "1")
    run("probe", "--recipe", f"{work}/probe.yaml", "--data", f"{work}/data", "--run", f"{work}/run", "--quiet")
    weights = f"{work}/run/weights.safetensors"
    scans = sorted(glob.glob(f"{work}/ph/*.nii.gz"))
    data = [open(s, "rb").read() for s in scans]
    begun = time.time()
    run("predict", "--weights", weights, *scans, "--out", f"{work}/p.csv", "--quiet")
    print(f"headct predict of {len(scans)} files: {time.time() - begun:.2f} s, start included")
    alone = {r["scan"]: float(r["SDH"]) for r in csv.DictReader(open(f"{work}/p.csv"))}
    want = [alone[os.path.basename(s)[:-7]] for s in scans]
    server = subprocess.Popen([args.headct, "serve", "--weights", weights, "--port", "0", "--quiet", "--queue", "64", "--connections", "512", "--max-mb", "4", "--timeout", "5"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    port = int(server.stdout.readline().rsplit(" ", 1)[-1])
    statuses, times, wrong, lock = collections.Counter(), [], [], threading.Lock()
    left = [args.requests]
    sampled = []

    def ask(body):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        try:
            c.request("POST", "/v1/predict", body)
            r = c.getresponse()
            return r.status, r.read(), r.getheader("Retry-After")
        finally:
            c.close()

    def slow():
        s = socket.create_connection(("127.0.0.1", port))
        try:
            s.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(20):
                s.sendall(b"x")
                time.sleep(1)
        except OSError:
            pass
        s.close()

    def client(k):
        draw = random.Random(args.seed * 1000 + k)
        while True:
            with lock:
                if left[0] <= 0:
                    return
                left[0] -= 1
            kind = draw.random()
            if kind < 0.002:
                slow()
                with lock:
                    statuses["slow, dropped"] += 1
                continue
            which = draw.randrange(len(data))
            body = data[which] if kind < 0.9 else b"bad" * 1000 if kind < 0.98 else b"\0" * (5 << 20)
            while True:
                begun = time.time()
                try:
                    status, answer, after = ask(body)
                except OSError:
                    status, answer, after = ("closed", b"", None) if len(body) > 4 << 20 else ("lost", b"", None)
                took = time.time() - begun
                with lock:
                    statuses[status] += 1
                    if status == "lost":
                        wrong.append("lost")
                if status != 429:
                    break
                time.sleep(min(1, int(after)) * draw.random())
            with lock:
                if kind < 0.9 and status == 200:
                    times.append(took)
                    if json.loads(answer)["results"][0]["probabilities"]["SDH"] != want[which]:
                        wrong.append(status)
                elif status != (422 if kind < 0.98 else 413) and not (kind >= 0.98 and status == "closed"):
                    wrong.append(status)

    for d, w in zip(data, want):
        ask(d)
    before = memory(server.pid)
    begun = time.time()
    threads = [threading.Thread(target=client, args=(k,)) for k in range(args.clients)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        time.sleep(1)
        sampled.append(memory(server.pid))
    took = time.time() - begun
    after = memory(server.pid)
    server.terminate()
    code = server.wait()
    times.sort()
    print(f"{args.requests} requests of {args.clients} clients, {took:.1f} s; good ones: {len(times)}, {len(times) / took:.1f} a second")
    print(f"time to a good answer: median {times[len(times) // 2]:.3f} s, 99% {times[len(times) * 99 // 100]:.3f} s")
    print("answers by status: " + ", ".join(f"{k} {v}" for k, v in sorted(statuses.items(), key=str)))
    print(f"memory: {before:.0f} MiB before, {max(sampled or [after]):.0f} at most, {after:.0f} after")
    print(f"wrong or lost: {len(wrong)} {wrong[:5]}; end: status {code}")
    raise SystemExit(bool(wrong) or code != 0)
