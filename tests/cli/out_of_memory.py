#!/usr/bin/env python3
"""out_of_memory.py HEADCT FAIL_ALLOC.SO FROM_0.1.TAR.XZ [N]: one allocation of a command fails, another one each time, N (24) of each
command, evenly over all that it makes. Status 0 then means that the results are those of an undisturbed run, but where a plugin was left
out and that was said; any other status comes with a reason. Prints TAP."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

headct, shim, archive = (os.path.abspath(p) for p in sys.argv[1:4])
tries = int(sys.argv[4]) if len(sys.argv) > 4 else 24
scratch = tempfile.mkdtemp()
COMMANDS = {
    "embed": ("embed --data data --weights full/mae/weights.safetensors --out OUT/e.safetensors -q", ["e.safetensors"]),
    "predict": ("predict --data data --weights full/finetune/weights.safetensors --out OUT/p.csv -q", ["p.csv", "p.csv.json"]),
    "export": ("export --weights full/finetune/weights.safetensors --out OUT/w.safetensors --card OUT/card.md", ["w.safetensors", "card.md"]),
    "evaluate": ("evaluate --run full/probe --out OUT", ["metrics.json", "metrics.csv"]),
    "report": ("report full/probe --out OUT/r.html", ["r.html"]),
    "probe": ("probe --recipe probe.yaml --data data --weights full/mae/weights.safetensors --run OUT/run -q",
              ["run/recipe.yaml", "run/metrics.jsonl", "run/weights.safetensors", "run/predictions.csv", "run/metrics.json"]),
}
PROBE = "method: probe\noptim: {lr: 1e-2, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 3}\n"
# Libraries of others that end the program, by an exception or a crash: their results cannot be wrong with status 0.
count = failed = 0


def ok(good, name, *notes):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    for note in notes:
        print("#", note)


def run(command, results, at, log=""):
    out = os.path.join(scratch, "out")
    shutil.rmtree(out, ignore_errors=True)
    os.mkdir(out)
    env = dict(os.environ, LD_PRELOAD=shim, FAIL_ALLOC_AT=str(at), FAIL_ALLOC_LOG=log, OMP_NUM_THREADS="1", GOMP_SPINCOUNT="1")
    done = subprocess.run([headct] + command.replace("OUT", "out").split(), cwd=scratch, env=env, capture_output=True)
    hashes = []
    for name in results:
        path = os.path.join(out, name)
        hashes.append(hashlib.sha256(open(path, "rb").read()).hexdigest() if os.path.exists(path) else None)
    return done.returncode, done.stderr.decode(errors="replace"), hashes


try:
    subprocess.run(["tar", "-xJf", archive, "-C", scratch], check=True)
    with open(os.path.join(scratch, "probe.yaml"), "w") as f:
        f.write(PROBE)
    for name, (command, results) in COMMANDS.items():
        log = os.path.join(scratch, "calls")
        status, said, want = run(command, results, 0, log)
        if status or None in want:
            ok(False, name, said)
            continue
        calls, wrong, ended = int(open(log).read()), [], {}
        for i in range(tries):
            at = 1 + i * calls // tries
            status, said, got = run(command, results, at)
            ended[status] = ended.get(status, 0) + 1
            if status == 0 and got != want and "left out" not in said and "not loaded" not in said:
                wrong.append(f"allocation {at} of {calls}: status 0, another result: {said.strip()}")
            if status > 0 and not said.strip():
                wrong.append(f"allocation {at} of {calls}: status {status} without a word")
        ok(not wrong, f"{name}: {tries} of {calls} allocations fail, one at a time", f"by status: {ended}", *wrong)
finally:
    shutil.rmtree(scratch)
print(f"1..{count}")
sys.exit(failed > 0)
