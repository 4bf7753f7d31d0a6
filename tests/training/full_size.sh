#!/bin/sh
# ViT-B/12 at full size: the plan's memory within 5% of what the process grows by, a forward of 4 scans in at most 1.5 GB, an arena within
# 1.1 of the lower bound, no allocation while steps run. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
unset MALLOC_PERTURB_ # Meson's: it writes to what aligning leaves unused, which no other run touches
for pass in forward train; do
    if ! "$headct" bench --model vit-b12 --$pass --steps 2 >"$work/bench" 2>"$work/err"; then
        ok 1 "$pass: $(cat "$work/err")"
        continue
    fi
    sed 's/^/# /' "$work/bench"
    predicted=$(sed -n 's/.*memory *\([0-9]*\) MiB predicted.*/\1/p' "$work/bench")
    measured=$(sed -n 's/.*, \([0-9]*\) MiB measured.*/\1/p' "$work/bench")
    [ $((predicted * 100)) -ge $((measured * 95)) ] && [ $((predicted * 100)) -le $((measured * 105)) ]
    ok $? "$pass: $predicted MiB predicted, $measured MiB measured"
    grep -qE 'arena +1\.(0[0-9][0-9]|100) of' "$work/bench"
    ok $? "$pass: arena within 1.1 of the lower bound"
    grep -q ', 0 device allocations' "$work/bench"
    ok $? "$pass: no device allocation in the timed steps"
    if [ $pass = forward ]; then
        [ "$measured" -le 1430 ]
        ok $? "forward of 4 scans takes at most 1.5 GB"
    fi
done
done_testing
