#!/bin/sh
# The table's own test: each rule that bad_kernels.c breaks must be named in a failure. bad_kernels.sh TEST_OPS PLUGIN
ops="$1 --plugin $2"
n=0 failed=0
expect() { # what, exit status, words in the output, options of test-ops
    what=$1 status=$2 words=$3
    shift 3
    n=$((n + 1))
    out=$($ops "$@" 2>&1)
    got=$?
    if [ $got -eq "$status" ] && echo "$out" | grep -q -e "$words"; then
        echo "ok $n - $what"
    else
        failed=1
        echo "not ok $n - $what: exit status $got, '$words' wanted"
        echo "$out" | sed 's/^/# /' | head -20
    fi
}
kernel() { expect "a kernel: $1" "$2" "$3" --op sub --no-grad --kernel "$1"; }
kernel good 0 'ok .* sub F32 7x5: good'
kernel overrun 1 'written 1 bytes past its end'
kernel underrun 1 'bytes before its start'
kernel workspace 1 'workspace 0: written'
kernel input 1 'input 0 was changed'
kernel changing 1 'a second run gives other bits'
kernel in_place 1 'in place of input 0'
kernel inaccurate 1 'relative L2'
kernel strides 1 'transposed'
kernel unwritten 1 'is -*nan'
kernel leaving 1 'leaves an output that is used'
kernel unpacked 1 'other bits with a packed copy of input 1'
expect "a wrong gradient" 1 'central differences' --op wrong.gradient
expect "an op that no case fits" 1 'has no case' --op no.case
expect "an unknown op" 2 "no op 'nonsense'" --op nonsense
expect "an unknown kernel" 2 "no kernel of sub on cpu is called 'nonsense'" --op sub --kernel nonsense
# The command that a failure prints repeats that failure.
n=$((n + 1))
again=$($ops --op sub --no-grad --kernel strides | sed -n 's/^# repeat: //p' | tail -1)
if [ -n "$again" ] && sh -c "$again" | grep -q '^not ok'; then
    echo "ok $n - the printed command repeats the failure"
else
    failed=1
    echo "not ok $n - the printed command repeats the failure: $again"
fi
echo "1..$n"
exit $failed
