#!/bin/sh
# Training on the emulated device: 20 steps of MAE and of DINO beside the CPU's; the same bits without graphs, without a batch sent ahead, and in orders
# that nobody asked for; two ranks against one with twice the batch. $1: headct; $2: "all": every order, in both precisions.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1 all='' mae_epochs=10 dino_epochs=5
[ "${2:-}" != all ] || all=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
tiny_data 12 8:2:2
cat >"$work/mae.yaml" <<R
method: mae
seed: 7
data: {crop: 192, image: 24}
model: {patch: 12, width: 48, depth: 1, heads: 3, mlp: 64, decoder: {width: 48, depth: 1, heads: 3, mlp: 64}}
views: {flip: 0.5, shift_prob: 0.5}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 2, accumulate: 2, epochs: $mae_epochs, clip: 1, clip_mode: global}
train: {workers: 1, validate_every: 0, log_every: 1, checkpoint_every: 1000}
R
cat >"$work/dino.yaml" <<R
method: dino
seed: 7
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24}
model: {patch: 12, width: 48, depth: 1, heads: 3, mlp: 64}
views: {global: 2, local: 1, region: 120, shrink: 4, global_min: 88, global_max: 120, local_min: 48, local_max: 88, flip: 0.5}
dino: {prototypes: 64, hidden: 32, bottleneck: 16, momentum: 0.9, freeze_last_layer: 0, student_temp: 0.2, teacher_temp_start: 0.1, teacher_temp: 0.1}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 2, accumulate: 1, epochs: $dino_epochs, clip: 3, clip_mode: tensor}
train: {workers: 1, validate_every: 0, log_every: 1, checkpoint_every: 1000}
R
# train "NAME=VALUE..." RECIPE RUN [OPTION...]: on the emulated device, in that environment.
train() {
    environment=$1 recipe=$2 out=$3
    shift 3
    # shellcheck disable=SC2086
    env $environment "$headct" pretrain --recipe "$work/$recipe.yaml" --data "$work/data" --run "$work/$out" --quiet --set train.device=cuda "$@"
}
# Losses of two runs, step by step, and their largest relative difference: steps, limit.
cat >"$work/near.py" <<'P'
import json, sys
one, two = ([json.loads(l)["loss"] for l in open(run + "/metrics.jsonl")] for run in sys.argv[1:3])
gap = max(abs(a - b) / abs(a) for a, b in zip(one, two, strict=True))
print(f"# {len(one)} steps, losses from {one[0]:.6f} to {one[-1]:.6f}, largest relative difference {gap:.2e}")
assert len(one) == int(sys.argv[3]) and len(set(one)) == len(one) and gap <= float(sys.argv[4])
P
steps() { [ "$1" = mae ] && echo $((2 * mae_epochs)) || echo $((4 * dino_epochs)); }
near() { python3 "$work/near.py" "$work/$1" "$work/$2" "$3" "$4"; }
same() { # the same losses and weights, bit for bit
    python3 - "$work/$1" "$work/$2" "$(steps $method)" <<'P' && same_tensors "$work/$1/checkpoints/last.safetensors" "$work/$2/checkpoints/last.safetensors"
import json, sys
one, two = ([json.loads(l)["loss"] for l in open(run + "/metrics.jsonl")] for run in sys.argv[1:3])
assert one == two and len(one) == int(sys.argv[3])
P
}
for method in mae dino; do
    check "$method on the CPU" "$headct" pretrain --recipe "$work/$method.yaml" --data "$work/data" --run "$work/$method-cpu" --quiet --set train.device=cpu
    check "$method on the device" train "" $method $method-f32
    near $method-cpu $method-f32 "$(steps $method)" 1e-5
    ok $? "$method, f32: within 1e-5 of the CPU's losses"
    check "$method in bf16" train "" $method $method-bf16 --set train.precision=bf16
    near $method-cpu $method-bf16 "$(steps $method)" 0.02
    ok $? "$method, bf16: within 2% of the CPU's losses in f32"
    for precision in f32 ${all:+bf16}; do
        for how in HCT_GRAPH=0 HCT_AHEAD=0 "EMU_ORDER=lazy EMU_THREADS=reverse" \
            ${all:+"EMU_ORDER=lazy EMU_THREADS=unfair" "EMU_ORDER=random EMU_THREADS=random" "EMU_ORDER=random EMU_SEED=2" "EMU_ORDER=random EMU_SEED=3 HCT_GRAPH=0"}; do
            rm -rf "$work/other"
            check "$method, $precision, $how" train "$how" $method other --set train.precision=$precision
            same $method-$precision other
            ok $? "$method, $precision: the same bits"
        done
    done
done
# More tensors than a launch's table holds (optim.c's MANY): narrow, deep, an epoch.
deep="--set model.depth=7 --set model.width=12 --set model.heads=1 --set model.mlp=16 --set optim.epochs=1"
# shellcheck disable=SC2086
check "a deep model on the CPU" "$headct" pretrain --recipe "$work/dino.yaml" --data "$work/data" --run "$work/deep-cpu" --quiet --set train.device=cpu $deep
for precision in f32 bf16; do
    limit=1e-5
    [ $precision = f32 ] || limit=0.02
    # shellcheck disable=SC2086
    check "on the device, $precision" train "" dino deep-$precision --set train.precision=$precision $deep
    near deep-cpu deep-$precision 4 $limit
    ok $? "$precision: within $limit of the CPU's losses in f32"
done
if command -v mpirun >/dev/null && [ -n "$(find "$(dirname "$headct")/../plugins/mpi" -name 'hct_comm_mpi.so' 2>/dev/null)" ]; then
    export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # what MPI keeps drowns what is ours
    # SGD: Adam would enlarge the last bits of what is nearly zero
    sgd="--set optim.name=sgd --set optim.lr=0.01"
    [ -n "$all" ] || sgd="$sgd --set optim.epochs=3"
    for method in mae dino; do
        for order in eager ${all:+lazy random}; do
            rm -rf "$work/$method-one" "$work/$method-two"
            # shellcheck disable=SC2086
            check "$method: one rank, batch 4" train "" $method $method-one --set optim.batch=4 $sgd
            # shellcheck disable=SC2086
            EMU_ORDER=$order check "$method: two ranks, batch 2 each, $order" timeout 240 mpirun --oversubscribe --bind-to none -np 2 "$headct" pretrain \
                --recipe "$work/$method.yaml" --data "$work/data" --run "$work/$method-two" --quiet --set train.device=cuda $sgd
            near $method-one $method-two "$(wc -l <"$work/$method-one/metrics.jsonl")" 1e-5
            ok $? "$method, $order: two ranks within 1e-5 of one with twice the batch"
        done
    done
else
    skip "two ranks" "no MPI here"
fi
done_testing
