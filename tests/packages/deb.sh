#!/bin/sh
# The Debian packages in a bare chroot: installed, a scan predicted from a folder of the user's, purged; nothing is left. $1: the source tree.
# $HEADCT_DEBS: a folder of packages that are built already.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/chroot.sh"
source=$1
for program in mmdebstrap dpkg-buildpackage dh chrpath lintian; do
    command -v $program >/dev/null || lacking "no $program here (Debian: mmdebstrap dpkg-dev debhelper chrpath lintian)"
done
[ -d "$source/.git" ] || [ -f "$source/.git" ] || lacking "no git tree here: ci/deb packs the last commit"
chroot_make ca-certificates
root_home=/tmp/of
git clone -q "$source" "$work/source" || exit 1
if [ -n "${HEADCT_DEBS:-}" ]; then mkdir "$work/source/dist" && cp "$HEADCT_DEBS"/*.deb "$work/source/dist/"; else "$work/source/ci/deb"; fi >"$work/deb.log" 2>&1
status=$?
sed 's/^/# /' "$work/deb.log"
check "the packages are built, and lintian finds no error" test $status -eq 0
[ $status -eq 0 ] || { done_testing; exit; }
mkdir "$root/packages"
cp "$work"/source/dist/*.deb "$root/packages/"
files() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./tmp -o -path ./packages -o -path ./var/log -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/lib/dpkg \) -prune -o -print | sort); }
in_root apt-get update >/dev/null 2>&1
ours=$(cd "$root/packages" && ls ./*.deb | sed 's/^\.\/\([^_]*\)_.*/\1/')
# What they need comes first, so that the lists tell what they themselves bring.
needed=$(in_root sh -c 'apt-get install -s --no-install-recommends /packages/*.deb' | sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -vxF "$ours")
check "what they need is in Debian" in_root apt-get install -y --no-install-recommends $needed
files >"$work/before"
check "the packages install" in_root sh -c 'apt-get install -y --no-install-recommends /packages/*.deb'
files >"$work/installed"
note "$(($(wc -l <"$work/installed") - $(wc -l <"$work/before"))) files and folders, $(in_root dpkg-query -W -f '${Installed-Size}\n' $ours | awk '{s += $1} END {print s}') kB installed"
mkdir -p "$root/tmp/of/mine"
cat >"$root/tmp/of/mine/way.sh" <<'R'
set -e
cd /tmp/of/mine
cat >mae.yaml <<M
method: mae
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 1}
M
headct phantom --out ph --patients 12 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 3 --quiet
headct prepare --in ph --out data --labels ph/labels.csv --quiet
headct split data --ratios 5:2:3 --seed 1
headct pretrain --recipe mae.yaml --data data --run mae --quiet
printf 'method: probe\noptim: {epochs: 1, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\ndata: {tasks: [SDH]}\n' >probe.yaml
headct probe --recipe probe.yaml --data data --weights mae/weights.safetensors --run run --quiet
cd /
headct predict --run /tmp/of/mine/run /tmp/of/mine/ph/*.nii.gz --out /tmp/of/mine/p.csv --quiet
headct recipe --check mae
headct backends
R
check "a scan is predicted, from any folder" in_root sh /tmp/of/mine/way.sh
check "with a row a scan" sh -c 'test "$(grep -c "^p0" "$1")" -eq 12' sh "$root/tmp/of/mine/p.csv"
in_root headct backends >"$work/backends" 2>&1
check "the backends are found" sh -c 'grep -q hct_backend_cpu.so "$1" && grep -q hct_backend_opencl.so "$1"' sh "$work/backends"
check "manual pages and completion are there" test -s "$root/usr/share/man/man1/headct-embed.1.gz" -a -s "$root/usr/share/bash-completion/completions/headct"
# Without the optional packages, what does not need them works.
optional=$(echo "$ours" | grep -E '^hct-(plugin|backend-opencl)')
check "the optional packages go" in_root apt-get purge -y $optional
rm -rf "$root/tmp/of/mine/ph" "$root/tmp/of/mine/data" "$root/tmp/of/mine/mae" "$root/tmp/of/mine/run" "$root/tmp/of/mine/p.csv"
check "and the same is done without them" in_root sh /tmp/of/mine/way.sh
in_root headct pretrain --device opencl --recipe /tmp/of/mine/mae.yaml --data /tmp/of/mine/data --run /tmp/of/mine/none >"$work/said" 2>&1
status=$?
check "a backend that is not there is one line" sh -c 'test "$1" -eq 1 && test "$(grep -c . "$2")" -eq 1 && grep -q opencl "$2"' sh $status "$work/said"
note "$(cat "$work/said")"
check "the others are purged" in_root apt-get purge -y $(echo "$ours" | grep -vE '^hct-(plugin|backend-opencl)')
files >"$work/after"
check "and nothing is left" diff "$work/before" "$work/after"
done_testing
