#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Boots one kernel and initramfs with Aerostat and with other VMMs, inside one KVM host, and compares them.
set -euo pipefail
. "$(dirname "$0")/../scripts/lib.sh"

usage() {
    cat <<END
usage: bench/boot.sh [OPTION]...
Wall time to the guest's init line, CPU time of the VMM, VM exits by kind, peak resident memory, the VMM's own share of
it, CPU time from exec to the first KVM_RUN: medians and ratios, as a plain table and as a Markdown table.
  --instructions      count instructions on the deterministic host (slow; one processor)
  --first-run         only CPU time from exec to the first KVM_RUN, on this machine (any /dev/kvm will do), with
                      vmlinux, bzImage and a kernel of a few bytes
  --quick             quiet vmlinux only, the case that the targets are set for
  --runs N            boots per case (default 3)
  --memory MB         of the guest (default 512)
  --smp N             vCPUs of the guest (default 1)
  --only NAMES        of these VMMs only, with commas: aerostat,qemu-microvm,qemu-pc,qemu-q35
  --vmm NAME=COMMAND  one VMM more; in COMMAND the words {kernel} {initrd} {append} {memory} {smp} are replaced
  --carry PATH        a file that such a VMM needs in the host
  --append WORDS      more words on the guest's command line
  --out DIR           where raw.tsv, table.txt and table.md go (default build/bench)
END
}

runs=3 memory=512 smp=1 only='' host_options=() variants=(vmlinux-quiet bzImage-quiet vmlinux-verbose bzImage-verbose)
mode=time extra_vmm=() carry=() append='' out=$build/bench
while [ $# -gt 0 ]; do
    case $1 in
    --instructions) mode=instructions; host_options+=(--deterministic) ;;
    --first-run) mode=first; variants=(vmlinux-quiet bzImage-quiet tiny-quiet) ;;
    --quick) variants=(vmlinux-quiet) ;;
    --runs) runs=$2; shift ;;
    --memory) memory=$2; shift ;;
    --smp) smp=$2; shift ;;
    --only) only=$2; shift ;;
    --vmm) extra_vmm+=("$2"); shift ;;
    --carry) carry+=(--file "$2"); shift ;;
    --append) append=$2; shift ;;
    --out) out=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done

guest=$build/guest vmm=${AEROSTAT:-$build/release/aerostat}
mkdir -p "$out"
[ -x "$vmm" ] || die "no ${vmm#"$PWD"/}: build the release preset first"
step guest-image "$top/scripts/guest-image.sh" "$guest"
gcc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -static -o "$out/boot-run" "$top/bench/boot-run.c"

# An ELF with a PVH entry that halts: shows what is the VMM's own work, and what is copying kernels.
images=$guest
if [ "$mode" = first ]; then
    [ -w /dev/kvm ] || die "--first-run: /dev/kvm cannot be opened here"
    images=$out/images
    mkdir -p "$images"
    ln -sf "$guest/vmlinux" "$guest/bzImage" "$images"
    gcc -nostdlib -static -Wl,-Ttext=0x200000,--build-id=none -x assembler -o "$images/tiny" - <<END
        .section .note.pvh, "a", @note
        .long 4, 8, 18
        .asciz "Xen"
        .quad _start
        .text
        .globl _start
_start: cli
        hlt
        .section .note.GNU-stack, "", @progbits
END
fi

names=() commands=()
add_vmm() { # NAME COMMAND
    [ -z "$only" ] || [[ ,$only, == *,$1,* ]] || return 0
    names+=("$1")
    commands+=("$2")
}
common="-cpu host -m {memory} -smp {smp} -nodefaults -display none -serial stdio -no-reboot"
common+=" -kernel {kernel} -initrd {initrd} -append {append}"
add_vmm aerostat "$vmm -M pc -accel kvm $common"
qemu=$(command -v qemu-system-x86_64 || true)
if [ -n "$qemu" ]; then
    for m in microvm,rtc=on pc q35; do
        add_vmm "qemu-${m%%,*}" "$qemu -M $m -accel kvm -no-user-config $common"
    done
    qemu_firmware bios-microvm.bin bios-256k.bin bios.bin pvh.bin linuxboot_dma.bin linuxboot.bin multiboot.bin kvmvapic.bin
else
    say "no qemu-system-x86_64 here: no peers but those of --vmm"
fi
for v in "${extra_vmm[@]}"; do
    [[ $v == *=* ]] || die "--vmm $v: expected NAME=COMMAND"
    only='' add_vmm "${v%%=*}" "${v#*=}"
done
[ ${#names[@]} -gt 0 ] || die "--only $only: no such VMM"

# make_plan VARIANT FILE: lines of NAME, VARIANT, command; with tabs between all words.
make_plan() {
    local variant=$1 words line w i
    words="console=ttyS0 panic=-1 cryptomgr.notests aerostat.mode=bench${append:+ $append}"
    [[ $variant == *-verbose ]] || words="quiet $words"
    for i in "${!names[@]}"; do
        line=${names[i]}$'\t'$variant
        for w in ${commands[i]}; do
            case $w in
            '{kernel}') w=$images/${variant%-*} ;;
            '{initrd}') w=$guest/initramfs.cpio ;;
            '{append}') w=$words ;;
            '{memory}') w=$memory ;;
            '{smp}') w=$smp ;;
            esac
            line+=$'\t'$w
        done
        printf '%s\n' "$line"
    done >"$2"
}

programs=()
for c in "${commands[@]}"; do
    programs+=(--file "$(command -v "${c%% *}")")
done
host=("$top/tools/kvm-host" --timeout $((90 + runs * ${#names[@]} * 25)) "${host_options[@]}" "${programs[@]}" "${carry[@]}"
    --file "$guest/vmlinux" --file "$guest/bzImage" --file "$guest/initramfs.cpio")

# All boots of one table are done in one host. An emulated host that dies or hangs gets two more chances.
measure() { # VARIANT PLAN RAW
    local attempt status=0
    if [ "$mode" = first ]; then
        "$out/boot-run" --first "$runs" "$2" >"$3"
        return
    fi
    for attempt in 1 2 3; do
        [ "$attempt" = 1 ] || say "$1: the host failed, again from the beginning"
        status=0
        "${host[@]}" --file "$2" -- "$out/boot-run" "$runs" "$2" >"$3" || status=$?
        [ $status -ge 124 ] || return $status
    done
    return $status
}

status=0
: >"$out/raw.tsv"
for variant in "${variants[@]}"; do
    say "$variant: ${#names[@]} VMMs, $runs runs"
    make_plan "$variant" "$out/plan-$variant.tsv"
    measure "$variant" "$out/plan-$variant.tsv" "$out/raw-$variant.tsv" || status=$?
    cat "$out/raw-$variant.tsv" >>"$out/raw.tsv"
done
"$top/bench/boot-table.py" --mode "$mode" "$out/raw.tsv" --text "$out/table.txt" --markdown "$out/table.md"
cat "$out/table.txt"
echo
cat "$out/table.md"
exit "$status"
