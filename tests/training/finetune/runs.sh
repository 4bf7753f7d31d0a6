#!/bin/sh
# headct finetune: killed and resumed it ends with the very bytes of an undisturbed run; predict and evaluate take the result. $1: headct.
. "$(dirname "$0")/../../support/tap.sh"
headct=$1
cat >"$work/ft.yaml" <<R
method: finetune
seed: 7
data: {crop: 192, image: 24, tasks: [SDH, ICH]}
model: {patch: 12, width: 24, depth: 2, heads: 2, mlp: 48}
finetune: {init: random, backbone_lr: 1e-3, drop_path: 0.2, layer_decay: 0.8}
views: {flip: 0.3, shift_prob: 0.5}
optim: {lr: 1e-2, scale_lr_by_batch: false, batch: 8, accumulate: 1, epochs: 8}
train: {checkpoint_every: 1, balanced: 16, workers: 1, disk_cache: true}
R
"$headct" phantom --out "$work/ph" --patients 24 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 3 --quiet >/dev/null
"$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" --quiet >/dev/null
"$headct" split "$work/data" --ratios 5:2:3 --seed 1 >/dev/null
start() { "$headct" finetune --recipe "$work/ft.yaml" --data "$work/data" --quiet "$@"; }

check "an undisturbed run" start --run "$work/whole"
same() { # RUN NAME
    for f in SDH/weights.safetensors SDH/metrics.jsonl ICH/weights.safetensors ICH/checkpoints/last.safetensors ICH/metrics.jsonl predictions.csv predictions.csv.json metrics.json; do
        cmp "$work/whole/$f" "$1/$f" >"$work/cmp" 2>&1
        ok $? "$2: $f is the same"
    done
}
for signal in KILL TERM; do
    run=$work/stopped-$signal
    for task in SDH ICH; do # once in each model
        if [ -e "$run/recipe.yaml" ]; then set -- --run "$run" --resume --quiet; else set -- --recipe "$work/ft.yaml" --data "$work/data" --quiet --run "$run"; fi
        "$headct" finetune "$@" >/dev/null 2>&1 &
        pid=$!
        while [ ! -e "$run/$task/checkpoints/best.safetensors" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
        kill -$signal $pid
        wait $pid
        status=$?
        [ -e "$run/$task/predictions.csv" ] && note "$task had ended already"
        [ $signal = KILL ] || [ $status -eq 75 ] || [ -e "$run/$task/predictions.csv" ]
        ok $? "SIG$signal during $task: status $status"
    done
    check "SIG$signal: resumes" "$headct" finetune --run "$run" --resume --quiet
    same "$run" "SIG$signal"
done
refuses 1 "there is a run already" "a run is not started over another" start --run "$work/whole"
refuses 1 "another recipe" "a changed recipe is not resumed" "$headct" finetune --run "$work/whole" --resume --set optim.lr=0.5 --quiet
check "one task alone" start --run "$work/alone" --task SDH
cmp "$work/whole/SDH/weights.safetensors" "$work/alone/weights.safetensors"
ok $? "is the run of all tasks' model"
refuses 1 "last good checkpoint" "a loss that is not finite stops with step and scans" start --run "$work/nan" --task SDH --set optim.name=sgd --set optim.lr=1000 --set optim.weight_decay=1000 --set optim.warmup_fraction=0
refuses 1 "finetune.weights is not set" "no weights" start --run "$work/none" --set finetune.init=weights
refuses 1 "method is not finetune" "a recipe of another method" start --run "$work/none" --set method=mae

# One encoder, a head a task; a low-rank and an attentive one.
check "all tasks in one model" start --run "$work/all" --tasks all --set optim.epochs=2
check "low-rank additions, from weights" start --run "$work/lora" --task SDH --set optim.epochs=2 --set finetune.init=weights --weights "$work/all/weights.safetensors" --set finetune.backbone=lora
check "an attentive head" start --run "$work/attentive" --task SDH --set optim.epochs=2 --set finetune.head=attentive --set finetune.heads=2
for run in all lora attentive; do
    check "predict, $run" "$headct" predict --run "$work/$run" --data "$work/data" --part test --out "$work/$run.csv" --quiet
    python3 - "$work/$run/predictions.csv" "$work/$run.csv" <<'P'
import csv, sys
a = {r["scan"]: r for r in csv.DictReader(open(sys.argv[1]))}
b = list(csv.DictReader(open(sys.argv[2])))
worst = max(abs(float(r["SDH"]) - float(a[r["scan"]]["SDH"])) for r in b)
print("# largest difference", worst)
sys.exit(not b or worst > 1e-5)
P
    ok $? "predict says what the run said, $run"
done
check "evaluate" "$headct" evaluate --run "$work/whole"
check "report" "$headct" report "$work/whole" "$work/whole/SDH" --out "$work/report.html"
done_testing
