"""Family vit_tiny through the command line: `headct embed --tensor` against tokens, cls and attention of every case.

usage: embed.py HEADCT GOLDEN_DEFAULT    (env HEADCT_GOLDEN). Prints TAP."""
import array
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile

count = compared = failed = 0


def ok(good, text):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {text}")


def tensors(path):
    """name -> (shape, floats) of the F32 tensors of a safetensors file."""
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, v in json.loads(data[8:8 + n]).items():
        if name != "__metadata__" and v["dtype"] == "F32":
            a, b = v["data_offsets"]
            out[name] = (v["shape"], array.array("f", data[8 + n + a:8 + n + b]))
    return out


def compare(case, what, got, want):
    """The golden README's limits for forward tensors: 2e-5 + 1e-4 |want| each, and rel_l2 of 1e-5."""
    global compared
    compared += 1
    if got is None or got[0] != want[0]:
        return ok(False, f"{case}: {what} has shape {got and got[0]}, wanted {want[0]}")
    gap = sum((x - y) ** 2 for x, y in zip(got[1], want[1]))
    size = sum(y * y for y in want[1])
    near = all(abs(x - y) <= 2e-5 + 1e-4 * abs(y) for x, y in zip(got[1], want[1]))
    ok(near and gap <= 1e-10 * size, f"{case}: {what}, rel_l2 {(gap / size) ** 0.5:.1e}")


def run(headct, case, base, suffix, work, want):
    config = json.load(open(base + ".json"))["config"]
    out = os.path.join(work, "out.safetensors")
    call = [headct, "embed", "--weights", base + "_weights.safetensors", "--heads", str(config["heads"]), "--tensor",
            base + suffix + ".safetensors", "--out", out]
    if suffix == "_io":  # the file holds more than the input: hand over the input alone
        call[-3] = only_input(base + suffix + ".safetensors", work)
    done = subprocess.run(call, capture_output=True, text=True)
    if done.returncode:
        return ok(False, f"{case}{suffix}: status {done.returncode}: {done.stderr.strip()}")
    got = tensors(out)
    names = {"out": "tokens", "cls": "cls"}
    for name in want:
        if name in names or name.startswith("attn."):
            compare(case + suffix, names.get(name, name), got.get(names.get(name, name)), want[name])


def only_input(path, work):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    v = json.loads(data[8:8 + n])["input"]
    a, b = v["data_offsets"]
    head = json.dumps({"input": {"dtype": v["dtype"], "shape": v["shape"], "data_offsets": [0, b - a]}}).encode()
    out = os.path.join(work, "input.safetensors")
    with open(out, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + data[8 + n + a:8 + n + b])
    return out


def main(headct, default):
    folder = os.path.abspath(os.environ.get("HEADCT_GOLDEN") or default)
    family = os.path.join(folder, "vit_tiny")
    print(f"# golden folder: {folder}")
    if not os.path.isdir(folder):
        print(f"ok 1 - golden folder # SKIP {folder} is absent; set HEADCT_GOLDEN\n1..1")
        return 0
    if not os.path.isdir(family):
        print("ok 1 - vit_tiny # SKIP this golden set has no such family\n1..1")
        return 0
    cases = sorted(glob.glob(os.path.join(family, "*.json")))
    if not cases:
        ok(False, f"{family} holds a case")
    with tempfile.TemporaryDirectory() as work:
        for path in cases:
            base = path[:-5]
            for suffix in ("_io", "_interp"):
                if os.path.exists(base + suffix + ".safetensors"):
                    run(headct, os.path.basename(base), base, suffix, work, tensors(base + suffix + ".safetensors"))
    print(f"# ran {compared} tensors in {len(cases)} cases of vit_tiny\n1..{count}")
    return failed > 0 or count == 0


sys.exit(main(sys.argv[1], sys.argv[2]))
