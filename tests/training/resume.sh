#!/bin/sh
# Killed and resumed, a run ends with the very bytes of an undisturbed one. $1: headct, $2: write_shim_preload.so. HEADCT_KILLS: kills for each number of loader threads (20).
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1 shim=$2
kills=${HEADCT_KILLS:-20}
recipe="$work/recipe.yaml"
cat >"$recipe" <<R
method: mae
seed: 7
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 60}
train: {checkpoint_every: 1, log_every: 1, workers: 1, disk_cache: true}
R
tiny_data 12 8:2:2
start() { "$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet "$@"; }

check "an undisturbed run" start --run "$work/whole"
steps=$(grep -c '"train"' "$work/whole/metrics.jsonl")
note "$steps steps"

# same RUN NAME: weights, checkpoint (optimiser, step), log equal the undisturbed run's; no line of the log is there twice.
same() {
    for f in weights.safetensors checkpoints/last.safetensors checkpoints/best.safetensors metrics.jsonl; do
        cmp "$work/whole/$f" "$1/$f" >"$work/cmp" 2>&1
        ok $? "$2: $f is the same"
    done
    [ -z "$(sort "$1/metrics.jsonl" | uniq -d)" ]
    ok $? "$2: no line twice"
}

# ---- kill -9 ----
# A third of the kills strikes in the midst of a checkpoint's write, after a random number of bytes (the preloaded write() kills the program);
# the others from outside, at a random line of the log and a random moment. A kill counts where the program was indeed ended by it, and as
# one during a write where it left a half-written file. $HEADCT_SEED repeats a sequence.
seed=${HEADCT_SEED:-$(date +%s)}
note "kill -9: HEADCT_SEED=$seed"
sed 's/epochs: 60/epochs: 300/; s/log_every: 1/log_every: 1, validate_every: 20/' "$recipe" >"$work/long.yaml"
check "a longer run, undisturbed" "$headct" pretrain --recipe "$work/long.yaml" --data "$work/data" --quiet --run "$work/long"
lines=$(wc -l <"$work/long/metrics.jsonl")
bytes=$(stat -c %s "$work/long/checkpoints/last.safetensors")
# One line for each kill: "write BYTES", or "outside LINE SECONDS".
awk -v n="$kills" -v lines="$lines" -v bytes="$bytes" -v seed="$seed" 'BEGIN {
    srand(seed)
    for (i = 1; i <= 2 * n; i++)
        if (i % 3 == 0) printf "write %d\n", rand() * bytes * (lines / (n + 1) - 1)
        else printf "outside %d %.3f\n", lines * ((i - 1) % n + rand()) / (n + 1), rand() / 20
}' >"$work/plan"
# cut_off RUN: a file is half-written.
cut_off() { set -- "$1"/checkpoints/*.tmp.*; [ -e "$1" ]; }
first=1
for workers in 1 4; do
    run=$work/killed-$workers
    sed "s/workers: 1/workers: $workers/" "$work/long.yaml" >"$work/other.yaml"
    killed=0 writing=0
    set -- --recipe "$work/other.yaml" --data "$work/data" --run "$run"
    sed -n "$first,$((first + kills - 1))p" "$work/plan" >"$work/kills"
    first=$((first + kills))
    while read -r how much delay; do
        rm -f "$run"/checkpoints/*.tmp.*
        if [ "$how" = write ]; then
            LD_PRELOAD="$shim" WRITE_SHIM_KILL="$much" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" "$headct" pretrain "$@" --quiet >/dev/null 2>"$work/err" &
        else
            "$headct" pretrain "$@" --quiet >/dev/null 2>"$work/err" &
        fi
        pid=$!
        if [ "$how" = outside ]; then
            until [ -e "$run/recipe.yaml" ] && [ "$(cat "$run/metrics.jsonl" 2>/dev/null | wc -l)" -ge "$much" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.005; done
            sleep "$delay"
            kill -9 $pid 2>/dev/null
        fi
        status=0
        wait $pid 2>/dev/null || status=$?
        [ $status -eq 137 ] && killed=$((killed + 1))
        cut_off "$run" && writing=$((writing + 1))
        set -- --run "$run" --resume # before recipe.yaml there is no run to resume
    done <"$work/kills"
    planned=$(grep -c write "$work/kills")
    [ $killed -eq "$kills" ]
    ok $? "$workers loader threads: $killed of $kills kills ended the program"
    [ $writing -ge "$planned" ] && [ $writing -gt 0 ]
    ok $? "$workers loader threads: $writing of them left a half-written checkpoint"
    touch -d '2 days ago' "$run/checkpoints/last.safetensors.tmp.1.0" # as a headct killed elsewhere leaves it
    check "$workers loader threads: and then it runs to the end" "$headct" pretrain --run "$run" --resume --quiet
    [ "$(ls "$run/checkpoints" | tr '\n' ' ')" = "best.safetensors last.safetensors " ]
    ok $? "$workers loader threads: nothing is left of the writes that were killed"
    for f in weights.safetensors checkpoints/last.safetensors; do # workers is a key of the recipe, and so in the description: compare tensors
        python3 - "$work/long/$f" "$run/$f" <<'P'
import sys
from weights_file import read
a, b = read(sys.argv[1]), read(sys.argv[2])
sys.exit(a[1] != b[1] or a[0].get("run_state") != b[0].get("run_state"))
P
        ok $? "$workers loader threads: every tensor of $f is the same"
    done
    cmp "$work/long/metrics.jsonl" "$run/metrics.jsonl" >/dev/null
    ok $? "$workers loader threads: metrics.jsonl is the same"
    [ -z "$(sort "$run/metrics.jsonl" | uniq -d)" ]
    ok $? "$workers loader threads: no line twice"
done

for signal in TERM USR1; do
    run=$work/stopped-$signal
    "$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet --run "$run" >/dev/null 2>&1 & # no function: the signal is for headct itself
    pid=$!
    while [ ! -e "$run/checkpoints/last.safetensors" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    kill -$signal $pid
    wait $pid
    [ $? -eq 75 ]
    ok $? "SIG$signal: status 75"
    check "SIG$signal: resumes" "$headct" pretrain --run "$run" --resume --quiet
    same "$run" "SIG$signal"
done

refuses 1 "there is a run already" "a run is not started over another" start --run "$work/whole"
refuses 1 "another recipe" "a changed recipe is not resumed" "$headct" pretrain --run "$work/whole" --resume --set optim.lr=0.5 --quiet
check "and the run is not harmed by the attempt" "$headct" pretrain --run "$work/whole" --resume --quiet
refuses 1 "last good checkpoint" "a loss that is not finite stops with step and scans" start --run "$work/nan" --set optim.name=sgd --set optim.lr=1000 --set optim.warmup_fraction=0
mkdir -p "$work/shape/checkpoints"
sed 's/width: 24, depth: 1, heads: 2, mlp: 48, decoder/width: 48, depth: 1, heads: 2, mlp: 48, decoder/' "$recipe" >"$work/shape.yaml"
check "a run of another width" "$headct" pretrain --recipe "$work/shape.yaml" --data "$work/data" --quiet --run "$work/wide" --set optim.epochs=1
cp "$work/wide/checkpoints/last.safetensors" "$work/shape/checkpoints/" && cp "$work/whole/recipe.yaml" "$work/shape/"
refuses 1 "last.safetensors" "a checkpoint of another shape" "$headct" pretrain --run "$work/shape" --resume --quiet
head -c 3000 "$work/whole/checkpoints/last.safetensors" >"$work/shape/checkpoints/last.safetensors"
refuses 1 "last.safetensors" "a checkpoint that ends early" "$headct" pretrain --run "$work/shape" --resume --quiet

# A full disk: training goes on and says so, what is written last fails, the checkpoint in place is whole, and with room again the run goes on. On a small tmpfs where mounting is
# allowed, and by a write() that runs out ($2, preloaded).
full() { # full NAME RUN COMMAND...
    name=$1 run=$2
    shift 2
    refuses 1 ".safetensors: writing failed" "$name" "$@" "$headct" pretrain --run "$run" --resume --quiet
    check "$name: the checkpoint in place is whole" "$headct" export --weights "$run/checkpoints/last.safetensors" --out "$work/whole.safetensors"
}
begun() { # begun RUN: a run that was stopped early
    "$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet --run "$1" >/dev/null 2>&1 &
    pid=$!
    while [ ! -e "$1/checkpoints/last.safetensors" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    kill -TERM $pid
    wait $pid
}
if mkdir "$work/disk" && mount -t tmpfs -o size=16m tmpfs "$work/disk" 2>/dev/null; then
    begun "$work/disk/run"
    dd if=/dev/zero of="$work/disk/fill" bs=1k count=16384 2>/dev/null
    full "a full tmpfs" "$work/disk/run"
    rm -f "$work/disk/fill"
    check "a full tmpfs: with room again it goes on" "$headct" pretrain --run "$work/disk/run" --resume --quiet
    umount "$work/disk"
else
    note "mounting is not allowed here: the preloaded write() alone"
fi
begun "$work/out-of-room"
size=$(stat -c %s "$work/out-of-room/checkpoints/last.safetensors")
full "a full disk" "$work/out-of-room" env LD_PRELOAD="$shim" WRITE_SHIM_BUDGET=$((size / 2)) ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0"
check "a full disk: with room again it goes on" "$headct" pretrain --run "$work/out-of-room" --resume --quiet
same "$work/out-of-room" "a full disk"

# A disk that is full for a while: training goes on without a checkpoint, and ends as an undisturbed run does.
LD_PRELOAD="$shim" WRITE_SHIM_BUDGET=$((size / 2)) WRITE_SHIM_FOR=2 ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
    "$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet --run "$work/full-once" >"$work/said" 2>&1
ok $? "a disk that is full for a while ends no run"
grep -q "no checkpoint: .*training goes on, last good checkpoint: none" "$work/said"
ok $? "it is said"
same "$work/full-once" "a disk that is full for a while"

# A disk that does not answer: training goes on beside the checkpoint that is written; the run ends as an undisturbed one does.
touch "$work/hold"
LD_PRELOAD="$shim" WRITE_SHIM_HOLD="$work/hold" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
    "$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet --run "$work/beside" >"$work/said" 2>&1 &
pid=$!
steps_of() { cat "$1/metrics.jsonl" 2>/dev/null | grep -c '"train"'; }
tries=0 # the first is due after the first step
while [ "$(steps_of "$work/beside")" -lt 2 ] && kill -0 $pid 2>/dev/null && [ $tries -lt 1500 ]; do sleep 0.02; tries=$((tries + 1)); done
[ "$(steps_of "$work/beside")" -ge 2 ] && [ ! -e "$work/beside/checkpoints/last.safetensors" ]
ok $? "training goes on while a checkpoint is written"
rm "$work/hold"
wait $pid
ok $? "and ends"
same "$work/beside" "a disk that did not answer for a while"

# train.keep: so many stay, the older ones by their step; older ones than asked for, and those of a run without it, do not.
check "three checkpoints are kept" "$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet --run "$work/three" --set train.keep=3
kept="best.safetensors last.safetensors step-$((steps - 2)).safetensors step-$((steps - 1)).safetensors "
[ "$(ls "$work/three/checkpoints" | tr '\n' ' ')" = "$kept" ]
ok $? "they are the last three"
for at in 2 1; do
    python3 - "$work/three/checkpoints/step-$((steps - at)).safetensors" $((steps - at)) <<'P'
import sys
from weights_file import read
assert read(sys.argv[1])[0]["run_state"].startswith(sys.argv[2] + " ")
P
    ok $? "the one of step $((steps - at)) is of that step"
done
for f in last step-$((steps - 1)); do truncate -s 5000 "$work/three/checkpoints/$f.safetensors"; done
"$headct" pretrain --run "$work/three" --resume --quiet >/dev/null 2>"$work/said"
ok $? "the last two are damaged: the run goes on"
[ "$(grep -c "going on from the checkpoint before it" "$work/said")" -eq 2 ]
ok $? "each is told of"
[ "$(ls "$work/three/checkpoints" | tr '\n' ' ')" = "$kept" ] && cmp -s "$work/three/metrics.jsonl" "$work/whole/metrics.jsonl"
ok $? "and ends with the same files, and the same log as without train.keep"

# A checkpoint whose bytes changed, or that was cut: said, and the run goes on from the one before it.
older() { ls "$1"/checkpoints/step-*.safetensors >/dev/null 2>&1; }
for damage in changed cut; do
    "$headct" pretrain --recipe "$recipe" --data "$work/data" --quiet --run "$work/$damage" >/dev/null 2>&1 &
    pid=$!
    while ! older "$work/$damage" && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    kill -TERM $pid
    wait $pid
    last=$work/$damage/checkpoints/last.safetensors
    n=$(stat -c %s "$last")
    if [ $damage = cut ]; then truncate -s $((n - 100)) "$last"; else printf 'x' | dd of="$last" bs=1 seek=$((n - 50)) conv=notrunc 2>/dev/null; fi
    "$headct" pretrain --run "$work/$damage" --resume --quiet >/dev/null 2>"$work/said"
    ok $? "a checkpoint that was $damage: the run goes on"
    grep -q "going on from the checkpoint before it" "$work/said"
    ok $? "a checkpoint that was $damage: it is said"
    same "$work/$damage" "a checkpoint that was $damage"
    ok "$(older "$work/$damage" && echo 1 || echo 0)" "a checkpoint that was $damage: nothing is left over"
done

# Micro-batches: two of 2 give the weights of one of 4.
start --run "$work/one" --set optim.epochs=2 >/dev/null
start --run "$work/two" --set optim.epochs=2 --set optim.batch=2 --set optim.accumulate=2 >/dev/null
python3 - "$work/one/weights.safetensors" "$work/two/weights.safetensors" <<'P'
import sys
from weights_file import floats
a, b = floats(sys.argv[1]), floats(sys.argv[2])
worst = max(abs(x - y) for k in a for x, y in zip(a[k], b[k]))
print("# largest difference", worst)
sys.exit(worst > 2e-5)
P
ok $? "two micro-batches of 2 are one batch of 4"
done_testing
