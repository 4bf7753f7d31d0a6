#!/bin/sh
# evaluate --run --data leaves out what the run learned from: scans by their bytes, patients by a scan of theirs or by name in the same dataset. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
q="--quiet"
cat >"$work/mae.yaml" <<R
method: mae
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 1}
R
printf 'method: probe\noptim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\ndata: {tasks: [SDH]}\n' >"$work/probe.yaml"
site() { # NAME SEED PATIENTS SCANS
    "$headct" phantom --out "$work/$1-in" --plain --patients $3 --scans-per-patient $4 --prevalence 0.5 --size tiny --seed $2 $q >/dev/null &&
        "$headct" prepare --in "$work/$1-in" --out "$work/$1" --labels "$work/$1-in/labels.csv" $q >/dev/null
}
check "a dataset to train on" site a 3 12 2
check "its split" "$headct" split "$work/a" --ratios 5:2:3 --seed 1
check "a dataset to pre-train on" site b 4 8 1
check "its split" "$headct" split "$work/b" --ratios 6:1:1 --seed 1
check "pretrain" "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/b" --run "$work/mae" $q
check "probe" "$headct" probe --recipe "$work/probe.yaml" --data "$work/a" --weights "$work/mae/weights.safetensors" --run "$work/probe" $q
check "finetune" "$headct" finetune --recipe "$work/probe.yaml" --set method=finetune --set data.tasks=SDH,IPH --data "$work/a" --weights "$work/mae/weights.safetensors" --run "$work/tuned" $q

# A third site: two scans of a training patient of a under names of their own, with one more of that person; one of b's training scans; and strangers whose
# patients are called as a's are.
check "strangers" site c 9 6 1
train_of() { python3 -c 'import csv, sys; r = list(csv.DictReader(open(sys.argv[1] + "/training.csv"))); print(r[0]["scan"], r[0]["patient"])' "$1"; }
set -- $(train_of "$work/probe")
cp "$work/a-in/$1.nii.gz" "$work/c-in/copy.nii.gz"
set -- $(train_of "$work/mae")
cp "$work/b-in/$1.nii.gz" "$work/c-in/seen.nii.gz"
one=$(ls "$work"/c-in/p0001*.nii.gz)
mv "$one" "$work/c-in/further.nii.gz"
sed -i "s/^$(basename "$one" .nii.gz),p0001/further,me/" "$work/c-in/labels.csv"
zeros=$(head -1 "$work/c-in/labels.csv" | sed 's/^scan,patient//; s/,[A-Za-z]*/,0/g')
printf 'copy,me%s\nseen,you%s\n' "$zeros" "$zeros" >>"$work/c-in/labels.csv"
rm -rf "$work/c"
check "a third site" "$headct" prepare --in "$work/c-in" --out "$work/c" --labels "$work/c-in/labels.csv" $q

evaluate() { "$headct" evaluate --run "$work/$1" --data "$work/$2" --out "$work/out-$1-$2" --tasks SDH --bootstrap 0 $q; }
rows() { python3 -c 'import csv, sys; print(*sorted(r["scan"] + ":" + r["trained_on"] for r in csv.DictReader(open(sys.argv[1]))))' "$1/left_out.csv"; }
for run in probe tuned tuned/SDH; do
    evaluate $run c >"$work/out" 2>"$work/err"
    status=$?
    [ $status -eq 0 ] && grep -q "3 of 8 scans, of 2 patients, are left out: 2 that the run was trained on, 1 of its patients" "$work/out" &&
        [ "$(rows "$work/out-$run-c")" = "copy:scan further:patient seen:scan" ]
    ok $? "$run: copies under other names, and their patients' other scans"
    grep -q "patients have the name of a patient of another dataset" "$work/err"
    ok $? "$run: patients who share a name alone stay, and are told of"
    [ "$(cut -d, -f1 "$work/out-$run-c/predictions.csv" | grep -c -e copy -e seen -e further)" -eq 0 ]
    ok $? "$run: nothing was computed of them"
done
"$headct" evaluate --run "$work/probe" --data "$work/c" --out "$work/out-probe-c" --include-training --bootstrap 0 $q >"$work/out" 2>"$work/err"
grep -q "3 of 8 scans, of 2 patients, are no test" "$work/out" && grep -q "flatter" "$work/err" && [ ! -e "$work/out-probe-c/left_out.csv" ] &&
    [ "$(wc -l <"$work/out-probe-c/predictions.csv")" -eq 9 ]
ok $? "--include-training takes all, and says so"
evaluate probe c >"$work/out" 2>"$work/err"
python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(d["scans"] != 5)' "$work/out-probe-c/metrics.json"
ok $? "rows that an earlier start wrote are not evaluated"

# The run's own dataset: what is left is not its training split.
evaluate probe a >"$work/out" 2>"$work/err"
python3 - "$work" <<'P'
import csv, json, sys
w = sys.argv[1]
own = {r["scan"]: r["split"] for r in csv.DictReader(open(w + "/probe/predictions.csv"))}
out = [r["scan"] for r in csv.DictReader(open(w + "/out-probe-a/left_out.csv"))]
said = [r["scan"] for r in csv.DictReader(open(w + "/out-probe-a/predictions.csv"))]
sys.exit(sorted(out) != sorted(s for s in own if own[s] == "train") or sorted(said) != sorted(s for s in own if own[s] != "train"))
P
ok $? "of its own dataset the training split is left out"
refuses 1 "the run was trained on all of the" "the training split alone" "$headct" evaluate --run "$work/probe" --data "$work/a" --split train --out "$work/none" $q
refuses 2 "--include-training belongs to --data" "--include-training without --data" "$headct" evaluate --run "$work/probe" --include-training

# A run of an earlier headct has no training.csv.
mv "$work/probe/training.csv" "$work/kept.csv"
rm -rf "$work/out-probe-c"
evaluate probe c >"$work/out" 2>"$work/err"
grep -q "3 of 8 scans, of 2 patients, are left out" "$work/out"
ok $? "without the list its dataset is asked"
"$headct" split "$work/a" --ratios 5:2:3 --seed 2 >/dev/null
rm -rf "$work/out-probe-c"
evaluate probe c >"$work/out" 2>"$work/err"
grep -q "1 of 8 scans, of 1 patients, are left out" "$work/out" && grep -q "/probe: nothing tells which scans this was trained on" "$work/err"
ok $? "a dataset that was split anew does not tell, and that is said; the encoder's is known"
done_testing
