#!/bin/sh
# What headct 0.1 wrote is read: its runs are resumed and end where they would have ended, its weights embed and predict
# as they did. $1: headct, $2: from-0.1.tar.xz (tests/data/README.md).
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$(realpath "$1")
archive=$(realpath "$2") && cd "$work" && tar -xJf "$archive" || exit 1

# close FILE FILE NAME: lines of training equal in step and, within 1e-3 of its size, loss (another processor rounds otherwise).
cat >close.py <<'P'
import json, sys

def lines(path):
    return {r["step"]: r["loss"] for r in map(json.loads, open(path)) if r["phase"] == "train"}
a, b = lines(sys.argv[1]), lines(sys.argv[2])
assert a.keys() == b.keys() and len(a) >= 60, (len(a), len(b))
worst = max(a, key=lambda s: abs(a[s] - b[s]))
print(f"largest difference of a loss: {abs(a[worst] - b[worst]):.2g} at step {worst}")
assert abs(a[worst] - b[worst]) <= 1e-3 * max(1, abs(a[worst])), (worst, a[worst], b[worst])
P
for method in mae dino; do
    check "$method: a run of 0.1 is resumed" "$headct" pretrain --run part/$method --resume --quiet
    check "$method: and ends as it would have ended" python3 close.py part/$method/metrics.jsonl full/$method/metrics.jsonl
done
check "finetune: a run of 0.1 is resumed" "$headct" finetune --run part/finetune --resume --quiet
check "finetune: and ends as it would have ended" python3 close.py part/finetune/metrics.jsonl full/finetune/metrics.jsonl

# near FILE FILE: tables of probabilities that agree within 1e-5, other columns exactly.
cat >near.py <<'P'
import csv, sys

a, b = (list(csv.DictReader(open(f))) for f in sys.argv[1:3])
assert len(a) == len(b) == 10
for x, y in zip(a, b):
    assert x["scan"] == y["scan"] and x["input_sha256"] == y["input_sha256"], (x, y)
    for task in ("SAH", "B"):
        assert abs(float(x[task]) - float(y[task])) < 1e-5, (task, x, y)
P
check "weights of 0.1 predict" "$headct" predict --data data --weights full/finetune/weights.safetensors --out now.csv --quiet
check "as they did" python3 near.py now.csv full/finetune/all.csv
check "weights of 0.1 embed" "$headct" embed --data data --weights full/mae/weights.safetensors --out now.safetensors --quiet
cat >rows.py <<'P'
import sys
import weights_file

a, b = (weights_file.floats(f)["embeddings"] for f in sys.argv[1:3])
assert len(a) == len(b) == 120
assert all(abs(x - y) < 1e-4 for x, y in zip(a, b))
P
check "as they did" python3 rows.py now.safetensors full/mae/embeddings.safetensors
check "a probe of 0.1 predicts" "$headct" predict --data data --weights full/probe/weights.safetensors --out probe.csv --quiet
echo 'method: finetune' >finetune.yaml
check "weights of 0.1 are fine-tuned" "$headct" finetune --recipe finetune.yaml --data data --weights full/dino/weights.safetensors --run again --quiet \
    --set optim.epochs=1 --set optim.batch=2 --set optim.accumulate=1

# ---- evaluate takes a run at its word, and says which scans it could not read ----
check "a run of 0.1 is evaluated" "$headct" evaluate --run full/probe --out judged
cp full/probe/recipe.yaml whole.yaml
head -c 300 whole.yaml >full/probe/recipe.yaml
echo 'data: {tset: val}' >>full/probe/recipe.yaml
refuses 1 "full/probe/recipe.yaml" "a damaged recipe.yaml is not passed over" "$headct" evaluate --run full/probe --out judged
check "but --split says which scans to take" "$headct" evaluate --run full/probe --split test --out judged
cp whole.yaml full/probe/recipe.yaml
cp -r data other
echo damaged >other/scans/s03.nii.gz
refuses 3 "refused scan 's03'" "external validation lists what it refuses, with status 3" "$headct" evaluate --run full/probe --data other --include-training --out outside
check "and writes what it says of the others" grep -q '^s04,' outside/predictions.csv
done_testing
