#!/usr/bin/env python3
"""faults.py HEADCT FAIL_CALL.SO FROM_0.1.TAR.XZ [POINTS [COMMAND...]]: a command runs with one call that fails, another one each time: an allocation, a read (EIO), a
write (full disk), fsync, rename, open, close, mmap; POINTS (3) of each kind, evenly over all that the command makes, at most all. What is wrong: an end by a signal, or
none within a minute; status 0 with results unlike those of an undisturbed run, unless it was said that a part was left out; another status without a reason; a file
whose bytes are neither the older nor the new ones; and, run again undisturbed, a result unlike the undisturbed one, or a temporary file that stays. Prints TAP."""
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from outcome import results

headct, shim, archive = (os.path.abspath(p) for p in sys.argv[1:4])
points = int(sys.argv[4]) if len(sys.argv) > 4 else 3
scratch = tempfile.mkdtemp(prefix="headct-faults-")
KINDS = ["alloc", "read", "write", "fsync", "rename", "open", "close", "mmap"]
FINETUNE = "method: finetune\ndata: {tasks: [%s]}\noptim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 2}\n"
# before: what has made older results in the same place; again: the command by which a user goes on after a failure
COMMANDS = {
    "prepare": dict(run="prepare --in src --out OUT/d --labels labels.csv --key key -q", before="prepare --in src/s00.nii.gz --out OUT/d --key key -q"),
    "split": dict(run="split OUT/d --ratios 2:1:1 --seed 3", setup="cp -r data OUT/d"),
    "dataset": dict(run="dataset list OUT/d --out OUT/list.csv", setup="cp -r prepared OUT/d"),
    "qc": dict(run="qc OUT/d -q", setup="cp -r prepared OUT/d"),
    "embed": dict(run="embed --data data --weights full/mae/weights.safetensors --out OUT/e.safetensors -q"),
    "predict": dict(run="predict --weights full/finetune/weights.safetensors src --out OUT/p.csv -q"),
    "export": dict(run="export --weights full/finetune/weights.safetensors --out OUT/w.safetensors --card OUT/card.md",
                   before="export --weights full/mae/weights.safetensors --out OUT/w.safetensors --card OUT/card.md"),
    "import": dict(run="import OUT/in.pth --out OUT/w.safetensors --heads 2", setup="HEADCT export --weights full/mae/weights.safetensors --format pth --out OUT/in.pth"),
    "evaluate": dict(run="evaluate --run full/probe --split all --out OUT -q", before="evaluate --run full/probe --split all --out OUT --seed 9 -q"),
    "report": dict(run="report full/probe --out OUT/r.html", before="report full/finetune --out OUT/r.html"),
    "probe": dict(run="probe --recipe probe.yaml --data data --weights full/mae/weights.safetensors --run OUT/run -q", again="probe --run OUT/run --resume -q"),
    "finetune": dict(run="finetune --recipe finetune.yaml --data data --weights full/mae/weights.safetensors --run OUT/run -q",
                     again="finetune --run OUT/run --resume -q"),
    "pretrain": dict(run="pretrain --recipe part/mae/recipe.yaml --data data --run OUT/run --set optim.epochs=2 -q", again="pretrain --run OUT/run --resume -q"),
    "project": dict(run="project OUT/e.safetensors --perplexity 3 --out OUT/x -q", setup="cp full/mae/embeddings.safetensors OUT/e.safetensors"),
}
# Not each of a failure's own: logs that grow, and what a run that goes on writes anew.
GROWS = re.compile(r"metrics\.jsonl$|p\.csv$|e\.safetensors$|/checkpoints/|index\.sqlite$|/inputs/|reconstruction\.png$|loss\.svg$")
count = failed = 0


def ok(good, name, *notes):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    for note in notes:
        print("#", note, flush=True)


def headct_run(command, kind="", at=0, log=""):
    env = dict(os.environ, OMP_NUM_THREADS="1", GOMP_SPINCOUNT="1", SOURCE_DATE_EPOCH="0", XDG_CONFIG_HOME=scratch)
    if kind:
        env.update(LD_PRELOAD=shim, FAIL_CALL=kind, FAIL_AT=str(at), FAIL_LOG=log)
    try:
        done = subprocess.run([headct] + command.replace("OUT", "out").split(), cwd=scratch, env=env, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")


def fresh(spec):
    out = os.path.join(scratch, "out")
    shutil.rmtree(out, ignore_errors=True)
    os.mkdir(out)
    if "setup" in spec:
        subprocess.run(spec["setup"].replace("OUT", "out").replace("HEADCT", headct), shell=True, check=True, cwd=scratch, capture_output=True)
    if "before" in spec:
        status, said = headct_run(spec["before"])
        assert status == 0, said
    return out


def once(spec, want, kind, at):
    """What is wrong with one failure; and the status."""
    out = fresh(spec)
    old = results(out)
    status, said = headct_run(spec["run"], kind, at)
    if status is None:
        return "does not end", "hang"
    if kind == "alloc" and status == -6 and "std::bad_alloc" in said:
        status = "bad_alloc"  # of a C++ library, which leaves a C program no way to go on
    elif status < 0:
        return f"ended by signal {-status}: {said.strip()[-200:]}", "signal"
    got = results(out)
    excused = re.search(r"left out|not loaded|goes on|may lack its end", said)
    other = [k for k, v in want.items() if got.get(k) != v]
    if kind == "alloc":  # where fontconfig has no memory it takes another font, and tells nobody
        other = [k for k in other if not (k.endswith(".png") and k in got)]
    if status == 0 and not excused and other:
        return f"status 0, another result ({other}): {said.strip()[-200:]}", 0
    if status and not re.search(r"\w.*: ", said):
        return f"status {status} without a reason: {said.strip()[-200:]}", status
    halves = [k for k, v in got.items() if k in want and v not in (want[k], old.get(k)) and not GROWS.search(k)]
    if status not in (0, 3) and halves:
        return f"status {status}, neither old nor new: {halves}: {said.strip()[-200:]}", status
    lost = [k for k in old if k not in got]
    if lost:
        return f"status {status}, older files are gone: {lost}", status
    if status != 0 and at % 4 == 1:
        begun = "again" in spec and os.path.exists(os.path.join(out, "run/recipe.yaml"))
        second, told = headct_run(spec["again"] if begun else spec["run"])
        now = results(out)
        unlike = [k for k, v in want.items() if now.get(k) != v]
        if second != 0 or unlike:
            return f"status {status} ({said.strip()[-160:]}), and again: {second}, unlike {unlike}: {told.strip()[-200:]}", status
        left = [k for k in now if ".tmp." in k]
        if left:
            return f"temporary files stay: {left}", status
    return None, status


try:
    subprocess.run(["tar", "-xJf", archive, "-C", scratch], check=True)
    shutil.copytree(scratch + "/data/scans", scratch + "/src")
    with open(scratch + "/labels.csv", "w") as f:
        f.write("scan,patient,A,B\n" + "".join(f"s{i:02d},p{i},{i % 2},{i // 5}\n" for i in range(10)))
    status, said = headct_run("prepare --in src --out prepared --key key -q")
    assert status == 0, said
    with open(scratch + "/probe.yaml", "w") as f:
        f.write("method: probe\noptim: {lr: 1e-2, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 3}\n")
    label = sqlite3.connect(scratch + "/data/index.sqlite").execute("SELECT name FROM label_names ORDER BY id").fetchone()[0]
    with open(scratch + "/finetune.yaml", "w") as f:
        f.write(FINETUNE % label)
    for name in sys.argv[5:] or COMMANDS:
        spec = COMMANDS[name]
        out = fresh(spec)
        status, said = headct_run(spec["run"])
        want = results(out)
        if status:
            ok(False, f"{name}: undisturbed", said.strip())
            continue
        wrong, ended, tried, total = [], {}, 0, 0
        for kind in KINDS:
            log = os.path.join(scratch, "calls")
            fresh(spec)
            headct_run(spec["run"], kind, 0, log)
            calls = int(open(log).read())
            n = min(points, calls)
            total += calls
            for i in range(n):
                at = 1 + i * calls // n
                why, status = once(spec, want, kind, at)
                ended[status] = ended.get(status, 0) + 1
                tried += 1
                if why:
                    wrong.append(f"{kind} {at} of {calls}: {why}")
        ok(not wrong, f"{name}: {tried} of {total} calls fail, one at a time", f"by status: {ended}", *(w.replace("\n", " | ") for w in wrong))
finally:
    shutil.rmtree(scratch)
print(f"1..{count}")
sys.exit(failed > 0)
