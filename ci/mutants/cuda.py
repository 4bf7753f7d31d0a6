#!/usr/bin/env python3
"""Mistakes in the CUDA backend, its kernels, the cuDNN plugin and what the core does for them, each planted in a copy of the source and looked for on the
emulated device (tests/cuda).

    cuda.py SOURCE_ROOT [NAME ...]     only mutants whose name contains one of the words
    cuda.py SOURCE_ROOT --budget S     all that are planted, and of the others as many as S seconds allow: how many were not reached is said
    cuda.py SOURCE_ROOT --places       only whether each planted one's text stands once in its file, and each survivor's too: a second, for ci/lint
    cuda.py SOURCE_ROOT --list         the mutants that are made by rule, without running them

Planted ones are in cuda.txt, with the tests that catch them. The others are made by RULES: event waits and other waits dropped, barriers taken out,
strides, offsets and scales changed; of each rule as many as SHARE says, drawn with a fixed seed. What survives all tests must be listed in
cuda-survivors.txt with a reason, else the run fails. Prints TAP."""
import glob
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mutants import HERE, place  # noqa: E402

SEED = 22
# Rule: files, what is looked for, what stands there then, how many are tried (of those that there are).
BACKEND = ["backends/cuda/stream.c", "backends/cuda/memory.c", "backends/cuda/collective.c"]
KERNELS = ["attention", "batch_norm3d", "conv", "dino", "fused", "gemm", "move", "norm", "optim", "pool", "reduce", "softmax", "tokens", "views"]
CL = [f"backends/kernels/{k}.cl" for k in KERNELS]
HOST = [f"backends/kernels/host/{k}.c" for k in ["attention", "batch_norm3d", "conv", "dino", "fused", "launch", "move", "norm", "optim", "pool", "products",
                                                 "reduce", "softmax", "tokens"]]
RULES = [
    ("an event wait dropped", BACKEND, r"cu->cuStreamWaitEvent\([^;]*?\)(?=;)", "CUDA_SUCCESS", 99),
    ("an event not recorded", BACKEND, r"cu->cuEventRecord\([^;]*?\)(?=;)", "CUDA_SUCCESS", 99),
    ("a wait of the host dropped", BACKEND, r"cu->cu(?:Stream|Event)Synchronize\([^;]*?\)(?=;)", "CUDA_SUCCESS", 99),
    ("an order of streams dropped", ["core/ahead.c"], r"b->stream_after\(d->\w+, d->\w+, err\)", "HCT_OK", 99),
    ("a barrier taken out", ["backends/kernels/attention.cl", "backends/kernels/gemm.cl", "backends/kernels/dialect.h"], r"(?<=[\s{])BARRIER\(\);", ";", 99),
    ("a stride", CL, r"\* (z\.[qkvogst][bnhv]\b|[a-z_]*step\w*|[ix][bklc]\b|g\.step_\w+)", r"* (1 + \1)", 12),
    ("a stride", HOST, r"->stride\[[^\]]+\]|\.stride\[[^\]]+\](?! =)", r"\g<0> + 1", 8),
    ("a stride", ["backends/cuda/product.c"], r"g->(?:ld|step)_\w", r"\g<0> + 1", 3),
    ("a stride", ["plugins/cudnn/attention.c", "plugins/cudnn/sdpa.c", "plugins/cudnn/convolution.c"],
     r"whole \*= v->dim\[d\]|h \* n \* width|t\.stride\[2\] = t\.stride\[3\]|v->dim\[1\] \* v->dim\[2\], v->dim\[2\]", r"\g<0> + 8", 3),
    ("an offset", CL, r"AT\(real, \w+\) \+(?= )", r"\g<0> 1 +", 10),
    ("an offset", ["backends/cuda/kernels.c", "plugins/cudnn/attention.c"], r"\*ret_off \+= |\+ s->sum\b|\+ s->accumulator\b", r"\g<0> + 4", 3),
    ("a scale", CL, r"\b1\.0f / ", "1.01f / ", 8),
    ("a scale", CL, r"\* (z\.scale|factor|rstd|scale|keep)\b", r"* 1.01f * \1", 10),
]
TARGETS = ["core/libhct.so.1.0.0", "backends/cpu/hct_backend_cpu.so", "plugins/fastcpu/hct_kernel_fastcpu.so", "plugins/ct_views/hct_kernel_ct_views.so",
           "backends/cuda/hct_backend_cuda.so", "plugins/cudnn/hct_kernel_cudnn.so", "plugins/mpi/hct_comm_mpi.so", "tests/cuda/device/emulated_cuda.so",
           "tests/cuda/device/emulated_bare.so", "tests/cuda/device/ready", "tests/cuda/lone/hct_comm_mpi.so", "tests/cuda/test_faults", "tests/cuda/test_large",
           "tests/ops/test-ops", "apps/headct"]
METHODS = {
    "mae": "method: mae\nseed: 7\ndata: {crop: 192, image: 24}\nmodel: {patch: 12, width: 48, depth: 1, heads: 3, mlp: 64, "
           "decoder: {width: 48, depth: 1, heads: 3, mlp: 64}}\nviews: {flip: 0.5, shift_prob: 0.5}\n"
           "optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 2, accumulate: 2, epochs: 6, clip: 1, clip_mode: global}\n",
    "dino": "method: dino\nseed: 7\ndata: {windows: [{center: 40, width: 80}], crop: 160, image: 24}\nmodel: {patch: 12, width: 48, depth: 1, heads: 3, mlp: 64}\n"
            "views: {global: 2, local: 1, region: 120, shrink: 4, global_min: 88, global_max: 120, local_min: 48, local_max: 88, flip: 0.5}\n"
            "dino: {prototypes: 64, hidden: 32, bottleneck: 16, momentum: 0.9, freeze_last_layer: 0, student_temp: 0.2, teacher_temp_start: 0.1, teacher_temp: 0.1}\n"
            "optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 2, accumulate: 1, epochs: 3, clip: 3, clip_mode: tensor}\n",
}


def planted():
    text = open(os.path.join(HERE, "cuda.txt"), encoding="utf-8").read()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for block in "\n".join(lines).strip().split("\n\n"):
        name, tests, path, old, new = block.strip("\n").split("\n")
        if not (old.startswith("- ") and new.startswith("+")):
            sys.exit(f"cuda.txt: '{name}' is not NAME, TESTS, FILE, - old, + new")
        yield {"name": name, "tests": tests.split(), "path": path, "old": old[2:], "new": new[2:]}


def ops_of(root, path):
    """The ops that a kernel's file computes: the words of its planner in host/ that tests/ops has cases for."""
    name = os.path.basename(path).rsplit(".", 1)[0]
    planner = os.path.join(root, "backends/kernels/host", {"gemm": "products"}.get(name, name) + ".c")
    if not os.path.exists(planner):
        return []
    words = set(re.findall(r'"([a-z_0-9]+(?:\.[a-z_]+)?)"', open(planner, encoding="utf-8").read()))
    cases = "".join(open(f, encoding="utf-8").read() for f in sorted(glob.glob(os.path.join(root, "tests/ops/cases_*.c"))))
    return sorted(words & set(re.findall(r'\{\s*"([a-z_0-9.]+)",', cases)))


def tests_of(root, path, rule):
    """What is run on a mutant made by rule, the likeliest to catch it first."""
    if path.startswith("plugins/cudnn"):
        return ["ops-bf16:attention", "ops-bf16:attention.bwd", "ops-bf16:conv3d", "faults"]
    if path in ("backends/cuda/product.c", "backends/cuda/kernels.c"):
        return ["ops:matmul", "ops:linear", "ops:layer_norm", "ops", "faults"]
    if path.startswith("backends/kernels"):
        own = ops_of(root, path) or ["layer_norm", "softmax", "sum", "attention", "linear"]
        orders = ["@unfair", "@reverse", ""] if "barrier" in rule else [""]
        return [f"ops:{op}{order}" for order in orders for op in own] + ["ops", "ops@unfair", "ops@reverse", "gradients", "train:mae@eager", "train:dino@eager"]
    return ["fault:uploads@EMU_ORDER=lazy", "fault:pool@EMU_ORDER=lazy", "fault:ahead@EMU_ORDER=lazy", "fault:closing@EMU_ORDER=lazy", "train:mae@lazy", "train:dino@lazy", "train:mae@random", "ranks:mae@lazy", "ranks:dino@lazy",
            "faults"]


def made(root):
    draw = random.Random(SEED)
    for rule, files, pattern, new, share in RULES:
        found = []
        for path in files:
            text = open(os.path.join(root, path), encoding="utf-8").read()
            for nth, m in enumerate(re.finditer(pattern, text), 1):
                start, end = text.rfind("\n", 0, m.start()) + 1, text.find("\n", m.end())
                line = text[start:end]
                if line.lstrip().startswith(("*", "/*", "//")):
                    continue
                found.append({"name": f"{rule}: {os.path.basename(path)}: {' '.join(line.split())} [{m[0]}, number {nth} of the file]",
                              "tests": tests_of(root, path, rule), "path": path, "span": m.span(), "new": m.expand(new)})
        draw.shuffle(found)
        yield from sorted(found[:share], key=lambda f: (f["path"], f["span"]))


def survivors():
    """Names of mutants that no test can catch, or none does, and why."""
    out = {}
    for block in open(os.path.join(HERE, "cuda-survivors.txt"), encoding="utf-8").read().strip().split("\n\n"):
        lines = [l for l in block.splitlines() if not l.startswith("#")]
        if lines:
            out[lines[0]] = " ".join(lines[1:])
    return out


class Bench:
    def __init__(self, root):
        self.work = tempfile.mkdtemp(prefix="headct-cuda-mutants-")
        self.source, self.build = os.path.join(self.work, "source"), os.path.join(self.work, "build")
        shutil.copytree(root, self.source, ignore=lambda folder, names: [n for n in names if folder == root and (n in (".git", "runs") or n.startswith("build"))],
                        symlinks=True)
        setup = subprocess.run(["meson", "setup", "-Dwerror=false", "-Demulated_dtypes=F32,BF16", "-Dopencl=disabled", "-Donednn=disabled", self.build, self.source],
                               stdout=subprocess.PIPE, text=True)
        broken = setup.stdout[-1500:] if setup.returncode else self.compile()
        if broken:
            sys.exit("the unchanged copy does not build: " + broken)
        self.losses = {}
        headct = os.path.join(self.build, "apps/headct")
        for command in ([headct, "phantom", "--out", "ph", "--plain", "--patients", "12", "--scans-per-patient", "1", "--size", "tiny", "--seed", "3", "--quiet"],
                        [headct, "prepare", "--in", "ph", "--out", "data", "--labels", "ph/labels.csv", "--quiet"],
                        [headct, "split", "data", "--ratios", "8:2:2", "--seed", "1"]):
            subprocess.run(command, cwd=self.work, check=True, stdout=subprocess.DEVNULL)
        for method, text in METHODS.items():
            with open(os.path.join(self.work, method + ".yaml"), "w") as f:
                f.write(text + "train: {workers: 1, validate_every: 0, log_every: 1, checkpoint_every: 1000, device: cuda}\n")

    def compile(self):
        done = subprocess.run(["ninja", "-C", self.build] + TARGETS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return None if done.returncode == 0 else done.stdout[-1500:]

    def at(self, *parts):
        return os.path.join(self.build, *parts)

    def run(self, command, env, limit):
        full = dict(os.environ, HEADCT_CUDA_LIBRARY=self.at("tests/cuda/device/emulated_cuda.so"), HCT_PLUGIN_PATH=self.at("tests/cuda/device"), OMP_NUM_THREADS="1",
                    HEADCT_CACHE="off", HEADCT=self.at("apps/headct"), OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", **env)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.work, env=full, start_new_session=True)
        try:
            return process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return -1

    def train(self, method, order, ranks):
        """Status, and the losses."""
        shutil.rmtree(os.path.join(self.work, "run"), ignore_errors=True)
        command = [self.at("apps/headct"), "pretrain", "--recipe", method + ".yaml", "--data", "data", "--run", "run", "--quiet"]
        if ranks > 1:
            command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks)] + command + ["--set", "optim.accumulate=1", "--set", "optim.epochs=3"]
        status = self.run(command, {"EMU_ORDER": order}, 90)
        try:
            return status, open(os.path.join(self.work, "run/metrics.jsonl")).read().count("\n"), [l.split('"loss"')[1].split(",")[0] for l in open(os.path.join(
                self.work, "run/metrics.jsonl")) if '"loss"' in l]
        except OSError:
            return status, 0, []

    def fails(self, test):
        """Whether a test of cuda.txt's words fails."""
        what, _, how = test.partition("@")
        kind, _, name = what.partition(":")
        if kind in ("train", "ranks"):
            ranks = 2 if kind == "ranks" else 1
            if (method_key := (name, ranks)) not in self.losses: # the first time: of the unchanged source
                self.losses[method_key] = self.train(name, "eager", ranks)
            return self.train(name, how, ranks) != self.losses[method_key]
        if kind in ("ops", "ops-bf16"):
            command = [self.at("tests/ops/test-ops"), "--device", "cuda", "--no-grad", "--dtype", "BF16" if kind == "ops-bf16" else "F32"] + (["--op", name] if name else [])
            return self.run(command, {"EMU_THREADS": how or "forward"}, 30 if name else 180) != 0
        if kind == "gradients":
            return self.run([self.at("tests/ops/test-ops"), "--device", "cuda", "--grad"], {}, 60) != 0
        if kind == "large":
            return self.run([self.at("tests/cuda/test_large")], {"EMU_BLOCKS": "ends", "EMU_MEMORY": "100000000000"}, 60) != 0
        if kind == "fault":
            return self.run([self.at("tests/cuda/test_faults"), name], dict(x.split("=", 1) for x in how.split(",") if x), 60) != 0
        if kind == "faults":
            return self.run([os.path.join(self.source, "tests/cuda/faults.sh"), self.at("apps/headct"), self.at("tests/cuda/device/emulated_cuda.so"),
                             self.at("tests/cuda/device/emulated_bare.so"), self.at("tests/cuda/device"), self.at("tests/cuda/test_faults"), self.at("tests/cuda/lone")], {}, 180) != 0
        sys.exit(f"cuda.txt: there is no test '{test}'")

    def judge(self, mutant):
        """None where it was killed; else why not."""
        file = os.path.join(self.source, mutant["path"])
        text = open(file, encoding="utf-8").read()
        span = mutant.get("span")
        if not span:
            span, why = place(text, (mutant["name"], mutant["tests"], mutant["path"], mutant["old"], mutant["new"]))
            if why:
                return why
        try:
            open(file, "w", encoding="utf-8").write(text[:span[0]] + mutant["new"] + text[span[1]:])
            broken = self.compile()
            if broken:
                return "it does not compile: " + broken
            return None if any(self.fails(t) for t in mutant["tests"]) else "it survived: no test fails"
        finally:
            open(file, "w", encoding="utf-8").write(text)


def check_places(root):
    failures = 0
    for m in planted():
        why = place(open(os.path.join(root, m["path"]), encoding="utf-8").read(), (m["name"], m["tests"], m["path"], m["old"], m["new"]))[1]
        if why:
            print(f"mutant '{m['name']}': {why.replace('mutants.txt', 'cuda.txt')}")
            failures += 1
    names = {m["name"] for m in made(root)}
    for name in survivors():
        if name not in names:
            print(f"cuda-survivors.txt: '{name}' is no mutant any more")
            failures += 1
    return 1 if failures else 0


def main():
    root, words = os.path.abspath(sys.argv[1]), sys.argv[2:]
    if words == ["--places"]:
        return check_places(root)
    ends = None
    if words[:1] == ["--budget"] and len(words) == 2:
        ends, words = time.time() + float(words[1]), []
    everything = list(planted()) + list(made(root))
    if words == ["--list"]:
        print("\n".join(m["name"] for m in everything if "span" in m))
        return 0
    wanted = [m for m in everything if not words or any(w in m["name"] for w in words)]
    known, failures, killed, late = survivors(), 0, 0, 0
    bench = Bench(root)
    try:
        for test in sorted({t for m in wanted for t in m["tests"]}):
            if bench.fails(test):
                sys.exit(f"the unchanged copy fails '{test}': repair that first")
        for number, mutant in enumerate(wanted, 1):
            if ends and time.time() > ends and "span" in mutant:
                print(f"ok {number} - {mutant['name']} # SKIP the time is over", flush=True)
                late += 1
                continue
            why = bench.judge(mutant)
            if why and "span" in mutant and why.startswith("it does not compile"):
                print(f"ok {number} - {mutant['name']} # SKIP it does not compile, so it is no mutant", flush=True)
                late += 1
                continue
            killed += why is None
            expected = why == "it survived: no test fails" and mutant["name"] in known
            bad = why is not None and not expected
            failures += bad
            print(f"{'not ok' if bad else 'ok'} {number} - {'killed' if why is None else 'survives, as listed' if expected else 'NOT KILLED'}: {mutant['name']}", flush=True)
            if bad:
                print("# " + why.replace("\n", "\n# "), flush=True)
            if why is None and mutant["name"] in known:
                print("# it is listed as a survivor, and need not be", flush=True)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    print(f"# killed {killed} of {len(wanted)} mutants, {len(wanted) - killed - failures - late} survive for a reason that is listed, {late} were not reached, or do not compile\n1..{len(wanted)}")
    return 1 if failures or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
