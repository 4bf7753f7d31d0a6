#!/bin/sh
# `make install` leaves the build folder as it was: ci/install on a project of one file, and what the Makefile calls. $1: the source tree.
. "$(dirname "$0")/../support/tap.sh"
source=$1
unset DESTDIR PREFIX MAKEFLAGS MAKELEVEL MFLAGS
mkdir "$work/tiny"
cd "$work/tiny" || exit 1
cat >meson.build <<'P'
project('tiny')
configure_file(output: 'where', configuration: {'prefix': get_option('prefix')}, input: 'where.in', install: true, install_dir: 'share')
P
echo '@prefix@' >where.in
meson setup build >/dev/null || exit 1
prefix() { meson introspect build --buildoptions | python3 -c 'import json, sys; print([o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"][0])'; }
install_to() { DESTDIR=$1 "$source/ci/install" build "$2"; }
installed() { test "$(cat "$1/share/where")" = "$2"; }
check "install with another prefix" install_to "$work/a" /usr
check "goes there" installed "$work/a/usr" /usr
check "and the build folder keeps its own" test "$(prefix)" = /usr/local
check "which the next install goes to" install_to stage /usr/local
check "a relative DESTDIR is meant from here" installed "$work/tiny/stage/usr/local" /usr/local
check "without a program there are no manual pages" test ! -e "$work/a/usr/share/man"
mkdir build/apps
ln -s "$HEADCT" build/apps/headct
check "install with a program" install_to "$work/m" /usr
man=$work/m/usr/share/man/man1
lacking=$("$HEADCT" --help | sed -n 's/^  \([a-z]*\)  *[^ ].*/\1/p' | while read -r c; do [ -s "$man/headct-$c.1" ] || echo "$c"; done)
check "every command has its manual page" test -s "$man/headct.1" -a -s "$man/headct-embed.1" -a -z "$lacking"
"$HEADCT" embed --help | grep -o '^ *\(-., \)\?--[a-z-]*' | grep -o -e '--.*' | while read -r o; do
    sed 's/\\-/-/g' "$man/headct-embed.1" | grep -q -e "^.fB.*$o" || echo "$o"
done >"$work/missing"
check "with every option" test ! -s "$work/missing"
if command -v groff >/dev/null; then
    for f in "$man"/*.1; do groff -man -ww -Tutf8 -Kutf8 -z "$f"; done >"$work/warnings" 2>&1
    check "and groff has no complaint" test ! -s "$work/warnings"
else skip "and groff has no complaint" "no groff here"; fi
uninstall_from() { DESTDIR=$1 "$source/ci/install" --uninstall "$2"; }
mkdir -p "$work/u/usr/share"
echo theirs >"$work/u/usr/share/theirs"
(cd "$work/u" && find . | sort) >"$work/before"
check "install where others have files" install_to "$work/u" /usr
sed -i "s/output: 'where'/output: 'elsewhere'/" meson.build
check "install anew, a file less and another more" install_to "$work/u" /usr
check "what only the older install had is gone" test ! -e "$work/u/usr/share/where" -a -e "$work/u/usr/share/elsewhere"
check "uninstall" uninstall_from "$work/u" /usr
(cd "$work/u" && find . | sort) >"$work/after"
check "leaves what was there before, and no more" cmp "$work/before" "$work/after"
refuses 1 "is not there: nothing that make install has put" "a second uninstall says so" uninstall_from "$work/u" /usr
install_to "$work/u" /usr >/dev/null && echo ../../../theirs >>"$work/u/usr/share/headct/installed.txt"
refuses 1 "names a place outside" "a list that leads elsewhere is refused" uninstall_from "$work/u" /usr
rm where.in
if install_to "$work/b" /opt >/dev/null 2>&1; then ok 1 "an install that fails"; else ok 0 "an install that fails"; fi
check "leaves the prefix as it was too" test "$(prefix)" = /usr/local
make -n -C "$source" BUILD="$work/none" PREFIX=/usr deps build install >"$work/calls" 2>&1
grep -q "ci/install $work/none '/usr'" "$work/calls"
ok $? "make install hands the prefix over"
if grep "meson setup" "$work/calls" | grep -q /usr; then ok 1 "and sets nothing up with it"; else ok 0 "and sets nothing up with it"; fi
done_testing
