#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# fio in a Linux guest on a disk, with Aerostat and with QEMU, inside one KVM host.
set -euo pipefail
. "$(dirname "$0")/../scripts/lib.sh"

usage() {
    cat <<END
usage: bench/blk-guest.sh [OPTION]...
Debian's fio in the guest: random reads and writes of 4 KiB, depth 1 and 32. Requests per second and CPU time of the VMM
for each (its guest's not counted): medians, ratios and their range, as a Markdown table. Both VMMs have the same kernel,
initramfs and options, and take turns: virtio-blk-pci with one queue on an iothread.
  --instructions  the deterministic host (slow; one processor), where a nanosecond is an instruction
  --runs N        boots of each VMM and disk (default 3)
  --seconds N     of each load (default 3)
  --media NAMES   with commas, default all: null; uring, threads: a file on ext4 in the page cache; direct: with O_DIRECT
                  by io_uring
  --counts        say for each case which system calls and VM exits a request takes; times mean little then
  --poll NS       poll-max-ns of both iothreads (not given: 0 and QEMU's 32768, their defaults)
  --props PROPS   more properties of the disk, as -device has them, for both
  --out DIR       where raw.tsv and table.md go (default build/bench-blk)
END
}

runs=3 seconds=3 media=null,uring,direct,threads host_options=() limit=300 props='' poll='' counts=() out=$build/bench-blk
while [ $# -gt 0 ]; do
    case $1 in
    --instructions) host_options+=(--deterministic) limit=2000 ;;
    --runs) runs=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --media) media=$2; shift ;;
    --counts) counts=(counts) ;;
    --poll) poll=,poll-max-ns=$2; shift ;;
    --props) props=,$2; shift ;;
    --out) out=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done

bench_pair
gcc -std=gnu11 -O2 -Wall -Wextra -static -s -o "$out/blk-run" "$top/bench/blk-run.c"
"$top/bench/fio-initramfs.py" "$guest/initramfs.cpio" "$out/initramfs.cpio"

append="quiet console=ttyS0 panic=-1 cryptomgr.notests aerostat.mode=agent"
make_plan() { # MEDIUM
    local node name words
    case $1 in
    null) node=driver=null-co,read-zeroes=on,size=$((256 << 20)) ;;
    uring) node=driver=file,filename=blk.img,aio=io_uring ;;
    direct) node=driver=file,filename=blk.img,aio=io_uring,cache.direct=on ;;
    threads) node=driver=file,filename=blk.img,aio=threads ;;
    *) die "--media $1: null, uring, direct or threads expected" ;;
    esac
    for name in aerostat qemu; do
        words=("$vmm" -M pc)
        [ "$name" = aerostat ] || words=("$qemu" -M pc -no-user-config)
        words+=(-accel kvm -cpu host -m 512 -smp 1 -nodefaults -display none -serial stdio -no-reboot
            -kernel "$guest/vmlinux" -initrd "$out/initramfs.cpio" -append "$append" -object "iothread,id=t0$poll"
            -blockdev "$node,node-name=d0" -device "virtio-blk-pci,drive=d0,iothread=t0,num-queues=1$props")
        (IFS=$'\t'; printf '%s\n' "$name/$1"$'\t'"${words[*]}")
    done
}

carry=()
qemu_firmware bios-256k.bin linuxboot_dma.bin linuxboot.bin pvh.bin kvmvapic.bin
run_plan() {
    # shellcheck disable=SC2016 # the folder is known in there
    "$top/tools/kvm-host" --timeout "$limit" "${host_options[@]}" --scratch 512 --file "$vmm" --file "$qemu" \
        "${carry[@]}" --file "$guest/vmlinux" --file "$out/initramfs.cpio" --file "$out/blk-run" --file "$out/plan.tsv" \
        -- sh -c 'cd "$AEROSTAT_SCRATCH" && exec "$0" "$@"' \
        "$out/blk-run" "$seconds" blk.img "$out/plan.tsv" "${counts[@]}"
}

for medium in ${media//,/ }; do
    make_plan "$medium" >/dev/null
done
: >"$out/raw.tsv"
for run in $(seq "$runs"); do
    for medium in ${media//,/ }; do
        # Who comes first changes from run to run.
        make_plan "$medium" | if ((run % 2)); then cat; else tac; fi >"$out/plan.tsv"
        say "run $run of $runs: $medium"
        # The emulated host stalls now and then; what such a try has measured does not count.
        for try in 1 2 3; do
            run_plan >"$out/part.tsv" && break
            [ "$try" != 3 ] || die "three times in vain"
            say "once more"
        done
        cat "$out/part.tsv" >>"$out/raw.tsv"
    done
done
"$top/bench/blk-guest-table.py" "$out/raw.tsv" | tee "$out/table.md"
