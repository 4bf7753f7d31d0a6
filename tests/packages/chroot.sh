# A bare Debian below $root, for programs that already have $work (tap.sh): `chroot_make PACKAGES`, then in_root COMMAND..., which sees nothing of this environment.
lacking() { echo "1..0 # SKIP $1"; exit 0; }
root=$work/root
chroot_make() { # comma-separated packages; the test ends, skipped, where there can be none
    [ "$(id -u)" -eq 0 ] || lacking "a chroot needs root"
    command -v mmdebstrap >/dev/null || lacking "no mmdebstrap here"
    mmdebstrap --quiet --variant=minbase --include="$1" bookworm "$root" >"$work/log" 2>&1 || lacking "mmdebstrap made no chroot: $(tail -n 1 "$work/log")"
    mount -t proc proc "$root/proc" 2>/dev/null && trap 'umount "$root/proc"; rm -rf "$work"' EXIT
}
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="${root_home:-/root}" LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
