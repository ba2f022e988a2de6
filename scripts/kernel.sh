#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Gets the Debian cloud kernel and prints the folder it is in: bzImage, vmlinux (uncompressed ELF) and modules/.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage() {
    cat <<END
usage: scripts/kernel.sh [--update]
Prints the folder that holds bzImage, vmlinux and modules/. Kernels are kept in build/kernel/VERSION, and
build/kernel/current is the one in use. Without apt-get, fill such a folder by hand and make the link.
  --update  look for a newer kernel even when there is one
END
}

update=
case ${1-} in
'') ;;
--update) update=1 ;;
-h | --help) usage; exit 0 ;;
*) usage >&2; die "unknown option $1" ;;
esac

store=$build/kernel
ready() { [ -f "$store/current/vmlinux" ] && [ -f "$store/current/bzImage" ] && [ -d "$store/current/modules" ]; }
answer() { (cd "$store/current" && pwd -P); }

if [ -z "$update" ] && ready; then
    answer
    exit 0
fi
on_apt || die "no apt-get here: put bzImage, vmlinux and modules/ into build/kernel/current by hand"

mkdir -p "$store"
exec 9>"$store/.lock"
flock 9
if [ -z "$update" ] && ready; then # another run was faster
    answer
    exit 0
fi

# The metapackage depends on the package of one version; Ubuntu keeps the modules in a package of their own.
resolve() {
    local meta found
    for meta in linux-image-cloud-amd64 linux-image-virtual linux-image-amd64; do
        found=$(apt-cache depends --important "$meta" 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2 }') || continue
        if [ -n "$found" ]; then
            echo "${found%%$'\n'*}"
            return
        fi
    done
}

refresh() { as_root apt-get -q -o DPkg::Lock::Timeout=600 update >&2; }

work=$(mktemp -d "$store/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT

package=$(resolve)
if [ -z "$package" ]; then
    say "no kernel in the package lists; fetching them"
    refresh
    package=$(resolve)
fi
[ -n "$package" ] || die "apt knows no Linux kernel package; check /etc/apt/sources.list"

fetch() {
    local list=("$package") modules=linux-modules-${package#linux-image-}
    apt-cache show "$modules" >/dev/null 2>&1 && list+=("$modules")
    (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "${list[@]}" >&2)
}
tell "fetching $package"
fetch || { refresh; package=$(resolve); fetch; } || die "cannot download $package"
for deb in "$work"/*.deb; do
    dpkg-deb -x "$deb" "$work/root"
done

image=$(echo "$work"/root/boot/vmlinuz-*)
[ -f "$image" ] || die "$package holds no /boot/vmlinuz"
version=${image##*/vmlinuz-}
# A rebuild keeps the version's name but not the package's: both are in the folder's name.
debs=("$work"/linux-image-*.deb)
revision=$(dpkg-deb -f "${debs[0]}" Version)
folder=$version+${revision//[^A-Za-z0-9.]/-}
new=$work/new
mkdir "$new"
cp "$image" "$new/bzImage"
"$top/scripts/extract-vmlinux.py" "$image" "$new/vmlinux"
modules=$(find "$work/root" -type d -path "*/lib/modules/$version" | head -n 1)
[ -n "$modules" ] || die "$package holds no modules"
mv "$modules" "$new/modules"
rm -f "$new/modules/build" "$new/modules/source"
find "$new/modules" -name '*.ko.xz' -exec xz -d {} + -o -name '*.ko.zst' -exec zstd -q -d --rm {} + -o -name '*.ko.gz' -exec gzip -d {} +
rm -rf "${store:?}/$folder"
mv "$new" "$store/$folder"
ln -sfn "$folder" "$store/current.new"
mv -T "$store/current.new" "$store/current"
answer
