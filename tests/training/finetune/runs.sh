#!/bin/sh
# headct finetune: killed and resumed it ends with the very bytes of an undisturbed run; predict and evaluate take the result. $1: headct.
. "$(dirname "$0")/../../support/tap.sh"
. "$(dirname "$0")/../../support/program.sh"
headct=$1
cat >"$work/ft.yaml" <<R
method: finetune
seed: 7
data: {crop: 192, image: 24, tasks: [SDH, IPH]}
model: {patch: 12, width: 24, depth: 2, heads: 2, mlp: 48}
finetune: {init: random, backbone_lr: 1e-3, drop_path: 0.2, layer_decay: 0.8}
views: {flip: 0.3, shift_prob: 0.5}
optim: {lr: 1e-2, scale_lr_by_batch: false, batch: 8, accumulate: 1, epochs: 8}
train: {checkpoint_every: 1, balanced: 16, workers: 1, disk_cache: true}
R
tiny_data 24 5:2:3 --prevalence 0.5
start() { "$headct" finetune --recipe "$work/ft.yaml" --data "$work/data" --quiet "$@"; }

check "an undisturbed run" start --run "$work/whole"
same() { # RUN NAME
    for f in SDH/weights.safetensors SDH/metrics.jsonl IPH/weights.safetensors IPH/checkpoints/last.safetensors IPH/metrics.jsonl predictions.csv predictions.csv.json metrics.json; do
        cmp "$work/whole/$f" "$1/$f" >"$work/cmp" 2>&1
        ok $? "$2: $f is the same"
    done
}
for signal in KILL TERM; do
    run=$work/stopped-$signal
    for task in SDH IPH; do # once in each model
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
    left=$run/IPH/checkpoints/last.safetensors.tmp.1.0
    [ -e "$run/IPH/predictions.csv" ] || touch -d '2 days ago' "$left"
    check "SIG$signal: resumes" "$headct" finetune --run "$run" --resume --quiet
    [ ! -e "$left" ]
    ok $? "SIG$signal: what a killed write left is gone"
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
    check "predict, $run" "$headct" predict --run "$work/$run" --data "$work/data" --split test --out "$work/$run.csv" --quiet
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
# A model a task: all of them in one row.
check "predict with every task's model" "$headct" predict --run "$work/whole" --data "$work/data" --split test --out "$work/each.csv" --quiet
check "as JSON" sh -c '"$1" predict --run "$2" --data "$3" --split test --json --quiet >"$4"' sh "$headct" "$work/whole" "$work/data" "$work/each.json"
check "of one scan, as text" "$headct" predict --run "$work/whole" "$(ls "$work"/ph/*.nii.gz | head -n 1)" --quiet
grep -q SDH "$work/out" && grep -q IPH "$work/out"
ok $? "names both tasks"
python3 - "$work" <<'P'
import csv, hashlib, json, sys
w = sys.argv[1]
a = {r["scan"]: r for r in csv.DictReader(open(w + "/whole/predictions.csv"))}
b = list(csv.DictReader(open(w + "/each.csv")))
j = [json.loads(l) for l in open(w + "/each.json")]
worst = max(abs(float(r[t]) - float(a[r["scan"]][t])) for r in b for t in ("SDH", "IPH"))
worst = max([worst] + [abs(x["probabilities"][t] - float(r[t])) for r, x in zip(b, j) for t in ("SDH", "IPH")])
print("# largest difference", worst)
made = json.load(open(w + "/each.csv.json"))
run = json.load(open(w + "/whole/predictions.csv.json"))
one = {t: json.load(open(f"{w}/whole/{t}/predictions.csv.json")) for t in ("SDH", "IPH")}
good = len(b) == len(j) > 0 and worst < 1e-5
good = good and all(made["models"][t][k] == one[t][k] for t in one for k in ("weights_sha256", "recipe_sha256")) and set(made["models"]) == set(one)
good = good and all(made[k] == run[k] == j[0][k] for k in ("weights_sha256", "recipe_sha256", "preprocessing_sha256")) and j[0]["models"] == made["models"]
good = good and made["weights_sha256"] == hashlib.sha256((one["SDH"]["weights_sha256"] + one["IPH"]["weights_sha256"]).encode()).hexdigest()
sys.exit(not good)
P
ok $? "which say what the run said, each model with its hashes"
cp "$work/each.csv" "$work/each.whole"
head -c $(($(wc -c <"$work/each.csv") - 7)) "$work/each.whole" >"$work/each.csv" # a half last line
check "predict again does what is missing" "$headct" predict --run "$work/whole" --data "$work/data" --split test --out "$work/each.csv" --quiet
but_time "$work/each.csv" >"$work/each.then"
but_time "$work/each.whole" | cmp -s "$work/each.then" -
ok $? "and ends with the same file"
check "external validation with every task's model" "$headct" evaluate --run "$work/whole" --data "$work/data" --split test --out "$work/other"
python3 - "$work" <<'P'
import json, sys
a, b = (json.load(open(f"{sys.argv[1]}/{n}/metrics.json"))["tasks"] for n in ("whole", "other"))
sys.exit(not ([t["task"] for t in a] == ["SDH", "IPH"] and [(t["task"], t["roc_auc"]["value"], t["positives"]) for t in a] == [(t["task"], t["roc_auc"]["value"], t["positives"]) for t in b]))
P
ok $? "has the run's own figures, where it is the run's own test split"
cp -r "$work/whole" "$work/part"
rm "$work/part/IPH/weights.safetensors"
refuses 1 "no model of task 'IPH' yet" "a task that is not finished" "$headct" predict --run "$work/part" --data "$work/data" --quiet
check "a model of another input" start --run "$work/crop" --task IPH --set data.crop=168 --set optim.epochs=1
cp "$work/crop/weights.safetensors" "$work/part/IPH/"
refuses 1 "take different inputs" "is not mixed with the others" "$headct" predict --run "$work/part" --data "$work/data" --quiet
refuses 1 "neither weights.safetensors nor recipe.yaml" "a folder that is no run" "$headct" predict --run "$work/ph" --data "$work/data" --quiet

check "evaluate" "$headct" evaluate --run "$work/whole"
check "report" "$headct" report "$work/whole" "$work/whole/SDH" --out "$work/report.html"
done_testing
