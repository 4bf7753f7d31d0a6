#!/bin/sh
# An encoder and a method that were added by one file and one row of a table each go every way that the built-in ones go.
# $1: the program with both rows.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
q="--quiet"
cat >"$work/pretrain.yaml" <<R
method: toy
data: {image: 32}
model: {kind: toy, patch: 8, width: 12}
optim: {epochs: 3, batch: 4, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2, warmup_epochs: 0}
train: {log_every: 1, workers: 1}
R
cat >"$work/probe.yaml" <<R
method: probe
data: {tasks: [SDH]}
optim: {epochs: 3, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}
R
cat >"$work/finetune.yaml" <<R
method: finetune
data: {tasks: [SDH, IPH]}
finetune: {tasks: all, layer_decay: 0.5}
optim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2, warmup_epochs: 0}
train: {balanced: 16, workers: 1}
R
"$headct" phantom --out "$work/ph" --plain --patients 24 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 3 $q >/dev/null
"$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" $q >/dev/null
check "a dataset" "$headct" split "$work/data" --ratios 5:2:3 --seed 1
data="--data $work/data $q"

check "the method pre-trains the encoder" "$headct" pretrain --recipe "$work/pretrain.yaml" $data --run "$work/pre"
w=$work/pre/weights.safetensors
python3 - "$work/pre/metrics.jsonl" <<'P'
import json, sys
loss = [l["loss"] for l in map(json.loads, open(sys.argv[1])) if l["phase"] == "validation"]
print("# validation loss", loss)
sys.exit(not (len(loss) == 3 and loss[-1] < loss[0]))
P
ok $? "and its validation loss falls"
check "a probe of it" "$headct" probe --recipe "$work/probe.yaml" $data --weights "$w" --run "$work/probe"
check "an attentive one" "$headct" probe --recipe "$work/probe.yaml" $data --weights "$w" --kind attentive --set probe.heads=2 --run "$work/attentive"
check "its fine-tuning" "$headct" finetune --recipe "$work/finetune.yaml" $data --weights "$w" --run "$work/tuned"
check "few-shot" "$headct" fewshot --recipe "$work/probe.yaml" $data --weights "$w" --methods knn,protonet,linear --k 2 --draws 1 --run "$work/few"
check "its embeddings" "$headct" embed --weights "$w" --data "$work/data" --out "$work/e.safetensors" $q
check "its predictions" "$headct" predict --run "$work/tuned" --data "$work/data" --out "$work/p.csv" $q
test "$(wc -l <"$work/p.csv")" -gt 2
ok $? "of every scan"
check "its export" "$headct" export --weights "$work/tuned/weights.safetensors" --out "$work/out.safetensors" --card "$work/card.md"
grep -q "encoder | toy: patch 8, width 12" "$work/card.md"
ok $? "and its card says what it is"
check "its plan" "$headct" plan "$work/pretrain.yaml"
refuses 1 "lora is not possible with a toy encoder" "low-rank additions, which it does not have, is refused" \
    "$headct" finetune --recipe "$work/finetune.yaml" $data --weights "$w" --set finetune.backbone=lora --run "$work/lora"
refuses 1 "no encoder 'tay'; did you mean toy" "an encoder of no kind is refused" \
    "$headct" pretrain --recipe "$work/pretrain.yaml" $data --set model.kind=tay --run "$work/none"
refuses 1 "'toi' is unknown; did you mean toy" "a method of no kind is refused" \
    "$headct" pretrain --recipe "$work/pretrain.yaml" $data --set method=toi --run "$work/none"
done_testing
