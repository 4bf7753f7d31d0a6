#!/bin/sh
# headct compare: several systems on the same scans in parts, as an array and as a whole; what is left out, refused, cut off. With "all": the paper's
# list, every kind of encoder small and with random weights, an embedding file standing for Google's service.
# $1: headct, $2: "few", or "all", test_import and its cases.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
q=--quiet
cat >"$work/probe.yaml" <<R
method: probe
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}
optim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}
data: {image: 24}
R
cat >"$work/tune.yaml" <<R
method: finetune
optim: {epochs: 1, batch: 4, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}
finetune: {backbone_lr: 0}
train: {balanced: 8, workers: 1}
R
small="data.image=24, model.patch=12, model.width=24, model.depth=1, model.heads=2, model.mlp=48"
if [ "$2" = few ]; then tiny_data 24 5:2:3 --prevalence 0.5; else tiny_data 30 4:3:3 --prevalence 0.5; fi
"$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --set probe.features=random --run "$work/random" $q >/dev/null
cp "$work/random/weights.safetensors" "$work/vit.safetensors"
"$headct" embed --weights "$work/vit.safetensors" --data "$work/data" --out "$work/e.safetensors" $q >/dev/null
python3 - "$work" <<'P'
import json, sys
from weights_file import read
meta, tensors = read(sys.argv[1] + "/e.safetensors")
shape, values = tensors["embeddings"][1], tensors["embeddings"][2]
import struct
rows = struct.unpack("<%df" % (shape[0] * shape[1]), values)
with open(sys.argv[1] + "/google.jsonl", "w") as f:
    for i, s in enumerate(json.loads(meta["scans"])):
        f.write(json.dumps({"scan": s, "embedding_result": {"embedding": rows[i * shape[1]:(i + 1) * shape[1]]}}) + "\n")
P
ok $? "embeddings in the shape of Google's service"

if [ "$2" = few ]; then
    cat >"$work/systems.yaml" <<R
systems:
  - {name: frozen, recipe: $work/probe.yaml, weights: vit.safetensors, note: random weights stand for published ones}
  - {name: scratch, recipe: $work/tune.yaml, set: [finetune.init=random, $small]}
  - {name: google, recipe: $work/probe.yaml, embeddings: google.jsonl, set: [probe.protocol=logistic]}
  - {name: merlin, recipe: $work/tune.yaml, weights: merlin.safetensors}
  - {name: service, recipe: $work/probe.yaml, embeddings: none.jsonl}
R
    compare() { "$headct" compare "$work/systems.yaml" --data "$work/data" --set data.tasks=SDH,IPH --permutations 99 $q "$@"; }
    check "the second of three shares" compare --out "$work/c" --shard 2/3
    grep -q "^frozen,not yet," "$work/c/systems.csv" && grep -q "^scratch,done,from scratch,random weights," "$work/c/systems.csv" &&
        test ! -e "$work/c/frozen" && test ! -e "$work/c/p_matrix.csv"
    ok $? "is one system, and says which are not yet run"
    stamp=$(stat -c %y "$work/c/scratch/predictions.csv")
    check "the whole, two processes" compare --out "$work/c" --jobs 2
    cp "$work/out" "$work/said"
    test "$stamp" = "$(stat -c %y "$work/c/scratch/predictions.csv")"
    ok $? "does what was left"
    grep -q "^merlin,left out,fine-tuned,.*no weights: merlin.safetensors is not there$" "$work/c/systems.csv" &&
        grep -q "^service,left out,.*no embeddings: none.jsonl is not there$" "$work/c/systems.csv" &&
        grep -q "^frozen,done,linear probe,$work/vit.safetensors,random weights stand for published ones$" "$work/c/systems.csv"
    ok $? "names what is left out and why, and keeps notes"
    grep -q "left out" "$work/said" && grep -q "random weights stand for published ones" "$work/said"
    ok $? "in the printed table too"
    python3 - "$work/c" <<'P'
import csv, os, sys
rows = lambda f: list(csv.DictReader(open(os.path.join(sys.argv[1], f))))
pairs = {(r["task"], frozenset((r["a"], r["b"]))) for r in rows("comparisons.csv")} if "a" in rows("comparisons.csv")[0] else None
models = {r["model"] for r in rows("models.csv")}
print("#", list(rows("comparisons.csv")[0]), models)
sys.exit(models != {"frozen", "scratch", "google"} or len(rows("comparisons.csv")) != 9 or len(rows("p_matrix.csv")) != 9)
P
    ok $? "three systems, three pairs for two tasks and their mean"
    test -s "$work/c/figures/models_macro.svg"
    ok $? "a figure"
    # What the comparison says is what evaluate says of the same tables.
    "$headct" evaluate "$work/c/frozen/predictions.csv" "$work/c/scratch/predictions.csv" "$work/c/google/predictions.csv" --split test --permutations 99 --out "$work/e" $q >/dev/null
    cmp -s "$work/e/comparisons.csv" "$work/c/comparisons.csv"
    ok $? "the figures of headct evaluate"
    cp "$work/c/comparisons.csv" "$work/whole.csv"
    rm "$work/c/google/predictions.csv"
    check "a system that was cut off" compare --out "$work/c" --index 2
    cmp -s "$work/whole.csv" "$work/c/comparisons.csv"
    ok $? "is run again, and the table is the same"
    refuses 1 "is of another recipe" "a folder of other recipes" compare --out "$work/c" --set seed=7
    refuses 1 "there is no system 5" "an index beyond the list" compare --out "$work/c" --index 5
    cat >"$work/bad.yaml" <<R
systems:
  - {name: good, recipe: $work/probe.yaml, weights: vit.safetensors}
  - {name: broken, recipe: $work/probe.yaml, embeddings: broken.jsonl}
R
    echo '{"scan": "p1", "embedding": [1, "x"]}' >"$work/broken.jsonl"
    refuses 1 "1 systems failed" "a system that fails" "$headct" compare "$work/bad.yaml" --data "$work/data" --out "$work/b" --set data.tasks=SDH $q
    grep -q "^good,done," "$work/b/systems.csv" && grep -q "^broken,failed," "$work/b/systems.csv" && grep -q "broken.jsonl" "$work/err"
    ok $? "leaves the others, is listed, and has said why"
    bad() {
        printf '%s\n' "$3" >"$work/bad.yaml"
        refuses 1 "$2" "$1" "$headct" compare "$work/bad.yaml" --data "$work/data" --out "$work/none" $q
    }
    bad "no list" "needs a list 'systems'" "systems: 1"
    bad "an unknown key of the file" "unknown key 'a'" "a: 1"
    bad "no YAML" "bad.yaml line " "systems: ["
    bad "an unknown key" "unknown key 'weight' of a system" "systems: [{name: a, recipe: probe, weight: x}]"
    bad "no recipe" "needs name and recipe" "systems: [{name: a}]"
    bad "a name that is a path" "letters, digits" "systems: [{name: ../a, recipe: probe}]"
    bad "a name twice" "two systems are called 'a'" "systems: [{name: a, recipe: probe}, {name: a, recipe: probe}]"
    bad "weights and embeddings" "are both there" "systems: [{name: a, recipe: probe, weights: x, embeddings: y}]"
    bad "a recipe that pre-trains" "system a: mae: the recipe's method is mae" "systems: [{name: a, recipe: mae}]"
    bad "an unknown recipe key" "system a: " "systems: [{name: a, recipe: probe, set: [optim.larning_rate=1]}]"
    bad "embeddings for fine-tuning" "embeddings are for recipes with method probe" "systems: [{name: a, recipe: finetune, embeddings: x}]"
    bad "another split" "data.test differs between systems a and b" "systems: [{name: a, recipe: scratch}, {name: b, recipe: scratch, set: [data.test=val]}]"
    bad "other tasks" "differ between systems a and b" "systems: [{name: a, recipe: scratch}, {name: b, recipe: scratch, set: [data.tasks=SDH]}]"
    test ! -e "$work/none"
    ok $? "and nothing is written"
    done_testing
fi

"$3" "$4" "$work" >/dev/null
"$headct" import "$work/merlin.safetensors" --out "$work/merlin" >/dev/null 2>&1
"$headct" import "$work/ct-fm.safetensors" --out "$work/ct-fm" >/dev/null 2>&1
"$headct" import "$work/hlip-v1.safetensors" --set heads=2 --set period=3 --out "$work/hlip" >/dev/null 2>&1
for kind in merlin ct-fm hlip; do check "volumes for $kind" "$headct" prepare --in "$work/ph" --out "$work/data" --for $kind $q; done
stand="random weights of a small model stand for published ones"
cat >"$work/systems.yaml" <<R
systems:
  - {name: fm-ct-dino, recipe: $work/tune.yaml, weights: vit.safetensors, note: $stand}
  - {name: fm-ct-mae, recipe: $work/tune.yaml, weights: vit.safetensors, set: [seed=2], note: $stand}
  - {name: vit-scratch, recipe: $work/tune.yaml, set: [finetune.init=random, $small]}
  - {name: resnet50-3d-scratch, recipe: $work/tune.yaml, set: [finetune.init=random, model.kind=resnet3d, model.resnet.width=4, data.image=32]}
  - {name: merlin, recipe: $work/tune.yaml, weights: merlin, note: $stand}
  - {name: google-ct-foundation, recipe: $work/probe.yaml, embeddings: google.jsonl, note: a random encoder's embeddings stand for the service's}
  - {name: ct-fm, recipe: $work/tune.yaml, weights: ct-fm, note: $stand}
  - {name: hlip, recipe: $work/tune.yaml, weights: hlip, note: $stand}
R
check "the paper's comparison, small" "$headct" compare "$work/systems.yaml" --data "$work/data" --out "$work/c" --set data.tasks=SDH --jobs 2 $q
sed 's/^/# /' "$work/out"
test "$(grep -c ",done," "$work/c/systems.csv")" -eq 8 && test "$(wc -l <"$work/c/comparisons.csv")" -eq 29 && test "$(wc -l <"$work/c/p_matrix.csv")" -eq 9
ok $? "eight rows, 28 pairs"
test "$(grep -c "stand for" "$work/c/systems.csv")" -eq 6
ok $? "and what stands for what is said"
done_testing
