#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Makes a disk with an ext4 file system that a guest can have as its root.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage() {
    cat <<END
usage: scripts/root-image.sh [--force] [--size SIZE] [FILE]
Makes FILE (default build/guest/root.img), a raw image with what is in the guest's initramfs: busybox, and guest/init.c
as /sbin/init. The kernel and that initramfs, which loads the disk's driver and mounts it, are in build/guest.
  --force      write over an image that is there already, with all that a guest has left in it
  --size SIZE  of the image (default 64M); free space takes no room on this machine
END
}

force='' size=64M image=$build/guest/root.img
while [ $# -gt 0 ]; do
    case $1 in
    --force) force=1 ;;
    --size) size=${2-}; shift ;;
    --size=*) size=${1#*=} ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; die "unknown option $1" ;;
    *) image=$1 ;;
    esac
    [ $# = 0 ] || shift
done
[[ $size =~ ^[1-9][0-9]{0,5}[MG]$ ]] || die "--size $size: a number with M or G expected, as in 64M"
[ -n "$force" ] || [ ! -e "$image" ] || die "$image is there already; --force makes a new one"

PATH=$PATH:/usr/sbin:/sbin
have mkfs.ext4 || die "mkfs.ext4 is not installed: run scripts/setup.sh"
"$top/scripts/guest-image.sh"
folder=$(dirname "$image")
mkdir -p "$folder"

work=$(mktemp -d "$folder/.root.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
(cd "$work/tree" && busybox cpio -id 2>/dev/null) <"$build/guest/initramfs.cpio"
mkdir -p "$work/tree/sbin" "$work/tree/mnt"
mv "$work/tree/init" "$work/tree/sbin/init"
# The initramfs has loaded its modules by then.
rm -rf "$work/tree/etc/modules" "$work/tree/lib/modules"

say "root image of $size in $image"
truncate -s "$size" "$work/image"
# In a name space where we are root, the files are root's.
root=(unshare --map-root-user)
"${root[@]}" true 2>/dev/null || root=()
"${root[@]}" mkfs.ext4 -q -F -b 4096 -L aerostat-root -d "$work/tree" "$work/image"
mv "$work/image" "$image"
