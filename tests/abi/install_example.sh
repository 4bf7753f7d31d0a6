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
cp "$source/plugins/example/example.c" "$source/plugins/example/Makefile" "$work"
unset CFLAGS MAKEFLAGS
step "the example builds with its Makefile" make -C "$work"
links_nothing_of_ours() { ! ldd "$work/hct_kernel_example.so" | grep -q libhct; }
step "it links nothing of headct" links_nothing_of_ours
step "its new op passes the conformance table" "$test_ops" --plugin "$work/hct_kernel_example.so" --op silu
step "so does that op's backward" "$test_ops" --plugin "$work/hct_kernel_example.so" --op silu.bwd
step "its faster kernel for an old op passes" "$test_ops" --plugin "$work/hct_kernel_example.so" --op max_pool3d.bwd --kernel example:max_pool3d.bwd:f32
# On one thread; about ten times as fast, so no other load turns it round.
is_faster() {
    OMP_NUM_THREADS=1 "$test_ops" --plugin "$work/hct_kernel_example.so" --op max_pool3d.bwd --case resnet --dtype F32 --bench |
        awk -F, '{ print; t[NR] = $5; who[NR] = $2 } END { exit !(NR > 1 && who[1] ~ /^example:/ && t[1] < t[2]) }'
}
step "and is faster than the one it takes the place of" is_faster
installed_backend() { find "$work/root" -path '*/hct/hct_backend_cpu.so' | grep -q .; }
step "the reference backend is installed in a folder of its own" installed_backend
headct=$(find "$work/root" -path '*/bin/headct')
runs_alone() { env -u LD_LIBRARY_PATH -u HCT_PLUGIN_PATH "$headct" backends | grep -q "$work/root.*hct_backend_cpu.so"; }
step "the installed program finds its library and its backend" runs_alone
step "it says its version" sh -c '"$1" --version | grep -q "^headct [0-9]"' sh "$headct"
step "bash completion is installed" test -s "$(find "$work/root" -path '*bash-completion/completions/headct')"
completes() {
    bash -c 'source "$1"; PATH=$(dirname "$2"):$PATH; COMP_WORDS=(headct pre); COMP_CWORD=1; _headct; [[ " ${COMPREPLY[*]} " == *" prepare "* ]]' \
        bash "$(find "$work/root" -path '*bash-completion/completions/headct')" "$headct"
}
step "completion offers the commands" completes
echo "1..$n"
