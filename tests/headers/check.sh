#!/bin/sh
# Each public header compiles alone, in every language that includes it. check.sh INCLUDE_FOLDER CC CXX (CXX empty: skipped)
inc=$1 cc=$2 cxx=$3 n=0 failed=0
try() { # what, command
    n=$((n + 1))
    what=$1
    shift
    if out=$("$@" 2>&1); then
        echo "ok $n - $what"
    else
        failed=1
        echo "not ok $n - $what"
        echo "$out" | sed 's/^/# /'
    fi
}
for header in "$inc"/hct/*.h; do
    name=hct/$(basename "$header")
    flags="-fsyntax-only -Wall -Wextra -Wpedantic -Werror -I$inc -include $name"
    for std in c99 c11; do try "$name as $std" "$cc" -x c -std=$std $flags /dev/null; done
    if [ -n "$cxx" ]; then
        try "$name as c++11" "$cxx" -x c++ -std=c++11 $flags /dev/null
    else
        n=$((n + 1))
        echo "ok $n - $name as c++11 # SKIP no C++ compiler"
    fi
done
echo "1..$n"
exit $failed
