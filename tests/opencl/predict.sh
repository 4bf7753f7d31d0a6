#!/bin/sh
# headct predict on an OpenCL device as on the CPU, over real scans: probabilities within 1e-4, through the fused kernels.
# Skipped where there is no such device; real scans are skipped where HEADCT_DATA has none. $1: headct, $2: folder of real scans (env wins).
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
real=${HEADCT_DATA:-$2}
needs_opencl
cat >"$work/mae.yaml" <<R
method: mae
data: {crop: 192, image: 96}
model: {patch: 12, width: 192, depth: 3, heads: 3, mlp: 384, decoder: {width: 96, depth: 1, heads: 3, mlp: 192}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 1}
R
printf 'method: probe\noptim: {epochs: 4, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\ndata: {tasks: [SDH, IPH]}\n' >"$work/probe.yaml"
tiny_data 12 8:2:2 --prevalence 0.5
check "pretrain" "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/mae" --quiet
check "probe" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$work/mae/weights.safetensors" --run "$work/probe" --quiet

# same NAME SCAN...: equal probabilities on both devices.
same() {
    name=$1
    shift
    for device in cpu opencl; do
        HCT_VERBOSE=dispatch "$headct" predict --run "$work/probe" --device $device --json --quiet "$@" >"$work/$device.json" 2>"$work/$device.log" || cat "$work/$device.log" >&2
    done
    python3 - "$work/cpu.json" "$work/opencl.json" $# <<'P'
import json, sys
a, b = ([json.loads(line) for line in open(path)] for path in sys.argv[1:3])
worst = max((abs(x["probabilities"][t] - y["probabilities"][t]) for x, y in zip(a, b) for t in x["probabilities"]), default=1)
print("# largest difference of", len(a), "scans:", worst)
sys.exit(len(a) != int(sys.argv[3]) or len(b) != len(a) or not worst <= 1e-4)
P
    ok $? "$name: probabilities within 1e-4"
}
same "phantoms" $(ls "$work"/ph/*.nii.gz | head -n 3)
for kernel in linear_gelu add_layer_norm attention; do
    grep -qE "cl(blast)?:$kernel chosen" "$work/opencl.log"
    ok $? "the forward pass goes through $kernel"
done
scan=$(ls "$work"/ph/*.nii.gz | head -n 1)
called=$("$headct" backends | sed -n 's/.*device opencl:0 *\([^ ]*\).*/\1/p')
"$headct" predict --run "$work/probe" --device opencl:0 --json --quiet "$scan" >"$work/number.json"
"$headct" predict --run "$work/probe" --device "opencl:$called" --json --quiet "$scan" >"$work/name.json"
[ "$(but_time "$work/number.json")" = "$(but_time "$work/name.json")" ]
ok $? "a device is found by its name, $called"
refuses 1 "no device is called so" "a name that no device has" "$headct" predict --run "$work/probe" --device opencl:none-such --quiet "$scan"
refuses 1 "after the colon comes a number or a part of a device's name" "a number that no device has" "$headct" predict --run "$work/probe" --device opencl:-1 --quiet "$scan"
for scan in CT_pitch.nii.gz scct.nii dicom_ge_tilt; do
    if [ ! -e "$real/$scan" ]; then skip "$scan" "not in $real (HEADCT_DATA)"
    elif [ -d "$real/$scan" ] && ! command -v dcm2niix >/dev/null; then skip "$scan" "dcm2niix is not installed"
    else same "$scan" "$real/$scan"; fi
done
done_testing
