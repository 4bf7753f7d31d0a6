#!/bin/sh
# The OCI image, built of the Debian packages and run. $1: the source tree. $HEADCT_DEBS: a folder of packages that are built already.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/chroot.sh" # lacking
for program in mmdebstrap buildah dpkg-buildpackage dh chrpath; do
    command -v $program >/dev/null || lacking "no $program here (Debian: mmdebstrap buildah dpkg-dev debhelper chrpath)"
done
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
storage="--root $work/storage --runroot $work/run"
container=$(buildah $storage from scratch 2>"$work/err") || lacking "buildah makes no container here: $(tail -n 1 "$work/err")"
buildah $storage rm "$container" >/dev/null
git clone -q "$1" "$work/source" || exit 1
if [ -n "${HEADCT_DEBS:-}" ]; then mkdir "$work/source/dist" && cp "$HEADCT_DEBS"/*.deb "$work/source/dist/"; else check "packages" "$work/source/ci/deb"; fi
check "the image is built" "$work/source/ci/oci"
image=$(ls "$work"/source/dist/*-oci.tar)
note "$(($(wc -c <"$image") / 1048576)) MiB"
container=$(buildah $storage from "oci-archive:$image")
run() { buildah $storage run "$container" -- "$@"; }
check "headct runs in it" run headct --version
run headct backends >"$work/backends" 2>&1
check "with its backends" sh -c 'grep -q hct_backend_cpu.so "$1" && grep -q hct_backend_opencl.so "$1" && grep -q hct_kernel_onednn.so "$1"' sh "$work/backends"
check "it makes phantoms and prepares them" run sh -c 'headct phantom --out /tmp/ph --patients 2 --scans-per-patient 1 --size tiny --quiet && headct prepare --in /tmp/ph --out /tmp/data --labels /tmp/ph/labels.csv --quiet'
buildah $storage inspect --format '{{.OCIv1.Config.Entrypoint}}' "$container" >"$work/entry" 2>&1
check "its entry point is the program" grep -q /usr/bin/headct "$work/entry"
buildah $storage rm -a >/dev/null 2>&1
chmod -R u+rwX "$work"
done_testing
