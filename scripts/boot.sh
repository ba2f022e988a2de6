#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# From nothing to a Linux guest with virtio-balloon: installs, builds, makes the guest, boots it, shows the balloon.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage() {
    cat <<END
usage: scripts/boot.sh [OPTION]...
Installs what is missing, builds, prepares a Debian guest under build/guest, boots it under KVM with its console
streamed, gives a quarter of its memory to the host and back, powers it off and prints a summary.
  --shell         a shell in the guest instead; 'exit' or Ctrl-a x ends it
  --keep-running  leave the guest running in the background and print its QMP socket's path
  --memory MB     the guest's memory (default 512; at least 128)
  --smp N         the guest's processors (default 1; at most 64)
  --bzimage       boot the bzImage instead of the uncompressed kernel
  --help          this text
Logs of each step: build/logs/
END
}

memory=512 smp=1 mode=demo kernel=vmlinux
number() { [[ ${2-} =~ ^[1-9][0-9]{0,8}$ ]] || die "$1${2:+ $2}: a positive number expected"; }
while [ $# -gt 0 ]; do
    case $1 in
    --memory=* | --smp=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
    --shell) mode=shell ;;
    --keep-running) mode=keep ;;
    --memory) number "$@"; memory=$2; shift ;;
    --smp) number "$@"; smp=$2; shift ;;
    --bzimage) kernel=bzImage ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done

# The same test as tools/kvm-host's.
emulated() { ! grep -Eqw 'vmx|svm' /proc/cpuinfo || ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; }

host_room=512 # MB
! emulated || host_room=2048
most=$(awk -v room=$host_room '$1 == "MemTotal:" { printf "%d", $2 / 1024 - room }' /proc/meminfo)
[ "$most" -ge 512 ] || most=512
[ "$memory" -ge 128 ] || die "--memory $memory: the guest needs at least 128 MB"
[ "$memory" -le "$most" ] || die "--memory $memory: this machine has room for a guest of at most $most MB"
[ "$smp" -le 64 ] || die "--smp $smp: from 1 to 64"
[ "$mode" != shell ] || { [ -t 0 ] && [ -t 1 ]; } || die "--shell needs a terminal"

pid=
interrupted() {
    trap '' INT
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    say "interrupted"
    exit 130
}
trap interrupted INT

vmm=$build/release/aerostat client=$build/release/aerostat-qmp guest=$build/guest
cd "$top"

say "installing what is missing (scripts/setup.sh)"
step setup scripts/setup.sh
say "building (cmake preset release)"
step configure cmake --preset release
step build cmake --build --preset release --target aerostat aerostat-qmp
say "preparing the guest (scripts/guest-image.sh)"
step guest-image scripts/guest-image.sh "$guest"

# QEMU-like defaults of the emulated host leave room for a guest of this size.
host_memory=$((memory + 1536 > 4096 ? memory + 1536 : 4096))
host=(tools/kvm-host --memory "$host_memory" --file "$vmm" --file "$client" --file "$guest/$kernel"
    --file "$guest/initramfs.cpio")

run_dir() {
    local d=$build/run
    [ ${#d} -lt 80 ] || d=${TMPDIR:-/tmp}/aerostat-$(id -u)
    mkdir -p "$d"
    echo "$d"
}

starting() {
    ! emulated || say "starting the emulated host (the first time takes longer)"
}

case $mode in
demo)
    log=$build/logs/boot.log
    say "booting the guest with virtio-balloon"
    starting
    status=0
    "${host[@]}" --timeout 300 --retries 2 -- scripts/balloon-demo.sh --since "$started" --memory "$memory" \
        --smp "$smp" "$vmm" "$client" "$guest/$kernel" "$guest/initramfs.cpio" </dev/null 2>&1 | tee -i "$log" || status=$?
    if [ $status != 0 ]; then
        say "step 'boot' failed with status $status; log: ${log#"$PWD"/}"
        exit 1
    fi
    say "done"
    ;;
shell)
    say "booting the guest; 'exit' or Ctrl-a x ends it"
    starting
    "${host[@]}" --timeout 0 -- "$vmm" -M pc -accel kvm -cpu host -m "$memory" -smp "$smp" -nodefaults -display none \
        -kernel "$guest/$kernel" -initrd "$guest/initramfs.cpio" \
        -append "console=ttyS0 quiet cryptomgr.notests aerostat.mode=shell" \
        -device virtio-balloon,id=balloon0 -serial mon:stdio
    ;;
keep)
    log=$build/logs/boot-$$.log
    run=$(run_dir)
    socket=$run/qmp-$$.sock
    say "booting the guest in the background; its log: ${log#"$PWD"/}"
    starting
    : >"$log"
    setsid "${host[@]}" --timeout 0 --forward-socket "/tmp/aerostat-$$.sock:$socket" -- scripts/balloon-demo.sh \
        --keep-running --since "$started" --qmp "/tmp/aerostat-$$.sock" --memory "$memory" --smp "$smp" \
        "$vmm" "$client" "$guest/$kernel" "$guest/initramfs.cpio" </dev/null >"$log" 2>&1 &
    pid=$!
    until grep -q '^BALLOON-DEMO-RUNNING' "$log"; do
        if ! kill -0 "$pid" 2>/dev/null; then
            say "step 'boot' failed; log: ${log#"$PWD"/}"
            tail -n 25 "$log" | sed 's/^/    /' >&2
            exit 1
        fi
        sleep 0.1
    done
    pid_running=$pid pid=
    sed 's/^/  /; /BALLOON-DEMO-RUNNING/d' "$log" >&2
    say "the guest runs; its QMP socket:"
    echo "$socket"
    cat >&2 <<END
  ask it:   ${client#"$PWD"/} $socket query-balloon
  power off: ${client#"$PWD"/} $socket system_powerdown
  stop:     ${client#"$PWD"/} $socket quit    (or: kill $pid_running)
  console:  ${log#"$PWD"/}
END
    ;;
esac
