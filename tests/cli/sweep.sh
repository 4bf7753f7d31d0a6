#!/bin/sh
# sweep through the program: in parts, as an array, of probes and of fine-tunings; the best by validation alone. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
q="--quiet"
cat >"$work/probe.yaml" <<R
method: probe
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}
optim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}
data: {tasks: [SDH], image: 24}
probe: {features: random}
R
cat >"$work/scratch.yaml" <<R
method: finetune
data: {image: 24, tasks: [SDH, IPH]}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}
finetune: {init: random, backbone_lr: 0}
optim: {scale_lr_by_batch: false, batch: 8, accumulate: 1}
train: {checkpoint_every: 1, balanced: 16, workers: 1, disk_cache: true}
R
"$headct" phantom --out "$work/ph" --plain --patients 24 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 3 $q >/dev/null
check "prepare" "$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" $q
check "split" "$headct" split "$work/data" --ratios 5:2:3 --seed 1

# A sweep in two parts, then as a whole: nothing is run twice, the best is chosen by validation.
sweep() { "$headct" sweep --recipe "$work/probe.yaml" --data "$work/data" --run "$work/sweep" --lr 1e-2,1e-3 --wd 0.01 --epochs 1,2 --optimizer sgd $q "$@"; }
check "a shard of a sweep" sweep --shard 1/2
test ! -e "$work/sweep/best.yaml" && test "$(wc -l <"$work/sweep/sweep.csv")" -eq 3
ok $? "has its two points, and no best one yet"
stamp=$(stat -c %y "$work/sweep/point-000/predictions.csv")
check "the whole sweep, two processes" sweep --jobs 2
test "$stamp" = "$(stat -c %y "$work/sweep/point-000/predictions.csv")" && test "$(wc -l <"$work/sweep/sweep.csv")" -eq 5
ok $? "runs what was missing"
python3 - "$work/sweep" <<'P'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1] + "/sweep.csv")))
best = max(rows, key=lambda r: (float(r["validation_auc"]), -int(r["point"])))
sys.exit(open(sys.argv[1] + "/best.yaml").read() != open(sys.argv[1] + "/point-%03d/recipe.yaml" % int(best["point"])).read())
P
ok $? "and names the best recipe"
cp "$work/sweep/sweep.csv" "$work/whole.csv"
rm "$work/sweep/point-002/predictions.csv" # a point killed between its two last files: the hashes are there, the table is not
check "a point that was cut off" sweep
cmp -s "$work/whole.csv" "$work/sweep/sweep.csv"
ok $? "is run again, and the table is the same"
refuses 1 "of another recipe" "a folder of another grid" sweep --lr 5e-2

# As a Slurm array gives it: every task its --index, in any order and at once.
array() { "$headct" sweep --recipe "$work/probe.yaml" --data "$work/data" --run "$work/array" --lr 1e-2,1e-3 --wd 0.01 --epochs 1,2 --optimizer sgd $q --index "$1"; }
check "index 3" array 3
test "$(wc -l <"$work/array/sweep.csv")" -eq 2 && grep -q '^3,1e-3,0.01,2,sgd,' "$work/array/sweep.csv" && test ! -e "$work/array/point-000"
ok $? "is point 3 alone"
for i in 2 0 1; do array $i >"$work/array-$i.out" 2>&1 & done
wait
check "an index that is done already" array 1
cmp -s "$work/array/sweep.csv" "$work/sweep/sweep.csv" && sed "s|$work/array|$work/sweep|" "$work/array/best.yaml" | cmp -s - "$work/sweep/best.yaml"
ok $? "the array ends with the table and the best recipe of the sweep in one"
refuses 1 "points 0 to 3" "an index beyond the grid" array 4

# Fine-tuning: a point that is cut off goes on from its checkpoint and ends as an undisturbed one.
set -- --lr 1e-2,1e-3 --wd 0.01 --epochs 20 --optimizer adamw $q
tune() { "$headct" sweep --recipe "$work/scratch.yaml" --data "$work/data" --run "$@"; }
check "a sweep of fine-tunings" tune "$work/tune" "$@"
"$headct" sweep --recipe "$work/scratch.yaml" --data "$work/data" --run "$work/cut" "$@" >"$work/cut.out" 2>&1 &
pid=$!
while [ ! -e "$work/cut/point-000/SDH/checkpoints/best.safetensors" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -KILL $pid
wait $pid 2>/dev/null
# its child is asked to stop and writes its checkpoint
while [ -n "$(ps -eo args | grep -F "$work/cut/point-000" | grep -v grep)" ]; do sleep 0.05; done
if [ -e "$work/cut/point-000/predictions.csv" ]; then note "the first point had ended already"; else ok 0 "the point that ran has stopped, unfinished"; fi
check "goes on, --resume or not" tune "$work/cut" --resume "$@"
for f in sweep.csv point-000/SDH/weights.safetensors point-000/SDH/metrics.jsonl point-000/IPH/weights.safetensors point-001/predictions.csv; do
    cmp -s "$work/tune/$f" "$work/cut/$f"
    ok $? "$f is the same"
done
python3 - "$work/tune" <<'P'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1] + "/sweep.csv")))
def auc(s, l):
    p, n = [a for a, b in zip(s, l) if b], [a for a, b in zip(s, l) if not b]
    return sum((a > b) + (a == b) / 2 for a in p for b in n) / (len(p) * len(n))
good = len(rows) == 2
for r in rows:
    v = [x for x in csv.DictReader(open(sys.argv[1] + "/point-%03d/predictions.csv" % int(r["point"]))) if x["split"] == "val"]
    mine = [auc([float(x[t]) for x in v], [x["y_" + t] == "1" for x in v]) for t in ("SDH", "IPH")]
    good = good and abs(sum(mine) / 2 - float(r["validation_auc"])) < 1e-12 and all(abs(float(r[t]) - m) < 1e-12 for t, m in zip(("SDH", "IPH"), mine))
for t in ("SDH", "IPH"):
    best = max(rows, key=lambda r: (float(r[t]), -int(r["point"])))
    own = open(sys.argv[1] + "/point-%03d/%s/recipe.yaml" % (int(best["point"]), t)).read()
    good = good and open(sys.argv[1] + "/best-%s.yaml" % t).read() == own
sys.exit(not good)
P
ok $? "validation_auc is the mean over tasks of the validation split's, and each task's best recipe is that of its best model"
refuses 1 "neither probe nor finetune" "a sweep of pre-training" "$headct" sweep --recipe "$work/scratch.yaml" --set method=mae --data "$work/data" --run "$work/no"
done_testing
