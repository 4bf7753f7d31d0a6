#!/bin/sh
# fewshot through the program: its tables, repeatable, killed and resumed, K that is too large left out; external validation. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
q="--quiet"
printf 'method: probe\nmodel: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}\noptim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\ndata: {tasks: [SDH], image: 24}\nprobe: {features: random}\n' >"$work/probe.yaml"
"$headct" phantom --out "$work/ph" --plain --patients 24 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 3 $q >/dev/null
check "prepare" "$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" $q
check "split" "$headct" split "$work/data" --ratios 5:2:3 --seed 1
few() { "$headct" fewshot --recipe "$work/probe.yaml" --data "$work/data" --k 2,3,256 --draws 3 --run "$@" $q; }
few "$work/a" >"$work/a.txt" 2>"$work/a.err"
ok $? "fewshot"
check "fewshot again" few "$work/b"
cmp "$work/a/fewshot.csv" "$work/b/fewshot.csv" >/dev/null && cmp "$work/a/fewshot_draws.csv" "$work/b/fewshot_draws.csv" >/dev/null
ok $? "gives the same bytes"
grep -q "K = 256 is left out" "$work/a.err"
ok $? "a K above the positives is left out, and said so"
cat >"$work/tables.py" <<'P'
import csv, sys
folder, methods, draws = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
s = list(csv.DictReader(open(folder + "/fewshot.csv")))
d = list(csv.DictReader(open(folder + "/fewshot_draws.csv")))
good = [(r["method"], r["k"]) for r in s] == [(m, k) for m in methods for k in ("2", "3", "all")]
good = good and len(d) == len(methods) * (2 * draws + 1) and all(0 <= float(r["ap"]) <= 1 for r in s)
def percentile(v, q):
    at = q * (len(v) - 1)
    return v[int(at)] + (at - int(at)) * (v[min(int(at) + 1, len(v) - 1)] - v[int(at)])
for r in s:
    for metric in ("auc", "ap"):
        rows = [x for x in d if (x["method"], x["k"]) == (r["method"], r["k"])]
        mine = sorted(float(x[metric]) for x in rows)
        got = [float(r[metric]), float(r[metric + "_low"]), float(r[metric + "_high"])]
        if r["k"] == "all": want = [float(rows[0][metric + e]) for e in ("", "_low", "_high")]
        else: want = [sum(mine) / len(mine), percentile(mine, 0.025), percentile(mine, 0.975)]
        good = good and len(mine) == int(r["draws"]) and all(abs(a - b) < 1e-12 for a, b in zip(got, want))
    good = good and (r["k"] == "all" or r["positives"] == r["negatives"] == r["k"])
sys.exit(not good)
P
python3 "$work/tables.py" "$work/a" knn,simpleshot,protonet,linear 3
ok $? "the table holds every method and K, means and percentiles over its draws"
refuses 1 "already" "a run is not started over another" few "$work/a"
refuses 2 "nearest" "an unknown method" few "$work/c" --methods nearest
refuses 1 "neither probe nor finetune" "a recipe of pre-training" few "$work/c" --set method=mae

# Episodes change ProtoNet alone; rows of other options are not mixed in.
check "ProtoNet with episodes" few "$work/episodes" --methods protonet,knn --episodes 20 --episode-shots 1
grep ',knn,' "$work/a/fewshot.csv" >"$work/knn"; grep ',protonet,' "$work/a/fewshot_draws.csv" >"$work/protonet"
grep ',knn,' "$work/episodes/fewshot.csv" | cmp -s - "$work/knn" && ! grep ',protonet,' "$work/episodes/fewshot_draws.csv" | cmp -s - "$work/protonet"
ok $? "moves its figures, and no other's"
refuses 1 "another episodes" "resumed without them" "$headct" fewshot --resume --run "$work/episodes" --k 2,3 --draws 3 --methods protonet $q

# What was cut off is done, and no more: a half row, and methods that are asked for later.
cp -r "$work/a" "$work/half"
head -c $(($(wc -c <"$work/a/fewshot_draws.csv") - 9)) "$work/a/fewshot_draws.csv" >"$work/half/fewshot_draws.csv"
rm "$work/half/fewshot.csv"
touch -d '2 days ago' "$work/half/fewshot.csv.tmp.1.0" # of a write that was killed
check "goes on" "$headct" fewshot --resume --run "$work/half" --k 2,3 --draws 3 $q
cmp -s "$work/a/fewshot_draws.csv" "$work/half/fewshot_draws.csv" && cmp -s "$work/a/fewshot.csv" "$work/half/fewshot.csv"
ok $? "to the same tables"
[ ! -e "$work/half/fewshot.csv.tmp.1.0" ]
ok $? "and removes what a killed write left"

# Fine-tuning each draw.
cat >"$work/ft.yaml" <<R
method: finetune
data: {image: 24, tasks: [SDH]}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}
finetune: {init: random, backbone_lr: 1e-3}
probe: {features: random}
optim: {epochs: 8, batch: 4, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}
train: {balanced: 12, workers: 1, disk_cache: true}
R
check "few-shot fine-tuning" "$headct" fewshot --recipe "$work/ft.yaml" --data "$work/data" --k 2,3 --draws 2 --run "$work/tuned" $q
python3 "$work/tables.py" "$work/tuned" finetune 2
ok $? "has its tables"
test -s "$work/tuned/finetune/SDH/3-2/metrics.jsonl" && test -z "$(find "$work/tuned" -name '*.safetensors')"
ok $? "each draw leaves its log, and no checkpoint"
run=$work/tuned-killed
for signal in KILL TERM; do
    if [ -e "$run/recipe.yaml" ]; then set -- --resume; else set -- --recipe "$work/ft.yaml" --data "$work/data"; fi
    [ $signal = KILL ] && at=2-2 || at=all-1
    "$headct" fewshot "$@" --k 2,3 --draws 2 --run "$run" $q >/dev/null 2>&1 &
    pid=$!
    while [ ! -e "$run/finetune/SDH/$at/checkpoints/last.safetensors" ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
    kill -$signal $pid 2>/dev/null
    wait $pid
    status=$?
    [ $signal = KILL ] || [ $status -eq 75 ] || [ -e "$run/fewshot.csv" ]
    ok $? "SIG$signal during $at: status $status"
done
check "and resumed" "$headct" fewshot --resume --k 2,3 --draws 2 --run "$run" $q
for f in fewshot.csv fewshot_draws.csv finetune/SDH/2-2/metrics.jsonl finetune/SDH/all-1/metrics.jsonl; do
    cmp -s "$work/tuned/$f" "$run/$f"
    ok $? "$f is the same"
done
check "more methods later, of the same draws" "$headct" fewshot --resume --k 2,3 --draws 2 --methods knn,linear --run "$work/tuned" $q
python3 "$work/tables.py" "$work/tuned" knn,linear,finetune 2
ok $? "join the table"

# External validation: a probe of this dataset on another one, whose label has another name.
"$headct" phantom --out "$work/ph2" --plain --patients 10 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 9 $q >/dev/null
sed '1s/SDH/subdural/' "$work/ph2/labels.csv" >"$work/labels2.csv"
check "another dataset" "$headct" prepare --in "$work/ph2" --out "$work/data2" --labels "$work/labels2.csv" $q
check "a probe" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --run "$work/probe" $q
before=$(cat "$work"/probe/metrics.json "$work"/probe/predictions.csv | cksum)
refuses 1 "--map" "no label of that name there" "$headct" evaluate --run "$work/probe" --data "$work/data2" --out "$work/ext0"
check "external validation" "$headct" evaluate --run "$work/probe" --data "$work/data2" --map SDH=subdural --out "$work/ext"
test "$before" = "$(cat "$work"/probe/metrics.json "$work"/probe/predictions.csv | cksum)" && test "$(wc -l <"$work/ext/predictions.csv")" -eq 11 && grep -q subdural "$work/ext/metrics.json"
ok $? "every scan is judged, and the run is left as it was"
refuses 1 "no task 'XYZ'" "a map of no task" "$headct" evaluate --run "$work/probe" --data "$work/data2" --map XYZ=subdural --out "$work/ext"
refuses 2 "--out" "external validation without a folder of its own" "$headct" evaluate --run "$work/probe" --data "$work/data2"
done_testing
