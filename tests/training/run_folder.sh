#!/bin/sh
# What a run's folder says and who may write it: a probe's recipe is what ran; no run is written over by another kind, or by two at once. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
cat >"$work/mae.yaml" <<R
method: mae
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 2}
R
printf 'method: probe\noptim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\ndata: {tasks: [IPH]}\n' >"$work/probe.yaml"
printf 'method: finetune\noptim: {epochs: 1, batch: 4, accumulate: 1, scale_lr_by_batch: false, lr: 1e-3}\ndata: {tasks: [IPH]}\n' >"$work/tune.yaml"
tiny_data 16 8:4:4 --prevalence 0.5
pretrain() { "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --quiet "$@"; }
probe() { "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --quiet "$@"; }
check "pre-training" pretrain --run "$work/mae"
w=$work/mae/weights.safetensors

# says FILE LINE...: the recipe has these lines, and its hash is that of the weights beside it.
says() {
    file=$1/recipe.yaml weights=$2
    shift 2
    for line in "$@"; do grep -qF -- "$line" "$file" || { note "$file: no '$line'"; return 1; }; done
    python3 - "$file" "$weights" <<'P'
import hashlib, json, sys
from weights_file import read
recipe = hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest()
sys.exit(json.loads(read(sys.argv[2])[0]["headct"])["recipe_sha256"] != recipe)
P
}
for features in encoder random; do
    check "a probe of $features features" probe --weights "$w" --set probe.features=$features --run "$work/$features"
    says "$work/$features" "$work/$features/weights.safetensors" 'windows: [{center: 40, width: 80}]' 'crop: 160' 'image: 24' 'patch: 12' 'width: 24' 'depth: 1' 'mlp: 48' 'heads: 2'
    ok $? "$features: its recipe is that of the weights, and hashed as such"
done
check "a fine-tuning" "$headct" finetune --recipe "$work/tune.yaml" --data "$work/data" --weights "$w" --run "$work/tune" --quiet
says "$work/tune" "$work/tune/weights.safetensors" 'windows: [{center: 40, width: 80}]' 'image: 24' 'width: 24'
ok $? "fine-tuning: its recipe is that of the weights, and hashed as such"
check "a few-shot run" "$headct" fewshot --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --k 2 --draws 1 --run "$work/few" --quiet
grep -q 'image: 24' "$work/few/recipe.yaml"
ok $? "few-shot: its recipe is that of the weights"
check "a recipe that says the same" probe --weights "$w" --set data.windows=40:80 --set data.image=24 --run "$work/same"
refuses 1 "data.windows: the recipe says 80:200" "a window that the encoder does not take" probe --weights "$w" --set data.windows=80:200 --run "$work/other"
refuses 1 "model.width: the recipe says 48" "another width" probe --weights "$w" --set model.width=48 --run "$work/other"
refuses 1 "model.depth: the recipe says 12" "a default, said aloud" "$headct" finetune --recipe "$work/tune.yaml" --data "$work/data" --weights "$w" --set model.depth=12 --run "$work/other" --quiet
[ ! -e "$work/other" ]
ok $? "and nothing was begun"

# ---- one folder, one kind of run ----
before=$(cat "$work/mae/recipe.yaml" "$work/mae/metrics.jsonl" "$w" | cksum)
refuses 1 "another method" "a probe in the folder of a pre-training" probe --weights "$w" --run "$work/mae"
refuses 1 "another method" "a fine-tuning in the folder of a probe" "$headct" finetune --recipe "$work/tune.yaml" --data "$work/data" --weights "$w" --run "$work/encoder" --quiet
refuses 1 "another method" "a pre-training in the folder of a probe" pretrain --run "$work/encoder"
[ "$before" = "$(cat "$work/mae/recipe.yaml" "$work/mae/metrics.jsonl" "$w" | cksum)" ]
ok $? "the pre-training is as it was"
before=$(cd "$work/encoder" && cat recipe.yaml predictions.csv metrics.json weights.safetensors metrics.jsonl | cksum)
refuses 1 "there is a run already; continue it with --resume" "a probe over an older probe" probe --weights "$w" --run "$work/encoder"
refuses 1 "there is a run already" "nor one of another recipe" probe --weights "$w" --set optim.epochs=1 --run "$work/encoder"
[ "$before" = "$(cd "$work/encoder" && cat recipe.yaml predictions.csv metrics.json weights.safetensors metrics.jsonl | cksum)" ]
ok $? "the older probe is as it was"
check "a probe that has ended may be resumed" "$headct" probe --run "$work/encoder" --resume --quiet
[ "$before" = "$(cd "$work/encoder" && cat recipe.yaml predictions.csv metrics.json weights.safetensors metrics.jsonl | cksum)" ]
ok $? "and stays as it is"

# ---- one folder, one process ----
"$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --quiet --set optim.epochs=100000 --run "$work/long" 2>/dev/null &
pid=$!
until [ -e "$work/long/checkpoints/last.safetensors" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
refuses 1 "another headct is running in it" "a second process does not resume a run that is on" "$headct" pretrain --run "$work/long" --resume --quiet
kill -TERM $pid
wait $pid
[ $? -eq 75 ]
ok $? "the first one was not disturbed"

# ---- a probe is stopped and killed at any epoch, and resumed to the same bits ----
two="--recipe $work/probe.yaml --data $work/data --quiet --weights $w --set data.tasks=IPH,SDH --set optim.epochs=4000"
check "a probe of two tasks" "$headct" probe $two --run "$work/whole"
"$headct" probe $two --run "$work/cut" >/dev/null 2>"$work/err" &
pid=$!
until grep -q SDH "$work/cut/metrics.jsonl" 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -TERM $pid
wait $pid
[ $? -eq 75 ] && grep -q "stopped after step .* continue with --resume" "$work/err"
ok $? "a signal stops it, with status 75"
for i in 1 2 3; do
    "$headct" probe --run "$work/cut" --resume --quiet >/dev/null 2>&1 &
    pid=$!
    sleep 0.$((i * 2))
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
check "it is resumed" "$headct" probe --run "$work/cut" --resume --quiet
for f in weights.safetensors predictions.csv metrics.jsonl metrics.json; do
    cmp "$work/whole/$f" "$work/cut/$f" >/dev/null 2>&1
    ok $? "stopped, killed, resumed: $f is the same"
done
grep -q '"grad_norm":[0-9]' "$work/whole/metrics.jsonl"
ok $? "its log tells the gradient's norm"

# ---- resumed only by the same recipe, on the same scans ----
check "fine-tuning a model a task" "$headct" finetune --recipe "$work/tune.yaml" --data "$work/data" --weights "$w" --set data.tasks=IPH,SDH --run "$work/each" --quiet
before=$(cat "$work/each/recipe.yaml" "$work/each/predictions.csv" | cksum)
refuses 1 "another recipe" "other tasks are no way to resume it" "$headct" finetune --run "$work/each" --resume --set data.tasks=IPH --quiet
[ "$before" = "$(cat "$work/each/recipe.yaml" "$work/each/predictions.csv" | cksum)" ] && [ ! -e "$work/each/weights.safetensors" ]
ok $? "and it is as it was"
cp "$work/data/index.sqlite" "$work/index.sqlite"
"$headct" split "$work/data" --ratios 8:4:4 --seed 5 >/dev/null
refuses 1 "the dataset or its split has changed" "a pre-training is not resumed on other scans" "$headct" pretrain --run "$work/long" --resume --quiet
refuses 1 "start a new run" "nor a fine-tuning" "$headct" finetune --run "$work/tune" --resume --quiet
refuses 1 "start a new run" "nor one of a model a task" "$headct" finetune --run "$work/each" --resume --quiet
cp "$work/index.sqlite" "$work/data/index.sqlite"
check "with the old split it is resumed" "$headct" finetune --run "$work/each" --resume --quiet

# ---- runs that cannot be compared ----
probe --weights "$w" --set data.tasks=IPH,SDH --run "$work/two" >/dev/null
refuses 1 "cannot be compared" "a mean over other tasks is not compared" "$headct" report "$work/encoder" "$work/two" --better "$work/two:$work/encoder" --out "$work/r.html"
check "the same tasks are" "$headct" report "$work/encoder" "$work/random" --better "$work/encoder:$work/random" --out "$work/r.html"

# ---- a label of one class is left out, unless it is asked for ----
sed '1s/$/,Always/; 2,$s/$/,1/' "$work/ph/labels.csv" >"$work/always.csv"
"$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/always.csv" --quiet >/dev/null
check "a label that all scans have" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --set data.tasks= --run "$work/always" --quiet
! grep -q Always "$work/always/predictions.csv" && grep -q IPH "$work/always/predictions.csv"
ok $? "is left out of the probe"
refuses 1 "task 'Always': the training split has 8 positives and 0 negatives" "and refused where it is asked for" probe --weights "$w" --set data.tasks=Always --run "$work/one"

# ---- what predict says of a run that has not ended ----
mkdir "$work/half" && cp "$work/encoder/recipe.yaml" "$work/half/"
refuses 1 "headct probe --run" "a probe that has not ended" "$headct" predict --run "$work/half" "$work"/ph/*.nii.gz --quiet
check "a probe of histograms" probe --weights "$w" --set probe.features=histogram --run "$work/histogram"
refuses 1 "histograms" "which predicts nothing" "$headct" predict --run "$work/histogram" "$work"/ph/*.nii.gz --quiet
mkdir "$work/begun" && cp "$work/mae/recipe.yaml" "$work/begun/"
refuses 1 "pretrain --resume" "a pre-training that has not ended" "$headct" predict --run "$work/begun" "$work"/ph/*.nii.gz --quiet

# ---- options that a command does not have are not offered ----
for pair in "plan --resume" "plan --run"; do
    set -- $pair
    ! "$headct" "$1" --help | grep -q -- "$2"
    ok $? "$1 --help does not list $2"
done
done_testing
