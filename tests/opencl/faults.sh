#!/bin/sh
# What a driver may do to a command: a lost device, no memory, a damaged cache, a kernel that does not compile. Each ends at once with one clear
# error (or is repaired and said), and nothing hangs. Also: a second start compiles nothing of ours, and a step's transfers are its batch and
# its rates. $1: headct, $2: cl_shim.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
shim=$2
needs_opencl
tiny_data 12 8:2:2
cat >"$work/mae.yaml" <<R
method: mae
seed: 7
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 2}
train: {log_every: 1, workers: 1, validate_every: 0, device: opencl}
R
export HEADCT_CACHE="$work/cache"
# run NAME [VARIABLE=VALUE...]: a run of its own folder under the shim; its log of calls is $work/log.
run() {
    name=$1
    shift
    rm -f "$work/log"
    status=0
    env CL_SHIM_LOG="$work/log" "$@" LD_PRELOAD="$shim" timeout 120 "$headct" pretrain --recipe "$work/mae.yaml" --data "$data" --run "$work/$name" \
        --quiet >"$work/out" 2>"$work/err" || status=$?
    note "$name: status $status; $(grep -vE '^[^ ]+ [0-9]+$' "$work/err" | tail -n 1 | cut -c 1-220)"
}
data=$work/data
# said STATUS TEXT NAME: how the last run ended, and what it said.
said() {
    [ $status -eq "$1" ] && grep -qE -- "$2" "$work/err"
    result=$?
    ok $result "$3"
    [ $result -eq 0 ] || sed 's/^/# /' "$work/err" | cut -c 1-300 | tail -n 15
}
count() { sed -n "s/^$1 //p" "$work/log" | tail -n 1; }

run first
ok $status "a first start"
first=$(count sources)
[ "$first" -gt 0 ]
ok $? "compiles the programs it needs ($first)"
run second
ok $status "a second start"
[ "$(count sources)" = 0 ] && [ "$(count launches)" -gt 0 ]
ok $? "compiles none of ours"
cmp -s "$work/first/weights.safetensors" "$work/second/weights.safetensors"
ok $? "and gives the same weights"

for file in $(ls "$work"/cache/opencl-*.bin | head -n 3); do
    python3 -c 'import sys; p = sys.argv[1]; b = bytearray(open(p, "rb").read()); b[len(b) // 2] ^= 1; open(p, "wb").write(b)' "$file"
done
short=$(ls "$work"/cache/opencl-*.bin | tail -n 1)
head -c 100 "$short" >"$short.cut" && mv "$short.cut" "$short"
run damaged
said 0 "opencl-[0-9a-f]*\.bin: the stored OpenCL program is damaged; it is compiled again" "damaged programs are told about"
[ "$(count sources)" = 4 ]
ok $? "and compiled again, no others"
run repaired
[ $status -eq 0 ] && [ "$(count sources)" = 0 ] && ! grep -q damaged "$work/err"
ok $? "and are whole at the next start"
run refused CL_SHIM_BINARY=1
said 0 "the driver refuses a stored OpenCL program; it is compiled again" "stored programs that the driver refuses are compiled"
run broken CL_SHIM_BREAK=1 HEADCT_CACHE="$work/other"
said 1 "do not compile on .*--device cpu" "a kernel that does not compile: which, where, what to do"
grep -q "this_is_no_type" "$work/err"
ok $? "and the compiler's own words"

for n in 1 60 200; do
    run "launch$n" CL_SHIM_LAUNCH=$n
    said 1 "CL_OUT_OF_RESOURCES; the device was lost or ran out of memory" "the device is lost at launch $n"
done
run finish CL_SHIM_FINISH=3
said 1 "CL_OUT_OF_RESOURCES; the device was lost or ran out of memory" "the device is lost while waiting"
run late CL_SHIM_LAUNCH_MEMORY=60
said 1 "out of memory on .*: headct holds [0-9]+ bytes, the device has [0-9]+ in all" "memory that a driver misses late: what is held, what there is"
run opening CL_SHIM_BUFFER=1
said 1 "out of memory on .*headct holds 0 bytes, the device has [0-9]+ in all .* in opening the device" "no memory to open the device"
for n in 2 20 90; do
    run "buffer$n" CL_SHIM_BUFFER=$n
    said 1 "out of memory on .*[0-9]+ bytes were wanted, headct holds [0-9]+.*, the device has [0-9]+ in all" "no memory for buffer $n: what was wanted, held, there"
done

# Twice the scans for training, as many for validation, and the same number of epochs: two more steps an epoch.
run short
cp "$work/log" "$work/short.log"
"$headct" phantom --out "$work/ph2" --plain --patients 20 --scans-per-patient 1 --size tiny --seed 3 --quiet >/dev/null
"$headct" prepare --in "$work/ph2" --out "$work/data2" --labels "$work/ph2/labels.csv" --quiet >/dev/null
"$headct" split "$work/data2" --ratios 16:2:2 --seed 1 >/dev/null
data=$work/data2
run long
python3 - "$work/short.log" "$work/log" <<'P'
import collections, sys
def transfers(path):
    return collections.Counter(tuple(line.split()) for line in open(path) if line.split()[0] in ("write", "read"))
steps = 4 # 2 more in each of 2 epochs
extra = transfers(sys.argv[2])
extra.subtract(transfers(sys.argv[1]))
each = {k: n / steps for k, n in extra.items() if n}
print("# a step's transfers:", ", ".join(f"{int(n) if n == int(n) else n} x {kind} of {size} bytes" for (kind, size), n in sorted(each.items())))
image = 4 * 4 * 24 ** 3 * 3 # 4 scans of 3 windows, F32
written = sum(int(size) * n for (kind, size), n in each.items() if kind == "write")
read = sum(int(size) * n for (kind, size), n in each.items() if kind == "read")
print(f"# {written:.0f} bytes written (the images are {image}), {read:.0f} read")
sys.exit(not (image <= written <= image + 4096 and 0 < read <= 64))
P
ok $? "a step's transfers are its batch, its rates and its loss"
done_testing
