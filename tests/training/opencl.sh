#!/bin/sh
# One MAE and one DINO run of a few steps on an OpenCL device, step by step as on the CPU (losses within 1e-4).
# Skipped where there is no such device. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
needs_opencl
tiny_data 12 8:2:2
cat >"$work/mae.yaml" <<R
method: mae
seed: 7
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
views: {flip: 0.5, shift_prob: 0.5}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 2}
train: {log_every: 1, workers: 1, validate_every: 0}
R
cat >"$work/dino.yaml" <<R
method: dino
seed: 7
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}
views: {global: 2, local: 2, region: 160, shrink: 4, global_min: 112, global_max: 160, local_min: 64, local_max: 112, flip: 0.5, shift_prob: 0.5,
        smooth_prob: 0.5, gamma_prob: 0.5}
dino: {prototypes: 64, hidden: 32, bottleneck: 16, momentum: 0.9}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 2, warmup_fraction: 0, clip: 3, clip_mode: tensor}
train: {log_every: 1, workers: 1, validate_every: 0}
R
for method in mae dino; do
    for device in cpu opencl; do
        check "$method on $device" "$headct" pretrain --recipe "$work/$method.yaml" --data "$work/data" --run "$work/$method-$device" --quiet --set train.device=$device
    done
    python3 - "$work/$method-cpu/metrics.jsonl" "$work/$method-opencl/metrics.jsonl" <<'P'
import json, sys
a, b = ([json.loads(line)["loss"] for line in open(path)] for path in sys.argv[1:3])
worst = max(abs(x - y) for x, y in zip(a, b))
print("# largest difference of", len(a), "losses:", worst)
sys.exit(len(a) != 4 or len(b) != 4 or not worst <= 1e-4)
P
    ok $? "$method: each step's loss within 1e-4 of the CPU's"
done
done_testing
