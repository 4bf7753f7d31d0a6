#!/bin/sh
# bf16 pre-training on the CPU beside f32; what stays f32; kill and resume; gradients added up over micro-batches; blocks computed again. $1: headct
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
tiny_data 12 8:2:2
cat >"$work/mae.yaml" <<R
method: mae
seed: 7
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 3, heads: 2, mlp: 48, decoder: {width: 24, depth: 2, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 4}
train: {log_every: 1, workers: 1, validate_every: 1}
R
cat >"$work/dino.yaml" <<R
method: dino
seed: 7
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24}
model: {patch: 12, width: 24, depth: 3, heads: 2, mlp: 48}
views: {global: 2, local: 2, region: 160, shrink: 4, global_min: 112, global_max: 160, local_min: 64, local_max: 112, flip: 0.5, shift_prob: 0.5}
dino: {prototypes: 64, hidden: 32, bottleneck: 16, momentum: 0.9, freeze_last_layer: 0, student_temp: 0.5, teacher_temp_start: 0.3, teacher_temp: 0.3}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 4, warmup_fraction: 0, clip: 3, clip_mode: tensor}
train: {log_every: 1, workers: 1, validate_every: 1}
R
run() { recipe=$1 out=$2; shift 2; "$headct" pretrain --recipe "$work/$recipe.yaml" --data "$work/data" --run "$work/$out" --quiet "$@"; }
# near A B LIMIT: losses of two runs within LIMIT of one another, relatively, and not the same.
near() {
    python3 - "$work/$1/metrics.jsonl" "$work/$2/metrics.jsonl" "$3" <<'P'
import json, sys
a, b = ([json.loads(l)["loss"] for l in open(p)] for p in sys.argv[1:3])
worst = max(abs(x - y) / abs(x) for x, y in zip(a, b))
print("# largest relative difference of", len(a), "losses:", worst)
sys.exit(not (len(a) == len(b) > 4 and 0 < worst <= float(sys.argv[3])))
P
}
for m in mae dino; do
    check "$m in f32" run $m $m-f32
    check "$m in bf16" run $m $m-bf16 --set train.precision=bf16
    near $m-f32 $m-bf16 0.005
    ok $? "$m: bf16 losses follow f32's within half a percent"
    python3 - "$work/$m-bf16/checkpoints/last.safetensors" "$work/$m-f32/checkpoints/last.safetensors" <<'P'
import array, sys
from weights_file import tensors
a, b = tensors(sys.argv[1]), tensors(sys.argv[2])
assert a.keys() == b.keys() and all(t == "F32" for t, _, _ in a.values()), "weights and moments are f32"
# a bf16 master would have sixteen bits of zeros
for k in ("blocks.0.attn.qkv.weight", "optimizer.blocks.0.attn.qkv.weight.m", "optimizer.blocks.0.attn.qkv.weight.v"):
    words = array.array("I", a[k][2])
    assert sum(w & 0xffff != 0 for w in words) > 0.9 * len(words), k
P
    ok $? "$m: masters and moments are f32, and use its bits"
    check "$m with blocks computed again" run $m $m-again --set train.recompute=true
    check "$m in bf16 with blocks computed again" run $m $m-bf16-again --set train.precision=bf16 --set train.recompute=true
    cmp "$work/$m-f32/metrics.jsonl" "$work/$m-again/metrics.jsonl" && cmp "$work/$m-bf16/metrics.jsonl" "$work/$m-bf16-again/metrics.jsonl"
    ok $? "$m: computing again changes no bit"
    arena() { "$headct" plan "$work/$m.yaml" --set model.depth=8 --set model.width=192 --set model.heads=3 --set model.mlp=768 \
        --set model.decoder.depth=8 --set model.decoder.width=192 --set model.decoder.mlp=768 --set data.image=48 --set optim.batch=48 "$@" | sed -n 's/^memory.*arena \([0-9.]*\),.*/\1/p'; }
    whole=$(arena) half=$(arena --set train.precision=bf16) again=$(arena --set train.recompute=true)
    note "$m: arena $whole GiB, $half in bf16, $again computed again"
    python3 -c "import sys; w, h, a = map(float, sys.argv[1:]); sys.exit(not (h < 0.75 * w and a < 0.6 * w))" "$whole" "$half" "$again"
    ok $? "$m: bf16 takes less than three quarters of the memory between forward and backward, computing again less than 0.6"
done
run mae parts --set train.precision=bf16 --set optim.batch=2 --set optim.accumulate=2 >/dev/null
near mae-bf16 parts 0.002
ok $? "two micro-batches of two are one batch of four, their gradients added up in f32"

long="--set train.precision=bf16 --set optim.epochs=60 --set optim.warmup_fraction=0 --set train.checkpoint_every=1"
# shellcheck disable=SC2086
run dino whole $long >/dev/null 2>&1
# shellcheck disable=SC2086
"$headct" pretrain --recipe "$work/dino.yaml" --data "$work/data" --run "$work/cut" --quiet $long >/dev/null 2>&1 &
pid=$!
until [ -f "$work/cut/checkpoints/last.safetensors" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
check "resumed after a kill" "$headct" pretrain --run "$work/cut" --resume --quiet
for f in weights.safetensors metrics.jsonl; do
    cmp "$work/whole/$f" "$work/cut/$f" >/dev/null 2>&1
    ok $? "bf16, killed and resumed: $f is the same"
done
"$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/nan" --quiet --set train.precision=bf16 --set optim.lr=1000 --set optim.weight_decay=1000 \
    --set optim.warmup_fraction=0 --set optim.schedule=constant --set optim.epochs=30 >"$work/out" 2>"$work/err"
[ $? -eq 1 ] && grep -qE "the (validation )?loss is -?(nan|inf); scans: .*last good checkpoint" "$work/err"
ok $? "a bf16 loss that is not finite stops with step and scans"
check "DINO in bf16 with batch norm in its head" run dino norm --set train.precision=bf16 --set dino.batch_norm=true --set optim.epochs=1
refuses 1 "adamw or adam" "bf16 with sgd" run mae bad --set train.precision=bf16 --set optim.name=sgd
done_testing
