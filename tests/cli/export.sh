#!/bin/sh
# export of what runs leave: teacher and student of a DINO checkpoint, merged low-rank additions, both formats in again; the model card. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
q="--quiet"
cat >"$work/dino.yaml" <<R
method: dino
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24, fraction: 0.5}
model: {patch: 12, width: 24, depth: 2, heads: 2, mlp: 48}
views: {global: 2, local: 2, region: 160, shrink: 4, global_min: 112, global_max: 160, local_min: 64, local_max: 112}
dino: {prototypes: 64, hidden: 32, bottleneck: 16, teacher_temp: 0.07, momentum: 0.9}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 4}
train: {log_every: 1, validate_every: 2, workers: 1, disk_cache: true}
R
cat >"$work/lora.yaml" <<R
method: finetune
data: {tasks: [SDH, IPH]}
finetune: {tasks: all, backbone: lora, lora_rank: 2}
optim: {epochs: 3, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}
train: {balanced: 16, workers: 1, disk_cache: true}
R
"$headct" phantom --out "$work/ph" --plain --patients 24 --scans-per-patient 2 --prevalence 0.5 --size tiny --seed 3 $q >/dev/null
check "prepare" "$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" $q
check "split" "$headct" split "$work/data" --ratios 5:2:3 --seed 1
check "DINO" "$headct" pretrain --recipe "$work/dino.yaml" --data "$work/data" --run "$work/dino" $q
check "fine-tuning with low-rank additions" "$headct" finetune --recipe "$work/lora.yaml" --data "$work/data" --weights "$work/dino/weights.safetensors" --run "$work/lora" $q
last=$work/dino/checkpoints/last.safetensors

# DINO: the teacher by default, which is the run's result.
check "the teacher" "$headct" export --weights "$last" --out "$work/default.safetensors" --card "$work/dino.md"
for which in teacher ema student; do check "--which $which" "$headct" export --weights "$last" --which $which --out "$work/$which.safetensors"; done
check "to torch's format" "$headct" export --weights "$last" --which student --format pth --out "$work/student.pth"
check "which is imported again" "$headct" import "$work/student.pth" --heads 2 --windows 40:80 --crop 160 --out "$work/student_again.safetensors"
check "the teacher too" "$headct" export --weights "$last" --format pth --out "$work/teacher.pth"
check "and again" "$headct" import "$work/teacher.pth" --heads 2 --windows 40:80 --crop 160 --out "$work/teacher_again.safetensors"
python3 - "$work" <<'P'
import json, sys
w = sys.argv[1]
from weights_file import read, same
run, state = read(w + "/dino/weights.safetensors"), read(w + "/dino/checkpoints/last.safetensors")[1]
good = all(same(w + "/dino/weights.safetensors", f"{w}/{n}.safetensors") for n in ("default", "teacher", "ema", "teacher_again"))
student = read(w + "/student.safetensors")
good = good and same(w + "/student.safetensors", w + "/student_again.safetensors") and set(student[1]) == set(run[1])
good = good and all(student[1][k] == state[k] and run[1][k] == state["teacher." + k] for k in run[1]) and student[1] != run[1]
good = good and [read(f"{w}/{n}.safetensors")[0]["exported"] for n in ("default", "ema", "student")] == ["teacher", "teacher", "student"]
good = good and json.loads(student[0]["headct"]) == json.loads(run[0]["headct"])
sys.exit(not good)
P
ok $? "each is its tensors of the checkpoint under plain names, described as an encoder, and the teacher is the run's result"
check "to ONNX (what it computes: the long test onnx)" "$headct" export --weights "$work/dino/weights.safetensors" --format onnx --out "$work/dino.onnx"
python3 - "$work/dino.onnx" <<'P'
import sys
def fields(b):  # field number and value of a protocol buffer's message
    at = 0
    def varint():
        nonlocal at
        v = s = 0
        while True:
            c = b[at]; at += 1; v |= (c & 127) << s; s += 7
            if c < 128: return v
    while at < len(b):
        tag = varint()
        if tag & 7 == 0: yield tag >> 3, varint()
        elif tag & 7 == 5: at += 4; yield tag >> 3, b[at - 4:at]
        else: n = varint(); at += n; assert at <= len(b); yield tag >> 3, b[at - n:at]
model = list(fields(open(sys.argv[1], "rb").read()))
graph = list(fields(next(v for k, v in model if k == 7)))
ops = [next(x for f, x in fields(v) if f == 4).decode() for k, v in graph if k == 1]
print("#", ops)
sys.exit(dict(model)[1] != 8 or ops.count("LayerNormalization") % 2 != 1 or ops.count("Softmax") != ops.count("Erf") or not ops.count("Conv") == 1)
P
ok $? "is a whole graph of IR 8"
refuses 2 "safetensors, pth or onnx" "a format of no name" "$headct" export --weights "$work/dino/weights.safetensors" --format h5 --out "$work/x"
refuses 2 "belongs to --format onnx" "--input of weights" "$headct" export --weights "$work/dino/weights.safetensors" --input volume --out "$work/x"
check "embed takes the student" "$headct" embed --weights "$work/student.safetensors" --data "$work/data" --part val --out "$work/e.safetensors" $q
refuses 2 "student, teacher or ema" "--which of nothing" "$headct" export --weights "$last" --which both --out "$work/x.safetensors"
refuses 1 "holds one model" "the student of weights that have none" "$headct" export --weights "$work/dino/weights.safetensors" --which student --out "$work/x.safetensors"
test ! -e "$work/x.safetensors"
ok $? "and nothing was written"

# Low-rank additions: a checkpoint with them gives the weights that the run merged.
grep -q 'blocks.0.attn.qkv.lora_b' "$work/lora/checkpoints/best.safetensors"
ok $? "the checkpoint holds additions"
check "a checkpoint with additions" "$headct" export --weights "$work/lora/checkpoints/best.safetensors" --out "$work/merged.safetensors" --card "$work/lora.md"
same_tensors "$work/merged.safetensors" "$work/lora/weights.safetensors"
ok $? "is the run's result, merged"
same_tensors "$work/merged.safetensors" "$work/dino/weights.safetensors"
test $? -ne 0
ok $? "which is not what it started from"
check "as .pth" "$headct" export --weights "$work/lora/checkpoints/best.safetensors" --format pth --out "$work/merged.pth"
check "and in again" "$headct" import "$work/merged.pth" --heads 2 --windows 40:80 --crop 160 --out "$work/merged_again.safetensors"
same_tensors "$work/merged_again.safetensors" "$work/lora/weights.safetensors"
ok $? "with its heads"

# What Python's own readers make of both formats, where they are: HEADCT_PYTHON names a Python with torch and safetensors.
python=${HEADCT_PYTHON:-python3}
if "$python" -c "import numpy, safetensors, torch" 2>/dev/null; then
    check "torch.load and safetensors read them" "$python" - "$work" <<'P'
import json, sys
import torch
from safetensors import safe_open
from safetensors.torch import load_file
w = sys.argv[1]
for name, source in (("teacher", "teacher"), ("student", "student"), ("merged", "merged")):
    mine = torch.load(f"{w}/{name}.pth", weights_only=True)
    want = load_file(f"{w}/{source}.safetensors")
    state = mine["state_dict"]
    assert set(state) == set(want) and all(torch.equal(state[k], want[k]) and state[k].dtype == torch.float32 for k in want), name
    with safe_open(f"{w}/{source}.safetensors", "pt") as f: assert f.metadata()["headct"] == mine["headct"]
    assert state["blocks.0.attn.qkv.weight"].shape == (72, 24) and json.loads(mine["headct"])["model"]["width"] == 24
P
else
    skip "torch.load and safetensors read them" "$python has no torch or safetensors; set HEADCT_PYTHON"
fi

# A probe and a fine-tuning learn from a share of the patients too.
for kind in probe finetune; do
    check "$kind of a third" "$headct" $kind --recipe "$work/lora.yaml" --set method=$kind --set finetune.backbone=frozen --set data.fraction=0.34 --data "$work/data" \
        --weights "$work/dino/weights.safetensors" --run "$work/$kind-third" $q
    check "$kind of a third, its card" "$headct" export --weights "$work/$kind-third/weights.safetensors" --out "$work/$kind-third.safetensors" --card "$work/$kind-third.md"
done

# The card: what the dataset's index says of the scans that the weights were trained on.
cat >"$work/card.py" <<'P'
import json, sqlite3, sys
w = sys.argv[1]
d = sqlite3.connect(w + "/data/index.sqlite")
count = lambda what, part: d.execute(f"select count({what}) from scans s join splits p on p.patient = s.patient where p.split = ?", (part,)).fetchone()[0]
lines = [l.strip() for l in open(w + "/lora.md")]
good = all(f"| {p} | {count('*', p)} | {count('distinct s.patient', p)} |" in lines for p in ("train", "val", "test"))
for task in ("SDH", "IPH"):
    for part in ("train", "val", "test"):
        v = [r[0] for r in d.execute("select l.value from labels l join label_names n on n.id = l.label join scans s on s.n = l.scan join splits p on p.patient = s.patient "
                                     "where n.name = ? and p.split = ?", (task, part))]
        good = good and len(v) > 0 and f"| {task} | {part} | {len(v)} | {sum(v)} |" in lines
good = good and any(l.startswith("| validation AUC |") for l in lines) and any(l.startswith("| training loss |") for l in lines) and "## Metrics" in lines
dino = [l.strip() for l in open(w + "/dino.md")]
half = -(-count("distinct s.patient", "train") // 2)
train = [l for l in dino if l.startswith("| train |")]
good = good and len(train) == 1 and train[0].endswith(f"| {half} |") and int(train[0].split("|")[2]) == 2 * half
good = good and any("the teacher's encoder" in l for l in dino) and any("data.fraction" in l for l in dino) and "## Recipe" in dino
third = -(-count("distinct s.patient", "train") * 34 // 100)
for kind in ("probe", "finetune"):
    train = [l.strip() for l in open(f"{w}/{kind}-third.md") if l.startswith("| train |")]
    good = good and train == [f"| train | {2 * third} | {third} |"]
loss = [json.loads(l) for l in open(w + "/dino/metrics.jsonl")]
loss = [x for x in loss if x["phase"] == "train"]
good = good and any(l.startswith(f"| training loss | {loss[-1]['loss']:.5g} | {loss[-1]['step']} |") for l in dino)
sys.exit(not good)
P
python3 "$work/card.py" "$work"
ok $? "the cards count scans, patients and labels as the index does, of a fraction too"
"$headct" split "$work/data" --ratios 4:3:3 --seed 2 >/dev/null
check "a card after another split" "$headct" export --weights "$work/lora/weights.safetensors" --out "$work/x.safetensors" --card "$work/later.md"
grep -q "has changed since" "$work/later.md" && ! grep -q "^| train |" "$work/later.md" && grep -q "^| SDH | test |" "$work/later.md"
ok $? "takes its counts from the run's predictions, and says so"
done_testing
