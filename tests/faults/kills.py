#!/usr/bin/env python3
"""kills.py HEADCT FROM_0.1.TAR.XZ [KILLS [COMMAND...]]: kill -9 at random moments. A command is started, killed, started again as a user would go on with it,
killed again, up to four times, then let run to its end; KILLS (7) over all commands, the same for each. What it leaves must be what an undisturbed run leaves,
byte for byte (an index by what it says), and no file more. A kill counts where it ended the program. HEADCT_SEED repeats a sequence. Prints TAP."""
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from outcome import results

headct, archive = (os.path.abspath(p) for p in sys.argv[1:3])
kills = int(sys.argv[3]) if len(sys.argv) > 3 else 7
seed = int(os.environ.get("HEADCT_SEED", time.time()))
scratch = tempfile.mkdtemp(prefix="headct-kills-")
IN_A_ROW, TRIES = 4, 400
# again: how a user goes on, where there is something to go on from
COMMANDS = {
    "prepare": dict(run="prepare --in src --out out/d --labels labels.csv --key key -q"),
    "pretrain-mae": dict(run="pretrain --recipe part/mae/recipe.yaml --data data --run out/run --set optim.epochs=30 -q", again="pretrain --run out/run --resume -q"),
    "pretrain-dino": dict(run="pretrain --recipe part/dino/recipe.yaml --data data --run out/run -q", again="pretrain --run out/run --resume -q"),
    "finetune": dict(run="finetune --recipe finetune.yaml --data data --weights full/mae/weights.safetensors --run out/run -q", again="finetune --run out/run --resume -q"),
    "probe": dict(run="probe --recipe probe.yaml --data data --weights full/mae/weights.safetensors --run out/run -q", again="probe --run out/run --resume -q"),
    "sweep": dict(run="sweep --recipe probe.yaml --data data --set probe.weights=full/mae/weights.safetensors --run out/sweep --lr 1e-2,1e-3 --wd 0.01 --epochs 2,3 "
                  "--optimizer sgd --jobs 2 -q"),
    "embed": dict(run="embed --data data --weights full/mae/weights.safetensors --out out/e.safetensors -q"),
}
random.seed(seed)
count = failed = 0


def ok(good, name, *notes):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    for note in notes:
        print("#", note, flush=True)


def run(command, after=None):
    """A command; killed, with all that it has started, after so many seconds. Its status, and what it said."""
    env = dict(os.environ, OMP_NUM_THREADS="1", GOMP_SPINCOUNT="1", SOURCE_DATE_EPOCH="0", XDG_CONFIG_HOME=scratch)
    with open(scratch + "/said", "w+b") as said:
        p = subprocess.Popen([headct] + command.split(), cwd=scratch, env=env, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            p.wait(120 if after is None else after)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        said.seek(0)
        return p.returncode, said.read().decode(errors="replace").strip()[-300:].replace("\n", " | ")


def fresh():
    shutil.rmtree(scratch + "/out", ignore_errors=True)
    os.mkdir(scratch + "/out")


def go_on(spec):
    return spec["again"] if "again" in spec and os.path.exists(scratch + "/out/run/recipe.yaml") else spec["run"]


def attack(spec, want, seconds, n):
    """n kills; what went wrong, and how many runs it took."""
    done = tries = 0
    while done < n and tries < TRIES:
        fresh()
        for _ in range(min(IN_A_ROW, n - done)):
            status, said = run(go_on(spec), random.uniform(0, 1.1 * seconds))
            tries += 1
            if status == -signal.SIGKILL:
                done += 1
            elif status:
                return f"after {done} kills: status {status}: {said}", done
            else:
                break
        status, said = run(go_on(spec))
        if status:
            return f"after {done} kills: does not end: status {status}: {said}", done
        got = results(scratch + "/out")
        unlike = sorted(k for k in want.keys() | got.keys() if want.get(k) != got.get(k))
        if unlike:
            return f"after {done} kills: unlike the undisturbed run: {unlike}", done
    return (None if done == n else f"{done} kills in {tries} runs"), done


try:
    subprocess.run(["tar", "-xJf", archive, "-C", scratch], check=True)
    shutil.copytree(scratch + "/data/scans", scratch + "/src")
    with open(scratch + "/labels.csv", "w") as f:
        f.write("scan,patient,A,B\n" + "".join(f"s{i:02d},p{i},{i % 2},{i // 5}\n" for i in range(10)))
    with open(scratch + "/probe.yaml", "w") as f:
        f.write("method: probe\noptim: {lr: 1e-2, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 40}\n")
    label = sqlite3.connect(scratch + "/data/index.sqlite").execute("SELECT name FROM label_names ORDER BY id").fetchone()[0]
    with open(scratch + "/finetune.yaml", "w") as f:
        f.write(f"method: finetune\ndata: {{tasks: [{label}]}}\noptim: {{lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 12}}\n")
    print(f"# HEADCT_SEED={seed}")
    names = sys.argv[4:] or list(COMMANDS)
    total = 0
    for i, name in enumerate(names):
        spec = COMMANDS[name]
        fresh()
        start = time.time()
        status, said = run(spec["run"])
        seconds = time.time() - start
        want = results(scratch + "/out")
        if status:
            ok(False, f"{name}: undisturbed", said)
            continue
        n = (i + 1) * kills // len(names) - i * kills // len(names)
        why, done = attack(spec, want, seconds, n)
        total += done
        ok(not why, f"{name}: {done} kills at moments of {seconds:.1f} s, {len(want)} files as an undisturbed run's", *([why] if why else []))
    ok(total == kills or failed, f"{total} of {kills} kills ended the program")
finally:
    shutil.rmtree(scratch)
print(f"1..{count}")
sys.exit(failed > 0)
