#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# iperf3 and pings between a Linux guest and its host over a tap, with Aerostat and with QEMU, inside one KVM host.
set -euo pipefail
. "$(dirname "$0")/../scripts/lib.sh"

usage() {
    cat <<END
usage: bench/net-guest.sh [OPTION]...
Debian's iperf3, TCP to the guest and from it, and pings of 64 bytes, one each 10 ms. Throughput or round trips, and CPU time of
the VMM (all, without its guest's, outside the vCPU) for a MB or a round trip: medians, ratios and their range, as a Markdown
table. Both VMMs have the same kernel, initramfs and options (virtio-net-pci on a tap, vhost=off), and take turns.
  --instructions  the deterministic host (slow; one processor), where a nanosecond is an instruction
  --runs N        boots of each VMM (default 3)
  --seconds N     of each load (default 5)
  --streams N     TCP connections at a time (default 1)
  --counts        say for each case which system calls and VM exits 64 KiB or a round trip take; times mean little then
  --props PROPS   more properties of the card, as -device has them, for both
  --out DIR       where raw.tsv and table.md go (default build/bench-net)
END
}

runs=3 seconds=5 streams=1 host_options=() limit=300 props='' counts=() out=$build/bench-net
while [ $# -gt 0 ]; do
    case $1 in
    --instructions) host_options+=(--deterministic) limit=2000 ;;
    --runs) runs=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --streams) streams=$2; shift ;;
    --counts) counts=(counts) ;;
    --props) props=,$2; shift ;;
    --out) out=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done

iperf=$(command -v iperf3) || die "no iperf3: run scripts/setup.sh --dev"
bench_pair
gcc -std=gnu11 -O2 -Wall -Wextra -static -s -o "$out/net-run" "$top/bench/net-run.c"
"$top/bench/iperf-initramfs.py" "$guest/initramfs.cpio" "$out/initramfs.cpio"

append="quiet console=ttyS0 panic=-1 cryptomgr.notests aerostat.mode=agent"
make_plan() {
    local name words rom
    for name in aerostat qemu; do
        words=("$vmm" -M pc) rom=
        [ "$name" = aerostat ] || words=("$qemu" -M pc -no-user-config) rom=,romfile=
        words+=(-accel kvm -cpu host -m 512 -smp 1 -nodefaults -display none -serial stdio -no-reboot
            -kernel "$guest/vmlinux" -initrd "$out/initramfs.cpio" -append "$append"
            -netdev tap,id=n0,ifname=vm0,script=no,downscript=no -device "virtio-net-pci,netdev=n0$rom$props")
        (IFS=$'\t'; printf '%s\n' "$name"$'\t'"${words[*]}")
    done
}

carry=()
qemu_firmware bios-256k.bin linuxboot_dma.bin linuxboot.bin pvh.bin kvmvapic.bin
run_plan() {
    "$top/tools/kvm-host" --timeout "$limit" "${host_options[@]}" --file "$vmm" --file "$qemu" "${carry[@]}" \
        --file "$iperf" --file "$guest/vmlinux" --file "$out/initramfs.cpio" --file "$out/net-run" --file "$out/plan.tsv" \
        -- "$out/net-run" "$seconds" "$streams" "$iperf" "$out/plan.tsv" "${counts[@]}"
}

: >"$out/raw.tsv"
for run in $(seq "$runs"); do
    # Who comes first changes from run to run.
    make_plan | if ((run % 2)); then cat; else tac; fi >"$out/plan.tsv"
    say "run $run of $runs"
    # The emulated host stalls now and then; what such a try has measured does not count.
    for try in 1 2 3; do
        run_plan >"$out/part.tsv" && break
        [ "$try" != 3 ] || die "three times in vain"
        say "once more"
    done
    cat "$out/part.tsv" >>"$out/raw.tsv"
done
"$top/bench/net-guest-table.py" "$out/raw.tsv" | tee "$out/table.md"
