#!/bin/sh
# make dist twice gives the same bytes, and building it twice, in folders of other names, the same program and libraries. $1: the source tree.
. "$(dirname "$0")/../support/tap.sh"
source=$1
[ -d "$source/.git" ] || [ -f "$source/.git" ] || { echo "1..0 # SKIP no git tree here: make dist packs the last commit"; exit 0; }
git clone -q "$source" "$work/one" && git clone -q "$source" "$work/two" || exit 1
for n in one two; do check "make dist" "$work/$n/ci/dist"; done
tarball=$(cd "$work/one/dist" && ls)
check "gives the same bytes" cmp "$work/one/dist/$tarball" "$work/two/dist/$tarball"
build() { # FOLDER: unpacked there, built, installed below FOLDER/root
    mkdir -p "$1" && tar -xJf "$work/one/dist/$tarball" -C "$1" && cd "$1/${tarball%.tar.xz}" &&
        CCACHE_DISABLE=1 meson setup build -Dcuda=disabled >/dev/null && CCACHE_DISABLE=1 DESTDIR=$1/root ci/install build /usr
}
check "it builds" build "$work/a"
check "and builds again in a folder of another name" build "$work/another/place"
listed() { (cd "$1/root" && find . -type f -exec sha256sum {} + | sort -k 2); }
listed "$work/a" >"$work/a.list"
listed "$work/another/place" >"$work/b.list"
note "$(wc -l <"$work/a.list") files"
check "what is installed is the same, byte for byte" diff "$work/a.list" "$work/b.list"
done_testing
