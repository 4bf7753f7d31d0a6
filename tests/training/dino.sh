#!/bin/sh
# DINO through the program: killed and resumed it ends with the same teacher, student, centre and log; views do not depend on loader threads;
# the teacher's encoder can be used by others; what is logged and refused. $1: headct. HEADCT_KILLS: kills (6).
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
kills=${HEADCT_KILLS:-6}
recipe="$work/recipe.yaml"
cat >"$recipe" <<R
method: dino
seed: 7
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}
views: {global: 2, local: 2, region: 160, shrink: 4, global_min: 112, global_max: 160, local_min: 64, local_max: 112, flip: 0.5, shift_prob: 0.5,
        smooth_prob: 0.5, gamma_prob: 0.5}
dino: {prototypes: 64, hidden: 32, bottleneck: 16, teacher_temp: 0.07, teacher_temp_epochs: 4, momentum: 0.9}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 20, warmup_epochs: 2, warmup_fraction: 0, clip: 3, clip_mode: tensor}
train: {checkpoint_every: 1, log_every: 1, workers: 1, disk_cache: true, validate_every: 5}
R
tiny_data 12 8:2:2
start() { "$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet "$@"; }

check "an undisturbed run" start --run "$work/whole"
check "with four loader threads" start --run "$work/four" --set train.workers=4
for f in weights.safetensors checkpoints/last.safetensors; do
    same_tensors "$work/whole/$f" "$work/four/$f"
    ok $? "four loader threads: $f holds the same tensors"
done

# values FILE NAME: how many of a tensor's float32 values are not 0.
values() {
    python3 - "$1" "$2" <<'P'
import sys
from weights_file import floats
print(sum(v != 0 for v in floats(sys.argv[1])[sys.argv[2]]))
P
}
check "batch norm in the head, first weights as DINO's authors" start --run "$work/norm" --set dino.batch_norm=true --set model.init=normal --set optim.epochs=4
for name in head.norm.0 teacher.head.norm.2; do
    [ "$(values "$work/norm/checkpoints/last.safetensors" $name.running_mean)" = 32 ]
    ok $? "batch norm: $name kept statistics of its own"
done
"$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet --run "$work/norm2" --set dino.batch_norm=true --set model.init=normal \
    --set optim.epochs=4 --set train.log_every=2 >/dev/null 2>&1
same_tensors "$work/norm/weights.safetensors" "$work/norm2/weights.safetensors"
ok $? "batch norm: the same run gives the same weights"

run=$work/killed
"$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet --run "$run" >/dev/null 2>&1 &
i=0
while [ $i -lt "$kills" ]; do
    pid=$!
    i=$((i + 1))
    sleep 0.$(((i * 37) % 40 + 10))
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    "$headct" pretrain --run "$run" --resume --quiet >/dev/null 2>"$work/err" &
done
wait $!
ok $? "ends after $kills kills"
for f in weights.safetensors checkpoints/last.safetensors metrics.jsonl; do
    cmp "$work/whole/$f" "$run/$f" >/dev/null 2>&1
    ok $? "killed and resumed: $f is the same"
done

python3 - "$work/whole" <<'P'
import json, sys
from weights_file import read, tensors
state, (meta, names) = tensors(sys.argv[1] + "/checkpoints/last.safetensors"), read(sys.argv[1] + "/weights.safetensors")
assert [json.loads(meta["headct"])[k] for k in ("kind", "encoder")][0] == "encoder"
assert json.loads(meta["headct"])["encoder"]["kind"] == "vit"
assert "center" in state and all("teacher." + n in state and n in state for n in names), "student, teacher and centre"
assert not any(n.startswith(("head.", "teacher.")) for n in names), "weights are the teacher's encoder alone"
lines = [json.loads(l) for l in open(sys.argv[1] + "/metrics.jsonl")]
train = [l for l in lines if l["phase"] == "train"]
assert len(train) == 40 and all(k in train[-1] for k in ("loss", "lr", "grad_norm", "teacher_entropy", "feature_std"))
assert 0 < train[-1]["teacher_entropy"] < 4.1589 and train[-1]["feature_std"] > 0
assert sum(l["phase"] == "validation" for l in lines) == 4
P
ok $? "student, teacher, centre in the checkpoint; the teacher's encoder in weights.safetensors; entropy and spread in the log"
check "a probe on the teacher's encoder" "$headct" embed --weights "$work/whole/weights.safetensors" --data "$work/data" --out "$work/e.safetensors" --quiet
check "plan" "$headct" plan "$recipe"

start --run "$work/one" --set optim.epochs=1 --set optim.warmup_epochs=0 >/dev/null
python3 - "$work/one/checkpoints/last.safetensors" <<'P'
import sys
from weights_file import tensors
h = tensors(sys.argv[1])
t = lambda k: h[k][2]
last = "head.last_layer.weight_v"
assert not any(t("optimizer." + last + ".m")), "moments of a frozen last layer"
assert any(t("optimizer.head.mlp.0.weight.m"))
P
ok $? "the last layer is left alone in the first epoch"
refuses 1 "last good checkpoint" "a loss that is not finite stops with step and scans" start --run "$work/nan" --set optim.name=sgd --set optim.lr=1000 --set optim.weight_decay=1000 --set optim.clip=0 --set optim.clip_mode=none --set optim.warmup_epochs=0
refuses 1 "views.global_max" "crops that do not fit" start --run "$work/bad" --set views.global_max=224
refuses 1 "no key" "an unknown key" start --run "$work/bad" --set dino.temperature=1
done_testing
