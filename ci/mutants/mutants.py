#!/usr/bin/env python3
"""Plants each mistake of mutants.txt in a copy of the source, rebuilds what changed and runs tests/ops on the ops named.

    mutants.py SOURCE_ROOT [NAME ...]     only mutants whose name contains one of the words
    mutants.py SOURCE_ROOT --places       only whether each one's text stands once in its file: a second, for ci/lint

Prints TAP. A mutant is killed where test-ops fails, crashes or hangs; one that survives, no longer applies, or does not
compile is a failure. The unchanged copy must pass first. Mistakes in device kernels are looked for on an OpenCL device that
tests/opencl/cl_shim.c shows as a GPU, so that groups have many work-items and extra kernels run; without OpenCL they are skipped."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TARGETS = ["core/libhct.so.1.0.0", "backends/cpu/hct_backend_cpu.so", "plugins/ct_views/hct_kernel_ct_views.so", "tests/ops/test-ops"]
DEVICE_TARGETS = ["backends/opencl/hct_backend_opencl.so", "tests/opencl/cl_shim.so"]


def mutants():
    text = open(os.path.join(HERE, "mutants.txt"), encoding="utf-8").read()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for block in "\n".join(lines).strip().split("\n\n"):
        name, ops, path, old, new = block.strip("\n").split("\n")
        if not (old.startswith("- ") and new.startswith("+ ")):
            sys.exit(f"mutants.txt: '{name}' is not NAME, OPS, FILE, - old, + new")
        yield name, ops.split(), path, old[2:], new[2:]


def on_device(path):
    return path.startswith("backends/kernels/")


def build(folder, targets=TARGETS):
    done = subprocess.run(["ninja", "-C", folder] + targets, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return None if done.returncode == 0 else done.stdout[-1500:]


def run(folder, *args, device=False):
    """Exit status of test-ops: 0 passed, 1 a case failed, < 0 crashed or hung, 2 it could not run."""
    env = dict(os.environ, OMP_NUM_THREADS="1")
    if device:
        env.update(LD_PRELOAD=os.path.join(folder, DEVICE_TARGETS[1]), CL_SHIM_GPU="1", HEADCT_CACHE=os.path.join(folder, "cache"))
        args += ("--device", "opencl", "--no-grad")
    try:
        return subprocess.run([os.path.join(folder, "tests/ops/test-ops"), *args], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=180 if device else 60, env=env).returncode
    except subprocess.TimeoutExpired:
        return -1


def place(text, mutant):
    """Where its text stands, and None; or None, and why not."""
    path, old = mutant[2:4]
    # However the code is broken into lines: white space (and a macro's backslash) may stand anywhere.
    places = list(re.finditer(r"[\s\\]*".join(re.escape(c) for c in old if not c.isspace()), text))
    if len(places) != 1:
        return None, f"its text stands {len(places)} times in {path}, not once; bring mutants.txt up to date"
    return places[0].span(), None


def check_places(root):
    failures = 0
    for mutant in mutants():
        why = place(open(os.path.join(root, mutant[2]), encoding="utf-8").read(), mutant)[1]
        if why:
            print(f"mutant '{mutant[0]}': {why}")
            failures += 1
    return 1 if failures else 0


def judge(source, folder, mutant):
    """None where it was killed, else why not."""
    ops, path, new = mutant[1], mutant[2], mutant[4]
    file = os.path.join(source, path)
    text = open(file, encoding="utf-8").read()
    span, why = place(text, mutant)
    if why:
        return why
    start, end = span
    try:
        open(file, "w", encoding="utf-8").write(text[:start] + new + text[end:])
        broken = build(folder, DEVICE_TARGETS if on_device(path) else TARGETS)
        if broken:
            return "it does not compile: " + broken
        status = [run(folder, "--op", op, device=on_device(path)) for op in ops]
        if 2 in status:
            return f"test-ops knows no op of '{' '.join(ops)}'"
        return None if any(status) else "it survived: no case fails"
    finally:
        open(file, "w", encoding="utf-8").write(text)


def main():
    root, words = os.path.abspath(sys.argv[1]), sys.argv[2:]
    if words == ["--places"]:
        return check_places(root)
    work = tempfile.mkdtemp(prefix="headct-mutants-")
    source, folder = os.path.join(work, "source"), os.path.join(work, "build")
    failures = number = 0
    try:
        shutil.copytree(root, source, ignore=lambda at, names: [n for n in names if at == root and (n in (".git", "runs") or n.startswith("build"))], symlinks=True)
        setup = subprocess.run(["meson", "setup", "-Dwerror=false", folder, source], stdout=subprocess.PIPE, text=True)
        broken = setup.stdout[-1500:] if setup.returncode else build(folder)
        if broken:
            sys.exit("the unchanged copy does not build: " + broken)
        if run(folder) != 0:
            sys.exit("the unchanged copy fails tests/ops: repair that first")
        devices = not build(folder, DEVICE_TARGETS) and run(folder, "--op", "add", device=True) == 0
        for mutant in mutants():
            if words and not any(word in mutant[0] for word in words):
                continue
            number += 1
            if on_device(mutant[2]) and not devices:
                print(f"ok {number} - {mutant[0]} # SKIP no OpenCL device, or it fails tests/ops", flush=True)
                continue
            why = judge(source, folder, mutant)
            failures += why is not None
            print(f"{'ok' if why is None else 'not ok'} {number} - {'killed' if why is None else 'NOT KILLED'}: {mutant[0]}", flush=True)
            if why:
                print("# " + why.replace("\n", "\n# "), flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"# killed {number - failures} of {number} mutants\n1..{number}")
    return 1 if failures or not number else 0


if __name__ == "__main__":
    sys.exit(main())
