#!/bin/sh
# ViT-B/12 at full size: the plan's memory within 5% of what the process grows by, a forward of 4 scans in at most 1.5 GB, an arena within
# 1.1 of the lower bound, no allocation in steps 2 to 10, of the device's memory or the host's. $1: headct, $2: what counts the host's, to be preloaded,
# $3: a plugin whose kernel allocates.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
counter=$2
bench() { LD_PRELOAD=$counter "$headct" bench "$@" >"$work/bench" 2>"$work/err"; }
unset MALLOC_PERTURB_ # Meson's: it writes to what aligning leaves unused, which no other run touches
# The last bench's memory figure. $1: what ran
within_5_percent() {
    predicted=$(sed -n 's/.*memory *\([0-9.]*\) MiB predicted.*/\1/p' "$work/bench")
    measured=$(sed -n 's/.*, \([0-9.]*\) MiB measured.*/\1/p' "$work/bench")
    awk -v p="${predicted:-0}" -v m="${measured:-1}" 'BEGIN {exit !(p >= 0.95 * m && p <= 1.05 * m)}'
    ok $? "$1: $predicted MiB predicted, $measured MiB measured"
}
for pass in forward train; do
    if ! bench --model vit-b12 --$pass --steps 8; then
        ok 1 "$pass: $(cat "$work/err")"
        continue
    fi
    sed 's/^/# /' "$work/bench"
    within_5_percent "$pass"
    grep -qE 'arena +1\.(0[0-9][0-9]|100) of' "$work/bench"
    ok $? "$pass: arena within 1.1 of the lower bound"
    grep -qE 'allocations +0 on the device in steps 2 to 10, 0 on the host' "$work/bench"
    ok $? "$pass: no allocation in steps 2 to 10"
    if [ $pass = forward ]; then
        awk -v m="${measured:-9999}" 'BEGIN {exit !(m <= 1430)}'
        ok $? "forward of 4 scans takes at most 1.5 GB"
    fi
done
# Where many scans of a small model are a good part of the memory, and where there is little of it.
recipes=$(dirname "$0")/../../recipes
for step in demo:128 demo-dino:64 demo-dino:16 demo:1; do
    bench --recipe "$recipes/${step%:*}.yaml" --train --batch "${step#*:}" --steps 2 || sed 's/^/# /' "$work/err"
    within_5_percent "${step%:*}, ${step#*:} scans"
done
for name in demo demo-dino mae dino; do
    bench --recipe "$recipes/$name.yaml" --forward --batch 1 --steps 1 || sed 's/^/# /' "$work/err"
    grep -qE 'arena +1\.(0[0-9][0-9]|100) of' "$work/bench"
    ok $? "$name, forward: arena within 1.1 of the lower bound"
done
# Of a small model, for it is the counting that is tested.
mkdir "$work/plugins"
ln -s "$(realpath "$3")" "$work/plugins/hct_kernel_allocating.so"
small=$recipes/demo.yaml
HCT_PLUGIN_PATH=$work/plugins bench --recipe "$small" --train --steps 8 && grep -qE '[1-9][0-9]* on the host' "$work/bench"
ok $? "a kernel that allocates is noticed"
counter=
bench --recipe "$small" --train --steps 1 && grep -q 'on the host not counted' "$work/bench"
ok $? "what nobody counts is said to be uncounted"
done_testing
