#!/bin/sh
# ResNet50-3D's form at a small size: from scratch through headct finetune, killed and resumed to the very bytes of an undisturbed run, its running
# statistics included; predict takes the result. $1: headct.
. "$(dirname "$0")/../../support/tap.sh"
. "$(dirname "$0")/../../support/program.sh"
headct=$1
cat >"$work/r.yaml" <<R
method: finetune
seed: 7
data: {image: 32, tasks: [SDH, IPH]}
model: {kind: resnet3d, resnet: {blocks1: 1, blocks2: 2, blocks3: 1, blocks4: 1, width: 4}}
finetune: {init: random, backbone_lr: 0, tasks: all, layer_decay: 0.9}
views: {flip: 0.3, shift_prob: 0.5}
optim: {lr: 1e-2, scale_lr_by_batch: false, batch: 4, accumulate: 2, epochs: 3}
train: {checkpoint_every: 1, balanced: 16, workers: 1}
R
tiny_data 24 5:2:3 --prevalence 0.5
start() { "$headct" finetune --recipe "$work/r.yaml" --data "$work/data" --quiet "$@"; }

check "an undisturbed run" start --run "$work/whole"
"$headct" finetune --recipe "$work/r.yaml" --data "$work/data" --quiet --run "$work/stopped" >/dev/null 2>&1 &
pid=$!
while [ ! -e "$work/stopped/checkpoints/best.safetensors" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -KILL $pid
wait $pid
[ ! -e "$work/stopped/predictions.csv" ]
ok $? "one that is killed on its way"
check "resumes" "$headct" finetune --run "$work/stopped" --resume --quiet
for f in weights.safetensors metrics.jsonl predictions.csv metrics.json checkpoints/last.safetensors; do
    cmp "$work/whole/$f" "$work/stopped/$f" >"$work/cmp" 2>&1
    ok $? "$f is the same"
done
python3 - "$work/whole/weights.safetensors" <<'P'
import json, struct, sys
b = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", b[:8])[0]
head = json.loads(b[8:8 + n])
names = [k for k in head if k.endswith("bn2.running_var") and not k.startswith("head.")]
moved = 0
for k in names:
    a, e = head[k]["data_offsets"]
    v = struct.unpack(f"<{(e - a) // 4}f", b[8 + n + a:8 + n + e])
    moved += any(abs(x - 1) > 1e-3 for x in v)
print("# running variances that moved:", moved, "of", len(names))
sys.exit(not (len(names) == 5 and moved == 5))
P
ok $? "all running statistics are in the file, and have moved"
check "predict" "$headct" predict --run "$work/whole" --data "$work/data" --split test --out "$work/p.csv" --quiet
python3 - "$work/whole/predictions.csv" "$work/p.csv" <<'P'
import csv, sys
a = {r["scan"]: r for r in csv.DictReader(open(sys.argv[1]))}
b = list(csv.DictReader(open(sys.argv[2])))
worst = max(abs(float(r[t]) - float(a[r["scan"]][t])) for r in b for t in ("SDH", "IPH"))
print("# largest difference", worst)
sys.exit(not b or worst > 1e-5)
P
ok $? "says what the run said"
check "MedicalNet's form, from those weights' sizes" start --run "$work/dilated" --set optim.epochs=1 --set model.resnet.form=dilated
check "an attentive head over its places" start --run "$work/attentive" --set optim.epochs=1 --set finetune.head=attentive --set finetune.heads=4
check "frozen, from weights" start --run "$work/frozen" --set optim.epochs=1 --set finetune.init=weights --weights "$work/whole/weights.safetensors" --set finetune.backbone=frozen
python3 - "$work/whole/weights.safetensors" "$work/frozen/weights.safetensors" <<'P'
import json, struct, sys
def read(path):
    b = open(path, "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    h = json.loads(b[8:8 + n])
    return {k: b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]] for k, v in h.items() if k != "__metadata__" and not k.startswith("head.")}
sys.exit(read(sys.argv[1]) != read(sys.argv[2]))
P
ok $? "leaves every tensor of the encoder, running statistics too, as it was"
cat >"$work/probe.yaml" <<R
method: probe
data: {tasks: [SDH]}
optim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false}
R
check "a probe of it" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$work/whole/weights.safetensors" --run "$work/probe" --quiet
check "its embeddings" "$headct" embed --weights "$work/whole/weights.safetensors" --data "$work/data" --out "$work/e.safetensors" --quiet
refuses 1 "lora is not possible with a resnet3d encoder" "low-rank additions are refused" start --run "$work/no" --set finetune.backbone=lora
printf "method: dino\ndata: {image: 32}\nmodel: {kind: resnet3d}\n" >"$work/dino.yaml"
refuses 1 "DINO takes a vit" "DINO is refused" "$headct" pretrain --recipe "$work/dino.yaml" --data "$work/data" --run "$work/no" --quiet
done_testing
