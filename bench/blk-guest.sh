#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Random 4 KiB requests from a Linux guest to a disk, with Aerostat and with QEMU, inside one KVM host.
set -euo pipefail
. "$(dirname "$0")/../scripts/lib.sh"

usage() {
    cat <<END
usage: bench/blk-guest.sh [OPTION]...
Requests per second and CPU time of the VMM for each request (its guest's time not counted): medians and ratios, as a
Markdown table. Both VMMs have the same kernel, initramfs and options: virtio-blk-pci with one queue on an iothread.
The load is bench/blk-load.c: fio's libraries are larger than the guest.
  --instructions  the deterministic host (slow; one processor), where a nanosecond is an instruction
  --runs N        boots of each VMM and medium (default 3)
  --seconds N     of each load (default 3)
  --media NAMES   with commas: uring and threads (a file in the page cache), null (default all)
  --out DIR       where raw.tsv and table.md go (default build/bench-blk)
END
}

runs=3 seconds=3 media=null,uring,threads host_options=() out=$build/bench-blk
while [ $# -gt 0 ]; do
    case $1 in
    --instructions) host_options+=(--deterministic) ;;
    --runs) runs=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --media) media=$2; shift ;;
    --out) out=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done

guest=$build/guest vmm=${AEROSTAT:-$build/release/aerostat}
[ -x "$vmm" ] || die "no ${vmm#"$PWD"/}: build the release preset first"
qemu=$(command -v qemu-system-x86_64) || die "no qemu-system-x86_64: run scripts/setup.sh"
mkdir -p "$out"
step guest-image "$top/scripts/guest-image.sh" "$guest"
for p in blk-load blk-run; do
    gcc -std=gnu11 -O2 -Wall -Wextra -static -s -o "$out/$p" "$top/bench/$p.c"
done
# The kernel takes several archives in one file.
cp "$guest/initramfs.cpio" "$out/initramfs.cpio"
python3 -I - "$top/scripts" "$out" >>"$out/initramfs.cpio" <<'END'
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from initramfs import Cpio


class Counted:
    """A pipe cannot tell where it is."""

    def __init__(self, out):
        self.out, self.n = out, 0

    def write(self, data):
        self.n += len(data)
        self.out.write(data)

    def tell(self):
        return self.n


cpio = Cpio(Counted(sys.stdout.buffer))
cpio.add_file("bin/blk-load", sys.argv[2] + "/blk-load")
cpio.finish()
END

disk=/tmp/blk-guest.img
append="quiet console=ttyS0 panic=-1 cryptomgr.notests aerostat.mode=agent"
: >"$out/plan.tsv"
for medium in ${media//,/ }; do
    case $medium in
    null) node=driver=null-co,read-zeroes=on,size=$((256 << 20)) ;;
    uring) node=driver=file,filename=$disk,aio=io_uring ;;
    threads) node=driver=file,filename=$disk,aio=threads ;;
    *) die "--media $medium: null, uring or threads expected" ;;
    esac
    for name in aerostat qemu; do
        words=("$vmm" -M pc)
        [ "$name" = aerostat ] || words=("$qemu" -M pc -no-user-config)
        words+=(-accel kvm -cpu host -m 512 -smp 1 -nodefaults -display none -serial stdio -no-reboot
            -kernel "$guest/vmlinux" -initrd "$out/initramfs.cpio" -append "$append" -object iothread,id=t0
            -blockdev "$node,node-name=d0" -device virtio-blk-pci,drive=d0,iothread=t0)
        (IFS=$'\t'; printf '%s\n' "$name/$medium"$'\t'"${words[*]}") >>"$out/plan.tsv"
    done
done

carry=()
for f in bios-256k.bin linuxboot_dma.bin linuxboot.bin pvh.bin kvmvapic.bin; do
    for d in /usr/share/qemu /usr/share/seabios; do
        [ -e "$d/$f" ] && carry+=(--file "$d/$f") && break
    done
done
say "$(wc -l <"$out/plan.tsv") cases, $runs runs"
"$top/tools/kvm-host" --timeout 1800 --retries 2 "${host_options[@]}" --file "$vmm" --file "$qemu" "${carry[@]}" \
    --file "$guest/vmlinux" --file "$out/initramfs.cpio" --file "$out/blk-run" --file "$out/plan.tsv" \
    -- "$out/blk-run" "$runs" "$seconds" "$disk" "$out/plan.tsv" >"$out/raw.tsv"
"$top/bench/blk-guest-table.py" "$out/raw.tsv" | tee "$out/table.md"
