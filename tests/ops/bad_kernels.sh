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
# Cases of a file (--cases).
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cases() { # lines of a file of cases
    printf '%s\n' "$@" >"$work/cases"
}
kernel clamping 0 'ok .* sub F32 7x5: clamping'
cases '# extreme values' 'sub extreme [2,4]:=inf,-inf,nan,max,-max,denormal,0,-0 [2,4]:=1,-1'
from_file() { # what, exit status, words, options
    what=$1 status=$2 words=$3
    shift 3
    expect "$what" "$status" "$words" --cases "$work/cases" --op sub "$@"
}
from_file "extreme values: a kernel that keeps them" 0 'ok .* sub F32 extreme: good' --no-grad --kernel good
from_file "extreme values: one that does not" 1 'element 0 is 1.0.*e+30, the truth inf' --no-grad --kernel clamping
from_file "and through the tape" 0 'ok .* sub extreme: value, also with gaps' --case extreme --grad
from_file "the printed command names the file" 1 "repeat: .* --cases $work/cases --op sub --case 'extreme'" --no-grad --kernel clamping
cases 'sub "far out" [3,1,5]:-1000..1000 [3,1,5]:F32:-3..3 big'
from_file "a range, a dtype, a flag" 0 'ok .* sub F32 far out: good' --no-grad --kernel good --dtype F32
cases 'sum "over one axis" [3,4]:0.5..2 axes=2 keep=0' 'max_pool3d pooled [1,1,4,4,4] kernel=2,2,2 stride=2,2,2 padding=0,0,0 outputs:2 smooth:1 no-gradient no-broadcast'
expect "attributes: a whole number" 0 'ok .* sum over one axis: gradient' --cases "$work/cases" --op sum --case "over one axis"
expect "and lists; two outputs" 0 'ok .* max_pool3d F32 pooled: ref:max_pool3d' --cases "$work/cases" --op max_pool3d --case pooled
cases 'concat whole [2,3]:0..9 [2,1]:0..9 axis=1 any-dtype exact'
expect "whole dtypes" 0 'ok .* concat I32 whole:' --cases "$work/cases" --op concat --case whole --no-grad --dtype I32
cases 'no.case three [2] [2] [2]'
expect "an op that the default cases do not fit" 1 'no.case F32 three: the case cannot be made: .*neither a naive loop here nor an F64 kernel' --cases "$work/cases" --op no.case
cases 'nonsense one [2]'
expect "a case for no op" 1 "a case 'one' for 'nonsense', which is no op" --cases "$work/cases" --no-grad --kernel good --case one
wrong() { # LINE, words
    cases '# a comment' "$1"
    expect "refused: $1" 2 "test-ops: $work/cases:2: .*$2" --cases "$work/cases" --op sub
}
wrong 'sub' 'a line is OP NAME WORD'
wrong 'sub [3]' 'has no name'
wrong 'sub "open [3]' 'a quote that is not closed'
wrong 'sub a [3' 'an input is'
wrong 'sub a [3,x]' 'no shape'
wrong 'sub a [1,1,1,1,1,1,1,1,1]' 'no shape'
wrong 'sub a [-1]' 'negative'
wrong 'sub a [100000,100000]' '2^28'
wrong 'sub a [3]:F31' 'neither a dtype'
wrong 'sub a [3]:2..1' 'no range'
wrong 'sub a [3]:1..x' 'no range'
wrong 'sub a [3]:=' 'no values'
wrong 'sub a [3]:=1,infty' 'is no value'
wrong 'sub a [3] scale=' 'a number'
wrong 'sub a [3] axes=1,x' 'whole numbers'
wrong 'sub a [3] huge' 'nor a flag'
wrong 'sub a [3] outputs:0' 'nor a flag'
cases '# nothing'
expect "a file without a case" 2 "there is no case in it" --cases "$work/cases"
expect "no file" 2 "cannot be opened" --cases "$work/none"
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
