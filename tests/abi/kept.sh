#!/bin/sh
# What libhct exports, and that ci/abi/check lets through what may change and nothing else. $1: the source tree, $2: libhct.
. "$(dirname "$0")/../support/tap.sh"
source=$1
foreign=$(nm -D --defined-only "$2" | awk '$3 !~ /^hct_/ {print $3}')
check "libhct exports names that begin with hct_, and no other" test -z "$foreign"
if ! command -v abidiff >/dev/null; then
    skip "the binary interface is the kept one" "no abidiff here (Debian: abigail-tools)"
    done_testing
    exit
fi
check "the binary interface is the kept one" "$source/ci/abi/check"
# planted NAME FILE SED: a copy of the tree's core with one change; its status is check's.
planted() {
    rm -rf "$work/tree"
    mkdir "$work/tree"
    cp -r "$source/core" "$work/tree/core"
    sed "$2" "$source/core/$1" >"$work/tree/core/$1"
    ! cmp -s "$source/core/$1" "$work/tree/core/$1" && "$source/ci/abi/check" --source "$work/tree"
}
refused() { ! planted "$1" "$2" >"$work/said" 2>&1 && grep -q "$3" "$work/said"; }
check "a symbol that is gone is refused, by name" refused hct.map 's/local: \*;/local: hct_op_count; *;/; s/global: hct_\*;/global: hct_[a-np-z]*; hct_op_at; hct_op_find; hct_open;/' "hct_op_count"
check "so is a struct with a new member before the old ones" refused include/hct/hct.h 's/^typedef struct hct_options {/&\n    int planted;/' "hct_options"
check "and one inside of a struct that may grow at its end" refused include/hct/plugin.h 's/^typedef struct hct_plan {/&\n    int planted;/' "hct_plan"
check "a new function is not" planted log.c '$a\
__attribute__((visibility("default"))) int hct_planted(void);\
int hct_planted(void) { return 1; }'
done_testing
