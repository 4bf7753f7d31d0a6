#!/bin/sh
# Nothing of the test split reaches a model: every label of it is turned round, and weights, chosen epochs and a sweep's choice stay as they were. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
q="--quiet"
cat >"$work/probe.yaml" <<R
method: probe
data: {image: 24, tasks: [SDH]}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}
optim: {epochs: 6, batch: 4, accumulate: 1, scale_lr_by_batch: false, lr: 3e-2}
probe: {features: random}
finetune: {init: random, backbone_lr: 3e-3}
train: {balanced: 12, early_stop: 2, workers: 1, disk_cache: true}
R
"$headct" phantom --out "$work/ph" --plain --patients 24 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 3 $q >/dev/null
check "prepare" "$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" $q
check "split" "$headct" split "$work/data" --ratios 5:2:3 --seed 1
runs() { # all of them below $work/run: recipes name the same paths both times
    for kind in linear attentive; do
        "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --kind $kind --set probe.heads=2 --run "$work/run/$kind" $q || return 1
    done
    "$headct" finetune --recipe "$work/probe.yaml" --set method=finetune --data "$work/data" --run "$work/run/finetune" $q || return 1
    for method in probe finetune; do
        "$headct" sweep --recipe "$work/probe.yaml" --set method=$method --data "$work/data" --lr 3e-2,1e-3 --wd 0.01 --epochs 3,6 --optimizer sgd --run "$work/run/sweep-$method" $q || return 1
    done
    "$headct" fewshot --recipe "$work/probe.yaml" --data "$work/data" --k 2 --draws 2 --methods linear,finetune --run "$work/run/fewshot" $q || return 1
}
check "the runs" runs
mv "$work/run" "$work/first"
check "test labels turned round" python3 - "$work/data/index.sqlite" <<'P'
import sqlite3, sys
d = sqlite3.connect(sys.argv[1])
n = d.execute("update labels set value = 1 - value where scan in (select s.n from scans s join splits p on p.patient = s.patient where p.split = 'test')").rowcount
d.commit()
print(n, "labels")
sys.exit(n < 10)
P
check "the runs again" runs
mv "$work/run" "$work/second"
for f in linear/weights.safetensors linear/metrics.jsonl attentive/weights.safetensors attentive/metrics.jsonl finetune/weights.safetensors finetune/metrics.jsonl \
    finetune/checkpoints/best.safetensors sweep-probe/sweep.csv sweep-probe/best.yaml sweep-finetune/sweep.csv sweep-finetune/best.yaml fewshot/metrics.jsonl \
    fewshot/finetune/SDH/2-1/metrics.jsonl fewshot/finetune/SDH/all-1/metrics.jsonl; do
    test -s "$work/first/$f" && cmp -s "$work/first/$f" "$work/second/$f"
    ok $? "$f is the same"
done
# The labels did change: what is measured on the test split turns round with them, of the very same scores.
python3 - "$work" <<'P'
import csv, json, sys
good = True
for run in ("linear", "attentive", "finetune"):
    a, b = (json.load(open(f"{sys.argv[1]}/{n}/{run}/metrics.json"))["tasks"][0]["roc_auc"]["value"] for n in ("first", "second"))
    print("#", run, a, b)
    good = good and abs(a + b - 1) < 1e-12
    s, t = (list(csv.DictReader(open(f"{sys.argv[1]}/{n}/{run}/predictions.csv"))) for n in ("first", "second"))
    good = good and all(x["SDH"] == y["SDH"] and (x["y_SDH"] == y["y_SDH"]) == (x["split"] != "test") for x, y in zip(s, t))
for x, y in zip(*(csv.DictReader(open(f"{sys.argv[1]}/{n}/fewshot/fewshot_draws.csv")) for n in ("first", "second"))):
    good = good and abs(float(x["auc"]) + float(y["auc"]) - 1) < 1e-12
sys.exit(not good)
P
ok $? "scores are the same, and AUCs of the turned labels are 1 minus the AUCs"
done_testing
