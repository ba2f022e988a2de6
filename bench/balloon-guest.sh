#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Takes three quarters of a Linux guest's memory and gives them back, with Aerostat and with QEMU, inside one KVM host.
set -euo pipefail
. "$(dirname "$0")/../scripts/lib.sh"

usage() {
    cat <<END
usage: bench/balloon-guest.sh [OPTION]...
Time, CPU time of the VMM (in all, and without its guest's) and resident memory for three steps: take 75 % of the guest's
memory, give it back, and have the guest touch two thirds of all: medians and ratios, as a Markdown table. Both VMMs have the
same kernel, initramfs and options, and take turns.
  --instructions  the deterministic host (slow; one processor), where a nanosecond is an instruction
  --runs N        boots of each VMM (default 3)
  --memory MB     of the guest (default 1024)
  --cpus N        of an emulated host (default 1: with two, for each page that QEMU gives back one may wait for the other,
                  and what is measured is how busy the machine is)
  --only NAME     aerostat or qemu; what the other one took is from the last run
  --out DIR       where raw.tsv and table.md go (default build/bench-balloon)
END
}

runs=3 memory=1024 only= cpus=1 host_options=() out=$build/bench-balloon
while [ $# -gt 0 ]; do
    case $1 in
    --instructions) host_options+=(--deterministic) ;;
    --runs) runs=$2; shift ;;
    --memory) memory=$2; shift ;;
    --cpus) cpus=$2; shift ;;
    --only) only=$2; shift ;;
    --out) out=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done

bench_pair
gcc -std=gnu11 -O2 -Wall -Wextra -static -s -o "$out/balloon-run" "$top/bench/balloon-run.c"

append="quiet console=ttyS0 panic=-1 cryptomgr.notests aerostat.mode=agent" socket=/tmp/balloon-run.sock
: >"$out/plan.tsv"
touch "$out/raw.tsv"
for name in ${only:-aerostat qemu}; do
    words=("$vmm" -M pc)
    [ "$name" = aerostat ] || words=("$qemu" -M pc -no-user-config)
    words+=(-accel kvm -cpu host -m "$memory" -smp 1 -nodefaults -display none -serial stdio -no-reboot
        -kernel "$guest/vmlinux" -initrd "$guest/initramfs.cpio" -append "$append"
        -qmp "unix:$socket,server=on,wait=off" -device virtio-balloon-pci,id=balloon0)
    (IFS=$'\t'; printf '%s\n' "$name"$'\t'"${words[*]}") >>"$out/plan.tsv"
done

carry=()
qemu_firmware bios-256k.bin linuxboot_dma.bin linuxboot.bin pvh.bin kvmvapic.bin
"$top/tools/kvm-host" --timeout 1800 --retries 2 --cpus "$cpus" "${host_options[@]}" --file "$vmm" --file "$qemu" "${carry[@]}" \
    --file "$guest/vmlinux" --file "$guest/initramfs.cpio" --file "$out/balloon-run" --file "$out/plan.tsv" \
    -- "$out/balloon-run" "$runs" "$socket" $((memory / 4)) "$memory" "$out/plan.tsv" >"$out/new.tsv"
# Lines of a try whose host died are before the last "begin".
[ -z "$only" ] || grep -v "^$only	" "$out/raw.tsv" >"$out/other.tsv" || true
{ awk '/^begin/ { n = 0; next } { line[n++] = $0 } END { for (i = 0; i < n; i++) print line[i] }' "$out/new.tsv"
  [ -z "$only" ] || cat "$out/other.tsv"; } >"$out/raw.tsv"
"$top/bench/balloon-guest-table.py" "$out/raw.tsv" | tee "$out/table.md"
