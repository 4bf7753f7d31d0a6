"""Whether what is computed is right: probe, conformance, golden, smoke, ranks, sanitizer."""
import concurrent.futures
import json
import os
import re
import shutil

from gpu_check.report import Red, Skipped
from gpu_check.speed import phantoms, recipe

# ---- probe ----

# Each primitive in a process of its own, so that one that crashes or hangs leaves the others: a name, the test program's word or test-ops' arguments, and the
# checks that must pass at least (a library that refuses them leaves its kernel without any, and nothing fails).
PRIMITIVES = [("copies up and down", ["uploads"], 1), ("a kernel of ours", ["--op", "add", "--dtype", "F32"], 1), ("sums through warps", ["--op", "layer_norm", "--dtype", "F32"], 1),
              ("a product in f32", ["--op", "linear", "--dtype", "F32", "--kernel", "cublaslt:*"], 5), ("a product in bf16", ["--op", "linear", "--dtype", "BF16", "--kernel", "cublaslt:*"], 5),
              ("a product of bf16 into f32", ["wide"], 1), ("a bias at any place", ["bias"], 1), ("long sums in f32", ["split"], 1),
              ("attention by cuDNN", ["--op", "attention", "--dtype", "BF16", "--kernel", "cudnn:*"], 1),
              ("its backward", ["--op", "attention.bwd", "--dtype", "BF16", "--kernel", "cudnn:*"], 1), ("attention through a tape", ["attention"], 1),
              ("3D convolution by cuDNN", ["--op", "conv3d", "--kernel", "cudnn:*"], 10), ("captured steps", ["steps"], 1), ("memory between streams", ["pool"], 1),
              ("other threads", ["threads"], 1), ("opening again", ["reopened"], 1)]


def program(r, words):
    if len(words) == 1:
        return [os.path.join(r.build, "tests/cuda/test_faults"), *words]
    return [os.path.join(r.build, "tests/ops/test-ops"), "--device", r.device, "--no-grad", *words]


def probe(r):
    figures, bad = {}, []
    for name, words, least in PRIMITIVES:
        if r.time() < 1:
            r.cut(name)
            continue
        done = r.run("probe", name, program(r, words), limit=10 if not r.args.dry else 30)
        passed, failed = len(re.findall(r"^ok", done.text, re.M)), len(re.findall(r"^not ok", done.text, re.M))
        figures[name] = {"passed": passed, "failed": failed, "status": done.status, "seconds": round(done.seconds, 2)}
        if not done.ok or failed or passed < least:
            said = re.findall(r"^(?:not ok \d+ - |# )(.*)", done.text, re.M)
            bad.append(f"{name} ({(said[0] if said else done.last())[:160]})")
    if bad:
        raise Red(f"{len(bad)} of {len(figures)} primitives fail: " + "; ".join(bad) + ".", figures)
    return f"All {len(figures)} primitives work.", figures


# ---- conformance ----

def conformance(r):
    test = os.path.join(r.build, "tests/ops/test-ops")
    listed = r.run("conformance", "list", [test, "--device", r.device, "--list"], limit=60).text
    ops = [o for o, view in re.findall(r"^(\S+)( \(view\))?(?: \(gradient\))?$", listed, re.M) if not view]
    if r.args.dry:
        for o in ops:
            if o not in ("add", "linear", "layer_norm", "attention"):
                r.cut(o)
        r.cuts = [f"{len(r.cuts)} ops, which cuda_ops_f32 and cuda_ops_bf16 of the test suite run"]
        ops = ["add", "linear", "layer_norm", "attention"]
    dtype = ["--dtype", "F32"] if r.args.dry else []  # kernels in 16 bits may be left out of the emulated device

    def one(op):
        if r.time() < 2:
            return op, None, None
        return op, r.run("conformance", op, [test, "--device", r.device, "--op", op, "--no-grad", *dtype], limit=120), r.run(
            "conformance", op + "-gradient", [test, "--device", r.device, "--op", op, "--grad"], limit=60)

    figures, bad, passed = {}, [], 0
    with concurrent.futures.ThreadPoolExecutor(2 if r.args.dry else 4) as pool:
        for op, kernels, tapes in pool.map(one, ops):
            if kernels is None:
                r.cut(op)
                continue
            text = kernels.text + tapes.text
            good, failed = len(re.findall(r"^ok", text, re.M)), re.findall(r"^not ok \d+ - (.*)", text, re.M)
            passed += good
            figures[op] = {"passed": good, "failed": failed[:20], "status": [kernels.status, tapes.status]}
            # no device has a gradient through the tape where an op has none: test-ops then says so by its status
            if failed or not good or kernels.status not in (0,) or tapes.status not in (0, 1, 2):
                bad.append(f"{op}: {failed[0] if failed else kernels.last()}")
    if bad:
        raise Red(f"{passed} checks pass; {len(bad)} ops do not: " + "; ".join(bad[:12]) + ".", figures)
    return f"{passed} checks of {len(figures)} ops pass, none fails.", figures


# ---- golden ----

def golden(r):
    folder = os.environ.get("HEADCT_GOLDEN", os.path.join(os.path.dirname(r.build), "../shared/golden"))
    if not os.path.isdir(folder):
        raise Skipped("the golden numbers are not on this machine (HEADCT_GOLDEN).")
    figures, bad = {}, []
    for name in ["vit"] if r.args.dry else ["vit", "mae", "dino"]:
        path = os.path.join(r.build, "tests/golden/golden_" + name)
        if r.time() < 2 or not os.path.exists(path):
            r.cut(f"golden {name}")
            continue
        done = r.run("golden", name, [path], env={"HEADCT_DEVICE": r.device, "HEADCT_GOLDEN_FULL": "0", "HEADCT_GOLDEN": os.path.abspath(folder)})
        passed, failed = len(re.findall(r"^ok", done.text, re.M)), re.findall(r"^not ok \d+ - (.*)", done.text, re.M)
        figures[name] = {"passed": passed, "failed": failed[:20]}
        if failed or not passed or not done.ok:
            bad.append(f"{name}: {failed[0] if failed else done.last()}")
    if bad:
        raise Red("Golden numbers do not come out: " + "; ".join(bad) + ".", figures)
    return f"{sum(f['passed'] for f in figures.values())} golden numbers come out on the device.", figures


# ---- smoke ----

SMOKE = {"mae": "method: mae\ndata: {crop: 192, image: 24}\nmodel: {patch: 12, width: 192, depth: 2, heads: 3, mlp: 384, decoder: {width: 192, depth: 1, heads: 3, mlp: 384}}\n"
                "optim: {lr: 1e-3, batch: 4, accumulate: 1, epochs: 2}\n",
         "dino": "method: dino\ndata: {windows: [{center: 40, width: 80}], crop: 160, image: 24}\nmodel: {patch: 12, width: 192, depth: 2, heads: 3, mlp: 384}\n"
                 "views: {global: 2, local: 2, region: 160, shrink: 4, global_min: 112, global_max: 160, local_min: 64, local_max: 112}\n"
                 "dino: {prototypes: 64, hidden: 32, bottleneck: 16, student_temp: 0.2, teacher_temp_start: 0.1, teacher_temp: 0.1}\n"
                 "optim: {lr: 1e-3, batch: 4, accumulate: 1, epochs: 2, clip: 3, clip_mode: tensor}\n"}
PORTABLE = "linear=cu:linear,matmul=cu:matmul,linear_gelu=cu:linear_gelu,attention=cu:attention,attention.bwd=cu:attention.bwd"


def losses_of(r, area, method, name, data, device, precision, env=None, ranks=1, more=()):
    out = os.path.join(r.work, f"{area}-{method}-{name}")
    command = [os.path.join(r.build, "apps/headct"), "pretrain", "--recipe", small(r, method), "--data", data, "--run", out, "--quiet", "--set", f"train.device={device}",
               "--set", f"train.precision={precision}", *more]
    if ranks > 1:
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks)] + command
        env = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", **(env or {})}
    done = r.run(area, f"{method}-{name}", command, env=env)
    path = out + "/metrics.jsonl"
    losses = [json.loads(l)["loss"] for l in open(path)] if done.ok and os.path.exists(path) else []
    if not losses:
        raise Red(f"{method} {name} ends early: {done.last()}.")
    return losses


def small(r, method):
    if r.args.dry:
        return recipe(r, method)
    path = os.path.join(r.work, f"smoke-{method}.yaml")
    with open(path, "w") as f:
        f.write(SMOKE[method] + "seed: 7\ntrain: {workers: 1, validate_every: 0, log_every: 1}\n")
    return path


def gap(a, b):
    return max(abs(x - y) / abs(x) for x, y in zip(a, b, strict=True))


def smoke(r):
    data, figures, bad = phantoms(r, "smoke", 8 if r.args.dry else 12, "tiny"), {}, []
    for method in ("mae", "dino"):
        if r.time() < 10:
            r.cut(f"smoke {method}")
            continue
        cpu, f32 = (losses_of(r, "smoke", method, d, data, d, "f32") for d in ("cpu", r.device))
        lines = {"f32": gap(cpu, f32)}
        if not lines["f32"] <= 1e-4:
            bad.append(f"{method} in f32 is {lines['f32']:.1e} from the CPU's losses")
        for name, env, limit in [("HCT_GRAPH=0", {"HCT_GRAPH": "0"}, 0), ("HCT_AHEAD=0", {"HCT_AHEAD": "0"}, 0), ("portable kernels", {"HCT_KERNEL": PORTABLE}, 1e-4)]:
            if r.time() < 5 or r.args.dry and method == "dino":  # dry: tests/cuda/training.sh has them
                r.cut(f"{method} with {name}")
                continue
            lines[name] = gap(f32, losses_of(r, "smoke", method, name, data, r.device, "f32", env))
            if not lines[name] <= limit:
                bad.append(f"{method} with {name} differs by {lines[name]:.1e}")
        if r.time() >= 5:
            lines["bf16"] = gap(cpu, losses_of(r, "smoke", method, "bf16", data, r.device, "bf16"))
            if not lines["bf16"] <= 0.02:
                bad.append(f"{method} in bf16 is {100 * lines['bf16']:.1f}% from the CPU's f32")
        else:
            r.cut(f"{method} in bf16")
        figures[method] = lines
    if bad:
        raise Red("; ".join(bad) + ".", figures)
    return "Small runs agree: f32 with the CPU within 1e-4, without graphs and without batches ahead bit for bit, by portable kernels within 1e-4, bf16 within 2%.", figures


# ---- ranks ----

def ranks(r):
    if not shutil.which("mpirun") or not os.path.exists(os.path.join(r.build, "plugins/mpi/hct_comm_mpi.so")):
        raise Skipped("there is no MPI here, so two ranks were not tried.")
    if r.cards < 2 and not r.args.dry:
        raise Skipped("there is one card, so two ranks were not tried.")
    data = phantoms(r, "ranks", 8 if r.args.dry else 12, "tiny")
    sgd = ("--set", "optim.name=sgd", "--set", "optim.lr=0.01")
    one = losses_of(r, "ranks", "mae", "one", data, r.device, "f32", more=("--set", "optim.batch=4", *sgd))
    two = losses_of(r, "ranks", "mae", "two", data, r.device, "f32", ranks=2, more=("--set", "optim.batch=2", *sgd))
    difference = gap(one, two)
    if not difference <= 1e-4:
        raise Red(f"Two ranks differ from one with twice the batch by {difference:.1e}.", {"difference": difference})
    return f"Two ranks agree with one of twice the batch within {difference:.1e}.", {"difference": difference}


# ---- sanitizer ----

SANITIZER = [("memcheck", ["linear", "attention", "layer_norm", "conv3d", "ct_views", "gather", "adam", "dino_loss"]),
             ("racecheck", ["layer_norm", "softmax", "sum", "matmul", "attention", "attention.bwd"]),
             ("initcheck", ["add", "unfold3d", "concat", "cross_entropy", "batch_norm3d"])]


def sanitizer(r):
    tool = shutil.which("compute-sanitizer")
    if not tool and not r.args.dry:
        raise Skipped("compute-sanitizer is not in PATH.")
    figures, bad = {}, []
    for kind, ops in SANITIZER:
        for op in ops[:2] if r.args.dry else ops:
            if r.time() < 3:
                r.cut(f"{kind} {op}")
                continue
            around = [] if r.args.dry else [tool, "--tool", kind, "--error-exitcode", "9"]
            done = r.run("sanitizer", f"{kind}-{op}", [*around, os.path.join(r.build, "tests/ops/test-ops"), "--device", r.device, "--op", op, "--dtype", "F32", "--no-grad"],
                         limit=90, env={"EMU_THREADS": "unfair"} if r.args.dry else None)
            figures[f"{kind} {op}"] = {"status": done.status, "seconds": round(done.seconds, 1)}
            if not done.ok:
                errors = re.search(r"ERROR SUMMARY: (.*)", done.text)
                bad.append(f"{kind} {op} ({errors.group(1) if errors else done.last()})")
    if bad:
        raise Red("; ".join(bad) + ".", figures)
    if r.args.dry:
        return f"Dry: {len(figures)} subsets with the emulated device's own checks (guard pages, unfair warps).", figures
    return f"compute-sanitizer finds nothing in {len(figures)} subsets.", figures
