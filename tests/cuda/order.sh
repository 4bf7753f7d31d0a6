#!/bin/sh
# What the CUDA backend enqueues on the emulated device, and in which order: whole MAE and DINO runs, whose second step is captured and then replayed;
# two ranks with buckets; errors. Kernels are not run here (EMU_SKIP=1): results are compare.sh's question. $1: headct, $2: the device, $3: its plugins,
# $4: test_cuda.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
export HEADCT_CUDA_LIBRARY="$2" HCT_PLUGIN_PATH="$3" EMU_SKIP=1 EMU_LOG="$work/log" OMP_NUM_THREADS=1
EMU_MEMORY=67108864 "$4" >"$work/unit"
relay "$work/unit"

tiny_data 12 8:2:2
cat >"$work/mae.yaml" <<R
method: mae
data: {crop: 192, image: 24}
model: {patch: 12, width: 192, depth: 1, heads: 3, mlp: 96, decoder: {width: 192, depth: 1, heads: 3, mlp: 96}}
views: {flip: 0.5, shift_prob: 0.5}
optim: {batch: 2, accumulate: 2, epochs: 4, clip: 1, clip_mode: global}
train: {workers: 1, validate_every: 0, device: cuda, checkpoint_every: 1000}
R
cat >"$work/dino.yaml" <<R
method: dino
data: {windows: [{center: 40, width: 80}], crop: 160, image: 24}
model: {patch: 12, width: 192, depth: 1, heads: 3, mlp: 96}
views: {global: 2, local: 2, region: 160, shrink: 4, global_min: 112, global_max: 160, local_min: 64, local_max: 112, flip: 0.5}
dino: {prototypes: 64, hidden: 32, bottleneck: 16}
optim: {batch: 2, accumulate: 1, epochs: 4, clip: 3, clip_mode: tensor}
train: {workers: 1, validate_every: 0, device: cuda}
R
cat >"$work/check.py" <<'P'
import re
import sys
log = [l.rstrip("\n") for l in open(sys.argv[1])]
ranks = int(sys.argv[2])
assert not [l for l in log if l.startswith(("forbidden", "no kernel", "no context", "complaint"))]
# what is written ahead and taken over is looked at by ahead.py
computing = next(l.split()[-1] for l in log if l.startswith("kernel"))
uploads = {l.split()[-1] for l in log if l.startswith("upload")} - {computing}
assert len(uploads) <= 1, uploads
taking, kept = False, []
for l in log:
    w = l.split()
    other = uploads and w[0] == "stream" and w[1:4] == [computing, "waits", "for"] and w[4] in uploads
    if other:
        taking = True
    if not taking:
        kept.append(l)
    if taking and w[0] == "stream" and w[1] in uploads:
        taking = False
log = [re.sub(r"^(copy \d+) [0-9a-f]{8} ", r"\1 ", l) for l in kept] # a copy that is captured has no content yet
begins, ends = [i for i, l in enumerate(log) if l.startswith("begin capture")], [i for i, l in enumerate(log) if l.startswith("end capture")]
assert len(begins) == len(ends) == 1 and begins[0] < ends[0], (begins, ends)
work = ("kernel ", "matmul ", "attention", "exchange ", "copy ", "set ", "stream ", "record ")
inside = log[begins[0] + 1:ends[0]]
assert inside and all(l.startswith(work) for l in inside), [l for l in inside if not l.startswith(work)][:3]
# the captured step is, call for call, the step that ran before it
first = [l for l in log[:begins[0]] if l.startswith(work)]
tail = [l for l in first if not l.startswith("record")][-len([l for l in inside if not l.startswith("record")]):]
assert tail == [l for l in inside if not l.startswith("record")]
# from then on a step is uploads, one graph, a wait, and what is read back
after = log[ends[0] + 1:]
steps = [i for i, l in enumerate(after) if l.startswith("launch graph")]
assert len(steps) >= 3, steps
between = after[steps[0]:steps[-1]]
assert all(l.startswith(("launch graph", "sync", "upload", "download")) for l in between), [l for l in between if not l.startswith(("launch graph", "sync", "upload", "download"))][:3]
kernels = [l.split()[1] for l in inside if l.startswith("kernel")]
matmuls = [l for l in inside if l.startswith("matmul")]
assert len(matmuls) > 20 and any(" bias" in l for l in matmuls)
assert not any(k.startswith("hct_gemm") for k in kernels), "products go to cuBLASLt"
half = len(sys.argv) > 4
last = max(i for i, k in enumerate(kernels) if k.startswith("hct_layer_norm_bwd" if half else "hct_attention_d"))
adam = [i for i, k in enumerate(kernels) if k.startswith("hct_adam")]
norm = [i for i, k in enumerate(kernels) if k.startswith("hct_norm_all")]
assert adam and norm and last < norm[-1] < adam[0], "backward, norm, update"
if sys.argv[3] == "dino":
    assert [i for i, k in enumerate(kernels) if k.startswith("hct_ema")][0] > adam[-1], "the teacher follows the update"
exchanges = [i for i, l in enumerate(inside) if l.startswith("exchange")]
if ranks > 1:
    computing, beside = inside[0].split()[-1], {inside[i].split()[-1] for i in exchanges}
    assert exchanges and len(beside) == 1 and beside != {computing}, "exchanges run beside the computation"
    assert all(" mean" in inside[i] for i in exchanges)
    side = beside.pop()
    forks = [i for i, l in enumerate(inside) if l == f"stream {side} waits for {computing}"]
    joins = [i for i, l in enumerate(inside) if l == f"stream {computing} waits for {side}"]
    first_norm = min(i for i, l in enumerate(inside) if "hct_norm_parts" in l)
    assert forks and joins and forks[0] < exchanges[0] and max(i for i in exchanges if i < first_norm) < [j for j in joins if j < first_norm][-1] < first_norm
    assert f"rank 0 of {ranks}" in log
    print("#", len(exchanges), "exchanges in", len(forks), "buckets")
else:
    assert not exchanges
attention = [l for l in inside if l.startswith("attention")]
print(f"# a step: {len(kernels)} kernels, {len(matmuls)} products, {len(attention)} of attention")
if len(sys.argv) > 5: # what headct plan says of it
    library = len(matmuls) + len(attention)
    assert f"{len(kernels) + library} launches ({library} of libraries)" == sys.argv[5], sys.argv[5]
P
# Whether the inputs of later steps went up while steps ran, and in which order; the same numbers arrive as where nothing is sent ahead ($2).
cat >"$work/ahead.py" <<'P'
import sys
log, plain = ([l.split() for l in open(p)] for p in sys.argv[1:3])
computing = next(w[-1] for w in log if w[0] == "kernel")
waiting, takes, running, copying, arrived = [], 0, False, False, []
for w in log:
    if w[0] in ("kernel", "launch", "matmul"):
        running = True
    elif w[0] == "sync" and w[1] == computing:
        running = False
    elif w[0] == "upload" and w[-1] == computing:
        arrived.append(w[1:3])
    elif w[0] == "upload":
        assert running, "sent while nothing ran"
        assert not copying, "the second place is written before it was read"
        waiting.append(w[1:3])
    elif w[0] == "stream" and w[1] == computing and waiting:
        copying, taken = True, []
    elif w[0] == "copy" and copying and len(w) == 5:
        assert not running and w[-1] == computing, w
        taken.append(w[1:3])
    elif w[0] == "stream" and w[4] == computing and copying:
        assert taken == waiting, "what was sent is what is taken, in its order"
        arrived += taken
        copying, waiting, takes = False, [], takes + 1
assert not waiting and takes == int(sys.argv[3]), takes
assert not [w for w in plain if w[0] == "upload" and w[-1] != computing], "HCT_AHEAD=0 sends nothing ahead"
assert arrived == [w[1:3] for w in plain if w[0] == "upload"], "the same numbers in the same order"
P
for method in mae dino; do
    HCT_AHEAD=0 check "$method with one batch in flight" "$headct" pretrain --recipe "$work/$method.yaml" --data "$work/data" --run "$work/$method-one" --quiet \
        --set optim.batch=2 --set optim.accumulate=1
    mv "$work/log" "$work/log-one"
    check "$method with two" "$headct" pretrain --recipe "$work/$method.yaml" --data "$work/data" --run "$work/$method-ahead" --quiet \
        --set optim.batch=2 --set optim.accumulate=1
    python3 "$work/ahead.py" "$work/log" "$work/log-one" 12
    ok $? "$method: three of an epoch's four batches go up under the step before; the same numbers arrive in the same order"
done
for method in mae dino; do
    check "$method on the emulated device" "$headct" pretrain --recipe "$work/$method.yaml" --data "$work/data" --run "$work/$method" --quiet
    python3 "$work/check.py" "$work/log" 1 $method
    ok $? "$method: the second step is captured, as the first ran; then one graph a step, nothing taken, nothing waited for inside"
done
half() {
    "$headct" pretrain --recipe "$work/$1.yaml" --data "$work/data" --run "$work/$2" --quiet --set train.precision=bf16
}
for method in mae dino; do
    check "$method in bf16, attention by cuDNN" half $method $method-half
    cp "$work/log" "$work/log-half"
    planned=$("$headct" plan "$work/$method.yaml" --device cuda --set train.precision=bf16 --card h200 | grep -o '[0-9]* launches ([0-9]* of libraries)')
    mv "$work/log-half" "$work/log"
    python3 "$work/check.py" "$work/log" 1 $method half "$planned"
    ok $? "$method in bf16: captured as the first step ran, as many launches as headct plan says ($planned)"
    grep -q '^attention on' "$work/log" && grep -q '^attention.bwd on' "$work/log" && ! grep -q 'kernel hct_attention' "$work/log" &&
        grep -q 'kernel hct_adam_copy_f32' "$work/log"
    ok $? "$method in bf16: no portable attention; AdamW writes the copies"
    [ "$(grep -c '^attention plan' "$work/log")" -le 4 ]
    ok $? "$method in bf16: calls of one shape share a plan"
done
# What a step dispatches, exactly: a change that adds a pass over memory, or takes one away, is seen here and says so in its commit.
for counted in "mae 112 calls, 148 launches (36 of libraries), 118906312 bytes moved" "dino 107 calls, 139 launches (38 of libraries), 37981520 bytes moved"; do
    method=${counted%% *} want=${counted#* }
    "$headct" plan "$work/$method.yaml" --device cuda --set train.precision=bf16 --set optim.batch=4 --set optim.accumulate=1 --card h200 >"$work/plan" 2>"$work/err"
    grep -q " $want, " "$work/plan"
    ok $? "$method in bf16: a step of four scans is $want"
    note "$(grep moved "$work/plan")"
done
# The published DINO step at full size. Before tables of tensors, norms in registers, column strips, packed gradients of attention and views as patches it was
# 788 kernels beside 247 of libraries, and 621462324248 bytes.
EMU_MEMORY=150000000000 "$headct" plan dino --device cuda --set train.precision=bf16 --set optim.batch=64 --set optim.accumulate=1 --card h200 >"$work/plan" 2>"$work/err"
awk '/ launches .* bytes moved/ {n = $3 - substr($5, 2); bytes = $8} END {exit !(n > 0 && n <= 450 && bytes > 0 && bytes <= 0.6 * 621462324248)}' "$work/plan"
ok $? "DINO of 64 scans: at most 450 kernels of our own, at most 60% of the bytes that there were"
note "$(grep moved "$work/plan")"
check "without cuDNN" env EMU_CUDNN=0 HCT_VERBOSE=dispatch "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/old" --quiet \
    --set train.precision=bf16
grep -q "cudnn:attention refuses: cuDNN does not start" "$work/out"
ok $? "says why"
grep -q 'kernel hct_attention_bf16' "$work/log" && ! grep -q '^attention on' "$work/log"
ok $? "and the portable kernel does it"
HCT_VERBOSE=dispatch "$headct" bench --recipe "$work/mae.yaml" --forward --steps 1 --device cuda >"$work/out" 2>&1
grep -q "cu-subgroups:layer_norm chosen" "$work/out"
ok $? "sums over a row go through warps"
HCT_KERNEL=layer_norm=cu:layer_norm HCT_VERBOSE=dispatch "$headct" bench --recipe "$work/mae.yaml" --forward --steps 1 --device cuda >"$work/out" 2>&1
grep -q "cu:layer_norm chosen" "$work/out"
ok $? "HCT_KERNEL goes back to the base kernel"
HCT_GRAPH=0 "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/plain" --quiet >/dev/null
! grep -q capture "$work/log"
ok $? "HCT_GRAPH=0: no capture"
grep -q "product with f32 sums" "$work/log" && ! grep -q tf32 "$work/log"
ok $? "no TF32 unless asked for"

if command -v mpirun >/dev/null && [ -n "$(find "$(dirname "$headct")/../plugins/mpi" -name 'hct_comm_mpi.so' 2>/dev/null)" ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # what MPI keeps drowns what is ours
    for method in mae dino; do
        check "$method on two ranks" timeout 120 mpirun --oversubscribe --bind-to none -np 2 "$headct" pretrain --recipe "$work/$method.yaml" --data "$work/data" \
            --run "$work/$method-two" --quiet
        python3 "$work/check.py" "$work/log.0" 2 $method
        ok $? "$method: gradients are exchanged inside the captured step, and waited for before their norm"
        [ "$(grep -c '^exchange' "$work/log.0")" = "$(grep -c '^exchange' "$work/log.1")" ]
        ok $? "$method: both ranks exchange alike"
    done
    EMU_LOST=20 fails "remote process exited" "a rank that NCCL has lost ends the job" timeout 120 mpirun --oversubscribe --bind-to none -np 2 "$headct" pretrain \
        --recipe "$work/mae.yaml" --data "$work/data" --run "$work/lost" --quiet
else
    skip "two ranks" "no MPI here"
fi

# headct bench --tune: four algorithms, of which the heuristic names the slowest first
export HEADCT_CACHE="$work/cache" EMU_ALGORITHMS=4
bench() { "$headct" bench --recipe "$work/mae.yaml" --train --steps 1 --device cuda "$@" 2>"$work/err"; }
algorithms() { grep -o 'algorithm [0-9]' "$work/log" | sort -u | cut -d' ' -f2 | tr -d '\n'; }
bench >"$work/out"
[ $? -eq 0 ] && [ "$(algorithms)" = 0 ] && [ ! -s "$work/err" ] && [ -z "$(find "$work/cache" -name 'cublaslt-*' 2>/dev/null)" ]
ok $? "without a search: the heuristic's first, and nothing is kept"
bench --tune >"$work/out"
[ $? -eq 0 ] && grep -q "products timed on Emulated H100; their fastest algorithms are in $work/cache/cublaslt-" "$work/err" &&
    [ "$(sed -n '/begin capture/,/end capture/s/.*algorithm \([0-9]\).*/\1/p' "$work/log" | sort -u)" = 2 ]
ok $? "--tune: the fastest is chosen, and kept"
file=$(ls "$work"/cache/cublaslt-*.txt)
bench >"$work/out"
[ $? -eq 0 ] && [ "$(algorithms)" = 2 ] && [ ! -s "$work/err" ]
ok $? "a later start takes it and times nothing"
bench --tune >"$work/out"
[ $? -eq 0 ] && [ "$(algorithms)" = 2 ] && [ ! -s "$work/err" ]
ok $? "nor does another --tune"
EMU_CUBLASLT=140000 bench >"$work/out"
[ $? -eq 0 ] && [ "$(algorithms)" = 0 ] && [ ! -s "$work/err" ]
ok $? "another cuBLASLt does not take it"
EMU_DRIVER=13050 bench >"$work/out"
[ $? -eq 0 ] && [ "$(algorithms)" = 0 ]
ok $? "nor does another driver"
EMU_ALGORITHMS=2 bench >"$work/out"
[ $? -eq 0 ] && [ "$(algorithms)" = 0 ]
ok $? "one that the library refuses is left"
cp "$file" "$work/good"
for harm in 's/ 0000000000000002 / 0000000000000001 /' '3,5d' '1s/Emulated/Other/' 's/ [0-9a-f]*$/ zz/'; do
    sed "$harm" "$work/good" >"$file"
    bench >"$work/out"
    [ $? -eq 0 ] && [ "$(algorithms)" = 0 ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -q "^headct: $file: the algorithms kept for cuBLASLt are damaged" "$work/err"
    ok $? "a damaged file ($harm) is told about in one line, and the heuristic's are taken"
done
bench --tune >"$work/out"
[ $? -eq 0 ] && cmp -s "$file" "$work/good"
ok $? "and --tune writes it anew"
unset HEADCT_CACHE EMU_ALGORITHMS

# HCT_RANGES=1: names for a profiler, which here is the emulated device
if grep -q InitializeInjectionNvtx2 "$2"; then
    NVTX_INJECTION64_PATH="$2" HCT_RANGES=1 "$headct" bench --recipe "$work/mae.yaml" --train --steps 2 --device cuda >/dev/null 2>"$work/err"
    python3 - "$work/log" <<'P'
import sys
deep, steps, ops = 0, [], 0
for l in open(sys.argv[1]):
    w = l.split()
    if w[0] == "range" and w[1] == "end":
        deep -= 1
        assert int(w[2]) == deep >= 0, l
    elif w[0] == "range":
        assert int(w[1]) == deep, l
        if w[2] == "step":
            assert deep == 0, l
            steps.append(int(w[3]))
        elif steps:
            assert deep == 1, l
            ops += 1
        deep += 1
    elif w[0] in ("kernel", "matmul") and steps:
        assert deep == 2, "outside of an op: " + l
    elif l.startswith("launch graph"):
        assert deep == 1, l
assert deep == 0 and steps == [1, 2, 3, 4] and ops > 100, (deep, steps, ops)
P
    ok $? "HCT_RANGES=1: every kernel lies in a range of its op, every op and graph in one of its step, each is ended"
    NVTX_INJECTION64_PATH="$2" "$headct" bench --recipe "$work/mae.yaml" --train --steps 2 --device cuda >/dev/null 2>&1
    ! grep -q '^range' "$work/log"
    ok $? "none without it"
    NVTX_INJECTION64_PATH="$2" HCT_RANGES=1 EMU_FAIL=launch@20 "$headct" bench --recipe "$work/mae.yaml" --train --steps 2 --device cuda >/dev/null 2>&1
    [ $? -ne 0 ] && grep -q '^launch 20 fails' "$work/log" && [ "$(grep -c '^range [0-9]' "$work/log")" = "$(grep -c '^range end' "$work/log")" ]
    ok $? "a run that fails ends what it began"
else
    skip "names for a profiler" "no NVTX headers here"
fi

try() { "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/no" --quiet; }
export EMU_MEMORY=40000000
refuses 1 "bytes were wanted" "out of memory says how much" try
refuses 1 "optim.batch" "and which key helps" try
unset EMU_MEMORY
EMU_DRIVER=10020 refuses 1 "it speaks CUDA 10.2, this build needs" "a driver that is too old" try
EMU_CAPABILITY=75 refuses 1 "has compute capability 7.5; the kernels need 8.0" "a card that is too old" try
EMU_DEVICES=0 refuses 1 "finds no GPU" "a driver without a card" try
HEADCT_CUDA_LIBRARY=libm.so.6 refuses 1 "the NVIDIA driver is too old: libcuda.so.1 has no function cuInit" "a driver without a function that is needed" try
# as much memory as training takes with one batch in flight: the second one's places do not fit
most=$(HCT_AHEAD=0 "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/tight" --quiet --set optim.epochs=1 >/dev/null 2>&1
    awk '/^alloc/ {n += $2; if (n > m) m = n} /^free [0-9]/ {n -= $2} END {print m}' "$work/log")
tight() { "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/second" --quiet --set optim.epochs=1; }
check "$most bytes are enough for one batch in flight" env HCT_AHEAD=0 EMU_MEMORY="$most" "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/enough" --quiet \
    --set optim.epochs=1
export EMU_MEMORY="$most"
refuses 1 "of $most are free; lower optim.batch" "and too few for two: what is free, and which key helps" tight
unset EMU_MEMORY
HEADCT_CUDA_LIBRARY=/nowhere.so refuses 1 "no NVIDIA driver" "no driver" try
unset HEADCT_CUDA_LIBRARY
done_testing
