#!/bin/sh
# The extra kernels (sub-groups, f16 arithmetic): refused with a reason where the device lacks what they need, chosen where it has it. The shim shows
# PoCL as a GPU that has both; so the conformance table of the ops that have such kernels runs in groups of many work-items. $1: headct, $2: cl_shim, $3: test-ops, $4: "whole" for the
# table of every op, which PoCL takes minutes to compile where it never did.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1 shim=$2 table=$3
needs_opencl
cat >"$work/mae.yaml" <<R
method: mae
data: {crop: 192, image: 24}
model: {patch: 12, width: 48, depth: 1, heads: 2, mlp: 96, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
R
# forward [VARIABLE=VALUE...]: one pass; its answers of dispatch are $work/err.
forward() { env HCT_VERBOSE=dispatch "$@" "$headct" bench --recipe "$work/mae.yaml" --forward --steps 1 --device opencl >"$work/out" 2>"$work/err"; }
# said TEXT NAME: the last pass ended well and said so.
said() {
    [ $status -eq 0 ] && grep -qE -- "$1" "$work/err"
    result=$?
    ok $result "$2"
    [ $result -eq 0 ] || grep -vE ': (ref|cl):' "$work/err" | sed 's/^/# /' | tail -n 15
}
as_gpu() { POCL_MAX_PTHREAD_COUNT=2 LD_PRELOAD=$shim CL_SHIM_GPU=1 "$@"; }

if "$headct" backends | grep 'device opencl:0' | grep -q 'no sub-groups, no fp16'; then
    status=0
    forward A=B || status=$?
    said "cl-subgroups:layer_norm refuses: the device has no sub-groups" "without sub-groups their kernels refuse, and say why"
    said "cl:layer_norm chosen" "and the base kernel does it"
    "$table" --device opencl --no-grad --op add --dtype F16 --kernel cl-f16:add >"$work/out" 2>&1
    grep -qE "ran 0 kernel runs; [1-9]" "$work/out"
    ok $? "without f16 arithmetic its kernels refuse"
else
    skip "a device without them" "this one has sub-groups or f16 arithmetic"
fi

as_gpu "$headct" backends | grep 'device opencl:0' | grep -q 'uses sub-groups, uses fp16'
ok $? "headct backends says that both are used"
status=0
forward LD_PRELOAD="$shim" CL_SHIM_GPU=1 || status=$?
said "cl-subgroups:layer_norm chosen" "with sub-groups their kernels go before the base ones"
status=0
forward LD_PRELOAD="$shim" CL_SHIM_GPU=1 HCT_KERNEL=layer_norm=cl:layer_norm || status=$?
said "cl:layer_norm chosen" "HCT_KERNEL goes back to the base one"
status=0
forward LD_PRELOAD="$shim" CL_SHIM_GPU=bare HEADCT_CACHE="$work/cache" || status=$?
said "cl-subgroups:layer_norm refuses: the driver does not compile it" "a driver that cannot compile them after all"
said "cl:layer_norm chosen" "and the base kernel does it"
[ "$(grep -c 'the OpenCL compiler on' "$work/err")" -eq 1 ]
ok $? "which is tried once"

kernels=$(as_gpu "$headct" backends --kernels | sed -nE 's/.* (cl-(subgroups|f16):[^ ]+) .*/\1/p')
status=0
if [ "$4" = whole ]; then
    as_gpu "$table" --device opencl --no-grad >"$work/table" 2>&1 || status=$?
else
    for kernel in $kernels; do as_gpu "$table" --device opencl --no-grad --op "${kernel#*:}" || status=$?; done >"$work/table" 2>&1
fi
note "$(awk '/^# ran/ {n += $3} END {print "ran " n " kernel runs"}' "$work/table")"
ok $status "the conformance table in groups of many work-items"
[ $status -eq 0 ] || grep -A6 '^not ok' "$work/table" | sed 's/^/# /' | head -n 60
# Groups that run at the same time have LOCAL arrays of their own: what PoCL made of a kernel keeps nothing in static memory (dialect.h: FN).
for op in add_layer_norm ct_views; do
    as_gpu env HEADCT_CACHE="$work/own" POCL_CACHE_DIR="$work/pocl" "$table" --device opencl --no-grad --op $op --dtype F32 >"$work/out" 2>&1
    ok $? "$op, compiled anew"
done
find "$work/pocl" -name 'hct_*.so' -exec nm -A {} + >"$work/symbols" 2>"$work/err"
grep -q 'hct_add_layer_norm\.so:.* T ' "$work/symbols" && grep -q 'hct_views_range\.so:.* T ' "$work/symbols" && ! grep ' [bBdD] hct_' "$work/symbols" | sed 's/^/# /' | grep .
ok $? "no kernel's LOCAL array is shared by threads"
as_gpu "$table" --device opencl --no-grad --op scale --dtype F16 --case "by a tenth" --kernel cl-f16:scale >"$work/out" 2>&1
grep -q "ran 0 kernel runs; 1 cases" "$work/out"
ok $? "a factor that f16 would round stays with the base kernel"
for kernel in $kernels; do
    grep -q "^ok .*: $kernel\$" "$work/table"
    ok $? "$kernel among them"
done
done_testing
