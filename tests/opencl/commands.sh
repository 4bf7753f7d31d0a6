#!/bin/sh
# Every command that computes, with HEADCT_DEVICE=opencl: it runs there, and says what it says on the CPU within 1e-4 (training: within 1e-4 of each
# step's loss). pretrain and predict have tests of their own (training/opencl.sh, predict.sh). $1: headct.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
needs_opencl
model='model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}'
cat >"$work/mae.yaml" <<R
method: mae
seed: 7
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 1}
train: {workers: 1, validate_every: 0}
R
cat >"$work/probe.yaml" <<R
method: probe
data: {tasks: [SDH, IPH]}
optim: {epochs: 4, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}
R
cat >"$work/finetune.yaml" <<R
method: finetune
seed: 7
data: {tasks: [SDH, IPH], crop: 192, image: 24}
$model
finetune: {backbone_lr: 1e-4, drop_path: 0.2, layer_decay: 0.8}
views: {flip: 0.3, shift_prob: 0.5}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 2}
train: {workers: 1, log_every: 1}
R
sed 's/^finetune: {/&backbone: lora, lora_rank: 2, /' "$work/finetune.yaml" >"$work/lora.yaml"
tiny_data 24 5:2:3 --prevalence 0.5
check "pretrain" env HEADCT_DEVICE=cpu "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/mae" --quiet
w=$work/mae/weights.safetensors

cat >"$work/compare.py" <<'P'
"""compare.py A B LIMIT: the largest difference of two outputs' numbers, of the same kind: .csv, .jsonl, .safetensors."""
import array, csv, json, math, sys, weights_file

def numbers(path):
    if path.endswith(".csv"):
        for row in csv.DictReader(open(path)):
            for key, text in row.items():
                try: yield key, float(text)
                except ValueError: pass
    elif path.endswith(".jsonl"):
        for line in open(path):
            row = json.loads(line)
            if row.get("phase") == "train": yield "loss", row["loss"]
    else:
        for name, (dtype, _, data) in weights_file.tensors(path).items():
            if dtype == "F32": yield from ((name, x) for x in array.array("f", data))

a, b = list(numbers(sys.argv[1])), list(numbers(sys.argv[2]))
same = len(a) == len(b) > 0 and all(x == y for (x, _), (y, _) in zip(a, b))
worst = max((abs(x - y) for (_, x), (_, y) in zip(a, b) if not (math.isnan(x) and math.isnan(y))), default=1)
print("#", len(a), "numbers, largest difference", worst)
sys.exit(not (same and worst <= float(sys.argv[3])))
P
# both NAME FILE LIMIT COMMAND...: runs COMMAND, OUT in it replaced by a folder of its own, on both devices; FILE below OUT differs by LIMIT at most.
both() {
    name=$1 file=$2 limit=$3
    shift 3
    for device in cpu opencl; do
        out=$work/$device/$(echo "$name" | tr -c 'a-z\n' _)
        mkdir -p "$work/$device"
        script=$(for word; do printf "'%s' " "$(echo "$word" | sed "s|OUT|$out|g")"; done)
        status=0
        HEADCT_DEVICE=$device HCT_VERBOSE=dispatch sh -c "$script" >"$work/out" 2>"$work/$device.log" || status=$?
        [ $status -eq 0 ]
        ok $? "$name on $device"
        [ $status -eq 0 ] || grep -v '^dispatch' "$work/$device.log" | sed 's/^/# /' | tail -n 5
    done
    grep -qE ': (cl|clblast):[^ ]+ chosen' "$work/opencl.log" && ! grep -qE ': (cl|clblast):' "$work/cpu.log"
    ok $? "$name: HEADCT_DEVICE says where"
    folder=$(echo "$name" | tr -c 'a-z\n' _)
    python3 "$work/compare.py" "$work/cpu/$folder$file" "$work/opencl/$folder$file" "$limit"
    ok $? "$name: the same numbers"
}
both "embed" .safetensors 1e-4 "$headct" embed --weights "$w" --data "$work/data" --out OUT.safetensors --quiet
for kind in linear attentive; do
    both "probe, $kind" /predictions.csv 1e-4 "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --kind $kind --set probe.heads=2 --run OUT --quiet
done
both "evaluate another dataset" /predictions.csv 1e-4 "$headct" evaluate --run "$work/cpu/probe__linear" --data "$work/data" --out OUT
both "finetune" /SDH/metrics.jsonl 1e-4 "$headct" finetune --recipe "$work/finetune.yaml" --data "$work/data" --weights "$w" --run OUT --quiet
both "finetune, lora" /SDH/metrics.jsonl 1e-4 "$headct" finetune --recipe "$work/lora.yaml" --data "$work/data" --weights "$w" --run OUT --quiet
both "fewshot" /fewshot.csv 1e-3 "$headct" fewshot --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --k 1,2 --draws 2 --run OUT --quiet
both "sweep" /sweep.csv 1e-3 "$headct" sweep --recipe "$work/probe.yaml" --data "$work/data" --set "probe.weights=$w" --lr 1e-2,1e-3 --wd 0.01 --epochs 2 --run OUT --quiet
done_testing
