#!/bin/sh
# Installs into an empty prefix, builds plugins/example there with nothing but its Makefile and pkg-config, and runs it through the
# conformance table. install_example.sh BUILD SOURCE TEST_OPS
build=$1 source=$2 test_ops=$3
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0
step() { # name, command: the first that fails ends it
    n=$((n + 1))
    name=$1
    shift
    if "$@" > "$work/log" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        tail -20 "$work/log" | sed 's/^/# /'
        echo "1..$n"
        exit 1
    fi
}
step "meson install into an empty prefix" meson install -C "$build" --no-rebuild --destdir "$work/root"
pc=$(find "$work/root" -name hct.pc)
step "hct.pc is there" test -n "$pc"
PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$work/root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
share=$(dirname "$(find "$work/root" -path '*share/headct/example/example.c')")
step "the example is installed" test -f "$share/Makefile"
cp "$share"/* "$work"
unset CFLAGS MAKEFLAGS
step "the example builds with its Makefile" make -C "$work"
links_nothing_of_ours() { ! ldd "$work/hct_kernel_example.so" | grep -q libhct; }
step "it links nothing of headct" links_nothing_of_ours
step "its new op passes the conformance table" "$test_ops" --plugin "$work/hct_kernel_example.so" --op silu
step "and the cases installed beside it" "$test_ops" --plugin "$work/hct_kernel_example.so" --cases "$share/example.cases" --op silu
step "so does that op's backward" "$test_ops" --plugin "$work/hct_kernel_example.so" --cases "$share/example.cases" --op silu.bwd
# A kernel whose exp overflows: only the file's extreme values show it.
overflows() {
    mkdir "$work/wrong" && sed 's/e = exp_(v < 0 ? v : -v);/e = exp_(-v);/; s/v \* (v < 0 ? e : 1)/v/' "$work/example.c" >"$work/wrong/example.c" &&
        ! cmp -s "$work/example.c" "$work/wrong/example.c" && cp "$work/Makefile" "$work/wrong" && make -C "$work/wrong" hct_kernel_example.so &&
        "$test_ops" --plugin "$work/wrong/hct_kernel_example.so" --op silu &&
        ! "$test_ops" --plugin "$work/wrong/hct_kernel_example.so" --cases "$share/example.cases" --op silu
}
step "which find what the table alone does not" overflows
step "its faster kernel for an old op passes" "$test_ops" --plugin "$work/hct_kernel_example.so" --op max_pool3d.bwd --kernel example:max_pool3d.bwd:f32
# On one thread; about ten times as fast, so no other load turns it round.
is_faster() {
    OMP_NUM_THREADS=1 "$test_ops" --plugin "$work/hct_kernel_example.so" --op max_pool3d.bwd --case resnet --dtype F32 --bench |
        awk -F, '{ print; t[NR] = $5; who[NR] = $2 } END { exit !(NR > 1 && who[1] ~ /^example:/ && t[1] < t[2]) }'
}
step "and is faster than the one it takes the place of" is_faster
installed_backend() { find "$work/root" -path '*/hct/hct_backend_cpu.so' | grep -q .; }
step "the reference backend is installed in a folder of its own" installed_backend
installed_ops=$(find "$work/root" -path '*/bin/test-ops')
step "so is the conformance table" env -u LD_LIBRARY_PATH "$installed_ops" --plugin "$work/hct_kernel_example.so" --cases "$share/example.cases" --op silu
step "a program of thirty lines builds against libhct" make -C "$work" use
calls() {
    LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name 'libhct.so.1')") "$work/use" "$work/hct_kernel_example.so" >"$work/said" &&
        grep -q '^silu 0.731059, gradient 0.927671$' "$work/said"
}
step "and calls the plugin's op and its gradient" calls
step "which the page shows" sh -c 'sed "1d" "$1" | while IFS= read -r line; do grep -qF -- "$line" "$2" || { echo "not in $2: $line"; exit 1; }; done' sh \
    "$work/use.c" "$source/docs/writing-a-plugin.md"
headct=$(find "$work/root" -path '*/bin/headct')
runs_alone() { env -u LD_LIBRARY_PATH -u HCT_PLUGIN_PATH "$headct" backends | grep -q "$work/root.*hct_backend_cpu.so"; }
step "the installed program finds its library and its backend" runs_alone
step "it says its version" sh -c '"$1" --version | grep -q "^headct [0-9]"' sh "$headct"
finds_recipes() { (cd / && env -u LD_LIBRARY_PATH -u HCT_PLUGIN_PATH "$headct" recipe --check dino | grep -q "can be run"); }
step "it finds its recipes by name" finds_recipes
step "documents and licence are installed" sh -c 'test -s "$1/README.md" && test -s "$1/LICENSE" && test -s "$1/architecture.md"' sh \
    "$(dirname "$(find "$work/root" -path '*share/doc/headct/README.md')")"
step "bash completion is installed" test -s "$(find "$work/root" -path '*bash-completion/completions/headct')"
completes() {
    bash -c 'source "$1"; PATH=$(dirname "$2"):$PATH; COMP_WORDS=(headct pre); COMP_CWORD=1; _headct; [[ " ${COMPREPLY[*]} " == *" prepare "* ]]' \
        bash "$(find "$work/root" -path '*bash-completion/completions/headct')" "$headct"
}
step "completion offers the commands" completes
echo "1..$n"
