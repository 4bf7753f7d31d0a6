#!/bin/sh
# A run that four ranks began goes on with one, two or eight, and its losses are those of the undisturbed run; three, which cannot share a step, are
# refused. A rank that is killed ends the job by name within half a minute, and the same ranks go on to the very bytes. $1: headct, $2: "all", or a part.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # what MPI keeps drowns what is ours
ranks="timeout 120 mpirun --oversubscribe --bind-to none"
tiny_data 24 16:4:4
cat >"$work/mae.yaml" <<R
method: mae
seed: 7
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, qkv_bias: true, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
views: {flip: 0.5, shift_prob: 0.5}
optim: {name: sgd, lr: 8, scale_lr_by_batch: true, batch: 2, accumulate: 1, epochs: 6}
train: {log_every: 1, workers: 1, validate_every: 1, keep: 100}
R
cat >"$work/dino.yaml" <<R
method: dino
seed: 7
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}
views: {global: 2, local: 2, region: 160, shrink: 4, global_min: 112, global_max: 160, local_min: 64, local_max: 112, flip: 0.5, shift_prob: 0.5,
        smooth_prob: 0.5, gamma_prob: 0.5}
dino: {prototypes: 64, hidden: 32, bottleneck: 16, momentum: 0.9, freeze_last_layer: 0, student_temp: 0.5, teacher_temp_start: 0.3, teacher_temp: 0.3}
optim: {name: sgd, lr: 0.2, scale_lr_by_batch: true, batch: 2, accumulate: 1, epochs: 6, warmup_fraction: 0, clip: 3, clip_mode: tensor}
train: {log_every: 1, workers: 1, validate_every: 1, keep: 100}
R
sed 's/^dino: {/dino: {batch_norm: true, /; s/validate_every: 1/validate_every: 0/' "$work/dino.yaml" >"$work/dino-norm.yaml"
# The process of one rank of a run: headct itself, not mpirun.
rank_of() {
    for p in /proc/[0-9]*; do
        case "$( (tr '\0' ' ' <"$p/cmdline") 2>/dev/null)" in "$headct pretrain "*"--run $1 "*) echo "${p#/proc/}" && return ;; esac
    done
}
# stopped_at STEP RUN COPY: the folder as it was when that step's checkpoint was the last one.
stopped_at() {
    cp -r "$2" "$3"
    mv "$3/checkpoints/step-$1.safetensors" "$3/checkpoints/last.safetensors"
    rm "$3"/weights.safetensors
    for f in "$3"/checkpoints/step-*; do at=${f##*step-}; [ "${at%.safetensors}" -lt "$1" ] || rm "$f"; done
}
resume() { run=$1; shift; "$@" "$headct" pretrain --run "$run" --resume --quiet; }
for method in mae dino dino-norm; do
    case $2-$method in all-dino-norm) numbers="2 8" ;; all-* | *-mae) numbers="1 2 8" ;; *-dino) continue ;; *) numbers=8 ;; esac
    check "$method: four ranks, undisturbed" $ranks -np 4 "$headct" pretrain --recipe "$work/$method.yaml" --data "$work/data" --run "$work/$method" --quiet
    for n in $numbers; do
        stopped_at 4 "$work/$method" "$work/$method-$n"
        if [ "$n" = 1 ]; then
            check "$method: one process goes on" resume "$work/$method-1"
        else
            check "$method: $n ranks go on" resume "$work/$method-$n" $ranks -np "$n"
        fi
        python3 - "$work/$method/metrics.jsonl" "$work/$method-$n/metrics.jsonl" <<'P'
import json, sys
one, two = ([json.loads(l) for l in open(p)] for p in sys.argv[1:3])
assert len(one) == len(two) >= 12 and [(a["step"], a["phase"]) for a in one] == [(b["step"], b["phase"]) for b in two]
worst = {k: max(abs(a[k] - b[k]) / abs(a[k]) for a, b in zip(one, two) if k in a and a[k]) for k in ("loss", "lr", "grad_norm") if k in one[0]}
print("# largest relative difference of what is logged:", worst)
assert all(v <= 1e-5 for v in worst.values())
P
        ok $? "$method: begun by 4, gone on with by $n: losses, rates and norms are those of the undisturbed run within 1e-5"
    done
done
stopped_at 4 "$work/mae" "$work/three"
fails "a step takes 8 scans (optim.batch x optim.accumulate x the 4 ranks that the run began with), which 3 ranks cannot share evenly" \
    "three ranks are refused" resume "$work/three" $ranks -np 3
check "and nothing is harmed by it: two go on" resume "$work/three" $ranks -np 2
stopped_at 4 "$work/dino-norm" "$work/norm-16"
fails "with batch statistics as they were" "16 ranks of a step of 8" resume "$work/norm-16" $ranks -np 16
check "what two have gone on with, one ends" sh -c "cp -r '$work/mae-2' '$work/again' && mv '$work/again/checkpoints/step-6.safetensors' '$work/again/checkpoints/last.safetensors' &&
    '$headct' pretrain --run '$work/again' --resume --quiet"

# A rank dies
sed 's/epochs: 6/epochs: 60/; s/, keep: 100//' "$work/mae.yaml" >"$work/long.yaml"
long() { $ranks -np 4 "$headct" pretrain --recipe "$work/long.yaml" --data "$work/data" --quiet --run "$1" --set train.workers=1; }
check "four ranks, a longer run" long "$work/long"
long "$work/cut" >/dev/null 2>"$work/err" &
job=$!
until [ -f "$work/cut/checkpoints/last.safetensors" ] || ! kill -0 $job 2>/dev/null; do sleep 0.05; done
start=$(date +%s)
kill -9 "$(rank_of "$work/cut")"
wait $job
code=$?
seconds=$(($(date +%s) - start))
[ $code -ne 0 ] && [ $seconds -le 30 ]
ok $? "a rank that is killed ends the job within 30 s ($seconds s, status $code)"
grep -qE "rank [0-3]" "$work/err"
ok $? "by name: $(grep -oE "[^.]*rank [0-3][^.]*" "$work/err" | head -n 1)"
# A machine that is gone: none of its ranks gives a sign of life. With the time that is allowed when nothing is said.
if [ "$2" = all ]; then
    sed 's/epochs: 60/epochs: 100000/' "$work/long.yaml" >"$work/stuck.yaml"
    $ranks -np 4 "$headct" pretrain --recipe "$work/stuck.yaml" --data "$work/data" --quiet --run "$work/stuck" >/dev/null 2>"$work/err" &
    job=$!
    until [ -f "$work/stuck/checkpoints/last.safetensors" ] || ! kill -0 $job 2>/dev/null; do sleep 0.05; done
    one=$(rank_of "$work/stuck")
    start=$(date +%s)
    kill -STOP "$one"
    wait $job
    code=$?
    seconds=$(($(date +%s) - start))
    kill -CONT "$one" 2>/dev/null
    [ $code -ne 0 ] && [ $seconds -le 30 ] && grep -q "rank [0-3] of 4 has given no sign of life" "$work/err"
    ok $? "a rank that is gone without a word ends the job within 30 s ($seconds s): $(grep -o "rank [0-3] of 4 has given no sign of life" "$work/err" | head -n 1)"
fi
check "mpirun again goes on" resume "$work/cut" $ranks -np 4
for f in weights.safetensors metrics.jsonl; do
    cmp "$work/long/$f" "$work/cut/$f" >/dev/null 2>&1
    ok $? "killed and resumed by as many: $f is the same"
done
done_testing
