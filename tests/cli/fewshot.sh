#!/bin/sh
# fewshot through the program: its table, repeatable, K that is too large left out. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
q="--quiet"
printf 'method: probe\nmodel: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}\noptim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\ndata: {tasks: [SDH], image: 24}\nprobe: {features: random}\n' >"$work/probe.yaml"
"$headct" phantom --out "$work/ph" --patients 24 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 3 $q >/dev/null
check "prepare" "$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" $q
check "split" "$headct" split "$work/data" --ratios 5:2:3 --seed 1
few() { "$headct" fewshot --recipe "$work/probe.yaml" --data "$work/data" --k 2,3,256 --draws 3 --run "$1" $q >"$1.txt" 2>"$1.err"; }
check "fewshot" few "$work/a"
check "fewshot again" few "$work/b"
cmp "$work/a/fewshot.csv" "$work/b/fewshot.csv" >/dev/null && cmp "$work/a/fewshot_draws.csv" "$work/b/fewshot_draws.csv" >/dev/null
ok $? "gives the same bytes"
grep -q "K = 256 is left out" "$work/a.err"
ok $? "a K above the positives is left out, and said so"
python3 - "$work/a" <<'P'
import csv, sys
s = list(csv.DictReader(open(sys.argv[1] + "/fewshot.csv")))
d = list(csv.DictReader(open(sys.argv[1] + "/fewshot_draws.csv")))
want = [(m, k) for m in ("knn", "simpleshot", "protonet", "linear") for k in ("2", "3", "all")]
good = [(r["method"], r["k"]) for r in s] == want and len(d) == 4 * 2 * 3
good = good and all(float(r["auc_low"]) <= float(r["auc"]) <= float(r["auc_high"]) and 0 <= float(r["ap"]) <= 1 for r in s if r["k"] != "all")
for r in s:
    mine = [float(x["auc"]) for x in d if (x["method"], x["k"]) == (r["method"], r["k"])]
    good = good and (not mine or abs(sum(mine) / len(mine) - float(r["auc"])) < 1e-12)
sys.exit(not good)
P
ok $? "the table holds every method and K, means over its draws"
refuses 2 "finetune" "fine-tuning says that it is not there" "$headct" fewshot --recipe "$work/probe.yaml" --data "$work/data" --methods finetune --run "$work/c"
refuses 2 "nearest" "an unknown method" "$headct" fewshot --recipe "$work/probe.yaml" --data "$work/data" --methods nearest --run "$work/c"

# External validation: a probe of this dataset on another one, whose label has another name.
"$headct" phantom --out "$work/ph2" --patients 10 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 9 $q >/dev/null
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
