#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Installs what building and testing need. Does nothing when all of it is there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage() {
    cat <<END
usage: scripts/setup.sh [--fuzz] [--dev] [--check]
  --fuzz   also what scripts/fuzz.sh needs: clang with its run-time libraries
  --dev    also what developers use: clang, clang-format, clang-tidy, acpica-tools, valgrind, strace, fio, tshark,
           graphviz, mandoc, zsh
  --check  install nothing; exit 1 and name what is missing
END
}

packages=(
    gcc libc6-dev cmake ninja-build pkg-config git ca-certificates
    libglib2.0-dev libevent-dev libfdt-dev libjansson-dev liburing-dev libnbd-dev libslirp-dev
    check device-tree-compiler nbdkit qemu-utils passt iproute2 iperf3
    python3 python3-jsonschema qemu-system-x86 qemu-system-data seabios ipxe-qemu
    busybox-static gdb e2fsprogs xz-utils lz4 zstd
)
fuzz=(clang libclang-rt-dev llvm)
dev=("${fuzz[@]}" clang-format clang-tidy acpica-tools valgrind strace fio tshark graphviz mandoc zsh)
check_only=

while [ $# -gt 0 ]; do
    case $1 in
    --fuzz) packages+=("${fuzz[@]}") ;;
    --dev) packages+=("${dev[@]}") ;;
    --check) check_only=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done

if ! on_apt; then
    cat >&2 <<END
$script: this system has no apt-get. Install what these Debian packages hold, then run the scripts again:
  ${packages[*]}
On Fedora, for example: gcc glibc-devel glibc-static cmake ninja-build pkgconf git glib2-devel libevent-devel libfdt-devel
  jansson-devel liburing-devel libnbd-devel libslirp-devel nbdkit qemu-img passt iproute iperf3 check-devel python3 python3-jsonschema qemu-system-x86-core seabios-bin busybox e2fsprogs xz lz4 zstd
The guest image also needs a kernel with KVM: put its vmlinuz and modules where scripts/kernel.sh --help says.
END
    for tool in gcc cmake ninja pkg-config python3 qemu-system-x86_64 busybox; do
        have "$tool" || die "missing: $tool"
    done
    for library in glib-2.0 libevent jansson liburing libnbd slirp check; do
        pkg-config --exists "$library" || die "missing: the development files of $library"
    done
    exit 0
fi

# dpkg-query fails when it does not know one of them; what it prints is right all the same.
missing() {
    { dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null || true; } |
        awk '$1 ~ /^.i/ { print $NF }' | sort -u >"$list"
    printf '%s\n' "$@" | sort -u | comm -23 - "$list"
}

list=$(mktemp)
trap 'rm -f "$list"' EXIT
found=$(missing "${packages[@]}")
read -r -d '' -a wanted <<<"$found" || true
[ ${#wanted[@]} = 0 ] && exit 0
[ -z "$check_only" ] || die "missing packages: ${wanted[*]}"

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 "$@"
}

tell "installing ${wanted[*]}"
if ! apt install --no-install-recommends "${wanted[@]}"; then
    say "trying again with fresh package lists"
    apt update
    apt install --no-install-recommends "${wanted[@]}"
fi
