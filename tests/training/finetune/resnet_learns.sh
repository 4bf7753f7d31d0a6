#!/bin/sh
# ResNet50-3D's form, small, learns phantoms' easiest label from scratch: blood in the ventricles, AUC above 0.8 on patients that it has not seen. $1: headct.
. "$(dirname "$0")/../../support/tap.sh"
. "$(dirname "$0")/../../support/program.sh"
headct=$1
cat >"$work/r.yaml" <<R
method: finetune
seed: 1
data: {image: 48, tasks: [IVH]}
model: {kind: resnet3d, resnet: {blocks1: 1, blocks2: 1, blocks3: 1, blocks4: 1, width: 16}}
finetune: {init: random, backbone_lr: 0}
views: {flip: 0.3}
optim: {lr: 2e-3, scale_lr_by_batch: false, batch: 8, accumulate: 1, epochs: 20}
train: {workers: 2}
R
"$headct" phantom --out "$work/ph" --patients 240 --scans-per-patient 1 --size tiny --plain --seed 5 --quiet --prevalence 0.4 >/dev/null
"$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" --quiet >/dev/null 2>&1
"$headct" split "$work/data" --ratios 7:1:2 --seed 2 >/dev/null
check "trains" "$headct" finetune --recipe "$work/r.yaml" --data "$work/data" --run "$work/run" --quiet
python3 - "$work/run/metrics.json" <<'P'
import json, sys
auc = json.load(open(sys.argv[1]))["tasks"][0]["roc_auc"]["value"]
print("# AUC on the test split:", auc)
sys.exit(not auc > 0.8)
P
ok $? "AUC above 0.8 on the test split"
done_testing
