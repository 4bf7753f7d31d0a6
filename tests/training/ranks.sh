#!/bin/sh
# Several ranks through the program, by mpirun: the same losses and weights as one rank with the larger batch; resuming; what differs between
# ranks, and a rank that dies or stops, ends the job with a reason. $1: headct, $2: test_ranks.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # what MPI keeps drowns what is ours
ranks="timeout 120 mpirun --oversubscribe --bind-to none"
$ranks -np 2 "$2" >"$work/unit" 2>"$work/err"
code=$?
relay "$work/unit"
ok $code "two ranks against one, call by call"
[ $code -eq 0 ] || sed 's/^/# /' "$work/err"
check "three ranks against one, call by call" $ranks -np 3 "$2"

tiny_data 12 8:2:2
cat >"$work/mae.yaml" <<R
method: mae
seed: 7
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, qkv_bias: true, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
views: {flip: 0.5, shift_prob: 0.5}
optim: {name: sgd, lr: 0.5, scale_lr_by_batch: false, batch: 2, accumulate: 2, epochs: 4}
train: {log_every: 1, workers: 1, validate_every: 1}
R
cat >"$work/dino.yaml" <<R
method: dino
seed: 7
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}
views: {global: 2, local: 2, region: 160, shrink: 4, global_min: 112, global_max: 160, local_min: 64, local_max: 112, flip: 0.5, shift_prob: 0.5,
        smooth_prob: 0.5, gamma_prob: 0.5}
dino: {prototypes: 64, hidden: 32, bottleneck: 16, momentum: 0.9, freeze_last_layer: 0, student_temp: 0.5, teacher_temp_start: 0.3, teacher_temp: 0.3}
optim: {name: sgd, lr: 0.01, scale_lr_by_batch: false, batch: 2, accumulate: 1, epochs: 3, warmup_fraction: 0, clip: 3, clip_mode: tensor}
train: {log_every: 1, workers: 1, validate_every: 1}
R
run() { recipe=$1 out=$2 n=$3; shift 3; $ranks -np "$n" "$headct" pretrain --recipe "$work/$recipe.yaml" --data "$work/data" --run "$work/$out" --quiet "$@"; }
# The process of one rank of a run: headct itself, not mpirun.
rank_of() {
    for p in /proc/[0-9]*; do
        case "$( (tr '\0' ' ' <"$p/cmdline") 2>/dev/null)" in "$headct pretrain "*"--run $1 "*) echo "${p#/proc/}" && return ;; esac
    done
}
sed 's/^dino: {/dino: {batch_norm: true, /; s/validate_every: 1/validate_every: 0/' "$work/dino.yaml" >"$work/dino-norm.yaml"
for method in mae dino dino-norm; do
    check "$method: one rank, batch 4" "$headct" pretrain --recipe "$work/$method.yaml" --data "$work/data" --run "$work/$method-one" --quiet --set optim.batch=4
    check "$method: two ranks, batch 2 each" run $method $method-two 2
    python3 - "$work/$method-one" "$work/$method-two" <<'P'
import json, sys
from weights_file import floats
def lines(run):
    return [json.loads(l) for l in open(run + "/metrics.jsonl")]
one, two = lines(sys.argv[1]), lines(sys.argv[2])
assert len(one) == len(two) > 3 and [sorted(a) for a in one] == [sorted(b) for b in two]
worst = {k: max(abs(a[k] - b[k]) / abs(a[k]) for a, b in zip(one, two) if k in a and k in b) for k in ("loss", "lr", "grad_norm", "teacher_entropy") if k in one[0]}
print("# largest relative difference of what is logged:", worst)
assert all(v <= 1e-5 for v in worst.values())
a, b = (floats(run + "/checkpoints/last.safetensors") for run in sys.argv[1:3])
assert a.keys() == b.keys()
gap, where, moments = 0, "", 0
for k in a:
    x, y = a[k], b[k]
    keep = [i for i in range(len(x)) if not ("qkv.bias" in k and len(x) // 3 <= i < 2 * (len(x) // 3))]
    plain = k.replace("optimizer.", "").replace("teacher.", "").removesuffix(".m")
    if "head.norm.0.running_mean" in a and plain in ("norm.bias", "head.mlp.0.bias", "head.mlp.2.bias"):
        continue # behind a shift comes a norm that takes it away: gradients of zero, what is computed is noise
    if k.startswith("optimizer."): # sums of gradients: held to the gradients' limit
        norm = sum(x[i] ** 2 for i in keep) ** 0.5
        moments = max(moments, sum((x[i] - y[i]) ** 2 for i in keep) ** 0.5 / norm if norm else 0)
        continue
    g = max((abs(x[i] - y[i]) for i in keep), default=0)
    if g > gap: gap, where = g, k
print("# largest difference of weights:", gap, where, "; of moments, rel_l2:", moments)
assert 0 < gap <= 1e-6 and moments <= 1e-5
if "center" in a: assert any(a["center"])
P
    ok $? "$method: losses and norms within 1e-5, weights within 1e-6 of one rank's, moments within 1e-5 rel_l2"
done
files() { (cd "$work/$1" && find . -type f ! -name '*events*' | sort); }
[ "$(files mae-one)" = "$(files mae-two)" ] && [ "$(find "$work/mae-two" -name '*events*' | wc -l)" -eq 1 ]
ok $? "one rank writes: the same files"

if "$headct" backends 2>/dev/null | grep -q 'device opencl:0'; then
    check "mae: two ranks on OpenCL" run mae mae-cl 2 --set train.device=opencl --set optim.epochs=4
    python3 - "$work/mae-one/metrics.jsonl" "$work/mae-cl/metrics.jsonl" <<'P'
import json, sys
a, b = ([json.loads(l)["loss"] for l in open(p)] for p in sys.argv[1:3])
worst = max(abs(x - y) for x, y in zip(a, b))
print("# largest difference of", len(a), "losses:", worst)
sys.exit(not (len(a) == len(b) > 4 and worst <= 1e-4))
P
    ok $? "mae: two ranks on OpenCL, losses within 1e-4 of one rank on the CPU"
else
    skip "ranks on OpenCL" "no OpenCL device here"
fi

# Resuming
run mae half 2 --set optim.epochs=40 --set optim.warmup_fraction=0 >/dev/null 2>&1
run mae cut 2 --set optim.epochs=40 --set optim.warmup_fraction=0 >/dev/null 2>&1 &
job=$!
until [ -f "$work/cut/checkpoints/last.safetensors" ] || ! kill -0 $job 2>/dev/null; do sleep 0.1; done
one=$(rank_of "$work/cut")
kill -9 "$one"
wait $job
[ $? -ne 0 ]
ok $? "a rank that is killed ends the job"
check "it is resumed" $ranks -np 2 "$headct" pretrain --run "$work/cut" --resume --quiet
for f in weights.safetensors metrics.jsonl; do
    cmp "$work/half/$f" "$work/cut/$f" >/dev/null 2>&1
    ok $? "killed and resumed: $f is the same"
done

# What differs, and who
pair() { $ranks -np 1 "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/bad" --quiet : \
    -np 1 "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/bad" --quiet "$@"; }
fails "rank 1 has another recipe than rank 0" "ranks with other recipes" pair --set optim.lr=0.1
fails "rank 1 of 2: " "a rank that cannot read its data says so" pair --set data.dataset=/nowhere
fails "rank 1 of 2: " "an unknown key on one rank" pair --set optim.rate=1
cp -r "$work/half" "$work/other"
python3 - "$work/other/checkpoints/last.safetensors" <<'P'
import json, struct, sys
b = bytearray(open(sys.argv[1], "rb").read())
n = struct.unpack("<Q", b[:8])[0]
h = json.loads(b[8:8 + n])
b[8 + n + h["blocks.0.attn.proj.weight"]["data_offsets"][0]] ^= 1
b = b.replace(b'"crc32"', b'"crc--"', 1) # whole by itself: no checksum tells
open(sys.argv[1], "wb").write(b)
P
fails "rank 1 has another checksum of its weights than rank 0" "ranks with other weights" $ranks -np 1 "$headct" pretrain --run "$work/half" --resume --quiet : \
    -np 1 "$headct" pretrain --run "$work/other" --resume --quiet
fails "it runs as one" "finetune as two ranks" $ranks -np 2 "$headct" finetune --recipe x --run y

# A rank that hangs, where no launcher notices
HEADCT_RANK_TIMEOUT=2 run mae stuck 2 --set optim.epochs=100000 >/dev/null 2>"$work/err" &
job=$!
until [ -f "$work/stuck/checkpoints/last.safetensors" ] || ! kill -0 $job 2>/dev/null; do sleep 0.1; done
one=$(rank_of "$work/stuck")
kill -STOP "$one"
start=$(date +%s)
wait $job
code=$?
kill -CONT "$one" 2>/dev/null
[ $code -ne 0 ] && [ $(($(date +%s) - start)) -lt 60 ] && grep -q "rank [01] of 2 has given no sign of life" "$work/err"
ok $? "a rank that stands still ends the job within a minute"

# Signals reach all ranks at one step
run mae asked 2 --set optim.epochs=100000 >/dev/null 2>"$work/err" &
job=$!
until [ -f "$work/asked/checkpoints/last.safetensors" ] || ! kill -0 $job 2>/dev/null; do sleep 0.1; done
kill -TERM "$(rank_of "$work/asked")"
wait $job
code=$?
grep -q "stopped after step" "$work/err"
ok $? "a signal to one rank stops all at one step, with a checkpoint (status $code)"
done_testing
