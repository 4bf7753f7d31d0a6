#!/bin/sh
# Going on from what is there: pre-training from weights, and a run forked under other keys. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
cat >"$work/mae.yaml" <<R
method: mae
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 3}
R
cat >"$work/dino.yaml" <<R
method: dino
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 1, warmup_fraction: 0}
dino: {prototypes: 64, hidden: 32, bottleneck: 16, freeze_last_layer: 0}
views: {global_min: 64, local_min: 48, region: 160, global_max: 160, local_max: 80, shrink: 4}
R
tiny_data 16 8:4:4 --prevalence 0.5
start() { "$headct" pretrain --data "$work/data" --quiet "$@"; }
check "pre-training" start --recipe "$work/mae.yaml" --run "$work/mae"
w=$work/mae/weights.safetensors

# ---- from weights ----
check "MAE goes on from it" start --recipe "$work/mae.yaml" --weights "$w" --run "$work/more" --set optim.lr=1e-30 --set optim.weight_decay=0
check "and so does DINO" start --recipe "$work/dino.yaml" --weights "$w" --run "$work/dino" --set optim.lr=1e-30 --set optim.weight_decay=0
python3 - "$work" <<'P'
import json, sys
from weights_file import floats, read
work = sys.argv[1]
old = floats(work + "/mae/weights.safetensors")
for run, most in (("more", 0), ("dino", 1e-6)):  # DINO's are an average, rounded
    meta, new = read(f"{work}/{run}/weights.safetensors")[0], floats(f"{work}/{run}/weights.safetensors")
    encoder = [n for n in new if not n.startswith(("decoder", "mask_token"))]
    off = max(abs(a - b) for n in encoder for a, b in zip(new[n], old[n]))
    assert len(encoder) > 10 and off <= most, (run, off)
    assert len(json.loads(meta["headct"])["parent_weights_sha256"]) == 64, run + ": the parent"
P
ok $? "from the encoder's own values (a rate of nothing leaves them), and its hash is recorded"
grep -q 'width: 24' "$work/dino/recipe.yaml" && grep -q 'image: 24' "$work/dino/recipe.yaml"
ok $? "whose sizes and windows the recipe takes over"
refuses 1 "model.width: the recipe says 48" "another width" start --recipe "$work/mae.yaml" --weights "$w" --run "$work/no" --set model.width=48
"$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --quiet --weights "$w" --set optim.epochs=100000 --run "$work/cut" >/dev/null 2>&1 &
pid=$!
until [ -e "$work/cut/checkpoints/last.safetensors" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -TERM $pid
wait $pid
mv "$w" "$work/elsewhere.safetensors"
refuses 1 "optim.epochs 100000, now 3" "a resume under other keys is told which" "$headct" pretrain --run "$work/cut" --resume --set optim.epochs=3 --quiet
check "a run that began from weights is forked without them" "$headct" pretrain --run "$work/cut" --resume --fork "$work/fewer" --set optim.epochs=1 --quiet
mv "$work/elsewhere.safetensors" "$w"

# ---- forks ----
before=$(cat "$work/mae/recipe.yaml" "$work/mae/metrics.jsonl" "$w" | cksum)
check "a run is prolonged in a folder of its own" "$headct" pretrain --run "$work/mae" --resume --fork "$work/longer" --set optim.epochs=5 --set optim.lr=5e-4 --quiet
[ "$before" = "$(cat "$work/mae/recipe.yaml" "$work/mae/metrics.jsonl" "$w" | cksum)" ]
ok $? "and stays as it is"
python3 - "$work" <<'P'
import json, sys
lines = [[json.loads(l) for l in open(f"{sys.argv[1]}/{run}/metrics.jsonl")] for run in ("mae", "longer")]
old, new = lines
assert new[:len(old)] == old and new[-1]["epoch"] == 5 and len(new) > len(old)
assert [l["step"] for l in new if l["phase"] == "train"] == list(range(1, 11))
P
ok $? "its log goes on where the other ended"
grep -q "epochs: 5" "$work/longer/recipe.yaml"
ok $? "its recipe is the new one"
check "it is resumed as any run is" "$headct" pretrain --run "$work/longer" --resume --quiet
refuses 1 "there is a run already" "a fork does not write over a run" "$headct" pretrain --run "$work/mae" --resume --fork "$work/longer" --quiet
mkdir "$work/begun" && cp "$work/mae/recipe.yaml" "$work/begun/"
refuses 1 "has no checkpoint to go on from" "nor does it come from nothing" "$headct" pretrain --run "$work/begun" --resume --fork "$work/x" --quiet
refuses 2 "--fork NEWRUN goes with" "--fork alone" "$headct" pretrain --run "$work/mae" --fork "$work/y" --recipe "$work/mae.yaml"
refuses 1 "tensors are missing (first: blocks.1" "a fork of another shape" "$headct" pretrain --run "$work/mae" --resume --fork "$work/z" --set model.depth=2 --quiet
done_testing
